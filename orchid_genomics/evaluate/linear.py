"""The simple alternatives, on the same rows: majority, GC content, k-mer and positional regressions
(scikit-learn).

Choices (k, gaps, strength of the penalty) are made on validation alone. The trap: a baseline
trained on fewer rows, or tuned on test, is no baseline.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.metrics import NAMES, scored, thresholds_of
from orchid_genomics.sequence import CODE, DNA

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # ascending, as they grow slower to fit
_WORSE = 2  # strengths in a row that are no better, and end the search
GAPS = (1, 3, 5)
LONGEST_POSITIONAL = 2000  # letters of a sequence whose every position is a feature


@dataclass(frozen=True)
class Answered:
    """What one alternative says: answers (n, K) on validation and test; `chosen` on validation, in
    words.
    """

    name: str
    validation: np.ndarray
    test: np.ndarray
    chosen: str = ""
    parameters: int = 0


def simple(
    data: LabelledSet,
    strand: str,
    say: Callable[[str], None] = lambda _: None,
    sizes: Sequence[int] | None = (4, 5, 6),
) -> Iterator[Answered]:
    """Each alternative in turn, trained on all training rows of `data`; `strand` as that of the
    model's head.

    Without `sizes` of k-mers, and for tracks (whose others are in `local`), the constant answer
    alone.
    """
    yield _constant(data, data.rows("train"))
    if sizes is None or data.bin:
        return
    say("fitting GC content and k-mers")
    yield _best("GC content", data, [("", partial(_gc, data))])
    kmers = [(f"k = {k}", partial(kmer_counts, data, k, 0, strand)) for k in sizes]
    yield _best("k-mer regression", data, kmers)
    gapped = [
        (f"3 letters, gap of {gap}, 3 letters", partial(kmer_counts, data, 6, gap, strand))
        for gap in GAPS
    ]
    yield _best("gapped k-mer regression", data, gapped)
    lengths = data.lengths
    if lengths.min() == lengths.max() <= LONGEST_POSITIONAL:
        say("fitting letters by position")
        yield _best(
            "positional regression",
            data,
            [("", partial(_one_hot, data))],
            strengths=(0.001, 0.01, 0.1, 1.0),
        )


def _constant(data: LabelledSet, train: np.ndarray) -> Answered:
    """The commonest class, as the share of every class in training; the mean of numbers."""
    target = data.target[train]
    if data.bin:
        answer = np.broadcast_to(np.nanmean(target, (0, 1)), target.shape[1:])
    elif data.task == "multiclass":
        answer = np.bincount(target, minlength=len(data.labels)) / len(train)
    else:
        answer = np.atleast_1d(np.mean(target, 0)).astype(float)
    counts = [len(data.rows(split)) for split in ("validation", "test")]
    name = "mean" if data.task == "regression" else "majority class"
    tiled = (np.broadcast_to(answer, (count, *answer.shape)).copy() for count in counts)
    return Answered(name, *tiled, parameters=answer.shape[-1])


def _best(
    name: str,
    data: LabelledSet,
    features: Sequence[tuple[str, Callable[[], sparse.csr_matrix | np.ndarray]]],
    strengths: Sequence[float] = STRENGTHS,
) -> Answered:
    """The features and the strength that answer validation best (by the first score of the task)."""
    train, validation, test = (data.rows(split) for split in ("train", "validation", "test"))
    outputs = 1 if data.task == "binary" else len(data.labels)
    best: tuple[float, Answered] | None = None
    for words, make in features:
        x = make()
        highest, worse = -np.inf, 0
        for strength in strengths:
            answer = _fitted(data.task, x[train], data.target[train], strength)
            found = answer(x[validation])
            score = first_score(data, found, validation)
            if best is None or score > best[0]:
                chosen = ", ".join(filter(None, (words, f"C = {strength:g}")))
                best = (
                    score,
                    Answered(name, found, answer(x[test]), chosen, outputs * (x.shape[1] + 1)),
                )
            highest, worse = max(highest, score), 0 if score > highest else worse + 1
            if worse == _WORSE:
                break
    return best[1]


def first_score(data: LabelledSet, answers: np.ndarray, rows: np.ndarray) -> float:
    """The first score of the task on some rows, thresholds chosen on the same rows; NaN counts as
    the worst.
    """
    target = data.target[rows]
    thresholds = thresholds_of(data.task, answers, target)
    score = scored(data.task, answers, target, thresholds, np.ones((1, len(rows))))[
        NAMES[data.task][0]
    ][0]
    return float(score) if np.isfinite(score) else -np.inf


def _fitted(task: str, x, target: np.ndarray, strength: float) -> Callable:
    """A linear model of these rows: features -> answers (n, K)."""
    if task == "regression":
        model = Ridge(alpha=1 / strength).fit(x, target)
        return lambda rows: np.asarray(model.predict(rows)).reshape(rows.shape[0], -1)
    if task == "multilabel":
        each = [_logistic(x, target[:, k], strength) for k in range(target.shape[1])]
        return lambda rows: np.stack([model(rows)[:, -1] for model in each], 1)
    model = _logistic(x, target, strength)
    return model if task == "multiclass" else lambda rows: model(rows)[:, 1:]


def _logistic(x, target: np.ndarray, strength: float) -> Callable:
    """A logistic regression: features -> probabilities (n, classes); constant where training knows
    one class.
    """
    if len(np.unique(target)) == 1:
        return lambda rows: np.full((rows.shape[0], 1), float(target[0]))
    two = len(np.unique(target)) == 2
    model = LogisticRegression(C=strength, solver="liblinear" if two else "lbfgs", max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a baseline stopped early is still chosen on validation
        model.fit(x, target)
    return model.predict_proba


def _gc(data: LabelledSet) -> np.ndarray:
    """GC share and its square, about their means (N, 2)."""
    shares = []
    for row in data.tokens:
        codes = row & CODE
        shares.append(((codes == 1) | (codes == 2)).sum() / max((codes < DNA.count).sum(), 1))
    share = (np.array(shares) - np.mean(shares)) * 10
    return np.stack([share, share**2], 1)


def kmer_counts(data: LabelledSet, k: int, gap: int, strand: str) -> sparse.csr_matrix:
    """How often each k-mer stands in each row (N, 4**k), square roots, rows of unit length times
    10.

    With a gap, k // 2 letters, `gap` of any kind, then the rest. Where the strand does not matter a
    k-mer and its reverse complement are one. k-mers with an N are not counted.
    """
    letters = np.concatenate(data.tokens) & CODE
    lengths = data.lengths
    row = np.repeat(np.arange(len(data)), lengths)
    span = k + gap
    offsets = [at if at < k // 2 else at + gap for at in range(k)]
    count = max(len(letters) - span + 1, 0)
    code, known = np.zeros(count, np.int64), np.ones(count, bool)
    for offset in offsets:
        part = letters[offset : offset + count]
        code = code * 4 + np.minimum(part, 3)
        known &= part < DNA.count
    known &= row[:count] == row[span - 1 : span - 1 + count]
    code, at = code[known], row[:count][known]
    if strand == "both":
        code = np.minimum(code, reverse_code(code, k))
    table = sparse.csr_matrix((np.ones(len(code), np.float64), (at, code)), (len(data), 4**k))
    table.sum_duplicates()
    table.data = np.sqrt(table.data)
    norm = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    return sparse.csr_matrix(sparse.diags(10 / np.maximum(norm, 1e-9)) @ table)


def reverse_code(code: np.ndarray, k: int) -> np.ndarray:
    """The codes of the reverse complements (a gap in the middle stays in the middle)."""
    found = np.zeros_like(code)
    for _ in range(k):
        code, letter = np.divmod(code, 4)
        found = found * 4 + 3 - letter
    return found


def _one_hot(data: LabelledSet) -> sparse.csr_matrix:
    """Which letter stands where (N, 4 L); no letter for an N."""
    letters = (np.stack(data.tokens) & CODE).astype(np.int64)
    row, place = np.nonzero(letters < DNA.count)
    column = place * 4 + letters[row, place]
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), (len(data), 4 * letters.shape[1]))
