"""A block over a window too long for all of its activations at once: a few channels at a time.

For inference on a CPU, where a whole bacterial chromosome is one window. The stream before and
after the mixer stay in memory, and z, v, s2 and y of one group of channels; positions go through
the MLP in place. The trap: a threshold on lags is set by the mean over all channels, so such a
filter cannot be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchid_genomics.model.filters import static_spectra
from orchid_genomics.ops import BACKENDS
from orchid_genomics.ops.chunks import pieces
from orchid_genomics.ops.products import fly, product, split_halves

if TYPE_CHECKING:
    from orchid_genomics.model.orchid import Block, GatedMLP, Mixer

LONG = 1 << 27
"""Numbers of the stream (0.5 GB) from which on a window is run this way. Of the shape alone, never
of the memory that is free: or a score would depend on the machine."""
GROUPS = 8  # of the channels of a block, where each then has four or more
_POSITIONS = 1 << 18  # that go through the MLP together


def fits_alone(x_BDL: Tensor, mask_BL: Tensor | None) -> bool:
    """Whether a window is short enough for a block to hold all of its activations."""
    is_plain = mask_BL is None and x_BDL.device.type == "cpu" and not torch.is_grad_enabled()
    return not is_plain or torch.compiler.is_compiling() or x_BDL.numel() < LONG


def run_block(block: Block, x_BDL: Tensor, dtype: torch.dtype) -> Tensor:
    """What `Block.forward` gives, but for rounding: sums over channels come group by group."""
    out_BDL = _mix(block.mixer, x_BDL, dtype)
    _through_mlp(block.mlp, out_BDL, dtype)
    return out_BDL


def _mix(mixer: Mixer, x_BDL: Tensor, dtype: torch.dtype) -> Tensor:
    H, C, L = mixer.halves, x_BDL.shape[1] // mixer.halves, x_BDL.shape[-1]
    if mixer.conditioning.threshold:
        return mixer(x_BDL, None, dtype)
    w_in, b_in = mixer.inside.fold(dtype, mixer.norm.scale)
    w_out, b_out = mixer.outside.fold(dtype)
    w_in = w_in.view(H, 3, C, -1)
    taps, skip = mixer.both_taps(), mixer.skip.to(dtype)
    b_out = None if b_out is None else b_out.to(dtype)
    spectra = mixer.spectra(L, x_BDL.new_empty(C, 0))
    out_BDL = x_BDL.clone()
    size = max(4, C // GROUPS)
    for first in range(0, C, size):
        rows = slice(first, min(first + size, C))
        bias = None if b_in is None else b_in.view(3, C)[:, rows].reshape(-1)
        weight = w_in[:, :, rows].reshape(H, -1, w_in.shape[-1])
        enter = BACKENDS[mixer.backend].enter
        z, v, s2 = enter(x_BDL, weight, bias, taps[:, :, rows].contiguous(), None, H)
        static = static_spectra([mixer.static], L, rows)[0]
        y = mixer.mix(z, v, None, spectra.rows(rows)._replace(static_CF=static))
        # The bias once, and not with every group.
        own_bias = b_out if first == 0 else None
        _leave(out_BDL, (y, z, s2), skip[rows].repeat(H), (w_out[:, :, rows], own_bias), H)
    return out_BDL


def _leave(
    out_BDL: Tensor,
    activations: tuple[Tensor, Tensor, Tensor],
    skip: Tensor,
    outside: tuple[Tensor, Tensor | None],
    halves: int,
) -> None:
    """Add W fly((y + skip z) s2) of a group of channels (y, z, s2) to the stream."""
    for some, first, last in pieces(out_BDL):
        y, z, s2 = (each[some, :, first:last] for each in activations)
        u = torch.addcmul(y, z, skip[:, None]).mul_(s2)
        added = product(*outside, fly(split_halves(u, halves)))
        stream = out_BDL[some, :, first:last]
        stream += added.view(stream.shape)


def _through_mlp(mlp: GatedMLP, x_BDL: Tensor, dtype: torch.dtype) -> None:
    """The gated MLP of all positions, in place."""
    for first in range(0, x_BDL.shape[-1], _POSITIONS):
        some = x_BDL[..., first : first + _POSITIONS]
        some.copy_(mlp(some, dtype))
