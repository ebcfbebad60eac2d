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
    """What the model expects at each letter of a region, that letter alone hidden.

    Parameters
    ----------
    model : OrchidModel
        A model with a letters head.
    tokens_L : ndarray
        The sequence, all of it read as context.
    start, end : int
        The region of R letters, 0-based half-open.
    batch : int
        Sequences that go through the model at once.

    Returns
    -------
    ndarray
        P(A, C, G, T), (4, R). Cost: one pass over the sequence a letter.

    Raises
    ------
    InputError
        For a model without a letters head, or a region outside the sequence.
    """
    if model.recipe.head is None or model.recipe.head.kind != "letters":
        raise InputError("model", "predicts no letters", "a pretrained model")
    end = len(tokens_L) if end is None else end
    if not 0 <= start < end <= len(tokens_L):
        raise InputError(
            "region", f"{start} to {end}", f"0-based half-open places within 0 to {len(tokens_L)}"
        )
    device = next(model.parameters()).device
    parts = []
    for first in range(start, end, batch):
        positions = np.arange(first, min(first + batch, end))
        numbers = np.arange(len(positions))
        rows = np.tile(np.asarray(tokens_L, np.uint8), (len(positions), 1))
        rows[numbers, positions] = DNA.mask
        logits_BLV = model(torch.from_numpy(rows).to(device))
        hidden_BV = logits_BLV[numbers, positions]
        parts.append(hidden_BV.softmax(-1).cpu().numpy())
    return np.concatenate(parts).T
