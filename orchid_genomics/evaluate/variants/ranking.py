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
    """AUROC and AUPRC of a score, with intervals by resampling clusters.

    The areas are exact; in the resampling a stratum of very many distinct scores is cut into equal
    parts (16,384 over all strata), whose members tie. Cost: N log N, and a product of 16,384 x
    min(clusters, 1000) x `samples`.

    Parameters
    ----------
    score
        (N,), higher meaning positive.
    positive
        Bool (N,).
    cluster
        Labels (N,) of what is resampled together.
    strata
        Labels (N,): a positive is compared with negatives of its own stratum alone.
    samples, seed
        How many resamples, and which.

    Returns
    -------
    Ranking
        AUROC is the share of pairs (positive, negative) of one stratum that stand in the right
        order, a tie counting one half, every pair weighing the same; AUPRC is average precision, a
        step at each distinct score.
    """
    rows = _Rows.of([np.asarray(score, float)], positive, cluster, strata)
    if rows is None:
        nothing = Estimate(np.nan, np.nan, np.nan)
        whole = None if strata is not None else nothing
        positive = np.asarray(positive, bool)
        return Ranking(nothing, whole, int(positive.sum()), int((~positive).sum()), 0, 0, 0)
    auroc, auprc = rows.exact(0)
    areas = [np.concatenate(each) for each in zip(*rows.resample(0, samples, seed), strict=True)]
    return Ranking(
        auroc=Estimate.of(auroc, areas[0]),
        auprc=None if strata is not None else Estimate.of(auprc, areas[1]),
        positives=int(rows.positive.sum()),
        negatives=int((~rows.positive).sum()),
        clusters=rows.clusters,
        strata=rows.strata,
        pairs=rows.pairs,
    )


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
    scores = [np.asarray(one, float), np.asarray(other, float)]
    rows = _Rows.of(scores, positive, cluster, strata)
    if rows is None:
        return Estimate(np.nan, np.nan, np.nan)
    # One seed, so that both are scored on the same resamples.
    first, second = (
        np.concatenate([auroc for auroc, _ in rows.resample(which, samples, seed)])
        for which in (0, 1)
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
    def of(
        cls,
        scores: list[np.ndarray],
        positive: np.ndarray,
        cluster: np.ndarray,
        strata: np.ndarray | None,
    ) -> "_Rows | None":
        positive = np.asarray(positive, bool)
        if any(not np.isfinite(score).all() for score in scores):
            raise ValueError("a score that is not finite has no rank")
        stratum = np.zeros(len(positive), np.int64) if strata is None else _number(strata)
        # A stratum of one class has no pairs.
        both = np.bincount(stratum[positive], minlength=stratum.max(initial=0) + 1) > 0
        both &= np.bincount(stratum[~positive], minlength=len(both)) > 0
        kept = both[stratum]
        if not kept.any():
            return None
        clusters, stratum = _number(np.asarray(cluster)[kept]), _number(stratum[kept])
        return cls(
            scores=[score[kept] for score in scores],
            positive=positive[kept],
            cluster=clusters,
            stratum=stratum,
            clusters=int(clusters.max()) + 1,
            strata=int(stratum.max()) + 1,
        )

    def exact(self, which: int) -> tuple[float, float]:
        """AUROC and AUPRC of one score, each distinct value its own rank."""
        row, stratum = self._ranks(self.scores[which], None)
        positive, negative = (
            np.bincount(row[side], minlength=len(stratum))[None].astype(float)
            for side in self._sides
        )
        auroc, auprc = areas_of_ranks(positive, negative, stratum)
        return float(auroc[0]), float(auprc[0])

    def resample(
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
            cell = group[side] * len(stratum) + row[side]
            counts = np.bincount(cell, minlength=len(stratum) * groups)
            tables.append(counts.reshape(groups, len(stratum)).astype(np.float32))
        for times in resampled_counts(groups, samples, rng):
            # In float32 sums of whole numbers are exact below 2**24.
            weights = times.astype(np.float32)
            positive, negative = ((weights @ table).astype(float) for table in tables)
            yield areas_of_ranks(positive, negative, stratum)

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
            position = np.arange(len(score))
            begin, size = position[new_stratum][stratum], np.bincount(stratum)
            first_of_tie = np.maximum.accumulate(np.where(new, position, 0)) - begin
            part = first_of_tie * most // size[stratum]
            many = (np.bincount(stratum, new) > most)[stratum]
            cut = np.concatenate([[True], part[1:] != part[:-1]])
            new = new_stratum | np.where(many, cut & new, new)
        row = np.empty(len(score), np.int64)
        row[order] = np.cumsum(new) - 1
        return row, stratum[new]


def _number(labels: np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
