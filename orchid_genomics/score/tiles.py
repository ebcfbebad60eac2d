"""Contigs cut into tiles of so many letters: every letter is read in the middle of a window.

The trap: a circular contig has no first tile. So tiles are counted from its landmark, wherever its
file begins, and one of them may run over the last letter: two pieces of the genome, one tile.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from orchid_genomics.genome.circular import landmark
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval


class Piece(NamedTuple):
    """Letters of a genome within one tile: its number, and from which letter of it."""

    interval: Interval
    tile: int
    offset: int

    @property
    def inside(self) -> slice:
        """The piece among the letters of its tile."""
        return slice(self.offset, self.offset + len(self.interval))


class Tiles:
    """The tiles of a genome, `core` letters each; the last of a contig may have fewer.

    A circular contig of at most `whole` letters is one tile, for a window of that length reads it
    whole.
    """

    def __init__(self, genome: Genome, core: int, whole: int = 0) -> None:
        self.genome, self.core, self.whole = genome, core, whole
        self._starts: dict[str, np.ndarray] = {}

    def size(self, contig: str) -> int:
        """Letters of the tiles of a contig."""
        letters = self.genome.contigs[contig]
        if contig in self.genome.circular and letters <= self.whole:
            return letters
        return self.core

    def find(self, contig: str, letter: int) -> tuple[int, int]:
        """The tile of a letter, and where in it the letter stands; letters may go round."""
        if contig in self.genome.circular:
            letter = (letter - landmark(self.genome, contig)) % self.genome.contigs[contig]
        return divmod(letter, self.size(contig))

    def interval(self, contig: str, tile: int) -> Interval:
        """The letters of a tile; on a circular contig they may run over the last one."""
        letters, size = self.genome.contigs[contig], self.size(contig)
        first = landmark(self.genome, contig) + tile * size
        # With its landmark at 0 a contig is counted as one that has ends.
        start = first % letters if contig in self.genome.circular else first
        return Interval(contig, start, start + min(size, letters - tile * size))

    def count(self, stretch: Interval) -> int:
        """How many pieces a stretch of the genome falls into."""
        starts = self._boundaries(stretch.contig)
        first, last = np.searchsorted(starts, (stretch.start, stretch.end - 1), "right")
        return int(last - first) + 1

    def pieces(self, stretch: Interval) -> Iterator[Piece]:
        """The pieces of a stretch of the genome, in order of place."""
        contig, starts = stretch.contig, self._boundaries(stretch.contig)
        first, last = np.searchsorted(starts, (stretch.start, stretch.end), "right")
        edges = [stretch.start, *starts[first:last].tolist(), stretch.end]
        for start, end in pairwise(edges):
            if start < end:
                yield Piece(Interval(contig, start, end), *self.find(contig, start))

    def _boundaries(self, contig: str) -> np.ndarray:
        """The letters of a contig at which a tile begins, sorted."""
        if contig not in self._starts:
            letters, size = self.genome.contigs[contig], self.size(contig)
            begin = landmark(self.genome, contig)
            starts = begin + np.arange(0, letters, size, dtype=np.int64)
            self._starts[contig] = np.sort(starts % max(letters, 1))
        return self._starts[contig]
