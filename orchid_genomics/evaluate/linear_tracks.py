"""The simple alternatives for tracks: ridge regressions on the letters around each bin, for GC and
for k-mers.

The trap: a bin is no row. Every known bin of the training rows is fitted, by sums over them, so
that long rows need no table of all bins; what surrounds a bin, and the penalty, are chosen on
validation.
"""

from collections.abc import Callable, Iterator

import numpy as np

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import Answered, primary_score
from orchid_genomics.sequence.kmers import all_codes

FLANKS = (0, 32, 128)  # letters on either side of a bin
PENALTIES = (1e-4, 1e-2, 1.0)  # in units of the features' variance
K = 3


def track_baselines(
    data: LabelledSet, say: Callable[[str], None] = lambda _: None
) -> Iterator[Answered]:
    """GC content and k-mers (K letters as read) around each bin: answers (n, P, T), NaN beyond the
    end of a row.

    Cost: one pass over the rows for each flank; memory is that of one row.
    """
    say("fitting GC content and k-mers around each bin")
    yield _best("GC content", data, 1)
    yield _best("k-mer regression", data, K)


def _best(name: str, data: LabelledSet, k: int) -> Answered:
    """The flank and the penalty that answer validation best."""
    train, validation, test = (data.rows(split) for split in ("train", "validation", "test"))
    best_score = -np.inf
    best: Answered | None = None
    for flank in FLANKS:
        squares, cross = ridge_sums(data, train, k, flank)
        for penalty in PENALTIES:
            weights = solve_ridge(squares, cross, penalty)
            answers = _answer(data, validation, flank=flank, k=k, weights=weights)
            score = primary_score(data, answers, validation)
            if best is None or score > best_score:
                best_score = score
                kmers = f"k = {k}, " if k > 1 else ""
                best = Answered(
                    name,
                    validation=answers,
                    test=_answer(data, test, flank=flank, k=k, weights=weights),
                    chosen=f"{kmers}{flank} nt on either side, penalty {penalty:g}",
                    parameters=weights.size,
                )
    if best is None:
        raise ValueError(f"{name}: no flank to choose from")
    return best


def around(tokens: np.ndarray, bin: int, k: int, flank: int) -> np.ndarray:
    """Shares (bins, features) of each k-mer in each bin, and in it with `flank` letters on either
    side.

    With k = 1 the share of G and C. k-mers with an N are not counted; a 1 stands last.
    """
    bins = np.arange(len(tokens) // bin)
    code, known = all_codes(tokens, k)
    count = len(code)
    # A row of zeros first: sums over a bin are differences of two rows.
    columns = np.zeros((count + 1, 4**k), np.float32)
    columns[1:][np.flatnonzero(known), code[known]] = 1
    # In float64: float32 stops counting at 2^24.
    total = columns.cumsum(0, dtype=np.float64)
    features = []
    for side in (0, flank) if flank else (0,):
        first = np.maximum(bins * bin - side, 0).clip(max=count)
        last = ((bins + 1) * bin + side - k + 1).clip(first, count)
        shares = total[last] - total[first]
        shares /= np.maximum(shares.sum(1, keepdims=True), 1)
        features.append(shares[:, 1:3].sum(1, keepdims=True) if k == 1 else shares)
    return np.concatenate([*features, np.ones((len(bins), 1))], 1)


def ridge_sums(
    data: LabelledSet, rows: np.ndarray, k: int, flank: int
) -> tuple[np.ndarray, np.ndarray]:
    """X'X (F, F) and X'Y (F, T) over the bins of some rows that have a number for every track."""
    squares = np.zeros((1, 1))
    cross = np.zeros((1, 1))
    for row in rows:
        x = around(data.tokens[row], data.task.bin, k, flank)
        y = data.target[row][: len(x)]
        known = np.isfinite(y).all(1)
        squares = squares + x[known].T @ x[known]
        cross = cross + x[known].T @ y[known].astype(float)
    return squares, cross


def solve_ridge(squares: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    """Weights (F, T) of the ridge regression of these sums; the last, the constant, is not held
    back.
    """
    count = squares[-1, -1]
    variance = np.maximum(np.diag(squares) / count - (squares[-1] / count) ** 2, 0)
    ridge = np.append(penalty * count * np.maximum(variance[:-1], 1e-9), 0.0)
    return np.linalg.solve(squares + np.diag(ridge), cross)


def _answer(
    data: LabelledSet, rows: np.ndarray, *, k: int, flank: int, weights: np.ndarray
) -> np.ndarray:
    """Answers (n, P, T), NaN beyond the end of a row."""
    bin = data.task.bin
    most = int(data.lengths[rows].max()) // bin
    answers = np.full((len(rows), most, weights.shape[1]), np.nan)
    for at, row in enumerate(rows):
        x = around(data.tokens[row], bin, k, flank)
        answers[at, : len(x)] = x @ weights
    return answers
