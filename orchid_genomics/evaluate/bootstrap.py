"""The bootstrap of the house: what is not independent is resampled whole.

Neighbouring letters share a block of the genome, rows a family, variants a gene. The trap: an
interval over single letters, rows or variants is far too narrow, for a thousand letters of one gene
are not a thousand witnesses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLES = 1000
BLOCK = 10_000  # letters of a genome that are drawn together


@dataclass(frozen=True)
class Estimate:
    """A score with its 95 % interval; NaN where there is nothing to score or to resample."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, samples: np.ndarray) -> "Estimate":
        """The score of the whole set with the interval of its resamples.

        Parameters
        ----------
        value
            The score of the whole set.
        samples
            Scores (S,) of the resamples; NaN where one has none (it may hold a single class).

        Returns
        -------
        Estimate
            Without an interval where fewer than half of the resamples have a score.
        """
        known = samples[np.isfinite(samples)]
        # Where most resamples have no score, the others are no fair sample of them.
        if 2 * len(known) < max(len(samples), 1):
            return cls(float(value), np.nan, np.nan)
        low, high = percentile_interval(known)
        return cls(float(value), low, high)


def percentile_interval(samples: np.ndarray) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of a score's resamples (S,)."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


def resamples(units: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """The units, by number, of every resample: `units` draws with replacement each.

    Yields
    ------
    numpy.ndarray
        (units,) int64, `samples` times.
    """
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield rng.integers(units, size=units)


def resampled_weights(group: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """How often every row stands in each resample of whole groups.

    A score that is a function of row weights needs one sort for all resamples.

    Parameters
    ----------
    group
        Labels (N,) of what is drawn together.
    samples, seed
        How many resamples, and which.

    Returns
    -------
    numpy.ndarray
        Weights (samples, N) float64, whole numbers.
    """
    _, which = np.unique(group, return_inverse=True)
    groups = int(which.max()) + 1
    counts = [np.bincount(units, minlength=groups) for units in resamples(groups, samples, seed)]
    return np.stack(counts)[:, which].astype(np.float64)


def resampled_counts(
    units: int, samples: int, rng: np.random.Generator, chunk: int = 100
) -> Iterator[np.ndarray]:
    """How often each unit is drawn in each resample, a chunk of resamples at a time.

    Yields
    ------
    numpy.ndarray
        Counts (at most `chunk`, units) int64.
    """
    # The counts of draws with replacement are multinomial; drawn as such there is nothing to count,
    # which matters where a thousand clusters are resampled for every score of every group.
    share = np.full(units, 1 / units)
    for first in range(0, samples, chunk):
        yield rng.multinomial(units, share, size=min(chunk, samples - first))


def block_bootstrap(
    bits: np.ndarray,
    contig: np.ndarray,
    position: np.ndarray,
    weights: np.ndarray | None = None,
    block: int = BLOCK,
    samples: int = SAMPLES,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The (weighted) mean of letters and its 95 % interval, by resampling blocks of the genome.

    A resample's mean is the sum over its blocks divided by their weight: the block bootstrap of a
    ratio (Künsch 1989, with fixed blocks).

    Parameters
    ----------
    bits
        Values (N,) of letters.
    contig, position
        Where they lie: the number of the contig (N,) and the 0-based place (N,).
    weights
        Weights (N,); all one when not given.
    block
        Letters that are resampled together.
    samples, seed
        How many resamples, and which.

    Returns
    -------
    tuple of float
        Mean, low and high. Three NaN without a target; a single block has no interval but its mean.
    """
    weights = np.ones(len(bits)) if weights is None else np.asarray(weights, float)
    blocks = np.asarray(position, np.int64) // block
    # Numbered through all contigs, so that no block runs over the end of one.
    number = np.asarray(contig, np.int64) * (blocks.max(initial=0) + 1) + blocks
    _, which = np.unique(number, return_inverse=True)
    total, weight = np.bincount(which, bits * weights), np.bincount(which, weights)
    # A resample of blocks without weight would be 0 / 0.
    total, weight = total[weight > 0], weight[weight > 0]
    if len(total) == 0:
        return np.nan, np.nan, np.nan
    means = np.empty(samples)
    for sample, units in enumerate(resamples(len(total), samples, seed)):
        means[sample] = total[units].sum() / weight[units].sum()
    low, high = percentile_interval(means)
    return float(total.sum() / weight.sum()), low, high


def paired_bootstrap(
    model: np.ndarray,
    baseline: np.ndarray,
    contig: np.ndarray,
    position: np.ndarray,
    **options: Any,
) -> tuple[float, float, float]:
    """The mean of `model - baseline` on the same targets with its 95 % interval.

    Much narrower than the two intervals apart, for both find the same blocks hard.

    Parameters
    ----------
    model, baseline
        Values (N,) of the same letters; where they are bits, a difference below zero speaks for
        the model.
    contig, position, **options
        As in `block_bootstrap`.
    """
    return block_bootstrap(np.asarray(model, float) - baseline, contig, position, **options)
