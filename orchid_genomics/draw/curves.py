"""How training went; bits of training are a little lower than validation's, for some targets show
their letter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import INK, MUTED, OURS, TRAIN, axes


def training_curve(
    log: Sequence[dict[str, Any]], evaluation: Sequence[dict[str, Any]], ax: Any = None
) -> Any:
    """Bits per base against letters read: training (smoothed), validation, and the test split
    beside its baselines.

    `log` are the lines of a run's log.jsonl, `evaluation` its evaluation.json (the first protocol
    is drawn). Training bits are lower than validation's because a tenth of the training targets
    show their own letter.
    """
    ax = axes(ax, (7.5, 4.2))
    steps = [line for line in log if "bits" in line]
    batch_nt = np.array([line["nt"] for line in steps], float)
    letters = np.cumsum(batch_nt) / 1e6
    bits = np.array([line["bits"] for line in steps])
    window = max(1, len(bits) // 60)
    smooth = np.convolve(bits, np.ones(window) / window, "valid")
    ax.plot(letters[window - 1 :], smooth, color=TRAIN, lw=1.5, label="training")
    checks = [
        (letters[min(line["step"], len(letters)) - 1], line["validation_bits"])
        for line in log
        if "validation_bits" in line
    ]
    if checks:
        ax.plot(*zip(*checks, strict=True), "o-", color=OURS, ms=4, lw=1.5, label="validation")
    end = letters[-1]
    if evaluation:
        for name, scores in evaluation[0]["scores"].items():
            mean = scores[0]["mean"]
            if name == "model":
                ax.plot([end], [mean], "*", color=OURS, ms=14, label=f"test, {mean:.3f}", zorder=5)
            else:
                ax.axhline(mean, color=MUTED, lw=0.9, ls="--")
                ax.annotate(
                    f"{name}, {mean:.3f}",
                    (0, mean),
                    xytext=(4, 2),
                    textcoords="offset points",
                    color=INK,
                    fontsize=8,
                )
        ax.set_title(evaluation[0]["title"], fontsize=10, loc="left")
    ax.set(
        xlabel="letters read, millions",
        ylabel="bits per base",
        ylim=(None, 2.0),
        xlim=(0, end * 1.03),
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper right", fontsize=9)
    return ax
