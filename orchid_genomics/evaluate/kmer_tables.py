"""k-mers of contigs, on both strands: a dense table of counts, and the places whose k-mer recurs in
training.

A table of k-mers is a table of contexts wherever the target stands in it: 12 letters on the left
and 6 on both sides are read from the same 13-mers. A k-mer with an N is not counted; case is not
looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import coded

LONGEST = 14  # 4**14 counts are 1 GiB; 13-mers take 0.36 GB with all the shorter ones
MOST_UNSEEN = 4  # 4**4 cells are summed for a context with four unseen letters
_CELLS = 1 << 20  # cells of a table read at once
_HASH = 26  # bits; a bitmap of 64 MiB


@dataclass(frozen=True)
class Kmers:
    """Counts of every k-mer of 0 to `k` letters: `tables[k]` is (4**k,) uint32, the first letter
    most significant.
    """

    tables: tuple[np.ndarray, ...]

    @property
    def k(self) -> int:
        """Letters of the longest k-mers."""
        return len(self.tables) - 1

    @classmethod
    def count(cls, contigs: Iterable[np.ndarray], k: int) -> "Kmers":
        """Counts of `contigs`, each tokens (L,) uint8, read on both strands, one contig at a time.

        Cost: about 0.1 s a million letters and 5.3 x 4**k bytes.
        """
        if not 1 <= k <= LONGEST:
            raise ValueError(f"k-mers of {k} letters; 1 to {LONGEST} can be tabled")
        tables = [np.zeros(4**size, np.uint32) for size in range(k + 1)]
        one = np.uint32(1)  # a Python 1 would take the slow way through add.at
        for tokens in contigs:
            for strand in (tokens, DNA.reverse_complement(tokens)):
                for _, codes, valid in coded(strand, k):
                    np.add.at(tables[k], codes if valid.all() else codes[valid], one)
                _count_last(tables, strand & 0x7F)
        for size in range(k - 1, -1, -1):
            longer = tables[size + 1]
            for letter in range(4):
                tables[size] += longer[letter::4]
        return cls(tuple(tables))

    def around(self, letters_NK: np.ndarray, left: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts (N, 4) float64 of each letter at column `left` given the others, and the unseen
        others (N,).

        A code above 3 is unseen: the counts are summed over what it may be. Contexts with more than
        `MOST_UNSEEN` unseen letters are not summed and get zeros. The letter at column `left` is
        not read.
        """
        length = letters_NK.shape[1]
        place = 4 ** np.arange(length - 1, -1, -1)
        unseen_NK = letters_NK > 3
        unseen_NK[:, left] = False
        known_NK = np.where(unseen_NK, 0, letters_NK)
        known_NK[:, left] = 0
        codes, unseen = known_NK @ place, unseen_NK.sum(1)
        counts = np.zeros((len(codes), 4))
        for many in range(MOST_UNSEEN + 1):
            rows = np.flatnonzero(unseen == many)
            chunk = max(1, _CELLS // 4**many)
            for part in (rows[at : at + chunk] for at in range(0, len(rows), chunk)):
                cells = codes[part][:, None]
                strides = place[np.nonzero(unseen_NK[part])[1]].reshape(len(part), many)
                for stride in strides.T:
                    cells = (cells[:, :, None] + stride[:, None, None] * np.arange(4)).reshape(
                        len(part), -1
                    )
                for letter in range(4):
                    counts[part, letter] = self.tables[length][cells + letter * place[left]].sum(1)
        return counts, unseen


def _count_last(tables: list[np.ndarray], codes: np.ndarray) -> None:
    """Count the last k-mer of every run of known letters, for each k below the longest.

    These are the ones that no longer k-mer begins with: summing the table of k + 1 letters misses
    them.
    """
    known = np.concatenate([[False], codes < 4, [False]])
    starts, ends = np.flatnonzero(known[1:] > known[:-1]), np.flatnonzero(known[1:] < known[:-1])
    for k in range(1, len(tables) - 1):
        last = ends[ends - starts >= k]
        windows = codes[last[:, None] + np.arange(-k, 0)].astype(np.int64)
        np.add.at(tables[k], windows @ (4 ** np.arange(k - 1, -1, -1)), np.uint32(1))


def repeated(
    train: Iterable[np.ndarray], contigs: Sequence[np.ndarray], k: int = 24
) -> list[np.ndarray]:
    """Whether each place of each of `contigs` lies in a k-mer that also stands in `train`, on
    either strand.

    24 letters: two unrelated genomes of 10 Mb share one by chance at under one place in a million
    (4**24 = 2.8e14), while copies at 90 % identity still share some; so a recurring 24-mer is a
    copy. Train is streamed; memory is 40 bytes a letter of `contigs`.
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k-mers of {k} letters; 1 to 31 fit 64 bits")
    none = np.zeros(0, np.int64)
    wanted = _Codes(
        np.concatenate(
            [none, *(codes[valid] for each in contigs for _, codes, valid in coded(each, k))]
        )
    )
    found = np.zeros(len(wanted.codes), bool)
    for tokens in train:
        for strand in (tokens, DNA.reverse_complement(tokens)):
            for _, codes, valid in coded(strand, k):
                found[wanted.find(codes[valid])[1]] = True
    recurring = _Codes(wanted.codes[found])
    return [_covered(tokens, k, recurring) for tokens in contigs]


class _Codes:
    """A set of codes, sorted; a bitmap of hashes spares nearly all others the binary search, which
    misses the cache.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = np.unique(codes)
        self.bitmap = np.zeros(1 << _HASH, bool)
        self.bitmap[_hash(self.codes)] = True

    def find(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `codes` are in the set, and where in it."""
        which = np.flatnonzero(self.bitmap[_hash(codes)])
        at = np.searchsorted(self.codes, codes[which])
        at[at == len(self.codes)] = 0
        same = self.codes[at] == codes[which] if len(self.codes) else np.zeros(0, bool)
        return which[same], at[same]


def _hash(codes: np.ndarray) -> np.ndarray:
    """Multiplicative (Fibonacci) hash to _HASH bits."""
    return (codes.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _HASH)


def _covered(tokens: np.ndarray, k: int, recurring: _Codes) -> np.ndarray:
    """The places (L,) bool inside a k-mer of the set."""
    change = np.zeros(len(tokens) + 1, np.int32)
    for start, codes, valid in coded(tokens, k):
        which, _ = recurring.find(codes)
        hits = start + which[valid[which]]
        np.add.at(change, hits, np.int32(1))
        np.add.at(change, hits + k, np.int32(-1))
    return np.cumsum(change[:-1]) > 0
