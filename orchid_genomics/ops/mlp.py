"""The gated MLP of a block, fused by hand: norm, GLU, butterflies and residual in one pass over
cache-sized chunks.

Of long windows only its inputs are kept, and the rest is computed again; of short ones the hidden
layer is kept too. `model.orchid.GatedMLP.plain` is the same
layer written out. The trap: `weight` comes with the norm's scale and the butterflies' 1 / sqrt 2
folded in.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import is_kept, pieces, without_autocast
from orchid_genomics.ops.products import (
    as_activations,
    defined,
    fake,
    fakes,
    finish_sums,
    fly,
    fly_back,
    fly_parts,
    gradient_if,
    keep_for_backward,
    normalise,
    normalise_backward,
    product,
    product_backward,
    split_halves,
    start_sum,
)


def gated_mlp(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    halves: int,
) -> Tensor:
    """x + W_out fly(value GELU(gate)), with (value, gate) = fly(W_in norm(x)); (B, D, L). Biases
    may be wider than the weights.
    """
    b_in, b_out = as_activations(b_in, w_in), as_activations(b_out, w_out)
    return gated_mlp_keeping(x_BDL, w_in, b_in, w_out, b_out, halves, is_kept(x_BDL))[0]


@torch.library.custom_op("orchid::gated_mlp", mutates_args=())
@without_autocast
def gated_mlp_keeping(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    halves: int,
    keep: bool,
) -> list[Tensor]:
    """The result; and what is to be kept for the backward pass, `Hidden` of all rows."""
    y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    kept = Hidden.empty(x_BDL, w_in, halves) if keep else None

    def work(rows: slice, first: int, last: int) -> None:
        x = x_BDL[rows, :, first:last]
        into = None if kept is None else kept.rows(rows)
        hidden = _multiply(x, w_in, b_in, halves, into)
        out = product(w_out, b_out, fly(hidden.pair[0] * hidden.active))
        torch.add(x, out.view(x.shape), out=y_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return [y_BDL, *(kept or ())]


class Hidden(NamedTuple):
    """What the MLP computes of some rows on the way to its result."""

    normed: Tensor
    """x over its root mean square, (R, D, n)."""
    scale: Tensor
    """One over that root, (R, 1, n)."""
    pair: Tensor
    """Value and gate in the paired basis, (2, R, halves, C, n)."""
    active: Tensor
    """GELU(gate), (R, halves, C, n)."""

    @classmethod
    def empty(cls, x_RDn: Tensor, w_in: Tensor, halves: int) -> "Hidden":
        """Space for it."""
        R, D, n = x_RDn.shape
        pair = 2, R, halves, w_in.shape[0] * w_in.shape[1] // (2 * halves), n
        return cls(
            torch.empty(R, D, n, dtype=w_in.dtype, device=x_RDn.device),
            torch.empty(R, 1, n, dtype=x_RDn.dtype, device=x_RDn.device),
            torch.empty(pair, dtype=w_in.dtype, device=x_RDn.device),
            torch.empty(pair[1:], dtype=w_in.dtype, device=x_RDn.device),
        )

    def rows(self, rows: slice) -> "Hidden":
        """That of some rows, as views."""
        return Hidden(self.normed[rows], self.scale[rows], self.pair[:, rows], self.active[rows])


def _multiply(
    x_RDn: Tensor, w_in: Tensor, b_in: Tensor | None, halves: int, into: Hidden | None
) -> Hidden:
    """What stands before the second product of a piece, written `into` what its rows keep."""
    if into is None:
        into = Hidden.empty(x_RDn, w_in, halves)
    _, scale = normalise(x_RDn, w_in.dtype, out=into.normed)
    into.scale.copy_(scale)
    fly_parts(product(w_in, b_in, into.normed), halves, 2, out=into.pair)
    # The exact GELU: on a CPU it is faster than its tanh form where its input is contiguous.
    torch.ops.aten.gelu.out(into.pair[1], out=into.active)
    return into


@torch.library.custom_op("orchid::gated_mlp_backward", mutates_args=())
@without_autocast
def gated_mlp_backward(
    dy_BDL: Tensor,
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    kept: list[Tensor],
    halves: int,
) -> list[Tensor]:
    """Gradients of x, w_in, b_in, w_out, b_out; what was not kept is computed again."""
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    dw_in, db_in = start_sum(w_in), start_sum(b_in)
    dw_out, db_out = start_sum(w_out), start_sum(b_out)

    def work(rows: slice, first: int, last: int) -> None:
        x, dy = x_BDL[rows, :, first:last], dy_BDL[rows, :, first:last]
        hidden = Hidden(*kept).rows(rows) if kept else _multiply(x, w_in, b_in, halves, None)
        (value, gate), active = hidden.pair, hidden.active
        dout = dy.reshape(len(dy), *w_out.shape[:2], -1)
        du = product_backward(dout, w_out, fly(value * active), dw_out, db_out)
        du = fly(split_halves(du, halves)).view(value.shape)
        # Both gradients side by side, as `fly_back` reads them.
        dpair = torch.empty(2, *value.shape, dtype=value.dtype, device=x.device)
        torch.mul(du, active, out=dpair[0])
        # Last, for this overwrites du.
        torch.ops.aten.gelu_backward.grad_input(du.mul_(value), gate, grad_input=dpair[1])
        din = fly_back(dpair, w_in.shape[0])
        dnormed = product_backward(din, w_in, hidden.normed, dw_in, db_in)
        normalise_backward(dnormed, hidden.normed, hidden.scale, dx_BDL[rows, :, first:last], dy)

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *finish_sums(w_in.dtype, dw_in, db_in, dw_out, db_out)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.halves, _ = inputs
    _, *kept = output
    keep_for_backward(ctx, tensors, kept)


def _gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
    x, w_in, b_in, w_out, b_out, *kept = ctx.saved_tensors
    dx, dw_in, db_in, dw_out, db_out = gated_mlp_backward(
        defined(gradients[0], x), x, w_in, b_in, w_out, b_out, kept, ctx.halves
    )
    return dx, dw_in, gradient_if(db_in, b_in), dw_out, gradient_if(db_out, b_out), None, None


def _fake_mlp(
    x: Tensor, w_in: Tensor, b_in: Any, w_out: Tensor, b_out: Any, halves: int, keep: bool
) -> list[Tensor]:
    return [fake(x), *(Hidden.empty(x, w_in, halves) if keep else ())]


gated_mlp_keeping.register_autograd(_gradients, setup_context=_save)
gated_mlp_keeping.register_fake(_fake_mlp)
gated_mlp_backward.register_fake(lambda dy, x, *rest: fakes(x, *rest[:4]))
