"""k-mers as numbers: base-4 codes of all k-mers of a sequence, the first letter most significant.

The trap: a k-mer with an N has a code too; what is not `valid` must not be looked at. Case is not
looked at.
"""

from collections.abc import Iterator

import numpy as np

from orchid_genomics.sequence.alphabet import DNA

_STEP = 1 << 22  # letters turned into codes at once


def either_strand(tokens: np.ndarray, k: int) -> np.ndarray:
    """Sorted distinct codes int64 of the k-mers (k <= 31) without N of tokens (L,), each as its
    smaller strand.
    """
    forward, backward, valid = both_strands(tokens, k)
    return np.unique(np.minimum(forward, backward)[valid])


def both_strands(tokens: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes int64 (L - k + 1,) of the k-mer at each place and of its reverse complement, and which
    hold no unknown letter.
    """
    forward, valid = all_codes(tokens, k)
    backward, _ = all_codes(DNA.reverse_complement(tokens), k)
    # The k-mer at place i stands on the other strand at the i-th place from the end.
    return forward, backward[::-1], valid


def all_codes(tokens: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All codes int64 (L - k + 1,) at once, and which hold no unknown letter; none where L < k."""
    pieces = [(codes, valid) for _, codes, valid in code_pieces(tokens, k)]
    return (
        np.concatenate([np.zeros(0, np.int64), *(codes for codes, _ in pieces)]),
        np.concatenate([np.zeros(0, bool), *(valid for _, valid in pieces)]),
    )


def gapped_codes(tokens: np.ndarray, k: int, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of k letters with a gap of any letters after the first k // 2 of them.

    Parameters
    ----------
    tokens : numpy.ndarray
        Letters (L,).
    k : int
        Letters that count, at most 31.
    gap : int
        Letters of the gap; 0 gives the codes of `all_codes`.

    Returns
    -------
    tuple of numpy.ndarray
        Codes int64 (L - k - gap + 1,), none where the sequence is shorter, and which of them hold
        no unknown letter outside the gap.
    """
    if gap == 0:
        return all_codes(tokens, k)
    left, right = k // 2, k - k // 2
    count = max(len(tokens) - k - gap + 1, 0)
    left_codes, left_valid = all_codes(tokens, left)
    right_codes, right_valid = all_codes(tokens, right)
    after = slice(left + gap, left + gap + count)
    codes = left_codes[:count] * 4**right + right_codes[after]
    return codes, left_valid[:count] & right_valid[after]


def reverse_codes(codes: np.ndarray, k: int) -> np.ndarray:
    """The codes of the reverse complements; a gap amid an even k stays in the middle."""
    reverse = np.zeros_like(codes)
    for _ in range(k):
        codes, letter = np.divmod(codes, 4)
        reverse = reverse * 4 + 3 - letter
    return reverse


def every_reverse_code(k: int) -> np.ndarray:
    """`reverse_codes` of all 4**k codes in order."""
    return reverse_codes(np.arange(4**k), k)


def code_pieces(tokens: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Codes int64 of the k-mers (k <= 31) of tokens (L,), in pieces: start, codes, and which hold
    no unknown letter.
    """
    for start in range(0, len(tokens) - k + 1, _STEP):
        letters = tokens[start : start + _STEP + k - 1] & 0x7F
        unknown = letters > 3
        yield start, _join_letters(np.where(unknown, 0, letters), k), ~_any_of_next(unknown, k)


def _join_letters(letters: np.ndarray, k: int) -> np.ndarray:
    """Base-4 codes (L - k + 1,) of all k-mers, by doubling: log2 k passes rather than k."""
    # One place more than letters: so many begin a piece of no letters. A code takes 2 k bits of an
    # int64, hence k <= 31.
    codes, power, size = np.zeros(len(letters) + 1, np.int64), letters.astype(np.int64), 1
    done = 0
    while True:
        # Append a piece of `size` letters to the `done` letters so far.
        if k & size:
            count = len(letters) - done - size + 1
            codes = codes[:count] * 4**size + power[done : done + count]
            done += size
        if done == k:
            return codes
        power = power[:-size] * 4**size + power[size:]
        size *= 2


def _any_of_next(flags: np.ndarray, k: int) -> np.ndarray:
    """Whether any of the k flags from each place on is set, (L - k + 1,) bool."""
    # Most pieces of a chromosome hold no N, and are spared the sums.
    if not flags.any():
        return np.zeros(len(flags) - k + 1, bool)
    total = np.concatenate([[0], np.cumsum(flags)])
    return total[k:] > total[:-k]
