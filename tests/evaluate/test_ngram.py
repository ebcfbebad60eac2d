"""Laws and oracles of the count models, and the reference figures on yeast."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.kmer_tables import KmerCounts
from orchid_genomics.evaluate.ngram import SHAPES, NgramModel, fit_ngrams, levels
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.sequence import DNA, SOFT
from orchid_genomics.sequence.kmers import code_pieces

YEAST = Path(__file__).parents[2] / "recipes" / "yeast" / "sacCer3.fa.gz"


def random_dna(length, seed=0, unknown=0.0, soft=0.0):
    rng = np.random.default_rng(seed)
    tokens = rng.choice(4, length, p=[0.31, 0.19, 0.2, 0.3]).astype(np.uint8)
    tokens[rng.random(length) < unknown] = 4
    return tokens | (SOFT * (rng.random(length) < soft)).astype(np.uint8)


def code(text):
    return int("".join(str("ACGT".index(letter)) for letter in text), 4)


@pytest.fixture(scope="module")
def small():
    """A genome with N and lower case, and its 3 + 1 + 3 counts tuned under 15 % masks."""
    train = [random_dna(4000, seed, unknown=0.01, soft=0.2) for seed in range(2)]
    hidden = np.random.default_rng(5).random(4000) < 0.15
    return NgramModel.fit(train, 3, 3).tune([random_dna(4000, 4)], [hidden])


# ---- the tables ----


@pytest.mark.parametrize("k", [1, 2, 5])
def test_tables_equal_a_dictionary_of_every_kmer_on_both_strands(k):
    contigs = [
        random_dna(500, 0, unknown=0.03, soft=0.3),
        random_dna(3, 1),
        random_dna(40, 2, unknown=0.5),
    ]
    kmers = KmerCounts.count(contigs, k)
    for size in range(1, k + 1):
        expected = Counter()
        for contig in contigs:
            for strand in (contig, DNA.reverse_complement(contig)):
                text = DNA.decode(strand).upper()
                windows = (text[at : at + size] for at in range(len(text) - size + 1))
                expected.update(code(window) for window in windows if "N" not in window)
        assert {
            cell: int(count) for cell, count in enumerate(kmers.tables[size]) if count
        } == expected


def test_both_strands_are_counted_alike():
    contig = random_dna(3000, 1, unknown=0.01)
    one, other = (
        KmerCounts.count([contig], 6),
        KmerCounts.count([DNA.reverse_complement(contig)], 6),
    )
    for table, same in zip(one.tables, other.tables, strict=True):
        np.testing.assert_array_equal(table, same)
    assert one.tables[6][code("AACGTC")] == one.tables[6][code("GACGTT")]


def test_codes_are_the_same_whatever_the_pieces(monkeypatch):
    contig = random_dna(1000, 2, unknown=0.02)
    ((_, whole, valid),) = code_pieces(contig, 7)
    monkeypatch.setattr("orchid_genomics.sequence.kmers._STEP", 97)
    pieces = list(code_pieces(contig, 7))
    assert len(pieces) == 11
    np.testing.assert_array_equal(np.concatenate([codes for _, codes, _ in pieces]), whole)
    np.testing.assert_array_equal(np.concatenate([known for *_, known in pieces]), valid)


def test_a_contig_shorter_than_the_kmer_has_none():
    assert not list(code_pieces(random_dna(4), 5))
    assert KmerCounts.count([random_dna(4)], 5).tables[5].sum() == 0


@pytest.mark.parametrize("k", [0, 15])
def test_kmers_that_cannot_be_tabled(k):
    with pytest.raises(ValueError, match=f"k-mers of {k} letters"):
        KmerCounts.count([], k)


def test_unseen_neighbours_are_summed_over():
    contig = random_dna(3000, 3)
    kmers = KmerCounts.count([contig], 5)
    strands = [DNA.decode(strand) for strand in (contig, DNA.reverse_complement(contig))]
    windows = [text[at : at + 5] for text in strands for at in range(2996)]
    expected = [sum(w[0] + w[3:] == "AGT" and w[2] == letter for w in windows) for letter in "ACGT"]
    counts, unseen = kmers.around(
        np.array([[0, 4, 9, 2, 3]], np.uint8), 2
    )  # A, unseen, the target (not read), G, T
    assert (unseen.tolist(), counts[0].tolist()) == ([1], expected)


# ---- the model ----


def test_a_context_that_determines_the_letter_costs_nothing():
    period = random_dna(50, 7)
    genome, other = np.tile(period, 400), np.tile(period, 100)
    left, both = fit_ngrams([genome], [other], shapes=[(9, 0), (5, 5)])
    assert left.bits(other, np.arange(20, 4000)).max() < 0.01
    assert both.bits(other, np.arange(20, 4000)).max() < 0.01


def test_two_sides_know_what_one_side_cannot():
    """Every third letter is the sum of the letters beside it."""
    letters = np.random.default_rng(0).integers(0, 4, (3, 20_000))
    letters[1] = (letters[0] + letters[2]) % 4
    genome, places = letters.T.ravel().astype(np.uint8), np.arange(1, 3000, 3)
    left, both = fit_ngrams([genome], [genome], shapes=[(2, 0), (1, 1)])
    assert both.bits(genome, places).mean() < left.bits(genome, places).mean() - 0.2


@pytest.mark.parametrize("share", [0.0, 0.15, 0.6, 1.0])
@pytest.mark.parametrize(("left", "right"), [(3, 3), (3, 0), (1, 2), (0, 0)])
def test_probabilities_sum_to_one_whatever_is_visible(small, share, left, right):
    model = NgramModel.of(small.kmers, left, right)
    contig = random_dna(2000, 8, unknown=0.02)
    hidden = np.random.default_rng(1).random(2000) < share
    p_N4 = model.probabilities(contig, np.arange(2000), hidden)
    np.testing.assert_allclose(p_N4.sum(1), 1, atol=1e-12)
    assert p_N4.min() > 0


def test_a_hidden_neighbour_is_never_looked_at(small):
    rng = np.random.default_rng(2)
    contig, hidden = random_dna(3000, 9), rng.random(3000) < 0.3
    places = np.flatnonzero(rng.random(3000) < 0.5)
    before = small.probabilities(contig, places, hidden)
    changed = np.where(hidden, rng.integers(0, 7, 3000), contig).astype(np.uint8)
    np.testing.assert_array_equal(small.probabilities(changed, places, hidden), before)
    unknown = np.where(hidden, DNA.mask, contig).astype(np.uint8)
    np.testing.assert_array_equal(small.probabilities(unknown, places), before)


def test_the_target_itself_is_never_looked_at(small):
    contig = random_dna(100, 9)
    before = small.probabilities(contig, np.array([50]))
    for letter in (0, 1, 2, 3, 4, DNA.mask):
        contig[50] = letter
        np.testing.assert_array_equal(small.probabilities(contig, np.array([50])), before)


def test_the_other_strand_has_the_same_bits(small):
    contig = random_dna(1000, 10, unknown=0.01)
    hidden = np.random.default_rng(3).random(1000) < 0.15
    targets = contig < 4
    there = small.bits(DNA.reverse_complement(contig), targets[::-1], hidden[::-1])
    np.testing.assert_allclose(there[::-1], small.bits(contig, targets, hidden), atol=1e-5)


def test_case_changes_nothing(small):
    contig = random_dna(1000, 11)
    np.testing.assert_array_equal(
        small.bits(contig | SOFT, np.arange(1000)), small.bits(contig, np.arange(1000))
    )


def test_places_and_flags_are_the_same_targets_and_chunks_do_not_show(small, monkeypatch):
    contig, flags = random_dna(1000, 12), np.random.default_rng(4).random(1000) < 0.2
    whole = small.bits(contig, flags, flags)
    monkeypatch.setattr("orchid_genomics.evaluate.ngram._CHUNK", 37)
    monkeypatch.setattr("orchid_genomics.evaluate.kmer_tables._CELLS", 64)
    np.testing.assert_array_equal(small.bits(contig, np.flatnonzero(flags), flags), whole)
    assert whole.dtype == np.float32
    assert small.bits(contig, np.zeros(0, int)).size == 0


def test_tuning_helps_on_what_it_was_tuned_on():
    validation = np.tile(random_dna(700, 13), 3)
    rough = NgramModel.fit([random_dna(3000, 14), validation[:500]], 4, 4)
    tuned = rough.tune([validation])
    assert tuned.kmers is rough.kmers
    assert (
        tuned.bits(validation, np.arange(2100)).mean()
        < rough.bits(validation, np.arange(2100)).mean()
    )


def test_tuning_reads_the_held_out_part_of_a_contig_alone():
    train, held = random_dna(3000, 14), random_dna(700, 13)
    around = np.concatenate(
        [train, held, train]
    )  # a contig whose ends are training: counts know those by heart
    inside = np.zeros(len(around), bool)
    inside[3000:3700] = True
    rough = NgramModel.fit([train], 4, 4)
    tuned = rough.tune([around], inside=[inside])
    alone = rough.tune([around[2996:3704]], inside=[inside[2996:3704]])
    np.testing.assert_array_equal(tuned.weights, alone.weights)
    whole = rough.tune([around])
    at = np.flatnonzero(inside)
    assert tuned.bits(around, at).mean() < whole.bits(around, at).mean() - 0.05


def test_more_letters_than_the_tables_hold(small):
    with pytest.raises(ValueError, match="4 letters before and 3 after, of 7-mers"):
        NgramModel.of(small.kmers, 4, 3)


def test_an_unknown_letter_is_no_target(small):
    contig = random_dna(100, 0)
    contig[17] = 4
    with pytest.raises(ValueError, match="place 17"):
        small.bits(contig, np.arange(10, 20))


def test_nothing_to_tune_on(small):
    with pytest.raises(InputError, match="validation: no known letter"):
        small.tune([np.full(50, 4, np.uint8)])


def test_levels_and_names():
    kmers = KmerCounts((np.zeros(0, np.uint32),) * 14)
    models = [NgramModel.of(kmers, left, right) for left, right in SHAPES]
    assert [levels(model.left, model.right)[-1] for model in models] == list(SHAPES)
    assert all(levels(*shape)[0] == (0, 0) for shape in SHAPES)
    assert levels(12, 0) == [(0, 0), (3, 0), (6, 0), (9, 0), (12, 0)]
    assert levels(2, 1) == [(0, 0), (1, 1), (2, 1)]
    assert levels(0, 0) == [(0, 0)]
    assert [model.name for model in models[:2]] == [
        "counts, 2 on the left",
        "counts, 4 on both sides",
    ]


# ---- repeats ----


def test_planted_repeats_are_found_on_either_strand_and_nothing_else():
    train, contig = random_dna(50_000, 20, soft=0.5), random_dna(20_000, 21)
    letters = train & 0x7F

    def plant(at, copy, before, after):
        """A copy whose neighbours are made to differ from those of its origin."""
        contig[at : at + len(copy)] = copy
        contig[at - 1], contig[at + len(copy)] = 3 - before, 3 - after

    plant(1000, letters[700:800], letters[699], letters[800])
    plant(5000, DNA.reverse_complement(train[100:124]), 3 - letters[124], 3 - letters[99])
    plant(9000, letters[300:323], letters[299], letters[323])  # a letter too short
    plant(15_000, letters[500:530], letters[499], letters[530])
    contig[15_010] = 4  # an N inside: no 24 letters are left
    expected = np.zeros(20_000, bool)
    expected[1000:1100] = expected[5000:5024] = True
    empty, found = recurs([train], [np.zeros(0, np.uint8), contig])
    assert empty.size == 0
    np.testing.assert_array_equal(np.flatnonzero(found), np.flatnonzero(expected))


def test_repeats_of_nothing():
    contig = random_dna(100, 0)
    assert not recurs([], [contig])[0].any()
    assert not recurs([contig], [contig[:10]])[0].any()
    assert recurs([contig], [contig])[0].all()
    with pytest.raises(ValueError, match="k-mers of 32 letters"):
        recurs([], [], k=32)


# ---- yeast ----


@pytest.mark.slow
def test_the_reference_figures_on_yeast():
    """Bits per base on chrVII and chrXIII with every neighbour visible, against plain interpolated
    counts.
    """
    pysam = pytest.importorskip("pysam")
    with pysam.FastaFile(str(YEAST)) as fasta:
        genome = {name: DNA.encode(fasta.fetch(name)) for name in fasta.references}
    test, validation = [
        [genome.pop(name) for name in names] for names in (("chrVII", "chrXIII"), ("chrV", "chrXI"))
    ]
    del genome["chrM"]
    assert len(genome) == 12
    reference = {(2, 0): 1.945, (4, 4): 1.9105, (12, 0): 1.902, (6, 6): 1.877}
    for model in fit_ngrams(genome.values(), validation):
        bits = np.concatenate([model.bits(contig, contig < 4) for contig in test])
        assert bits.mean() < reference[model.left, model.right] + 0.0003, model.name
    share = np.concatenate(recurs(genome.values(), test)).mean()
    assert 0.04 < share < 0.08
