"""Structural variants score as the same change in letters, and what cannot be read says why."""

import numpy as np
import pytest
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.errors import InputError
from orchid_genomics.genome.vcf import Record
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import Variant

LETTERS = random_letters(600, 3)
WINDOW = 128  # letters: an event of 63 fits


@pytest.fixture
def genome(tmp_path):
    letters = LETTERS[:400] + "N" * 10 + LETTERS[410:]
    return write_genome(tmp_path / "g.fa", {"c1": letters})


def other(letters):
    return letters[::-1].translate(str.maketrans("ACGT", "TGCA"))


def allele(position, alt, info=".", ref=None):
    ref = ref or LETTERS[position - 1]
    line = f"c1\t{position}\t.\t{ref}\t{alt}\t.\t.\t{info}".encode()
    return Record(line, "c1", position - 1, ".", ref, (alt,)).alleles("c1")[0]


def scoring(genome, scores=("indel", "embedding"), model=None, **options):
    return Scoring(model or letters_model(), genome, scores, (WINDOW,), **options)


P, Q = 200, 225
A = LETTERS[P - 1]
PLAIN = {
    "deletion": Variant("c1", P - 1, LETTERS[P - 1 : Q], A),
    "duplication": Variant("c1", P - 1, A, A + LETTERS[P:Q]),
}


@pytest.mark.parametrize(
    ("alt", "info", "kind"),
    [
        ("<DEL>", f"END={Q}", "deletion"),
        (f"{A}[c1:{Q + 1}[", ".", "deletion"),
        ("<DUP>", f"SVLEN={Q - P}", "duplication"),
    ],
)
def test_a_structural_variant_scores_as_its_letters(genome, alt, info, kind):
    found = scoring(genome)([allele(P, alt, info), PLAIN[kind]])
    assert found.kinds == [kind, {"deletion": kind, "duplication": "insertion"}[kind]]
    assert found.why == ["", ""]
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.values[0], found.values[1])


def test_an_inversion_is_read_as_built_by_hand_and_no_letter_answers_to_one_before(genome):
    built = scoring(genome)
    found = built([allele(P, "<INV>", f"END={Q}"), allele(P, f"{A}]c1:{Q}]")])
    assert found.kinds == ["inversion"] * 2
    np.testing.assert_array_equal(found.values[0], found.values[1])
    (reader,) = built.readers
    inside = LETTERS[P:Q]
    # Letters that both have at an end are no part of the change.
    turned, start, end = other(inside), P, Q
    while LETTERS[start] == turned[0]:
        start, turned = start + 1, turned[1:]
    while LETTERS[end - 1] == turned[-1]:
        end, turned = end - 1, turned[:-1]
    side = (WINDOW - 1 - (end - start)) // 2
    around = LETTERS[start - side : start], LETTERS[end : end + side]
    rows = [
        np.array(["ACGT".index(letter) for letter in around[0] + middle + around[1]], np.uint8)
        for middle in (LETTERS[start:end], turned)
    ]
    rows = [np.append(row, [4] * (WINDOW - len(row))).astype(np.uint8) for row in rows]
    logs = reader.letters(rows, reader.unmasking)
    likely = [
        log[np.arange(WINDOW), np.minimum(row, 3)] for log, row in zip(logs, rows, strict=True)
    ]
    F, stop = reader.flank("c1"), side + end - start
    flanks = [row[side - F : side].sum() + row[stop : stop + F].sum() for row in likely]
    assert found["indel"][0] == pytest.approx(flanks[1] - flanks[0], abs=1e-6)
    assert found["indel_letters"][0] == pytest.approx(likely[1][side:stop].mean(), abs=1e-6)


def test_masked_scores_are_not_for_structural_variants(genome):
    found = scoring(genome, ("llr",))([allele(P, "<INV>", f"END={Q}")])
    assert found.why == ["no_score"]


def test_a_head_has_its_say(genome):
    model = random_model({"kind": "pooled", "task": "multilabel", "labels": ("open",)})
    found = scoring(genome, ("delta",), model)([allele(P, "<DEL>", f"END={Q}"), PLAIN["deletion"]])
    assert found["delta_open"][0] == found["delta_open"][1] != 0


@pytest.mark.parametrize(
    ("position", "alt", "info", "why"),
    [
        (P, "<DEL>", f"END={P + 63}", ""),
        (P, "<DEL>", f"END={P + 64}", "too_long"),
        (P, "<DEL>", "END=250000000", "too_long"),
        (P, "<DUP>", "SVLEN=32", "too_long"),  # both copies are where it could be written
        (P, f"{A}]c1:{P + 100}]", ".", "too_long"),
        (590, "<DEL>", "END=605", "off_contig"),
        (590, "<INV>", "END=605", "off_contig"),
        (395, "<DEL>", "END=405", "n"),
        (402, "<DEL>", "END=420", "n"),
        (P, "<DEL>", ".", "symbolic"),
        (P, f"{A}[c2:9[", ".", "breakend"),
    ],
)
def test_what_cannot_be_read_says_why(genome, position, alt, info, why):
    assert scoring(genome)([allele(position, alt, info)]).why == [why]


def test_a_palindrome_turned_is_no_change(tmp_path):
    letters = LETTERS[:100] + "GAATTC" + LETTERS[106:]
    genome = write_genome(tmp_path / "p.fa", {"c1": letters})
    record = allele(100, "<INV>", "END=106", letters[99])
    assert scoring(genome)([record]).why == ["no_change"]


def test_the_first_letter_of_a_contig_may_go(genome):
    found = scoring(genome)([allele(0, "<DEL>", "END=3", "N"), Variant("c1", 0, LETTERS[:3], "")])
    np.testing.assert_array_equal(found.values[0], found.values[1])


def test_ref_is_checked_where_the_record_has_it(genome):
    wrong = next(letter for letter in "ACGT" if letter != A)
    change, same = (allele(P, "<DEL>", f"END={Q}", ref) for ref in (wrong, A))
    assert scoring(genome)([change]).why == ["ref_mismatch"]
    used = scoring(genome, on_mismatch="use-genome")(
        [change, same, allele(P, "<DEL>", f"END={Q}", "N")]
    )
    np.testing.assert_array_equal(used.values[0], used.values[1])
    np.testing.assert_array_equal(used.values[2], used.values[1])
    with pytest.raises(InputError, match="the genome has"):
        scoring(genome, on_mismatch="error")([change])
