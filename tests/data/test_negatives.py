"""Negatives: their composition is that of the elements, they touch nothing, and near-duplicates are
found.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orchid_genomics.data.labelled.duplicates import near_duplicates
from orchid_genomics.data.negatives import (
    agreement,
    composition,
    match_elements,
    nearest,
    shuffle_elements,
)
from orchid_genomics.data.peaks import SplitPlan, centre_on_peaks
from orchid_genomics.genome.bed import Bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import DNA, Interval

LENGTH = 50


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Genome:
    """Contigs t and v, whose GC rises from one end to the other."""
    path, rng = tmp_path_factory.mktemp("genome") / "g.fa", np.random.default_rng(0)
    with path.open("w") as file:
        for name, size in (("t", 40_000), ("v", 20_000), ("other", 20_000)):
            is_gc = rng.random(size) < np.linspace(0.2, 0.8, size)
            letters = np.where(is_gc, rng.choice(list("GC"), size), rng.choice(list("ATat"), size))
            file.write(f">{name}\n{''.join(letters)}\n")
    return Genome(path)


@pytest.fixture(scope="module")
def elements(genome):
    """Peaks where GC is high, 60 on t and 30 on v, on either strand."""
    places = [Interval("t", 14_000 + 400 * i, 14_100 + 400 * i, "+-"[i % 2]) for i in range(60)]
    places += [Interval("v", 7_000 + 400 * i, 7_100 + 400 * i, "+-"[i % 2]) for i in range(30)]
    bed = Bed("p.bed", tuple(places), tuple(() for _ in places))
    plan = SplitPlan.parse(genome, "v", "")
    return plan.into(centre_on_peaks(bed, genome, LENGTH)), Regions.from_intervals(places), plan


def test_matches_agree_in_gc_touch_nothing_and_stay_in_their_split(elements, genome):
    found, taken, plan = elements
    other = match_elements(found, taken, plan, 2, seed=0)
    assert len(other) == 180
    names = [other.windows.names[code] for code in other.windows.contig]
    assert set(names) == {"t", "v"}  # no peak is on `other`, so no negative is
    assert (other.split == [plan.held_out["validation"][0].contig == name for name in names]).all()
    for name in ("t", "v"):
        starts = np.sort(other.windows.start[np.array(names) == name])
        assert (np.diff(starts) >= LENGTH).all()
        assert not taken.touches(name, starts, starts + LENGTH).any()
        assert starts.min() >= 0
    own = np.array([composition(found.tokens(i)) for i in range(len(found))])
    theirs = np.array([composition(other.tokens(i)) for i in range(len(other))])
    anywhere = np.array(
        [composition(genome.tokens("t", at, at + LENGTH)) for at in range(0, 40_000, LENGTH)]
    )
    gap, _, _ = agreement(own, theirs)
    assert gap.gap < 0.1 < 0.25 < agreement(own, anywhere)[0].gap
    assert sorted(other.strand) == sorted([*found.strand, *found.strand])


def test_the_same_seed_draws_the_same_and_another_seed_another_grid(elements):
    found, taken, plan = elements
    starts = [
        match_elements(found, taken, plan, 1, seed).windows.start.tolist() for seed in (0, 0, 1)
    ]
    assert starts[0] == starts[1] != starts[2]


def test_too_small_a_genome_gives_fewer_and_no_window_twice(elements):
    found, taken, plan = elements
    other = match_elements(found, taken, plan, 50, seed=0)
    places = set(zip(other.windows.contig.tolist(), other.windows.start.tolist(), strict=True))
    assert len(places) == len(other) < 50 * len(found)


@given(
    wanted=arrays(np.float64, (7, 3), elements=st.integers(0, 4).map(lambda n: n / 4)),
    pool=arrays(np.float64, (40, 3), elements=st.integers(0, 4).map(lambda n: n / 4)),
    size=st.integers(1, 40),
)
def test_each_row_of_the_pool_is_used_once_and_an_only_wish_gets_the_nearest(wanted, pool, size):
    pool = pool[:size]
    rows = nearest(wanted, pool)
    used = rows[rows >= 0]
    assert len(set(used.tolist())) == len(used) == min(7, size)
    alone = nearest(wanted[:1], pool)[0]
    distance = np.square((pool - wanted[0]) * [1, 0.25, 1]).sum(1)
    assert distance[alone] == pytest.approx(distance.min())


def test_composition_counts_known_letters():
    assert composition(DNA.encode("GGccATNN")) == pytest.approx([4 / 6, 2 / 6, 2 / 8])
    assert composition(DNA.encode("NNNN")).tolist() == [0, 0, 1]


def test_agreement_is_the_largest_gap_of_two_distributions():
    a, b = np.zeros((4, 3)), np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], float)
    first, second, _ = agreement(a, b)
    assert (first.mean, first.other, first.gap, second.gap) == (0, 0.75, 0.75, 0)


def test_shuffles_keep_pairs_and_depend_on_the_place_alone(elements):
    found, _, _ = elements
    all_of_them = shuffle_elements(found, 2, seed=0)
    few = found.keep(np.arange(len(found)) >= 80, "x")
    for one, other in zip(all_of_them[160:], shuffle_elements(few, 2, seed=0), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(all_of_them[0], all_of_them[1])
    for row, tokens in enumerate(all_of_them):
        codes, own = tokens & 0x7F, found.tokens(row // 2) & 0x7F
        assert (
            np.bincount(codes[:-1] * 5 + codes[1:]).tolist()
            == np.bincount(own[:-1] * 5 + own[1:]).tolist()
        )


def test_rows_that_share_thirty_letters_with_a_later_split_are_found_on_either_strand():
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 4, 80).astype(np.uint8) for _ in range(8)]
    split = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    rows[0][10:40] = rows[6][50:80]  # 30 letters of a test row
    rows[1][10:39] = rows[6][50:79]  # 29 are not enough
    rows[1][[9, 39]] = (rows[6][[49, 79]] + 1) % 4
    rows[2][0:35] = DNA.reverse_complement(rows[4][5:40])  # the other strand of a validation row
    rows[5][20:70] = rows[7][20:70]
    rows[3][20:70] = rows[5][20:70]  # ... and so of a test row too
    rows[0][15] |= 0x80
    assert near_duplicates(rows, split).tolist() == [
        True,
        False,
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert not near_duplicates(rows, np.zeros(8, int)).any()
    rows[0][20] = DNA.n
    assert not near_duplicates(rows, split)[0]
