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
from orchid_genomics.model.pooling import Pool
from orchid_genomics.model.tokens import pad_rows
from orchid_genomics.sequence import DNA

BATCH = 1 << 14  # letters of one forward pass
LONGEST = 131_072  # letters of a sequence, unless a model was trained on longer ones
Strand = Literal["both", "forward"]


def channels(encoder: Orchid, strand: Strand) -> int:
    """Numbers of a vector: half of the width where only what both strands share is read."""
    width = encoder.recipe.width
    return width // 2 if strand == "both" and encoder.recipe.strands == "equivariant" else width


def pooled(
    encoder: Orchid, rows: Sequence[np.ndarray], pool: Literal["mean", "center"], strand: Strand
) -> np.ndarray:
    """Pooled vectors (N, C) float32 of tokens of any lengths; a dense encoder reads both strands
    for "both".
    """
    device = next(encoder.parameters()).device
    found = np.zeros((len(rows), channels(encoder, strand)), np.float32)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for batch in batches([len(rows[row]) for row in order]):
        some = [order[at] for at in batch]
        own = _pooled(encoder, [rows[row] for row in some], pool, found.shape[1], device)
        if strand == "both" and encoder.recipe.strands == "dense":
            other = [DNA.reverse_complement(rows[row]) for row in some]
            own = (own + _pooled(encoder, other, pool, found.shape[1], device)) / 2
        found[some] = own.cpu().numpy()
    return found


def _pooled(
    encoder: Orchid, rows: list[np.ndarray], pool: str, count: int, device: torch.device
) -> Tensor:
    tokens_BL = pad_rows(rows, DNA.pad).to(device)
    out = torch.zeros(len(rows), count, device=device)
    with torch.inference_mode():
        for at, group_BL, mask_BL in encoder.groups(tokens_BL):
            x_BLD = encoder.encode(group_BL, mask_BL).float()[..., :count]
            out[at] = Pool(pool, count)(x_BLD.transpose(1, 2), mask_BL)
    return out


def batches(lengths: Sequence[int], letters: int = BATCH) -> list[range]:
    """Runs of rows, sorted by length, of at most so many letters of the longest (or one row)."""
    found, start = [], 0
    for at, length in enumerate(lengths):
        if (at - start + 1) * length > letters and at > start:
            found.append(range(start, at))
            start = at
    return [*found, range(start, len(lengths))] if lengths else []
