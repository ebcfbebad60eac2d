"""Sets of letters of a genome, as sorted disjoint intervals; 0-based half-open, strands aside."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from orchid_genomics.sequence import Interval


def union(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The disjoint sorted intervals that cover the same letters; those that touch become one."""
    if not len(starts):
        return starts, ends
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    # Strictly beyond: one that begins where another ends goes on with it.
    opens = np.concatenate([[True], starts[1:] > reach[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    return starts[opens], reach[closes]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Disjoint intervals that cover the same letters, contigs in order of appearance.

    Intervals that meet end to end become one.
    """
    return Regions.from_intervals(intervals).intervals()


@dataclass(frozen=True, eq=False)
class Regions:
    """A set of letters.

    Attributes
    ----------
    contigs : dict
        For every contig the sorted, disjoint (starts, ends), two int64 arrays.
    """

    contigs: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def from_intervals(cls, intervals: Iterable[Interval]) -> "Regions":
        """The letters that any of the intervals covers; O(n log n)."""
        pairs: dict[str, list[tuple[int, int]]] = {}
        for contig, group in groupby(intervals, key=lambda interval: interval.contig):
            pairs.setdefault(contig, []).extend((each.start, each.end) for each in group)
        arrays = {contig: np.array(rows, np.int64) for contig, rows in pairs.items()}
        return cls({contig: union(rows[:, 0], rows[:, 1]) for contig, rows in arrays.items()})

    def intervals(self) -> list[Interval]:
        """The set as disjoint intervals without a strand, contigs in order of appearance."""
        return [
            Interval(contig, start, end)
            for contig, (starts, ends) in self.contigs.items()
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def touches(self, contig: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Whether each [start, end) shares a letter with the set, as bool; O(n log m)."""
        starts, ends = np.asarray(starts), np.asarray(ends)
        if contig not in self.contigs:
            return np.zeros(starts.shape, bool)
        own_starts, own_ends = self.contigs[contig]
        # the last of ours that starts before the end; ours are disjoint, so none reaches farther
        last = np.searchsorted(own_starts, ends, "left") - 1
        return (last >= 0) & (own_ends[np.maximum(last, 0)] > starts) & (starts < ends)

    def covers(self, contig: str, start: int, end: int) -> np.ndarray:
        """Which letters of [start, end) are in the set, bool (end - start,); `start` may be < 0."""
        covered = np.zeros(end - start, bool)
        if contig not in self.contigs:
            return covered
        own_starts, own_ends = self.contigs[contig]
        first = np.searchsorted(own_ends, start, "right")
        last = np.searchsorted(own_starts, end, "left")
        for own_start, own_end in zip(own_starts[first:last], own_ends[first:last], strict=True):
            covered[max(own_start - start, 0) : own_end - start] = True
        return covered

    @property
    def bases(self) -> int:
        """Letters in the set."""
        return sum(int((ends - starts).sum()) for starts, ends in self.contigs.values())
