"""What every picture stands on: colours, axes, and genomic positions, which people expect 1-based
on an axis.

Inside, intervals are 0-based half-open as everywhere; letter p of a contig is drawn centred on p +
1. An interval on the "-" strand is drawn as it is read, 5' to 3' from left to right, so that
positions fall along the axis.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.sequence import Interval

INK, MUTED, FAINT, OURS, TRAIN = "#222222", "#8a8a8a", "#e9e6ea", "#7b2d8b", "#cdb3d4"
BASES = ("#109648", "#255c99", "#e69f00", "#c1341b")
"""A, C, G, T: green, blue, yellow and red as usual, in tones that differ in lightness as well."""
CLASSES = ("#7b2d8b", "#e69f00", "#0072b2", "#56b4e9", "#c1341b", "#109648", "#8a8a8a", "#222222")
"""Classes of elements, in order; told apart by colour-blind eyes."""
_KILO = 20_000  # letters from which an axis counts in kb


def axes(ax: Any, size: tuple[float, float]) -> Any:
    """The given axes, or new ones (inches) on a figure that no window system shows."""
    if ax is not None:
        return ax
    # Here, so that matplotlib is loaded only where something is drawn.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def stack_axes(ax: Any, width: float, heights: Sequence[float], gaps: Sequence[float]) -> list[Any]:
    """Axes one below the other in the place of `ax`, which is emptied.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        None: a new figure.
    width : float
        Inches of a new figure.
    heights, gaps : sequence of float
        Of the axes from the top, and between them: inches of a new figure, shares of a given `ax`.
    """
    total = sum(heights) + sum(gaps)
    if ax is None:
        ax = _fixed_axes(width, total)
    ax.set_axis_off()
    parts, top = [], total
    for height, gap in zip(heights, (*gaps, 0.0), strict=True):
        parts.append(ax.inset_axes((0, (top - height) / total, 1, height / total)))
        top -= height + gap
    return parts


def _fixed_axes(width: float, height: float) -> Any:
    """Axes with margins in inches that do not depend on what is drawn, so that the pictures of a
    page stand one below the other letter for letter.
    """
    from matplotlib.figure import Figure

    left, right, bottom, top = 0.8, 0.35, 0.5, 0.12
    whole = height + bottom + top
    box = (left / width, bottom / whole, (width - left - right) / width, height / whole)
    return Figure(figsize=(width, whole)).add_axes(box)


def genomic_axis(ax: Any, interval: Interval | None, length: int, name: bool = True) -> np.ndarray:
    """Make x a genomic axis and return the x of each letter (L,).

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Its x is changed.
    interval : Interval or None
        What x shows, 0-based half-open, drawn 1-based; positions 1 to `length` where None.
    length : int
        Letters drawn, L.
    name : bool
        Whether the axis bears its label and numbers; not for a track between others.

    Raises
    ------
    InputError
        For an interval of another length.
    """
    if interval is not None and len(interval) != length:
        raise InputError(
            interval,
            f"{length:,} letters to draw on {len(interval):,}",
            "values of the interval's length",
        )
    start = 0 if interval is None else interval.start
    backwards = interval is not None and interval.strand == "-"
    # Letter p is centred on p + 1, so its edges are half a letter away.
    edges = (start + 0.5, start + length + 0.5)
    ax.set_xlim(edges[::-1] if backwards else edges)
    ax.spines[["top", "right"]].set_visible(False)
    if name:
        number_axis(ax.xaxis, length)
        ax.set_xlabel(axis_label(interval, length), fontsize=9)
    else:
        ax.tick_params(labelbottom=False, length=0)
    x = np.arange(start + 1, start + length + 1)
    return x[::-1] if backwards else x


def number_axis(axis: Any, span: int) -> None:
    """Whole positions with thousands commas on a matplotlib axis; in kb where `span` letters are
    many.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    many = span > _KILO
    axis.set_major_locator(MaxNLocator(8 if many else 6, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x / 1000:,.0f}" if many else f"{x:,.0f}")
    )
    axis.set_tick_params(labelsize=8, color=MUTED)


def axis_label(interval: Interval | None, length: int) -> str:
    """What stands under a genomic axis: contig, unit, strand."""
    unit = "kb" if length > _KILO else "1-based"
    if interval is None:
        return f"position in the sequence ({unit})"
    strand = ", − strand, 5′ to 3′" if interval.strand == "-" else ""
    return f"{interval.contig} position ({unit}){strand}"


def set_title(ax: Any, title: str, pad: float = 6) -> Any:
    """A title on the left, `pad` points above."""
    if title:
        ax.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold", pad=pad)
    return ax


def save(ax: Any, path: str | Path) -> None:
    """Write the figure of `ax` as PNG, 150 dots an inch."""
    ax.figure.savefig(path, dpi=150, format="png")
