"""Kernels that hold all channels of some positions: products of a block, and all that lies between
two of them, which then never goes to memory.

A program takes `BLOCK` positions of one row. Matrices are (halves, out, in), padded with zeros to
powers of two on chip; sums are float32 or wider, one for every piece of positions, added up later:
atomic adds would depend on timing. The trap: weights come with the norm's scale and the
butterflies' 1 / sqrt 2 folded in.
"""

import triton
import triton.language as tl

from orchid_genomics.ops.triton.block_kernels import _fly, _glu_backward, _normal, _stride
from orchid_genomics.ops.triton.machine import interpreted

# The interpreter holds bfloat16 as integers, and multiplies those.
WIDEN = tl.constexpr(interpreted())


@triton.jit
def _rows(pointer, row, rows, t, L):
    """Rows below `rows` at positions t below L, zero elsewhere."""
    inside = (row[:, None] < rows) & (t[None, :] < L)
    return tl.load(pointer + row[:, None].to(tl.int64) * L + t[None, :], mask=inside, other=0.0)


@triton.jit
def _store(pointer, row, rows, t, L, value):
    inside = (row[:, None] < rows) & (t[None, :] < L)
    tl.store(pointer + row[:, None].to(tl.int64) * L + t[None, :], value, mask=inside)


@triton.jit
def _matrix(pointer, row, rows, column, columns):
    """A piece of a matrix (rows, columns), zero outside."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    return tl.load(pointer + row[:, None] * columns + column[None, :], mask=inside, other=0.0)


@triton.jit
def _times(matrix, x, like):
    """Their product, in the wide type of `like`."""
    if WIDEN:
        matrix, x = matrix.to(like.dtype.element_ty), x.to(like.dtype.element_ty)
    return tl.dot(matrix, x, input_precision="ieee", out_dtype=like.dtype.element_ty)


@triton.jit
def _hidden(
    w_in, b_in, even, odd, scale, h, H, i, I, HALVES: tl.constexpr, BIAS: tl.constexpr
):  # fmt: skip
    """Value and gate of hidden channels h, and those of their pairs, in the paired basis, of x
    before its norm and the norm's scale.
    """
    # W (x rms) = (W x) rms: so x is rounded as the gradients of the weights read it.
    value = _times(_matrix(w_in, h, H, i, I), even, b_in) * scale
    gate = _times(_matrix(w_in + H * I, h, H, i, I), even, b_in) * scale
    if BIAS:
        value += tl.load(b_in + h, mask=h < H, other=0.0)[:, None]
        gate += tl.load(b_in + H + h, mask=h < H, other=0.0)[:, None]
    value_odd, gate_odd = value, gate
    if HALVES == 2:
        value_odd = _times(_matrix(w_in + 2 * H * I, h, H, i, I), odd, b_in) * scale
        gate_odd = _times(_matrix(w_in + 3 * H * I, h, H, i, I), odd, b_in) * scale
    value, value_pair = _fly(value, value_odd, HALVES)
    gate, gate_pair = _fly(gate, gate_odd, HALVES)
    return value, value_pair, gate, gate_pair


@triton.jit
def mlp_kernel(
    x, w_in, b_in, w_out, b_out, y, I, H, L,
    HALVES: tl.constexpr, BIAS: tl.constexpr, BIAS_OUT: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y = x + W_out fly(value GELU(gate)) of x (B, halves I, L); WIDTH is I as a power of two."""
    t, i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    row = tl.program_id(1) * HALVES * _stride(I, L)
    even = _rows(x + row, i, I, t, L).to(b_in.dtype.element_ty)
    total = tl.sum(even * even, 0)
    even = even.to(w_in.dtype.element_ty)
    odd = even
    if HALVES == 2:
        odd = _rows(x + row + _stride(I, L), i, I, t, L).to(b_in.dtype.element_ty)
        total += tl.sum(odd * odd, 0)
        odd = odd.to(w_in.dtype.element_ty)
    scale = (1 / tl.sqrt(total / (HALVES * I) + EPS))[None, :]
    out = tl.zeros((WIDTH, BLOCK), b_in.dtype.element_ty)
    out_odd = tl.zeros((WIDTH, BLOCK), b_in.dtype.element_ty)
    for first in range(0, H, HIDDEN):
        h = first + tl.arange(0, HIDDEN)
        value, value_pair, gate, gate_pair = _hidden(
            w_in, b_in, even, odd, scale, h, H, i, I, HALVES, BIAS
        )
        u, u_odd = _fly(
            value * gate * _normal(gate), value_pair * gate_pair * _normal(gate_pair), HALVES
        )
        out += _times(_matrix(w_out, i, I, h, H), u.to(w_out.dtype.element_ty), b_in)
        if HALVES == 2:
            odd_matrix = _matrix(w_out + I * H, i, I, h, H)
            out_odd += _times(odd_matrix, u_odd.to(w_out.dtype.element_ty), b_in)
    if BIAS_OUT:
        out += tl.load(b_out + i, mask=i < I, other=0.0)[:, None]
    x, y = x + row, y + row
    _store(y, i, I, t, L, out + _rows(x, i, I, t, L).to(b_in.dtype.element_ty))
    if HALVES == 2:
        out_odd += _rows(x + _stride(I, L), i, I, t, L).to(b_in.dtype.element_ty)
        _store(y + _stride(I, L), i, I, t, L, out_odd)


@triton.jit
def mlp_backward_kernel(
    dy, x, w_in, b_in, w_out, rms, narrow, dout, u, dP, sums, I, H, L,
    HALVES: tl.constexpr, BIAS: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What the gradients are products of: u, dP times rms, x (`narrow`) and dy (`dout`) as
    activations, rms; and every piece's sums for b_in (2 H) and b_out (I).

    A program takes one piece of the hidden channels: all of them would leave a processor too few
    programs to wait for.
    """
    parts = tl.cdiv(H, HIDDEN)
    place, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    t, i = place * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    h, b = part * HIDDEN + tl.arange(0, HIDDEN), tl.program_id(1).to(tl.int64)
    row, hidden_row, far = b * HALVES * I * L, b * HALVES * H * L, _stride(I, L)
    x, dy, narrow, dout = x + row, dy + row, narrow + row, dout + row
    u, dP, next = u + hidden_row, dP + 2 * hidden_row, _stride(H, L)
    sums += (b * tl.cdiv(L, BLOCK) + place) * (2 * H + I)
    even = _rows(x, i, I, t, L).to(sums.dtype.element_ty)
    total = tl.sum(even * even, 0)
    even = even.to(w_in.dtype.element_ty)
    d = _rows(dy, i, I, t, L)
    odd = even
    if part == 0:
        tl.store(sums + 2 * H + i, tl.sum(d.to(sums.dtype.element_ty), 1), mask=i < I)
        _store(narrow, i, I, t, L, even)
        _store(dout, i, I, t, L, d)
    d = d.to(w_out.dtype.element_ty)
    d_odd = d
    if HALVES == 2:
        odd = _rows(x + far, i, I, t, L).to(sums.dtype.element_ty)
        total += tl.sum(odd * odd, 0)
        odd = odd.to(w_in.dtype.element_ty)
        d_odd = _rows(dy + far, i, I, t, L).to(w_out.dtype.element_ty)
        if part == 0:
            _store(narrow + far, i, I, t, L, odd)
            _store(dout + far, i, I, t, L, d_odd)
    scale = 1 / tl.sqrt(total / (HALVES * I) + EPS)
    if part == 0:
        tl.store(rms + b * L + t, scale, mask=t < L)
    scale = scale[None, :]
    value, value_pair, gate, gate_pair = _hidden(
        w_in, b_in, even, odd, scale, h, H, i, I, HALVES, BIAS
    )
    du = _times(tl.trans(_matrix(w_out, i, I, h, H)), d, sums)
    du_odd = du
    if HALVES == 2:
        du_odd = _times(tl.trans(_matrix(w_out + I * H, i, I, h, H)), d_odd, sums)
    du, du_pair = _fly(du, du_odd, HALVES)
    a, dvalue, dgate = _glu_backward(du, value, gate)
    o, dvalue_pair, dgate_pair = _glu_backward(du_pair, value_pair, gate_pair)
    a, o = _fly(a, o, HALVES)
    dvalue, dvalue_odd = _fly(dvalue, dvalue_pair, HALVES)
    dgate, dgate_odd = _fly(dgate, dgate_pair, HALVES)
    if BIAS:
        tl.store(sums + h, tl.sum(dvalue, 1), mask=h < H)
        tl.store(sums + H + h, tl.sum(dgate, 1), mask=h < H)
    _store(u, h, H, t, L, a)
    _store(dP, h, H, t, L, dvalue * scale)
    _store(dP + next, h, H, t, L, dgate * scale)
    if HALVES == 2:
        _store(u + next, h, H, t, L, o)
        _store(dP + 2 * next, h, H, t, L, dvalue_odd * scale)
        _store(dP + 3 * next, h, H, t, L, dgate_odd * scale)


@triton.jit
def enter_product_kernel(
    x, weight, P, rms, narrow, I, O, L,
    HALVES: tl.constexpr, NARROW: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """P = W x (B, halves O, L) of x before its norm, and rms (B, L), one over its root mean square;
    x as activations beside them.
    """
    t, i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    b = tl.program_id(1).to(tl.int64)
    x, P, row = x + b * HALVES * I * L, P + b * HALVES * O * L, b * HALVES * I * L
    even = _rows(x, i, I, t, L).to(rms.dtype.element_ty)
    total = tl.sum(even * even, 0)
    even = even.to(weight.dtype.element_ty)
    odd = even
    if NARROW:
        _store(narrow + row, i, I, t, L, even)
    if HALVES == 2:
        odd = _rows(x + _stride(I, L), i, I, t, L).to(rms.dtype.element_ty)
        total += tl.sum(odd * odd, 0)
        odd = odd.to(weight.dtype.element_ty)
        if NARROW:
            _store(narrow + row + _stride(I, L), i, I, t, L, odd)
    tl.store(rms + b * L + t, 1 / tl.sqrt(total / (HALVES * I) + EPS), mask=t < L)
    for first in range(0, O, HIDDEN):
        o = first + tl.arange(0, HIDDEN)
        _store(P, o, O, t, L, _times(_matrix(weight, o, O, i, I), even, rms))
        if HALVES == 2:
            product = _times(_matrix(weight + O * I, o, O, i, I), odd, rms)
            _store(P + _stride(O, L), o, O, t, L, product)


@triton.jit
def enter_product_backward_kernel(
    dP, weight, x, rms, residual, dx, I, O, L,
    HALVES: tl.constexpr, RESIDUAL: tl.constexpr,
    WIDTH: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dx = e - x rms^2 mean(e x) with e = W^T dP, dP being times rms already; the residual's on
    top.
    """
    t, i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    b = tl.program_id(1).to(tl.int64)
    row, far = b * HALVES * I * L, _stride(I, L)
    x, dx, dP = x + row, dx + row, dP + b * HALVES * O * L
    even = tl.zeros((WIDTH, BLOCK), rms.dtype.element_ty)
    odd = tl.zeros((WIDTH, BLOCK), rms.dtype.element_ty)
    for first in range(0, O, HIDDEN):
        o = first + tl.arange(0, HIDDEN)
        even += _times(tl.trans(_matrix(weight, o, O, i, I)), _rows(dP, o, O, t, L), rms)
        if HALVES == 2:
            d = _rows(dP + _stride(O, L), o, O, t, L)
            odd += _times(tl.trans(_matrix(weight + O * I, o, O, i, I)), d, rms)
    x_even = _rows(x, i, I, t, L).to(rms.dtype.element_ty)
    share = tl.sum(even * x_even, 0)
    x_odd = x_even
    if HALVES == 2:
        x_odd = _rows(x + far, i, I, t, L).to(rms.dtype.element_ty)
        share += tl.sum(odd * x_odd, 0)
    scale = tl.load(rms + b * L + t, mask=t < L, other=0.0)
    share = (share * scale * scale / (HALVES * I))[None, :]
    even, odd = even - x_even * share, odd - x_odd * share
    if RESIDUAL:
        even += _rows(residual + row, i, I, t, L).to(rms.dtype.element_ty)
    _store(dx, i, I, t, L, even)
    if HALVES == 2:
        if RESIDUAL:
            odd += _rows(residual + row + far, i, I, t, L).to(rms.dtype.element_ty)
        _store(dx + far, i, I, t, L, odd)


@triton.jit
def _gated(y, z, s2, skip, i, I, t, L, like):
    """z, s2, and y + skip z of one half, wide."""
    value = _rows(z, i, I, t, L).to(like.dtype.element_ty)
    gate = _rows(s2, i, I, t, L).to(like.dtype.element_ty)
    factor = tl.load(skip + i, mask=i < I, other=0.0).to(like.dtype.element_ty)
    total = _rows(y, i, I, t, L).to(like.dtype.element_ty) + factor[:, None] * value
    return value, gate, total, factor


@triton.jit
def leave_product_kernel(
    x, y, z, s2, skip, weight, bias, out, I, L,
    HALVES: tl.constexpr, BIAS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = x + W fly((y + skip z) s2); skip as wide as the sums."""
    t, i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    row, far = tl.program_id(1) * HALVES * _stride(I, L), _stride(I, L)
    x, y, z, s2, out = x + row, y + row, z + row, s2 + row, out + row
    _, gate, total, _ = _gated(y, z, s2, skip, i, I, t, L, skip)
    u = total * gate
    u_odd = u
    if HALVES == 2:
        _, gate, total, _ = _gated(y + far, z + far, s2 + far, skip + I, i, I, t, L, skip)
        u_odd = total * gate
    u, u_odd = _fly(u, u_odd, HALVES)
    even = _times(_matrix(weight, i, I, i, I), u.to(weight.dtype.element_ty), skip)
    if BIAS:
        even += tl.load(bias + i, mask=i < I, other=0.0).to(skip.dtype.element_ty)[:, None]
    even += _rows(x, i, I, t, L).to(skip.dtype.element_ty)
    _store(out, i, I, t, L, even)
    if HALVES == 2:
        odd = _times(_matrix(weight + I * I, i, I, i, I), u_odd.to(weight.dtype.element_ty), skip)
        odd += _rows(x + far, i, I, t, L).to(skip.dtype.element_ty)
        _store(out + far, i, I, t, L, odd)


@triton.jit
def _gated_backward(
    du, y, z, s2, skip, dy, dz, ds2, sums, i, I, t, L
):  # fmt: skip
    """Write the gradients of one half, and its sums for skip; what u was made of."""
    value, gate, total, factor = _gated(y, z, s2, skip, i, I, t, L, skip)
    _store(ds2, i, I, t, L, du * total)
    dtotal = du * gate
    _store(dy, i, I, t, L, dtotal)
    _store(dz, i, I, t, L, dtotal * factor[:, None])
    # Nothing beyond the end: z is zero there.
    tl.store(sums + i, tl.sum(dtotal * value, 1), mask=i < I)
    return total * gate


@triton.jit
def leave_product_backward_kernel(
    dout, y, z, s2, skip, weight, dy, dz, ds2, narrow, u, sums, I, L,
    HALVES: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of y, z and s2; dout as activations and u, whose product is the weights' gradient;
    every piece's sums for skip (halves I) and bias (I).
    """
    t, i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, WIDTH)
    b = tl.program_id(1).to(tl.int64)
    row, far = b * HALVES * I * L, _stride(I, L)
    dout, y, z, s2, u = dout + row, y + row, z + row, s2 + row, u + row
    dy, dz, ds2, narrow = dy + row, dz + row, ds2 + row, narrow + row
    sums += (b * tl.num_programs(0) + tl.program_id(0)) * (HALVES + 1) * I
    d = _rows(dout, i, I, t, L)
    tl.store(sums + HALVES * I + i, tl.sum(d.to(sums.dtype.element_ty), 1), mask=i < I)
    d = d.to(weight.dtype.element_ty)
    _store(narrow, i, I, t, L, d)
    du = _times(tl.trans(_matrix(weight, i, I, i, I)), d, sums)
    du_odd = du
    if HALVES == 2:
        d = _rows(dout + far, i, I, t, L).to(weight.dtype.element_ty)
        _store(narrow + far, i, I, t, L, d)
        du_odd = _times(tl.trans(_matrix(weight + I * I, i, I, i, I)), d, sums)
    du, du_pair = _fly(du, du_odd, HALVES)
    a = _gated_backward(du, y, z, s2, skip, dy, dz, ds2, sums, i, I, t, L)
    o = a
    if HALVES == 2:
        y, z, s2, dy, dz, ds2 = y + far, z + far, s2 + far, dy + far, dz + far, ds2 + far
        o = _gated_backward(du_pair, y, z, s2, skip + I, dy, dz, ds2, sums + I, i, I, t, L)
    a, o = _fly(a, o, HALVES)
    _store(u, i, I, t, L, a)
    if HALVES == 2:
        _store(u + far, i, I, t, L, o)
