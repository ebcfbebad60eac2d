"""Maps, overviews and pictures of several parts: nothing lost, places right, on either strand."""

import numpy as np
import pytest

from orchid_genomics import draw
from orchid_genomics.errors import InputError
from orchid_genomics.sequence import DNA, Interval

PLACE = Interval("chr1", 1000, 1006)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_pair_of_a_map_lies_where_its_letters_lie(strand):
    values = np.zeros((6, 6))
    values[1, 4] = 7.0  # mutated letter 1 of the read sequence changes letter 4
    ax = draw.dependency(values, Interval("chr1", 1000, 1006, strand), tokens=DNA.encode("ACGTAC"))
    image = ax.images[0]
    row, column = np.argwhere(image.get_array().filled(0) == 7.0)[0]
    left, right, bottom, top = image.get_extent()
    x, y = left + (right - left) * (column + 0.5) / 6, top + (bottom - top) * (row + 0.5) / 6
    assert (round(x), round(y)) == ((1005, 1002) if strand == "+" else (1002, 1005))
    assert (ax.get_xlim()[0] < ax.get_xlim()[1]) == (strand == "+")


def test_the_diagonal_of_a_map_is_left_out():
    ax = draw.dependency(np.full((4, 4), 3.0) + 100 * np.eye(4))
    assert ax.images[0].get_array().max() == 3.0


def test_an_overview_keeps_every_peak():
    rng = np.random.default_rng(0)
    values = rng.normal(size=131_072) * 0.01
    values[[5, 70_001, 131_071]] = 3.0, -4.0, 5.0
    ax = draw.overview(values, Interval("chr1", 2_000, 133_072))
    high, low = (patch.get_data().values for patch in ax.patches)
    assert (high.max(), high[0], low.min()) == (5.0, 3.0, -4.0)
    assert high[-1] == 5.0
    assert ax.get_xlabel() == "chr1 position (kb)"
    assert ax.xaxis.get_major_formatter()(50_000) == "50"


def test_an_overview_of_the_other_strand_begins_at_the_far_end():
    values = np.zeros(100)
    values[0] = 2.0
    ax = draw.overview(values, Interval("chr1", 0, 100, "-"))
    stairs = ax.patches[0].get_data()
    assert stairs.edges[np.argmax(stairs.values)] == 99.5


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_zoom_shows_the_letters_of_its_part_and_its_tracks(strand):
    place, zoom = Interval("chr1", 100, 1100, strand), Interval("chr1", 300, 340)
    tokens = np.zeros(1000, np.uint8)
    values = np.zeros(1000)
    at = 305 - 100 if strand == "+" else 1100 - 1 - 305
    values[at] = 9.0
    genes = draw.Lane("genes", (Interval("chr1", 200, 900, "+", "ABC1"),), (), True)
    top = draw.closeup(values, tokens, place, zoom, [genes])
    parts = top.figure.axes[0].child_axes
    assert len(parts) == 4
    letters = parts[2].collections[0].get_paths()[0]
    assert letters.vertices[letters.codes != letters.CLOSEPOLY][:, 0].mean() == pytest.approx(
        306, abs=0.3
    )
    assert parts[2].get_ylim()[1] > 9
    top.figure.canvas.draw()


def test_a_zoom_outside_is_refused():
    with pytest.raises(
        InputError,
        match=r"^chr1:1-10: does not lie inside what is drawn; a part of chr1:1,001-1,006$",
    ):
        draw.closeup(np.zeros(6), np.zeros(6, np.uint8), PLACE, Interval("chr1", 0, 10))


def test_reference_and_alternate_share_one_scale():
    reference, alternate = np.zeros((4, 6)), np.zeros((4, 6))
    reference[0, 2], alternate[1, 2] = 1.0, 3.0
    upper = draw.logo_pair(
        reference, alternate, PLACE, Interval("chr1", 1002, 1003), names=("A", "C")
    )
    lower = upper.figure.axes[0].child_axes[1]
    assert upper.get_ylim() == lower.get_ylim()
    assert [text.get_text() for axis in (upper, lower) for text in axis.texts] == ["A", "C"]


def test_points_count_their_labels():
    ax = draw.points(np.zeros((5, 2)), ["b", "a", "a", "b", "b"], unit="component")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b (3)", "a (2)"]


def test_every_picture_takes_axes_and_draws_nowhere_else():
    from matplotlib.figure import Figure

    figure = Figure()
    given = figure.subplots(4, 2).ravel()
    zeros, tokens = np.ones(6), np.zeros(6, np.uint8)
    drawn = [
        draw.logo(zeros, PLACE, given[0], tokens=tokens),
        draw.motif(np.ones((4, 3)), given[1]),
        draw.dependency(np.ones((6, 6)), PLACE, given[2]),
        draw.overview(zeros, PLACE, given[3]),
        draw.closeup(zeros, tokens, PLACE, Interval("chr1", 1001, 1003), (), given[4]),
        draw.logo_pair(np.ones((4, 6)), np.ones((4, 6)), PLACE, PLACE, given[5]),
        draw.points(np.zeros((2, 2)), ["a", "b"], given[6]),
        draw.lane(draw.Lane("none", ()), PLACE, given[7]),
    ]
    assert all(ax.figure is figure for ax in drawn)
    figure.canvas.draw()
