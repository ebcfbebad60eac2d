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

from orchid_genomics.answers.supervised_tasks import SupervisedTask
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.splitting import join_groups
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.arms import ALONE, RANDOM, TrainedArm
from orchid_genomics.evaluate.bootstrap import Estimate, resampled_weights
from orchid_genomics.evaluate.estimate_text import interval, signed
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.genome.contigs import shared
from orchid_genomics.genome.regions import Regions
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence import DNA, Interval

SHARED = 30  # letters of a stretch that counts as shared
COPIED = 0.8  # share of letters in such stretches that makes a near-duplicate
_LOCUS = 10_000  # letters of a genome that are drawn together
_SHARING = f"sharing {SHARED} letters with training"


@dataclass(frozen=True)
class Line:
    """One alternative: its scores on test, and what was chosen for it on validation."""

    name: str
    scores: dict[str, Estimate]
    validation: float
    """The primary score on validation."""
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
    """Every line, the model first, and what is known of the test rows."""

    task: SupervisedTask
    lines: list[Line]
    comparator: str
    networks: dict[str, list[float]]
    """The primary score of every network of an arm that has several, then that of their mean."""
    rows: dict[str, int]
    notes: list[str]

    @property
    def primary(self) -> str:
        """The score that lines are compared by."""
        return self.task.primary

    @property
    def better(self) -> bool | None:
        """Whether the model beats the comparator beyond chance; None where there is no verdict."""
        if not self.has_alternatives:
            return None
        return self.line(self.comparator).minus[self.primary].low > 0

    @property
    def sharing(self) -> int:
        """Test rows that share a stretch with training."""
        return self.rows[_SHARING]

    @property
    def has_alternatives(self) -> bool:
        """Whether anything stands beside the model that reads the letters at all."""
        return any(line.name not in (self.task.constant_name, ALONE) for line in self.lines[1:])

    def shown_name(self, line: Line) -> str:
        """The name of a line in a table, with a star where it is the best alternative; the constant
        answer, which reads no letter, is none.
        """
        is_best = self.has_alternatives and line.name == self.comparator
        return f"{line.name} *" if is_best else line.name

    @property
    def word(self) -> str:
        """beats, is level with or does NOT beat: by the interval of the paired difference."""
        return difference_word(self.line(self.comparator).minus[self.primary])

    def line(self, name: str) -> Line:
        """The line of an alternative."""
        return next(line for line in self.lines if line.name == name)

    def sentence(self) -> str:
        """The first line of every report."""
        primary, theirs = self.primary, self.line(self.comparator)
        gap = theirs.minus[primary]
        if not self.has_alternatives:
            ours = self.lines[0].scores[primary]
            return (
                f"No alternative was run, so there is no verdict: {primary} {ours.value:.3f} "
                f"({interval(ours)})."
            )
        return (
            f"The encoder {self.word} the best alternative on validation, {self.comparator}: "
            f"{primary} {self.lines[0].scores[primary].value:.3f} "
            f"against {theirs.scores[primary].value:.3f}, a difference of {signed(gap)}."
        )

    def pretraining(self) -> str:
        """Whether the weights that the model began from helped; nothing where it began from random
        ones.
        """
        line = next((line for line in self.lines if line.name == RANDOM), None)
        if line is None:
            return ""
        gap = line.minus[self.primary]
        says = "helps" if gap.low > 0 else "hurts" if gap.high < 0 else "does not clearly help"
        against = "against the same encoder from random weights"
        return f"Pretraining {says}: {self.primary} {signed(gap)} {against}."

    def values(self) -> dict[str, Any]:
        """For evaluation.json."""
        return {
            "task": self.task.name,
            "first": self.primary,
            "lines": [asdict(line) for line in self.lines],
            "comparator": self.comparator,
            "networks": self.networks,
            "rows": self.rows,
            "notes": self.notes,
            "better": self.better,
            "sentence": self.sentence(),
            "pretraining": self.pretraining(),
        }


@dataclass(frozen=True)
class Sampled:
    """Scores on some rows, and the values that their intervals and differences come from."""

    estimates: dict[str, Estimate]
    samples: dict[str, np.ndarray]
    """The score of the whole, then of each bootstrap sample (1 + S,)."""

    def minus(self, other: "Sampled") -> dict[str, Estimate]:
        """These scores minus others, on the same bootstrap samples."""
        return {
            name: _estimate(values - other.samples[name])
            for name, values in self.samples.items()
            if name in other.samples
        }


def compare(
    data: LabelledSet,
    model: TrainedArm,
    others: Sequence[TrainedArm | Answered],
    notes: Sequence[str],
) -> Verdict:
    """Score the model and its alternatives on the test rows, whole and apart.

    All stand on the same bootstrap samples.
    """
    validation, test = data.rows("validation"), data.rows("test")
    sharing = shared_letters(data, test)
    is_apart = sharing == 0
    loci = families(data)
    arms = (model, *([model.alone] if model.alone else []), *others)
    measured: list[tuple[Answered, np.ndarray, float, Sampled, Sampled]] = []
    for arm in arms:
        answered = arm.answered if isinstance(arm, TrainedArm) else arm
        # From validation, for all test rows and for those apart alike.
        thresholds, tuned = tune(data, validation, answered.validation)
        whole = score_rows(data, test, answered.test, thresholds, loci)
        apart = score_rows(data, test[is_apart], answered.test[is_apart], thresholds, loci)
        measured.append((answered, thresholds, tuned, whole, apart))
    *_, model_whole, model_apart = measured[0]
    lines = [
        Line(
            name=answered.name,
            scores=whole.estimates,
            validation=tuned,
            thresholds=tuple(thresholds.tolist()),
            chosen=answered.chosen,
            parameters=answered.parameters,
            apart=apart.estimates,
            minus=model_whole.minus(whole),
            apart_minus=model_apart.minus(apart),
        )
        for answered, thresholds, tuned, whole, apart in measured
    ]
    rows = {
        "test": len(test),
        _SHARING: int((~is_apart).sum()),
        "near-duplicates of training": int((sharing >= COPIED).sum()),
        "families": len(np.unique(loci[test])),
    }
    networks = {}
    for arm in arms:
        if isinstance(arm, TrainedArm) and len(arm.networks) > 1:
            networks[arm.name] = _score_networks(data, arm)
    # The best on validation, for the best on test may have been lucky there.
    alternatives = [line for line in lines[1:] if line.name != ALONE]
    comparator = max(alternatives, key=lambda line: line.validation).name
    notes = [*notes, *([model.additions] if model.additions else [])]
    return Verdict(data.task, lines, comparator, networks, rows, notes)


def tune(data: LabelledSet, rows: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, float]:
    """Thresholds (K,) chosen on some rows for their answers, and the primary score there."""
    flat, target, _ = data.task.flatten(answers, data.target[rows], data.group[rows])
    thresholds = data.task.thresholds(flat, target)
    return thresholds, _primary(data.task, flat, target, thresholds)


def _primary(
    task: SupervisedTask, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray
) -> float:
    scores = task.score(answers, target, thresholds, np.ones((1, len(answers))))
    return float(scores[task.primary][0])


def _score_networks(data: LabelledSet, arm: TrainedArm) -> list[float]:
    """The primary score on test of every network, thresholds from its own validation; then that of
    their mean.
    """
    task, validation, test = data.task, data.rows("validation"), data.rows("test")
    scores = []
    for network in (*arm.networks, arm.together):
        thresholds, _ = tune(data, validation, network.validation)
        flat, target, _ = task.flatten(network.test, data.target[test], data.group[test])
        scores.append(_primary(task, flat, target, thresholds))
    return scores


def difference_word(gap: Estimate) -> str:
    """What the interval of a difference says of the encoder."""
    if gap.low > 0:
        return "beats"
    return "does NOT beat" if gap.high < 0 else "is level with"


def mean_interval(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval by Student's t: what networks or folds say."""
    mean, count = float(np.mean(values)), len(values)
    half = np.nan
    if count > 1:
        error = np.std(values, ddof=1) / np.sqrt(count)
        half = float(stats.t.ppf(0.975, count - 1) * error)
    return Estimate(mean, mean - half, mean + half)


def score_rows(
    data: LabelledSet,
    rows: np.ndarray,
    answers: np.ndarray,
    thresholds: np.ndarray,
    loci: np.ndarray,
) -> Sampled:
    """Scores of answers for some rows, with intervals over loci.

    Parameters
    ----------
    data
        The set.
    rows
        Rows (n,) of it.
    answers
        Answers for those rows (n, K), of tracks (n, P, K).
    thresholds
        A threshold for each column (K,).
    loci
        What is resampled whole, for every row of the set (N,): see `families`.

    Returns
    -------
    Sampled
        Without scores where all rows have the same answer.
    """
    # What hangs together is resampled whole, hence loci in place of rows.
    flat, target, group = data.task.flatten(answers, data.target[rows], loci[rows])
    if len(np.unique(target, axis=0)) < 2:
        return Sampled({}, {})
    whole = np.ones((1, len(flat)))
    weights = np.concatenate([whole, resampled_weights(group, _samples(len(flat)))])
    parts: dict[str, list[np.ndarray]] = {}
    # In pieces, which bounds the memory.
    for first in range(0, len(weights), 100):
        scores = data.task.score(flat, target, thresholds, weights[first : first + 100])
        for name, values in scores.items():
            parts.setdefault(name, []).append(values)
    samples = {name: np.concatenate(values) for name, values in parts.items()}
    return Sampled({name: _estimate(values) for name, values in samples.items()}, samples)


def _samples(count: int) -> int:
    """Bootstrap samples: a thousand, fewer where rows are very many."""
    return int(np.clip(20_000_000 // max(count, 1), 200, 1000))


def _estimate(values: np.ndarray) -> Estimate:
    """The whole set's value (the first) and the interval of the samples."""
    return Estimate.of(values[0], values[1:])


def shared_letters(data: LabelledSet, rows: np.ndarray) -> np.ndarray:
    """The share (n,) of each row's letters inside a stretch of 30 (or all of a shorter row) that
    training has too.

    On either strand.
    """
    train = _concatenate(data, data.rows("train"))
    sizes = np.minimum(data.lengths[rows], SHARED)
    share = np.zeros(len(rows))
    for size in np.unique(sizes):
        some = np.flatnonzero(sizes == size)
        covered = recurs([train], [data.tokens[rows[at]] for at in some], int(size))
        share[some] = [inside.mean() for inside in covered]
    return share


def _concatenate(data: LabelledSet, rows: np.ndarray) -> np.ndarray:
    """Rows one after another with an N between: no stretch runs from one into the next."""
    gap = np.array([DNA.n], np.uint8)
    parts = []
    for row in rows:
        parts += [data.tokens[row], gap]
    return np.concatenate(parts)


def families(data: LabelledSet) -> np.ndarray:
    """What the bootstrap draws together (N,): rows of a family, and of a 10-kb locus where there
    are coordinates.
    """
    if data.places is None:
        return data.group
    index: dict[tuple[str, int], int] = {}
    keys = [(place.contig, place.start // _LOCUS) for place in data.places]
    locus = np.array([index.setdefault(key, len(index)) for key in keys], np.int64)
    # Joined, so that rows that share a family or a locus are drawn together.
    return join_groups(data.group, locus)


def seen_in_pretraining(data: LabelledSet, provenance: Provenance) -> str:
    """How many test loci pretraining read, by contig name and place, as a sentence; what cannot be
    known is said.
    """
    genomes = provenance.genomes
    if not genomes:
        return "Pretraining: the model folder does not say what it read."
    names = ", ".join(genome.fasta for genome in genomes)
    if data.places is None:
        return (
            f"Pretraining read {names}; the test rows have no coordinates, so what it saw of them "
            "is not known."
        )
    seen: list[Interval] = []
    known: dict[str, None] = {}
    for genome in genomes:
        known.update(dict.fromkeys(genome.contigs))
        for contig, spans in genome.seen.items():
            seen += [Interval(contig, start, end) for start, end in spans]
    places = Regions.from_intervals(seen)
    tested = [data.places[row] for row in data.rows("test")]
    own = shared([place.contig for place in tested], known, data.name, names)
    if not own:
        return f"Pretraining read {names}, which has none of the contigs of the test rows."
    touched = 0
    for place in tested:
        start, end = np.array([place.start]), np.array([place.end])
        touched += bool(places.touches(own.get(place.contig, ""), start, end)[0])
    loci = f"{touched:,} of {len(tested):,} test loci"
    return f"Pretraining on {names} saw {loci} (by contig name and place)."
