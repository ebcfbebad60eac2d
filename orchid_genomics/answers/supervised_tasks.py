"""The kinds of supervised task: loss, link, scores, constant answer and outputs, one class each.

What differs between classes, bits, numbers and tracks is asked of these objects and nowhere else:
data, heads, training, comparison and pages hold a `SupervisedTask`. The trap: the names of tasks
stand in recipes, config.json and evaluation.json; a new name there is a new format.

Shapes: outputs of a model and answers are (N, K), of tracks (N, P, K) with P bins; targets are
(N,) int64 classes, (N, K) float32 bits or numbers, or (N, P, K) with NaN where a bin has none.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orchid_genomics.answers import metrics

TaskName = Literal["binary", "multiclass", "multilabel", "regression"]

CALL_SCORES = {"MCC": metrics.mcc, "accuracy": metrics.accuracy, "F1": metrics.f1}
NUMBER_SCORES = {
    "Pearson": metrics.pearson,
    "Spearman": metrics.spearman,
    "R2": metrics.r2,
    "MSE": metrics.squared_error,
}


class SupervisedTask(ABC):
    """What one kind of answer is; its defaults are those of one answer a row."""

    name: TaskName
    labels: tuple[str, ...]
    """Classes (binary: the second is the positive one), or what each bit, number or track is."""
    bin: int = 0
    """Letters of one number of a track; 0 where answers are of whole sequences."""

    scores: tuple[str, ...]
    """The names of all scores; comparisons are by the first."""
    monitor: str
    """The score that early stopping is by; it needs no threshold."""
    constant_name: str
    """What the constant answer is called among the alternatives."""
    plural: str
    """What targets are, in messages."""

    has_classes: bool = False
    """Targets are the codes of classes, not bits or numbers."""
    has_numbers: bool = False
    """Outputs are in the units of the labels, and any value is possible."""
    has_thresholds: bool = False
    """Answers are called positive at or above a threshold, chosen on validation."""
    by_label: bool = False
    """Pages list the score of every label."""

    @property
    def primary(self) -> str:
        """The score that comparisons are by; higher is better."""
        return self.scores[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """What each column of answers is the answer for."""
        return self.labels

    @property
    def outputs(self) -> int:
        """Numbers that a model makes of a row, or of a bin."""
        return len(self.columns)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the scores, a sentence each."""
        return ()

    @classmethod
    def label_fault(cls, count: int) -> str:
        """How many labels were possible where `count` are not; empty where they are."""
        return ""

    @abstractmethod
    def link(self, outputs: Tensor) -> Tensor:
        """Outputs as answers: probabilities (binary: of the second class), or numbers."""

    @abstractmethod
    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        """The loss of every row (N,), or of every bin (N, P); 0 where a track has no number.

        `scale` (K,) is the spread of training numbers, `class_weights` what `balance` gives.
        """

    @abstractmethod
    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Every score (S,) of flat answers (N, K) under row weights (S, N)."""

    def thresholds(self, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
        """A threshold a column (K,) of high MCC on these rows; NaN where there is none."""
        return np.full(answers.shape[1], np.nan)

    def constant(self, target: np.ndarray) -> np.ndarray:
        """The one answer (K,) that these targets would have everybody give."""
        return np.atleast_1d(np.mean(target, 0)).astype(float)

    def units(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread (K,) of training numbers; 0 and 1 where answers are no numbers."""
        return np.zeros(1, np.float32), np.ones(1, np.float32)

    def balance(self, target: np.ndarray) -> np.ndarray | None:
        """Weights that give every class, or both answers of every label, the same say.

        They average 1 over `target`. None where there are no classes.
        """
        return None

    def row_weights(self, target: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        """What each row (N,) weighs under `class_weights`."""
        return np.ones(len(target), np.float32)

    def count(self, target: np.ndarray) -> np.ndarray:
        """How many answers each row (N,) holds."""
        return np.ones(len(target), np.float32)

    def flatten(
        self, answers: np.ndarray, target: np.ndarray, group: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers, targets and groups of rows, or of the bins that have a number of every track."""
        return answers, target, group

    def positive(self, target: np.ndarray, column: int) -> np.ndarray:
        """Which rows (N,) bool are positive for one column of answers."""
        return target[:, column] > 0

    def call(self, answers: np.ndarray, thresholds: np.ndarray) -> np.ndarray | None:
        """The class (N,) that each row is called; None where answers are no classes."""
        return None


@dataclass(frozen=True)
class Binary(SupervisedTask):
    """One of two classes: a logit of the second."""

    labels: tuple[str, ...]

    name = "binary"
    scores = ("MCC", "AUROC", "AUPRC", "accuracy", "F1")
    monitor = "AUROC"
    constant_name = "majority class"
    plural = "classes"
    has_classes = True
    has_thresholds = True

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labels[1:]

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"Positive: {self.labels[1]} (AUPRC, F1 and the probability are of it).",)

    @classmethod
    def label_fault(cls, count: int) -> str:
        return "" if count == 2 else "exactly 2"

    def link(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            outputs[:, 0], target.float(), reduction="none"
        )

    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        return _mean_over_columns(self.scores, answers, target[:, None], thresholds, weights)

    def thresholds(self, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.array([metrics.steady_threshold(answers[:, 0], target > 0)])

    def balance(self, target: np.ndarray) -> np.ndarray:
        return _same_say(np.bincount(target, minlength=2), len(target))

    def row_weights(self, target: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        return class_weights[target]

    def positive(self, target: np.ndarray, column: int) -> np.ndarray:
        return target > 0

    def call(self, answers: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        return (answers[:, 0] >= thresholds[0]).astype(int)


@dataclass(frozen=True)
class MultiClass(SupervisedTask):
    """One of three classes or more: a logit of each."""

    labels: tuple[str, ...]

    name = "multiclass"
    scores = ("MCC", "AUROC", "AUPRC", "accuracy", "F1")
    monitor = "AUROC"
    constant_name = "majority class"
    plural = "classes"
    has_classes = True
    by_label = True

    @classmethod
    def label_fault(cls, count: int) -> str:
        return "" if count >= 3 else "3 or more"

    def link(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(-1)

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        return functional.cross_entropy(outputs, target, reduction="none")

    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        each = []
        for code in range(answers.shape[1]):
            positive = target == code
            # A class that no row, or every row, has leaves no pair to put in order.
            if positive.any() and not positive.all():
                each.append(metrics.areas(answers[:, code], positive, weights))
        auroc, auprc = np.mean(each, 0)
        called = answers.argmax(1)
        table = metrics.confusion(called, target, answers.shape[1], weights)
        calls = {name: score(table) for name, score in CALL_SCORES.items()}
        return {"MCC": calls.pop("MCC"), "AUROC": auroc, "AUPRC": auprc, **calls}

    def constant(self, target: np.ndarray) -> np.ndarray:
        return np.bincount(target, minlength=len(self.labels)) / len(target)

    def balance(self, target: np.ndarray) -> np.ndarray:
        return _same_say(np.bincount(target, minlength=len(self.labels)), len(target))

    def row_weights(self, target: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
        return class_weights[target]

    def positive(self, target: np.ndarray, column: int) -> np.ndarray:
        return target == column

    def call(self, answers: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        return answers.argmax(1)


@dataclass(frozen=True)
class MultiLabel(SupervisedTask):
    """Any of several labels: a logit of each."""

    labels: tuple[str, ...]

    name = "multilabel"
    scores = ("AUROC", "AUPRC", "MCC", "accuracy", "F1")
    monitor = "AUROC"
    constant_name = "majority class"
    plural = "labels"
    has_thresholds = True
    by_label = True

    def link(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        known = torch.isfinite(target)
        target = torch.where(known, target, 0.0)
        each = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        if class_weights is not None:
            zero, one = torch.as_tensor(class_weights).to(each)
            each = each * torch.where(target > 0, one, zero)
        return _mean_of_known(each, known)

    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        return _mean_over_columns(self.scores, answers, target, thresholds, weights)

    def thresholds(self, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
        columns = range(target.shape[1])
        return np.array(
            [metrics.steady_threshold(answers[:, k], target[:, k] > 0) for k in columns]
        )

    def balance(self, target: np.ndarray) -> np.ndarray:
        counts = np.stack([(target == 0).sum(0), (target > 0).sum(0)])
        return _same_say(counts, len(target))


@dataclass(frozen=True)
class Regression(SupervisedTask):
    """Numbers, in the units of the labels."""

    labels: tuple[str, ...]

    name = "regression"
    scores = ("Pearson", "Spearman", "R2", "MSE")
    monitor = "Pearson"
    constant_name = "mean"
    plural = "numbers"
    has_numbers = True

    def link(self, outputs: Tensor) -> Tensor:
        return outputs

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        """Squared errors in units of the spread, so that no number outweighs others by its unit."""
        known = torch.isfinite(target)
        target = torch.where(known, target, 0.0)
        each = ((outputs - target) / torch.as_tensor(scale).to(outputs)).square()
        return _mean_of_known(each, known)

    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        answers, target = answers.astype(float), target.astype(float)
        columns = range(target.shape[1])
        return {
            name: np.mean([score(answers[:, k], target[:, k], weights) for k in columns], 0)
            for name, score in NUMBER_SCORES.items()
        }

    def units(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = target.reshape(-1, target.shape[-1])
        # What does not vary in training must still be divided by.
        spread = np.maximum(np.nanstd(flat, 0), 1e-6)
        return np.nanmean(flat, 0).astype(np.float32), spread.astype(np.float32)


class Tracks(SupervisedTask):
    """Bits or numbers along a sequence: those of `each`, for every `bin` of letters."""

    plural = "tracks"

    def __init__(self, each: MultiLabel | Regression, bin: int) -> None:
        # What a bin by itself decides is what `each` says; only shapes differ below.
        self.each = each
        self.bin = bin
        self.name = each.name
        self.labels = each.labels
        self.scores = each.scores
        self.monitor = each.monitor
        self.constant_name = each.constant_name
        self.has_numbers = each.has_numbers
        self.has_thresholds = each.has_thresholds
        self.by_label = each.by_label

    def link(self, outputs: Tensor) -> Tensor:
        return self.each.link(outputs)

    def loss(
        self,
        outputs: Tensor,
        target: Tensor,
        scale: np.ndarray | Tensor,
        class_weights: np.ndarray | Tensor | None = None,
    ) -> Tensor:
        # Outputs are as long as the batch is padded, targets as the longest row of the set: either
        # may have more bins.
        bins = min(outputs.shape[1], target.shape[1])
        return self.each.loss(outputs[:, :bins], target[:, :bins], scale)

    def score(
        self, answers: np.ndarray, target: np.ndarray, thresholds: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        return self.each.score(answers, target, thresholds, weights)

    def thresholds(self, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.each.thresholds(answers, target)

    def constant(self, target: np.ndarray) -> np.ndarray:
        return np.nanmean(target, (0, 1)).astype(float)

    def units(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.each.units(target)

    def count(self, target: np.ndarray) -> np.ndarray:
        return np.isfinite(target).any(2).sum(1).astype(np.float32)

    def flatten(
        self, answers: np.ndarray, target: np.ndarray, group: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        target = target[:, : answers.shape[1]]
        known = np.isfinite(target).all(2) & np.isfinite(answers).all(2)
        groups = np.repeat(group[:, None], known.shape[1], 1)
        return answers[known], target[known], groups[known]


TASKS: dict[TaskName, type[Binary | MultiClass | MultiLabel | Regression]] = {
    "binary": Binary,
    "multiclass": MultiClass,
    "multilabel": MultiLabel,
    "regression": Regression,
}
"""The kinds of answer by their names in recipes and files; tracks are made of the last two."""


def task_of(name: TaskName, labels: tuple[str, ...], bin: int = 0) -> SupervisedTask:
    """The task of a name, its labels and, for tracks, the letters of a bin."""
    task = TASKS[name](labels)
    return Tracks(task, bin) if bin and isinstance(task, MultiLabel | Regression) else task


def _mean_of_known(each: Tensor, known: Tensor) -> Tensor:
    """The mean over the last axis of what is known; 0 where nothing is."""
    return (each * known).sum(-1) / known.sum(-1).clamp(min=1)


def _same_say(counts: np.ndarray, rows: int) -> np.ndarray:
    """Weights of classes (classes,), or of 0 and 1 of each label (2, K), inverse to counts."""
    # Classes without rows are not counted, or the weights would not average 1.
    kinds = np.maximum((counts > 0).sum(0), 1)
    return (rows / (kinds * np.maximum(counts, 1))).astype(np.float32)


def _mean_over_columns(
    names: tuple[str, ...],
    answers: np.ndarray,
    target: np.ndarray,
    thresholds: np.ndarray,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Scores (S,) of bits: the mean over the columns (N, K) in which both answers occur."""
    each: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for k in range(target.shape[1]):
        positive = target[:, k] > 0
        if positive.all() or not positive.any():
            continue
        auroc, auprc = metrics.areas(answers[:, k], positive, weights)
        each["AUROC"].append(auroc)
        each["AUPRC"].append(auprc)
        called = (answers[:, k] >= thresholds[k]).astype(int)
        table = metrics.confusion(called, positive.astype(int), 2, weights)
        for name, score in CALL_SCORES.items():
            each[name].append(score(table))
    nothing = np.full(len(weights), np.nan)
    return {name: np.mean(values, 0) if values else nothing for name, values in each.items()}
