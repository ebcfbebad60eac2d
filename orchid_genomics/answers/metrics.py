"""Scores of answers over a whole set, each a function of row weights.

A bootstrap sample is a weight for every row (how often its family was drawn), so one sort serves a
thousand samples. The trap: scores averaged over batches, or AUROC of hard labels, are other
numbers; nothing of the kind is here.
"""

import numpy as np


def areas(
    score: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and AUPRC (S,) of `score` (N,) for `truth` (N,) bool under `weights` (S, N)."""
    return areas_of_ranks(*_by_threshold(score, truth, weights)[1:])


def areas_of_ranks(
    positive: np.ndarray, negative: np.ndarray, stratum: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and AUPRC (S,) of the weight (S, T) of positives and negatives at each of T ranks; NaN
    without a pair.

    AUROC is the share of pairs in the right order, a tie counting one half; within each `stratum`
    (T,) if given, whose ranks stand together and ascend. AUPRC is average precision, a step at each
    rank, and looks over all strata.
    """
    starts = (
        np.zeros(1, np.intp)
        if stratum is None
        else np.flatnonzero(np.diff(stratum, prepend=stratum[0] - 1))
    )
    below = negative.cumsum(1) - negative
    if stratum is not None:
        below -= below[:, starts[stratum]]
    pairs = (np.add.reduceat(positive, starts, 1) * np.add.reduceat(negative, starts, 1)).sum(1)
    hits, called = (counts[:, ::-1].cumsum(1) for counts in (positive, positive + negative))
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    auprc = _ratio((precision * positive[:, ::-1]).sum(1), hits[:, -1])
    return _ratio((positive * (below + negative / 2)).sum(1), pairs), np.where(
        pairs > 0, auprc, np.nan
    )


def _by_threshold(
    score: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Distinct scores in rising order, and the weight (S, T) of positives and negatives at each."""
    order = np.argsort(score, kind="stable")
    values, first = np.unique(score[order], return_index=True)
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * truth[order], first, axis=1)
    return values, positive, np.add.reduceat(ordered, first, axis=1) - positive


def confusion(
    called: np.ndarray, truth: np.ndarray, classes: int, weights: np.ndarray
) -> np.ndarray:
    """Weight (S, classes, classes) of rows by true class, then called class."""
    cell = np.zeros((len(truth), classes * classes))
    cell[np.arange(len(truth)), truth * classes + called] = 1.0
    return (weights @ cell).reshape(-1, classes, classes)


def mcc(table: np.ndarray) -> np.ndarray:
    """Matthews' correlation (S,) of confusion tables, for any number of classes (Gorodkin 2004)."""
    total, right = table.sum((1, 2)), np.trace(table, axis1=1, axis2=2)
    true, called = table.sum(2), table.sum(1)
    top = right * total - (true * called).sum(1)
    bottom = np.sqrt((total**2 - (called**2).sum(1)) * (total**2 - (true**2).sum(1)))
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def accuracy(table: np.ndarray) -> np.ndarray:
    return _ratio(np.trace(table, axis1=1, axis2=2), table.sum((1, 2)))


def f1(table: np.ndarray) -> np.ndarray:
    """F1 (S,) of the second of two classes; the mean over classes where there are more."""
    hits, both = np.diagonal(table, axis1=1, axis2=2), table.sum(1) + table.sum(2)
    each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return each[:, 1] if table.shape[1] == 2 else each.mean(1)


def pearson(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation (S,); 0 where either does not vary."""
    total = weights.sum(1)
    a, b = found - found.mean(), truth - truth.mean()
    mean_a, mean_b = weights @ a / total, weights @ b / total
    cross = weights @ (a * b) / total - mean_a * mean_b
    spread = (weights @ (a * a) / total - mean_a**2) * (weights @ (b * b) / total - mean_b**2)
    return np.divide(
        cross, np.sqrt(np.maximum(spread, 0)), out=np.zeros_like(cross), where=spread > 1e-18
    )


def spearman(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation (S,), on the ranks of the whole set (a sample's own ranks differ
    little).
    """
    return pearson(_ranks(found), _ranks(truth), weights)


def squared_error(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (found - truth) ** 2 / weights.sum(1)


def r2(found: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of variance explained (S,)."""
    total = weights.sum(1)
    mean = weights @ truth / total
    spread = weights @ truth**2 / total - mean**2
    return 1 - np.divide(
        squared_error(found, truth, weights), spread, out=np.ones_like(mean), where=spread > 0
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def best_threshold(score: np.ndarray, truth: np.ndarray) -> float:
    """The threshold of the highest MCC, of equals that of the highest accuracy; at or above it is
    called positive.

    Halfway between two scores, or at or just above all of them: a constant answer is the commoner
    class.
    """
    values, positive, negative = _by_threshold(score, truth.astype(bool), np.ones((1, len(score))))
    above_p = np.append(positive[0][::-1].cumsum()[::-1], 0.0)
    above_n = np.append(negative[0][::-1].cumsum()[::-1], 0.0)
    P, N = above_p[0], above_n[0]
    table = np.stack([np.stack([N - above_n, above_n], 1), np.stack([P - above_p, above_p], 1)], 1)
    best = int(np.lexsort((accuracy(table), mcc(table)))[-1])
    if best == len(values):
        return float(values[-1] + 1e-6 * max(1.0, abs(values[-1])))
    return float(values[best] if best == 0 else (values[best - 1] + values[best]) / 2)
