"""What the fused parts of a block share: products, butterflies and norms on chunks, forward and
backward.

Shapes: weights (G, parts * O, I), G = halves * blocks; bias (parts * O * blocks) of half 0; chunks
(R, D, n) of R rows. The trap: `fly` leaves out the butterfly's 1 / sqrt 2, which is folded into the
weights (`model.strands.Mix.fold`), and each row is multiplied on its own, R products of n columns
and never one of R n: so it gives the same bits in every batch. The type of the weights is that of
the activations (bfloat16 on a GPU); the residual stream x keeps its own.
"""

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

EPS = 1e-6
# Positions of a product on a GPU that sums over them, and from how many of such pieces on: one of a
# few rows and columns and 131,072 positions is made by a handful of its 132 processors.
PIECE, PIECES = 1024, 4
# Products side by side that fill a GPU by themselves.
MANY = 16


def as_activations(bias: Tensor | None, weight: Tensor) -> Tensor | None:
    """A bias as narrow as the weights, for in-place sums on a CPU take numbers of one type."""
    return None if bias is None else bias.to(weight.dtype)


def split_halves(x_RDn: Tensor, halves: int) -> Tensor:
    """(R, halves * rest, n) -> (R, halves, rest, n)."""
    return x_RDn.reshape(len(x_RDn), halves, -1, x_RDn.shape[-1])


def fly(x_RHCn: Tensor) -> Tensor:
    """The butterfly without its 1 / sqrt 2 over dim 1 (two halves); one half stays as it is. (R, H
    * C, n).
    """
    R, halves, _, n = x_RHCn.shape
    if halves == 2:
        one, other = x_RHCn.unbind(1)
        x_RHCn = torch.empty_like(x_RHCn)
        torch.add(one, other, out=x_RHCn[:, 0])
        torch.sub(one, other, out=x_RHCn[:, 1])
    return x_RHCn.view(R, -1, n)


def fly_parts(out_RGOn: Tensor, halves: int, parts: int, out: Tensor | None = None) -> Tensor:
    """Products in the paired basis, part by part: (parts, R, halves, channels, n), contiguous for
    the calls to come, or written to `out`.
    """
    R, G, O, n = out_RGOn.shape
    by_part = out_RGOn.view(R, halves, G // halves, parts, O // parts, n)
    by_part = by_part.permute(3, 0, 1, 2, 4, 5)
    if out is None:
        shape = (parts, R, halves, G // halves * (O // parts), n)
        out = torch.empty(shape, dtype=out_RGOn.dtype, device=out_RGOn.device)
    paired = out.unflatten(3, (G // halves, O // parts))
    if halves == 1:
        paired.copy_(by_part)
        return out
    one, other = by_part.unbind(2)
    torch.add(one, other, out=paired[:, :, 0])
    torch.sub(one, other, out=paired[:, :, 1])
    return out


def fly_back(d_PRHCn: Tensor, G: int) -> Tensor:
    """The way back for gradients: (parts, R, halves, channels, n) -> (R, G, parts * O, n)."""
    parts, R, halves, _, n = d_PRHCn.shape
    by_part = d_PRHCn.view(parts, R, halves, G // halves, -1, n).permute(1, 2, 3, 0, 4, 5)
    if halves == 1:
        return by_part.reshape(R, G, -1, n)
    out = torch.empty(by_part.shape, dtype=d_PRHCn.dtype, device=d_PRHCn.device)
    torch.add(by_part[:, 0], by_part[:, 1], out=out[:, 0])
    torch.sub(by_part[:, 0], by_part[:, 1], out=out[:, 1])
    return out.view(R, G, -1, n)


def normalise(
    x_RDn: Tensor, dtype: torch.dtype, mask_R1n: Tensor | None = None, out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x over its root mean square as activations of `dtype`, written to `out` if given, and one
    over that root (R, 1, n) in the stream's own type; both 0 where masked.
    """
    rms = (x_RDn * x_RDn).sum(1, keepdim=True).div_(x_RDn.shape[1]).add_(EPS).rsqrt_()
    if mask_R1n is not None:
        rms *= mask_R1n
    if out is None:
        out = torch.empty(x_RDn.shape, dtype=dtype, device=x_RDn.device)
    return torch.mul(x_RDn, rms, out=out), rms


def keep_for_backward(ctx: Any, inputs: Sequence[Any], kept: Sequence[Tensor]) -> None:
    """Save a fused layer's inputs and what it keeps for its backward pass, which nobody else
    reads; gradients that are not asked for are None.
    """
    ctx.mark_non_differentiable(*kept)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *kept)


def normalise_backward(
    dn_RDn: Tensor, n_RDn: Tensor, rms: Tensor, out: Tensor, beside: Tensor | None = None
) -> None:
    """Write the gradient of x to `out`, with what else comes to x from `beside` if given."""
    # The stream is float32 whatever the activations, so that sums over channels stay wide.
    dn_RDn = dn_RDn.to(rms.dtype)
    share = (dn_RDn * n_RDn).sum(1, keepdim=True).div_(n_RDn.shape[1])
    dn_RDn.addcmul_(n_RDn, share, value=-1)
    if beside is None:
        torch.mul(dn_RDn, rms, out=out)
    else:
        torch.addcmul(beside, dn_RDn, rms, out=out)


def product(
    weight: Tensor, bias: Tensor | None, x_RDn: Tensor, mask_R1n: Tensor | None = None
) -> Tensor:
    """(R, G, O, n) of weight (G, O, I) and x (R, G * I, n); bias on the first half, where not
    masked.
    """
    out = _times(weight, x_RDn)
    if bias is not None:
        # On the even half alone: an odd channel changes its sign on the other strand.
        blocks = bias.numel() // weight.shape[1]
        bias = bias.view(blocks, -1, 1)
        if mask_R1n is None:
            out[:, :blocks] += bias
        else:
            out[:, :blocks].addcmul_(bias, mask_R1n[:, None].to(bias.dtype))
    return out


def _times(weight: Tensor, x: Tensor) -> Tensor:
    """(R, G, O, n) of weight (G, O, I) and x, which holds (R, G, I, n): a product for each row and
    group.
    """
    R, n = len(x), x.shape[-1]
    G, O, I = weight.shape
    # A batched product, never one of all columns: a row keeps its bits in any batch.
    weights = weight.expand(R, G, O, I).reshape(R * G, O, I)
    return torch.bmm(weights, x.reshape(R * G, I, n)).view(R, G, O, n)


def product_backward(
    dout_RGOn: Tensor,
    weight: Tensor,
    x_RDn: Tensor,
    dweight: Tensor,
    dbias: Tensor | None,
    mask_R1n: Tensor | None = None,
) -> Tensor:
    """The gradient of x from that of the product; those of weight and bias are added to what is
    given.
    """
    R, _, n = x_RDn.shape
    G, O, I = weight.shape
    if dbias is not None:
        blocks = dbias.numel() // O
        to_bias = dout_RGOn[:, :blocks]
        if mask_R1n is not None:
            to_bias = to_bias * mask_R1n[:, None]
        dbias += to_bias.sum((0, -1)).view(-1)
    dout_RGOn = dout_RGOn.to(weight.dtype)
    dout, x_nI = dout_RGOn.reshape(R * G, O, n), x_RDn.reshape(R * G, I, n).transpose(1, 2)
    # One row may add into the sum itself; several need a wide sum, which bfloat16 is not.
    if R == 1 and dweight.dtype == x_RDn.dtype:
        dweight.baddbmm_(dout, x_nI)
    else:
        dweight += torch.bmm(dout, x_nI).view(R, G, O, I).sum(0, dtype=dweight.dtype)
    return _times(weight.transpose(1, 2), dout_RGOn).view(x_RDn.shape)


def sum_products(a_RGIn: Tensor, b_RGJn: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The sum over rows and positions of a b^T, (G, I, J), of `dtype`, or float32 at least:
    gradients of weights that every position shares. Positions are taken in pieces where a GPU would
    idle otherwise.
    """
    R, G, _, n = a_RGIn.shape
    wide = _wide(a_RGIn.dtype)
    if a_RGIn.is_cuda and R * G <= MANY and n >= PIECES * PIECE:
        return sum_in_pieces(a_RGIn, b_RGJn).to(dtype or wide)
    each = torch.matmul(a_RGIn, b_RGJn.mT)
    # A sum of bfloat16 is float32 until its last number: narrowing it costs no call.
    return each.sum(0) if dtype == each.dtype else each.sum(0, dtype=wide).to(dtype or wide)


def sum_in_pieces(a_RGIn: Tensor, b_RGJn: Tensor) -> Tensor:
    """`sum_products` with `PIECE` positions a product, which costs no copy."""
    R, G, _, n = a_RGIn.shape
    whole, wide = n // PIECE * PIECE, _wide(a_RGIn.dtype)
    total = torch.matmul(a_RGIn[..., whole:], b_RGJn[..., whole:].mT).sum(0, dtype=wide)
    for r in range(R):
        for g in range(G):
            a_PIp, b_PJp = (
                x[r, g, :, :whole].unflatten(-1, (-1, PIECE)).transpose(0, 1)
                for x in (a_RGIn, b_RGJn)
            )
            total[g] += torch.bmm(a_PIp, b_PJp.mT).sum(0, dtype=wide)
    return total


def read_table(weight_OI: Tensor, x_BIL: Tensor) -> Tensor:
    """W x (B, O, L) of one small table for all positions, whose gradient is a long sum."""
    if not x_BIL.is_cuda:
        return torch.matmul(weight_OI, x_BIL)
    return _Table.apply(weight_OI, x_BIL)


class _Table(torch.autograd.Function):
    """The product of `read_table`, its gradient by `sum_products`."""

    @staticmethod
    def forward(weight_OI: Tensor, x_BIL: Tensor) -> Tensor:
        return torch.matmul(weight_OI, x_BIL)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy_BOL: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, x = ctx.saved_tensors
        of_weight, of_x = ctx.needs_input_grad
        dweight = (
            sum_products(dy_BOL[:, None], x[:, None])[0].to(weight.dtype) if of_weight else None
        )
        return dweight, torch.matmul(weight.T, dy_BOL) if of_x else None


@overload
def start_sum(like: Tensor) -> Tensor: ...
@overload
def start_sum(like: None) -> None: ...
def start_sum(like: Tensor | None) -> Tensor | None:
    """What a sum over pieces starts from; float32 at least, for bfloat16 loses a sum over many."""
    if like is None:
        return None
    return torch.zeros(like.shape, dtype=_wide(like.dtype), device=like.device)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def finish_sums(dtype: torch.dtype, *sums: Tensor | None) -> list[Tensor]:
    """The sums over all pieces as numbers of `dtype`; a missing bias is an empty tensor."""
    return [torch.zeros(0) if total is None else total.to(dtype) for total in sums]


# --- autograd and shapes for torch.compile ---


def gradient_if(gradient: Tensor, given: Tensor | None) -> Tensor | None:
    """The gradient of an argument that may be missing: a custom operator returns no None."""
    return None if given is None else gradient


def defined(gradient: Tensor | None, like: Tensor) -> Tensor:
    """A gradient as a tensor: autograd was told to make no zeros, which those of kept results would
    be.
    """
    return torch.zeros_like(like) if gradient is None else gradient


def save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def fake(x: Tensor) -> Tensor:
    """The shape of an output, without data."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def fakes(*tensors: Tensor | None) -> list[Tensor]:
    return [torch.empty(0) if t is None else fake(t) for t in tensors]
