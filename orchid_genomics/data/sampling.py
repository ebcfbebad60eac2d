"""Which window a row of a step reads: a closed form of (seed, step, row), the same whatever the
workers or ranks.

Draws are numbered ``step * batch + row``. A fixed, evenly interleaved pattern names the source of
each draw; each source is walked without replacement, in a new order every epoch.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from orchid_genomics.data.windows import Windows
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import SOFT, Interval
from orchid_genomics.sequence.hashing import Stream, hash_integers

_LONGEST = 1 << 16  # draws in a pattern; shares with a longer period are rounded to this many parts


def pattern(shares: Sequence[Fraction]) -> np.ndarray:
    """The source of every draw of one period, (P,): exact counts, spread evenly so that any batch
    is close.

    P is the least period of the shares; beyond 65,536 the counts are largest remainders of that.
    """
    total = sum(shares)
    shares = [share / total for share in shares]
    # Exact fractions: the least period of floats would be of the order of 2**55.
    period = min(math.lcm(*(share.denominator for share in shares)), _LONGEST)
    counts = [math.floor(share * period) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda s: counts[s] - shares[s] * period)
    for code in by_remainder[: period - sum(counts)]:
        counts[code] += 1
    source = np.repeat(np.arange(len(counts)), counts)
    # The i-th of a source's n draws belongs at (i + 1/2) / n of the period.
    middle = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in counts])
    return source[np.argsort(middle, kind="stable")]


@dataclass(frozen=True)
class Source:
    """Windows that are drawn together: a genome's background, or the surroundings of one BED."""

    name: str
    genome: int
    windows: Windows
    share: Fraction
    soft: Regions
    """Letters that are read as lower case."""


@dataclass(frozen=True)
class Draws:
    """What some rows read, all arrays (N,): source, window in it, shift in letters, whether
    reversed.
    """

    source: np.ndarray
    window: np.ndarray
    shift: np.ndarray
    reverse: np.ndarray


class Training:
    """The training windows of one length, drawn in steps of `batch` rows.

    `jitter` moves every window by up to that many letters either way; `flip` reads half of them on
    the other strand, otherwise all are read forward.
    """

    def __init__(
        self, sources: Sequence[Source], length: int, batch: int, jitter: int, flip: bool
    ) -> None:
        self.sources, self.length, self.rows = tuple(sources), length, batch
        self.jitter, self.flip = jitter, flip
        self.pattern = pattern([source.share for source in sources])
        self._counts = np.bincount(self.pattern, minlength=len(sources))
        self._rank = np.zeros(len(self.pattern), np.int64)
        for source, count in enumerate(self._counts):
            self._rank[self.pattern == source] = np.arange(count)
        self._orders: dict[int, tuple[tuple[int, int], np.ndarray]] = {}

    def __len__(self) -> int:
        """All windows, of every source."""
        return sum(len(source.windows) for source in self.sources)

    def draws(self, seed: int, steps: np.ndarray | int, rows: np.ndarray | Sequence[int]) -> Draws:
        """What the rows (N,) of these steps (N,) or of this one step read."""
        rows = np.asarray(rows, np.int64)
        steps = np.broadcast_to(np.asarray(steps, np.int64), rows.shape)
        cycle, slot = np.divmod(steps * self.rows + rows, len(self.pattern))
        source = self.pattern[slot]
        nth = cycle * self._counts[source] + self._rank[slot]
        window = np.empty_like(nth)
        for code in np.unique(source):
            at = np.flatnonzero(source == code)
            epoch, rank = np.divmod(nth[at], len(self.sources[code].windows))
            # A step may reach from one epoch of its source into the next.
            for one in np.unique(epoch):
                now = epoch == one
                window[at[now]] = self._order(seed, int(code), int(one))[rank[now]]
        # The remainder of 64 bits favours no shift by more than one part in 10**12.
        shift = hash_integers(seed, Stream.WINDOW_JITTER, steps, rows) % np.uint64(
            2 * self.jitter + 1
        )
        reverse = hash_integers(seed, Stream.WINDOW_STRAND, steps, rows) >> np.uint64(63) == 1
        return Draws(source, window, shift.astype(np.int64) - self.jitter, reverse & self.flip)

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, L) uint8 of these rows of a step, case kept."""
        draws = self.draws(seed, step, rows)
        tokens_BL = np.empty((len(draws.window), self.length), np.uint8)
        for row, (source, window, shift, reverse) in enumerate(_each(draws)):
            strand = "-" if reverse else "+"
            tokens_BL[row] = self.sources[source].windows.tokens(window, shift, strand)
            tokens_BL[row, self._soft(source, window, shift, strand)] |= SOFT
        return tokens_BL

    def _soft(self, source: int, window: int, shift: int, strand: str) -> np.ndarray:
        """Which letters of a window (L,) are read as lower case whatever their case."""
        windows, soft = self.sources[source].windows, self.sources[source].soft
        place = windows.interval(window, shift)
        covered = soft.covers(place.contig, place.start, place.end)
        if windows.goes_round[windows.contig[window]]:
            size = windows.genome.contigs[place.contig]
            # What lies on the other side of the origin, as the window counts its letters.
            for turn in (-size, size):
                covered = covered | soft.covers(place.contig, place.start + turn, place.end + turn)
        return covered[::-1] if strand == "-" else covered

    def places(self, seed: int, step: int, rows: Sequence[int]) -> list[tuple[int, Interval]]:
        """The genome (its number) and the place, with strand, of these rows of a step."""
        intervals = []
        for source, window, shift, reverse in _each(self.draws(seed, step, rows)):
            forward = self.sources[source].windows.interval(window, shift)
            strand = "-" if reverse else "+"
            interval = Interval(forward.contig, forward.start, forward.end, strand)
            intervals.append((self.sources[source].genome, interval))
        return intervals

    def _order(self, seed: int, source: int, epoch: int) -> np.ndarray:
        """The order in which a source is walked in one epoch; the newest is kept."""
        key, order = self._orders.get(source, ((-1, -1), np.empty(0, np.int64)))
        if key != (seed, epoch):
            count = len(self.sources[source].windows)
            draw = hash_integers(seed, Stream.WINDOW_ORDER, source, epoch, np.arange(count))
            order = np.argsort(draw, kind="stable")
            self._orders[source] = (seed, epoch), order
        return order


def _each(draws: Draws) -> Iterable[tuple[int, int, int, bool]]:
    columns = (draws.source, draws.window, draws.shift, draws.reverse)
    return zip(*(column.tolist() for column in columns), strict=True)
