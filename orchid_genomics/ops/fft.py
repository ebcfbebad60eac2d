"""The operator by real FFTs: three transforms forward, five backward, only its real inputs kept.

The trap: half-spectrum sums weigh DC and (even L) Nyquist once and every other bin twice. Channels
are taken in groups; no complex tensor of the batch's size is ever stored, and what happens between
the transforms is in `ops.spectra`. A torch custom operator, so that `torch.compile` sees one opaque
node; inside a compiled graph torch forgets lazy conjugates (`.conj()` does nothing), so that every
conjugate here is physical.
"""

from typing import Any

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError
from orchid_genomics.ops.chunks import groups, without_autocast
from orchid_genomics.ops.frequency import half_weigh
from orchid_genomics.ops.spectra import Conditions, Maybe, Sums, Workspace


@torch.library.custom_op("orchid::long_conv_fft", mutates_args=())
@without_autocast
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
    # Laid out densely, or `_by_strand` would be a copy that nothing reads.
    y_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    if not z_BDL.numel():  # there is no transform of no rows
        return y_BDL
    z, v, y = (_by_strand(x, static_CF) for x in (z_BDL, v_BDL, y_BDL))
    # Groups of channels, not of positions: channels are independent, and few of them stay in cache.
    parts = _groups(z)
    workspace = _workspace(z, parts, taps_CJ)

    def work(rows: slice) -> None:
        given = _conditions(rows, static_CF, gain_CF, taps_CJ, kind, bound)
        Z, power = workspace.transform(z[:, :, rows]), None
        _check_finite(Z[..., 0], "z")
        if gain_CF is not None:
            V = workspace.transform(_centre(v[:, :, rows], mask_BL))
            power = workspace.measure(V)
            _check_finite(power.mean, "v")
        workspace.multiply(Z, power, given)
        result = torch.fft.irfft(Z, n=L)
        # Position 0 is a sum over all bins, so NaN in any of them shows there.
        _blame(result[..., 0], static=given.static, gain=gain_CF, taps=taps_CJ)
        y[:, :, rows] = result

    for rows in parts:
        work(rows)
    return y_BDL


@torch.library.custom_op("orchid::long_conv_fft_backward", mutates_args=())
@without_autocast
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
    if not z_BDL.numel():
        sizes = (z_BDL, v_BDL, static_CF, static_CF, taps_CJ)
        return [torch.zeros(0) if size is None else torch.zeros_like(size) for size in sizes]
    conditioned = gain_CF is not None
    dz_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    # Without conditioning nothing writes to these: they must begin as zeros.
    fresh = torch.empty_like if conditioned else torch.zeros_like
    dv_BDL = fresh(v_BDL, memory_format=torch.contiguous_format)
    dstatic, dgain = torch.empty_like(static_CF), fresh(static_CF)
    # A custom operator returns no None: an empty tensor stands for a gradient that is not there.
    dtaps = torch.zeros(0) if taps_CJ is None else torch.zeros_like(taps_CJ)
    dy, z, v = (_by_strand(x, static_CF) for x in (dy_BDL, z_BDL, v_BDL))
    dz, dv = _by_strand(dz_BDL, static_CF), _by_strand(dv_BDL, static_CF)
    parts = _groups(z)
    workspace = _workspace(z, parts, taps_CJ)

    def work(rows: slice) -> None:
        given = _conditions(rows, static_CF, gain_CF, taps_CJ, kind, bound)
        to_gain = dgain[rows] if conditioned else None
        to_taps = None if taps_CJ is None else dtaps[rows]
        sums = Sums(dstatic[rows], to_gain, to_taps)
        Z = workspace.transform(z[:, :, rows])
        # The weight 2 / L of half-spectrum sums, put on once for all of them: `_store` takes it off
        # dz, and `half_weigh` halves it at DC and Nyquist.
        DY = workspace.transform(dy[:, :, rows], 2 / L)
        V = power = None
        if conditioned:
            V = workspace.transform(_centre(v[:, :, rows], mask_BL))
            power = workspace.measure(V)
        slope = workspace.differentiate(DY, Z, power, given, sums)
        # The inverse transforms ask for as much memory again.
        del Z
        _store(torch.fft.irfft(DY, n=L), L / 2, dz[:, :, rows])
        if V is not None and power is not None:
            workspace.backproject(V, slope, power)
            dv[:, :, rows] = _centre(torch.fft.irfft(V, n=L), mask_BL)

    for rows in parts:
        work(rows)
    return [dz_BDL, dv_BDL, half_weigh(dstatic, L), half_weigh(dgain, L), dtaps]


@long_conv.register_fake
def _(z_BDL: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(z_BDL, memory_format=torch.contiguous_format)


@backward.register_fake
def _(
    dy_BDL: Tensor,
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Maybe,
    taps_CJ: Maybe,
    *rest: Any,
) -> list[Tensor]:
    spectra = [torch.empty_like(static_CF), torch.empty_like(static_CF)]
    taps = z_BDL.new_empty(0) if taps_CJ is None else torch.empty_like(taps_CJ)
    return [torch.empty_like(z_BDL), torch.empty_like(v_BDL), *spectra, taps]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.kind, ctx.bound = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, dy_BDL: Tensor) -> tuple[Maybe, ...]:
    z, v, static, gain, taps, mask = ctx.saved_tensors
    gradients = backward(dy_BDL, z, v, static, gain, taps, mask, ctx.kind, ctx.bound)
    dz, dv, dstatic, dgain, dtaps = gradients
    conditions = (None if gain is None else dgain, None if taps is None else dtaps)
    return dz, dv, dstatic, *conditions, None, None, None


long_conv.register_autograd(_differentiate, setup_context=_keep)


def _by_strand(x_BDL: Tensor, static_CF: Tensor) -> Tensor:
    """(B, strands, C, L): the second of strand pairs reads the conjugate spectra."""
    B, D, L = x_BDL.shape
    C = static_CF.shape[0]
    # A view where x is contiguous: outputs are written through it.
    return x_BDL.reshape(B, D // C, C, L)


def _groups(z_BSCL: Tensor) -> list[slice]:
    """Rows of the spectra to take together."""
    B, S, C, L = z_BSCL.shape
    return groups(C, B * S * L, z_BSCL.device)


def _workspace(z_BSCL: Tensor, parts: list[slice], taps_CJ: Maybe) -> Workspace:
    """The buffers of all groups: taps along frequency want the whole spectrum in one run."""
    dtype = torch.float64 if z_BSCL.dtype == torch.float64 else torch.float32
    rows = max(rows.stop - rows.start for rows in parts)
    B, S, _, L = z_BSCL.shape
    return Workspace((B, S, rows), L, dtype, z_BSCL.device, whole=taps_CJ is not None)


def _conditions(
    rows: slice, static_CF: Tensor, gain_CF: Maybe, taps_CJ: Maybe, kind: str, bound: float
) -> Conditions:
    gain = None if gain_CF is None else gain_CF[rows]
    taps = None if taps_CJ is None or gain_CF is None else taps_CJ[rows]
    return Conditions(static_CF[rows], gain, taps, kind, bound)


def _check_finite(sums: Tensor, name: str) -> None:
    """Sums over positions betray NaN or infinity at the cost of (B, D) numbers.

    Not on a GPU, which would be made to wait for the answer.
    """
    if sums.device.type == "cpu" and not torch.isfinite(sums).all():
        raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")


def _blame(y: Tensor, **inputs: Maybe) -> None:
    """Name the input that made a result NaN or infinite: one number a channel betrays it."""
    if y.device.type == "cpu" and not torch.isfinite(y).all():
        for name, tensor in inputs.items():
            if tensor is not None:
                _check_finite(tensor, name)


def _centre(v: Tensor, mask_BL: Maybe) -> Tensor:
    """v less its mean over real letters, zero elsewhere; without a mask the DC bin does that."""
    if mask_BL is None:
        return v
    v = v if v.dtype == torch.float64 else v.float()
    mask = mask_BL[:, None, None].to(v.dtype)
    # A row of padding alone has no mean, and stays zero.
    mean = (v * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return (v - mean) * mask


def _store(result: Tensor, scale: float, out: Tensor) -> None:
    """scale times a result, in the type of `out`."""
    if result.dtype == out.dtype:
        torch.mul(result, scale, out=out)
    else:
        out.copy_(result.mul_(scale))
