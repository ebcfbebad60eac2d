"""Where a sequence recurs: the places whose k-mer also stands in training, on either strand.

The trap: what recurs can be remembered rather than understood, so it is always scored apart.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import code_pieces

_HASH = 26  # bits; a bitmap of 64 MiB


def recurs(
    train: Iterable[np.ndarray], contigs: Sequence[np.ndarray], k: int = 24
) -> list[np.ndarray]:
    """Whether each place lies in a k-mer that also stands in training, on either strand.

    24 letters: two unrelated genomes of 10 Mb share one by chance at under one place in a million
    (4**24 = 2.8e14), while copies at 90 % identity still share some; so a recurring 24-mer is a
    copy.

    Parameters
    ----------
    train
        Contigs as tokens (L,), read one after another.
    contigs
        The contigs (L,) that are asked about; memory is 40 bytes a letter of them.
    k
        Letters of a k-mer.

    Returns
    -------
    list of numpy.ndarray
        Bool (L,) for each of `contigs`.
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k-mers of {k} letters; 1 to 31 fit 64 bits")
    own = [np.zeros(0, np.int64)]
    for tokens in contigs:
        own += [codes[valid] for _, codes, valid in code_pieces(tokens, k)]
    # What is asked is the smaller set: it is held, and training is read past it.
    wanted = CodeSet(np.concatenate(own))
    in_train = np.zeros(len(wanted.codes), bool)
    for tokens in train:
        for strand in (tokens, DNA.reverse_complement(tokens)):
            for _, codes, valid in code_pieces(strand, k):
                in_train[wanted.find(codes[valid])[1]] = True
    recurring = CodeSet(wanted.codes[in_train])
    return [_covered(tokens, k, recurring) for tokens in contigs]


class CodeSet:
    """A set of codes, sorted (`codes`)."""

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = np.unique(codes)
        # A bitmap of hashes spares nearly all others the binary search, which misses the cache.
        self.bitmap = np.zeros(1 << _HASH, bool)
        self.bitmap[_hash(self.codes)] = True

    def find(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `codes` are in the set, and where in it."""
        which = np.flatnonzero(self.bitmap[_hash(codes)])
        at = np.searchsorted(self.codes, codes[which])
        # Past the end is no match, which the comparison below finds at any place.
        at[at == len(self.codes)] = 0
        same = self.codes[at] == codes[which] if len(self.codes) else np.zeros(0, bool)
        return which[same], at[same]


def _hash(codes: np.ndarray) -> np.ndarray:
    """Multiplicative (Fibonacci) hash to _HASH bits."""
    return (codes.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _HASH)


def _covered(tokens: np.ndarray, k: int, recurring: CodeSet) -> np.ndarray:
    """The places (L,) bool inside a k-mer of the set."""
    # One up where a k-mer begins and one down after its end: the running sum says what is inside.
    change = np.zeros(len(tokens) + 1, np.int32)
    for start, codes, valid in code_pieces(tokens, k):
        which, _ = recurring.find(codes)
        hits = start + which[valid[which]]
        np.add.at(change, hits, np.int32(1))
        np.add.at(change, hits + k, np.int32(-1))
    return np.cumsum(change[:-1]) > 0
