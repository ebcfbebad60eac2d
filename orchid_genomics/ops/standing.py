"""The operator with lags kept only where they stand out, and its term that reads turned copies.

A copy of n letters in a window of L is a peak of n / L among L lags of noise, so that what is read
through all lags at once fades with the window. Here lags count by how far the mean over channels
stands above that noise, and so do the sums of places at which the *convolution* of a channel with
its partner peaks where a stretch stands turned. The trap: the mean is over every channel, so that
unlike the rest of the operator channels are not independent here.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from orchid_genomics.ops import reference
from orchid_genomics.ops.reference import TINY

# Of the sigmoid that keeps, in units of the noise: sharp enough to drop, soft enough to train.
SLOPE = 2.0
# The standard deviation of normal noise over its mean magnitude, which is what is measured: a
# median would be slow on a GPU, and the few lags that stand out hardly move either.
NORMAL = math.sqrt(math.pi / 2)
# Of a mean that is exactly 0 everywhere; far below the noise of any window.
LEAST = 1e-9

Maybe = Tensor | None


def long_conv(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor,
    taps_CJ: Maybe,
    mask_BL: Maybe,
    kind: str,
    bound: float,
    threshold: float,
    turned_CF: Maybe,
) -> Tensor:
    """See `ops.long_conv`; ordinary autograd, six transforms forward with both options.

    `threshold` takes two (lags and back), `turned_CF` half of one where nothing is dropped and one
    with a threshold: the pair has one function of places for both of its channels.
    """
    D, L = z_BDL.shape[1:]
    compute = torch.float64 if z_BDL.dtype == torch.float64 else torch.float32
    Z, v = torch.fft.rfft(z_BDL.to(compute)), centre(v_BDL.to(compute), mask_BL)
    V = torch.fft.rfft(v)
    S = strength(V, kind, bound, L)
    if threshold:
        lags = torch.fft.irfft(S.to(V.dtype), n=L)
        kept = lags * keep(lags.mean(1, keepdim=True), threshold, skip_lag_0=True)
        # An even function has a real spectrum; what is left of the other part is rounding.
        S = torch.fft.rfft(kept).real
    taps = None if taps_CJ is None else reference.both_strands(taps_CJ, D)
    conditioned = reference.both_strands(gain_CF, D) * S
    H = reference.both_strands(static_CF, D) + reference.frequency_conv(conditioned, taps, L)
    Y = H * Z
    if turned_CF is not None:
        U = pair_spectrum(V, bound, L)
        if threshold:
            places = torch.fft.irfft(U, n=L)
            U = torch.fft.rfft(places * keep(places.mean(1, keepdim=True), threshold))
        Y = Y + turn(U, turned_CF, Z)
    return torch.fft.irfft(Y, n=L).to(z_BDL.dtype)


def keep(mean_B1L: Tensor, threshold: float, skip_lag_0: bool = False) -> Tensor:
    """How much each lag (or sum of places) counts, 0 to 1: those above threshold sd sqrt(2 ln L).

    That is how high the highest of L lags of noise stands. Lag 0 always stands out, and is no noise
    (`skip_lag_0`).
    """
    L = mean_B1L.shape[-1]
    sized = mean_B1L[..., 1:] if skip_lag_0 and L > 1 else mean_B1L
    deviation = NORMAL * sized.abs().mean(-1, keepdim=True) + LEAST
    return torch.sigmoid(SLOPE * (mean_B1L / deviation - reach(threshold, L)))


def reach(threshold: float, L: int) -> float:
    """How many standard deviations a lag must stand above 0: a share of what noise reaches."""
    return threshold * math.sqrt(2 * math.log(max(L, 2)))


def centre(v_BDL: Tensor, mask_BL: Maybe) -> Tensor:
    """v less its mean over real letters, zero elsewhere."""
    if mask_BL is None:
        return v_BDL - v_BDL.mean(-1, keepdim=True)
    mask = mask_BL[:, None].to(v_BDL)
    letters = mask.sum(-1, keepdim=True).clamp(min=1)
    return (v_BDL - (v_BDL * mask).sum(-1, keepdim=True) / letters) * mask


def power(V: Tensor) -> Tensor:
    """|V|^2, 0 at DC, where a centred v has nothing but rounding."""
    return functional.pad((V.real.square() + V.imag.square())[..., 1:], (1, 0))


def mean_power(bins: Tensor, L: int) -> Tensor:
    """The mean over the whole spectrum, (..., 1)."""
    return (bins * reference.half_weights(L, bins)).sum(-1, keepdim=True) / L


def strength(V: Tensor, kind: str, bound: float, L: int) -> Tensor:
    """S(v) as in `reference.strength`, from the transform of centred v."""
    bins = power(V)
    bins = bins / (mean_power(bins, L) + TINY)
    bins = bins / (1 + bins / bound)
    if kind == "correlation":
        return bins
    nonzero = bins > 0
    return torch.where(nonzero, bins, 1.0).sqrt() * nonzero


def pair_spectrum(V: Tensor, bound: float, L: int) -> Tensor:
    """V V' of strand pairs (B, C, F), scaled by the pair's mean power and bounded as that is."""
    one, other = V.chunk(2, 1)
    # The mean of both, which reading the other strand does not change.
    bins = (power(one) + power(other)) / 2
    mean = mean_power(bins, L) + TINY
    product = functional.pad((one * other)[..., 1:], (1, 0))
    return product / (mean + bins / bound)


def turn(U: Tensor, turned_CF: Tensor, Z: Tensor) -> Tensor:
    """What both channels of a pair read of the other strand: T U conj(Z'), conj(T) U conj(Z)."""
    one, other = Z.conj_physical().chunk(2, 1)
    return torch.cat((turned_CF * U * other, turned_CF.conj_physical() * U * one), 1)


def plain(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor,
    taps_CJ: Maybe,
    mask_BL: Maybe,
    kind: str,
    bound: float,
    threshold: float,
    turned_CF: Maybe,
) -> Tensor:
    """The same as the sums that define it, O(B D L^2): what `long_conv` must equal."""
    D, L = z_BDL.shape[1:]
    compute = torch.float64 if z_BDL.dtype == torch.float64 else torch.float32
    z, v = z_BDL.to(compute), v_BDL.to(compute)
    S = reference.strength(v, mask_BL, kind, bound)
    if threshold:
        lags = reference.taps_of(S.to(static_CF.dtype), L)
        kept = lags * keep(lags.mean(1, keepdim=True), threshold, skip_lag_0=True)
        S = (kept.to(static_CF.dtype) @ reference.fourier(L, kept.dtype, kept.device)).real
    taps = None if taps_CJ is None else reference.both_strands(taps_CJ, D)
    conditioned = reference.both_strands(gain_CF, D) * S
    spectrum = reference.frequency_conv(conditioned, taps, L)
    h = reference.taps_of(reference.both_strands(static_CF, D) + spectrum, L)
    y = reference.circular_sum(h, z)
    if turned_CF is not None:
        wave = reference.fourier(L, v.dtype, v.device)
        V = centre(v, mask_BL).to(static_CF.dtype) @ wave
        places = reference.taps_of(pair_spectrum(V, bound, L), L)
        if threshold:
            places = places * keep(places.mean(1, keepdim=True), threshold)
        shape = reference.taps_of(turned_CF, L)
        one, other = z.chunk(2, 1)
        there = _place_sum(reference.circular_sum(shape, places), other)
        back = _place_sum(reference.circular_sum(shape.flip(-1).roll(1, -1), places), one)
        y = y + torch.cat((there, back), 1)
    return y.to(z_BDL.dtype)


def _place_sum(places_BCL: Tensor, z_BCL: Tensor) -> Tensor:
    """y[t] = sum over s of places[s] z[s - t]: the letters of z in the other order."""
    L = z_BCL.shape[-1]
    position = torch.arange(L, device=z_BCL.device)
    index = (position[None, :] - position[:, None]) % L
    return (places_BCL[..., None, :] * z_BCL[..., index]).sum(-1)
