"""One window over several processes: each holds some of its positions, and while a mixer convolves,
some of its channels instead.

The operator is depthwise, so that a mixer needs two all-to-alls and nothing else that is long:
(positions / n, channels) -> (positions, channels / n), the whole transform of each channel, and
back. Norms, products, gates and MLP stay where they are. The trap: short taps, full convolutions
and a motif stem read beyond a border, around the circle too, and gradients come back the way that
letters went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.filters import StaticFilter, static_spectra
from orchid_genomics.model.strands import halves
from orchid_genomics.ops import BACKENDS

if TYPE_CHECKING:
    from orchid_genomics.model.orchid import Mixer, MixerWeights, OrchidRecipe

WHERE = "training.sequence_ranks"


@dataclass(frozen=True)
class Shards:
    """This process among those that share a window.

    Attributes
    ----------
    rank, size : int
        Its number, which is that of its stretch of the window, and how many there are.
    group : dist.ProcessGroup
        The processes, in order of rank.
    """

    rank: int
    size: int
    group: dist.ProcessGroup

    def stretch(self, L: int) -> slice:
        """The positions of a window of L letters that are this process's."""
        part = L // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def rows(self, channels: int) -> slice:
        """The channels (or strand pairs) that this process convolves."""
        return self.stretch(channels)

    def widen(self, x_BDl: Tensor, reach: int) -> Tensor:
        """This process's positions with `reach` more on both sides, of its neighbours."""
        if not reach:
            return x_BDl
        edges = torch.stack((x_BDl[..., :reach], x_BDl[..., -reach:]))
        after, before = _Neighbours.apply(edges, self)
        return torch.cat((before, x_BDl, after), -1)

    def to_channels(self, x_BHCl: Tensor) -> Tensor:
        """(B, H, C, L / n) of these positions -> (B, H, C / n, L) of these channels."""
        return _ToChannels.apply(x_BHCl, self)

    def to_positions(self, x_BHcL: Tensor) -> Tensor:
        """The way back."""
        return _ToPositions.apply(x_BHcL, self)

    def exchange(self, x_n: Tensor) -> Tensor:
        """Part i of n goes to process i; parts come back in order of their senders."""
        received = torch.empty_like(x_n)
        dist.all_to_all_single(received, x_n, group=self.group)
        return received

    def statics(self, filters: Sequence[StaticFilter], L: int) -> Sequence[Tensor]:
        """The static spectra (c, F) of this process's channels for a whole window of L letters."""
        rows = self.rows(filters[0].last.weight.shape[0])
        return static_spectra(filters, L, rows).unbind()


def mix(mixer: Mixer, x_BDl: Tensor, weights: MixerWeights, shards: Shards) -> Tensor:
    """What `Mixer.forward` gives at this process's positions of a window without padding."""
    fused, H = BACKENDS[mixer.backend], mixer.halves
    B, D, part = x_BDl.shape
    reach, L = mixer.short.shape[-1] // 2, part * shards.size
    # `enter` joins the ends of what it is given: what that spoils is the neighbours' own.
    wide = shards.widen(x_BDl, reach)
    own = slice(reach, reach + part)
    entered = fused.enter(wide, *weights.inside, weights.taps, None, H)
    z, v, s2 = (each[..., own].contiguous() for each in entered)
    # z and v go together: one exchange rather than two.
    both = shards.to_channels(torch.cat((z, v)).view(2 * B, H, D // H, part))
    z_whole, v_whole = both.reshape(2, B, D // shards.size, L).unbind()
    rows = shards.rows(D // H)
    # The static spectrum is of these channels already.
    spectra = mixer.spectra(L, weights.static_CF, weights.conditions)
    own_spectra = spectra.rows(rows)._replace(static_CF=spectra.static_CF)
    y_whole = mixer.mix(z_whole, v_whole, None, own_spectra)
    y = shards.to_positions(y_whole.view(B, H, -1, L)).reshape(B, D, part)
    return fused.leave(x_BDl, y, z, s2, weights.skip, *weights.outside, H)


def check_shards(encoder: OrchidRecipe, lengths: Sequence[int], size: int) -> None:
    """Raise RecipeError where so many processes cannot share the windows of a recipe."""
    if size == 1:
        return
    pairs = halves(encoder.strands)
    channels = encoder.width // pairs
    if channels % size:
        what = "strand pairs" if pairs == 2 else "channels"
        message = f"{size} ranks do not divide {channels} {what} of model.width {encoder.width}"
        raise RecipeError(WHERE, message, _divisors(channels))
    far = encoder.convolution_taps // 2 * max(encoder.convolutions, default=0)
    reach = max(encoder.short_taps // 2, encoder.stem // 2, far, 1)
    for length in lengths:
        if length % size:
            message = f"{size} ranks do not divide windows of {length:,} nt"
            raise RecipeError(WHERE, message, _divisors(length))
        if length // size < reach:
            message = f"{length // size} nt a rank are fewer than taps reach ({reach})"
            raise RecipeError(WHERE, message, "fewer ranks, or longer windows")
    if encoder.filter.threshold:
        message = "filter.threshold asks for a mean over all channels"
        raise RecipeError(WHERE, message, "threshold = 0, or 1 rank")
    if encoder.filter.hash_length:
        message = "filter.hash_length asks for the k-mers of the whole window"
        raise RecipeError(WHERE, message, "hash_length = 0, or 1 rank")


def _divisors(number: int) -> str:
    """The smallest divisors of a number, in words."""
    divisors = [str(each) for each in range(1, min(number, 64) + 1) if number % each == 0]
    return f"possible: {', '.join(divisors[:8])}"


class _ToChannels(torch.autograd.Function):
    """(B, H, C, l) -> (B, H, c, L) by one exchange; backward the other way."""

    @staticmethod
    def forward(ctx: Any, x_BHCl: Tensor, shards: Shards) -> Tensor:
        ctx.shards = shards
        return _gather_positions(x_BHCl, shards)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gather_channels(gradients[0], ctx.shards), None


class _ToPositions(torch.autograd.Function):
    """(B, H, c, L) -> (B, H, C, l) by one exchange; backward the other way."""

    @staticmethod
    def forward(ctx: Any, x_BHcL: Tensor, shards: Shards) -> Tensor:
        ctx.shards = shards
        return _gather_channels(x_BHcL, shards)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gather_positions(gradients[0], ctx.shards), None


def _gather_positions(x_BHCl: Tensor, shards: Shards) -> Tensor:
    B, H, C, part = x_BHCl.shape
    n = shards.size
    by_rank = x_BHCl.reshape(B, H, n, C // n, part).permute(2, 0, 1, 3, 4).contiguous()
    received = shards.exchange(by_rank)
    # Senders are stretches of the window: side by side they are the whole of it.
    return received.permute(1, 2, 3, 0, 4).reshape(B, H, C // n, n * part)


def _gather_channels(x_BHcL: Tensor, shards: Shards) -> Tensor:
    B, H, own, L = x_BHcL.shape
    n = shards.size
    by_rank = x_BHcL.reshape(B, H, own, n, L // n).permute(3, 0, 1, 2, 4).contiguous()
    received = shards.exchange(by_rank)
    return received.permute(1, 2, 0, 3, 4).reshape(B, H, n * own, L // n)


class _Neighbours(torch.autograd.Function):
    """First and last positions (2, B, D, k) -> what stands after the last and before the first."""

    @staticmethod
    def forward(ctx: Any, edges: Tensor, shards: Shards) -> Tensor:
        ctx.shards = shards
        return _swap_edges(edges, shards, outwards=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _swap_edges(gradients[0], ctx.shards, outwards=False), None


def _swap_edges(edges: Tensor, shards: Shards, outwards: bool) -> Tensor:
    """Outwards, the first positions go to the process before and the last to the one after, which
    is the same one where there are two; inwards, gradients take the way back.
    """
    before, after = (shards.rank - 1) % shards.size, (shards.rank + 1) % shards.size
    to = (before, after) if outwards else (after, before)
    sent = edges.new_zeros(shards.size, *edges.shape)
    sent[to[0], 0], sent[to[1], 1] = edges[0], edges[1]
    received = shards.exchange(sent)
    return torch.stack((received[to[1], 0], received[to[0], 1]))
