"""The operator by real FFTs: three transforms forward, five backward, only its real inputs kept
between.

The trap: half-spectrum sums weigh DC and (even L) Nyquist once and every other bin twice. Channels
are taken in groups; no complex tensor of the batch's size is ever stored, and what happens between
the transforms is in `ops.spectra`. A torch custom operator, so that `torch.compile` sees one opaque
node; inside a compiled graph torch forgets lazy conjugates (`.conj()` does nothing), so that every
conjugate here is physical.
"""

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError
from orchid_genomics.ops.chunks import as_given, groups
from orchid_genomics.ops.frequency import half_weigh
from orchid_genomics.ops.spectra import Given, Maybe, Room


@torch.library.custom_op("orchid::long_conv_fft", mutates_args=())
@as_given
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
    parts = _groups(z_BDL, static_CF)
    room = _room(z_BDL, parts, taps_CJ)

    def work(rows: slice) -> None:
        given = _given(rows, static_CF, gain_CF, taps_CJ, kind, bound)
        for here, reverse in _strands(rows, z_BDL, static_CF):
            Z, power, mean = room.transform(z_BDL[:, here]), None, None
            _finite(Z[..., 0], "z")
            if kind != "static":
                power, mean = room.measure(room.transform(_centred(v_BDL[:, here], mask_BL)))
                _finite(mean, "v")
            room.multiply(Z, power, mean, given, reverse)
            y = torch.fft.irfft(Z, n=L)
            _blame(y[..., 0], static=given.static, gain=gain_CF, taps=taps_CJ)
            y_BDL[:, here] = y

    for rows in parts:
        work(rows)
    return y_BDL


@torch.library.custom_op("orchid::long_conv_fft_backward", mutates_args=())
@as_given
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
    dz, dv = (
        torch.empty_like(z_BDL),
        torch.zeros_like(v_BDL) if kind == "static" else torch.empty_like(v_BDL),
    )
    whole = (
        torch.empty_like if z_BDL.numel() else torch.zeros_like
    )  # without rows nobody writes them
    dstatic = whole(static_CF)
    dgain = torch.zeros_like(static_CF) if gain_CF is None else whole(gain_CF)
    dtaps = torch.zeros(0) if taps_CJ is None else torch.zeros_like(taps_CJ)
    parts = _groups(z_BDL, static_CF)
    room = _room(z_BDL, parts, taps_CJ)

    def work(rows: slice) -> None:
        given = _given(rows, static_CF, gain_CF, taps_CJ, kind, bound)
        sums = [
            dstatic[rows],
            None if gain_CF is None else dgain[rows],
            _some(dtaps, rows, taps_CJ),
        ]
        for here, reverse in _strands(rows, z_BDL, static_CF):
            V = power = mean = None
            Z = room.transform(z_BDL[:, here])
            DY = room.transform(dy_BDL[:, here], 2 / L)
            if kind != "static":
                V = room.transform(_centred(v_BDL[:, here], mask_BL))
                power, mean = room.measure(V)
            slope = room.differentiate(DY, Z, power, mean, given, reverse, sums)
            del Z
            _put(torch.fft.irfft(DY, n=L), L / 2, dz[:, here])
            if V is not None:
                room.backproject(V, slope, power, mean)
                dv[:, here] = _centred(torch.fft.irfft(V, n=L), mask_BL)

    for rows in parts:
        work(rows)
    return [dz, dv, half_weigh(dstatic, L), half_weigh(dgain, L), dtaps]


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
    dz, dv, dstatic, dgain, dtaps = backward(
        dy_BDL, z, v, static, gain, taps, mask, ctx.kind, ctx.bound
    )
    return (
        dz,
        dv,
        dstatic,
        None if gain is None else dgain,
        None if taps is None else dtaps,
        None,
        None,
        None,
    )


long_conv.register_autograd(_differentiate, setup_context=_keep)


def _groups(z_BDL: Tensor, static_CF: Tensor) -> list[slice]:
    """Rows of the spectra to take together."""
    B, _, L = z_BDL.shape
    return (
        groups(static_CF.shape[0], B * L, z_BDL.device) if z_BDL.numel() else []
    )  # no transform of no rows


def _room(z_BDL: Tensor, parts: list[slice], taps_CJ: Maybe) -> Room | None:
    """The buffers of all groups: taps along frequency want the whole spectrum in one run."""
    if not parts:
        return None
    dtype = torch.float64 if z_BDL.dtype == torch.float64 else torch.float32
    rows = max(rows.stop - rows.start for rows in parts)
    return Room(z_BDL.shape[0], rows, z_BDL.shape[-1], dtype, z_BDL.device, taps_CJ is not None)


def _given(
    rows: slice, static_CF: Tensor, gain_CF: Maybe, taps_CJ: Maybe, kind: str, bound: float
) -> Given:
    return Given(
        static_CF[rows], _some(gain_CF, rows, gain_CF), _some(taps_CJ, rows, taps_CJ), kind, bound
    )


def _some(spectra: Maybe, rows: slice, only_with: Maybe) -> Maybe:
    return None if only_with is None else spectra[rows]


def _strands(rows: slice, z_BDL: Tensor, static_CF: Tensor) -> list[tuple[slice, bool]]:
    """The channels of these rows, and whether they read them conjugated (the second strand of
    pairs).
    """
    D, C = z_BDL.shape[1], static_CF.shape[0]
    return [(slice(rows.start + s * C, rows.stop + s * C), s == 1) for s in range(D // C)]


def _finite(sums: Tensor, name: str) -> None:
    """Sums over positions betray NaN or infinity at the cost of (B, D) numbers; a GPU is not made
    to wait.
    """
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
    v = v if v.dtype == torch.float64 else v.float()
    mask = mask_BL[:, None].to(v.dtype)
    mean = (v * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return (v - mean) * mask


def _put(result: Tensor, scale: float, out: Tensor) -> None:
    if result.dtype == out.dtype:
        torch.mul(result, scale, out=out)
    else:
        out.copy_(result.mul_(scale))
