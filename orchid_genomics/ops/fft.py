"""The operator by real FFTs: three transforms forward, five backward, only its real inputs kept between.

The trap: half-spectrum sums weigh DC and (even L) Nyquist once and every other bin twice. Channels are taken in
groups that stay in cache; no complex tensor of the batch's size is ever stored. A torch custom operator, so that
`torch.compile` sees one opaque node; inside a compiled graph torch forgets lazy conjugates (`.conj()` does nothing),
so that every conjugate here is physical.
"""

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError
from orchid_genomics.ops.chunks import each
from orchid_genomics.ops.reference import TINY

GROUP_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}  # of one float32 (B, group, L) slice, over all threads
MIN_ROWS = 4  # a lone row is transformed several times slower than one of four

Maybe = Tensor | None


@torch.library.custom_op("orchid::long_conv_fft", mutates_args=())
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
    """See `ops.long_conv`: the fused forward pass, group by group."""
    L = z_BDL.shape[-1]
    y_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)

    def work(rows: slice, _: None) -> None:
        for here, reverse in _strands(rows, z_BDL, static_CF):
            Z = torch.fft.rfft(_real(z_BDL[:, here]))
            _finite(Z[..., 0], "z")
            if kind == "static":
                H = _apart(static_CF[rows])
            else:
                _, power, mean = _power(v_BDL[:, here], mask_BL)
                strength = _strength(power, _bounded(power, mean, bound), kind)
                H = _filter(static_CF[rows], gain_CF[rows], strength.to(Z.dtype), _some(taps_CJ, rows), L)
            Z *= H.conj_physical_() if reverse else H
            y = torch.fft.irfft(Z, n=L)
            _blame(y[..., 0], static=static_CF[rows], gain=gain_CF, taps=taps_CJ)
            y_BDL[:, here] = y

    each(_groups(z_BDL, static_CF), work, z_BDL.device, lambda: None)
    return y_BDL


@torch.library.custom_op("orchid::long_conv_fft_backward", mutates_args=())
def backward(
    dy_BDL: Tensor,
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor | None,
    taps_CJ: Tensor | None,
    mask_BL: Tensor | None,
    kind: str,
    bound: float,
) -> list[Tensor]:
    """Gradients of z, v, static, gain and taps; the spectra are computed again rather than kept."""
    L = z_BDL.shape[-1]
    dz, dv = torch.empty_like(z_BDL), torch.zeros_like(v_BDL) if kind == "static" else torch.empty_like(v_BDL)
    dstatic = torch.zeros_like(static_CF)
    dgain = torch.zeros_like(static_CF if gain_CF is None else gain_CF)
    dtaps = torch.zeros(0) if taps_CJ is None else torch.zeros_like(taps_CJ)

    def work(rows: slice, _: None) -> None:
        for here, reverse in _strands(rows, z_BDL, static_CF):
            DY = torch.fft.rfft(_real(dy_BDL[:, here]))
            Q = torch.fft.rfft(_real(z_BDL[:, here])).conj_physical_().mul_(DY)
            if kind == "static":
                H = _apart(static_CF[rows])
            else:
                gain, taps = gain_CF[rows], _some(taps_CJ, rows)
                V, power, mean = _power(v_BDL[:, here], mask_BL)
                bounded = _bounded(power, mean, bound)
                strength = _strength(power, bounded, kind)
                complex_strength = strength.to(V.dtype)
                H = _filter(static_CF[rows], gain, complex_strength, taps, L)
            dz[:, here] = torch.fft.irfft(DY.mul_(H if reverse else H.conj_physical_()), n=L)
            if reverse:
                Q.conj_physical_()
            dstatic[rows] += Q[0] if len(Q) == 1 else Q.sum(0)
            if kind == "static":
                continue
            if taps is not None:
                dtaps[rows] += _taps_gradient(Q, gain * complex_strength, taps.shape[1], L)
                Q = _frequency_conv(Q, taps, L)
            through = torch.mul(gain.real, Q.real).addcmul_(gain.imag, Q.imag)
            slope = through.mul_(_slope(strength, bounded, mean, kind))
            shared = _whole_sum(power.mul_(slope), L) / (L * mean)
            dgain[rows] += Q.mul_(complex_strength)[0] if len(Q) == 1 else Q.mul_(complex_strength).sum(0)
            dv[:, here] = _centred(torch.fft.irfft(V.mul_(slope.sub_(shared).mul_(2 / mean)), n=L), mask_BL)

    each(_groups(z_BDL, static_CF), work, z_BDL.device, lambda: None)
    for spectrum in (dstatic, dgain):
        _half_weigh(spectrum.mul_(2 / L), L)
    return [dz, dv, dstatic, dgain, dtaps]


@long_conv.register_fake
def _(z_BDL, v_BDL, static_CF, gain_CF, taps_CJ, mask_BL, kind, bound):
    return torch.empty_like(z_BDL, memory_format=torch.contiguous_format)


@backward.register_fake
def _(dy_BDL, z_BDL, v_BDL, static_CF, gain_CF, taps_CJ, mask_BL, kind, bound):
    spectra = [torch.empty_like(static_CF), torch.empty_like(static_CF)]
    taps = z_BDL.new_empty(0) if taps_CJ is None else torch.empty_like(taps_CJ)
    return [torch.empty_like(z_BDL), torch.empty_like(v_BDL), *spectra, taps]


def _keep(ctx, inputs, output) -> None:
    *tensors, ctx.kind, ctx.bound = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, dy_BDL: Tensor):
    z, v, static, gain, taps, mask = ctx.saved_tensors
    dz, dv, dstatic, dgain, dtaps = backward(dy_BDL, z, v, static, gain, taps, mask, ctx.kind, ctx.bound)
    return dz, dv, dstatic, None if gain is None else dgain, None if taps is None else dtaps, None, None, None


long_conv.register_autograd(_differentiate, setup_context=_keep)


def _groups(z_BDL: Tensor, static_CF: Tensor) -> list[slice]:
    """Rows of the spectra to take together: few enough for the cache, enough for every thread."""
    B, _, L = z_BDL.shape
    C = static_CF.shape[0] if z_BDL.numel() else 0  # a transform of no rows is an error
    threads = torch.get_num_threads() if z_BDL.device.type == "cpu" else 1
    rows = max(MIN_ROWS, GROUP_BYTES.get(z_BDL.device.type, 4 << 20) // (4 * L * threads))
    size = max(1, min(rows // max(B, 1), -(-C // threads)))
    return [slice(first, min(first + size, C)) for first in range(0, C, size)]


def _strands(rows: slice, z_BDL: Tensor, static_CF: Tensor) -> list[tuple[slice, bool]]:
    """The channels of these rows, and whether they read them conjugated (the second strand of pairs)."""
    D, C = z_BDL.shape[1], static_CF.shape[0]
    return [(slice(rows.start + s * C, rows.stop + s * C), s == 1) for s in range(D // C)]


def _some(taps: Maybe, rows: slice) -> Maybe:
    return None if taps is None else taps[rows]


def _real(x: Tensor) -> Tensor:
    """Transforms run in float32 whatever the activations (float64 stays)."""
    return x if x.dtype == torch.float64 else x.float()


def _finite(sums: Tensor, name: str) -> None:
    """Sums over positions betray NaN or infinity at the cost of (B, D) numbers; a GPU is not made to wait."""
    if sums.device.type == "cpu" and not torch.isfinite(sums).all():
        raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")


def _blame(y: Tensor, **inputs: Maybe) -> None:
    """Name the input that made a result NaN or infinite: one number a channel betrays it."""
    if y.device.type == "cpu" and not torch.isfinite(y).all():
        for name, tensor in inputs.items():
            if tensor is not None:
                _finite(tensor, name)


def _centred(v: Tensor, mask_BL: Maybe) -> Tensor:
    """v less its mean over real letters, zero elsewhere; without a mask the DC bin does it instead."""
    if mask_BL is None:
        return v
    mask = mask_BL[:, None].to(v.dtype)
    mean = (v * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return (v - mean) * mask


def _power(v_BGL: Tensor, mask_BL: Maybe) -> tuple[Tensor, Tensor, Tensor]:
    """The transform of centred v, its power, and the mean of that over all bins."""
    v = _centred(_real(v_BGL), mask_BL)
    V = torch.fft.rfft(v)
    V[..., 0] = 0
    power = torch.mul(V.real, V.real).addcmul_(V.imag, V.imag)
    mean = _whole_sum(power, v.shape[-1]) / v.shape[-1] + TINY
    _finite(mean, "v")
    return V, power, mean


def _whole_sum(half: Tensor, L: int) -> Tensor:
    """The sum over the whole spectrum of something even, given its half."""
    total = 2 * half.sum(-1, keepdim=True) - half[..., :1]
    return total - half[..., -1:] if L % 2 == 0 else total


def _bounded(power: Tensor, mean: Tensor, bound: float) -> Tensor:
    """mean + power / bound: what power is divided by."""
    return torch.add(mean, power, alpha=1 / bound)


def _strength(power: Tensor, bounded: Tensor, kind: str) -> Tensor:
    strength = power / bounded
    return strength if kind == "correlation" else strength.sqrt_()


def _slope(strength: Tensor, bounded: Tensor, mean: Tensor, kind: str) -> Tensor:
    """d strength / d (power / mean), in place of `bounded`; 0 where the magnitude is 0 and has no slope."""
    slope = torch.div(mean, bounded, out=bounded).square_()
    if kind == "magnitude":
        slope = torch.where(strength > 0, slope / (2 * strength), 0)
    return slope


def _filter(static: Tensor, gain: Tensor, strength: Tensor, taps: Maybe, L: int) -> Tensor:
    """The whole filter's spectrum (B, G, F) from a complex strength; rows lie apart, see `_apart`."""
    if taps is not None:
        return _frequency_conv(gain * strength, taps, L).add_(static)
    out = _apart(strength, copy=False)
    return torch.addcmul(static.expand_as(out), gain.expand_as(out), strength, out=out)


def _apart(spectrum: Tensor, copy: bool = True) -> Tensor:
    """A tensor like this whose rows do not touch in memory.

    A complex product rounds differently in the vectors of the processor and in what is left over; with rows apart it
    starts afresh at each one, so that a row's result is the same, bit by bit, in every batch.
    """
    F = spectrum.shape[-1]
    out = spectrum.new_empty(*spectrum.shape[:-1], F + 1)[..., :F]
    return out.copy_(spectrum) if copy else out


def _half_weigh(spectrum: Tensor, L: int) -> Tensor:
    spectrum[..., 0] *= 0.5
    if L % 2 == 0:
        spectrum[..., -1] *= 0.5
    return spectrum


def _shifted(spectrum: Tensor, j: int, L: int) -> Tensor:
    """The half spectrum read j bins away (..., F), mirrored at both ends as that of real taps is."""
    F = spectrum.shape[-1]
    place = torch.arange(-abs(j), F + abs(j), device=spectrum.device) % L
    below, above = place[: abs(j)], place[F + abs(j) :]
    ends = [
        torch.where(p < F, _read(spectrum, p), _read(spectrum, (L - p) % L).conj_physical()) for p in (below, above)
    ]
    if j > 0:
        return torch.cat((ends[0], spectrum), -1)[..., :F]
    return torch.cat((spectrum, ends[1]), -1)[..., -F:]


def _read(spectrum: Tensor, place: Tensor) -> Tensor:
    return spectrum[..., place.clamp(max=spectrum.shape[-1] - 1)]


def _frequency_conv(spectrum: Tensor, taps_GJ: Tensor, L: int) -> Tensor:
    """Conjugate-symmetric taps along frequency, as shifted adds; self-adjoint over the whole spectrum."""
    _real_ends(spectrum, L)
    out = _apart(spectrum)
    for j in range(1, taps_GJ.shape[1] + 1):
        tap = taps_GJ[:, j - 1, None]
        out.addcmul_(tap.expand_as(out), _shifted(spectrum, j, L))
        out.addcmul_(tap.conj_physical().expand_as(out), _shifted(spectrum, -j, L))
    return out


def _taps_gradient(Q: Tensor, spectrum: Tensor, count: int, L: int) -> Tensor:
    """(2 / L) times the whole-spectrum sum of Q[k] conj(U[k - j]), for j = 1..count; (G, count)."""
    _real_ends(spectrum, L)
    columns = []
    for j in range(1, count + 1):
        pair = Q * _shifted(spectrum, j, L).conj_physical() + Q.conj_physical() * _shifted(spectrum, -j, L)
        columns.append(_half_weigh(pair, L).sum((0, -1)))
    return torch.stack(columns, -1) * (2 / L)


def _real_ends(spectrum: Tensor, L: int) -> None:
    """Drop the imaginary parts at DC and (even L) Nyquist in place: real taps have none."""
    spectrum.imag[..., 0] = 0
    if L % 2 == 0:
        spectrum.imag[..., -1] = 0
