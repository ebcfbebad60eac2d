"""The gated MLP of a block, fused by hand: norm, GLU, butterflies and residual in one pass over
cache-sized chunks.

Only its inputs are kept; the rest is computed again. `model.orchid.GatedMLP.plain` is the same
layer written out. The trap: `weight` comes with the norm's scale and the butterflies' 1 / sqrt 2
folded in.
"""

from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import pieces, without_autocast
from orchid_genomics.ops.products import (
    fake,
    fakes,
    finish_sums,
    fly,
    fly_back,
    fly_parts,
    gradient_if,
    normalise,
    normalise_backward,
    product,
    product_backward,
    save_inputs,
    split_halves,
    start_sum,
)


@torch.library.custom_op("orchid::gated_mlp", mutates_args=())
@without_autocast
def gated_mlp(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    halves: int,
) -> Tensor:
    """x + W_out fly(value GELU(gate)), with (value, gate) = fly(W_in norm(x)); (B, D, L)."""
    y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)

    def work(rows: slice, first: int, last: int) -> None:
        x = x_BDL[rows, :, first:last]
        value, gate = fly_parts(product(w_in, b_in, normalise(x, w_in.dtype)[0]), halves, 2)
        # The exact GELU: on a CPU it is faster than its tanh form where its input is contiguous.
        u = torch.nn.functional.gelu(gate).mul_(value)
        out = product(w_out, b_out, fly(u))
        torch.add(x, out.view(x.shape), out=y_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return y_BDL


@torch.library.custom_op("orchid::gated_mlp_backward", mutates_args=())
@without_autocast
def gated_mlp_backward(
    dy_BDL: Tensor,
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """Gradients of x, w_in, b_in, w_out, b_out."""
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    dw_in, db_in = start_sum(w_in), start_sum(b_in)
    dw_out, db_out = start_sum(w_out), start_sum(b_out)

    def work(rows: slice, first: int, last: int) -> None:
        x, dy = x_BDL[rows, :, first:last], dy_BDL[rows, :, first:last]
        normed, rms = normalise(x, w_in.dtype)
        value, gate = fly_parts(product(w_in, b_in, normed), halves, 2)
        active = torch.nn.functional.gelu(gate)
        dout = dy.reshape(len(dy), *w_out.shape[:2], -1)
        du = product_backward(dout, w_out, fly(value * active), dw_out, db_out)
        du = fly(split_halves(du, halves)).view(value.shape)
        # Both gradients side by side, as `fly_back` reads them.
        dpair = torch.empty(2, *value.shape, dtype=value.dtype, device=x.device)
        torch.mul(du, active, out=dpair[0])
        # Last, for this overwrites du.
        torch.ops.aten.gelu_backward.grad_input(du.mul_(value), gate, grad_input=dpair[1])
        din = fly_back(dpair, w_in.shape[0])
        dnormed = product_backward(din, w_in, normed, dw_in, db_in)
        torch.add(dy, normalise_backward(dnormed, normed, rms), out=dx_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *finish_sums(w_in.dtype, dw_in, db_in, dw_out, db_out)]


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, w_in, b_in, w_out, b_out = ctx.saved_tensors
    dx, dw_in, db_in, dw_out, db_out = gated_mlp_backward(
        dy, x, w_in, b_in, w_out, b_out, ctx.halves
    )
    return dx, dw_in, gradient_if(db_in, b_in), dw_out, gradient_if(db_out, b_out), None


gated_mlp.register_autograd(_gradients, setup_context=save_inputs)
gated_mlp.register_fake(lambda x, w_in, b_in, w_out, b_out, halves: fake(x))
gated_mlp_backward.register_fake(lambda dy, x, *rest: fakes(x, *rest[:-1]))
