"""Sequences of any lengths through an encoder, a vector each: grouped by length, and none knows of
another.

The trap is the strand: the last half of a vector (the odd one, see `model.strands`) changes its
sign on the other.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.model.orchid import Orchid
from orchid_genomics.model.pooling import Pool, PoolKind
from orchid_genomics.model.tokens import pad_rows
from orchid_genomics.sequence import DNA

BATCH = 1 << 14  # letters of one forward pass
LONGEST = 131_072  # letters of a sequence, unless a model was trained on longer ones
Strand = Literal["both", "forward"]


def channels(encoder: Orchid, strand: Strand) -> int:
    """Numbers of a vector: half of the width where only what both strands share is read."""
    width = encoder.recipe.width
    return width // 2 if strand == "both" and encoder.recipe.strands == "equivariant" else width


def pool_vectors(
    encoder: Orchid, rows: Sequence[np.ndarray], pool: PoolKind, strand: Strand
) -> np.ndarray:
    """A pooled vector of each sequence.

    Parameters
    ----------
    rows : tokens (L,) uint8 of sequences of any lengths.
    pool : "mean" or "center"; see `model.pooling.Pool`.
    strand : "both" for what both strands share; a dense encoder, which shares nothing, then reads
        both and takes the mean.

    Returns
    -------
    vectors (N, C) float32, in the order given.
    """
    count = channels(encoder, strand)
    vectors_NC = np.zeros((len(rows), count), np.float32)
    # By length, so that batches are not mostly padding.
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for batch in batches([len(rows[row]) for row in order]):
        numbers = [order[position] for position in batch]
        own = [rows[row] for row in numbers]
        vectors = _pool_batch(encoder, own, pool, count)
        if strand == "both" and encoder.recipe.strands == "dense":
            other = [DNA.reverse_complement(row) for row in own]
            vectors = (vectors + _pool_batch(encoder, other, pool, count)) / 2
        vectors_NC[numbers] = vectors.cpu().numpy()
    return vectors_NC


def _pool_batch(encoder: Orchid, rows: list[np.ndarray], pool: PoolKind, count: int) -> Tensor:
    device = next(encoder.parameters()).device
    tokens_BL = pad_rows(rows, DNA.pad).to(device)
    # Rows without a letter are in no group, and stay zero.
    vectors_BC = torch.zeros(len(rows), count, device=device)
    pooling = Pool(pool, count)
    with torch.inference_mode():
        for numbers, group_BL, mask_BL in encoder.groups(tokens_BL):
            # The even half stands first: leading channels are those that both strands share.
            x_BLD = encoder.encode(group_BL, mask_BL).float()[..., :count]
            vectors_BC[numbers] = pooling(x_BLD.transpose(1, 2), mask_BL)
    return vectors_BC


def batches(lengths: Sequence[int], letters: int = BATCH) -> list[range]:
    """Runs of rows, sorted by length, of at most so many letters of the longest (or one row)."""
    runs = []
    start = 0
    for position, length in enumerate(lengths):
        if (position - start + 1) * length > letters and position > start:
            runs.append(range(start, position))
            start = position
    return [*runs, range(start, len(lengths))] if lengths else []
