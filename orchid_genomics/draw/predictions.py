"""How good predictions are: learning curves, ROC, precision and recall, calibration, confusion.

The trap: a curve of thousands of rows is thousands of corners, so lines are thinned to what the eye
can tell apart; scores are computed before, from all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import CLASSES, FAINT, INK, MUTED, OURS, axes, set_title

SIZE = (3.75, 3.1)  # inches of one picture: three side by side on a screen, one on a telephone
_CORNERS = 400  # of a line
_DOTS = 1600
_LABELS = 8  # curves that get a colour and a name of their own
_NAME = 26  # letters of a name in a legend


@dataclass(frozen=True)
class Line:
    """A named line: x and y (N,). Lines of one name share a colour and one entry of the legend."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Learned:
    """What was scored after learning from fewer and from more rows."""

    name: str
    points: Sequence[tuple[int, float, float, float]]
    """Training rows, the score, and the ends of its interval (NaN where there is none)."""


@dataclass(frozen=True)
class Prediction:
    """What was predicted for rows, and which of them are positive."""

    name: str
    score: np.ndarray
    """Probabilities (N,)."""
    positive: np.ndarray
    """(N,) bool, of which some are true and some false."""


def lines(
    title: str,
    curves: Sequence[Line],
    labels: tuple[str, str],
    dots: bool = False,
    ax: Any = None,
) -> Any:
    """Lines on two axes, a colour a name; with `dots` where they were measured.

    Parameters
    ----------
    title : str
        What is shown.
    curves : sequence of Line
        Empty ones are left out.
    labels : tuple of str
        What x and y are.
    dots : bool
        Whether points are marked.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = axes(ax, SIZE)
    names = list(dict.fromkeys(line.name for line in curves))
    many = len(names) > _LABELS
    for line in curves:
        x, y = _thin(np.asarray(line.x, float), np.asarray(line.y, float), _CORNERS)
        number = names.index(line.name)
        colour = OURS if many else CLASSES[number]
        first = next(each for each in curves if each.name == line.name) is line
        label = _short(line.name) if first and line.name and not many else None
        marker = {"marker": "o", "markersize": 3.5} if dots else {}
        ax.plot(x, y, color=colour, lw=1.4, alpha=0.35 if many else 1, label=label, **marker)
    if many:
        ax.plot([], [], color=OURS, lw=1.4, label=f"{len(names)} labels, a line each")
    _finish(ax, title, labels)
    if len(names) > 1:
        ax.legend(frameon=False, fontsize=7.5)
    return ax


def roc(predictions: Sequence[Prediction], ax: Any = None) -> Any:
    """True against false positives at every threshold; the diagonal is chance."""
    ax = axes(ax, SIZE)
    _diagonal(ax, (0, 1))
    curves = [Line(each.name, *roc_curve(each.score, each.positive)) for each in predictions]
    lines("ROC", curves, ("false positives, share", "true positives, share"), ax=ax)
    _unit_square(ax)
    return ax


def precision_recall(predictions: Sequence[Prediction], ax: Any = None) -> Any:
    """Precision against recall at every threshold."""
    curves = []
    for each in predictions:
        curves.append(Line(each.name, *precision_recall_curve(each.score, each.positive)))
    ax = lines("Precision and recall", curves, ("recall", "precision"), ax=ax)
    _unit_square(ax)
    return ax


def calibration(predictions: Sequence[Prediction], ax: Any = None) -> Any:
    """The share that is positive against the predicted probability, in bins of equal size."""
    ax = axes(ax, SIZE)
    _diagonal(ax, (0, 1))
    curves = [Line(each.name, *reliability(each.score, each.positive)) for each in predictions]
    lines("Calibration", curves, ("predicted probability", "share that is positive"), True, ax)
    _unit_square(ax)
    return ax


def label_efficiency(curves: Sequence[Learned], score: str, ax: Any = None) -> Any:
    """A score against the training rows, with its intervals; rows on a logarithmic axis.

    Parameters
    ----------
    curves : sequence of Learned
        The first is the model's, and is drawn boldest.
    score : str
        What is scored.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = axes(ax, (2 * SIZE[0], 1.2 * SIZE[1]))
    for number, curve in enumerate(curves):
        rows, value, low, high = np.array(curve.points, float).reshape(-1, 4).T
        # Side by side, for intervals on one spot hide each other.
        rows = rows * 1.03 ** (number - len(curves) / 2)
        below = np.nan_to_num(value - low)
        above = np.nan_to_num(high - value)
        ax.errorbar(
            rows,
            value,
            yerr=(below, above),
            color=CLASSES[number % len(CLASSES)],
            ls="--" if number >= len(CLASSES) else "-",
            lw=2 if number == 0 else 1.1,
            elinewidth=0.8,
            marker="o",
            ms=4,
            label=_short(curve.name),
        )
    ax.set_xscale("log")
    counts = sorted({point[0] for curve in curves for point in curve.points})
    ax.set_xticks(counts, [f"{count:,}" for count in counts])
    ax.minorticks_off()
    _finish(ax, "Label efficiency", ("training rows", score))
    ax.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def confusion(title: str, table: np.ndarray, labels: Sequence[str], ax: Any = None) -> Any:
    """Rows by actual class, down, and called class, across; shades are shares of an actual class.

    Parameters
    ----------
    title : str
        Whose calls they are.
    table : numpy.ndarray
        Counts (classes, classes).
    labels : sequence of str
        The classes.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    count = len(labels)
    # Cells of many classes shrink until their numbers no longer fit, and are then left out.
    side = max(3.1, 0.3 * count)
    ax = axes(ax, (side + 0.65, side))
    # A class without rows has shares of 0, not 0 / 0.
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap=_shades(), vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(count), [_short(label, 14) for label in labels], fontsize=7.5)
    ax.set_yticks(range(count), [_short(label, 14) for label in labels], fontsize=7.5)
    if count > 4:
        ax.tick_params(axis="x", rotation=60)
    if count <= 16:
        size = 9 if count <= 6 else 6.5
        for row in range(count):
            for column in range(count):
                colour = "white" if share[row, column] > 0.5 else INK
                text = f"{int(table[row, column]):,}"
                ax.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("called", fontsize=9)
    ax.set_ylabel("actual", fontsize=9)
    return set_title(ax, title)


def scatter(title: str, actual: np.ndarray, predicted: np.ndarray, ax: Any = None) -> Any:
    """Predicted against actual numbers; on the diagonal they are equal.

    Parameters
    ----------
    title : str
        Whose predictions they are.
    actual, predicted : numpy.ndarray
        (N,), in the labels' units.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    """
    ax = axes(ax, SIZE)
    actual, predicted = _thin(actual, predicted, _DOTS)
    ends = (
        float(min(actual.min(), predicted.min())),
        float(max(actual.max(), predicted.max())),
    )
    _diagonal(ax, ends)
    ax.plot(actual, predicted, "o", color=OURS, ms=2.2, mew=0, alpha=0.4)
    _finish(ax, title, ("actual", "predicted"))
    return ax


def roc_curve(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive shares at every distinct threshold, from the highest."""
    hits, called = _counts_at_thresholds(score, positive)
    misses = called - hits
    # The curve begins where nothing is called yet.
    false_share = np.r_[0, misses / max(misses[-1], 1)]
    return false_share, np.r_[0, hits / max(hits[-1], 1)]


def precision_recall_curve(
    score: np.ndarray, positive: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every distinct threshold, from the highest."""
    hits, called = _counts_at_thresholds(score, positive)
    return hits / max(hits[-1], 1), hits / called


def reliability(
    score: np.ndarray, positive: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and the share that is positive, in bins of equally many rows."""
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    predicted = np.array([score[part].mean() for part in parts])
    return predicted, np.array([positive[part].mean() for part in parts])


def _counts_at_thresholds(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives, and rows, at or above every distinct score, from the highest."""
    order = np.argsort(-score, kind="stable")
    # Rows of one score pass a threshold together.
    last = np.r_[np.flatnonzero(np.diff(score[order])), len(order) - 1]
    return positive[order].cumsum()[last], last + 1


def _thin(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many of the points that are known, both ends kept."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) <= most:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, most).astype(int))
    return x[kept], y[kept]


def _diagonal(ax: Any, ends: tuple[float, float]) -> None:
    ax.plot(ends, ends, color=MUTED, lw=0.9, ls="--")


def _unit_square(ax: Any) -> None:
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _finish(ax: Any, title: str, labels: tuple[str, str]) -> None:
    ax.set_xlabel(labels[0], fontsize=9)
    ax.set_ylabel(labels[1], fontsize=9)
    ax.tick_params(labelsize=8, color=MUTED)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=FAINT, lw=0.7)
    ax.set_axisbelow(True)
    set_title(ax, title)


def _shades() -> Any:
    """From paper to the house's own colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shares", ["#f7f5f8", OURS])


def _short(name: str, most: int = _NAME) -> str:
    """A name cut to what a picture has room for."""
    return name if len(name) <= most else name[: most - 1] + "…"
