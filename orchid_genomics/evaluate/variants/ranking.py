"""How well a score ranks positives above negatives; rows of one gene are not independent, so
clusters are resampled.

All areas come from one table: how many positives and negatives of each cluster stand at each rank
of each stratum.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from orchid_genomics.answers.metrics import areas_of_ranks
from orchid_genomics.evaluate.bootstrap import Estimate, resampled_counts

_ROWS = 1 << 14  # ranks of a resampled table, over all strata
_CLUSTERS = 1000  # more clusters than this are joined at random into so many
_FEW = 5  # of fewer clusters no interval is made: they say nothing of how clusters differ


@dataclass(frozen=True)
class Ranking:
    """What a score does with `positives` and `negatives` rows of `clusters` clusters: `pairs` of
    them in `strata`.

    Rows of a stratum without the other class have no partner and are not counted. `auprc` is None
    within strata.
    """

    auroc: Estimate
    auprc: Estimate | None
    positives: int
    negatives: int
    clusters: int
    strata: int
    pairs: int

    @property
    def base_rate(self) -> float:
        """The share of positives: the AUPRC of a score that knows nothing."""
        return (
            self.positives / (self.positives + self.negatives) if self.positives else float("nan")
        )


def rank(
    score: np.ndarray,
    positive: np.ndarray,
    cluster: np.ndarray,
    strata: np.ndarray | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Ranking:
    """AUROC and AUPRC of `score` (N,), higher meaning positive, with intervals by resampling
    clusters.

    AUROC is the share of pairs (positive, negative) **of one stratum** that stand in the right
    order, a tie counting one half, every pair weighing the same; AUPRC is average precision, a step
    at each distinct score. `positive` (N,) bool, `cluster` and `strata` (N,) any labels. The areas
    are exact; in the resampling a stratum of very many distinct scores is cut into equal parts
    (16,384 over all strata), whose members tie. Cost: N log N, and a product of 16,384 x
    min(clusters, 1000) x `samples`.
    """
    rows = _Rows.of([np.asarray(score, float)], positive, cluster, strata)
    if rows is None:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return Ranking(
            nothing, None if strata is not None else nothing, *_classes(positive), 0, 0, 0
        )
    auroc, auprc = rows.exact(0)
    found = [np.concatenate(part) for part in zip(*rows.resampled(0, samples, seed), strict=True)]
    counts = (
        int(rows.positive.sum()),
        int((~rows.positive).sum()),
        rows.clusters,
        rows.strata,
        rows.pairs,
    )
    whole = None if strata is not None else Estimate.of(auprc, found[1])
    return Ranking(Estimate.of(auroc, found[0]), whole, *counts)


def difference(
    one: np.ndarray,
    other: np.ndarray,
    positive: np.ndarray,
    cluster: np.ndarray,
    strata: np.ndarray | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """AUROC of `one` minus that of `other` on the same rows and resamples: above 0, `one` leads.

    Much narrower than the two intervals apart. Parameters as in `rank`.
    """
    rows = _Rows.of([np.asarray(one, float), np.asarray(other, float)], positive, cluster, strata)
    if rows is None:
        return Estimate(np.nan, np.nan, np.nan)
    first, second = (
        np.concatenate([part[0] for part in rows.resampled(i, samples, seed)]) for i in (0, 1)
    )
    return Estimate.of(rows.exact(0)[0] - rows.exact(1)[0], first - second)


@dataclass(frozen=True)
class _Rows:
    """Rows of strata that hold both classes; stratum and cluster as numbers from 0."""

    scores: list[np.ndarray]
    positive: np.ndarray
    cluster: np.ndarray
    stratum: np.ndarray
    clusters: int
    strata: int

    @classmethod
    def of(cls, scores, positive, cluster, strata) -> "_Rows | None":
        positive = np.asarray(positive, bool)
        if any(not np.isfinite(score).all() for score in scores):
            raise ValueError("a score that is not finite has no rank")
        stratum = np.zeros(len(positive), np.int64) if strata is None else _numbers(strata)
        both = np.bincount(stratum[positive], minlength=stratum.max(initial=0) + 1) > 0
        both &= np.bincount(stratum[~positive], minlength=len(both)) > 0
        kept = both[stratum]
        if not kept.any():
            return None
        numbers = _numbers(np.asarray(cluster)[kept])
        stratum = _numbers(stratum[kept])
        scores = [score[kept] for score in scores]
        return cls(
            scores, positive[kept], numbers, stratum, int(numbers.max()) + 1, int(stratum.max()) + 1
        )

    def exact(self, which: int) -> tuple[float, float]:
        """AUROC and AUPRC of one score, each distinct value its own rank."""
        row, stratum = self._ranks(self.scores[which], None)
        size = len(stratum)
        counts = [
            np.bincount(row[side], minlength=size)[None].astype(float) for side in self._sides
        ]
        auroc, auprc = areas_of_ranks(*counts, stratum)
        return float(auroc[0]), float(auprc[0])

    def resampled(
        self, which: int, samples: int, seed: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """AUROC and AUPRC of one score in every resample of the clusters, in pieces; none of under
        five clusters.
        """
        if self.clusters < _FEW:
            yield np.zeros(0), np.zeros(0)
            return
        rng = np.random.default_rng(seed)
        groups = min(self.clusters, _CLUSTERS)
        group = rng.permutation(self.clusters)[self.cluster] % groups
        row, stratum = self._ranks(self.scores[which], max(2, _ROWS // self.strata))
        tables = []
        for side in self._sides:
            flat = np.bincount(
                group[side] * len(stratum) + row[side], minlength=len(stratum) * groups
            )
            tables.append(flat.reshape(groups, len(stratum)).astype(np.float32))
        for counts in resampled_counts(groups, samples, rng):
            weights = counts.astype(np.float32)
            yield areas_of_ranks(*((weights @ table).astype(float) for table in tables), stratum)

    @property
    def pairs(self) -> int:
        positive, negative = (
            np.bincount(self.stratum[side], minlength=self.strata) for side in self._sides
        )
        return int((positive * negative).sum())

    @property
    def _sides(self) -> tuple[np.ndarray, np.ndarray]:
        return self.positive, ~self.positive

    def _ranks(self, score: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The rank of every row, ascending within strata (N,), and the stratum of every rank.

        A stratum of more than `most` distinct scores is cut into `most` parts of equal size, ties
        together.
        """
        order = np.lexsort((score, self.stratum))
        score, stratum = score[order], self.stratum[order]
        new_stratum = np.concatenate([[True], stratum[1:] != stratum[:-1]])
        new = new_stratum | np.concatenate([[True], score[1:] != score[:-1]])
        if most is not None:
            place = np.arange(len(score))
            begin, size = place[new_stratum][stratum], np.bincount(stratum)
            first = np.maximum.accumulate(np.where(new, place, 0)) - begin  # of those that tie
            part = first * most // size[stratum]
            many = (np.bincount(stratum, new) > most)[stratum]
            cut = np.concatenate([[True], part[1:] != part[:-1]])
            new = new_stratum | np.where(many, cut & new, new)
        row = np.empty(len(score), np.int64)
        row[order] = np.cumsum(new) - 1
        return row, stratum[new]


def _numbers(labels: np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)


def _classes(positive: np.ndarray) -> tuple[int, int]:
    positive = np.asarray(positive, bool)
    return int(positive.sum()), int((~positive).sum())
