"""Bits per base with an interval over the genome: neighbouring targets are not independent, so
blocks are resampled.

Everything is computed from the targets of the whole set at once, never averaged over batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """A mean over `targets` letters (bits) with its 95 % interval; `name` says which letters."""

    name: str
    mean: float
    low: float
    high: float
    targets: int


def block_bootstrap(
    bits: np.ndarray,
    contig: np.ndarray,
    position: np.ndarray,
    weights: np.ndarray | None = None,
    block: int = 10_000,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The (weighted) mean of `bits` (N,) and its 95 % interval, resampling blocks of `block`
    letters of the genome.

    `contig` (N,) are integers, `position` (N,) 0-based places. Block bootstrap of a ratio: a
    sample's mean is the sum over its blocks divided by their weight. No target gives three NaN; a
    single block has no interval but its mean.
    """
    weights = np.ones(len(bits)) if weights is None else np.asarray(weights, float)
    blocks = np.asarray(position, np.int64) // block
    _, which = np.unique(
        np.asarray(contig, np.int64) * (blocks.max(initial=0) + 1) + blocks, return_inverse=True
    )
    total, weight = np.bincount(which, bits * weights), np.bincount(which, weights)
    total, weight = total[weight > 0], weight[weight > 0]
    count = len(total)
    if count == 0:
        return np.nan, np.nan, np.nan
    rng, means = np.random.default_rng(seed), np.empty(samples)
    for sample in range(samples):
        drawn = rng.integers(count, size=count)
        means[sample] = total[drawn].sum() / weight[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(total.sum() / weight.sum()), float(low), float(high)


def paired_bootstrap(
    model: np.ndarray, baseline: np.ndarray, contig: np.ndarray, position: np.ndarray, **options
) -> tuple[float, float, float]:
    """Mean of `model - baseline` on the same targets with its 95 % interval: below zero, the model
    is better.

    Much narrower than the two intervals apart, for both find the same blocks hard. Options as in
    `block_bootstrap`.
    """
    return block_bootstrap(np.asarray(model, float) - baseline, contig, position, **options)


def by_region(
    bits: np.ndarray,
    contig: np.ndarray,
    position: np.ndarray,
    regions: Mapping[str, np.ndarray],
    **options,
) -> list[Score]:
    """The score of all targets, then of those inside each of `regions`: name -> bool (N,); regions
    may overlap.
    """
    scores = []
    for name, inside in {"all": np.ones(len(bits), bool), **regions}.items():
        kept = dict(options)
        if kept.get("weights") is not None:
            kept["weights"] = kept["weights"][inside]
        mean, low, high = block_bootstrap(bits[inside], contig[inside], position[inside], **kept)
        scores.append(Score(name, mean, low, high, int(inside.sum())))
    return scores


def table(rows: Mapping[str, Sequence[Score]], title: str = "bits per base") -> str:
    """The scores of each model as aligned text, a line a model: means, the first column with its 95
    % interval.

    The columns are the scores' names in the order of the first model; the last line says how many
    targets each has.
    """
    first = next(iter(rows.values()))
    names = [score.name for score in first]
    lines = [[title, *([names[0], "95 % interval", *names[1:]] if names else [])]]
    for name, scores in rows.items():
        cells = {score.name: f"{score.mean:.4f}" if score.targets else "-" for score in scores}
        whole = next(score for score in scores if score.name == names[0])
        interval = f"{whole.low:.4f}-{whole.high:.4f}" if whole.targets else "-"
        lines.append(
            [name, cells[names[0]], interval, *(cells.get(column, "-") for column in names[1:])]
        )
    lines.append(
        ["targets", f"{first[0].targets:,}", "", *(f"{score.targets:,}" for score in first[1:])]
    )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in text)
