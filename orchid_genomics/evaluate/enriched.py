"""Motifs to begin a stem with: words that go with the labels of the training rows, as filters.

From random filters a long motif is found late or never, which depends on the seed (K562 CTCF, 2,122
rows, 500 steps: validation AUROC .921 to .956); begun at enriched words it is not. The trap:
training rows alone are read, or validation would choose among models that have seen it.
"""

from itertools import zip_longest

import numpy as np

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.kmers import all_codes, reverse_codes

WORD = 7
"""Letters of a word: few enough that a thousand rows say which are enriched."""
USUAL = 15
"""Letters of a motif that most factors have."""
LEAST = 4.0
"""Standard errors of the correlation with a label, below which a word is no more than chance."""
ROUNDS = 4
"""Times that a motif is fitted to its best windows: a long one grows out of a word."""
REACHED = 0.02
"""Share of the rows of other answers that may score as high as a motif's sites."""
FEWEST = 10
"""Sites that a motif is fitted to, at least."""
PSEUDO = 5.0
"""Letters as everywhere, added to each column of a motif."""
LETTERS = 1_000_000
"""Letters that are read; more rows would say the same."""


def enriched_motifs(data: LabelledSet, count: int, taps: int, both: bool) -> np.ndarray:
    """Log-odds (n, 4, taps) of up to `count` motifs, the most enriched first.

    A word is the one most correlated with an answer; its motif begins as the mean of the windows
    around it and its neighbours by a letter, and then of the rows' best windows that few rows of
    other answers reach. What it covers is erased, and the next word is looked for.

    Parameters
    ----------
    data
        A split set; its training rows are read.
    count, taps
        How many motifs, and their letters.
    both
        Whether a word and its reverse complement are the same.
    """
    tokens_NL, target_NK = _rows(data)
    windows_NMT = _windows(tokens_NL, taps)
    codes_NM, known_NM = _words(tokens_NL)
    background = _background(tokens_NL)
    words = np.arange(4**WORD)
    turned = reverse_codes(words, WORD) if both else words
    canonical_NM = np.minimum(codes_NM, turned[codes_NM])
    rows_NM = np.broadcast_to(np.arange(len(codes_NM))[:, None], codes_NM.shape)
    motifs: list[np.ndarray] = []
    while len(motifs) < count:
        z_WK = _correlations(canonical_NM[known_NM], rows_NM[known_NM], target_NK)
        word, answer = np.unravel_index(np.abs(z_WK).argmax(), z_WK.shape)
        if abs(z_WK[word, answer]) < LEAST:
            break
        has_N = target_NK[:, answer] * np.sign(z_WK[word, answer]) > 0
        near = np.zeros(4**WORD, bool)
        near[_neighbours(int(word))] = True
        sites_NM = near[codes_NM] & known_NM
        other_NM = near[turned[codes_NM]] & known_NM if both else np.zeros_like(sites_NM)
        letters = np.concatenate([windows_NMT[sites_NM], _turn(windows_NMT[other_NM])])
        motif = _log_odds(letters, background)
        for _ in range(ROUNDS):
            motif = _refine(motif, windows_NMT, has_N, background, both)
        motifs.append(motif)
        known_NM &= ~_overlapping(sites_NM | other_NM)
    return np.array(motifs).reshape(-1, DNA.count, taps)


def motifs_to_begin_with(data: LabelledSet, count: int, taps: int, both: bool) -> np.ndarray:
    """Motifs (n, 4, taps) for a stem of `count` at most: of `taps` letters, and, where those are
    many, of fewer letters too.

    A long motif that is fitted around a short one takes in what happens to stand beside it, such as
    repeats of one family: K562 CEBPB, AUROC of the best motif by itself on held-out rows .852 with
    15 letters and .842 with 23; CTCF, which is long, the other way.
    """
    longest = enriched_motifs(data, count, taps, both)
    if taps <= USUAL:
        return longest
    usual = enriched_motifs(data, count, USUAL, both)
    beside = (taps - USUAL) // 2
    usual = np.pad(usual, ((0, 0), (0, 0), (beside, taps - USUAL - beside)))
    # The most enriched of both first.
    pairs = zip_longest(usual, longest)
    chosen = [motif for pair in pairs for motif in pair if motif is not None][:count]
    return np.array(chosen).reshape(-1, DNA.count, taps)


def _rows(data: LabelledSet) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, L) of training rows, N at their ends, and their standardised answers (N, K)."""
    rows = data.rows("train")
    longest = int(data.lengths[rows].max())
    most = max(1, LETTERS // longest)
    rows = rows[:: -(-len(rows) // most)]
    tokens_NL = np.full((len(rows), longest), DNA.n, np.uint8)
    for row, number in enumerate(rows):
        letters = data.tokens[number] & CODE
        tokens_NL[row, : len(letters)] = letters
    target = data.numbers(rows)
    # Of tracks their mean: a word has no place in a row.
    target_NK = target.reshape(len(rows), -1, target.shape[-1])
    target_NK = np.nan_to_num(np.nanmean(target_NK, 1))
    spread_K = target_NK.std(0)
    return tokens_NL, (target_NK - target_NK.mean(0)) / np.where(spread_K > 0, spread_K, np.inf)


def _words(tokens_NL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words (N, M) at every place, and where they are all letters."""
    N, L = tokens_NL.shape
    M = max(L - WORD + 1, 0)
    # All rows as one sequence: words that run on into the next row are cut off again.
    letters = np.append(tokens_NL, np.full(WORD - 1, DNA.n, np.uint8))
    codes, known = all_codes(letters, WORD)
    return codes.reshape(N, L)[:, :M], known.reshape(N, L)[:, :M]


def _correlations(words: np.ndarray, rows: np.ndarray, target_NK: np.ndarray) -> np.ndarray:
    """z of every word and answer: of its rows' answers against those of all rows."""
    pairs = np.unique(rows * 4**WORD + words)
    words, rows = pairs % 4**WORD, pairs // 4**WORD
    counts = np.bincount(words, minlength=4**WORD)
    error = np.sqrt(np.maximum(counts * (1 - counts / len(target_NK)), 1.0))
    sums = [np.bincount(words, answers[rows], 4**WORD) for answers in target_NK.T]
    return np.stack(sums, 1) / error[:, None]


def _neighbours(word: int) -> np.ndarray:
    """The word itself, and all that differ from it by a letter."""
    units = 4 ** np.arange(WORD)
    own = word // units % 4
    return np.concatenate([word + (letter - own) * units for letter in range(4)])


def _windows(tokens_NL: np.ndarray, taps: int) -> np.ndarray:
    """The letters (N, M, taps) around every word, N beyond the ends."""
    before = (taps - WORD) // 2
    padded = np.pad(tokens_NL, ((0, 0), (taps, taps)), constant_values=DNA.n)
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, 1)
    return windows[:, taps - before :][:, : max(tokens_NL.shape[1] - WORD + 1, 0)]


def _turn(windows: np.ndarray) -> np.ndarray:
    """Windows on the other strand."""
    return np.array(DNA.complement_codes, np.uint8)[windows[..., ::-1]]


def _background(tokens_NL: np.ndarray) -> np.ndarray:
    """The share (4,) of each letter."""
    counts = np.bincount(tokens_NL[tokens_NL < DNA.count], minlength=DNA.count) + 1.0
    return counts / counts.sum()


def _log_odds(windows: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Log-odds (4, taps) of the letters of windows (n, taps) against all letters."""
    counts = np.array([(windows == letter).sum(0) for letter in range(DNA.count)], float)
    share = (counts + PSEUDO * background[:, None]) / (counts.sum(0) + PSEUDO)
    return np.log(share / background[:, None])


def _refine(
    motif: np.ndarray,
    windows_NMT: np.ndarray,
    has_N: np.ndarray,
    background: np.ndarray,
    both: bool,
) -> np.ndarray:
    """The motif of the rows' best windows, of rows that have the answer and are above others."""
    strands = [motif, motif[::-1, ::-1]] if both else [motif]
    scores = [_scores(strand, windows_NMT) for strand in strands]
    best_SN = np.array([score.max(1) for score in scores])
    best_N, strand_N = best_SN.max(0), best_SN.argmax(0)
    threshold = np.quantile(best_N[~has_N], 1 - REACHED)
    chosen = has_N & (best_N > threshold)
    if chosen.sum() < FEWEST:
        return motif
    letters = []
    for strand, score in enumerate(scores):
        rows = np.flatnonzero(chosen & (strand_N == strand))
        sites = windows_NMT[rows, score[rows].argmax(1)]
        letters.append(_turn(sites) if strand else sites)
    return _log_odds(np.concatenate(letters), background)


def _scores(motif: np.ndarray, windows_NMT: np.ndarray) -> np.ndarray:
    """The sum of a motif's log-odds in every window, (N, M)."""
    # N, MASK and padding are no evidence.
    table = np.concatenate([motif, np.zeros((DNA.size - DNA.count, motif.shape[1]))])
    scores = np.zeros(windows_NMT.shape[:2], np.float32)
    for place in range(motif.shape[1]):
        scores += table[:, place].astype(np.float32)[windows_NMT[..., place]]
    return scores


def _overlapping(sites_NM: np.ndarray) -> np.ndarray:
    """Places of words that share half of their letters and more with one of `sites_NM`."""
    covered = sites_NM.copy()
    for shift in range(1, WORD // 2 + 1):
        covered[:, shift:] |= sites_NM[:, :-shift]
        covered[:, :-shift] |= sites_NM[:, shift:]
    return covered
