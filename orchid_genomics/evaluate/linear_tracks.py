"""The simple alternatives for tracks: ridge regressions on the letters around each bin, for GC and
for k-mers.

The trap: a bin is no row. Every known bin of the training rows is fitted, by sums over them, so
that long rows need no table of all bins; what surrounds a bin, and the penalty, are chosen on
validation.
"""

from collections.abc import Callable, Iterator

import numpy as np

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.linear import Answered
from orchid_genomics.evaluate.metrics import NAMES, scored, thresholds_of
from orchid_genomics.sequence.kmers import whole

FLANKS = (0, 32, 128)  # letters on either side of a bin
PENALTIES = (1e-4, 1e-2, 1.0)  # in units of the features' variance
K = 3


def local(data: LabelledSet, say: Callable[[str], None] = lambda _: None) -> Iterator[Answered]:
    """GC content and k-mers (K letters as read) around each bin: answers (n, P, T), NaN beyond the
    end of a row.

    Cost: one pass over the rows for each flank; memory is that of one row.
    """
    say("fitting GC content and k-mers around each bin")
    yield _best("GC content", data, 1)
    yield _best("k-mer regression", data, K)


def _best(name: str, data: LabelledSet, k: int) -> Answered:
    train, validation, test = (data.rows(split) for split in ("train", "validation", "test"))
    best: tuple[float, np.ndarray, int, str] | None = None
    for flank in FLANKS:
        sums = _sums(data, train, k, flank)
        for penalty in PENALTIES:
            weights = _solved(*sums, penalty)
            score = _score(data, validation, _answers(data, validation, k, flank, weights))
            if best is None or score > best[0]:
                about = f"k = {k}, " if k > 1 else ""
                best = (
                    score,
                    weights,
                    flank,
                    f"{about}{flank} nt on either side, penalty {penalty:g}",
                )
    _, weights, flank, chosen = best
    both = (_answers(data, rows, k, flank, weights) for rows in (validation, test))
    return Answered(name, *both, chosen, weights.size)


def around(tokens: np.ndarray, bin: int, k: int, flank: int) -> np.ndarray:
    """Shares (bins, features) of each k-mer in each bin, and in it with `flank` letters on either
    side.

    With k = 1 the share of G and C. k-mers with an N are not counted; a 1 stands last.
    """
    bins = np.arange(len(tokens) // bin)
    code, known = whole(tokens, k)
    count = len(code)
    columns = np.zeros((count + 1, 4**k), np.float32)
    columns[1:][np.flatnonzero(known), code[known]] = 1
    total = columns.cumsum(0, dtype=np.float64)
    found = []
    for side in (0, flank) if flank else (0,):
        first = np.maximum(bins * bin - side, 0).clip(max=count)
        last = ((bins + 1) * bin + side - k + 1).clip(first, count)
        shares = total[last] - total[first]
        shares /= np.maximum(shares.sum(1, keepdims=True), 1)
        found.append(shares[:, 1:3].sum(1, keepdims=True) if k == 1 else shares)
    return np.concatenate([*found, np.ones((len(bins), 1))], 1)


def _sums(data: LabelledSet, rows: np.ndarray, k: int, flank: int) -> tuple[np.ndarray, np.ndarray]:
    """X'X (F, F) and X'Y (F, T) over the bins of some rows that have a number for every track."""
    squares, cross = 0.0, 0.0
    for row in rows:
        x = around(data.tokens[row], data.bin, k, flank)
        y = data.target[row][: len(x)]
        known = np.isfinite(y).all(1)
        squares, cross = (
            squares + x[known].T @ x[known],
            cross + x[known].T @ y[known].astype(float),
        )
    return squares, cross


def _solved(squares: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (F, T) of the ridge regression of these sums; the last, the constant, is not held
    back.
    """
    count = squares[-1, -1]
    variance = np.maximum(np.diag(squares) / count - (squares[-1] / count) ** 2, 0)
    ridge = np.append(penalty * count * np.maximum(variance[:-1], 1e-9), 0.0)
    return np.linalg.solve(squares + np.diag(ridge), cross)


def _answers(
    data: LabelledSet, rows: np.ndarray, k: int, flank: int, weights: np.ndarray
) -> np.ndarray:
    most = int(data.lengths[rows].max()) // data.bin
    found = np.full((len(rows), most, weights.shape[1]), np.nan)
    for at, row in enumerate(rows):
        x = around(data.tokens[row], data.bin, k, flank)
        found[at, : len(x)] = x @ weights
    return found


def _score(data: LabelledSet, rows: np.ndarray, found: np.ndarray) -> float:
    """The first score of the task over the bins of some rows; NaN counts as the worst."""
    target = data.target[rows][:, : found.shape[1]]
    known = np.isfinite(target).all(2) & np.isfinite(found).all(2)
    answer, truth = found[known], target[known]
    thresholds = thresholds_of(data.task, answer, truth)
    score = scored(data.task, answer, truth, thresholds, np.ones((1, len(answer))))[
        NAMES[data.task][0]
    ][0]
    return float(score) if np.isfinite(score) else -np.inf
