"""Full convolutions of a few letters, between the embedding and the blocks.

A block's filters are depthwise: they mix positions far apart, and channels at one place alone. What
stands beside a letter is learned faster by a full convolution, which is matrix products almost
alone. The trap: with strand pairs a tap is no free matrix; what one half reads of the other are
differences, see `ops.full_conv.read_slots`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.model.strands import Mix, Norm, butterfly, halves, over_rms
from orchid_genomics.ops.full_conv import full_conv

if TYPE_CHECKING:
    from orchid_genomics.model.orchid import OrchidRecipe
    from orchid_genomics.model.sequence_parallel import Shards


class Convolution(nn.Module):
    """x + Linear(GELU(full convolution of normed x)), circular over exactly L.

    Parameters
    ----------
    recipe : OrchidRecipe
        Of the encoder; (B, D, L) -> (B, D, L) with D its `width`, `convolution_taps` letters.
    dilation : int
        Letters from one tap to the next.
    """

    def __init__(self, recipe: OrchidRecipe, dilation: int) -> None:
        super().__init__()
        self.halves, self.dilation = halves(recipe.strands), dilation
        C, taps = recipe.width // self.halves, recipe.convolution_taps
        self.norm = Norm(recipe.width, recipe.strands)
        # Sums and differences of two letters have twice the variance of one.
        numbers = C * (1 + 2 * (taps - 1)) if self.halves == 2 else C * taps
        weight = torch.randn(self.halves, C, taps, C) / math.sqrt(numbers)
        self.weight = nn.Parameter(weight)
        """(halves, C out, taps, C in), slots as of `ops.full_conv.read_slots`."""
        self.bias = nn.Parameter(torch.zeros(C))
        """Of the even half: an odd channel changes its sign on the other strand."""
        scale = 1 / math.sqrt(recipe.branches)
        self.outside = Mix(recipe.width, recipe.width, recipe.strands, scale=scale)

    @property
    def reach(self) -> int:
        """Letters that it reads on either side."""
        return self.weight.shape[2] // 2 * self.dilation

    def forward(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None = None,
        dtype: torch.dtype | None = None,
        shards: Shards | None = None,
    ) -> Tensor:
        """(B, D, L) -> (B, D, L), fused, with activations of `dtype`; `plain` is the same written
        out. With `shards` x is a stretch of a window without padding.
        """
        dtype = dtype or x_BDL.dtype
        # The norm's scale and the butterfly's 1 / sqrt 2 are part of the weight.
        half = math.sqrt(0.5) if self.halves == 2 else 1.0
        inside = (self.weight * (self.norm.scale * half)).to(dtype)
        weights = inside, self.bias * half, *self.outside.fold(dtype)
        if shards is None:
            return full_conv(x_BDL, *weights, mask_BL, self.dilation)
        wide_BDL = shards.widen(x_BDL, self.reach)
        # The ends of what it is given are joined: what that spoils is the neighbours' own.
        own = slice(self.reach, self.reach + x_BDL.shape[-1])
        return full_conv(wide_BDL, *weights, None, self.dilation)[..., own]

    def plain(
        self,
        x_BDL: Tensor,
        mask_BL: Tensor | None,
        unit: Callable[[Tensor], Tensor] = over_rms,
        gelu: Callable[[Tensor], Tensor] = functional.gelu,
    ) -> Tensor:
        """The definition that `forward` fuses, by ordinary autograd; `unit` and `gelu` may be
        modules (`explain.unfused`).
        """
        h_BDL = self.norm(x_BDL, unit)
        if mask_BL is not None:
            h_BDL = h_BDL * mask_BL[:, None]
        k, d = self.weight.shape[2] // 2, self.dilation
        # Letters after each letter are those of the circle turned back.
        taps = [h_BDL.roll(-j * d, -1) for j in range(-k, k + 1)]
        kernel = self.kernel().to(h_BDL.dtype)
        y_BDL = sum(torch.matmul(kernel[..., j], tap) for j, tap in enumerate(taps))
        bias_D = functional.pad(self.bias, (0, x_BDL.shape[1] - len(self.bias)))
        y_BDL = y_BDL + bias_D[:, None]
        active_BDL = gelu(butterfly(y_BDL, self.halves))
        return x_BDL + self.outside(butterfly(active_BDL, self.halves))

    def kernel(self) -> Tensor:
        """The convolution as an ordinary one, (D out, D in, taps) in the even/odd basis, the tap in
        the middle that of the letter itself and those beyond it of the letters after.
        """
        k = self.weight.shape[2] // 2
        near, one, other = self.weight.permute(0, 1, 3, 2).split((1, k, k), -1)
        if self.halves == 1:
            return torch.cat((other.flip(-1), near, one), -1)[0]
        own = torch.cat((one.flip(-1), near, one), -1)
        across = torch.cat((-other.flip(-1), torch.zeros_like(near), other), -1)
        even = torch.cat((own[0], across[0]), 1)
        odd = torch.cat((across[1], own[1]), 1)
        return torch.cat((even, odd))
