"""A block over a window too long for all of its activations at once: a few channels at a time.

For inference on a CPU, where a whole bacterial chromosome is one window. The stream and what the
mixer adds to it stay in memory, and z, v, s2 and y of one group of channels; the stream is changed
in place. The trap: a threshold on lags is set by the mean over all channels, so such a filter
cannot be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchid_genomics.model.filters import static_spectra
from orchid_genomics.model.strands import halves
from orchid_genomics.ops import BACKENDS
from orchid_genomics.ops.chunks import pieces
from orchid_genomics.ops.products import as_activations, fly, product, split_halves

if TYPE_CHECKING:
    from orchid_genomics.model.orchid import Block, GatedMLP, Mixer, Orchid
    from orchid_genomics.model.strands import Folded

LONG = 1 << 27
"""Numbers of the stream (0.5 GB) from which on a window is run this way. Of the shape alone, never
of the memory that is free: or a score would depend on the machine."""
GROUPS = 4  # of the channels of a block, where each then has four or more
_POSITIONS = 1 << 18  # that go through the MLP together


def fits_alone(x_BDL: Tensor, mask_BL: Tensor | None) -> bool:
    """Whether a window is short enough for a block to hold all of its activations."""
    is_plain = mask_BL is None and x_BDL.device.type == "cpu" and not torch.is_grad_enabled()
    return not is_plain or torch.compiler.is_compiling() or x_BDL.numel() < LONG


def bytes_held(encoder: Orchid, letters: int) -> int:
    """Bytes that a block holds at once of one window without padding, at least, in inference: the
    streams, activations and gains; static filters and workspaces come on top.
    """
    recipe, first = encoder.recipe, encoder.letters.free
    stream = recipe.width * letters * first.element_size()
    # Half a spectrum of complex numbers is as long as a row.
    gains = 0 if recipe.filter.kind == "static" else stream // halves(recipe.strands)
    whole = recipe.filter.threshold or recipe.filter.hash_length or first.device.type != "cpu"
    if whole or recipe.width * letters < LONG:
        return 6 * stream + gains  # x, z, v, s2, y and what becomes of x
    return 2 * stream + 4 * stream // GROUPS + gains


def run_block(block: Block, x_BDL: Tensor, dtype: torch.dtype) -> Tensor:
    """What `Block.forward` gives, but for rounding, in place of x."""
    mixed_BDL = _mix(block.mixer, x_BDL, dtype)
    _through_mlp(block.mlp, mixed_BDL, dtype)
    return mixed_BDL


def _mix(mixer: Mixer, x_BDL: Tensor, dtype: torch.dtype) -> Tensor:
    """What the mixer gives, in place of x wherever its channels can be cut."""
    if mixer.conditioning.threshold:
        return mixer(x_BDL, None, dtype)
    B, D, L = x_BDL.shape
    H, C = mixer.halves, D // mixer.halves
    w_in, b_in = mixer.inside.fold(dtype, mixer.norm.scale)
    w_in = w_in.view(H, 3, C, -1)
    taps, skip = mixer.both_taps(), mixer.skip.to(dtype)
    spectra = mixer.spectra(L, x_BDL.new_empty(C, 0))
    # Gated channels of all groups: the product that mixes them is made once, as of a short window.
    u_BHCL = x_BDL.new_empty(B, H, C, L, dtype=dtype)
    size = max(4, C // GROUPS)
    for first in range(0, C, size):
        rows = slice(first, min(first + size, C))
        bias = None if b_in is None else b_in.view(3, C)[:, rows].reshape(-1)
        weight = w_in[:, :, rows].reshape(H, -1, w_in.shape[-1])
        enter = BACKENDS[mixer.backend].enter
        z, v, s2 = enter(x_BDL, weight, bias, taps[:, :, rows].contiguous(), None, H)
        static = static_spectra([mixer.static], L, rows)[0]
        y = mixer.mix(z, v, None, spectra.rows(rows)._replace(static_CF=static))
        _gate((y, z, s2), skip[rows], u_BHCL[:, :, rows])
    _leave(x_BDL, u_BHCL.view(B, D, L), mixer.outside.fold(dtype), H)
    return x_BDL


def _gate(activations: tuple[Tensor, Tensor, Tensor], skip: Tensor, u_BHCL: Tensor) -> None:
    """u = (y + skip z) s2 of a group of channels (y, z, s2)."""
    B, H, C, L = u_BHCL.shape
    for some, first, last in pieces(activations[0]):
        y, z, s2 = (each.view(B, H, C, L)[some, ..., first:last] for each in activations)
        torch.mul(torch.addcmul(y, z, skip[:, None]), s2, out=u_BHCL[some, ..., first:last])


def _leave(x_BDL: Tensor, u_BDL: Tensor, outside: Folded, halves: int) -> None:
    """Add W fly(u) to the stream."""
    weight, bias = outside
    bias = as_activations(bias, weight)
    for some, first, last in pieces(x_BDL):
        added = product(weight, bias, fly(split_halves(u_BDL[some, :, first:last], halves)))
        stream = x_BDL[some, :, first:last]
        stream += added.view(stream.shape)


def _through_mlp(mlp: GatedMLP, x_BDL: Tensor, dtype: torch.dtype) -> None:
    """The gated MLP of all positions, in place."""
    for first in range(0, x_BDL.shape[-1], _POSITIONS):
        some = x_BDL[..., first : first + _POSITIONS]
        some.copy_(mlp(some, dtype))
