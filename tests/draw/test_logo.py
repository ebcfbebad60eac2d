"""Logos: every letter where it belongs, as tall as its score, from left to right as the strand is
read.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from orchid_genomics import draw
from orchid_genomics.draw.canvas import BASES
from orchid_genomics.errors import InputError
from orchid_genomics.sequence import DNA, Interval

PLACE = Interval("chr1", 100, 104)


def boxes(ax) -> list[tuple[str, float, float, float]]:
    """The letters of a logo: which, centre, bottom and top of each, left to right."""
    from matplotlib.colors import to_hex

    (collection,) = ax.collections
    found = []
    for path, colour in zip(collection.get_paths(), collection.get_facecolors(), strict=True):
        letter = "ACGT"[BASES.index(to_hex(colour))]
        outlines = (path.codes == path.CLOSEPOLY).sum() // (
            2 if letter == "A" else 1
        )  # an A has a hole
        for vertices, codes in zip(
            np.split(path.vertices, outlines), np.split(path.codes, outlines), strict=True
        ):
            drawn = vertices[codes != path.CLOSEPOLY]  # the closing point may lie anywhere
            found.append((letter, drawn[:, 0].mean(), drawn[:, 1].min(), drawn[:, 1].max()))
    return sorted(found, key=lambda each: each[1])


def test_a_letter_stands_on_its_1_based_position_as_tall_as_its_score():
    ax = draw.logo(np.array([2.0, 0.0, -1.0, 0.5]), PLACE, tokens=DNA.encode("TGTT"))
    letters = boxes(ax)
    assert [letter for letter, *_ in letters] == ["T", "T", "T"]
    np.testing.assert_allclose([round(x) for _, x, *_ in letters], [101, 103, 104])
    np.testing.assert_allclose(
        [(low, high) for *_, low, high in letters], [(0, 2), (-1, 0), (0, 0.5)], atol=1e-9
    )


def test_the_other_strand_reads_from_left_to_right_with_falling_positions():
    ax = draw.logo(
        np.array([1.0, 2.0, 3.0, 4.0]), Interval("chr1", 100, 104, "-"), tokens=DNA.encode("TTTT")
    )
    assert ax.get_xlim() == (104.5, 100.5)
    tops = [high for *_, high in boxes(ax)]
    np.testing.assert_allclose(tops, [4, 3, 2, 1])
    assert "− strand" in ax.get_xlabel()


@given(arrays.arrays(float, (4, 7), elements=st.floats(-3, 3)))
def test_stacks_of_letters_reach_the_sums_of_their_positive_and_negative_scores(scores):
    low, high = draw.logo(scores).get_ylim()
    assert low <= np.clip(scores, None, 0).sum(0).min()
    assert high >= np.clip(scores, 0, None).sum(0).max()


def test_the_likelier_letter_stands_on_top():
    letters = boxes(draw.logo(np.array([[0.2], [0.0], [0.0], [0.7]])))
    assert {
        (letter, round(low, 6), round(high, 6)) for letter, _, low, high in letters if letter == "T"
    } == {("T", 0.2, 0.9)}


def test_n_has_no_letter_and_lower_case_has():
    ax = draw.logo(np.ones(4), PLACE, tokens=DNA.encode("NtNt"))
    assert [round(x) for _, x, *_ in boxes(ax)] == [102, 104]


def test_two_thousand_letters_are_one_collection_of_few_outlines():
    rng = np.random.default_rng(0)
    ax = draw.logo(rng.normal(size=2000), tokens=rng.integers(0, 4, 2000))
    assert len(ax.collections) == 1
    assert len(ax.collections[0].get_paths()) < 20
    ax.figure.canvas.draw()


def test_information_is_two_bits_for_one_letter_and_none_for_four_alike():
    bits = draw.information(np.array([[1, 0.25, 3], [0, 0.25, 1], [0, 0.25, 0], [0, 0.25, 0]]))
    np.testing.assert_allclose(bits[:, :2].sum(0), [2, 0], atol=1e-9)
    assert bits[0, 2] == pytest.approx(0.75 * (2 + 0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))


def test_a_motif_is_drawn_in_bits_and_its_complement_turned_round():
    matrix = np.array([[9, 1, 1], [1, 9, 1], [0, 0, 1], [0, 0, 1]])
    assert draw.motif(matrix).get_ylabel() == "bits"
    forward, backward = boxes(draw.motif(matrix)), boxes(draw.motif(matrix, complement=True))
    pairs = str.maketrans("ACGT", "TGCA")
    turned = {
        (letter.translate(pairs), 4 - round(x), round(high - low, 6))
        for letter, x, low, high in backward
    }
    assert turned == {(letter, round(x), round(high - low, 6)) for letter, x, low, high in forward}


@pytest.mark.parametrize(
    ("scores", "tokens", "message"),
    [
        (
            np.ones((3, 5)),
            None,
            r"^logo: scores of shape \(3, 5\); \(4, L\), or \(L,\) with the tokens$",
        ),
        (
            np.ones(5),
            np.zeros(4, np.uint8),
            r"^logo: values of shape \(5,\) for \(4,\) letters; one value a letter$",
        ),
    ],
)
def test_wrong_shapes_are_one_clear_line(scores, tokens, message):
    with pytest.raises(InputError, match=message):
        draw.logo(scores, tokens=tokens)


def test_values_must_fit_the_place():
    with pytest.raises(InputError, match=r"^chr1:101-104: 5 letters to draw on 4"):
        draw.logo(np.ones((4, 5)), PLACE)
