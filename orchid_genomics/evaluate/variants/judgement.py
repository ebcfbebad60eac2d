"""Scores of labelled variants beside their baselines: one table for all rows, one for each type and
consequence.

The trap: each score is ranked over the rows that have it; a difference is over the rows that have
both.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from orchid_genomics.evaluate.bootstrap import Estimate
from orchid_genomics.evaluate.variants.ranking import Ranking, difference, rank
from orchid_genomics.files import finite
from orchid_genomics.score.variants.scorers import column_pattern, lower_columns

FEWEST = 5  # rows of either class in a group that is ranked apart


@dataclass(frozen=True)
class Named:
    """A column of scores: `text` as the user named it, `sign` -1 where a lower value speaks for a
    positive, `score` and `window` when it is ours.
    """

    text: str
    column: str
    sign: int = 1
    score: str = ""
    window: int = 0

    @property
    def plain(self) -> bool:
        """Whether the column is a score of ours as it came from the model, and not a calibrated
        one.
        """
        return bool(self.score) and not self.column.lower().endswith(("_percentile", "_z"))


def named(text: str) -> Named:
    """What ``NAME`` means; ``-NAME`` and ``+NAME`` say whether lower or higher speaks for a
    positive.

    Without a sign our own scores have the one that they are documented with, and for others higher
    speaks for it.
    """
    column = text.lstrip("+-") if text[:1] in "+-" else text
    found = _own(column)
    score = found[1].lower() if found else ""
    sign = (
        -1 if text[:1] == "-" else 1 if text[:1] == "+" else -1 if score in lower_columns() else 1
    )
    return Named(text, column, sign, score, int(found[2] or 0) if found else 0)


def ours(names: Sequence[str]) -> list[str]:
    """Which columns of a file are scores of ours; the counts of calibrations are none."""
    return [name for name in names if (match := _own(name)) and (match[3] or "").lower() != "_n"]


def _own(column: str) -> re.Match[str] | None:
    """The score, window and statistic that the name of a column of ours ends in."""
    return re.search(rf"(?:^|_)({column_pattern()})(?:_(\d+))?(_percentile|_z|_n)?$", column, re.I)


@dataclass(frozen=True)
class Line:
    """One score in one group: over all pairs, within strata where asked, and the first score minus
    this one.
    """

    score: str
    rank: Ranking
    within: Ranking | None
    lead: Estimate | None


@dataclass(frozen=True)
class Group:
    """Rows that are ranked together."""

    name: str
    positives: int
    negatives: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Judgement:
    """All groups, and notes about the rows. `alone`: groups with too few of a class (name,
    positives, negatives).
    """

    groups: tuple[Group, ...]
    alone: tuple[tuple[str, int, int], ...]
    strata: str = ""
    notes: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """Tables for people."""
        parts = list(self.notes)
        parts += ["\n" + _table(group, self.strata) for group in self.groups]
        if self.alone:
            listed = "; ".join(
                f"{name} ({p:,} positive, {n:,} negative)" for name, p, n in self.alone
            )
            parts.append(f"\nunder {FEWEST} of a class, not ranked apart: {listed}")
        return "\n".join(parts)

    def values(self) -> dict[str, Any]:
        """The same as plain values for JSON; NaN as None."""
        return finite({**asdict(self), "alone": [list(each) for each in self.alone]})


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be judged, (N,) each; the first of the scores is the one that the others are
    compared with.

    `positive` bool; `cluster` any labels; `scores` so that higher means positive, NaN where a row
    has none; `strata` labels ("" for none) or None; `groups` bool masks.
    """

    positive: np.ndarray
    cluster: np.ndarray
    scores: Mapping[str, np.ndarray]
    strata: np.ndarray | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: int = 1000
    seed: int = 0

    def judged(self, strata: str = "", notes: Sequence[str] = ()) -> Judgement:
        """Every group with five rows of either class, `all` (whatever it has) first."""
        groups, alone = [], []
        for name, inside in {"all": np.ones(len(self.positive), bool), **self.groups}.items():
            positives = int(self.positive[inside].sum())
            negatives = int(inside.sum()) - positives
            if min(positives, negatives) < (1 if name == "all" else FEWEST):
                alone.append((name, positives, negatives))
                continue
            lines = tuple(
                line for score in self.scores if (line := self._line(score, inside)) is not None
            )
            groups.append(Group(name, positives, negatives, lines))
        return Judgement(
            tuple(groups), tuple(alone), strata if self.strata is not None else "", tuple(notes)
        )

    def _line(self, name: str, inside: np.ndarray) -> Line | None:
        rows = inside & np.isfinite(self.scores[name])
        if not rows.any():
            return None
        first = next(iter(self.scores))
        part = (self.positive[rows], self.cluster[rows])
        rest = {"samples": self.samples, "seed": self.seed}
        whole = rank(self.scores[name][rows], *part, **rest)
        within = None
        both = rows & np.isfinite(self.scores[first])
        if self.strata is not None:
            inner = rows & (self.strata != "")
            both &= inner
            part = (self.positive[inner], self.cluster[inner], self.strata[inner])
            within = rank(self.scores[name][inner], *part, **rest)
        lead = None
        if name != first and both.any():
            strata = None if self.strata is None else self.strata[both]
            scores = (self.scores[first][both], self.scores[name][both])
            lead = difference(*scores, self.positive[both], self.cluster[both], strata, **rest)
        return Line(name, whole, within, lead)


def _table(group: Group, strata: str) -> str:
    head = [group.name, "variants", "base rate", "AUROC", "95 % interval", "AUPRC", "95 % interval"]
    head += [f"within {strata}", "95 % interval", "pairs"] if strata else []
    lead = "first - this" + (f" (within {strata})" if strata else "")
    cells = [[*head, lead]]
    for line in group.lines:
        ranked = line.rank
        count = ranked.positives + ranked.negatives
        row = [line.score, f"{count:,}", f"{ranked.base_rate:.3f}" if count else "-"]
        row += [*_area(ranked.auroc), *_area(ranked.auprc)]
        row += [*_area(line.within.auroc), _short(line.within.pairs)] if line.within else []
        cells.append([*row, _lead(line.lead)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    text = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells]
    return "\n".join("  ".join(row).rstrip() for row in text)


def _area(area: Estimate | None) -> list[str]:
    if area is None or np.isnan(area.value):
        return ["-", "-"]
    return [f"{area.value:.3f}", "-" if np.isnan(area.low) else f"{area.low:.3f}-{area.high:.3f}"]


def _short(count: int) -> str:
    """A count in three digits or so."""
    return (
        f"{count:,}"
        if count < 100_000
        else f"{count / 1e6:,.1f} M"
        if count < 1e9
        else f"{count / 1e9:,.1f} G"
    )


def _lead(area: Estimate | None) -> str:
    if area is None or np.isnan(area.value):
        return "" if area is None else "-"
    interval = "-" if np.isnan(area.low) else f"{area.low:+.3f} to {area.high:+.3f}"
    return f"{area.value:+.3f} ({interval})"
