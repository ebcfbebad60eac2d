"""What an element's score is worth: its distance from windows alike in length and GC.

The trap: a background must not depend on the file that is scored. So windows are drawn by a hash of
the seed and their length alone, in steps of length, and every element is held against those of its
step that are close to it in GC.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from orchid_genomics.data.negatives import CLOSE
from orchid_genomics.genome.circular import landmark
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Interval
from orchid_genomics.sequence.hashing import Stream, hash_integers

FEWEST = 30  # windows that an element is held against, at least
_LEAST = 120  # windows that are drawn of one length, if so many are asked for
_LETTERS = 1 << 19  # of all windows of one length, at most, where that leaves a choice among them
_KNOWN = 0.9  # share of known letters of a window


class Background:
    """Scores of `windows` drawn windows a length, computed when first asked for.

    `values` gives the scores (N, C) of intervals.

    Cost: that of scoring up to `windows` elements for every step of length, steps of 2**(1/2), once
    a process.
    """

    def __init__(
        self,
        genome: Genome,
        values: Callable[[Sequence[Interval]], np.ndarray],
        windows: int,
        seed: int,
    ) -> None:
        self.genome, self.values, self.windows, self.seed = genome, values, windows, seed
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def z(self, interval: Interval, values: np.ndarray) -> np.ndarray:
        """Scores (C,) in standard deviations from the background's mean, and its size (C + 1,).

        The background is the drawn windows within 0.02 of its GC, the 30 nearest where those are
        fewer; NaN where there are no 30, for the genome is too small for the length.
        """
        gc, scores = self.of(step(len(interval)))
        away = np.abs(gc - gc_share(self.genome, interval))
        nearest = np.argsort(away, kind="stable")[: max(FEWEST, int((away <= CLOSE).sum()))]
        if len(nearest) < FEWEST:
            return np.append(np.full(len(values), np.nan), len(nearest))
        spread = scores[nearest].std(0, ddof=1)
        away_from_mean = values - scores[nearest].mean(0)
        return np.append(away_from_mean / np.where(spread > 0, spread, np.nan), len(nearest))

    def of(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """GC (M,) and scores (M, C) of the windows of one length."""
        if length not in self._kept:
            count = min(self.windows, max(_LETTERS // length, _LEAST))
            windows = draw_windows(self.genome, length, count, self.seed)
            gc = np.array([gc_share(self.genome, window) for window in windows])
            self._kept[length] = gc, self.values(windows)
        return self._kept[length]


def step(length: int) -> int:
    """The nearest step of length, 2**(k/2): what the lengths of a background are rounded to."""
    return max(1, round(2 ** (round(2 * math.log2(length)) / 2)))


def draw_windows(genome: Genome, length: int, count: int, seed: int) -> list[Interval]:
    """Up to `count` windows of at least 90 % known letters, as likely at every place."""
    # A circular contig has as many windows as letters, and no end that they could miss.
    starts = {
        name: size if name in genome.circular else size - length + 1
        for name, size in genome.contigs.items()
        if size >= length
    }
    names, ends = list(starts), np.cumsum(list(starts.values()), dtype=np.int64)
    windows: list[Interval] = []
    if not names:
        return windows
    # More than are wanted, for those that meet N are passed over; a genome of N may give fewer.
    keys = hash_integers(seed, Stream.BACKGROUND_WINDOW, length, np.arange(20 * count))
    for key in keys.tolist():
        at = key % int(ends[-1])
        which = int(np.searchsorted(ends, at, "right"))
        name = names[which]
        start = at - int(ends[which]) + starts[name]
        if name in genome.circular:
            start = (start + landmark(genome, name)) % genome.contigs[name]
        codes = genome.tokens(name, start, start + length) & CODE
        if (codes < DNA.count).mean() >= _KNOWN:
            windows.append(Interval(name, start, start + length))
            if len(windows) == count:
                break
    return windows


def gc_share(genome: Genome, interval: Interval) -> float:
    """G and C among the known letters of an interval; 0 where there are none."""
    codes = genome.tokens(interval.contig, interval.start, interval.end) & CODE
    known = codes < DNA.count
    return float(((codes == 1) | (codes == 2)).sum() / max(int(known.sum()), 1))
