"""What a masked-letter model expects at each letter, that letter hidden; look at it before
explaining anything.
"""

import numpy as np
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import DNA


@torch.inference_mode()
def expected_letters(
    model: OrchidModel,
    tokens_L: np.ndarray,
    start: int = 0,
    end: int | None = None,
    batch: int = 16,
) -> np.ndarray:
    """P(A, C, G, T) as (4, R) at letters `start` to `end` (0-based half-open) of tokens (L,), each
    hidden alone.

    All of `tokens_L` is read as context. Cost: one pass over it a letter. Raises InputError for a
    model without a letters head and for a region that does not lie within the sequence.
    """
    if model.recipe.head is None or model.recipe.head.kind != "letters":
        raise InputError("model", "predicts no letters", "a pretrained model")
    end = len(tokens_L) if end is None else end
    if not 0 <= start < end <= len(tokens_L):
        raise InputError(
            "region", f"{start} to {end}", f"0-based half-open places within 0 to {len(tokens_L)}"
        )
    device = next(model.parameters()).device
    found = []
    for first in range(start, end, batch):
        places = np.arange(first, min(first + batch, end))
        rows = np.tile(np.asarray(tokens_L, np.uint8), (len(places), 1))
        rows[np.arange(len(places)), places] = DNA.mask
        logits_BLV = model(torch.from_numpy(rows).to(device))
        found.append(
            logits_BLV[torch.arange(len(places)), torch.from_numpy(places)]
            .softmax(-1)
            .cpu()
            .numpy()
        )
    return np.concatenate(found).T
