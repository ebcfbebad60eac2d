"""How training went, in bits of letters that are all hidden.

The trap: the loss of training is of other targets, a tenth of which show their own letter and a
tenth another one, so it lies below what the same model gets when all are hidden. Beside validation
it would look like overfitting; so it is left to the log.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import INK, MUTED, OURS, axes

NAME_HEIGHT = 0.04
"""Share of the height of the axes that the name of a line takes."""


def training_curve(
    log: Sequence[dict[str, Any]], evaluation: Sequence[dict[str, Any]], ax: Any = None
) -> Any:
    """Bits per hidden letter of validation against letters read, and of the test split beside its
    baselines.

    Parameters
    ----------
    log : sequence of dict
        The lines of a run's log.jsonl.
    evaluation : sequence of dict
        Its evaluation.json, of which the first table is drawn.
    ax : Axes, optional
        Where to draw; None is a new figure.
    """
    ax = axes(ax, (7.5, 4.2))
    read = [line["nt"] for line in log if "bits" in line]
    letters = np.cumsum(np.array(read, float)) / 1e6
    checks = [line for line in log if "validation_bits" in line]
    if checks:
        steps = [min(line["step"], len(letters)) - 1 for line in checks]
        bits = [line["validation_bits"] for line in checks]
        ax.plot(letters[steps], bits, "o-", color=OURS, ms=4, lw=1.5, label="validation")
    ax.set(xlabel="letters read, millions", ylabel="bits per hidden letter")
    ax.set_xlim(0, letters[-1] * 1.03)
    if evaluation:
        _draw_test(ax, evaluation[0], letters[-1])
    ax.spines[["top", "right"]].set_visible(False)
    if checks or evaluation:
        ax.legend(frameon=False, loc="upper right", fontsize=9)
    return ax


def _draw_test(ax: Any, table: dict[str, Any], end: float) -> None:
    """The model's bits on the test split as a star, those of its baselines as lines that are named
    beside the picture, where no curve runs.
    """
    means = {name: scores[0]["mean"] for name, scores in table["scores"].items()}
    own = means.pop("model")
    ax.plot([end], [own], "*", color=OURS, ms=14, label=f"test, {own:.3f}", zorder=5)
    for mean in means.values():
        ax.axhline(mean, color=MUTED, lw=0.9, ls="--")
    low, high = ax.get_ylim()
    # A letter that nothing is known of costs 2 bits.
    high = max(high, 2.0)
    ax.set_ylim(low, high)
    beside = -np.inf
    for name, mean in sorted(means.items(), key=lambda each: each[1]):
        # Names of lines that nearly meet stand above each other.
        beside = max(mean, beside + NAME_HEIGHT * (high - low))
        at, where = (1.01, beside), ax.get_yaxis_transform()
        style = {"va": "center", "color": INK, "fontsize": 8, "annotation_clip": False}
        ax.annotate(f"{name}, {mean:.3f}", at, xycoords=where, **style)
    ax.set_title(table["title"], fontsize=10, loc="left")
