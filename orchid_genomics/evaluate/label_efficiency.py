"""Label efficiency: what the model and its alternatives score on fewer training rows.

Every share is a comparison of its own, searched on the same validation rows and measured on the
same test rows. The trap: a share is drawn by family, and a smaller one lies within each larger one,
so that shares differ in what is trained on and in nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchid_genomics.draw.predictions import Learned
from orchid_genomics.evaluate.comparison import Verdict
from orchid_genomics.evaluate.comparison_text import align
from orchid_genomics.evaluate.estimate_text import span


@dataclass(frozen=True)
class ShareResult:
    """The comparison on one share of the training rows."""

    share: float
    rows: int
    """Training rows of the share."""
    verdict: Verdict

    def values(self) -> dict[str, Any]:
        """For evaluation.json."""
        return {"share": self.share, "rows": self.rows, "verdict": self.verdict.values()}


def share_lines(results: Sequence[ShareResult]) -> list[str]:
    """A table for a terminal: an alternative a line, a share of the training rows a column."""
    primary = results[0].verdict.primary
    head = [f"{primary} on test, by training rows"]
    head += [f"{each.rows:,} ({each.share:.3g})" for each in results]
    return align([head, *score_cells(results)], left=(0,))


def score_cells(results: Sequence[ShareResult]) -> list[list[str]]:
    """An alternative a row: its name, then its score with its interval at each share."""
    primary = results[0].verdict.primary
    rows = []
    for name in names_of(results):
        cells = [name]
        for each in results:
            scores = each.verdict.line(name).scores
            cells.append(span(scores[primary]) if scores else "-")
        rows.append(cells)
    return rows


def learning_curves(results: Sequence[ShareResult]) -> list[Learned]:
    """What is drawn: the score of every alternative against the training rows."""
    primary = results[0].verdict.primary
    curves = []
    for name in names_of(results):
        points = []
        for each in results:
            scores = each.verdict.line(name).scores
            if scores:
                score = scores[primary]
                points.append((each.rows, score.value, score.low, score.high))
        curves.append(Learned(name, points))
    return curves


def names_of(results: Sequence[ShareResult]) -> list[str]:
    """The alternatives that every share has, the model first."""
    names = [line.name for line in results[0].verdict.lines]
    for each in results[1:]:
        others = {line.name for line in each.verdict.lines}
        names = [name for name in names if name in others]
    return names
