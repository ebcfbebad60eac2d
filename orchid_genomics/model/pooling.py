"""Vectors of many letters become one: over real letters only, so that padding never moves an
embedding.

A row pools to the same bits in any batch of its transform length: sums run within a row, never
across rows.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

PoolKind = Literal["mean", "center", "attention"]
Average = Callable[[Tensor, Tensor], Tensor]


class Pool(nn.Module):
    """(B, C, L) -> (B, `width`).

    mean: over letters. center: the middle letter, the mean of the two middle ones where the length
    is even (so that both strands share it). attention: `queries` learned averages, side by side;
    their scores are of the channels given, so that a pool of strand-blind channels is strand-blind.
    """

    def __init__(self, kind: PoolKind, channels: int, queries: int = 1) -> None:
        super().__init__()
        self.kind = kind
        self.width = channels * (queries if kind == "attention" else 1)
        if kind == "attention":
            self.query = nn.Parameter(torch.randn(queries, channels) / math.sqrt(channels))

    def forward(
        self, x_BCL: Tensor, mask_BL: Tensor | None = None, average: Average | None = None
    ) -> Tensor:
        """`mask_BL` is 1 at letters and 0 at the padding that may end a row; `average` may take
        `averaged`'s place.
        """
        if self.kind == "attention":
            return self._attention(x_BCL, mask_BL, average or averaged)
        if self.kind == "center":
            return self._center(x_BCL, mask_BL)
        if mask_BL is None:
            return x_BCL.mean(2)
        return (x_BCL * mask_BL[:, None]).sum(2) / mask_BL.sum(1, keepdim=True)

    def _center(self, x_BCL: Tensor, mask_BL: Tensor | None) -> Tensor:
        B, C, L = x_BCL.shape
        if mask_BL is None:
            return (x_BCL[:, :, (L - 1) // 2] + x_BCL[:, :, L // 2]) / 2
        letters_B = mask_BL.sum(1).long()
        both_B2 = torch.stack(((letters_B - 1) // 2, letters_B // 2), 1)
        return x_BCL.gather(2, both_B2[:, None].expand(B, C, 2)).mean(2)

    def _attention(self, x_BCL: Tensor, mask_BL: Tensor | None, average: Average) -> Tensor:
        B = x_BCL.shape[0]
        score_BQL = torch.bmm(self.query.to(x_BCL.dtype).expand(B, -1, -1), x_BCL)
        if mask_BL is not None:
            score_BQL = score_BQL.masked_fill(mask_BL[:, None] == 0, -math.inf)
        return average(score_BQL, x_BCL).reshape(B, -1)


def averaged(score_BQL: Tensor, x_BCL: Tensor) -> Tensor:
    """Averages of x over positions by the softmax of their scores, (B, Q, C)."""
    return torch.bmm(score_BQL.softmax(2), x_BCL.transpose(1, 2))
