"""The two sides of a long convolution, fused by hand: norm, products, butterflies, short taps,
gates and skip.

`enter` (norm, Linear D -> 3D, short convolution, gate: gives z, v, s2) and `leave` (skip, second
gate, Linear, residual), each with its own backward pass. Each takes positions in cache-sized
chunks; of long windows it keeps only its inputs and computes the rest again, of short ones it keeps
the products too. `model.orchid.Mixer.plain` is the same layer written out; the tests hold the two
equal. The trap: `weight` comes with the norm's scale and the butterflies' 1 / sqrt 2 folded in.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import (
    Piece,
    cut_circle,
    is_kept,
    pieces,
    without_autocast,
    wrap_ends,
)
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


def enter(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    taps: Tensor,
    mask_BL: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """z = v s1, v and s2 (B, halves C, L) from short_conv(fly(W norm(x))); taps (3, halves, C, K),
    v zero where masked. W may give some of the channels alone. Of the type of W; bias and taps may
    be wider.
    """
    bias, taps = as_activations(bias, weight), taps.to(weight.dtype)
    return enter_keeping(x_BDL, weight, bias, taps, mask_BL, halves, is_kept(x_BDL))[:3]


@torch.library.custom_op("orchid::enter", mutates_args=())
@without_autocast
def enter_keeping(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    taps: Tensor,
    mask_BL: Tensor | None,
    halves: int,
    keep: bool,
) -> list[Tensor]:
    """z, v and s2; and what is to be kept for the backward pass: `Products` of all rows, and s1."""
    B, _, L = x_BDL.shape
    _, _, C, K = taps.shape
    k = K // 2
    # Not zeroed: every position is written by one piece.
    outs = [torch.empty(B, halves, C, L, dtype=weight.dtype, device=x_BDL.device) for _ in range(3)]
    kept = Products.empty(x_BDL, weight, halves, k) if keep else None
    gate = torch.empty_like(outs[0]) if keep else None

    def work(rows: slice, first: int, last: int) -> None:
        # Short taps reach k letters beyond the piece on both sides, around the circle.
        piece, into = (rows, first, last), None if kept is None else kept.rows(rows)
        h = _multiply(x_BDL, weight, bias, mask_BL, halves, piece, k, into).paired
        z, v, s2 = (out[rows, :, :, first:last] for out in outs)
        s1 = _convolve(h[0], taps[0], out=None if gate is None else gate[rows])
        _convolve(h[1], taps[1], out=s2)
        _convolve(h[2], taps[2], out=v)
        # Short taps carry letters into the padding beside them; v must be zero there.
        if mask_BL is not None:
            v *= mask_BL[rows, None, None, first:last]
        torch.mul(v, s1, out=z)

    for piece in pieces(x_BDL):
        work(*piece)
    outs = [out.view(B, halves * C, L) for out in outs]
    return outs if kept is None or gate is None else [*outs, *kept, gate]


class Products(NamedTuple):
    """What `enter` computes of some rows on the way to its results."""

    normed: Tensor
    """x over its root mean square, 0 where masked; (R, D, n)."""
    scale: Tensor
    """One over that root, 0 where masked; (R, 1, n)."""
    paired: Tensor
    """The products in the paired basis, 0 where masked, and their neighbours as far as short taps
    reach at either end; (3, R, halves, C, reach + n + reach)."""

    @classmethod
    def empty(cls, x_RDn: Tensor, weight: Tensor, halves: int, reach: int) -> "Products":
        """Space for those of whole rows."""
        R, D, n = x_RDn.shape
        paired = 3, R, halves, weight.shape[0] * weight.shape[1] // (3 * halves), n + 2 * reach
        return cls(
            torch.empty(R, D, n, dtype=weight.dtype, device=x_RDn.device),
            torch.empty(R, 1, n, dtype=x_RDn.dtype, device=x_RDn.device),
            torch.empty(paired, dtype=weight.dtype, device=x_RDn.device),
        )

    def rows(self, rows: slice) -> "Products":
        """Those of some rows, as views."""
        return Products(self.normed[rows], self.scale[rows], self.paired[:, rows])


def _multiply(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask_BL: Tensor | None,
    halves: int,
    piece: Piece,
    reach: int,
    into: Products | None = None,
) -> Products:
    """The products of a piece, with `reach` neighbours; written `into` what its rows keep."""
    rows, first, last = piece
    n = last - first
    # Of a whole row the neighbours are its own ends: they are copied, not computed again.
    beyond = 0 if n == x_BDL.shape[-1] else reach
    x_RDn = cut_circle(x_BDL[rows], first - beyond, last + beyond)
    mask_R1n = None
    if mask_BL is not None:
        mask_R1n = cut_circle(mask_BL[rows, None], first - beyond, last + beyond)
    if into is None:
        into = Products.empty(x_RDn, weight, halves, reach - beyond)
    # With x at 0 and no bias there, the padding stays 0, as short taps must read it.
    _, scale = normalise(x_RDn, weight.dtype, mask_R1n, out=into.normed)
    into.scale.copy_(scale)
    own = into.paired[..., reach - beyond : reach + n + beyond]
    fly_parts(product(weight, bias, into.normed, mask_R1n), halves, 3, out=own)
    if not beyond:
        wrap_ends(into.paired, reach)
    inside = slice(beyond, beyond + n)
    return Products(into.normed[..., inside], into.scale[..., inside], into.paired)


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
    v_BDL: Tensor,
    kept: list[Tensor],
    halves: int,
) -> list[Tensor]:
    """Gradients of x, weight, bias and taps; what was not kept is computed again."""
    L, K = x_BDL.shape[-1], taps.shape[-1]
    k = K // 2
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    # The gradient of a convolution is a convolution with the taps reversed.
    reverse = taps.flip(-1)[:, None]
    dweight, dbias, dtaps = start_sum(weight), start_sum(bias), start_sum(taps)

    def work(rows: slice, first: int, last: int) -> None:
        n = last - first
        # Gradients at neighbours reach into a piece; those of a whole row are its own ends.
        beyond = 0 if n == L else k
        if kept:
            *products, gate = kept
            given, s1 = Products(*products).rows(rows), gate[rows]
            h = given.paired
        else:
            piece = rows, first, last
            given = _multiply(x_BDL, weight, bias, mask_BL, halves, piece, k + beyond)
            h = given.paired
            s1 = _convolve(h[0], taps[0])
        dz, dv, ds2, v = (
            split_halves(cut_circle(each[rows], first - beyond, last + beyond), halves)
            for each in (dz_BDL, dv_BDL, ds2_BDL, v_BDL)
        )
        dc = torch.empty(*h.shape[:-1], n + 2 * k, dtype=h.dtype, device=h.device)
        own = dc[..., k - beyond : k + n + beyond]
        torch.mul(dz, v, out=own[0])
        own[1] = ds2
        torch.addcmul(dv, dz, s1, out=own[2])
        if mask_BL is not None:
            own[2] *= cut_circle(mask_BL[rows, None, None], first - beyond, last + beyond)
        if not beyond:
            wrap_ends(dc, k)
        # The piece's own positions alone: neighbours are counted by their own piece.
        centre = dc[..., k : k + n]
        product_of_both = torch.empty(centre.shape, dtype=h.dtype, device=h.device)
        for j in range(K):
            begin = beyond + 2 * k - j
            torch.mul(centre, h[..., begin : begin + n], out=product_of_both)
            dtaps[..., j] += product_of_both.sum((1, -1))
        din = fly_back(_convolve(dc, reverse), weight.shape[0])
        mask_R1n = None if mask_BL is None else mask_BL[rows, None, first:last]
        dnormed = product_backward(din, weight, given.normed, dweight, dbias, mask_R1n)
        normalise_backward(dnormed, given.normed, given.scale, dx_BDL[rows, :, first:last])

    for piece in pieces(x_BDL):
        work(*piece)
    return [dx_BDL, *finish_sums(weight.dtype, dweight, dbias, dtaps)]


# --- out of the long convolution ---


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
    """x + W fly((y + skip z) s2); skip (D), as bias may be wider than W."""
    skip, bias = skip.to(weight.dtype), as_activations(bias, weight)
    return leave_fused(x_BDL, y_BDL, z_BDL, s2_BDL, skip, weight, bias, halves)


@torch.library.custom_op("orchid::leave", mutates_args=())
@without_autocast
def leave_fused(
    x_BDL: Tensor,
    y_BDL: Tensor,
    z_BDL: Tensor,
    s2_BDL: Tensor,
    skip: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    halves: int,
) -> Tensor:
    """What `leave` gives."""
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


def _save_enter(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.halves, _ = inputs
    _, v, _, *kept = output
    keep_for_backward(ctx, [*tensors, v], kept)


def _enter_gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
    x, weight, bias, taps, mask, v, *kept = ctx.saved_tensors
    dz, dv, ds2 = (defined(each, v) for each in gradients[:3])
    dx, dweight, dbias, dtaps = enter_backward(
        dz, dv, ds2, x, weight, bias, taps, mask, v, kept, ctx.halves
    )
    return dx, dweight, gradient_if(dbias, bias), dtaps, None, None, None


def _save_leave(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def _leave_gradients(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    y, z, s2, skip, weight, bias = ctx.saved_tensors
    dy, dz, ds2, dskip, dweight, dbias = leave_backward(
        dout, y, z, s2, skip, weight, bias, ctx.halves
    )
    return dout, dy, dz, ds2, dskip, dweight, gradient_if(dbias, bias), None


def _fake_enter(
    x: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, mask: Any, halves: int, keep: bool
) -> list[Tensor]:
    (B, _, L), (_, _, C, K) = x.shape, taps.shape
    z, v, s2, s1 = (
        torch.empty(B, halves, C, L, dtype=weight.dtype, device=x.device) for _ in range(4)
    )
    outs = [each.view(B, halves * C, L) for each in (z, v, s2)]
    return [*outs, *Products.empty(x, weight, halves, K // 2), s1] if keep else outs


enter_keeping.register_autograd(_enter_gradients, setup_context=_save_enter)
leave_fused.register_autograd(_leave_gradients, setup_context=_save_leave)
enter_keeping.register_fake(_fake_enter)
enter_backward.register_fake(
    lambda dz, dv, ds2, x, weight, bias, taps, *rest: fakes(x, weight, bias, taps)
)
leave_fused.register_fake(lambda x, *rest: fake(x))
leave_backward.register_fake(lambda dout, y, z, s2, *rest: fakes(y, z, s2, *rest[:-1]))
