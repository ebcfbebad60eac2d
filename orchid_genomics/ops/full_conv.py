"""A full convolution of a few letters, fused by hand: norm, products over channels and taps,
butterflies, GELU, Linear and residual on cache-sized pieces.

It is matrix products almost alone. With strand pairs half of a full convolution's numbers are
redundant: even outputs read sums of even channels at both sides of a letter and differences of odd
ones, odd outputs the reverse, so that a tap costs half of the products too. What the products read
is written out, `slots` numbers a channel and letter. `model.convolution.Convolution.plain` is the
same layer by ordinary autograd. The trap: weights come with the norm's scale and the butterflies'
1 / sqrt 2 folded in.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

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
    gradient_if,
    keep_for_backward,
    normalise,
    normalise_backward,
    product,
    split_halves,
    start_sum,
    sum_products,
)


def full_conv(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor,
    w_out: Tensor,
    b_out: Tensor | None,
    mask_BL: Tensor | None,
    dilation: int,
) -> Tensor:
    """x + W_out fly(GELU(fly(W_in slots(norm(x)) + b_in))) + b_out, circular over exactly L.

    Parameters
    ----------
    x_BDL : (B, D, L), in the even/odd basis where there are strand pairs.
    w_in : (halves, C out, slots, C in) with D = halves C, see `read_slots`.
    w_out : (halves, C out, C in).
    b_in, b_out : (C,), of the even half (all of a dense layer); b_out may be None. They may be
        wider than the weights.
    mask_BL : 1 at letters, 0 at padding, which is read as 0; None: all are letters.
    dilation : letters from one tap to the next.

    Returns
    -------
    (B, D, L), of the type of x.
    """
    b_in, b_out = b_in.to(w_in.dtype), as_activations(b_out, w_in)
    given = x_BDL, w_in, b_in, w_out, b_out, mask_BL, dilation
    return full_conv_keeping(*given, is_kept(x_BDL))[0]


@torch.library.custom_op("orchid::full_conv", mutates_args=())
@without_autocast
def full_conv_keeping(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor,
    w_out: Tensor,
    b_out: Tensor | None,
    mask_BL: Tensor | None,
    dilation: int,
    keep: bool,
) -> list[Tensor]:
    """The result; and what is to be kept for the backward pass, `Hidden` of all rows."""
    y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    halves, _, slots, _ = w_in.shape
    kept = Hidden.empty(x_BDL, w_in, dilation) if keep else None

    def work(rows: slice, first: int, last: int) -> None:
        hidden = _multiply(x_BDL, w_in, b_in, mask_BL, dilation, (rows, first, last))
        for whole, part in zip(kept or (), hidden, strict=False):
            whole[rows] = part
        active = functional.gelu(hidden.paired)
        out = product(w_out, b_out, fly(split_halves(active, halves)))
        x = x_BDL[rows, :, first:last]
        torch.add(x, out.view(x.shape), out=y_BDL[rows, :, first:last])

    for piece in pieces(x_BDL, slots):
        work(*piece)
    return [y_BDL, *(kept or ())]


class Hidden(NamedTuple):
    """What the layer computes of some rows on the way to its result."""

    normed: Tensor
    """x over its root mean square, 0 where masked, and its neighbours as far as taps reach; (R, D,
    reach + n + reach)."""
    scale: Tensor
    """One over that root, 0 where masked; (R, 1, n)."""
    paired: Tensor
    """What GELU reads, in the paired basis; (R, D, n)."""

    @classmethod
    def empty(cls, x_RDn: Tensor, weight: Tensor, dilation: int) -> "Hidden":
        """Space for it."""
        R, D, n = x_RDn.shape
        wide = n + 2 * _reach(weight, dilation)
        return cls(
            torch.empty(R, D, wide, dtype=weight.dtype, device=x_RDn.device),
            torch.empty(R, 1, n, dtype=x_RDn.dtype, device=x_RDn.device),
            torch.empty(R, D, n, dtype=weight.dtype, device=x_RDn.device),
        )


def read_slots(x_RDw: Tensor, slots: int, dilation: int, halves: int) -> Tensor:
    """What the products read, (R, halves, slots, C, n), of x in n letters and `slots // 2 *
    dilation` neighbours on either side.

    Slot 0 is the letter itself. Without strand pairs slots 1 to k are the letters after it, k + 1
    to 2 k those before. With them they are the sums of both, of the half's own channels, and their
    differences (after less before), of the other half's: what reading the other strand leaves as it
    is, but for the sign of the odd half.
    """
    R, D, _ = x_RDw.shape
    k = slots // 2
    n = x_RDw.shape[-1] - 2 * k * dilation
    x = x_RDw.view(R, halves, D // halves, -1)
    out = torch.empty(R, halves, slots, D // halves, n, dtype=x.dtype, device=x.device)

    def letters(j: int) -> Tensor:
        begin = (k + j) * dilation
        return x[..., begin : begin + n]

    out[:, :, 0] = letters(0)
    for j in range(1, k + 1):
        after, before = letters(j), letters(-j)
        if halves == 1:
            out[:, :, j], out[:, :, k + j] = after, before
            continue
        torch.add(after, before, out=out[:, :, j])
        torch.sub(after[:, 1], before[:, 1], out=out[:, 0, k + j])
        torch.sub(after[:, 0], before[:, 0], out=out[:, 1, k + j])
    return out


def turn_round(weight: Tensor) -> Tensor:
    """The weight of the transposed convolution, by which gradients go back: (halves, C in, slots, C
    out).

    Letters after become letters before: sums stay, and differences change their sign and half.
    """
    k = weight.shape[2] // 2
    back = weight.transpose(1, 3)
    near, one, other = back[:, :, :1], back[:, :, 1 : k + 1], back[:, :, k + 1 :]
    ends = (other, one) if len(weight) == 1 else (one, -other.flip(0))
    return torch.cat((near, *ends), 2)


def _reach(weight: Tensor, dilation: int) -> int:
    """How far taps reach to either side."""
    return weight.shape[2] // 2 * dilation


def _multiply(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor,
    mask_BL: Tensor | None,
    dilation: int,
    piece: Piece,
) -> Hidden:
    """`Hidden` of a piece, which may reach around the circle."""
    rows, first, last = piece
    reach = _reach(weight, dilation)
    # Of a whole row the neighbours are its own ends: they are copied, not computed again.
    beyond = 0 if (first, last) == (0, x_BDL.shape[-1]) else reach
    x_RDn = cut_circle(x_BDL[rows], first - beyond, last + beyond)
    mask_R1n = None
    if mask_BL is not None:
        mask_R1n = cut_circle(mask_BL[rows, None], first - beyond, last + beyond)
    # With x at 0 the padding is 0, as taps must read it.
    normed, scale = normalise(x_RDn, weight.dtype, mask_R1n)
    if not beyond:
        normed = _wrapped(normed, reach)
    own = scale[..., beyond : beyond + last - first]
    return Hidden(normed, own, fly(_convolve(normed, weight, bias, dilation)))


def _wrapped(x_RDn: Tensor, reach: int) -> Tensor:
    """A circle with `reach` of its letters again at either end."""
    n = x_RDn.shape[-1]
    out = torch.empty(*x_RDn.shape[:-1], n + 2 * reach, dtype=x_RDn.dtype, device=x_RDn.device)
    out[..., reach : reach + n] = x_RDn
    wrap_ends(out, reach)
    return out


def _convolve(x_RDw: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """W slots(x) + bias, (R, halves, C, n)."""
    halves, C, slots, _ = weight.shape
    read = read_slots(x_RDw, slots, dilation, halves)
    return product(weight.reshape(halves, C, -1), bias, read)


@torch.library.custom_op("orchid::full_conv_backward", mutates_args=())
@without_autocast
def full_conv_backward(
    dy_BDL: Tensor,
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor,
    w_out: Tensor,
    b_out: Tensor | None,
    mask_BL: Tensor | None,
    dilation: int,
    kept: list[Tensor],
) -> list[Tensor]:
    """Gradients of x, w_in, b_in, w_out and b_out; what was not kept is computed again."""
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    dw_in, db_in = start_sum(w_in), start_sum(b_in)
    dw_out, db_out = start_sum(w_out), start_sum(b_out)
    halves, _, slots, _ = w_in.shape
    reach, back = _reach(w_in, dilation), turn_round(w_in)

    def work(rows: slice, first: int, last: int) -> None:
        n = last - first
        # Gradients at neighbours reach into a piece; those of a whole row are its own ends.
        beyond = 0 if n == x_BDL.shape[-1] else reach
        own = slice(beyond, beyond + n)
        piece = rows, first - beyond, last + beyond
        if kept:
            hidden = Hidden(*(each[rows] for each in kept))
        else:
            hidden = _multiply(x_BDL, w_in, b_in, mask_BL, dilation, piece)
        dy = split_halves(cut_circle(dy_BDL[rows], *piece[1:]).to(w_in.dtype), halves)
        # The piece's own positions alone: neighbours are counted by their own piece.
        read = fly(split_halves(functional.gelu(hidden.paired[..., own]), halves))
        _count(dw_out, db_out, dy[..., own], read)
        dactive = fly(product(w_out.mT, None, dy))
        dpaired = torch.ops.aten.gelu_backward(dactive, hidden.paired)
        dhidden = fly(split_halves(dpaired, halves))
        wide = hidden.normed[..., beyond : beyond + n + 2 * reach]
        read = read_slots(wide, slots, dilation, halves)
        _count(dw_in, db_in, split_halves(dhidden[..., own], halves), read)
        if not beyond:
            dhidden = _wrapped(dhidden, reach)
        dnormed = _convolve(dhidden, back, None, dilation).view(len(dy), -1, n)
        normed, scale = wide[..., reach : reach + n], hidden.scale[..., own]
        beside, dx = (each[rows, :, first:last] for each in (dy_BDL, dx_BDL))
        normalise_backward(dnormed, normed, scale, out=dx, beside=beside)

    for piece in pieces(x_BDL, slots):
        work(*piece)
    return [dx_BDL, *finish_sums(w_in.dtype, dw_in, db_in, dw_out, db_out)]


def _count(dweight: Tensor, dbias: Tensor | None, dout_RHCn: Tensor, read: Tensor) -> None:
    """Add what a product's outputs ask of its weight and bias, where `read` is what it read."""
    R, halves, _, n = dout_RHCn.shape
    if dbias is not None:
        dbias += dout_RHCn[:, 0].sum((0, -1))
    dweight += sum_products(dout_RHCn, read.view(R, halves, -1, n)).view(dweight.shape)


# --- autograd and shapes for torch.compile ---


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.dilation, _ = inputs
    _, *kept = output
    keep_for_backward(ctx, tensors, kept)


def _gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
    x, w_in, b_in, w_out, b_out, mask, *kept = ctx.saved_tensors
    given = x, w_in, b_in, w_out, b_out, mask, ctx.dilation, kept
    *others, db_out = full_conv_backward(defined(gradients[0], x), *given)
    return *others, gradient_if(db_out, b_out), None, None, None


def _fake(x: Tensor, w_in: Tensor, *others: Any) -> list[Tensor]:
    *_, dilation, keep = others
    return [fake(x), *(Hidden.empty(x, w_in, dilation) if keep else ())]


full_conv_keeping.register_autograd(_gradients, setup_context=_save)
full_conv_keeping.register_fake(_fake)
full_conv_backward.register_fake(lambda dy, *given: fakes(*given[:5]))
