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
from orchid_genomics.evaluate.score_table import align
from orchid_genomics.evaluate.variants.ranking import Ranking, difference, rank
from orchid_genomics.files import finite
from orchid_genomics.score.variants.scorers import column_pattern, lower_columns

CHANCE = 0.5  # the AUROC of a score that knows nothing
FEWEST = 5  # rows of either class in a group that is ranked apart


@dataclass(frozen=True)
class ScoreColumn:
    """A column of scores.

    Attributes
    ----------
    text, column
        As the user named it, and its name in the file.
    sign
        -1 where a lower value speaks for a positive.
    score, window
        The score and the window, when it is one of ours; else "" and 0.
    """

    text: str
    column: str
    sign: int = 1
    score: str = ""
    window: int = 0

    @classmethod
    def parse(cls, text: str) -> "ScoreColumn":
        """What ``NAME`` means; ``-NAME`` and ``+NAME`` say whether lower or higher speaks for a
        positive.

        Without a sign our own scores have the one that they are documented with, and for others
        higher speaks for it.
        """
        column = text[1:] if text[:1] in ("+", "-") else text
        match = _match_own(column)
        score = match[1].lower() if match else ""
        window = int(match[2] or 0) if match else 0
        sign = -1 if score in lower_columns() else 1
        if text[:1] in ("+", "-"):
            sign = -1 if text[0] == "-" else 1
        return cls(text, column, sign, score, window)

    @property
    def plain(self) -> bool:
        """Whether the column is a score of ours as it came from the model, and not a calibrated
        one.
        """
        return bool(self.score) and not self.column.lower().endswith(("_percentile", "_z"))


def own_scores(names: Sequence[str]) -> list[str]:
    """Which columns of a file are scores of ours; the counts of calibrations are none."""
    matches = [(name, _match_own(name)) for name in names]
    return [name for name, match in matches if match and (match[3] or "").lower() != "_n"]


def _match_own(column: str) -> re.Match[str] | None:
    """The score, window and statistic that the name of a column of ours ends in."""
    return re.search(rf"(?:^|_)({column_pattern()})(?:_(\d+))?(_percentile|_z|_n)?$", column, re.I)


@dataclass(frozen=True)
class Line:
    """One score in one group: over all pairs, within strata where asked, and the first score minus
    this one.

    Where this one ranks worse than chance, `over_chance` is true and `lead` is the first score
    minus chance: a difference from less than nothing would flatter the first.
    """

    score: str
    rank: Ranking
    within: Ranking | None
    lead: Estimate | None
    over_chance: bool = False


@dataclass(frozen=True)
class Group:
    """Rows that are ranked together."""

    name: str
    positives: int
    negatives: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class BenchmarkResult:
    """All groups, and notes about the rows.

    Attributes
    ----------
    groups
        Those with enough of either class, all rows first.
    alone
        Groups with too few of a class: name, positives, negatives.
    strata
        What rows are ranked within, for people; "" for nothing.
    notes
        Lines about the rows.
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
            counts = [f"{name} ({p:,} positive, {n:,} negative)" for name, p, n in self.alone]
            parts.append(f"\nunder {FEWEST} of a class, not ranked apart: {'; '.join(counts)}")
        return "\n".join(parts)

    def values(self) -> dict[str, Any]:
        """The same as plain values for JSON; NaN as None."""
        return finite({**asdict(self), "alone": [list(each) for each in self.alone]})


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What is to be ranked, (N,) each; the first of the scores is the one that the others are
    compared with.

    Attributes
    ----------
    positive
        Bool: the class of every row.
    cluster
        Labels of what is resampled together.
    scores
        By name, so that higher means positive; NaN where a row has none.
    strata
        Labels that rows are ranked within too, "" for none; or None.
    groups
        Bool masks by name.
    samples, seed
        How many resamples, and which.
    """

    positive: np.ndarray
    cluster: np.ndarray
    scores: Mapping[str, np.ndarray]
    strata: np.ndarray | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: int = 1000
    seed: int = 0

    def run(self, strata: str = "", notes: Sequence[str] = ()) -> BenchmarkResult:
        """Every group with five rows of either class, `all` (whatever it has) first."""
        groups, alone = [], []
        for name, inside in {"all": np.ones(len(self.positive), bool), **self.groups}.items():
            positives = int(self.positive[inside].sum())
            negatives = int(inside.sum()) - positives
            if min(positives, negatives) < (1 if name == "all" else FEWEST):
                alone.append((name, positives, negatives))
                continue
            lines = [self._line(score, inside) for score in self.scores]
            known = tuple(line for line in lines if line is not None)
            groups.append(Group(name, positives, negatives, known))
        shown = strata if self.strata is not None else ""
        return BenchmarkResult(tuple(groups), tuple(alone), shown, tuple(notes))

    def _line(self, name: str, inside: np.ndarray) -> Line | None:
        rows = inside & np.isfinite(self.scores[name])
        if not rows.any():
            return None
        first = next(iter(self.scores))
        both = rows & np.isfinite(self.scores[first])
        within = None
        if self.strata is not None:
            inner = rows & (self.strata != "")
            # Both leads and ranks within strata are of rows that have one.
            both &= inner
            within = self._rank(name, inner, self.strata[inner])
        whole = self._rank(name, rows)
        lead, over_chance = None, False
        if name != first and both.any():
            over_chance = bool((within or whole).auroc.value < CHANCE)
            # A constant ranks as chance does.
            other = np.zeros(int(both.sum())) if over_chance else self.scores[name][both]
            lead = difference(
                self.scores[first][both],
                other,
                self.positive[both],
                self.cluster[both],
                strata=None if self.strata is None else self.strata[both],
                samples=self.samples,
                seed=self.seed,
            )
        return Line(name, whole, within, lead, over_chance)

    def _rank(self, name: str, rows: np.ndarray, strata: np.ndarray | None = None) -> Ranking:
        return rank(
            self.scores[name][rows],
            self.positive[rows],
            self.cluster[rows],
            strata,
            samples=self.samples,
            seed=self.seed,
        )


def _table(group: Group, strata: str) -> str:
    head = [group.name, "variants", "base rate", "AUROC", "95 % interval", "AUPRC", "95 % interval"]
    if strata:
        head += [f"within {strata}", "95 % interval", "pairs"]
    head.append("first - this" + (f" (within {strata})" if strata else ""))
    table = align([head, *(_cells(line) for line in group.lines)])
    if any(line.over_chance for line in group.lines):
        table += f"\n* worse than chance, so the difference is from chance ({CHANCE:.3f})"
    return table


def _cells(line: Line) -> list[str]:
    whole = line.rank
    count = whole.positives + whole.negatives
    cells = [line.score, f"{count:,}", f"{whole.base_rate:.3f}" if count else "-"]
    cells += [*_area(whole.auroc), *_area(whole.auprc)]
    if line.within:
        cells += [*_area(line.within.auroc), _short(line.within.pairs)]
    return [*cells, _lead(line.lead) + (" *" if line.over_chance else "")]


def _area(area: Estimate | None) -> list[str]:
    """An area and its interval."""
    if area is None or np.isnan(area.value):
        return ["-", "-"]
    return [f"{area.value:.3f}", "-" if np.isnan(area.low) else f"{area.low:.3f}-{area.high:.3f}"]


def _short(count: int) -> str:
    """A count in three digits or so."""
    if count < 100_000:
        return f"{count:,}"
    return f"{count / 1e6:,.1f} M" if count < 1e9 else f"{count / 1e9:,.1f} G"


def _lead(area: Estimate | None) -> str:
    if area is None or np.isnan(area.value):
        return "" if area is None else "-"
    interval = "-" if np.isnan(area.low) else f"{area.low:+.3f} to {area.high:+.3f}"
    return f"{area.value:+.3f} ({interval})"
