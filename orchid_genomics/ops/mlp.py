"""The gated MLP of a block, fused by hand: norm, GLU, butterflies and residual in one pass over
cache-sized chunks.

Only its inputs are kept; the rest is computed again. `model.orchid.GatedMLP.plain` is the same
layer written out. The trap: `weight` comes with the norm's scale and the butterflies' 1 / sqrt 2
folded in.
"""

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import as_given, pieces
from orchid_genomics.ops.products import (
    by_half,
    flown,
    fly,
    gradient_of,
    keep_all,
    normalise,
    normalise_backward,
    product,
    product_backward,
    shape,
    shapes,
    summed,
    unflown,
    zeros_like_all,
)


@torch.library.custom_op("orchid::gated_mlp", mutates_args=())
@as_given
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
        value, gate = flown(product(w_in, b_in, normalise(x, w_in.dtype)[0]), halves, 2)
        u = torch.nn.functional.gelu(gate).mul_(value)
        out = product(w_out, b_out, fly(u))
        torch.add(x, out.view(x.shape), out=y_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return y_BDL


@torch.library.custom_op("orchid::gated_mlp_backward", mutates_args=())
@as_given
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
    sums = zeros_like_all(w_in, b_in, w_out, b_out)

    def work(rows: slice, first: int, last: int) -> None:
        x, dy = x_BDL[rows, :, first:last], dy_BDL[rows, :, first:last]
        normed, rms = normalise(x, w_in.dtype)
        value, gate = flown(product(w_in, b_in, normed), halves, 2)
        active = torch.nn.functional.gelu(gate)
        dout = dy.reshape(len(dy), *w_out.shape[:2], -1)
        du = product_backward(dout, w_out, fly(value * active), sums[2], sums[3])
        du = fly(by_half(du, halves)).view(value.shape)
        dpair = torch.empty(2, *value.shape, dtype=value.dtype, device=x.device)
        torch.mul(du, active, out=dpair[0])
        torch.ops.aten.gelu_backward.grad_input(du.mul_(value), gate, grad_input=dpair[1])
        din = unflown(dpair, w_in.shape[0])
        dnormed = product_backward(din, w_in, normed, sums[0], sums[1])
        torch.add(dy, normalise_backward(dnormed, normed, rms), out=dx_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *summed(sums, w_in.dtype)]


def _gradients(ctx, dy: Tensor):
    x, w_in, b_in, w_out, b_out = ctx.saved_tensors
    dx, dw_in, db_in, dw_out, db_out = gated_mlp_backward(
        dy, x, w_in, b_in, w_out, b_out, ctx.halves
    )
    return dx, dw_in, gradient_of(db_in, b_in), dw_out, gradient_of(db_out, b_out), None


gated_mlp.register_autograd(_gradients, setup_context=keep_all)
gated_mlp.register_fake(lambda x, w_in, b_in, w_out, b_out, halves: shape(x))
gated_mlp_backward.register_fake(lambda dy, x, *rest: shapes(x, *rest[:-1]))
