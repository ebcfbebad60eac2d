"""Sets of letters against sets of Python integers."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.genome.regions import Regions, merge
from orchid_genomics.sequence import Interval

intervals = st.lists(
    st.builds(
        lambda contig, start, length: Interval(contig, start, start + length),
        st.sampled_from(["a", "b"]),
        st.integers(0, 60),
        st.integers(1, 15),
    ),
    max_size=12,
)


def covered(places, contig: str) -> set[int]:
    return {
        at for place in places if place.contig == contig for at in range(place.start, place.end)
    }


@given(intervals)
def test_merging_keeps_the_letters_and_leaves_gaps_between(places):
    merged = merge(places)
    for contig in "ab":
        mine = [place for place in merged if place.contig == contig]
        assert covered(mine, contig) == covered(places, contig)
        assert all(left.end < right.start for left, right in pairwise(mine))
    assert Regions.from_intervals(places).bases == sum(
        len(covered(places, contig)) for contig in "ab"
    )


@given(intervals, intervals)
def test_touching_is_sharing_a_letter(places, queries):
    found = Regions.from_intervals(places)
    for contig in "abc":
        mine = [Interval(contig, query.start, query.end) for query in queries]
        expected = [bool(covered([query], contig) & covered(places, contig)) for query in mine]
        touched = found.touches(
            contig, np.array([q.start for q in mine], int), np.array([q.end for q in mine], int)
        )
        assert touched.tolist() == expected


def test_no_intervals_touch_nothing():
    none = Regions.from_intervals([])
    assert none.bases == 0
    assert none.touches("a", np.array([0]), np.array([9])).tolist() == [False]


@given(intervals)
def test_a_set_as_intervals_is_the_set(intervals):
    region = Regions.from_intervals(intervals)
    again = Regions.from_intervals(region.intervals())
    assert again.bases == region.bases
    assert again.contigs.keys() == region.contigs.keys()
