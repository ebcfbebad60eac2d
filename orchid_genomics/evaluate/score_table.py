"""One protocol's table: the scores of a model beside those of its baselines, on the same letters.

Everything is computed from the targets of the whole set at once, never averaged over batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orchid_genomics.evaluate.bootstrap import block_bootstrap


@dataclass(frozen=True)
class Score:
    """A mean over `targets` letters (bits, or a share) with its 95 % interval.

    `name` says which letters: `all`, or a region of the genome.
    """

    name: str
    mean: float
    low: float
    high: float
    targets: int


@dataclass(frozen=True)
class ScoreTable:
    """The scores of each model under one protocol.

    Attributes
    ----------
    title
        What is measured, and in which windows.
    scores
        A row of scores for each model, ours (`model`) first.
    differences
        Our mean minus that of each baseline, with its 95 % interval (paired).
    """

    title: str
    scores: dict[str, list[Score]]
    differences: dict[str, tuple[float, float, float]]

    def text(self) -> str:
        """The table, and for every baseline by how much ours is better or worse."""
        lines = [table_text(self.scores, self.title)]
        for name, (mean, low, high) in self.differences.items():
            verdict = _verdict(low, high)
            lines.append(f"  model - {name}: {mean:+.4f} ({low:+.4f} to {high:+.4f}), {verdict}")
        return "\n".join(lines)

    def values(self) -> dict[str, Any]:
        """The same as plain values, as evaluation.json and provenance hold them."""
        return {
            "title": self.title,
            "scores": {name: [asdict(score) for score in row] for name, row in self.scores.items()},
            "model_minus": {name: list(interval) for name, interval in self.differences.items()},
        }


def scores_of(values: Mapping[str, Any]) -> dict[str, list[Score]]:
    """The scores of each model from the plain values of a table."""
    return {name: [Score(**score) for score in scores] for name, scores in values["scores"].items()}


def _verdict(low: float, high: float) -> str:
    """What the interval of a difference in bits says: fewer are better."""
    if low == high:
        return "too few blocks of 10 kb to say"
    if high < 0:
        return "better"
    return "worse" if low > 0 else "not clearly different"


def scores_by_region(
    bits: np.ndarray,
    contig: np.ndarray,
    position: np.ndarray,
    regions: Mapping[str, np.ndarray],
    **options: Any,
) -> list[Score]:
    """The score of all targets, then of those inside each region.

    Parameters
    ----------
    bits
        Values (N,) of the targets.
    contig, position
        Where they lie; see `bootstrap.block_bootstrap`.
    regions
        Bool masks (N,) by name; regions may overlap.
    **options
        As in `bootstrap.block_bootstrap`.
    """
    scores = []
    for name, inside in {"all": np.ones(len(bits), bool), **regions}.items():
        own = dict(options)
        if own.get("weights") is not None:
            own["weights"] = own["weights"][inside]
        mean, low, high = block_bootstrap(bits[inside], contig[inside], position[inside], **own)
        scores.append(Score(name, mean, low, high, int(inside.sum())))
    return scores


def table_text(rows: Mapping[str, Sequence[Score]], title: str = "bits per base") -> str:
    """The scores of each model as aligned text, a line a model.

    The columns are the scores' names in the order of the first model, the first with its 95 %
    interval; the last line says how many targets each has.
    """
    first = next(iter(rows.values()))
    names = [score.name for score in first]
    lines = [[title, names[0], "95 % interval", *names[1:]]]
    for name, scores in rows.items():
        cells = {score.name: f"{score.mean:.4f}" if score.targets else "-" for score in scores}
        whole = next(score for score in scores if score.name == names[0])
        interval = f"{whole.low:.4f}-{whole.high:.4f}" if whole.targets else "-"
        others = [cells.get(column, "-") for column in names[1:]]
        lines.append([name, cells[names[0]], interval, *others])
    counts = [f"{score.targets:,}" for score in first]
    lines.append(["targets", counts[0], "", *counts[1:]])
    return align(lines)


def align(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text: the first column to the left, the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    text = []
    for name, *cells in lines:
        padded = map(str.rjust, cells, others)
        text.append("  ".join([name.ljust(first), *padded]).rstrip())
    return "\n".join(text)
