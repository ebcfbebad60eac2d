"""The two sides of a long convolution, fused by hand: norm, products, butterflies, short taps,
gates and skip.

`enter` (norm, Linear D -> 3D, short convolution, gate: gives z, v, s2) and `leave` (skip, second
gate, Linear, residual), each with its own backward pass. Each takes positions in cache-sized
chunks, keeps only its inputs and computes the rest again. `model.orchid.Mixer.plain` is the same
layer written out; the tests hold the two equal. The trap: `weight` comes with the norm's scale and
the butterflies' 1 / sqrt 2 folded in.
"""

from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import Piece, cut_circle, pieces, without_autocast
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


@torch.library.custom_op("orchid::enter", mutates_args=())
@without_autocast
def enter(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    taps: Tensor,
    mask_BL: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """z = v s1, v and s2 (B, halves C, L) from short_conv(fly(W norm(x))); taps (3, halves, C, K),
    v zero where masked. W may give some of the channels alone.
    """
    B, _, L = x_BDL.shape
    _, _, C, K = taps.shape
    k = K // 2
    # Not zeroed: every position is written by one piece.
    outs = [torch.empty(B, halves, C, L, dtype=weight.dtype, device=x_BDL.device) for _ in range(3)]

    def work(rows: slice, first: int, last: int) -> None:
        # Short taps reach k letters beyond the chunk on both sides, around the circle.
        _, _, h = _enter_products(x_BDL, weight, bias, mask_BL, halves, (rows, first - k, last + k))
        z, v, s2 = (out[rows, :, :, first:last] for out in outs)
        s1 = _convolve(h[0], taps[0])
        _convolve(h[1], taps[1], out=s2)
        _convolve(h[2], taps[2], out=v)
        # Short taps carry letters into the padding beside them; v must be zero there.
        if mask_BL is not None:
            v *= mask_BL[rows, None, None, first:last]
        torch.mul(v, s1, out=z)

    for piece in pieces(x_BDL):
        work(*piece)
    return [out.view(B, halves * C, L) for out in outs]


def _enter_products(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask_BL: Tensor | None,
    halves: int,
    piece: Piece,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normed x (R, D, n), its scale (R, 1, n) and the masked products in the paired basis (3, R,
    halves, C, n).
    """
    rows, first, last = piece
    normed, rms = normalise(cut_circle(x_BDL[rows], first, last), weight.dtype)
    h = fly_parts(product(weight, bias, normed), halves, 3)
    # The bias has filled the padding: zeros again, before short taps read it.
    if mask_BL is not None:
        h *= cut_circle(mask_BL[rows, None, None], first, last)
    return normed, rms, h


def _convolve(h: Tensor, taps: Tensor, out: Tensor | None = None) -> Tensor:
    """Centred taps (..., C, K) over h (..., C, n + 2 (K // 2)): y[t] = sum of taps[j] h[t - (j - K
    // 2)].
    """
    k = taps.shape[-1] // 2
    n = h.shape[-1] - 2 * k
    # The centre tap first: the sum then needs no zeros to start from.
    y = torch.mul(h[..., k : k + n], taps[..., k, None], out=out)
    for j in range(taps.shape[-1]):
        if j != k:
            y.addcmul_(h[..., 2 * k - j : 2 * k - j + n], taps[..., j, None])
    return y


@torch.library.custom_op("orchid::enter_backward", mutates_args=())
@without_autocast
def enter_backward(
    dz_BDL: Tensor,
    dv_BDL: Tensor,
    ds2_BDL: Tensor,
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    taps: Tensor,
    mask_BL: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """Gradients of x, weight, bias and taps; a chunk computes 2 (K // 2) neighbours on each side
    again.
    """
    K = taps.shape[-1]
    k = K // 2
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    # The gradient of a convolution is a convolution with the taps reversed.
    reverse = taps.flip(-1)[:, None]
    dweight, dbias, dtaps = start_sum(weight), start_sum(bias), start_sum(taps)

    def work(rows: slice, first: int, last: int) -> None:
        n = last - first
        # Computed again, for only the inputs were kept.
        normed, rms, h = _enter_products(
            x_BDL, weight, bias, mask_BL, halves, (rows, first - 2 * k, last + 2 * k)
        )
        s1, v = _convolve(h[0], taps[0]), _convolve(h[2], taps[2])
        dz, dv, ds2 = (
            split_halves(cut_circle(d[rows], first - k, last + k), halves)
            for d in (dz_BDL, dv_BDL, ds2_BDL)
        )
        dc = torch.empty(*h.shape[:-1], n + 2 * k, dtype=v.dtype, device=v.device)
        torch.addcmul(dv, dz, s1, out=dc[2])
        dc[1] = ds2
        if mask_BL is not None:
            mask = cut_circle(mask_BL[rows, None, None], first - k, last + k)
            dc[2] *= mask
            v = v * mask
        torch.mul(dz, v, out=dc[0])
        # The chunk's own positions alone: neighbours are counted by their own chunk.
        centre = dc[..., k : k + n]
        for j in range(K):
            moved = h[..., 3 * k - j : 3 * k - j + n]
            dtaps[..., j] += (centre * moved).sum((1, -1))
        dh = _convolve(dc, reverse)
        if mask_BL is not None:
            dh *= mask_BL[rows, None, None, first:last]
        din = fly_back(dh, weight.shape[0])
        inner = normed[..., 2 * k : 2 * k + n]
        dnormed = product_backward(din, weight, inner, dweight, dbias)
        dx_BDL[rows, :, first:last] = normalise_backward(
            dnormed, inner, rms[..., 2 * k : 2 * k + n]
        )

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *finish_sums(weight.dtype, dweight, dbias, dtaps)]


# --- out of the long convolution ---


@torch.library.custom_op("orchid::leave", mutates_args=())
@without_autocast
def leave(
    x_BDL: Tensor,
    y_BDL: Tensor,
    z_BDL: Tensor,
    s2_BDL: Tensor,
    skip: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    halves: int,
) -> Tensor:
    """x + W fly((y + skip z) s2); skip (D)."""
    out_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)

    def work(rows: slice, first: int, last: int) -> None:
        x, y, z, s2 = (t[rows, :, first:last] for t in (x_BDL, y_BDL, z_BDL, s2_BDL))
        u = torch.addcmul(y, z, skip[:, None]).mul_(s2)
        out = product(weight, bias, fly(split_halves(u, halves)))
        torch.add(x, out.view(x.shape), out=out_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return out_BDL


@torch.library.custom_op("orchid::leave_backward", mutates_args=())
@without_autocast
def leave_backward(
    dout_BDL: Tensor,
    y_BDL: Tensor,
    z_BDL: Tensor,
    s2_BDL: Tensor,
    skip: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """Gradients of y, z, s2, skip, weight and bias; that of x is dout itself."""
    outs = [torch.empty_like(y_BDL, memory_format=torch.contiguous_format) for _ in range(3)]
    dskip, dweight, dbias = start_sum(skip), start_sum(weight), start_sum(bias)

    def work(rows: slice, first: int, last: int) -> None:
        dout, y, z, s2 = (t[rows, :, first:last] for t in (dout_BDL, y_BDL, z_BDL, s2_BDL))
        dy, dz, ds2 = (out[rows, :, first:last] for out in outs)
        t = torch.addcmul(y, z, skip[:, None])
        u = fly(split_halves(t * s2, halves))
        dout = dout.reshape(len(dout), *weight.shape[:2], -1)
        du = product_backward(dout, weight, u, dweight, dbias)
        du = fly(split_halves(du, halves))
        torch.mul(du, t, out=ds2)
        torch.mul(du, s2, out=dy)
        torch.mul(dy, skip[:, None], out=dz)
        dskip.add_((dy * z).sum((0, -1)))

    for piece in pieces(y_BDL):
        work(*piece)
    return [*outs, *finish_sums(y_BDL.dtype, dskip, dweight, dbias)]


# --- autograd and shapes for torch.compile ---


def _enter_gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
    x, weight, bias, taps, mask = ctx.saved_tensors
    dx, dweight, dbias, dtaps = enter_backward(*gradients, x, weight, bias, taps, mask, ctx.halves)
    return dx, dweight, gradient_if(dbias, bias), dtaps, None, None


def _save_leave(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def _leave_gradients(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    y, z, s2, skip, weight, bias = ctx.saved_tensors
    dy, dz, ds2, dskip, dweight, dbias = leave_backward(
        dout, y, z, s2, skip, weight, bias, ctx.halves
    )
    return dout, dy, dz, ds2, dskip, dweight, gradient_if(dbias, bias), None


enter.register_autograd(_enter_gradients, setup_context=save_inputs)
leave.register_autograd(_leave_gradients, setup_context=_save_leave)


@enter.register_fake
def _(x_BDL: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, *rest: Any) -> list[Tensor]:
    B, _, L = x_BDL.shape
    shape = (B, taps.shape[1] * taps.shape[2], L)
    return [torch.empty(shape, dtype=weight.dtype, device=x_BDL.device) for _ in range(3)]


enter_backward.register_fake(
    lambda dz, dv, ds2, x, weight, bias, taps, mask, halves: fakes(x, weight, bias, taps)
)
leave.register_fake(lambda x, *rest: fake(x))
leave_backward.register_fake(lambda dout, y, z, s2, *rest: fakes(y, z, s2, *rest[:-1]))
