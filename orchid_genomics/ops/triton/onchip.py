"""The operator in one kernel forward and one backward, for lengths whose rows fit on chip: z, v and
the spectra of the filters are read once and the result is written once.

The trap: bfloat16 activations are transformed by float16 products, each row brought to unit level
first, or it would overflow.
"""

import functools
import math
import os
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from orchid_genomics.ops.triton.machine import launch, power_of_two, shared_memory

ON = os.environ.get("ORCHID_ONCHIP", "1") == "1"
"""Whether rows that fit are transformed on chip; else all of them are left to cuFFT."""
BLOCK = 1024  # bins of a packed spectrum that a program takes at once
PROCESSORS = 132  # of an H100: where channels alone do not fill them, the batch is split
FORWARD, BACKWARD = 64, 8  # warps' worth of programs for each of them

Maybe = Tensor | None


class Tiling(NamedTuple):
    """How a row is cut, L = N1 x N2, and the warps of a program: a warp takes 16 of the N1 / 2 rows
    of a spectrum, and more warps would compute the same rows again.
    """

    N1: int
    N2: int

    @property
    def warps(self) -> int:
        return self.N1 // 32

    @property
    def bins(self) -> int:
        """Bins of a packed spectrum: half of all, and half of the row that is its own mirror."""
        return self.N1 // 2 * self.N2 + self.N2 // 2


TILINGS = {
    512: Tiling(32, 16),
    1024: Tiling(64, 16),
    2048: Tiling(128, 16),
    4096: Tiling(128, 32),
    8192: Tiling(128, 64),
}
SHARED = 96 << 10  # bytes of shared memory that a program may ask for
LARGE = {"maxnreg": None, "HOLD": False}
CHOICES: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {
    1024: ({}, {"maxnreg": None}),
    2048: ({}, {"maxnreg": None}),
    4096: ({"maxnreg": 168, "HOLD": False}, {**LARGE, "SPILL": True}),
    8192: (LARGE, {**LARGE, "SPILL": True}),
}
"""By length: options of the kernels forward and backward that differ from `OPTIONS`; see
benchmarks/README.md for what the compiler made of them.
"""
OPTIONS = {"maxnreg": 128, "HOLD": True, "SPILL": False, "num_stages": 1}
"""HOLD keeps the angles of turns over all rows of a program, and SPILL its sums in memory; what a
loop would fetch ahead (stages) takes the place of other programs.
"""
DTYPES = (torch.bfloat16,)
"""Types that are faster on chip. Three products of tf32 for one of float32 are right, which shows
the mathematics to every digit, and 2.6 times as slow as cuFFT on an H200.
"""


def fits(z: Tensor, v: Tensor, taps: Maybe, mask: Maybe) -> bool:
    """Whether these rows are transformed on chip."""
    if not ON or taps is not None or mask is not None or not z.numel():
        return False
    L = z.shape[-1]
    return L in TILINGS and z.dtype == v.dtype and z.dtype in DTYPES and _has_room(z)


def _has_room(z: Tensor) -> bool:
    """Whether this GPU has the shared memory of every program."""
    return not z.is_cuda or shared_memory(z.device.index) >= SHARED


class Plan(NamedTuple):
    """What a kernel is launched with, for z (B, strands, C, L)."""

    tiling: Tiling
    sizes: tuple[int, ...]
    splits: int
    options: dict[str, Any]

    @property
    def programs(self) -> int:
        return self.sizes[0] * self.splits


def _plan(z_BSCL: Tensor, kind: int, bound: float, backward: bool) -> Plan:
    """A program takes rows of one channel one after another, so that its spectra and the tables
    stay in cache. Backward every split of a channel is one more spectrum to write.
    """
    B, strands, C, L = z_BSCL.shape
    tiling, rows = TILINGS[L], B * strands
    programs = PROCESSORS * (BACKWARD if backward else FORWARD) // tiling.warps
    each = -(-rows // min(rows, max(1, programs // C)))
    options = {
        "KIND": kind,
        "BOUND": bound,
        "N1": tiling.N1,
        "N2": tiling.N2,
        "NARROW": z_BSCL.dtype == torch.bfloat16,
        # Tables of products that warps share stay in their memory; others would take registers.
        "KEEP": tiling.N1 >= 128,
        "num_warps": tiling.warps,
        **OPTIONS,
        **(CHOICES[L][backward] if L in CHOICES else {}),
    }
    if not backward:
        del options["SPILL"]
    return Plan(tiling, (C, rows, strands, each, 0), -(-rows // each), options)


def convolve(
    run: ModuleType,
    z: Tensor,
    v: Tensor,
    filters: list[Maybe],
    y: Tensor,
    kind: int,
    bound: float,
) -> None:
    """Fill y (B, strands, C, L), laid out densely; filters are static and gain (C, F, 2)."""
    given = _plan(z, kind, bound, False)
    spectra = _pack(run, filters, given)
    tables = _tables(given.tiling, given.options["NARROW"], z.device)
    z, v = z.contiguous(), v.contiguous()
    arguments = (z, v, y, spectra, *tables)
    launch(run.convolve_kernel, (given.programs,), *arguments, *given.sizes, **given.options)


def differentiate(
    run: ModuleType,
    signals: tuple[Tensor, Tensor, Tensor],
    filters: list[Maybe],
    outs: tuple[Tensor, Tensor, Tensor, Tensor],
    kind: int,
    bound: float,
) -> None:
    """From dy, z, v and filters as above: fill dz, dv, dstatic and dgain, the last (C, F, 2)."""
    given = _plan(signals[1], kind, bound, True)
    dz, dv, dstatic, dgain = outs
    tiling, C = given.tiling, given.sizes[0]
    packed = _pack(run, filters, given)
    sums = packed.new_empty(given.splits, *packed.shape)
    tables = _tables(tiling, given.options["NARROW"], dz.device)
    arguments = (*(x.contiguous() for x in signals), dz, dv, packed, sums, *tables)
    launch(run.differentiate_kernel, (given.programs,), *arguments, *given.sizes, **given.options)
    F = tiling.N1 * tiling.N2 // 2 + 1
    grid, options = (C, -(-F // BLOCK), packed.shape[1]), _order(given)
    launch(run.unpack_kernel, grid, sums, dstatic, dgain, C, given.splits, **options)


def _pack(run: ModuleType, filters: list[Maybe], given: Plan) -> Tensor:
    """Spectra in the tile's order: (C, 1 or 2, re and im, bins)."""
    present = [each for each in filters if each is not None]
    static, gain, count = present[0], present[-1], len(present)
    out = static.new_empty(static.shape[0], count, 2, given.tiling.bins)
    grid = (static.shape[0], -(-given.tiling.bins // BLOCK), count)
    launch(run.pack_kernel, grid, static, gain, out, **_order(given))
    return out


def _order(given: Plan) -> dict[str, Any]:
    block = min(BLOCK, power_of_two(given.tiling.bins))
    return {**{key: given.options[key] for key in ("KIND", "N1", "N2")}, "BLOCK": block}


@functools.lru_cache(maxsize=32)
def _tables(tiling: Tiling, narrow: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, flat: of the products in their type, and of the turns and the middle bins
    in float32; see the kernels that read them.
    """
    N1, N2 = tiling.N1, tiling.N2
    L = N1 * N2
    k1, n2 = torch.arange(N1 // 2), torch.arange(N2)
    second = _angle(n2[:, None] * n2, N2)
    turn = _angle(k1[:, None] * n2, L)
    middle = _angle(n2[:, None] * (N1 // 2 + N1 * n2[: N2 // 2]), L)
    products = (*_first(N1), second.cos(), second.sin())
    angles = (turn.cos(), turn.sin(), middle.cos(), middle.sin())
    dtype = torch.float16 if narrow else torch.float32
    return _flat(products, dtype, device), _flat(angles, torch.float32, device)


def _first(N: int) -> tuple[Tensor, Tensor]:
    """cos and -sin of 2 pi k n / N for half of the k; sin 0 is of no use, and in its place stands
    the cosine of k = N / 2.
    """
    n = torch.arange(N)
    turns = _angle(n[: N // 2, None] * n, N)
    sines = -turns.sin()
    sines[0] = 1 - 2 * (n % 2)
    return turns.cos(), sines


def _angle(steps: Tensor, period: int) -> Tensor:
    """2 pi steps / period, reduced in integers so that an angle keeps all its digits."""
    return (2 * math.pi / period) * (steps % period).double()


def _flat(parts: tuple[Tensor, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts]).to(device, dtype)
