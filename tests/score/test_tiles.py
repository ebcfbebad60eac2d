"""Tiles: every letter in one of them, counted from the first letter of a contig that has ends, and
from the landmark of a circular one.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import random_letters, write_genome

from orchid_genomics.genome.circular import landmark, mark_circular
from orchid_genomics.score.tiles import Tiles
from orchid_genomics.sequence import Interval

SIZES = {"line": 100, "circle": 90}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    contigs = {name: random_letters(size, size) for name, size in SIZES.items()}
    genome = write_genome(tmp_path_factory.mktemp("tiles") / "g.fa", contigs)
    mark_circular(genome, ["circle"], "circular")
    return genome


@given(
    contig=st.sampled_from(sorted(SIZES)),
    core=st.integers(1, 120),
    start=st.integers(0, 89),
    length=st.integers(1, 100),
)
@settings(max_examples=80, deadline=None)
def test_pieces_are_the_letters_of_a_stretch_each_in_its_tile(genome, contig, core, start, length):
    tiles = Tiles(genome, core)
    stretch = Interval(contig, start, min(start + length, SIZES[contig]))
    pieces = list(tiles.pieces(stretch))
    assert len(pieces) == tiles.count(stretch)
    letters = [letter for piece in pieces for letter in range(*_ends(piece.interval))]
    assert letters == list(range(*_ends(stretch)))
    for piece in pieces:
        tile = tiles.interval(contig, piece.tile)
        first = tile.start + piece.offset
        assert first % SIZES[contig] == piece.interval.start
        assert piece.offset + len(piece.interval) <= len(tile) <= core
        assert tiles.find(contig, piece.interval.start) == (piece.tile, piece.offset)


def test_counting_begins_at_the_first_letter_or_at_the_landmark(genome):
    tiles = Tiles(genome, 40)
    assert tiles.interval("line", 2) == Interval("line", 80, 100)
    begin = landmark(genome, "circle")
    assert tiles.find("circle", begin) == (0, 0)
    assert tiles.find("circle", begin - 1) == (2, 9)


def test_a_circular_contig_that_fits_is_one_tile(genome):
    tiles = Tiles(genome, 40, whole=90)
    assert tiles.size("circle") == 90
    assert tiles.size("line") == 40
    assert len(tiles.interval("circle", 0)) == 90
    assert Tiles(genome, 40, whole=89).size("circle") == 40


def _ends(interval):
    return interval.start, interval.end
