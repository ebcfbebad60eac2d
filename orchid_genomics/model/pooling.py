"""Vectors of many letters become one: over real letters only, so that padding never moves an
embedding.

A row pools to the same bits in any batch of its transform length: sums run within a row, never
across rows.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.model.words import word_counts

PoolKind = Literal["mean", "center", "attention"]


class Pool(nn.Module):
    """Channels (B, C, L) -> (B, `width`).

    Parameters
    ----------
    kind : str
        mean: over letters. center: the middle letter, the mean of the two middle ones where the
        length is even (so that both strands share it). attention: learned averages, whose scores
        are of the channels given, so that a pool of strand-blind channels is strand-blind.
    channels : int
        C.
    queries : int
        Learned averages of the attention pool, side by side.
    """

    def __init__(self, kind: PoolKind, channels: int, queries: int = 1) -> None:
        super().__init__()
        self.kind = kind
        self.width = channels * (queries if kind == "attention" else 1)
        if kind == "attention":
            self.query = nn.Parameter(torch.randn(queries, channels) / math.sqrt(channels))

    def forward(
        self, x_BCL: Tensor, mask_BL: Tensor | None = None, parts: "PoolParts | None" = None
    ) -> Tensor:
        """`mask_BL` is 1 at letters and 0 at the padding that may end a row."""
        if self.kind == "attention":
            return self._attention(x_BCL, mask_BL, parts or POOLING)
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

    def _attention(self, x_BCL: Tensor, mask_BL: Tensor | None, parts: "PoolParts") -> Tensor:
        B = x_BCL.shape[0]
        # A product for each row: one of all rows might round a row by its batch.
        score_BQL = torch.bmm(self.query.to(x_BCL.dtype).expand(B, -1, -1), x_BCL)
        if mask_BL is not None:
            score_BQL = score_BQL.masked_fill(mask_BL[:, None] == 0, -math.inf)
        return parts.average(score_BQL, x_BCL).reshape(B, -1)


class Maxima(nn.Module):
    """Channels (B, D, L) in the paired basis -> maxima of stretches side by side, (B, `width(D)`).

    `both` takes the higher of a pair of channels, read from either end: the answer is the same on
    the other strand. Otherwise c and c' stand side by side. Stretches are `count` equal parts of a
    row's letters, neighbours sharing a letter where it does not divide; 1 is the whole row. With
    `middles` they are parts about the middle, one within the other, the smallest first: of 2, a
    quarter of the row, half of it, all of it.

    Parameters
    ----------
    halves : int
        2 where channels come in strand pairs, else 1.
    both : bool
        Whether the answer is to be the same on the other strand.
    count : int
        Stretches of a row; 1 with `middles`.
    middles : int
        How often a part about the middle is halved.
    """

    def __init__(self, halves: int, both: bool, count: int = 1, middles: int = 0) -> None:
        super().__init__()
        self.pairs = halves if both else 1
        self.middles = middles
        # The smallest part about the middle is two stretches, and the next one twice as many.
        self.count = 2 << middles if middles else count

    def width(self, channels: int) -> int:
        """Numbers of so many channels."""
        return channels // self.pairs * (self.middles + 1 if self.middles else self.count)

    def forward(
        self, x_BDL: Tensor, mask_BL: Tensor | None = None, parts: "PoolParts | None" = None
    ) -> Tensor:
        """`mask_BL` is 1 at letters and 0 at the padding that may end a row."""
        B, D, L = x_BDL.shape
        largest = (parts or POOLING).largest
        x_BPCL = x_BDL.reshape(B, self.pairs, D // self.pairs, L)
        if self.count > 1:
            peaks_BPCS = largest(self._stretches(x_BPCL, mask_BL))
        else:
            if mask_BL is not None:
                # Not 0, for a channel may be negative everywhere; and a sum, whose gradient is x's.
                floor_BL = torch.zeros_like(mask_BL).masked_fill(mask_BL == 0, -math.inf)
                x_BPCL = x_BPCL + floor_BL[:, None, None].to(x_BPCL.dtype)
            peaks_BPCS = largest(x_BPCL)[..., None]
        if self.pairs > 1:
            # From the other end the first stretch is the last.
            peaks_BPCS = torch.stack((peaks_BPCS[:, 0], peaks_BPCS[:, 1].flip(2)), -1)
            peaks_BPCS = largest(peaks_BPCS)[:, None]
        if self.middles:
            middle = self.count // 2
            sizes = [1 << at for at in range(self.middles + 1)]
            inside = [peaks_BPCS[..., middle - size : middle + size] for size in sizes]
            peaks_BPCS = torch.stack([largest(part) for part in inside], -1)
        return peaks_BPCS.flatten(1)

    def _stretches(self, x_BPCL: Tensor, mask_BL: Tensor | None) -> Tensor:
        """(B, P, C, S, W): the letters of every stretch, the last one again where it is shorter."""
        B, P, C, L = x_BPCL.shape
        S, device = self.count, x_BPCL.device
        letters_B = torch.full((B,), L, device=device)
        if mask_BL is not None:
            letters_B = mask_BL.sum(1).long()
        edges_BS = torch.arange(S + 1, device=device) * letters_B[:, None]
        first_BS1 = (edges_BS[:, :-1] // S)[..., None]
        last_BS1 = ((edges_BS[:, 1:] + S - 1) // S - 1)[..., None]
        # The last letter again: a maximum does not change, and no mask is needed.
        at_BSW = torch.minimum(first_BS1 + torch.arange(L // S + 2, device=device), last_BS1)
        at_BPCM = at_BSW.reshape(B, 1, 1, -1).expand(B, P, C, -1)
        return x_BPCL.gather(3, at_BPCM).unflatten(3, (S, -1))


def softmax_average(score_BQL: Tensor, x_BCL: Tensor) -> Tensor:
    """Averages of x over positions by the softmax of their scores, (B, Q, C)."""
    return torch.bmm(score_BQL.softmax(2), x_BCL.transpose(1, 2))


def largest(x: Tensor) -> Tensor:
    """The maximum over the last axis; equal ones share the gradient, so that strands do."""
    return x.amax(-1) if torch.compiler.is_compiling() else _Largest.apply(x)


class _Largest(torch.autograd.Function):
    """`amax`, whose own gradient counts equal ones in four passes more."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.amax(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        # 1 at the largest: compared into numbers, for a product with truth values converts them.
        dx = torch.eq(x, y[..., None], out=torch.empty_like(x))
        return dx.mul_((dy / dx.sum(-1))[..., None])


class PoolParts(NamedTuple):
    """What is not linear in pooling, as functions: modules may take their places."""

    average: Callable[[Tensor, Tensor], Tensor] = softmax_average
    """Averages (B, Q, C) of scores (B, Q, L) and channels (B, C, L)."""
    largest: Callable[[Tensor], Tensor] = largest
    """The maximum over the last axis."""
    largest_of: Callable[[Tensor, int], Tensor] = functional.max_pool1d
    """Maxima (B, C, L // count) of so many neighbours of (B, C, L); a rest is cut."""
    relu: Callable[[Tensor], Tensor] = torch.relu
    word_counts: Callable[[Tensor, int, int], Tensor] = word_counts
    """Counts of words, of letters, their length and gap."""


POOLING = PoolParts()
