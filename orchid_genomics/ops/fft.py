"""The operator by real FFTs: three transforms forward, five backward; of long windows only the
real inputs are kept, of short ones two of the transforms.

The trap: half-spectrum sums weigh DC and (even L) Nyquist once and every other bin twice. Channels
are taken in groups; no complex tensor of a long batch's size is ever stored, and what happens
between the transforms is in `ops.spectra`. A torch custom operator, so that `torch.compile` sees
one opaque node; inside a compiled graph torch forgets lazy conjugates (`.conj()` does nothing), so
that every conjugate here is physical.
"""

from typing import Any

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError
from orchid_genomics.ops.chunks import groups, is_kept, without_autocast
from orchid_genomics.ops.frequency import half_weigh
from orchid_genomics.ops.products import defined, keep_for_backward
from orchid_genomics.ops.spectra import Conditions, Maybe, Sums, Workspace


def long_conv(z_BDL: Tensor, v_BDL: Tensor, *rest: Any) -> Tensor:
    """See `ops.long_conv`."""
    return long_conv_keeping(z_BDL, v_BDL, *rest, is_kept(z_BDL))[0]


@torch.library.custom_op("orchid::long_conv_fft", mutates_args=())
@without_autocast
def long_conv_keeping(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Tensor | None,
    taps_CJ: Tensor | None,
    mask_BL: Tensor | None,
    kind: str,
    bound: float,
    keep: bool,
) -> list[Tensor]:
    """The fused forward pass, group by group; and what is to be kept for the backward pass: the
    transforms of z and of centred v.
    """
    L = z_BDL.shape[-1]
    # Laid out densely, or `_by_strand` would be a copy that nothing reads.
    y_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    z, v, y = (_by_strand(x, static_CF) for x in (z_BDL, v_BDL, y_BDL))
    if not z_BDL.numel():  # there is no transform of no rows
        return [y_BDL, *(_empty_spectra(z_BDL, static_CF, gain_CF) if keep else ())]
    # Groups of channels, not of positions: channels are independent, and few of them stay in cache.
    # What is kept is of few numbers, and as it was transformed: it costs no copy.
    parts = [slice(0, len(static_CF))] if keep else _groups(z)
    workspace = _workspace(z, parts, taps_CJ)
    kept: list[Tensor] = []

    def work(rows: slice) -> None:
        given = _conditions(rows, static_CF, gain_CF, taps_CJ, kind, bound)
        Z, power = workspace.transform(z[:, :, rows]), None
        if keep:
            kept.append(Z)
        if gain_CF is not None:
            V = workspace.transform(_centre(v[:, :, rows], mask_BL))
            # DC is L times the mean: dropping it centres v without another pass.
            V[..., 0] = 0
            if keep:
                kept.append(V)
            power = workspace.measure(V)
        Y = torch.empty_like(Z) if keep else Z
        workspace.multiply(Z, Y, power, given)
        y[:, :, rows] = torch.fft.irfft(Y, n=L)

    for rows in parts:
        work(rows)
    # Position 0 is a sum over all bins of a row, so NaN or infinity in any input shows there.
    _blame(y_BDL[..., 0], z=z_BDL, v=v_BDL, static=static_CF, gain=gain_CF, taps=taps_CJ)
    return [y_BDL, *kept]


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
    kept: list[Tensor],
    kind: str,
    bound: float,
) -> list[Tensor]:
    """Gradients of z, v, static, gain and taps; spectra that were not kept are computed again."""
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
        Z = kept[0][:, :, rows] if kept else workspace.transform(z[:, :, rows])
        # Over L, once for all that follows from it.
        DY = workspace.transform(dy[:, :, rows], norm="forward")
        V = power = None
        if conditioned:
            if kept:
                V = kept[1][:, :, rows]
            else:
                V = workspace.transform(_centre(v[:, :, rows], mask_BL))
                V[..., 0] = 0
            power = workspace.measure(V)
        # What was kept is not ours to overwrite.
        Q = torch.empty_like(Z) if kept else Z
        slope = workspace.differentiate(DY, Z, Q, power, given, sums)
        # The inverse transforms ask for as much memory again.
        del Z, Q
        dz[:, :, rows] = torch.fft.irfft(DY, n=L, norm="forward")
        if V is not None and power is not None:
            DV = torch.empty_like(V) if kept else V
            workspace.backproject(V, DV, slope, power)
            dv[:, :, rows] = _centre(torch.fft.irfft(DV, n=L, norm="forward"), mask_BL)

    for rows in parts:
        work(rows)
    # A half spectrum holds every bin but its ends for two: `half_weigh` halves those.
    spectra = [half_weigh(each.mul_(2), L) for each in (dstatic, dgain)]
    return [dz_BDL, dv_BDL, *spectra, dtaps.mul_(2)]


def _empty_spectra(z_BDL: Tensor, static_CF: Tensor, gain_CF: Maybe) -> list[Tensor]:
    """Space for the transforms of z, and of v where it is transformed, (B, strands, C, F)."""
    B, D, _ = z_BDL.shape
    C, F = static_CF.shape
    dtype = torch.complex128 if z_BDL.dtype == torch.float64 else torch.complex64
    count = 1 if gain_CF is None else 2
    shape = B, D // C, C, F
    return [torch.empty(shape, dtype=dtype, device=z_BDL.device) for _ in range(count)]


@long_conv_keeping.register_fake
def _(
    z_BDL: Tensor,
    v_BDL: Tensor,
    static_CF: Tensor,
    gain_CF: Maybe,
    taps_CJ: Maybe,
    mask_BL: Maybe,
    kind: str,
    bound: float,
    keep: bool,
) -> list[Tensor]:
    y_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    return [y_BDL, *(_empty_spectra(z_BDL, static_CF, gain_CF) if keep else ())]


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


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.kind, ctx.bound, _ = inputs
    _, *kept = output
    keep_for_backward(ctx, tensors, kept)


def _differentiate(ctx: Any, gradients_of: list[Tensor]) -> tuple[Maybe, ...]:
    z, v, static, gain, taps, mask, *kept = ctx.saved_tensors
    dy = defined(gradients_of[0], z)
    gradients = backward(dy, z, v, static, gain, taps, mask, kept, ctx.kind, ctx.bound)
    dz, dv, dstatic, dgain, dtaps = gradients
    conditions = (None if gain is None else dgain, None if taps is None else dtaps)
    return dz, dv, dstatic, *conditions, None, None, None, None


long_conv_keeping.register_autograd(_differentiate, setup_context=_keep)


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


def _blame(y: Tensor, **inputs: Maybe) -> None:
    """Name the input that made a result NaN or infinite: one number a channel betrays it.

    Not on a GPU, which would be made to wait for the answer.
    """
    if y.device.type != "cpu" or torch.isfinite(y).all():
        return
    for name, tensor in inputs.items():
        if tensor is not None and not torch.isfinite(tensor).all():
            raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")
    # Finite numbers whose squares are not.
    raise NumericError("long_conv: v", "holds NaN or infinity in its power", "smaller numbers")


def _centre(v: Tensor, mask_BL: Maybe) -> Tensor:
    """v less its mean over real letters, zero elsewhere; without a mask the DC bin does that."""
    if mask_BL is None:
        return v
    v = v if v.dtype == torch.float64 else v.float()
    mask = mask_BL[:, None, None].to(v.dtype)
    real = v * mask
    # A row of padding alone has no mean, and stays zero.
    mean = real.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return real.addcmul_(mean, mask, value=-1)
