"""Everything of a block that is not a long convolution, fused by hand: norm, products, butterflies, gates, short taps.

Three functions with their own backward pass: `enter` (norm, Linear D -> 3D, short convolution, gate: gives z, v, s2),
`leave` (skip, second gate, Linear, residual) and `gated_mlp` (norm, GLU, residual). Each takes positions in cache-sized
chunks, keeps only its inputs and computes the rest again. `model.orchid` holds the same layers written plainly; the
tests hold the two equal. The trap: `weight` comes with the norm's scale and the butterflies' 1 / sqrt 2 folded in.

Shapes: weights (G, parts * O, I), G = halves * blocks; bias (parts * O * blocks) of half 0; x (B, D, L).
"""

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import each, pieces, wrapped

EPS = 1e-6


def _halves(x: Tensor, halves: int) -> Tensor:
    """(halves * rest, n) -> (halves, rest, n)."""
    return x.reshape(halves, -1, x.shape[-1])


def _fly(x_HRn: Tensor) -> Tensor:
    """The butterfly without its 1 / sqrt 2 over dim 0 (two halves); one half stays as it is."""
    if x_HRn.shape[0] == 1:
        return x_HRn
    out = torch.empty_like(x_HRn)
    torch.add(x_HRn[0], x_HRn[1], out=out[0])
    torch.sub(x_HRn[0], x_HRn[1], out=out[1])
    return out


def _flown(out_GOn: Tensor, halves: int, parts: int) -> Tensor:
    """Products in the paired basis, part by part: (parts, halves, channels, n), contiguous for the calls to come."""
    G, O, n = out_GOn.shape
    by_part = out_GOn.view(halves, G // halves, parts, O // parts, n)
    if halves == 1:
        return by_part[0].transpose(0, 1).reshape(parts, 1, -1, n)
    paired = torch.empty(parts, 2, G // 2, O // parts, n, dtype=out_GOn.dtype, device=out_GOn.device)
    for part in range(parts):
        torch.add(by_part[0, :, part], by_part[1, :, part], out=paired[part, 0])
        torch.sub(by_part[0, :, part], by_part[1, :, part], out=paired[part, 1])
    return paired.view(parts, 2, -1, n)


def _unflown(d_PHCn: Tensor, G: int) -> Tensor:
    """The way back for gradients: (parts, halves, channels, n) -> (G, parts * O, n)."""
    parts, halves, _, n = d_PHCn.shape
    by_part = d_PHCn.view(parts, halves, G // halves, -1, n)
    out = torch.empty(halves, G // halves, parts, by_part.shape[3], n, dtype=d_PHCn.dtype, device=d_PHCn.device)
    for part in range(parts):
        if halves == 1:
            out[0, :, part] = by_part[part, 0]
        else:
            torch.add(by_part[part, 0], by_part[part, 1], out=out[0, :, part])
            torch.sub(by_part[part, 0], by_part[part, 1], out=out[1, :, part])
    return out.view(G, -1, n)


def _normed(x_Dn: Tensor) -> tuple[Tensor, Tensor]:
    rms = (x_Dn * x_Dn).sum(0).div_(x_Dn.shape[0]).add_(EPS).rsqrt_()
    return x_Dn * rms, rms


def _normed_backward(dn_Dn: Tensor, n_Dn: Tensor, rms: Tensor) -> Tensor:
    share = (dn_Dn * n_Dn).sum(0).div_(n_Dn.shape[0])
    return dn_Dn.addcmul_(n_Dn, share, value=-1).mul_(rms)


def _product(weight: Tensor, bias: Tensor | None, x_Dn: Tensor) -> Tensor:
    """(G, O, n) of weight (G, O, I) and x (G * I, n); bias on the first half."""
    out = torch.bmm(weight, x_Dn.reshape(weight.shape[0], weight.shape[2], -1))
    if bias is not None:
        blocks = bias.numel() // weight.shape[1]
        out[:blocks] += bias.view(blocks, -1, 1)
    return out


def _unproduct(dout_GOn: Tensor, weight: Tensor, x_Dn: Tensor, dweight: Tensor, dbias: Tensor | None) -> Tensor:
    """The gradient of x from that of the product; those of weight and bias are added to what is given."""
    if dbias is not None:
        blocks = dbias.numel() // weight.shape[1]
        dbias += dout_GOn[:blocks].sum(-1).view(-1)
    dweight.baddbmm_(dout_GOn, x_Dn.reshape(weight.shape[0], weight.shape[2], -1).transpose(1, 2))
    return torch.bmm(weight.transpose(1, 2), dout_GOn).view(x_Dn.shape)


def _like(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else torch.zeros_like(t, memory_format=torch.contiguous_format) for t in tensors]


def _summed(partial: list[list[Tensor | None]]) -> list[Tensor]:
    """Partial sums of the workers, added in their order; a missing bias is an empty tensor."""
    return [torch.zeros(0) if group[0] is None else sum(group[1:], group[0]) for group in zip(*partial, strict=True)]


# --- gated MLP ----------------------------------------------------------------------------------------------------


@torch.library.custom_op("orchid::gated_mlp", mutates_args=())
def gated_mlp(
    x_BDL: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, halves: int
) -> Tensor:
    """x + W_out fly(value GELU(gate)), with (value, gate) = fly(W_in norm(x)); (B, D, L)."""
    y_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)

    def work(piece: tuple[int, int, int], _: None) -> None:
        row, first, last = piece
        x = x_BDL[row, :, first:last]
        value, gate = _flown(_product(w_in, b_in, _normed(x)[0]), halves, 2)
        u = torch.nn.functional.gelu(gate).mul_(value)
        out = _product(w_out, b_out, _fly(u).view(-1, last - first))
        torch.add(x, out.view(x.shape), out=y_BDL[row, :, first:last])

    each(pieces(x_BDL), work, x_BDL.device, lambda: None)
    return y_BDL


@torch.library.custom_op("orchid::gated_mlp_backward", mutates_args=())
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

    def work(piece: tuple[int, int, int], sums: list) -> None:
        row, first, last = piece
        x, dy = x_BDL[row, :, first:last], dy_BDL[row, :, first:last]
        normed, rms = _normed(x)
        value, gate = _flown(_product(w_in, b_in, normed), halves, 2)
        active = torch.nn.functional.gelu(gate)
        dout = dy.reshape(w_out.shape[0], w_out.shape[1], -1)
        du = _unproduct(dout, w_out, _fly(value * active).view(-1, last - first), sums[2], sums[3])
        du = _fly(_halves(du, halves))
        dpair = torch.empty(2, *value.shape, dtype=x.dtype, device=x.device)
        torch.mul(du, active, out=dpair[0])
        torch.ops.aten.gelu_backward.grad_input(du.mul_(value), gate, grad_input=dpair[1])
        din = _unflown(dpair, w_in.shape[0])
        dnormed = _unproduct(din, w_in, normed, sums[0], sums[1])
        torch.add(dy, _normed_backward(dnormed, normed, rms), out=dx_BDL[row, :, first:last])

    partial = each(pieces(x_BDL), work, x_BDL.device, lambda: _like(w_in, b_in, w_out, b_out))
    return [dx_BDL, *_summed(partial)]


# --- into the long convolution ------------------------------------------------------------------------------------


@torch.library.custom_op("orchid::enter", mutates_args=())
def enter(
    x_BDL: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, mask_BL: Tensor | None, halves: int
) -> list[Tensor]:
    """z = v s1, v and s2 (B, D, L) from short_conv(fly(W norm(x))); taps (3, halves, C, K), v zero where masked."""
    B, D, L = x_BDL.shape
    k = taps.shape[-1] // 2
    outs = [torch.empty(B, halves, D // halves, L, dtype=x_BDL.dtype, device=x_BDL.device) for _ in range(3)]

    def work(piece: tuple[int, int, int], _: None) -> None:
        row, first, last = piece
        _, _, h = _entered(x_BDL, weight, bias, mask_BL, halves, (row, first - k, last + k))
        z, v, s2 = (out[row, :, :, first:last] for out in outs)
        s1 = _convolved(h[0], taps[0])
        _convolved(h[1], taps[1], out=s2)
        _convolved(h[2], taps[2], out=v)
        if mask_BL is not None:
            v *= mask_BL[row, first:last]
        torch.mul(v, s1, out=z)

    each(pieces(x_BDL), work, x_BDL.device, lambda: None)
    return [out.view(B, D, L) for out in outs]


def _entered(
    x_BDL: Tensor, weight: Tensor, bias: Tensor | None, mask_BL: Tensor | None, halves: int, piece: tuple[int, int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Normed x (D, n), its scale (n) and the masked products in the paired basis (3, halves, C, n)."""
    row, first, last = piece
    normed, rms = _normed(wrapped(x_BDL[row], first, last))
    h = _flown(_product(weight, bias, normed), halves, 3)
    if mask_BL is not None:
        h *= wrapped(mask_BL[row], first, last)
    return normed, rms, h


def _convolved(h: Tensor, taps: Tensor, out: Tensor | None = None) -> Tensor:
    """Centred taps (..., C, K) over h (..., C, n + 2 (K // 2)): y[t] = sum of taps[j] h[t - (j - K // 2)]."""
    k = taps.shape[-1] // 2
    n = h.shape[-1] - 2 * k
    y = torch.mul(h[..., k : k + n], taps[..., k, None], out=out)
    for j in range(taps.shape[-1]):
        if j != k:
            y.addcmul_(h[..., 2 * k - j : 2 * k - j + n], taps[..., j, None])
    return y


@torch.library.custom_op("orchid::enter_backward", mutates_args=())
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
    """Gradients of x, weight, bias and taps; a chunk computes 2 (K // 2) neighbours on each side again."""
    D, K = x_BDL.shape[1], taps.shape[-1]
    k = K // 2
    dx_BDL = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    reverse = taps.flip(-1)

    def work(piece: tuple[int, int, int], sums: list) -> None:
        row, first, last = piece
        n = last - first
        normed, rms, h = _entered(x_BDL, weight, bias, mask_BL, halves, (row, first - 2 * k, last + 2 * k))
        s1, v = _convolved(h[0], taps[0]), _convolved(h[2], taps[2])
        dz, dv, ds2 = (_halves(wrapped(d[row], first - k, last + k), halves) for d in (dz_BDL, dv_BDL, ds2_BDL))
        dc = torch.empty(3, halves, D // halves, n + 2 * k, dtype=v.dtype, device=v.device)
        torch.addcmul(dv, dz, s1, out=dc[2])
        dc[1] = ds2
        if mask_BL is not None:
            mask = wrapped(mask_BL[row], first - k, last + k)
            dc[2] *= mask
            v = v * mask
        torch.mul(dz, v, out=dc[0])
        centre = dc[..., k : k + n]
        for j in range(K):
            sums[2][..., j] += (centre * h[..., 3 * k - j : 3 * k - j + n]).sum(-1)
        dh = _convolved(dc, reverse)
        if mask_BL is not None:
            dh *= mask_BL[row, first:last]
        din = _unflown(dh, weight.shape[0])
        inner = normed[:, 2 * k : 2 * k + n]
        dnormed = _unproduct(din, weight, inner, sums[0], sums[1])
        dx_BDL[row, :, first:last] = _normed_backward(dnormed, inner, rms[2 * k : 2 * k + n])

    partial = each(pieces(x_BDL), work, x_BDL.device, lambda: _like(weight, bias, taps))
    return [dx_BDL, *_summed(partial)]


# --- out of the long convolution ----------------------------------------------------------------------------------


@torch.library.custom_op("orchid::leave", mutates_args=())
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

    def work(piece: tuple[int, int, int], _: None) -> None:
        row, first, last = piece
        x, y, z, s2 = (t[row, :, first:last] for t in (x_BDL, y_BDL, z_BDL, s2_BDL))
        u = torch.addcmul(y, z, skip[:, None]).mul_(s2)
        out = _product(weight, bias, _fly(_halves(u, halves)).view(u.shape))
        torch.add(x, out.view(x.shape), out=out_BDL[row, :, first:last])

    each(pieces(x_BDL), work, x_BDL.device, lambda: None)
    return out_BDL


@torch.library.custom_op("orchid::leave_backward", mutates_args=())
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

    def work(piece: tuple[int, int, int], sums: list) -> None:
        row, first, last = piece
        dout, y, z, s2 = (t[row, :, first:last] for t in (dout_BDL, y_BDL, z_BDL, s2_BDL))
        dy, dz, ds2 = (out[row, :, first:last] for out in outs)
        t = torch.addcmul(y, z, skip[:, None])
        u = _fly(_halves(t * s2, halves)).view(t.shape)
        du = _unproduct(dout.reshape(weight.shape[0], weight.shape[1], -1), weight, u, sums[1], sums[2])
        du = _fly(_halves(du, halves)).view(t.shape)
        torch.mul(du, t, out=ds2)
        torch.mul(du, s2, out=dy)
        torch.mul(dy, skip[:, None], out=dz)
        sums[0].add_((dy * z).sum(-1))

    partial = each(pieces(y_BDL), work, y_BDL.device, lambda: _like(skip, weight, bias))
    return [*outs, *_summed(partial)]


# --- autograd and shapes for torch.compile ------------------------------------------------------------------------


def _some(gradient: Tensor, of: Tensor | None) -> Tensor | None:
    return None if of is None else gradient


def _keep_mlp(ctx, inputs, output) -> None:
    *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def _mlp_gradients(ctx, dy: Tensor):
    x, w_in, b_in, w_out, b_out = ctx.saved_tensors
    dx, dw_in, db_in, dw_out, db_out = gated_mlp_backward(dy, x, w_in, b_in, w_out, b_out, ctx.halves)
    return dx, dw_in, _some(db_in, b_in), dw_out, _some(db_out, b_out), None


def _enter_gradients(ctx, gradients: list[Tensor]):
    x, weight, bias, taps, mask = ctx.saved_tensors
    dx, dweight, dbias, dtaps = enter_backward(*gradients, x, weight, bias, taps, mask, ctx.halves)
    return dx, dweight, _some(dbias, bias), dtaps, None, None


def _keep_leave(ctx, inputs, output) -> None:
    _, *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def _leave_gradients(ctx, dout: Tensor):
    y, z, s2, skip, weight, bias = ctx.saved_tensors
    dy, dz, ds2, dskip, dweight, dbias = leave_backward(dout, y, z, s2, skip, weight, bias, ctx.halves)
    return dout, dy, dz, ds2, dskip, dweight, _some(dbias, bias), None


gated_mlp.register_autograd(_mlp_gradients, setup_context=_keep_mlp)
enter.register_autograd(_enter_gradients, setup_context=_keep_mlp)
leave.register_autograd(_leave_gradients, setup_context=_keep_leave)


def _shape(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _shapes(*tensors: Tensor | None) -> list[Tensor]:
    return [torch.empty(0) if t is None else _shape(t) for t in tensors]


gated_mlp.register_fake(lambda x, w_in, b_in, w_out, b_out, halves: _shape(x))
gated_mlp_backward.register_fake(lambda dy, x, *rest: _shapes(x, *rest[:-1]))
enter.register_fake(lambda x, *rest: _shapes(x, x, x))
enter_backward.register_fake(lambda dz, dv, ds2, x, weight, bias, taps, mask, halves: _shapes(x, weight, bias, taps))
leave.register_fake(lambda x, *rest: _shape(x))
leave_backward.register_fake(lambda dout, y, z, s2, *rest: _shapes(y, z, s2, *rest[:-1]))
