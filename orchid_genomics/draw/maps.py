"""Maps of pairs of letters, and long regions with a zoom into them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import (
    BASES,
    CLASSES,
    FAINT,
    INK,
    MUTED,
    OURS,
    TRAIN,
    axes,
    axis_label,
    genomic_axis,
    number_axis,
    set_title,
    stack_axes,
)
from orchid_genomics.draw.lanes import Lane, lane, lane_height
from orchid_genomics.draw.logo import logo, reach
from orchid_genomics.errors import InputError
from orchid_genomics.sequence import CODE, DNA, Interval

WIDTH = 11.5
"""Inches of a picture that is as wide as a page."""
_BINS = 1600  # columns of an overview
_LETTERS = 90  # up to which a map writes its letters along the axes


def dependency(
    values: np.ndarray,
    interval: Interval | None = None,
    ax: Any = None,
    *,
    tokens: np.ndarray | None = None,
    unit: str = "change of log2 odds",
    title: str = "",
    top: float | None = None,
) -> Any:
    """A dependency map: row i says how each letter's prediction changes when letter i is mutated.

    Parameters
    ----------
    values : numpy.ndarray
        (L, L); the diagonal is left out.
    interval : Interval, optional
        Where the letters lie, 0-based half-open; positions 1 to L if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    tokens : numpy.ndarray, optional
        (L,); the letters of a short region stand along the axes.
    unit, title : str
        Words beside the colours and on top.
    top : float, optional
        Where colours end; the 99.5th percentile if not given, so that one pair does not bleach all
        others.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.

    Raises
    ------
    InputError
        For values that are no square.
    """
    # A copy, for its diagonal is overwritten.
    values = np.array(values, float)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise InputError("dependency map", f"values of shape {values.shape}", "a square, (L, L)")
    length = len(values)
    np.fill_diagonal(values, np.nan)
    ax = axes(ax, (5.4, 4.6))
    x = genomic_axis(ax, interval, length)
    edges = (min(x) - 0.5, max(x) + 0.5)
    # On the other strand both axes fall.
    if x[0] > x[-1]:
        values = values[::-1, ::-1]
    if top is None:
        top = colour_top(values)
    image = ax.imshow(
        values,
        extent=(*edges, *edges[::-1]),
        cmap=_purple(),
        vmin=0,
        # A map of zeros needs some range, too.
        vmax=top or 1.0,
        interpolation="nearest",
    )
    ax.set_xlim(*(edges if x[0] <= x[-1] else edges[::-1]))
    ax.set_ylim(*(edges[::-1] if x[0] <= x[-1] else edges))
    number_axis(ax.yaxis, length)
    ax.set(xlabel=f"predicted letter, {axis_label(interval, length)}", ylabel="mutated letter")
    ax.xaxis.label.set_size(9)
    ax.yaxis.label.set_size(9)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02, extend="max")
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    if tokens is not None and length <= _LETTERS:
        _write_letters(ax, np.asarray(tokens) & CODE, x)
    ax.spines[:].set_visible(False)
    # Above the letters, where there are any.
    return set_title(ax, title, pad=14 if tokens is not None and length <= _LETTERS else 6)


def colour_top(*maps: np.ndarray) -> float:
    """Where the colours of some maps end: the highest of their 99.5th percentiles off the
    diagonal.
    """
    tops = [0.0]
    for values in maps:
        others = values[~np.eye(len(values), dtype=bool)]
        if np.isfinite(others).any():
            tops.append(float(np.nanpercentile(others, 99.5)))
    return max(tops)


def _write_letters(ax: Any, codes: np.ndarray, x: np.ndarray) -> None:
    """The letters of a region along both axes of its map."""
    size = min(8.0, 360 / len(codes))
    for code, at in zip(codes, x, strict=True):
        style = {
            "fontsize": size,
            "color": BASES[code] if code < 4 else MUTED,
            "weight": "bold",
            "clip_on": False,
        }
        letter = DNA.decode(np.array([code], np.uint8))
        above, beside = ("data", "axes fraction"), ("axes fraction", "data")
        ax.annotate(letter, (at, 1), xycoords=above, ha="center", va="bottom", **style)
        ax.annotate(letter, (1.004, at), xycoords=beside, ha="left", va="center", **style)


def _purple() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    steps = ["#ffffff", "#e6d5ea", TRAIN, "#a566b3", OURS, "#3c1046"]
    return LinearSegmentedColormap.from_list("orchid", steps).with_extremes(
        bad=FAINT, over="#1c0522"
    )


def overview(
    values: np.ndarray,
    interval: Interval | None = None,
    ax: Any = None,
    *,
    zoom: Interval | None = None,
    unit: str = "attribution",
    title: str = "",
    name: bool = True,
) -> Any:
    """A long region's values as the highest and lowest of each column, so that no peak is lost.

    Cost: 10 ms at 131,072 letters.

    Parameters
    ----------
    values : numpy.ndarray
        (L,); NaN are gaps.
    interval : Interval, optional
        Where the letters lie, 0-based half-open; positions 1 to L if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    zoom : Interval, optional
        A part to mark.
    unit, title : str
        Words beside y and on top.
    name : bool
        Whether x bears its label and numbers.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.
    """
    values = np.asarray(values, float)
    length = len(values)
    ax = axes(ax, (9, 1.6))
    x = genomic_axis(ax, interval, length, name)
    if x[0] > x[-1]:
        values = values[::-1]
    starts = np.unique(np.linspace(0, length, min(_BINS, length), endpoint=False).astype(int))
    # fmax and fmin pass over NaN, which are gaps.
    high = np.fmax.reduceat(np.fmax(values, 0), starts)
    low = np.fmin.reduceat(np.fmin(values, 0), starts)
    edges = np.append(starts, length) + min(x) - 0.5
    if zoom is not None:
        ax.axvspan(zoom.start + 0.5, zoom.end + 0.5, color="#f3e3c0", lw=0, zorder=0)
    ax.stairs(high, edges, fill=True, color=OURS, lw=0)
    ax.stairs(low, edges, fill=True, color="#b08bb8", lw=0)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_ylabel(unit, fontsize=9)
    ax.tick_params(axis="y", labelsize=8, color=MUTED)
    return set_title(ax, title)


def closeup(
    values: np.ndarray,
    tokens: np.ndarray,
    interval: Interval,
    zoom: Interval,
    lanes: Sequence[Lane] = (),
    ax: Any = None,
    *,
    above: Sequence[Lane] = (),
    shaded: Sequence[Interval] = (),
    limits: tuple[float, float] | None = None,
    unit: str = "attribution",
    title: str = "",
) -> Any:
    """A long region, and below it the letters of a part of it, each with lanes of genes and
    elements.

    Parameters
    ----------
    values, tokens : ndarray
        (L,) over `interval`, which may be 131,072 letters.
    interval, zoom : Interval
        The region, and the part of it that is shown in letters.
    lanes, above : sequence of Lane
        What stands below both pictures, and above the letters.
    ax : Axes, optional
        Axes in whose place both are drawn.
    shaded : sequence of Interval
        Letters to draw on grey.
    limits : (float, float), optional
        Ends of y, for pictures that are compared.
    unit, title : str
        Words beside y and on top.
    """
    if zoom.contig != interval.contig or zoom.start < interval.start or zoom.end > interval.end:
        raise InputError(zoom, "does not lie inside what is drawn", f"a part of {interval}")
    zoom = Interval(zoom.contig, zoom.start, zoom.end, interval.strand, zoom.name)
    part = slice(zoom.start - interval.start, zoom.end - interval.start)
    if interval.strand == "-":
        part = slice(interval.end - zoom.end, interval.end - zoom.start)
    upper, between = _heights(1.1, interval, lanes)
    lower, gaps = _heights(1.4, zoom, lanes, above)
    parts = stack_axes(ax, WIDTH, [*upper, *lower], [*between, 0.62, *gaps])
    whole, letters = parts[: len(upper)], parts[len(upper) :]
    overview(values, interval, whole[0], zoom=zoom, unit=unit, title=title, name=not lanes)
    whole[0].set_ylim(limits)
    shade(whole[0], shaded)
    for number, content in enumerate(lanes, 1):
        lane(content, interval, whole[number], name=number == len(lanes))
    _draw_letters(
        values[part],
        tokens[part],
        zoom,
        letters,
        lanes=lanes,
        above=above,
        shaded=shaded,
        limits=limits,
        unit=unit,
    )
    _draw_zoom_lines(whole[-1], letters[0], zoom)
    return parts[0]


def letters(
    values: np.ndarray,
    tokens: np.ndarray,
    interval: Interval,
    lanes: Sequence[Lane] = (),
    *,
    above: Sequence[Lane] = (),
    shaded: Sequence[Interval] = (),
    limits: tuple[float, float] | None = None,
    unit: str = "attribution",
) -> Any:
    """The letters of a short region with lanes below and above; the arguments are those of
    `closeup`.
    """
    parts = stack_axes(None, WIDTH, *_heights(1.4, interval, lanes, above))
    _draw_letters(
        values,
        tokens,
        interval,
        parts,
        lanes=lanes,
        above=above,
        shaded=shaded,
        limits=limits,
        unit=unit,
    )
    return parts[0]


def shade(ax: Any, intervals: Sequence[Interval]) -> None:
    """Grey behind some letters of a genomic axis."""
    low, high = sorted(ax.get_xlim())
    for each in intervals:
        start, end = max(each.start + 0.5, low), min(each.end + 0.5, high)
        if start < end:
            ax.axvspan(start, end, color=FAINT, lw=0, zorder=-1)


def _heights(
    main: float, interval: Interval, lanes: Sequence[Lane], above: Sequence[Lane] = ()
) -> tuple[list[float], list[float]]:
    """Inches of a picture and its lanes from the top, and of the gaps between them."""
    upper = [lane_height(content, interval) for content in above]
    lower = [lane_height(content, interval) for content in lanes]
    return [*upper, main, *lower], [0.08] * (len(upper) + len(lower))


def _draw_letters(
    values: np.ndarray,
    tokens: np.ndarray,
    interval: Interval,
    parts: Sequence[Any],
    *,
    lanes: Sequence[Lane],
    above: Sequence[Lane],
    shaded: Sequence[Interval],
    limits: tuple[float, float] | None,
    unit: str,
) -> None:
    """The logo among its lanes; the last of all bears the positions."""
    contents = [*above, None, *lanes]
    for number, (content, ax) in enumerate(zip(contents, parts, strict=True), 1):
        name = number == len(contents)
        if content is None:
            logo(values, interval, ax, tokens=tokens, unit=unit, limits=limits, name=name)
            shade(ax, shaded)
        else:
            lane(content, interval, ax, name=name)


def _draw_zoom_lines(upper: Any, lower: Any, zoom: Interval) -> None:
    """Thin lines from the part shown in letters above to the whole width below."""
    from matplotlib.patches import ConnectionPatch

    ends = (zoom.start + 0.5, zoom.end + 0.5)
    for x, corner in zip(ends if zoom.strand != "-" else ends[::-1], (0, 1), strict=True):
        line = ConnectionPatch(
            (x, 0),
            (corner, 1),
            upper.get_xaxis_transform(),
            lower.transAxes,
            color="#d9b45b",
            lw=0.7,
            zorder=0,
        )
        line.set_in_layout(False)
        upper.figure.add_artist(line)


def logo_pair(
    reference: np.ndarray,
    alternate: np.ndarray,
    interval: Interval,
    changed: Interval,
    ax: Any = None,
    *,
    unit: str = "attribution",
    names: tuple[str, str] = ("reference", "alternate"),
    title: str = "",
) -> Any:
    """Two logos of one interval on one scale, reference above alternate.

    Parameters
    ----------
    reference, alternate : numpy.ndarray
        (4, L), A C G T down.
    interval, changed : Interval
        Where the letters lie, and those of them to mark; 0-based half-open.
    ax : matplotlib.axes.Axes, optional
        Axes in whose place both are drawn.
    unit, title : str
        Words beside y and on top.
    names : (str, str)
        What to call the two.

    Returns
    -------
    matplotlib.axes.Axes
        The upper axes; `canvas.save` writes them.
    """
    reference, alternate = np.asarray(reference, float), np.asarray(alternate, float)
    limits = reach(reference, alternate)
    upper, lower = stack_axes(ax, min(14.0, max(5.0, len(interval) / 9)), (1.2, 1.2), (0.25,))
    for axis, scores, label in ((upper, reference, names[0]), (lower, alternate, names[1])):
        logo(scores, interval, axis, unit=unit, limits=limits, name=axis is lower)
        axis.axvspan(changed.start + 0.5, changed.end + 0.5, color="#f3e3c0", lw=0, zorder=0)
        axis.annotate(
            label, (0.004, 0.97), xycoords="axes fraction", fontsize=8, color=MUTED, va="top"
        )
    set_title(upper, title)
    return upper


def points(
    values: np.ndarray, labels: Sequence[str], ax: Any = None, *, title: str = "", unit: str = ""
) -> Any:
    """Elements as points, a colour for each of their labels, the commonest first.

    Parameters
    ----------
    values : numpy.ndarray
        (N, 2).
    labels : sequence of str
        One an element.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    title, unit : str
        Words on top, and what the two axes count.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.
    """
    values = np.asarray(values, float)
    label_N = np.asarray(labels, str)
    ax = axes(ax, (5, 4.2))
    kinds, counts = np.unique(label_N, return_counts=True)
    # Stable, so that kinds that are as common keep their colours.
    for number, kind in enumerate(kinds[np.argsort(-counts, kind="stable")]):
        chosen = label_N == kind
        colour = CLASSES[min(number, len(CLASSES) - 1)]
        x, y = values[chosen].T
        ax.scatter(x, y, s=9, color=colour, alpha=0.65, lw=0, label=f"{kind} ({chosen.sum():,})")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, color=MUTED)
    ax.set(xlabel=f"{unit} 1".strip(), ylabel=f"{unit} 2".strip())
    ax.legend(frameon=False, fontsize=8, markerscale=1.6)
    return set_title(ax, title)
