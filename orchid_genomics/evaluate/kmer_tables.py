"""Counts of all k-mers of contigs, on both strands, as dense tables.

A table of k-mers is a table of contexts wherever the target stands in it: 12 letters on the left
and 6 on both sides are read from the same 13-mers. A k-mer with an N is not counted; case is not
looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import code_pieces

LONGEST = 14  # 4**14 counts are 1 GiB; 13-mers take 0.36 GB with all the shorter ones
MOST_UNSEEN = 4  # 4**4 cells are summed for a context with four unseen letters
_CELLS = 1 << 20  # cells of a table read at once


@dataclass(frozen=True)
class KmerCounts:
    """Counts of every k-mer of 0 to `k` letters.

    Attributes
    ----------
    tables
        `tables[k]` is (4**k,) uint32, the first letter most significant.
    """

    tables: tuple[np.ndarray, ...]

    @property
    def k(self) -> int:
        """Letters of the longest k-mers."""
        return len(self.tables) - 1

    @classmethod
    def count(cls, contigs: Iterable[np.ndarray], k: int) -> "KmerCounts":
        """Counts of `contigs`, each tokens (L,) uint8, read on both strands, one contig at a time.

        Cost: about 0.1 s a million letters and 5.3 x 4**k bytes.
        """
        if not 1 <= k <= LONGEST:
            raise ValueError(f"k-mers of {k} letters; 1 to {LONGEST} can be tabled")
        tables = [np.zeros(4**size, np.uint32) for size in range(k + 1)]
        one = np.uint32(1)  # a Python 1 would take the slow way through add.at
        for tokens in contigs:
            for strand in (tokens, DNA.reverse_complement(tokens)):
                for _, codes, valid in code_pieces(strand, k):
                    np.add.at(tables[k], codes if valid.all() else codes[valid], one)
                _count_last(tables, strand & 0x7F)
        # A shorter k-mer is seen as often as those that are longer by a letter, whichever it is.
        for size in range(k - 1, -1, -1):
            longer = tables[size + 1]
            for letter in range(4):
                tables[size] += longer[letter::4]
        return cls(tuple(tables))

    def around(self, letters_NK: np.ndarray, left: int) -> tuple[np.ndarray, np.ndarray]:
        """How often each letter stands at one column, given the others.

        Parameters
        ----------
        letters_NK
            Codes (N, K) of K <= `k` neighbouring letters; above 3 where a letter is unseen, and the
            counts are then summed over what it may be.
        left
            The column that is asked for; its letter is not read.

        Returns
        -------
        counts : numpy.ndarray
            (N, 4) float64; zeros where more than `MOST_UNSEEN` letters are unseen.
        unseen : numpy.ndarray
            How many of the others are unseen (N,).
        """
        length = letters_NK.shape[1]
        power = 4 ** np.arange(length - 1, -1, -1)
        unseen_NK = letters_NK > 3
        unseen_NK[:, left] = False
        known_NK = np.where(unseen_NK, 0, letters_NK)
        known_NK[:, left] = 0
        codes, unseen = known_NK @ power, unseen_NK.sum(1)
        counts = np.zeros((len(codes), 4))
        # By how many are unseen: rows with as many then have as many cells to sum.
        for many in range(MOST_UNSEEN + 1):
            rows = np.flatnonzero(unseen == many)
            chunk = max(1, _CELLS // 4**many)
            for at in range(0, len(rows), chunk):
                part = rows[at : at + chunk]
                strides = power[np.nonzero(unseen_NK[part])[1]].reshape(len(part), many)
                cells = _expand(codes[part], strides)
                for letter in range(4):
                    counts[part, letter] = self.tables[length][cells + letter * power[left]].sum(1)
        return counts, unseen


def _expand(codes: np.ndarray, strides_NU: np.ndarray) -> np.ndarray:
    """The cells (N, 4**U) of all that U unseen letters may be."""
    cells = codes[:, None]
    for stride in strides_NU.T:
        cells = cells[:, :, None] + stride[:, None, None] * np.arange(4)
        cells = cells.reshape(len(codes), -1)
    return cells


def _count_last(tables: list[np.ndarray], codes: np.ndarray) -> None:
    """Count the last k-mer of every run of known letters, for each k below the longest.

    These are the ones that no longer k-mer begins with: summing the table of k + 1 letters misses
    them.
    """
    # Padded, so that runs at the ends of a contig begin and end as others do.
    known = np.concatenate([[False], codes < 4, [False]])
    starts, ends = np.flatnonzero(known[1:] > known[:-1]), np.flatnonzero(known[1:] < known[:-1])
    for k in range(1, len(tables) - 1):
        last = ends[ends - starts >= k]
        windows = codes[last[:, None] + np.arange(-k, 0)].astype(np.int64)
        np.add.at(tables[k], windows @ (4 ** np.arange(k - 1, -1, -1)), np.uint32(1))
