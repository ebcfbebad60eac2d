"""Gain from a planted copy, several models side by side: against distance, copy length and
divergence.

The trap: models differ in what they know of a letter without any copy, so each gain is against the
own control.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchid_genomics.draw.canvas import CLASSES, FAINT, MUTED, axes

_WORDS = {"textcoords": "offset points", "fontsize": 8, "color": MUTED}
_BY_LENGTH, _BY_RATE = 0, 1  # tables of a lookup evaluation, in order


def gains(tables: Mapping[str, Sequence[Mapping[str, Any]]], ax: Any = None) -> Any:
    """Three panels of gain, bits a masked letter with 95 % intervals.

    Copy length and divergence are shown at the nearest distance that holds them; a cross is a copy
    on the other strand.

    Parameters
    ----------
    tables : mapping of str to sequence
        The evaluation.json of runs with `[copies]`, by what to call them; the first window of each
        is drawn.
    ax : matplotlib.axes.Axes, optional
        Axes in whose place all three are drawn; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        The emptied axes around them; `canvas.save` writes them.
    """
    ax = axes(ax, (10.5, 3.6))
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_axis_off()
    panels = [ax.inset_axes((left, 0, 0.28, 1)) for left in (0.0, 0.36, 0.72)]
    crosses = None
    for (name, evaluation), colour in zip(tables.items(), CLASSES, strict=False):
        by_length = evaluation[_BY_LENGTH]["scores"]
        by_rate = evaluation[_BY_RATE]["scores"]
        rates = {row: scores for row, scores in by_rate.items() if row.endswith("diverged")}
        exact = next(iter(rates.values()))
        by_distance = [(_number(score["name"]), score) for score in exact]
        _line(panels[0], by_distance, colour, name)
        for panel, rows in ((panels[1], by_length), (panels[2], rates)):
            nearest = [(_number(row), _nearest(scores)) for row, scores in rows.items()]
            _line(panel, nearest, colour, name)
        if turned := _nearest(by_rate.get("other strand", [])):
            panels[2].plot([0], [turned["mean"]], "x", color=colour, ms=8)
            crosses = turned["mean"]
    if crosses is not None:
        panels[2].annotate("other strand", (0, crosses), xytext=(9, -3), **_WORDS)
    labels = ("distance, kb", "length of the copy, nt", "substitutions, %")
    for panel, label in zip(panels, labels, strict=True):
        panel.axhline(0, color=FAINT, lw=1, zorder=0)
        panel.set_xlabel(label, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(y=0.15)
    for panel in panels[:2]:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
        panel.xaxis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("gain, bits a masked letter", fontsize=9)
    panels[0].legend(
        frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3
    )
    return ax


def _line(
    panel: Any, points: Sequence[tuple[float, Mapping[str, Any] | None]], colour: str, name: str
) -> None:
    """A line through the scores that have targets, with their intervals."""
    shown = [(x, score) for x, score in points if score and score["targets"]]
    means = [score["mean"] for _, score in shown]
    below = [score["mean"] - score["low"] for _, score in shown]
    above = [score["high"] - score["mean"] for _, score in shown]
    panel.errorbar(
        [x for x, _ in shown],
        means,
        [below, above] if shown else None,
        color=colour,
        marker="o",
        ms=4,
        lw=1.5,
        label=name,
    )


def _nearest(scores: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The score at the nearest distance that was measured."""
    return next((score for score in scores if score["targets"]), None)


def _number(words: str) -> float:
    """What a row or column is named by: "1,000 nt", "0.5 kb", "5% diverged"."""
    return float(words.split()[0].rstrip("%").replace(",", ""))
