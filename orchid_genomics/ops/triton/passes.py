"""The operator in three passes over memory, with float16 between them: for bfloat16 rows too long
for `onchip`.

The trap: v is centred by dropping one bin, and what it moves through its mean power is known only
when all bins are; both are seen to in the last pass.
"""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from orchid_genomics.ops.triton import onchip
from orchid_genomics.ops.triton.machine import launch, power_of_two

ON = onchip.FURTHER
"""Whether they are; else all are left to cuFFT."""
KERNELS = "passes_kernels"
BLOCK = 1024  # bins of a half spectrum that a program takes at once

Maybe = Tensor | None


class Tiling(NamedTuple):
    """How a row is cut, L = N x M1 x M2."""

    N: int
    M1: int
    M2: int

    @property
    def M(self) -> int:
        return self.M1 * self.M2


TILINGS = {
    1 << 15: Tiling(32, 32, 32),
    1 << 16: Tiling(32, 64, 32),
    1 << 17: Tiling(32, 64, 64),
    1 << 18: Tiling(64, 64, 64),
    1 << 19: Tiling(128, 64, 64),
    1 << 20: Tiling(256, 64, 64),
}


def fits(z: Tensor, v: Tensor, taps: Maybe, mask: Maybe) -> bool:
    """Whether these rows are transformed in three passes."""
    if not ON or taps is not None or mask is not None or not z.numel():
        return False
    L = z.shape[-1]
    return L in TILINGS and z.dtype == v.dtype == torch.bfloat16 and onchip.has_room(z, L)


class Plan(NamedTuple):
    """Sizes of z (B, strands, C, L), and what kernels are told in common."""

    tiling: Tiling
    B: int
    strands: int
    C: int
    kind: int
    bound: float

    @property
    def rows(self) -> int:
        """Times that every channel is convolved."""
        return self.B * self.strands

    @property
    def many(self) -> int:
        return self.rows * self.C

    @property
    def outer(self) -> dict[str, Any]:
        """Options of the passes over n1: a warp takes 16 rows of a product."""
        return {**self.tiling._asdict(), "num_warps": self.tiling.N // 32}

    @property
    def inner(self) -> dict[str, Any]:
        """Options of the pass over rows of M numbers."""
        warps = self.tiling.M1 // 16
        return {
            **self.tiling._asdict(),
            "KIND": self.kind,
            "BOUND": self.bound,
            "num_warps": warps,
            "num_stages": 1,
        }


def _plan(z_BSCL: Tensor, kind: int, bound: float) -> Plan:
    B, strands, C, L = z_BSCL.shape
    return Plan(TILINGS[L], B, strands, C, kind, bound)


class Halves(NamedTuple):
    """What stands between two passes: float16 (count, rows, planes, M) and its scales."""

    numbers: Tensor
    scales: Tensor


def _halves(like: Tensor, count: int, given: Plan) -> Halves:
    tiling = given.tiling
    numbers = like.new_empty(count, given.many, tiling.N, tiling.M, dtype=torch.float16)
    scales = like.new_empty(count, given.many, tiling.M1, tiling.N, dtype=torch.float32)
    return Halves(numbers, scales)


def convolve(
    run: ModuleType,
    z: Tensor,
    v: Tensor,
    filters: list[Maybe],
    y: Tensor,
    kind: int,
    bound: float,
) -> None:
    """See `onchip.convolve`."""
    given = _plan(z, kind, bound)
    tiling = given.tiling
    spectra = _arrange(run, filters, given)
    products, angles = _tables(tiling, z.device)
    transformed, sums = _split(run, z, v, products, given)
    out = _halves(z, 1, given)
    sizes = (given.C, given.rows, given.strands)
    programs = given.many * (tiling.N // 2 + 1)
    arguments = (*transformed, sums, spectra, *out, products, angles, *sizes)
    launch(run.between_kernel, (programs,), *arguments, **given.inner)
    _merge(run, (*out, y, y, y, sums, sums, products, given.many), False, given)


def differentiate(
    run: ModuleType,
    signals: tuple[Tensor, Tensor, Tensor],
    filters: list[Maybe],
    outs: tuple[Tensor, Tensor, Tensor, Tensor],
    kind: int,
    bound: float,
) -> None:
    """See `onchip.differentiate`."""
    given = _plan(signals[1], kind, bound)
    (dy, z, v), (dz, dv, dstatic, dgain), tiling = signals, outs, given.tiling
    spectra = _arrange(run, filters, given)
    products, angles = _tables(tiling, z.device)
    transformed, sums = _split(run, z, v, products, given)
    pulled = _halves(dy, 1, given)
    pieces = (given.many, tiling.M1)
    launch(run.split_one_kernel, pieces, dy.contiguous(), *pulled, products, **given.outer)
    out = _halves(z, 1 if given.kind == 0 else 2, given)
    moved = torch.empty_like(spectra)
    shares = sums.new_empty(given.many, tiling.N // 2 + 1)
    sizes = (given.C, given.rows, given.strands)
    arguments = (*transformed, sums, spectra, *pulled, *out, moved, shares, products, angles)
    programs = given.C * (tiling.N // 2 + 1)
    launch(run.between_backward_kernel, (programs,), *arguments, *sizes, **given.inner)
    last = (*out, dz, dv, v.contiguous(), sums, shares, products, given.many)
    _merge(run, last, given.kind != 0, given)
    F = tiling.N * tiling.M // 2 + 1
    grid = (given.C, -(-F // BLOCK), spectra.shape[2])
    launch(run.restore_kernel, grid, moved, dstatic, dgain, **_order(given))


def _split(
    run: ModuleType, z: Tensor, v: Tensor, products: Tensor, given: Plan
) -> tuple[Halves, Tensor]:
    """z and v transformed over n1, and the sums of v that tell its mean and power."""
    transformed = _halves(z, 1 if given.kind == 0 else 2, given)
    M1 = given.tiling.M1
    sums = torch.empty(given.many, 2, M1, dtype=torch.float32, device=z.device)
    arguments = (z.contiguous(), v.contiguous(), *transformed, sums, products, given.many)
    launch(run.split_kernel, (given.many, M1), *arguments, KIND=given.kind, **given.outer)
    return transformed, sums


def _merge(run: ModuleType, arguments: tuple[Any, ...], backward: bool, given: Plan) -> None:
    options = {**given.outer, "BACKWARD": backward, "BLOCK": power_of_two(given.tiling.N // 2 + 1)}
    launch(run.merge_kernel, (given.many, given.tiling.M1), *arguments, **options)


def _arrange(run: ModuleType, filters: list[Maybe], given: Plan) -> Tensor:
    """Spectra in the order of the pass over rows: (C, k1, 1 or 2, re and im, M)."""
    present = [each for each in filters if each is not None]
    static, gain, count = present[0], present[-1], len(present)
    tiling = given.tiling
    out = static.new_empty(given.C, tiling.N // 2 + 1, count, 2, tiling.M)
    grid = (given.C, -(-tiling.N * tiling.M // BLOCK), count)
    launch(run.arrange_kernel, grid, static, gain, out, **_order(given))
    return out


def _order(given: Plan) -> dict[str, Any]:
    return {**given.tiling._asdict(), "KIND": given.kind, "BLOCK": BLOCK}


@functools.lru_cache(maxsize=32)
def _tables(tiling: Tiling, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, flat: of the products in float16, and of the turns in float32; see the
    kernels that read them.
    """
    N, M1, M2 = tiling
    k1, m1, m2 = torch.arange(N // 2 + 1), torch.arange(M1), torch.arange(M2)
    inner = onchip.angle(m1[:, None] * m1, M1)
    last = onchip.angle(m2[:, None] * m2, M2)
    turn = onchip.angle(m1[:, None] * m2, M1 * M2)
    outer = onchip.angle(k1[:, None] * torch.arange(M1 * M2), N * M1 * M2)
    products = (*onchip.first(N), inner.cos(), inner.sin(), last.cos(), last.sin())
    angles = (turn.cos(), turn.sin(), torch.stack((outer.cos(), outer.sin()), 1))
    return onchip.flat(products, torch.float16, device), onchip.flat(angles, torch.float32, device)
