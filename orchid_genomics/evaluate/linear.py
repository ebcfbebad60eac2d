"""The simple alternatives, on the same rows: majority, GC content, k-mer and positional regressions
(scikit-learn).

Choices (k, gaps, strength of the penalty) are made on validation alone. The trap: a baseline
trained on fewer rows, or tuned on test, is no baseline.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from orchid_genomics.answers.supervised_tasks import (
    Binary,
    MultiClass,
    MultiLabel,
    Regression,
    SupervisedTask,
)
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import Answered, constant_answer, primary_score
from orchid_genomics.evaluate.linear_tracks import track_baselines
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.kmers import gapped_codes, reverse_codes

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # ascending, as they grow slower to fit
# The weakest penalty takes longest with so many features, and is never chosen.
POSITIONAL_STRENGTHS = STRENGTHS[:-1]
_WORSE = 2  # strengths in a row that are no better, and end the search
GAPS = (1, 3, 5)
LONGEST_POSITIONAL = 2000  # letters of a sequence whose every position is a feature

Features = sparse.csr_matrix | np.ndarray
SURE = 30.0
"""The logit of what is always so in training."""


@dataclass(frozen=True)
class FeatureChoice:
    """One way to describe sequences, and what the choice of it is called."""

    words: str
    make: Callable[[], Features]


def baselines(
    data: LabelledSet,
    strand: str,
    say: Callable[[str], None] = lambda _: None,
    sizes: Sequence[int] | None = (4, 5, 6),
) -> Iterator[Answered]:
    """Each simple alternative in turn, trained on all training rows.

    Parameters
    ----------
    data
        A split set.
    strand
        "both" or "forward", as that of the model's head.
    say
        Where progress goes, a line at a time.
    sizes
        k of the k-mers; None for the constant answer alone.
    """
    yield constant_answer(data)
    if sizes is None:
        return
    if data.task.bin:
        yield from track_baselines(data, say)
        return
    say("fitting GC content and k-mers")
    yield _best("GC content", data, [FeatureChoice("", partial(gc_shares, data))])
    kmers = [FeatureChoice(f"k = {k}", partial(kmer_counts, data, k, 0, strand)) for k in sizes]
    yield _best("k-mer regression", data, kmers)
    gapped_kmers = []
    for gap in GAPS:
        words = f"3 letters, gap of {gap}, 3 letters"
        gapped_kmers.append(FeatureChoice(words, partial(kmer_counts, data, 6, gap, strand)))
    yield _best("gapped k-mer regression", data, gapped_kmers)
    if has_places(data):
        say("fitting letters by position")
        letters = [FeatureChoice("", partial(one_hot, data))]
        yield _best("positional regression", data, letters, POSITIONAL_STRENGTHS)


def _best(
    name: str,
    data: LabelledSet,
    choices: Sequence[FeatureChoice],
    strengths: Sequence[float] = STRENGTHS,
) -> Answered:
    """The features and the strength that answer validation best (by the primary score)."""
    train, validation, test = (data.rows(split) for split in ("train", "validation", "test"))
    best_score = -np.inf
    best: Answered | None = None
    for choice in choices:
        x = choice.make()
        judge = partial(_judge, data, x[validation], validation)
        fits = search_strengths(data.task, (x[train], data.target[train]), judge, strengths)
        for strength, fitted, score in fits:
            if best is None or score > best_score:
                best_score = score
                best = Answered(
                    name,
                    validation=fitted(x[validation]),
                    # Answered while the model is there; no choice looks at it.
                    test=fitted(x[test]),
                    chosen=", ".join(filter(None, (choice.words, f"C = {strength:g}"))),
                    parameters=data.task.outputs * (x.shape[1] + 1),
                )
    if best is None:
        raise ValueError(f"{name}: no features to choose from")
    return best


@dataclass(frozen=True)
class Linear:
    """A linear model of a task: features of rows (n, F) -> answers (n, K)."""

    task: SupervisedTask
    weight: np.ndarray
    """(K, F)."""
    bias: np.ndarray
    """(K,)."""

    def outputs(self, x: Features) -> np.ndarray:
        """What the answers are made of (n, K): logits, or numbers."""
        return np.asarray(x @ self.weight.T) + self.bias

    def __call__(self, x: Features) -> np.ndarray:
        return self.task.link(torch.from_numpy(self.outputs(x))).numpy()


def _judge(data: LabelledSet, x: Features, rows: np.ndarray, fitted: "Linear") -> float:
    return primary_score(data, fitted(x), rows)


def search_strengths(
    task: SupervisedTask,
    rows: tuple[Features, np.ndarray],
    judge: Callable[[Linear], float],
    strengths: Sequence[float] = STRENGTHS,
) -> Iterator[tuple[float, Linear, float]]:
    """Strength, model and what it is judged to be worth (more is better), from the strongest
    penalty on, up to two in a row that are no better.

    Parameters
    ----------
    rows
        Features (n, F) and targets to fit.
    judge
        What a model is worth on other rows.
    """
    highest, worse = -np.inf, 0
    for strength in strengths:
        fitted = fit_linear(task, *rows, strength)
        score = judge(fitted)
        yield strength, fitted, score
        worse = 0 if score > highest else worse + 1
        highest = max(highest, score)
        if worse == _WORSE:
            return


@singledispatch
def fit_linear(task: SupervisedTask, x: Features, target: np.ndarray, strength: float) -> Linear:
    """The linear model of a task on these rows; `strength` is the inverse of its penalty."""
    raise NotImplementedError(f"no linear model of {task.name}")


@fit_linear.register
def _(task: Regression, x: Features, target: np.ndarray, strength: float) -> Linear:
    model = Ridge(alpha=1 / strength).fit(x, target)
    weight = np.asarray(model.coef_).reshape(task.outputs, -1)
    return Linear(task, weight, np.broadcast_to(model.intercept_, task.outputs))


@fit_linear.register
def _(task: MultiLabel, x: Features, target: np.ndarray, strength: float) -> Linear:
    each = [_logistic(x, target[:, k], strength) for k in range(target.shape[1])]
    weights, biases = zip(*each, strict=True)
    return Linear(task, np.concatenate(weights), np.concatenate(biases))


@fit_linear.register
def _(task: MultiClass, x: Features, target: np.ndarray, strength: float) -> Linear:
    known = np.unique(target)
    weight, bias = _logistic(x, target, strength)
    if len(known) == 1:
        bias = np.array([SURE])
    elif len(known) == 2:
        # One logit, of the second of the two.
        weight, bias = np.stack([0 * weight[0], weight[0]]), np.array([0.0, bias[0]])
    # A class that training does not know is never answered.
    every = np.zeros((task.outputs, x.shape[1])), np.full(task.outputs, -SURE)
    every[0][known], every[1][known] = weight, bias
    return Linear(task, *every)


@fit_linear.register
def _(task: Binary, x: Features, target: np.ndarray, strength: float) -> Linear:
    return Linear(task, *_logistic(x, target, strength))


def _logistic(x: Features, target: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of a logistic regression: of the second of two classes (1, F), of each of
    several; constant where training knows one class.
    """
    classes = np.unique(target)
    if len(classes) == 1:
        return np.zeros((1, x.shape[1])), np.array([SURE if classes[0] > 0 else -SURE])
    solver = "liblinear" if len(classes) == 2 else "lbfgs"
    model = LogisticRegression(C=strength, solver=solver, max_iter=200)
    with warnings.catch_warnings():
        # A baseline stopped early is still chosen on validation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, target)
    return model.coef_, model.intercept_


def gc_shares(data: LabelledSet) -> np.ndarray:
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
    table = word_table(data, k, gap, strand)
    table.data = np.sqrt(table.data)
    norm = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    return sparse.csr_matrix(sparse.diags(10 / np.maximum(norm, 1e-9)) @ table)


def word_table(data: LabelledSet, k: int, gap: int, strand: str) -> sparse.csr_matrix:
    """How often each k-mer stands in each row (N, 4**k); see `kmer_counts`."""
    row_of_letter = np.repeat(np.arange(len(data)), data.lengths)
    codes, valid = gapped_codes(np.concatenate(data.tokens), k, gap)
    first = row_of_letter[: len(codes)]
    last = row_of_letter[k + gap - 1 :][: len(codes)]
    # No k-mer runs from one row into the next.
    valid = valid & (first == last)
    codes = codes[valid]
    if strand == "both":
        codes = np.minimum(codes, reverse_codes(codes, k))
    ones = np.ones(len(codes), np.float64)
    table = sparse.csr_matrix((ones, (first[valid], codes)), (len(data), 4**k))
    table.sum_duplicates()
    return table


def has_places(data: LabelledSet) -> bool:
    """Whether `one_hot` describes rows: in rows of several lengths a position is no one place."""
    lengths = data.lengths
    return bool(lengths.min() == lengths.max() <= LONGEST_POSITIONAL)


def one_hot(data: LabelledSet) -> sparse.csr_matrix:
    """Which letter stands where (N, 4 L); no letter for an N."""
    letters = (np.stack(data.tokens) & CODE).astype(np.int64)
    row, position = np.nonzero(letters < DNA.count)
    column = position * 4 + letters[row, position]
    shape = (len(data), 4 * letters.shape[1])
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape)
