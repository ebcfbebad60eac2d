"""Do related genomes say anything? Bits on letters whose relatives stand beside their window.

The trap: a relative says much by itself. So the letters that an alignment of the same stretches has
at each place, and nothing else, stand beside the model in the same table.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from Bio.Align import PairwiseAligner

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.relatives import Relatives
from orchid_genomics.evaluate.held_out import HeldOut, hide_letters
from orchid_genomics.evaluate.masked_letters import LetterModel, gather, letter_bits
from orchid_genomics.evaluate.probes.exchanged_context import window_score
from orchid_genomics.evaluate.probes.planted_copies import choose_windows
from orchid_genomics.evaluate.protocols import EvaluationRecipe
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.distributed import Ranks

WINDOWS = 64
# Letters of each kind that are counted before any is seen; a relative's letter counts 1.
PRIOR = 0.05


class BesideBits(NamedTuple):
    """Bits (W, L) on the letters of windows; NaN where none is hidden.

    `alone`: no relatives beside it; `other`: as many stretches from half a contig further on;
    `relatives`: those that belong there; `aligned`: what an alignment of them says by itself.
    """

    alone: np.ndarray
    other: np.ndarray
    relatives: np.ndarray
    aligned: np.ndarray


def beside_bits(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    length: int,
    relatives: Relatives,
    *,
    windows: int,
    ranks: Ranks,
) -> BesideBits:
    """Bits on held-out windows of `length` letters, `windows` of them, evenly spaced.

    The same letters are hidden in all forms; relatives are found by the letters that are shown.
    """
    places = choose_windows(pieces, length, windows)
    rows = np.full((4, len(places), length), np.nan, np.float32)
    for number in range(ranks.rank, len(places), ranks.world):
        piece, start = pieces[places[number][0]], places[number][1]
        inside = slice(start, start + length)
        true_L, hidden = piece.tokens[inside] & CODE, piece.hidden[inside]
        seen_L = np.where(hidden, DNA.mask, true_L).astype(np.uint8)
        further = (start + len(piece.tokens) // 2) % (len(piece.tokens) - length + 1)
        elsewhere = piece.tokens[further : further + length] & CODE
        beside = relatives.beside(seen_L)
        other = np.concatenate([seen_L, relatives.beside(elsewhere)[length:]])
        forms = np.stack([relatives.beside(seen_L, alone=True), other, beside])
        true_BL = np.tile(np.resize(true_L, forms.shape[1]), (3, 1))
        bits = letter_bits(model, forms, true_BL, ranks.device)[:, :length]
        counts_L4 = aligned_letters(seen_L, beside[length:].reshape(-1, length))
        share = (counts_L4 + PRIOR) / (counts_L4 + PRIOR).sum(1, keepdims=True)
        own = np.log2(share[np.arange(length), np.minimum(true_L, DNA.count - 1)])
        target = hidden & (true_L < DNA.count)
        for row, values in zip(rows, (*bits, -own), strict=True):
            row[number] = np.where(target, values, np.nan)
    return BesideBits(*(gather(row, ranks) for row in rows))


def aligned_letters(tokens_L: np.ndarray, stretches_RL: np.ndarray) -> np.ndarray:
    """How many relatives have each letter at each place, (L, 4), by pairwise global alignment."""
    aligner = PairwiseAligner(mode="global", match_score=1, mismatch_score=-1)
    aligner.open_gap_score, aligner.extend_gap_score = -3, -0.5
    # Both hang over at their ends: what has no partner there costs nothing.
    aligner.end_gap_score = 0
    counts_L4 = np.zeros((len(tokens_L), DNA.count))
    text = DNA.decode(np.where(tokens_L < DNA.count, tokens_L, DNA.n))
    for stretch in stretches_RL:
        if (stretch >= DNA.count).all():
            continue
        ours, theirs = aligner.align(text, DNA.decode(stretch))[0].aligned
        for (first, last), (other, end) in zip(ours, theirs, strict=True):
            letters = stretch[other:end]
            known = letters < DNA.count
            counts_L4[np.arange(first, last)[known], letters[known]] += 1
    return counts_L4


def relatives_table(
    model: LetterModel,
    corpus: Corpus,
    length: int,
    relatives: Relatives,
    *,
    measured: EvaluationRecipe,
    ranks: Ranks,
) -> list[ScoreTable]:
    """Bits on test windows with and without relatives, beside what an alignment says."""
    pieces = hide_letters(corpus, "test", measured.seed, measured.share)
    if not pieces:
        return []
    bits = beside_bits(model, pieces, length, relatives, windows=WINDOWS, ranks=ranks)
    rows = {
        "alone": bits.alone,
        "other stretches beside it": bits.other,
        "relatives beside it": bits.relatives,
        "gain over other stretches": bits.other - bits.relatives,
        "aligned relatives by themselves": bits.aligned,
    }
    scores = {name: [window_score("test", values)] for name, values in rows.items()}
    title = f"{len(relatives.relatives)} relatives beside windows of {length:,} nt"
    return [ScoreTable(f"{title}, bits a masked letter", scores, {})] if ranks.main else []
