"""The operator on a GPU: rows that fit are transformed on chip (`onchip`); for others cuFFT, and
one fused kernel for all that happens between two transforms.

As `ops.fft`: three transforms forward, five backward, only the real inputs kept between, channels
in groups that bound the workspace. A torch custom operator, so that `torch.compile` sees one opaque
node. The trap: spectra are overwritten in place, except where side taps make bins read their
neighbours.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.errors import NumericError
from orchid_genomics.ops.triton import onchip
from orchid_genomics.ops.triton.machine import kernels, launch, on_device_of, power_of_two

KINDS = {"static": 0, "correlation": 1, "magnitude": 2}
WORKSPACE = 256 << 20  # bytes of one real (B, strands, group, L) slice in the transforms' type
BLOCK = 1024  # bins a program takes at once
PART = 16  # blocks of bins in one partial sum of power
PROGRAMS = 1024  # programs that fill a GPU; fewer pieces than this are split over the batch

Maybe = Tensor | None


@dataclass(frozen=True)
class Shape:
    """The sizes of one group of C rows of the spectra, and what kernels are launched with."""

    B: int
    strands: int
    C: int
    L: int
    kind: str
    bound: float
    side: int

    @property
    def F(self) -> int:
        return self.L // 2 + 1

    @property
    def rows(self) -> int:
        """Times that every channel of the group is convolved: sequences by strands."""
        return self.B * self.strands

    @cached_property
    def block(self) -> int:
        return min(BLOCK, max(16, power_of_two(self.F)))

    @property
    def blocks(self) -> int:
        return -(-self.F // self.block)

    @property
    def parts(self) -> int:
        return -(-self.blocks // PART)

    @property
    def sizes(self) -> tuple[int, ...]:
        """What every kernel over bins is told, in its order."""
        return self.L, self.F, self.C, self.rows, self.strands, self.parts

    @property
    def options(self) -> dict[str, Any]:
        parts = power_of_two(self.parts)
        return {"BOUND": self.bound, "J": self.side, "PARTS": parts, "BLOCK": self.block}


@torch.library.custom_op("orchid::long_conv_triton", mutates_args=())
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
    run = kernels("spectrum_kernels", z_BDL)
    _check_finite(z=z_BDL, v=v_BDL, static=static_CF, gain=gain_CF, taps=taps_CJ)
    y_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    z, v, y = (_by_strand(x, static_CF) for x in (z_BDL, v_BDL, y_BDL))
    spectra = [_pairs(x, z_BDL) for x in (static_CF, gain_CF, taps_CJ)]
    if onchip.fits(z, v, taps_CJ, mask_BL):
        with on_device_of(z_BDL):
            onchip.convolve(kernels("onchip_kernels", z_BDL), z, v, spectra, y, KINDS[kind], bound)
        return y_BDL
    with on_device_of(z_BDL):
        for group, shape in _groups(z, spectra, kind, bound):
            static, gain, taps = (None if x is None else x[group] for x in spectra)
            Z = _transform(z[:, :, group])
            V, partial = (Z, Z) if kind == "static" else _power(run, v[:, :, group], mask_BL, shape)
            given = (Z, V, static, _or(gain, Z), _or(taps, Z), partial)
            grid, options = (shape.rows * shape.C * shape.blocks,), shape.options
            launch(run.product_kernel, grid, *given, *shape.sizes, KIND=KINDS[kind], **options)
            y[:, :, group] = _inverse(Z, shape.L)
    return y_BDL


@torch.library.custom_op("orchid::long_conv_triton_backward", mutates_args=())
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
    # Of a static filter nothing writes the gradients of v and gain: they must begin as zeros.
    fresh = torch.zeros_like if kind == "static" else torch.empty_like
    dz_BDL = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    dv_BDL = fresh(v_BDL, memory_format=torch.contiguous_format)
    dstatic, dgain = torch.empty_like(static_CF), fresh(static_CF)
    none = torch.zeros(0, device=z_BDL.device)
    gradients = [dstatic, dgain, none if taps_CJ is None else torch.zeros_like(taps_CJ)]
    if not z_BDL.numel():
        return [dz_BDL, dv_BDL, *(gradient.zero_() for gradient in gradients)]
    dy, z, v, dz, dv = (_by_strand(x, static_CF) for x in (dy_BDL, z_BDL, v_BDL, dz_BDL, dv_BDL))
    spectra = [_pairs(x, z_BDL) for x in (static_CF, gain_CF, taps_CJ)]
    if onchip.fits(z, v, taps_CJ, mask_BL):
        outs = (dz, dv, torch.view_as_real(dstatic), torch.view_as_real(dgain))
        with on_device_of(z_BDL):
            onchip.differentiate(
                kernels("onchip_kernels", z_BDL), (dy, z, v), spectra, outs, KINDS[kind], bound
            )
        return [dz_BDL, dv_BDL, *gradients]
    run = kernels("spectrum_kernels", z_BDL)
    with on_device_of(z_BDL):
        for group, shape in _groups(z, spectra, kind, bound):
            given = [None if x is None else x[group] for x in spectra]
            signals = (dy[:, :, group], z[:, :, group], v[:, :, group])
            DZ, DV, parts = _pull(run, signals, given, mask_BL, shape)
            dz[:, :, group] = _inverse(DZ, shape.L)
            if DV is not None:
                dv[:, :, group] = _centre(_inverse(DV, shape.L), mask_BL)
            # Of a static filter there is one gradient alone; those of gain and taps stay zero.
            for gradient, part in zip(gradients, parts, strict=False):
                gradient[group] = torch.view_as_complex(part)
    return [dz_BDL, dv_BDL, *gradients]


def _pull(
    run: ModuleType,
    signals: tuple[Tensor, Tensor, Tensor],
    spectra: list[Maybe],
    mask_BL: Maybe,
    shape: Shape,
) -> tuple[Tensor, Maybe, list[Tensor]]:
    """The spectra of dz and dv, and the gradients of static, gain and taps as pairs of reals."""
    (dy, z, v), (static, gain, taps) = signals, spectra
    DY, Z = _transform(dy), _transform(z)
    # With side taps a bin reads its neighbours of DY: dz's spectrum needs a place of its own.
    DZ = torch.empty_like(DY) if shape.side else DY
    # Split over rows only as far as it takes to fill the GPU, for every split is one more sum.
    each = -(-shape.rows // min(shape.rows, -(-PROGRAMS // (shape.C * shape.blocks))))
    splits = -(-shape.rows // each)
    dstatic = DY.new_empty(splits, shape.C, shape.F, 2)
    conditioned = shape.kind != "static"
    V = partial = slopes = shares = dgain = DY  # never touched when the filter is static
    if conditioned:
        V, partial = _power(run, v, mask_BL, shape)
        slopes = DY.new_empty(shape.rows, shape.C, shape.F)
        shares = DY.new_empty(shape.rows, shape.C, shape.blocks)
        dgain = torch.empty_like(dstatic)
    grid: tuple[int, ...] = (splits * shape.C * shape.blocks,)
    options = shape.options
    arguments: tuple[Any, ...] = (DY, Z, V, DZ, static, _or(gain, DY), _or(taps, DY), partial)
    outs = (slopes, shares, dstatic, dgain)
    kind = KINDS[shape.kind]
    launch(run.pull_kernel, grid, *arguments, *outs, *shape.sizes, each, KIND=kind, **options)
    gradients = [dstatic.sum(0)]
    if not conditioned:
        return DZ, None, gradients
    gradients.append(dgain.sum(0))
    if shape.side:
        dtaps = DY.new_empty(shape.blocks, shape.C, shape.side, 2)
        grid, magnitude = (shape.blocks, shape.C, shape.side), shape.kind == "magnitude"
        arguments = (DY, Z, V, gain, partial, dtaps)
        launch(run.taps_kernel, grid, *arguments, *shape.sizes, MAGNITUDE=magnitude, **options)
        gradients.append(dtaps.sum(0))
    arguments = (V, slopes, shares, partial)
    numbers = (shape.L, shape.F, shape.parts, shape.blocks)
    sizes = {"SHARES": power_of_two(shape.blocks), "PARTS": options["PARTS"], "BLOCK": shape.block}
    launch(run.push_kernel, (shape.rows * shape.C, shape.blocks), *arguments, *numbers, **sizes)
    return DZ, V, gradients


def _power(run: ModuleType, v: Tensor, mask_BL: Maybe, shape: Shape) -> tuple[Tensor, Tensor]:
    """The transform of centred v (DC left in), and partial sums of its power."""
    V = _transform(_centre(_wide(v), mask_BL))
    partial = V.new_empty(shape.rows * shape.C, shape.parts)
    steps = min(PART, shape.blocks)
    grid = (shape.rows * shape.C, shape.parts)
    sizes = (shape.L, shape.F, shape.parts)
    launch(run.power_kernel, grid, V, partial, *sizes, STEPS=steps, BLOCK=shape.block)
    return V, partial


def _groups(z: Tensor, spectra: list[Maybe], kind: str, bound: float) -> list[tuple[slice, Shape]]:
    """Rows of the spectra to take together, and their sizes: even, so that every group begins at a
    multiple of 16 bytes (rows of an odd number of bins do not), which Triton needs for wide loads.
    """
    B, strands, C, L = z.shape
    if not B:
        return []
    size = min(C, max(2, WORKSPACE // (4 * B * strands * L) // 2 * 2))
    side = 0 if spectra[2] is None else spectra[2].shape[1]
    starts = range(0, C, size)
    return [
        (slice(c, min(c + size, C)), Shape(B, strands, min(size, C - c), L, kind, bound, side))
        for c in starts
    ]


def _by_strand(x_BDL: Tensor, static_CF: Tensor) -> Tensor:
    """(B, strands, C, L)."""
    B, _, L = x_BDL.shape
    return x_BDL.reshape(B, x_BDL.shape[1] // static_CF.shape[0], static_CF.shape[0], L)


def _pairs(spectrum: Maybe, like: Tensor) -> Maybe:
    """Complex numbers as contiguous pairs of reals in the transforms' type."""
    if spectrum is None:
        return None
    dtype = torch.complex128 if like.dtype == torch.float64 else torch.complex64
    return torch.view_as_real(spectrum.to(dtype).resolve_conj().contiguous())


def _or(tensor: Maybe, other: Tensor) -> Tensor:
    """A kernel's argument that it never reads."""
    return other if tensor is None else tensor


def _wide(x: Tensor) -> Tensor:
    """Transforms run in float32 whatever the activations (float64 stays)."""
    return x if x.dtype == torch.float64 else x.float()


def _transform(x: Tensor) -> Tensor:
    return torch.view_as_real(torch.fft.rfft(_wide(x)).contiguous())


def _inverse(X: Tensor, L: int) -> Tensor:
    return torch.fft.irfft(torch.view_as_complex(X), n=L)


def _centre(v: Tensor, mask_BL: Maybe) -> Tensor:
    """v less its mean over real letters, zero elsewhere; without a mask the DC bin does that."""
    if mask_BL is None:
        return v
    mask = mask_BL[:, None, None].to(v.dtype)
    mean = (v * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return (v - mean) * mask


def _check_finite(**inputs: Maybe) -> None:
    """NaN and infinity by name, on a CPU; a GPU is not made to wait."""
    for name, tensor in inputs.items():
        if tensor is not None and not tensor.is_cuda and not torch.isfinite(tensor).all():
            raise NumericError(f"long_conv: {name}", "holds NaN or infinity", "finite numbers")


# --- autograd and shapes for torch.compile ---


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.kind, ctx.bound = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, dy_BDL: Tensor) -> tuple[Maybe, ...]:
    z, v, static, gain, taps, mask = ctx.saved_tensors
    dz, dv, dstatic, dgain, dtaps = backward(
        dy_BDL, z, v, static, gain, taps, mask, ctx.kind, ctx.bound
    )
    conditions = (None if gain is None else dgain, None if taps is None else dtaps)
    return dz, dv, dstatic, *conditions, None, None, None


@long_conv.register_fake
def _(z_BDL, v_BDL, static_CF, gain_CF, taps_CJ, mask_BL, kind, bound):
    return torch.empty_like(z_BDL, memory_format=torch.contiguous_format)


@backward.register_fake
def _(dy_BDL, z_BDL, v_BDL, static_CF, gain_CF, taps_CJ, mask_BL, kind, bound):
    real = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (z_BDL, v_BDL)]
    spectra = [torch.empty_like(static_CF), torch.empty_like(static_CF)]
    taps = z_BDL.new_empty(0, dtype=torch.float32) if taps_CJ is None else torch.empty_like(taps_CJ)
    return [*real, *spectra, taps]


long_conv.register_autograd(_differentiate, setup_context=_keep)
