"""The answer beside its alternatives: every one on the same test rows, compared with the best of
them on validation.

Thresholds and the comparator are chosen on validation; the test split is read once, here. The trap:
a test row that shares a stretch with training is half remembered, so such rows are counted, and the
others scored apart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.splitting import joined
from orchid_genomics.evaluate.arms import Fitted, flat
from orchid_genomics.evaluate.bootstrap import Estimate, resampled_weights
from orchid_genomics.evaluate.kmer_tables import repeated
from orchid_genomics.evaluate.linear import Answered
from orchid_genomics.evaluate.metrics import NAMES, scored, thresholds_of
from orchid_genomics.genome.contigs import shared
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import DNA, Interval

SHARED = 30  # letters of a stretch that counts as shared
COPIED = 0.8  # share of letters in such stretches that makes a near-duplicate
_LOCUS = 10_000  # letters of a genome that are drawn together
MODEL, RANDOM = "model", "random weights"


@dataclass(frozen=True)
class Line:
    """One alternative: its scores on test, the first score on validation, thresholds, what was
    chosen.
    """

    name: str
    scores: dict[str, Estimate]
    validation: float
    thresholds: tuple[float, ...]
    chosen: str
    parameters: int
    apart: dict[str, Estimate]
    """Scores on the test rows that share no stretch with training."""
    minus: dict[str, Estimate]
    """The model's scores minus these, on the same bootstrap samples."""
    apart_minus: dict[str, Estimate]
    """The same on the test rows that share no stretch with training."""


@dataclass(frozen=True)
class Verdict:
    """Every line, the model first, and what was found about the test rows."""

    task: str
    first: str
    lines: list[Line]
    comparator: str
    seeds: dict[str, list[float]]
    """The first score of every seed of an arm that has several."""
    rows: dict[str, int]
    notes: list[str]

    @property
    def better(self) -> bool:
        """Whether the model beats the comparator beyond chance."""
        return self.line(self.comparator).minus[self.first].low > 0

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)

    def sentence(self) -> str:
        """The first line of every report."""
        ours, theirs = self.lines[0].scores[self.first].value, self.line(self.comparator)
        gap = theirs.minus[self.first]
        says = "beats" if self.better else "does NOT beat"
        return (
            f"The encoder {says} the best alternative on validation, {self.comparator}: {self.first} {ours:.3f} "
            f"against {theirs.scores[self.first].value:.3f}, a difference of {gap.value:+.3f} "
            f"({gap.low:+.3f} to {gap.high:+.3f})."
        )

    def pretraining(self) -> str:
        """Whether the weights that the model began from helped; nothing where it began from random
        ones.
        """
        line = next((line for line in self.lines if line.name == RANDOM), None)
        if line is None:
            return ""
        gap = line.minus[self.first]
        says = "helps" if gap.low > 0 else "hurts" if gap.high < 0 else "does not clearly help"
        spread = f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        return f"Pretraining {says}: {self.first} {spread} against the same encoder from random weights."

    def values(self) -> dict[str, Any]:
        """For evaluation.json."""
        said = {"sentence": self.sentence(), "pretraining": self.pretraining()}
        return {**asdict(self), "better": self.better, **said}


def verdict(
    data: LabelledSet, model: Fitted, others: Sequence[Fitted | Answered], notes: Sequence[str]
) -> Verdict:
    """Score the model and its alternatives on the test rows, whole and apart; all on the same
    bootstrap samples.
    """
    validation, test = data.rows("validation"), data.rows("test")
    shared = shared_letters(data, test)
    apart = shared == 0
    loci = families(data)
    first = NAMES[data.task][0]
    lines: list[Line] = []
    kept: dict[str, Any] = {}
    for arm in (model, *others):
        one = arm.best if isinstance(arm, Fitted) else None
        on_validation, on_test = (
            (arm.validation, arm.test) if one is None else (arm.validation[one], arm.test[one])
        )
        answer, target, _ = flat(data, validation, on_validation)
        thresholds = thresholds_of(data.task, answer, target)
        tuned = _score(data.task, answer, target, thresholds)[first]
        sure, whole = on_rows(data, test, on_test, thresholds, loci)
        rest, parts = on_rows(data, test, on_test, thresholds, loci, apart)
        kept.setdefault("model", (whole, parts))
        lines.append(Line(
            MODEL if arm is model else arm.name, sure, tuned, tuple(thresholds.tolist()), _chosen(arm), arm.parameters,
            rest, *map(_minus, kept["model"], (whole, parts)),
        ))  # fmt: skip
    comparator = max(lines[1:], key=lambda line: line.validation).name
    rows = {
        "test": len(test),
        f"sharing {SHARED} letters with training": int((~apart).sum()),
        "near-duplicates of training": int((shared >= COPIED).sum()),
        "families": len(np.unique(loci[test])),
    }
    seeds = {
        arm.name: _seeds(data, arm, validation, test, first)
        for arm in (model, *others)
        if _several(arm)
    }
    return Verdict(data.task, first, lines, comparator, seeds, rows, list(notes))


def _several(arm: Fitted | Answered) -> bool:
    return isinstance(arm, Fitted) and len(arm.seeds) > 1


def _seeds(
    data: LabelledSet, arm: Fitted, validation: np.ndarray, test: np.ndarray, first: str
) -> list[float]:
    """The first score on test of every seed, thresholds from its own validation; then that of their
    mean answers.
    """
    found = []
    pairs = [
        *zip(arm.validation, arm.test, strict=True),
        (np.mean(arm.validation, 0), np.mean(arm.test, 0)),
    ]
    for on_validation, on_test in pairs:
        answer, target, _ = flat(data, validation, on_validation)
        thresholds = thresholds_of(data.task, answer, target)
        answer, target, _ = flat(data, test, on_test)
        found.append(_score(data.task, answer, target, thresholds)[first])
    return found


def mean_interval(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval by Student's t: what seeds or folds say."""
    mean, count = float(np.mean(values)), len(values)
    half = (
        float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
        if count > 1
        else np.nan
    )
    return Estimate(mean, mean - half, mean + half)


def _score(
    task: str, answer: np.ndarray, target: np.ndarray, thresholds: np.ndarray
) -> dict[str, float]:
    found = scored(task, answer, target, thresholds, np.ones((1, len(answer))))
    return {name: float(value[0]) for name, value in found.items()}


def on_rows(
    data: LabelledSet,
    rows: np.ndarray,
    found: np.ndarray,
    thresholds: np.ndarray,
    loci: np.ndarray,
    inside: np.ndarray | None = None,
) -> tuple[dict[str, Estimate], dict[str, np.ndarray]]:
    """Estimates on some rows, and the scores of the whole and of each sample (1 + S,)."""
    if inside is not None:
        rows, found = rows[inside], found[inside]
    answer, target, _ = flat(data, rows, found)
    group = loci[rows]
    if data.bin:
        known = np.isfinite(data.target[rows][:, : found.shape[1]]).all(2) & np.isfinite(found).all(
            2
        )
        group = np.repeat(group[:, None], known.shape[1], 1)[known]
    if len(np.unique(target, axis=0)) < 2:
        return {}, {}
    whole = np.ones((1, len(answer)))
    draws = np.concatenate([whole, resampled_weights(group, _samples(len(answer)))])
    sampled: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(draws), 100):
        part = scored(data.task, answer, target, thresholds, draws[first : first + 100])
        for name, values in part.items():
            sampled.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in sampled.items()}
    return {name: _estimate(values) for name, values in joined.items()}, joined


def _samples(count: int) -> int:
    """Bootstrap samples: a thousand, fewer where rows are very many."""
    return int(np.clip(20_000_000 // max(count, 1), 200, 1000))


def _estimate(values: np.ndarray) -> Estimate:
    """The whole set's value (the first) and the interval of the samples."""
    return Estimate.of(values[0], values[1:])


def _minus(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, Estimate]:
    return {name: _estimate(ours[name] - theirs[name]) for name in ours if name in theirs}


def _chosen(arm: Fitted | Answered) -> str:
    if isinstance(arm, Answered):
        return arm.chosen
    return (
        f"rate {arm.rate:g}, best of {len(arm.tried)}"
        if len(arm.tried) > 1
        else f"rate {arm.rate:g}"
    )


def shared_letters(data: LabelledSet, rows: np.ndarray) -> np.ndarray:
    """The share (n,) of each row's letters inside a stretch of 30 (or all of a shorter row) that
    training has too.

    On either strand.
    """
    train = _joined(data, data.rows("train"))
    sizes, found = np.minimum(data.lengths[rows], SHARED), np.zeros(len(rows))
    for size in np.unique(sizes):
        some = np.flatnonzero(sizes == size)
        covered = repeated([train], [data.tokens[rows[at]] for at in some], int(size))
        found[some] = [inside.mean() for inside in covered]
    return found


def _joined(data: LabelledSet, rows: np.ndarray) -> np.ndarray:
    """Rows one after another with an N between: no stretch runs from one into the next."""
    gap = np.array([DNA.n], np.uint8)
    return np.concatenate([part for row in rows for part in (data.tokens[row], gap)])


def families(data: LabelledSet) -> np.ndarray:
    """What the bootstrap draws together (N,): rows of a family, and of a 10-kb locus where there
    are coordinates.
    """
    if data.places is None:
        return data.group
    index: dict = {}
    keys = [(place.contig, place.start // _LOCUS) for place in data.places]
    return joined(
        data.group, np.array([index.setdefault(key, len(index)) for key in keys], np.int64)
    )


def seen_in_pretraining(data: LabelledSet, provenance: dict[str, Any]) -> str:
    """How many test loci pretraining read, by contig name and place, as a sentence; what cannot be
    known is said.
    """
    genomes = provenance.get("genomes") or []
    if not genomes:
        return "Pretraining: the model folder does not say what it read."
    names = ", ".join(genome["fasta"] for genome in genomes)
    if data.places is None:
        return f"Pretraining read {names}; the test rows have no coordinates, so what it saw of them is not known."
    seen = [
        Interval(contig, start, end)
        for genome in genomes
        for contig, places in genome["seen"].items()
        for start, end in places
    ]
    known = {contig: None for genome in genomes for contig in genome["contigs"]}
    places, test = Regions.from_intervals(seen), data.rows("test")
    rows = [data.places[row] for row in test]
    name = shared([place.contig for place in rows], known, data.name, names)
    if not name:
        return f"Pretraining read {names}, which has none of the contigs of the test rows."
    touched = sum(
        bool(
            places.touches(
                name.get(place.contig, ""), np.array([place.start]), np.array([place.end])
            )[0]
        )
        for place in rows
    )
    return f"Pretraining on {names} saw {touched:,} of {len(rows):,} test loci (by contig name and place)."
