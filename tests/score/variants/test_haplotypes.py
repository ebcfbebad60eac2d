"""A sample's haplotypes: all its variants together, as one change written by hand."""

import numpy as np
import pytest
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.genome.genotypes import Site, read_genotype
from orchid_genomics.genome.vcf import Record
from orchid_genomics.score.variants.haplotypes import HaplotypeScoring
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import Variant

LETTERS = random_letters(600, 3)
WINDOW = 128  # letters: changes within 63 are scored together
SCORES = ("llr", "indel", "embedding")


@pytest.fixture
def genome(tmp_path):
    return write_genome(tmp_path / "g.fa", {"c1": LETTERS})


def step(position, by=1):
    """Another letter than that at a 1-based position."""
    return "ACGT"[("ACGT".index(LETTERS[position - 1]) + by) % 4]


def site(position, alt, genotype, ref=None, keys="GT", info="."):
    ref = ref or LETTERS[position - 1]
    line = f"c1\t{position}\t.\t{ref}\t{alt}\t.\t.\t{info}\t{keys}\t{genotype}".encode()
    record = Record(line, "c1", position - 1, ".", ref, tuple(alt.split(",")))
    return Site(record, read_genotype(line, 9))


def score(genome, sites, scores=SCORES, model=None):
    """Rows of sites that are all about each other."""
    scoring = HaplotypeScoring(model or letters_model(), genome, scores, (WINDOW,))
    around = [
        each._replace(near=tuple(o for o in sites if o is not each and o.genotype.carries))
        for each in sites
    ]
    return scoring.score_sites(around, {"c1": "c1"})


def plain(genome, *variants, scores=SCORES, model=None):
    return Scoring(model or letters_model(), genome, scores, (WINDOW,))(list(variants)).values


def halves(found):
    """The columns of each haplotype."""
    return np.split(found.values, 2, axis=1)


def together(*changes):
    """One variant of (1-based position, ref, alt) in order."""
    first, last = changes[0][0] - 1, max(at - 1 + len(ref) for at, ref, _ in changes)
    text, at = "", first
    for position, ref, alt in changes:
        text += LETTERS[at : position - 1] + alt
        at = position - 1 + len(ref)
    return Variant("c1", first, LETTERS[first:last], text)


def test_a_variant_alone_has_the_score_that_it_has_without_phases(genome):
    own = Variant("c1", 199, LETTERS[199], step(200))
    found = score(genome, [site(200, step(200), "0|1")])
    first, second = halves(found)
    assert np.isnan(first).all()
    np.testing.assert_array_equal(second, plain(genome, own))
    assert found.why == [""]
    assert [column.name for column in found.columns] == [
        f"{name}_hap{haplotype}"
        for haplotype in (1, 2)
        for name in ("llr", "indel", "indel_letters", "cosine", "l2")
    ]


def test_two_substitutions_of_one_haplotype_are_one_change_and_of_two_are_two(genome):
    a, b = (200, LETTERS[199], step(200)), (210, LETTERS[209], step(210))
    cis = score(genome, [site(200, step(200), "0|1"), site(210, step(210), "0|1")])
    both = plain(genome, together(a, b))
    for row in halves(cis)[1]:
        np.testing.assert_array_equal(row, both[0])
    assert np.isnan(halves(cis)[0]).all()
    assert cis.kinds == ["MNV", "MNV"]
    trans = score(genome, [site(200, step(200), "1|0"), site(210, step(210), "0|1")])
    alone = plain(genome, together(a), together(b))
    np.testing.assert_array_equal(halves(trans)[0][0], alone[0])
    np.testing.assert_array_equal(halves(trans)[1][1], alone[1])
    assert not np.array_equal(both[0], alone[0])


def test_a_deletion_and_an_insertion_are_one_change(genome):
    gone, added = (200, LETTERS[199:202], LETTERS[199]), (220, LETTERS[219], LETTERS[219] + "TT")
    sites = [site(200, gone[2], "1|1", gone[1]), site(220, added[2], "1|1")]
    found = score(genome, sites)
    np.testing.assert_array_equal(*halves(found))
    np.testing.assert_array_equal(halves(found)[0][0], plain(genome, together(gone, added))[0])


def test_what_both_haplotypes_have_goes_with_what_each_has(genome):
    everywhere, here = (200, LETTERS[199], step(200)), (230, LETTERS[229], step(230, 2))
    found = score(genome, [site(200, step(200), "1/1"), site(230, step(230, 2), "1|0")])
    first, second = halves(found)
    joint, alone = plain(genome, together(everywhere, here), together(everywhere))
    np.testing.assert_array_equal(first, [joint, joint])
    np.testing.assert_array_equal(second[0], alone)
    assert np.isnan(second[1]).all()


def test_records_with_several_alternates(genome):
    alts = f"{step(200)},{step(200, 2)}"
    found = score(genome, [site(200, alts, "2|1"), site(205, step(205), "0|1")])
    other = (205, LETTERS[204], step(205))
    own = plain(
        genome,
        together((200, LETTERS[199], step(200)), other),
        together((200, LETTERS[199], step(200, 2))),
    )
    np.testing.assert_array_equal(halves(found)[1][0], own[0])
    np.testing.assert_array_equal(halves(found)[0][1], own[1])
    assert np.isnan(halves(found)[0][0]).all()
    np.testing.assert_array_equal(halves(found)[1][2], own[0])


def test_phase_sets_stay_apart(genome):
    def sets(*names):
        return [
            site(position, step(position), f"{genotype}:{name}", keys="GT:PS")
            for position, genotype, name in zip(
                (200, 204, 212), ("1|1", "0|1", "0|1"), names, strict=True
            )
        ]

    found = score(genome, sets(".", "1", "2"))
    everywhere, near, far = ((at, LETTERS[at - 1], step(at)) for at in (200, 204, 212))
    rows = plain(genome, together(everywhere, near), together(everywhere, far))
    np.testing.assert_array_equal(halves(found)[1], [rows[0], rows[0], rows[1]])
    found = score(genome, sets(".", "1", "1"))
    whole = plain(genome, together(everywhere, near, far))[0]
    np.testing.assert_array_equal(halves(found)[1], [whole] * 3)


@pytest.mark.parametrize(
    ("genotype", "why"),
    [
        ("0|0", "not_carried"),
        (".|.", "not_carried"),
        ("2|0", "not_carried"),
        ("0/1", "unphased"),
        ("0|1|1", "ploidy"),
        ("1", ""),
        (".|1", ""),
    ],
)
def test_what_a_sample_does_not_say(genome, genotype, why):
    found = score(genome, [site(200, step(200), genotype)])
    assert found.why == [why]
    assert np.isnan(found.values).all() == bool(why)


def test_what_is_unphased_wrong_far_or_in_one_place_is_left_out(genome):
    own = site(200, step(200), "0|1")
    wrong = "ACGT"[("ACGT".index(LETTERS[209]) + 1) % 4]
    others = [
        site(199, LETTERS[198] + "G", "0/1"),
        site(199, LETTERS[198], "0|1", LETTERS[198:203]),  # over the first
        site(210, step(210, 2), "0|1", wrong),
        site(300, step(300), "0|1"),
        site(215, "<INS>", "0|1"),
    ]
    found = score(genome, [own, *others])
    alone = plain(genome, Variant("c1", 199, LETTERS[199], step(200)))
    np.testing.assert_array_equal(halves(found)[1][0], alone[0])


def test_structural_variants_have_their_place_on_a_haplotype_and_inversions_stand_alone(genome):
    small = site(230, step(230), "0|1")
    gone = site(200, "<DEL>", "0|1", info="END=206")
    found = score(genome, [small, gone])
    joint = together((200, LETTERS[199:206], LETTERS[199]), (230, LETTERS[229], step(230)))
    np.testing.assert_array_equal(halves(found)[1], plain(genome, joint).repeat(2, 0))
    turned = site(200, "<INV>", "0|1", info="END=216")
    found = score(genome, [small, turned])
    own = plain(genome, together((230, LETTERS[229], step(230))), turned.record.alleles("c1")[0])
    np.testing.assert_array_equal(halves(found)[1], own)


def test_a_head_has_its_say_of_a_haplotype(genome):
    model = random_model({"kind": "pooled", "task": "multilabel", "labels": ("open",)})
    sites = [site(200, step(200), "0|1"), site(210, step(210), "0|1")]
    found = score(genome, sites, ("delta",), model)
    joint = together((200, LETTERS[199], step(200)), (210, LETTERS[209], step(210)))
    own = plain(genome, joint, scores=("delta",), model=model)
    np.testing.assert_array_equal(halves(found)[1], [own[0], own[0]])
