"""Both strands in one pass: channels come in pairs (c, c'), and the other strand reverses positions
and swaps them.

The residual stream stays in the even/odd basis, halves (x_c + x_c', x_c - x_c') / sqrt 2, where a
layer that commutes with the swap is two half-size products. `butterfly` leads to the paired basis
(and back) around everything that is not linear. The trap: in the even/odd basis the other strand
negates the odd half; only even channels may have a bias.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from orchid_genomics.ops.products import EPS

Strands = Literal["equivariant", "dense"]


def halves(strands: Strands) -> int:
    """2 where channels come in strand pairs, 1 where the network is dense."""
    return 2 if strands == "equivariant" else 1


def butterfly(x_BDL: Tensor, halves: int) -> Tensor:
    """Even/odd halves to paired halves, or back: (a, b) -> (a + b, a - b) / sqrt 2; (B, D, L). One
    half: no change.
    """
    if halves == 1:
        return x_BDL
    # A compiler fuses the plain form by itself.
    if torch.compiler.is_compiling():
        a, b = (x_BDL * math.sqrt(0.5)).chunk(2, 1)
        return torch.cat((a + b, a - b), 1)
    return _Butterfly.apply(x_BDL)


class _Butterfly(torch.autograd.Function):
    """Orthonormal and symmetric, so that its gradient is itself: half the passes of autograd's."""

    @staticmethod
    def forward(x_BDL: Tensor) -> Tensor:
        C = x_BDL.shape[1] // 2
        a, b = x_BDL[:, :C], x_BDL[:, C:]
        y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
        torch.add(a, b, out=y_BDL[:, :C])
        torch.sub(a, b, out=y_BDL[:, C:])
        return y_BDL.mul_(math.sqrt(0.5))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, dy_BDL: Tensor) -> Tensor:
        return butterfly(dy_BDL, 2)


class Mix(nn.Module):
    """A linear layer over channels, (B, in, L) -> (B, out, L), that commutes with the strand swap.

    Weight (halves * blocks, out, in): the even channels meet only even ones, the odd only odd ones,
    and with `blocks` > 1 each half is block-diagonal. Gates and value stand side by side within a
    block's outputs.

    Parameters
    ----------
    inside, outside : int
        Channels in and out, multiples of halves * `blocks`.
    strands : str
        Of the encoder.
    blocks : int
        Blocks of a half's matrix; 1 is full.
    bias : bool
        Whether even outputs (all of a dense layer) have a bias, which begins at 0.
    scale : float
        Of the weights at the start, in units of 1 / sqrt(channels that meet).
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        strands: Strands,
        blocks: int = 1,
        bias: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.halves, self.blocks = halves(strands), blocks
        groups = self.halves * blocks
        shape = (groups, outside // groups, inside // groups)
        self.weight = nn.Parameter(torch.randn(shape) * (scale / math.sqrt(shape[-1])))
        self.bias = nn.Parameter(torch.zeros(outside // self.halves)) if bias else None
        # No weight without an adapter: the model folders that there were stay what they are.
        self.down: nn.Parameter | None = None
        self.up: nn.Parameter | None = None

    def adapt(self, rank: int) -> None:
        """Add a low-rank update U D to the weight, which begins at zero (`model.adapters`).

        Every matrix of the weight has its own pair, U (out, rank) and D (rank, in): even channels
        still meet even ones alone, and the strand law holds whatever is learned.

        Parameters
        ----------
        rank : int
            At most the smaller side of a matrix.
        """
        G, O, I = self.weight.shape
        self.down = nn.Parameter(torch.randn(G, rank, I).to(self.weight) / math.sqrt(I))
        # At zero: the first answer is that of the given weights.
        self.up = nn.Parameter(self.weight.new_zeros(G, O, rank))

    def matrix(self) -> Tensor:
        """The weight with its low-rank update, (halves * blocks, out, in)."""
        if self.up is None or self.down is None:
            return self.weight
        return self.weight + torch.matmul(self.up, self.down)

    @torch.no_grad()
    def merge(self) -> None:
        """Make the low-rank update part of the weight, and be an ordinary layer again."""
        self.weight.copy_(self.matrix())
        self.down = self.up = None

    def forward(self, x_BDL: Tensor) -> Tensor:
        G, _, I = self.weight.shape
        B, _, L = x_BDL.shape
        y = torch.matmul(self.matrix(), x_BDL.reshape(B, G, I, L)).reshape(B, -1, L)
        if self.bias is None:
            return y
        # On even channels alone: an odd one changes its sign on the other strand.
        odd = torch.zeros_like(self.bias).repeat(self.halves - 1)
        return y + torch.cat((self.bias, odd))[:, None]

    def fold(self, dtype: torch.dtype, scale: Tensor | None = None) -> "Folded":
        """Weight and bias with the norm's scale before it and the 1 / sqrt 2 of the butterfly
        beside it folded in; see `fold_together`.
        """
        return fold_together([self], dtype, None if scale is None else [scale])[0]


Folded = tuple[Tensor, Tensor | None]
"""Weight (halves * blocks, out, in) as activations, and bias in its own type."""


def fold_together(
    mixes: Sequence[Mix], dtype: torch.dtype, scales: Sequence[Tensor] | None = None
) -> list[Folded]:
    """Weights and biases of layers of one shape with the scales (in / halves,) of the norms before
    them, and the 1 / sqrt 2 of the butterflies beside them, folded in.

    Each by itself would be ten small calls, which is what a GPU waits for. Weights are in the dtype
    of the activations (bfloat16 on a GPU).
    """
    first = mixes[0]
    half = math.sqrt(0.5) if first.halves == 2 else 1.0
    weights = torch.stack([mix.matrix() for mix in mixes]) * half
    biases: Sequence[Tensor | None] = [mix.bias for mix in mixes]
    # Without a norm the butterfly stands before the product, and the bias is not part of it.
    if scales is not None:
        scale = torch.stack(list(scales)).view(len(mixes), first.blocks, 1, -1)
        weights = weights * scale.repeat(1, first.halves, 1, 1)
        present = [bias for bias in biases if bias is not None]
        if present:
            biases = (torch.stack(present) * half).unbind()
    return list(zip(weights.to(dtype).unbind(), biases, strict=True))


class LetterTable(nn.Module):
    """One vector a token code, in the even/odd basis; its complement has the same even and the
    opposite odd half.

    Used to embed (codes -> vectors) and to read letters off vectors (vectors -> logits). `free` are
    the vectors in the paired basis: w(code), (V, D / 2), for channel c, and w(complement(code)) for
    c'. Without a complement (a dense encoder) they are the vectors themselves, (V, D).

    Parameters
    ----------
    codes : int
        V.
    width : int
        D.
    complement : tuple of int or None
        The code of each code's complement; None without strand pairs.
    std : float
        Standard deviation of `free` at the start.
    """

    complement: Tensor

    def __init__(
        self, codes: int, width: int, complement: tuple[int, ...] | None, std: float
    ) -> None:
        super().__init__()
        self.paired = complement is not None
        self.free = nn.Parameter(torch.randn(codes, width // 2 if self.paired else width) * std)
        order = range(codes) if complement is None else complement[:codes]
        # Not kept in files: it follows from the alphabet.
        self.register_buffer("complement", torch.tensor(order), persistent=False)

    def vectors(self) -> Tensor:
        """(V, D), even half then odd half."""
        if not self.paired:
            return self.free
        other = self.free[self.complement]
        return torch.cat((self.free + other, self.free - other), 1) * math.sqrt(0.5)


class Norm(nn.Module):
    """Root mean square over channels, (B, D, L) -> (B, D, L); the scale is tied within a pair.

    Parameters
    ----------
    width : int
        Channels D.
    strands : str
        Of the encoder, see `model.strands`.
    """

    def __init__(self, width: int, strands: Strands) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width // halves(strands)))
        self.repeats = halves(strands)

    def forward(self, x_BDL: Tensor, unit: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return (unit or over_rms)(x_BDL) * self.channel_scale()[:, None]

    def channel_scale(self) -> Tensor:
        """(D,), the same for both of a pair."""
        return self.scale.repeat(self.repeats)


def over_rms(x_BDL: Tensor) -> Tensor:
    """x over its root mean square over channels."""
    return x_BDL * torch.rsqrt(x_BDL.square().mean(1, keepdim=True) + EPS)
