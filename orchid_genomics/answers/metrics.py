"""Scores of answers over a whole set, each a function of row weights.

A bootstrap sample is a weight for every row (how often its family was drawn), so one sort serves a
thousand samples. The trap: scores averaged over batches, or AUROC of hard labels, are other
numbers; nothing of the kind is here.

Weights are (S, N): S samples of N rows; every score is (S,).
"""

import numpy as np

SAMPLES = 100
"""Bootstrap samples whose thresholds are averaged."""
CELLS = 2_000_000
"""Rows of all samples together: of many rows, one sample says it."""
EQUAL = 1e-12


def areas(
    score: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and AUPRC (S,) of `score` (N,) for `truth` (N,) bool under `weights` (S, N)."""
    _, positive, negative = _weight_at_scores(score, truth, weights)
    return areas_of_ranks(positive, negative)


def areas_of_ranks(
    positive: np.ndarray, negative: np.ndarray, stratum: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and AUPRC from what stands at each rank.

    Parameters
    ----------
    positive, negative
        The weight (S, T) of positives and negatives at each of T ranks, the lowest score first.
    stratum
        The stratum (T,) of each rank, if pairs count within strata alone; ranks of a stratum stand
        together, and strata ascend.

    Returns
    -------
    tuple of numpy.ndarray
        AUROC (S,), the share of pairs in the right order, a tie counting one half; and AUPRC (S,),
        average precision with a step at each rank, over all strata. NaN without a pair.
    """
    if stratum is None:
        starts = np.zeros(1, np.intp)
    else:
        starts = np.flatnonzero(np.diff(stratum, prepend=stratum[0] - 1))
    # Without those at the rank itself, of which half are added at the end: a tie is half right.
    below = negative.cumsum(1) - negative
    if stratum is not None:
        below -= below[:, starts[stratum]]
    positives = np.add.reduceat(positive, starts, 1)
    pairs = (positives * np.add.reduceat(negative, starts, 1)).sum(1)
    # From the highest score down, as rows would be called.
    hits = positive[:, ::-1].cumsum(1)
    called = (positive + negative)[:, ::-1].cumsum(1)
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    auroc = _ratio((positive * (below + negative / 2)).sum(1), pairs)
    auprc = _ratio((precision * positive[:, ::-1]).sum(1), hits[:, -1])
    return auroc, np.where(pairs > 0, auprc, np.nan)


def _weight_at_scores(
    score: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores in rising order, and the weight (S, T) of positives and negatives at each."""
    order = np.argsort(score, kind="stable")
    # Equal scores are one rank: the order of rows within a tie must not count.
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
    # Where all rows are of one class, or called one class, nothing is told apart: 0, not NaN.
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def accuracy(table: np.ndarray) -> np.ndarray:
    """The share (S,) of rows that are called what they are."""
    return _ratio(np.trace(table, axis1=1, axis2=2), table.sum((1, 2)))


def f1(table: np.ndarray) -> np.ndarray:
    """F1 (S,) of the second of two classes; the mean over classes where there are more."""
    hits, both = np.diagonal(table, axis1=1, axis2=2), table.sum(1) + table.sum(2)
    each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return each[:, 1] if table.shape[1] == 2 else each.mean(1)


def pearson(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation (S,); 0 where either does not vary."""
    total = weights.sum(1)
    # About their means, for sums of squares of large numbers lose what varies.
    a = answers - answers.mean()
    b = truth - truth.mean()
    mean_a, mean_b = weights @ a / total, weights @ b / total
    cross = weights @ (a * b) / total - mean_a * mean_b
    spread = (weights @ (a * a) / total - mean_a**2) * (weights @ (b * b) / total - mean_b**2)
    root = np.sqrt(np.maximum(spread, 0))
    # Rounding leaves a little spread where nothing varies.
    return np.divide(cross, root, out=np.zeros_like(cross), where=spread > 1e-18)


def spearman(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation (S,), on the ranks of the whole set (a sample's own ranks differ
    little).
    """
    return pearson(_ranks(answers), _ranks(truth), weights)


def squared_error(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean squared error (S,)."""
    return weights @ (answers - truth) ** 2 / weights.sum(1)


def r2(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of variance explained (S,); below 0 where the mean would do better."""
    total = weights.sum(1)
    mean = weights @ truth / total
    spread = weights @ truth**2 / total - mean**2
    error = squared_error(answers, truth, weights)
    return 1 - np.divide(error, spread, out=np.ones_like(mean), where=spread > 0)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def steady_threshold(score: np.ndarray, truth: np.ndarray) -> float:
    """The threshold of highest MCC, as the middle of those of bootstrap samples (bagging, Breiman
    1996); at or above it is called positive.

    The highest MCC of a few hundred rows stands wherever chance put it. Thresholds are averaged as
    places in the order of the scores, so that no scale of them counts. It is halfway between two
    scores, or at or just above all of them: a constant answer is the commoner class.
    """
    truth = truth.astype(bool)
    weights: np.ndarray = np.ones((1, len(score)))
    samples = min(SAMPLES, CELLS // max(len(score), 1))
    if samples > 1:
        rng = np.random.default_rng(0)
        weights = rng.multinomial(len(score), np.full(len(score), 1 / len(score)), samples)
        # A sample of one class has no threshold.
        both = (weights @ truth > 0) & (weights @ ~truth > 0)
        weights = weights[both] if both.any() else weights[:1]
    values, positive, negative = _weight_at_scores(score, truth, weights)
    places = [_best_place(*each) for each in zip(positive, negative, strict=True)]
    best = round(float(np.mean(places)))
    if best == len(values):
        # A step of its size, or it would round away beside a large score.
        return float(values[-1] + 1e-6 * max(1.0, abs(values[-1])))
    if best == 0:
        return float(values[0])
    return float((values[best - 1] + values[best]) / 2)


def _best_place(positive: np.ndarray, negative: np.ndarray) -> float:
    """How many of T ranks to call negative for the highest MCC, of equals for the highest accuracy,
    of equals of both the mean; `positive` and `negative` (T,) are the weights at each.
    """
    above_positive = np.append(positive[::-1].cumsum()[::-1], 0.0)
    above_negative = np.append(negative[::-1].cumsum()[::-1], 0.0)
    called_not = np.stack([above_negative[0] - above_negative, above_negative], 1)
    called = np.stack([above_positive[0] - above_positive, above_positive], 1)
    table = np.stack([called_not, called], 1)
    value, right = mcc(table), accuracy(table)
    equal = np.flatnonzero(value >= value.max() - EQUAL)
    return float(equal[right[equal] >= right[equal].max() - EQUAL].mean())
