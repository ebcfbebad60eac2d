"""The norm that ends an encoder, on cache-sized chunks with its own backward pass.

`model.orchid.Norm` is its definition, by ordinary autograd.
"""

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import pieces, without_autocast
from orchid_genomics.ops.products import (
    fake,
    fakes,
    finish_sums,
    normalise,
    normalise_backward,
    start_sum,
)


@torch.library.custom_op("orchid::norm", mutates_args=())
@without_autocast
def norm(x_BDL: Tensor, scale_D: Tensor) -> Tensor:
    """x over its root mean square over channels, times a scale a channel; (B, D, L)."""
    y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)

    def work(rows: slice, first: int, last: int) -> None:
        normed, _ = normalise(x_BDL[rows, :, first:last], x_BDL.dtype)
        torch.mul(normed, scale_D[:, None], out=y_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return y_BDL


@torch.library.custom_op("orchid::norm_backward", mutates_args=())
@without_autocast
def norm_backward(dy_BDL: Tensor, x_BDL: Tensor, scale_D: Tensor) -> list[Tensor]:
    """Gradients of x and scale."""
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    dscale = start_sum(scale_D)

    def work(rows: slice, first: int, last: int) -> None:
        dy = dy_BDL[rows, :, first:last]
        normed, rms = normalise(x_BDL[rows, :, first:last], x_BDL.dtype)
        dscale.add_((dy * normed).sum((0, -1)))
        normalise_backward(dy * scale_D[:, None], normed, rms, dx_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *finish_sums(scale_D.dtype, dscale)]


norm.register_autograd(
    lambda ctx, dy: tuple(norm_backward(dy, *ctx.saved_tensors)),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
norm.register_fake(lambda x, scale: fake(x))
norm_backward.register_fake(lambda dy, x, scale: fakes(x, scale))
