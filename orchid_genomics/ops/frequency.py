"""The convolution along frequency with conjugate-symmetric taps, as shifted adds over half spectra,
and its gradient.

The trap: at both ends a half spectrum goes on as its mirrored conjugate, and DC and (even L)
Nyquist are real.
"""

import torch
from torch import Tensor


def copy_apart(spectrum: Tensor, copy: bool = True) -> Tensor:
    """A tensor like this whose rows do not touch in memory.

    A complex product rounds differently in the vectors of the processor and in what is left over;
    with rows apart it starts afresh at each one, so that a row's result is the same, bit by bit, in
    every batch.
    """
    F = spectrum.shape[-1]
    out = spectrum.new_empty(*spectrum.shape[:-1], F + 1)[..., :F]
    return out.copy_(spectrum) if copy else out


def half_weigh(spectrum: Tensor, L: int) -> Tensor:
    """Halve DC and (even L) Nyquist, in place.

    They stand once in a whole spectrum, and every other bin of its half twice.
    """
    spectrum[..., 0] *= 0.5
    if L % 2 == 0:
        spectrum[..., -1] *= 0.5
    return spectrum


def convolve(spectrum: Tensor, taps_GJ: Tensor, L: int) -> Tensor:
    """Conjugate-symmetric taps along frequency, t_0 = 1; self-adjoint over the whole spectrum."""
    _real_ends(spectrum, L)
    out = copy_apart(spectrum)
    for j in range(1, taps_GJ.shape[1] + 1):
        tap = taps_GJ[:, j - 1, None]
        out.addcmul_(tap.expand_as(out), _shift(spectrum, j, L))
        out.addcmul_(tap.conj_physical().expand_as(out), _shift(spectrum, -j, L))
    return out


def taps_gradient(Q: Tensor, spectrum: Tensor, count: int, L: int) -> Tensor:
    """The whole-spectrum sum of Q[k] conj(U[k - j]) for j = 1..count, (G, count).

    Inner bins are counted once: their mirrored ones have been added already.
    """
    _real_ends(spectrum, L)
    columns = []
    for j in range(1, count + 1):
        below = Q * _shift(spectrum, j, L).conj_physical()
        pair = below + Q.conj_physical() * _shift(spectrum, -j, L)
        columns.append(half_weigh(pair, L).sum((0, 1, -1)))
    return torch.stack(columns, -1)


def _shift(spectrum: Tensor, j: int, L: int) -> Tensor:
    """The half spectrum read j bins away (..., F), mirrored at both ends as real taps' are."""
    F = spectrum.shape[-1]
    bins = torch.arange(-abs(j), F + abs(j), device=spectrum.device) % L
    # Only the few bins beyond the end are gathered; the rest is a slice.
    if j > 0:
        return torch.cat((_read(spectrum, bins[:j], L), spectrum), -1)[..., :F]
    return torch.cat((spectrum, _read(spectrum, bins[F - j :], L)), -1)[..., -F:]


def _read(spectrum: Tensor, bins: Tensor, L: int) -> Tensor:
    """Bins of the whole spectrum, given its half: those beyond it are conjugates of others."""
    F = spectrum.shape[-1]
    direct = spectrum[..., bins.clamp(max=F - 1)]
    mirrored = spectrum[..., ((L - bins) % L).clamp(max=F - 1)].conj_physical()
    return torch.where(bins < F, direct, mirrored)


def _real_ends(spectrum: Tensor, L: int) -> None:
    """Drop the imaginary parts at DC and (even L) Nyquist in place: real taps have none."""
    spectrum.imag[..., 0] = 0
    if L % 2 == 0:
        spectrum.imag[..., -1] = 0
