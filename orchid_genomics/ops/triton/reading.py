"""Reading through pointers on a GPU: gathers of one shape whatever was found, so that a captured
step can hold them.

`ops.pointers` holds the definition, and finds the lists that are read here. The trap: gain and
weights keep their own type, float32, whatever that of z is.
"""

from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.products import fake
from orchid_genomics.ops.triton.machine import kernels, launch, on_device_of, power_of_two

BLOCK = 128  # letters a program takes at once
CHANNELS = 16  # and channels of them


@torch.library.custom_op("orchid::read_pointers_triton", mutates_args=())
def read(
    z_BDL: Tensor,
    partner_BJL: Tensor,
    weight_BSJL: Tensor,
    first: Tensor,
    reader: Tensor,
    gain_SD: Tensor,
    paired: bool,
) -> Tensor:
    """y (B, D, L); see `ops.pointers.read_pointers` and `ops.pointers.index_readers`."""
    run, z = kernels("reading_kernels", z_BDL), z_BDL.contiguous()
    y_BDL = torch.empty_like(z)
    if z.numel():
        with on_device_of(z):
            grid, sizes, options = _shape(z, partner_BJL, paired)
            given = (z, partner_BJL, weight_BSJL, gain_SD.contiguous(), y_BDL)
            launch(run.read_kernel, grid, *given, *sizes, **options)
    return y_BDL


@torch.library.custom_op("orchid::read_pointers_triton_backward", mutates_args=())
def read_backward(
    dy_BDL: Tensor,
    z_BDL: Tensor,
    partner_BJL: Tensor,
    weight_BSJL: Tensor,
    first: Tensor,
    reader: Tensor,
    gain_SD: Tensor,
    paired: bool,
) -> list[Tensor]:
    """Gradients of z and gain."""
    run, dy, z = kernels("reading_kernels", z_BDL), dy_BDL.contiguous(), z_BDL.contiguous()
    dz_BDL = torch.empty_like(z)
    if not z.numel():
        return [dz_BDL, torch.zeros_like(gain_SD)]
    with on_device_of(z):
        gain = gain_SD.contiguous()
        grid, sizes, options = _shape(z, partner_BJL, paired)
        # A sum for every block, added up later: atomic adds would depend on timing.
        dgain = weight_BSJL.new_empty(grid[0], *gain.shape)
        given: tuple[Any, ...] = (dy, z, partner_BJL, weight_BSJL, dgain)
        launch(run.gain_kernel, grid, *given, *sizes, **options)
        given = (dy, partner_BJL, weight_BSJL, first, reader, gain, dz_BDL)
        launch(run.give_back_kernel, grid, *given, *sizes, **options)
        return [dz_BDL, dgain.sum(0).to(gain.dtype)]


def _shape(
    z_BDL: Tensor, partner_BJL: Tensor, paired: bool
) -> tuple[tuple[int, int], tuple[int, int, int], dict[str, Any]]:
    """The grid, the sizes and the options of every kernel."""
    B, D, L = z_BDL.shape
    block, channels = min(BLOCK, power_of_two(L)), min(CHANNELS, power_of_two(D))
    blocks = -(-L // block)
    options = {"J": partner_BJL.shape[1], "PAIRED": paired, "BLOCK": block, "CHANNELS": channels}
    return (B * blocks, -(-D // channels)), (D, L, blocks), options


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.paired = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, ...]:
    dz, dgain = read_backward(dy_BDL, *ctx.saved_tensors, ctx.paired)
    return dz, None, None, None, None, dgain, None


read.register_autograd(_gradients, setup_context=_save)
read.register_fake(lambda z, *rest: fake(z))
read_backward.register_fake(lambda dy, z, *rest: [fake(z), torch.empty_like(rest[-2])])
