"""What the FFT operator does to spectra: power, strength, filter and gradients, in short runs.

A run of frequencies stays in cache while a dozen calls pass over it, all of them into buffers made
once. The trap: complex products round differently in the vectors of the processor and in what is
left over, so runs end at multiples of a vector and rows of the buffers lie apart; a row then gives
the same bits in every batch.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from orchid_genomics.ops import frequency
from orchid_genomics.ops.reference import TINY

RUN = 1 << 18  # complex numbers passed over together on a CPU
VECTOR = 64  # a multiple of every processor's vectors, unrolled
STAGED = 1 << 13  # from this length on a transform reads faster from a copy in cache

Maybe = Tensor | None
as_real = torch.view_as_real


class Conditions(NamedTuple):
    """What conditions the rows of one group: spectra (R, F), taps (R, J); kind and bound.

    A second strand reads their conjugates.
    """

    static: Tensor
    gain: Maybe
    taps: Maybe
    kind: str
    bound: float


class Power(NamedTuple):
    """The power spectrum of a group (B, S, R, F), DC being 0, and its mean over all bins."""

    bins: Tensor
    mean: Tensor


class Sums(NamedTuple):
    """Where the gradients of one group go: static and gain (R, F), taps (R, J)."""

    static: Tensor
    gain: Maybe
    taps: Maybe


class Workspace:
    """Buffers for (B, strands, rows) of length L at most, group after group of rows."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        L: int,
        dtype: torch.dtype,
        device: torch.device,
        whole: bool,
    ) -> None:
        self.L, self.F = L, L // 2 + 1
        # On a GPU one run is the whole spectrum: it waits for launches rather than for memory.
        step = self.F
        if device.type == "cpu" and not whole:
            step = max(VECTOR, RUN // math.prod(shape) // VECTOR * VECTOR)
        # Rounded, so that the last run is never a sliver but half to one and a half of a step.
        count = max(1, round(self.F / step))
        self.widths = [step] * (count - 1) + [self.F - step * (count - 1)]
        run = max(self.widths)
        complex_type = torch.complex128 if dtype == torch.float64 else torch.complex64
        # One buffer for both: what is staged has been transformed before power is measured.
        shared = torch.empty(*shape, 2 * self.F, dtype=dtype, device=device)
        self.staged = shared[..., :L] if device.type == "cpu" and L >= STAGED else None
        self.power, self.slope = shared.split(self.F, -1)
        real = torch.empty(2, *shape, run, dtype=dtype, device=device)
        self.bounded, self.strength = real.unbind()
        # A number more than a run, so that no row begins where another ends (see the module).
        wide = torch.empty(2, *shape, run + 1, dtype=complex_type, device=device)
        self.one, self.two = wide.unbind()

    def runs(self, *spectra: Maybe) -> Iterable[tuple[Any, ...]]:
        """These tensors (..., F) run by run; None stays None."""
        none = [None] * len(self.widths)
        return zip(*(none if s is None else s.split(self.widths, -1) for s in spectra), strict=True)

    def transform(self, x_BSRL: Tensor, norm: str = "backward") -> Tensor:
        """rfft of x, in float32 whatever the activations (float64 stays); over L with the norm
        "forward".
        """
        if self.staged is None:
            return torch.fft.rfft(x_BSRL.to(self.power.dtype), norm=norm)
        staged = self.staged[:, :, : x_BSRL.shape[2]].copy_(x_BSRL)
        # Fourier, never cosine: under a cosine transform a shift would change the filter.
        return torch.fft.rfft(staged, norm=norm)

    def measure(self, V: Tensor) -> Power:
        """The power of a transform.

        It is written where `transform` stages what it reads: transform everything first.
        """
        bins = self.power[:, :, : V.shape[2]]
        for v, p in self.runs(V, bins):
            square = self.one[:, :, : V.shape[2], : v.shape[-1]]
            torch.mul(as_real(v), as_real(v), out=as_real(square))
            torch.add(square.real, square.imag, out=p)
        return Power(bins, whole_sum(bins, self.L).div_(self.L).add_(TINY))

    def multiply(self, Z: Tensor, Y: Tensor, power: Power | None, given: Conditions) -> None:
        """Y (Z itself, or space like it) becomes Z times the whole filter's spectrum; the power's
        buffer is used up.
        """
        R, bins = Z.shape[2], None if power is None else power.bins
        for z, y, p, static, gain in self.runs(Z, Y, bins, given.static, given.gain):
            one, bounded = (t[:, :, :R, : z.shape[-1]] for t in (self.one, self.bounded))
            if power is None:
                h = one.copy_(static)
            else:
                # (P / mean) / (1 + P / (mean bound)) with one division: P / (mean + P / bound).
                torch.add(power.mean, p, alpha=1 / given.bound, out=bounded)
                p.div_(bounded)
                one.copy_(p if given.kind == "correlation" else p.sqrt_())
                h = self._filter(static, gain, one, given.taps)
            torch.mul(z, _conjugate_second(h), out=y)

    def _filter(
        self, static: Tensor, gain: Tensor, strength: Tensor, taps: Maybe, out: Maybe = None
    ) -> Tensor:
        """static + conv(gain strength), into `out` or in place of the complex strength."""
        if taps is not None:  # one run is the whole spectrum then
            return frequency.convolve(gain * strength, taps, self.L).add_(static)
        out = strength if out is None else out
        return torch.addcmul(static.expand_as(out), gain.expand_as(out), strength, out=out)

    def differentiate(
        self,
        DY: Tensor,
        Z: Tensor,
        Q: Tensor,
        power: Power | None,
        given: Conditions,
        sums: Sums,
    ) -> Tensor:
        """DY becomes the transform of dz; the rest goes to `sums`; that of power is returned.

        DY comes over L, and all of them stay so; Q (Z itself, or space like it) and the power's
        buffer are used up.
        """
        R, bins = Z.shape[2], None if power is None else power.bins
        slope = self.slope[:, :, :R]
        runs = self.runs(DY, Z, Q, bins, slope, given.static, given.gain, sums.static, sums.gain)
        for dy, z, q, p, s, static, gain, to_static, to_gain in runs:
            one, two, bounded, strength = (
                t[:, :, :R, : q.shape[-1]]
                for t in (self.one, self.two, self.bounded, self.strength)
            )
            if power is None:
                h = one.copy_(static)
            else:
                # One division, as in `multiply`.
                torch.add(power.mean, p, alpha=1 / given.bound, out=bounded)
                torch.div(p, bounded, out=strength)
                one.copy_(strength if given.kind == "correlation" else strength.sqrt_())
                h = self._filter(static, gain, one, given.taps, out=two)
            # conj(Z) dY is the filter's gradient; those of static, gain and power follow from it.
            _conjugate_second(torch.conj_physical(z, out=q).mul_(dy))
            # The conjugate of what `multiply` multiplies by: h itself for a second strand.
            h[:, :1].conj_physical_()
            dy.mul_(h)
            torch.sum(q, (0, 1), out=to_static)
            if power is None:
                continue
            if given.taps is not None and sums.taps is not None:
                count = sums.taps.shape[1]
                sums.taps.add_(frequency.taps_gradient(q, gain * one, count, self.L))
                q = frequency.convolve(q, given.taps, self.L)
            # Re(conj(gain) q): strength is real, so its gradient has no imaginary part.
            torch.mul(as_real(gain), as_real(q), out=as_real(two))
            torch.add(two.real, two.imag, out=s)
            torch.sum(one.mul_(q), (0, 1), out=to_gain)
            s.mul_(_slope(strength, bounded, power.mean, given.kind))
            # The mean rests on every bin: `backproject` needs the sum of these products.
            p.mul_(s)
        return slope

    def backproject(self, V: Tensor, DV: Tensor, slope: Tensor, power: Power) -> None:
        """DV (V itself, or space like it) becomes L times the transform of dv, from the slope of
        its strength.

        The bins of `power` hold the product of both by now (see `differentiate`).
        """
        shared = whole_sum(power.bins, self.L) / (self.L * power.mean)
        scale = 2 / power.mean
        for v, dv, s in self.runs(V, DV, slope):
            one = self.one[:, :, : V.shape[2], : v.shape[-1]]
            torch.mul(v, one.copy_(s.sub_(shared).mul_(scale)), out=dv)


def whole_sum(half: Tensor, L: int) -> Tensor:
    """The sum over the whole spectrum of something even, given its half."""
    total = 2 * half.sum(-1, keepdim=True) - half[..., :1]
    return total - half[..., -1:] if L % 2 == 0 else total


def _slope(strength: Tensor, bounded: Tensor, mean: Tensor, kind: str) -> Tensor:
    """d strength / d (power / mean), in place of `bounded`; 0 where the magnitude is 0."""
    slope = torch.div(mean, bounded, out=bounded).square_()
    if kind == "magnitude":  # a root has no slope at 0
        slope = torch.where(strength > 0, slope / (2 * strength), 0)
    return slope


def _conjugate_second(spectrum_BSRF: Tensor) -> Tensor:
    """The same, in place, with that of the second strand conjugated: it has the reversed filter."""
    spectrum_BSRF[:, 1:].conj_physical_()
    return spectrum_BSRF
