"""Windows: every letter is read once, edges are N, case survives, and what is dropped is
counted.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchid_genomics.data import windows as windows_module
from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import DNA, Interval

CONTIGS = {"one": "ACGTacgtNN" * 13 + "ACG", "two": "GATTACA", "three": "acgtn" * 20}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("windows") / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in CONTIGS.items()))
    return Genome(path)


@given(length=st.integers(1, 150))
@settings(max_examples=40, deadline=None)
def test_tiles_read_every_letter_once_and_hang_over_as_n(genome, length):
    windows = Windows.tiles(genome, CONTIGS, length)
    for name, letters in CONTIGS.items():
        rows = [i for i in range(len(windows)) if windows.interval(i).contig == name]
        text = "".join(DNA.decode(windows[i]) for i in rows)
        assert text[: len(letters)] == letters
        assert set(text[len(letters) :]) <= {"N"}
        assert "".join(DNA.decode(windows[i][windows.own(i)]) for i in rows) == letters
    assert windows.overhang == len(windows) * length - sum(map(len, CONTIGS.values()))


@given(length=st.integers(1, 150), stride=st.integers(1, 80))
@settings(max_examples=40, deadline=None)
def test_tiles_inside_stay_inside_and_reach_the_end(genome, length, stride):
    windows = Windows.tiles(genome, ["one"], length, stride, inside=True)
    size = genome.contigs["one"]
    assert len(set(windows.start.tolist())) == len(windows)
    assert windows.start.min() == 0
    assert windows.start.max() == max(0, size - length)
    assert windows.overhang == max(0, length - size)


def test_a_short_region_is_extended_around_its_centre_and_a_long_one_is_tiled(genome):
    regions = [Interval("one", 50, 60), Interval("one", 10, 75), Interval("two", 0, 3)]
    windows = Windows.around(genome, regions, 30)
    places = [windows.interval(i) for i in range(len(windows))]
    assert places[0] == regions[0].resize(30)
    assert [(place.start, place.end) for place in places[1:4]] == [(10, 40), (40, 70), (70, 100)]
    assert (places[4].start, places[4].end) == (-14, 16)
    owned = [
        (place.start + windows.own(i).start, place.start + windows.own(i).stop)
        for i, place in enumerate(places)
    ]
    assert owned == [(50, 60), (10, 40), (40, 70), (70, 75), (0, 3)]


def test_a_window_moved_and_turned_is_the_genome_there(genome):
    windows = Windows.tiles(genome, ["one"], 10)
    assert DNA.decode(windows.tokens(2, shift=3)) == CONTIGS["one"][23:33]
    assert np.array_equal(windows.tokens(2, 3, "-"), DNA.reverse_complement(windows.tokens(2, 3)))
    assert DNA.decode(windows.tokens(0, shift=-4)) == "NNNN" + CONTIGS["one"][:6]


def test_lower_case_counts_as_acgt_and_drops_are_counted(genome):
    windows = Windows.tiles(genome, ["three", "two"], 50)
    assert windows.composition().tolist() == [[40, 40, 7], [40, 40, 0]]
    kept = windows.mostly_acgt(0.8)
    assert len(kept) == 2
    assert kept.dropped == {"under 80 % ACGT": 1}
    assert kept.mostly_acgt(0.81).dropped == {"under 80 % ACGT": 1, "under 81 % ACGT": 2}
    assert windows.dropped == {}


@given(length=st.integers(1, 60), block=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_composition_is_the_count_of_each_window_whatever_the_blocks(genome, length, block, seed):
    rng = np.random.default_rng(seed)
    contig = rng.integers(0, 3, 12)
    start = rng.integers(-length, np.array(list(genome.contigs.values()))[contig] + length)
    windows = Windows(genome, contig, start, length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows_module, "_BLOCK", block)
        counted = windows.composition()
    texts = [DNA.decode(windows[i]) for i in range(12)]
    assert counted[0].tolist() == [sum(letter in "ACGTacgt" for letter in text) for text in texts]
    assert counted[1].tolist() == [sum(letter in "acgt" for letter in text) for text in texts]


def test_without_drops_what_would_touch_after_a_move(genome):
    windows = Windows.tiles(genome, ["one"], 20)
    places = Regions.from_intervals([Interval("one", 45, 50)])
    assert windows.without(places).start.tolist() == [0, 20, 60, 80, 100, 120]
    kept = windows.without(places, jitter=10, reason="held")
    assert kept.start.tolist() == [0, 60, 80, 100, 120]
    assert kept.dropped == {"held": 2}
    assert windows.without(places, jitter=11).start.tolist() == [0, 80, 100, 120]


def test_choosing_contigs_counts_the_rest(genome):
    windows = Windows.tiles(genome, CONTIGS, 50).on(["two"])
    assert [str(windows.interval(i).contig) for i in range(len(windows))] == ["two"]
    assert windows.dropped == {"other contigs": 5}


def test_a_window_of_no_letters_is_refused(genome):
    with pytest.raises(InputError, match="length: 0 is no window length"):
        Windows.tiles(genome, ["one"], 0, stride=1)


def test_three_million_windows_are_arrays_not_objects():
    class Large:
        contigs = {f"chr{i}": 150_000_000 for i in range(20)}  # noqa: RUF012
        circular: frozenset = frozenset()

    windows = Windows.tiles(Large(), Large.contigs, 1_000)
    places = Regions.from_intervals([Interval("chr3", 0, 75_000_000)])
    kept = windows.without(places, 500)
    assert (len(windows), len(kept)) == (3_000_000, 3_000_000 - 75_001)


@given(length=st.integers(1, 110), start=st.lists(st.integers(-40, 120), max_size=8))
@settings(max_examples=60, deadline=None)
def test_windows_of_a_circular_contig_go_on_at_its_origin(length, start, genome):
    """Letters, what is counted of them, and what they touch; a longer window has N as before."""
    letters = CONTIGS["one"]
    round_it = Genome(genome.path)
    round_it.circular = frozenset(["one"])
    windows = Windows(round_it, np.zeros(len(start)), np.array(start, np.int64), length)
    size, held = len(letters), np.zeros(len(letters), bool)
    held[3:9] = True
    held[130:] = True
    places = Regions.from_intervals([Interval("one", 3, 9), Interval("one", 130, size)])
    untouched = []
    for row, first in enumerate(start):
        at = np.arange(first, first + length) % size
        assert DNA.decode(windows[row]).upper() == "".join(letters[i] for i in at).upper()
        known = [letters[i] in "ACGTacgt" for i in at]
        soft = [letters[i] in "acgt" for i in at]
        assert windows.composition()[:, row].tolist() == [sum(known), sum(soft)]
        wide = np.arange(first - 2, first + length + 2) % size
        untouched += [] if held[wide].any() else [first]
    assert windows.overhang == 0
    assert windows.without(places, 2).start.tolist() == untouched
    assert Windows.tiles(round_it, ["one"], size + 1).overhang == 1
