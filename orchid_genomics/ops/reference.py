"""The operator as the plain sum that defines it: slow, obvious, and what every other backend must
equal.
"""

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError


def long_conv(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor | None,
    taps_CJ: Tensor | None,
    mask_BL: Tensor | None,
    kind: str,
    bound: float,
) -> Tensor:
    """See `ops.long_conv`; ordinary autograd, O(B D L^2)."""
    # A check reads data, which would break a compiled graph.
    if not torch.compiler.is_compiling():
        _check_finite(z=z_BDL, v=v_BDL, static=static_CF, gain=gain_CF, taps=taps_CJ)
    dtype = z_BDL.dtype
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    z, v = z_BDL.to(compute), v_BDL.to(compute)
    D, L = z.shape[1:]
    h = taps_of(both_strands(static_CF, D), L)
    if gain_CF is not None:
        taps = None if taps_CJ is None else both_strands(taps_CJ, D)
        spectrum = both_strands(gain_CF, D) * strength(v, mask_BL, kind, bound)
        h = h + taps_of(frequency_conv(spectrum, taps, L), L)
    return circular_sum(h, z).to(dtype)


def _check_finite(**inputs: Tensor | None) -> None:
    for name, tensor in inputs.items():
        if tensor is not None and not torch.isfinite(tensor).all():
            raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")


def both_strands(spectrum_CF: Tensor, channels: int) -> Tensor:
    """Spectra for all channels: the second of a strand pair has the conjugate one.

    That is the spectrum of the reversed filter.
    """
    if spectrum_CF.shape[0] == channels:
        return spectrum_CF
    return torch.cat((spectrum_CF, spectrum_CF.conj()))


def circular_sum(h_BDL: Tensor, z_BDL: Tensor) -> Tensor:
    """y[t] = sum over s of h[(t - s) mod L] z[s] (equation 1), as the sum that it is."""
    L = z_BDL.shape[-1]
    position = torch.arange(L, device=z_BDL.device)
    lag = (position[:, None] - position[None, :]) % L
    return (h_BDL[..., lag] * z_BDL[..., None, :]).sum(-1)


def fourier(L: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """exp(-2 pi i f t / L) as a (L, F) matrix, F = L // 2 + 1; the angle is reduced in integers."""
    t, f = torch.arange(L, device=device), torch.arange(L // 2 + 1, device=device)
    # f t grows as L^2: reduced modulo L in integers, an angle keeps all its digits.
    angle = (-2 * torch.pi / L) * ((t[:, None] * f[None, :]) % L).to(torch.float64)
    complex_type = torch.complex128 if dtype == torch.float64 else torch.complex64
    return torch.polar(torch.ones_like(angle), angle).to(complex_type)


def taps_of(spectrum: Tensor, L: int) -> Tensor:
    """The real taps (..., L) of a half spectrum (..., F); imaginary parts at DC and Nyquist count
    for nothing.
    """
    wave = fourier(L, spectrum.real.dtype, spectrum.device).conj()
    weighted = spectrum * half_weights(L, spectrum.real)
    return torch.einsum("...f,tf->...t", weighted, wave).real / L


def half_weights(L: int, like: Tensor) -> Tensor:
    """How often each half-spectrum bin stands in the whole: 1 at DC and (even L) Nyquist, 2 inside;
    (F,).
    """
    weights = torch.full((L // 2 + 1,), 2.0, dtype=like.dtype, device=like.device)
    weights[0] = 1.0
    if L % 2 == 0:
        weights[-1] = 1.0
    return weights


def strength(v_BDL: Tensor, mask_BL: Tensor | None, kind: str, bound: float) -> Tensor:
    """S(v) (B, D, F): the bounded, scaled power spectrum (or magnitude) of v centred over its real
    letters.
    """
    L = v_BDL.shape[-1]
    mask = torch.ones_like(v_BDL[:, :1]) if mask_BL is None else mask_BL[:, None].to(v_BDL)
    # A row without a letter has no mean; 1 keeps 0 / 0 away.
    letters = mask.sum(-1, keepdim=True).clamp(min=1)
    v = (v_BDL - (v_BDL * mask).sum(-1, keepdim=True) / letters) * mask
    complex_type = torch.complex64 if v.dtype == torch.float32 else torch.complex128
    V = v.to(complex_type) @ fourier(L, v.dtype, v.device)
    power = V.real.square() + V.imag.square()
    # v is centred, so what is left at DC is rounding.
    power = torch.cat((torch.zeros_like(power[..., :1]), power[..., 1:]), -1)
    # Over the whole spectrum, so that strength depends on neither length nor level nor padding.
    mean = (power * half_weights(L, power)).sum(-1, keepdim=True) / L
    power = power / (mean + TINY)
    # One frequency counts at most `bound` times the mean: a periodic line cannot take over.
    power = power / (1 + power / bound)
    if kind == "correlation":
        return power
    # A root has an infinite slope at 0: 1 in its place keeps NaN out of the gradient.
    nonzero = power > 0
    return torch.where(nonzero, power, 1.0).sqrt() * nonzero


TINY = 1e-20
"""Added to the mean power: an all-zero v has no strength rather than none at all."""


def frequency_conv(spectrum: Tensor, taps_CJ: Tensor | None, L: int) -> Tensor:
    """Convolve a half spectrum (..., F) along frequency with conjugate-symmetric taps, t_0 = 1."""
    if taps_CJ is None:
        return spectrum
    F = spectrum.shape[-1]
    half = _real_ends(spectrum, L)
    # The mirrored half without DC and (even L) Nyquist, which stand once.
    whole = torch.cat((half, half[..., 1 : (L + 1) // 2].flip(-1).conj()), -1)
    out = whole
    for j in range(1, taps_CJ.shape[1] + 1):
        tap = taps_CJ[:, j - 1, None]
        out = out + tap * whole.roll(j, -1) + tap.conj() * whole.roll(-j, -1)
    return out[..., :F]


def _real_ends(spectrum: Tensor, L: int) -> Tensor:
    """A half spectrum whose DC and (even L) Nyquist bins are real, as those of real taps are."""
    keep = torch.ones(spectrum.shape[-1], dtype=spectrum.real.dtype, device=spectrum.device)
    keep[0] = 0.0
    if L % 2 == 0:
        keep[-1] = 0.0
    return torch.complex(spectrum.real, spectrum.imag * keep)
