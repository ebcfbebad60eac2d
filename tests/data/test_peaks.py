"""Windows around peaks: the summit stands at letter length // 2 as read, on either strand; splits
are whole.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.data.peaks import SplitPlan, centre_on_peaks, without
from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import Bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import DNA, Interval

SIZE = 400


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Genome:
    """Contigs a and b; b is the other strand of a."""
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    letters = bytes(np.random.default_rng(0).choice(list(b"ACGT"), SIZE).tolist()).decode()
    other = DNA.decode(DNA.reverse_complement(DNA.encode(letters)))
    path.write_text(f">a\n{letters}\n>b\n{other}\n>gap\n{'N' * SIZE}\n")
    return Genome(path)


def bed(*places: Interval, summits: list[int] | None = None) -> Bed:
    columns = [
        ("n", "0", p.strand, "1", "1", "1", str(s))
        for p, s in zip(places, summits or [], strict=False)
    ]
    return Bed("peaks.bed", places, tuple(columns) or tuple(() for _ in places))


@given(
    start=st.integers(0, SIZE - 1),
    size=st.integers(1, 60),
    length=st.integers(30, 90),
    offset=st.one_of(st.none(), st.integers(0, 59)),
)
def test_mirroring_the_genome_mirrors_the_windows(genome, start, size, length, offset):
    end = min(start + size, SIZE)
    summits = None if offset is None else [min(offset, end - start - 1)]
    here = centre_on_peaks(bed(Interval("a", start, end, "+"), summits=summits), genome, length)
    mirrored = None if summits is None else [end - start - 1 - summits[0]]
    there = centre_on_peaks(
        bed(Interval("b", SIZE - end, SIZE - start, "-"), summits=mirrored), genome, length
    )
    np.testing.assert_array_equal(here.tokens(0), there.tokens(0))
    middle = start + (summits[0] if summits else (end - start) // 2)
    assert here.tokens(0)[length // 2] == genome.tokens("a", middle, middle + 1)[0]


def test_each_peak_is_centred_on_its_summit_or_its_middle(genome):
    narrow = ("n", "0", ".", "1", "1", "1")
    peaks = Bed(
        "peaks.bed",
        (Interval("a", 100, 160), Interval("a", 200, 260), Interval("a", 300, 320)),
        ((*narrow, "3"), (*narrow, "-1"), ("n",)),
    )
    assert (centre_on_peaks(peaks, genome, 40).windows.start + 20).tolist() == [103, 230, 310]


def test_every_peak_is_kept_or_counted(genome):
    peaks = bed(
        Interval("a", 0, 10), Interval("a", 390, 400), Interval("a", 0, 10),
        Interval("gap", 50, 60),
        Interval("a", 200, 210, "+"), Interval("a", 200, 210, "-"), Interval("b", 100, 110),
    )  # fmt: skip
    found = centre_on_peaks(peaks, genome, 60)
    assert found.dropped == {"the same window as another peak": 1, "no known letter": 1}
    assert found.overhanging == 2
    found = without(found, [Interval("b", 90, 91)])
    assert found.dropped["touches an excluded place"] == 1
    assert len(found) + sum(found.dropped.values()) == len(peaks)
    assert DNA.decode(found.tokens(0)).startswith("N" * 25)


def test_splits_are_whole_contigs_or_stretches_and_borders_are_counted(genome):
    peaks = bed(*(Interval("a", at, at + 2) for at in range(0, 400, 50)), Interval("b", 10, 12))
    found = SplitPlan.parse(genome, "b", "a:201-400").into(centre_on_peaks(peaks, genome, 40))
    by_start = dict(zip(found.windows.start[:-1].tolist(), found.split[:-1].tolist(), strict=True))
    assert by_start == {-19: 0, 31: 0, 81: 0, 131: 0, 231: 2, 281: 2, 331: 2}
    assert found.split[-1] == 1
    assert found.dropped == {"reaches over a border between splits": 1}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        ("c", "", "validation: unknown contig 'c'; possible: a, b, gap"),
        (
            "",
            "a:0-9",
            r"test: 'a:0-9' is no stretch of a \(400 letters\); "
            "a contig, or CONTIG:FIRST-LAST, 1-based",
        ),
        ("", "a:9-401", "is no stretch"),
        ("a:1-200", "a:200-300", r"a:1-200 \(1-based\) is in `test` too"),
    ],
)
def test_a_split_that_does_not_fit_is_one_line(genome, validation, test, message):
    with pytest.raises(InputError, match=message):
        SplitPlan.parse(genome, validation, test)
