"""Near-duplicates across splits: rows that share 30 letters in a row, on either strand, with a row
held out.

The trap: repeats make far windows alike, so a split by chromosome alone lets a model see its test
rows in training. 30 letters: unrelated sequences share some by chance at under one in 10**8 even in
a set of 100 M letters.
"""

from collections.abc import Sequence

import numpy as np

from orchid_genomics.sequence.kmers import either_strand

K = 30


def near_duplicates(tokens: Sequence[np.ndarray], split: np.ndarray, k: int = K) -> np.ndarray:
    """Which rows (N,) bool share a k-mer with a row of a later split (0 train, 1 validation, 2
    test).

    Case is not looked at; k-mers with N never match. Memory: 8 bytes a letter of the held-out rows.
    """
    duplicate = np.zeros(len(tokens), bool)
    # Test first: a validation row that repeats a test row goes, and then makes no training row go.
    for later in (2, 1):
        held = [
            either_strand(tokens[int(row)], k)
            for row in np.flatnonzero((split == later) & ~duplicate)
        ]
        codes = np.unique(np.concatenate([np.zeros(0, np.int64), *held]))
        if not len(codes):
            continue
        for row in np.flatnonzero((split < later) & ~duplicate):
            own = either_strand(tokens[int(row)], k)
            at = np.searchsorted(codes, own)
            # Beyond the last code any place will do, for what stands there is compared.
            at[at == len(codes)] = 0
            duplicate[row] = bool((codes[at] == own).any())
    return duplicate
