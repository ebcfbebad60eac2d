"""Sequence logos: letters as filled outlines, all of them one collection, so that 2,000 are as
quick as 20.

Arrays are (4, L), A C G T down, L letters along, as attributions are elsewhere ((N, 4, L) for a
batch); letters below zero hang upside down.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import BASES, INK, MUTED, axes, genomic_axis, set_title
from orchid_genomics.errors import InputError
from orchid_genomics.sequence import CODE, Interval

_PIECE = 256  # letters of one outline: long ones are slow to fill
_THIN = 600
_LEAST = 1e-3  # of the tallest: smaller letters are not drawn


def logo(
    scores: np.ndarray,
    interval: Interval | None = None,
    ax: Any = None,
    *,
    tokens: np.ndarray | None = None,
    unit: str = "attribution",
    title: str = "",
    limits: tuple[float, float] | None = None,
    name: bool = True,
) -> Any:
    """Scores as letters on the genomic axis of `interval`; every letter's height is its score.

    Cost: 0.1 s at 2,000 letters.

    Parameters
    ----------
    scores : numpy.ndarray
        (4, L), A C G T down, several letters of a position stacked; or (L,), of the letters of
        `tokens`.
    interval : Interval, optional
        Where the letters lie, 0-based half-open; positions 1 to L if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    tokens : numpy.ndarray, optional
        (L,), the letters that scores of (L,) belong to; N has no height.
    unit, title : str
        Words beside y and on top.
    limits : (float, float), optional
        Ends of y, for logos that are compared.
    name : bool
        Whether x bears its label and numbers.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.

    Raises
    ------
    InputError
        For scores of another shape.
    """
    scores = np.asarray(scores, float)
    if tokens is not None:
        scores = letter_scores(scores, tokens)
    if scores.ndim != 2 or scores.shape[0] != 4:
        raise InputError(
            "logo", f"scores of shape {scores.shape}", "(4, L), or (L,) with the tokens"
        )
    length = scores.shape[1]
    ax = axes(ax, (min(14.0, max(4.0, length / 9)), 1.9))
    x = genomic_axis(ax, interval, length, name)
    low, high = limits or reach(scores)
    _letters(ax, scores, x, -1 if x[0] > x[-1] else 1, (high - low) * _LEAST)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_ylim(low, high)
    ax.set_ylabel(unit, fontsize=9)
    ax.tick_params(axis="y", labelsize=8, color=MUTED)
    return set_title(ax, title)


def motif(matrix: np.ndarray, ax: Any = None, *, title: str = "", complement: bool = False) -> Any:
    """The logo of a motif, heights in bits.

    Parameters
    ----------
    matrix : numpy.ndarray
        (4, L) of counts or probabilities, A C G T down.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    title : str
        Words on top.
    complement : bool
        Whether the other strand is shown.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.
    """
    matrix = np.asarray(matrix, float)
    if complement:
        # A C G T backwards is T G C A, so turning the rows complements the letters.
        matrix = matrix[::-1, ::-1]
    ax = axes(ax, (max(2.2, matrix.shape[1] * 0.28), 1.4))
    logo(information(matrix), None, ax, unit="bits", title=title, limits=(0, 2))
    ax.set_yticks([0, 1, 2])
    ax.set_xlabel("")
    return ax


def information(matrix: np.ndarray) -> np.ndarray:
    """Heights in bits (4, L) of the letters of a motif, against equal letters.

    A column's height is 2 minus its entropy, shared by the letters as their probabilities
    (Schneider & Stephens 1990).

    Parameters
    ----------
    matrix : numpy.ndarray
        (4, L) of counts or probabilities.
    """
    p = np.asarray(matrix, float)
    p = p / np.maximum(p.sum(0), 1e-12)
    entropy = -(p * np.log2(np.maximum(p, 1e-12))).sum(0)
    return p * (2 - entropy)


def letter_scores(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Values (L,) of the letters of tokens (L,) as scores (4, L), zero elsewhere."""
    values, codes = np.asarray(values, float), np.asarray(tokens) & CODE
    if values.shape != codes.shape:
        raise InputError(
            "logo",
            f"values of shape {values.shape} for {codes.shape} letters",
            "one value a letter",
        )
    return np.where(codes == np.arange(4)[:, None], values, 0.0)


def reach(*scores: np.ndarray) -> tuple[float, float]:
    """Limits of y that hold the stacks of all of `scores` (4, L), with a little air."""
    high = max((np.clip(each, 0, None).sum(0).max(initial=0) for each in scores), default=0)
    low = min((np.clip(each, None, 0).sum(0).min(initial=0) for each in scores), default=0)
    # Scores that are all 0 need some height, too.
    room = (high - low) * 0.05 or 1.0
    return low - (room if low < 0 else 0), high + room


def _letters(ax: Any, scores: np.ndarray, x: np.ndarray, direction: int, least: float) -> None:
    """Add all letters as one collection; `direction` -1 draws them mirrored, for an axis that
    falls.
    """
    from matplotlib.collections import PathCollection

    paths, colours = [], []
    for sign in (1, -1):
        heights = np.clip(scores * sign, 0, None)
        for letter in range(4):
            height = heights[letter]
            # the tallest letter stands outermost, and of equal ones the later
            below = (heights < height) | ((heights == height) & (np.arange(4)[:, None] < letter))
            base = (heights * below).sum(0)
            kept = np.flatnonzero(height > least)
            for path in _outlines(
                "ACGT"[letter], x[kept], sign * base[kept], sign * height[kept], direction
            ):
                paths.append(path)
                colours.append(BASES[letter])
    thin = 0.3 if scores.shape[1] > _THIN else 0.0  # letters narrower than a dot would fade
    ax.add_collection(
        PathCollection(paths, facecolors=colours, edgecolors=colours, linewidths=thin),
        autolim=False,
    )


def _outlines(
    letter: str, x: np.ndarray, base: np.ndarray, height: np.ndarray, direction: int
) -> Iterator[Any]:
    """Compound outlines of one letter at many positions, `_PIECE` letters each."""
    from matplotlib.path import Path

    vertices, codes = _glyph(letter)
    for at in range(0, len(x), _PIECE):
        part = slice(at, at + _PIECE)
        size = np.stack([np.full(len(x[part]), 0.94 * direction), height[part]], -1)
        corner = np.stack([x[part], base[part]], -1)
        moved = (vertices - (0.5, 0)) * size[:, None] + corner[:, None]
        yield Path(moved.reshape(-1, 2), np.tile(codes, len(moved)))


@lru_cache
def _glyph(letter: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 2) in the unit square, and codes (n,), of a bold letter."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    path = TextPath(
        (0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    box = path.get_extents()
    # Every letter fills the square, so that height alone says how much it weighs.
    return (path.vertices - (box.x0, box.y0)) / (box.width, box.height), path.codes
