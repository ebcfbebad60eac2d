"""What single letters say by where they stand: a weight for every letter at every place of a row.

It is the positional regression as a part of a head, so that an answer may hold both. The trap is
the length: rows of another one are read with their middle on the middle, and what stands beyond the
places has no weight.
"""

import torch
from torch import Tensor, nn

from orchid_genomics.sequence import DNA


class Places(nn.Module):
    """Sums (B, K) of the weights of the letters of a row, each by its place.

    A place is counted from the middle of the row, the letter at half its length rounded down. N,
    MASK and padding have no weight. The sum is linear in one-hot letters, so that attributions of
    it are exact without a rule.

    Parameters
    ----------
    places : int
        P, the letters of the rows that the weights are of.
    outputs : int
        K.
    """

    def __init__(self, places: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, DNA.count, places))

    def forward(self, letters_BVL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Sums (B, K) over one-hot letters (B, V, L), A C G T first; `mask_BL` is 1 at letters."""
        weight: Tensor = self.weight
        B, _, L = letters_BVL.shape
        places, device = weight.shape[-1], weight.device
        size_B = torch.full((B,), L, device=device)
        if mask_BL is not None:
            size_B = mask_BL.sum(1).long()
        at_BP = torch.arange(places, device=device) + (size_B // 2 - places // 2)[:, None]
        is_letter_BP = (at_BP >= 0) & (at_BP < size_B[:, None])
        at_B4P = at_BP.clamp(0, L - 1)[:, None].expand(B, DNA.count, places)
        letters_B4P = letters_BVL[:, : DNA.count].gather(2, at_B4P)
        letters_B4P = letters_B4P * is_letter_BP[:, None].to(letters_B4P.dtype)
        # A product of all rows may round a row by its batch (see `pooling`): a sum does not.
        weighted_BK4P = letters_B4P[:, None] * weight.to(letters_B4P.dtype)
        return weighted_BK4P.flatten(2).sum(-1)
