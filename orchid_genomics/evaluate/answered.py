"""What an alternative answers, and how good that is by the score that comparisons are by."""

from dataclasses import dataclass

import numpy as np

from orchid_genomics.data.labelled.schema import LabelledSet


@dataclass(frozen=True)
class Answered:
    """What one alternative answers on validation and test, and what was chosen for it."""

    name: str
    validation: np.ndarray
    """Answers (n, K), of tracks (n, P, K)."""
    test: np.ndarray
    chosen: str = ""
    """What was chosen on validation, in words."""
    parameters: int = 0


def primary_score(data: LabelledSet, answers: np.ndarray, rows: np.ndarray) -> float:
    """The primary score of answers for some rows, thresholds chosen on the same rows.

    NaN counts as the worst, for it must not be chosen.
    """
    task = data.task
    flat, target, _ = task.flatten(answers, data.target[rows], data.group[rows])
    thresholds = np.full(flat.shape[1], np.nan)
    # What early stopping is by needs none.
    if task.primary != task.monitor:
        thresholds = task.thresholds(flat, target)
    scores = task.score(flat, target, thresholds, np.ones((1, len(flat))))
    value = float(scores[task.primary][0])
    return value if np.isfinite(value) else -np.inf


def constant_answer(data: LabelledSet) -> Answered:
    """What training would have all answer: the share of each class, or the mean of numbers."""
    constant = data.task.constant(data.target[data.rows("train")])
    validation, test = (
        repeat_answer(constant, data.target[data.rows(split)]) for split in ("validation", "test")
    )
    return Answered(data.task.constant_name, validation, test, parameters=len(constant))


def repeat_answer(constant: np.ndarray, target: np.ndarray) -> np.ndarray:
    """One answer (K,) for every row, or for every bin, of targets (N,), (N, K) or (N, P, K)."""
    rows_and_bins = target.shape[:2] if target.ndim == 3 else target.shape[:1]
    return np.broadcast_to(constant, (*rows_and_bins, len(constant))).astype(float)
