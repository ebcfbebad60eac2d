import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.errors import InputError
from orchid_genomics.sequence import Interval

places = st.builds(
    lambda contig, start, length: Interval(contig, start, start + length),
    st.sampled_from(["a", "b"]),
    st.integers(-20, 50),
    st.integers(1, 30),
)


@given(places, places)
def test_overlap_is_sharing_a_letter(one, other):
    shared = one.contig == other.contig and set(range(one.start, one.end)) & set(
        range(other.start, other.end)
    )
    assert one.overlaps(other) == other.overlaps(one) == bool(shared)


@given(places, st.integers(1, 100))
def test_resizing_gives_the_length_and_keeps_the_centre(place, length):
    resized = place.resize(length)
    assert len(resized) == length
    assert abs((resized.start + resized.end) - (place.start + place.end)) <= 2


def test_resizing_to_its_own_length_changes_nothing():
    place = Interval("a", 3, 8, "-", "x")
    assert place.resize(5) == place


def test_people_read_one_based_places():
    assert str(Interval("chr1", 999, 2000, "-")) == "chr1:1,000-2,000(-)"
    assert str(Interval("chr1", 0, 1)) == "chr1:1-1"


def test_an_empty_interval_is_refused_in_one_line_that_survives_pickling():
    with pytest.raises(InputError, match="start 5 is not below end 5; 0-based half-open") as caught:
        Interval("chr1", 5, 5)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
