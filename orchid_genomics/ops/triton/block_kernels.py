"""Kernels around the products of a block: norm, butterflies, short taps, gates, skip and GELU.

Products P (B, rows, L), rows (half, block, part, channel) as `ops.products.fly_parts` reads them,
are of x before its norm: W (x rms) = (W x) rms, so the norm costs one number a position. All sums
are float32 or wider. The trap: short taps read neighbours around the circle, so no kernel with taps
writes over what it reads.
"""

import triton
import triton.language as tl


@triton.jit
def _read(pointer, at, inside, like):
    """Numbers in the wide type of `like`, zero outside."""
    return tl.load(pointer + at, mask=inside, other=0.0).to(like.dtype.element_ty)


@triton.jit
def _fly(a, b, HALVES: tl.constexpr):
    """The butterfly without its 1 / sqrt 2; one half stays as it is."""
    if HALVES == 2:
        return a + b, a - b
    else:
        return a, a


@triton.jit
def _stride(C, L):
    """From a channel to its pair, in numbers that do not overflow."""
    return tl.full((), C, tl.int64) * L


@triton.jit
def _around(at, L, NEAR: tl.constexpr):
    """Places on a circle of L; NEAR: none is further than once around, and no remainder is taken,
    which costs more than all else that a kernel with taps computes.
    """
    if NEAR:
        at = tl.where(at < 0, at + L, at)
        return tl.where(at >= L, at - L, at)
    else:
        at = at % L
        # The remainder of a negative number is negative here.
        return tl.where(at < 0, at + L, at)


@triton.jit
def _row(part, c, O, PARTS: tl.constexpr):
    """The row of P that holds a part of channel c in its first half."""
    return ((c // O * PARTS + part) * O + c % O).to(tl.int64)


@triton.jit
def _product(
    P,
    bias,
    rms,
    mask,
    row,
    far,
    t,
    L,
    inside,
    HALVES: tl.constexpr,
    BIAS: tl.constexpr,
    MASK: tl.constexpr,
):
    """One part of a channel and its pair at positions t, in the paired basis and masked; P, rms,
    mask of one b.
    """
    scale = tl.load(rms + t, mask=inside, other=0.0)
    even = _read(P, row * L + t, inside, rms) * scale
    # After the scale: the norm is of x, and the bias no part of it.
    if BIAS:
        even += tl.load(bias + row).to(rms.dtype.element_ty)
    odd = even
    if HALVES == 2:
        odd = _read(P, (row + far) * L + t, inside, rms) * scale
    even, odd = _fly(even, odd, HALVES)
    if MASK:
        m = _read(mask, t, inside, rms)
        even, odd = even * m, odd * m
    return even, odd


@triton.jit
def _convolve(
    P, bias, rms, mask, taps, row, far, second, t, L,
    HALVES: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr, MASK: tl.constexpr,
    NEAR: tl.constexpr,
):  # fmt: skip
    """The short convolution of one part at t < L: sum of taps[j] h[t - (j - K // 2)]; `second`
    leads to the pair's taps.
    """
    a, b = 0.0, 0.0
    for j in tl.static_range(K):
        at = _around(t + (K // 2 - j), L, NEAR)
        even, odd = _product(P, bias, rms, mask, row, far, at, L, at >= 0, HALVES, BIAS, MASK)
        a += even * tl.load(taps + j).to(rms.dtype.element_ty)
        b += odd * tl.load(taps + second + j).to(rms.dtype.element_ty)
    return a, b


@triton.jit
def rms_kernel(
    x,
    rms,
    narrow,
    D,
    L,
    EPS: tl.constexpr,
    NARROW: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """1 / sqrt(mean over channels of x^2 + EPS) at every position, rms (B, L); x in the products'
    type beside it.
    """
    # In 64 bits: b D L overflows 32.
    b = tl.program_id(1).to(tl.int64)
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), rms.dtype.element_ty)
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside = (d[:, None] < D) & (t[None, :] < L)
        at = (b * D + d[:, None]) * L + t[None, :]
        value = _read(x, at, inside, rms)
        total += tl.sum(value * value, 0)
        if NARROW:
            tl.store(narrow + at, value, mask=inside)
    tl.store(rms + b * L + t, 1 / tl.sqrt(total / D + EPS), mask=t < L)


@triton.jit
def norm_kernel(
    x, scale, y, D, L, EPS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """y = x over its root mean square, times a scale a channel, which is as wide as the sums."""
    b = tl.program_id(1).to(tl.int64)
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), scale.dtype.element_ty)
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        value = _read(x, at, inside, scale)
        total += tl.sum(value * value, 0)
    rms = (1 / tl.sqrt(total / D + EPS))[None, :]
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        factor = tl.load(scale + d, mask=d < D, other=0.0)[:, None]
        tl.store(y + at, _read(x, at, inside, scale) * rms * factor, mask=inside)


@triton.jit
def scaled_norm_backward_kernel(
    dy, x, scale, dx, dscale, D, L,
    EPS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dx of `norm_kernel`, and every piece's sums for the scale (pieces, D)."""
    b = tl.program_id(1).to(tl.int64)
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), scale.dtype.element_ty)
    share = tl.zeros((BLOCK,), scale.dtype.element_ty)
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        value = _read(x, at, inside, scale)
        factor = tl.load(scale + d, mask=d < D, other=0.0)[:, None]
        total += tl.sum(value * value, 0)
        share += tl.sum(_read(dy, at, inside, scale) * factor * value, 0)
    rms = 1 / tl.sqrt(total / D + EPS)
    share = (share * rms * rms / D)[None, :]
    dscale += (b * tl.num_programs(0) + tl.program_id(0)) * D
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        value, upstream = _read(x, at, inside, scale), _read(dy, at, inside, scale)
        factor = tl.load(scale + d, mask=d < D, other=0.0)[:, None]
        tl.store(dx + at, (upstream * factor - value * share) * rms[None, :], mask=inside)
        tl.store(dscale + d, tl.sum(upstream * value * rms[None, :], 1), mask=d < D)


@triton.jit
def norm_backward_kernel(
    e,
    x,
    rms,
    residual,
    dx,
    D,
    L,
    RESIDUAL: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """dx = e - x rms^2 mean(e x), e being the gradient of norm(x) times rms; the residual's on top.
    e may be dx.
    """
    b = tl.program_id(1).to(tl.int64)
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    share = tl.zeros((BLOCK,), rms.dtype.element_ty)
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        share += tl.sum(_read(e, at, inside, rms) * _read(x, at, inside, rms), 0)
    scale = _read(rms, b * L + t, t < L, rms)
    share *= scale * scale / D
    # A second pass: the mean over all channels must be whole before any is written.
    for first in range(0, D, CHANNELS):
        d = first + tl.arange(0, CHANNELS)
        inside, at = (d[:, None] < D) & (t[None, :] < L), (b * D + d[:, None]) * L + t[None, :]
        value = _read(e, at, inside, rms) - _read(x, at, inside, rms) * share[None, :]
        if RESIDUAL:
            value += _read(residual, at, inside, rms)
        tl.store(dx + at, value, mask=inside)


@triton.jit
def enter_kernel(
    P, bias, rms, mask, taps, z, v, s2, C, O, L,
    HALVES: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr, MASK: tl.constexpr,
    NEAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """z = v s1, v (masked) and s2 from the three parts' short convolutions."""
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, rows = t < L, 3 * C
    P, rms, mask, second = (
        P + b * rows * HALVES * L,
        rms + b * L,
        mask + b * L,
        C * K * (HALVES - 1),
    )
    at, step = (b * HALVES * C + c) * L + t, _stride(C, L)
    # Places beyond the end are read as the last, and never written.
    t = tl.minimum(t, L - 1)
    for part in tl.static_range(3):
        row, w = _row(part, c, O, 3), taps + (part * HALVES * C + c) * K
        a, o = _convolve(
            P, bias, rms, mask, w, row, rows, second, t, L, HALVES, K, BIAS, MASK, NEAR
        )
        if part == 0:
            s1, s1_pair = a, o
        elif part == 1:
            tl.store(s2 + at, a, mask=inside)
            if HALVES == 2:
                tl.store(s2 + at + step, o, mask=inside)
        else:
            # Short taps carry letters into the padding beside them.
            if MASK:
                m = _read(mask, t, inside, rms)
                a, o = a * m, o * m
            tl.store(v + at, a, mask=inside)
            tl.store(z + at, a * s1, mask=inside)
            if HALVES == 2:
                tl.store(v + at + step, o, mask=inside)
                tl.store(z + at + step, o * s1_pair, mask=inside)


@triton.jit
def gates_backward_kernel(
    dz, dv, P, bias, rms, mask, taps, dgate, dvalue, C, O, L,
    HALVES: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr, MASK: tl.constexpr,
    NEAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradients of the short convolutions of s1 (dgate) and v (dvalue), for z = v s1.

    Apart from `enter_backward_kernel`, each of whose taps would otherwise make them again.
    """
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, rows, second = t < L, 3 * C, C * K * (HALVES - 1)
    at, step = (b * HALVES * C + c) * L + t, _stride(C, L) * (HALVES - 1)
    P, rms, mask = P + b * rows * HALVES * L, rms + b * L, mask + b * L
    t = tl.minimum(t, L - 1)
    w = taps + c * K
    s1, s1_pair = _convolve(
        P, bias, rms, mask, w, _row(0, c, O, 3), rows, second, t, L, HALVES, K, BIAS, MASK, NEAR
    )
    w = taps + (2 * HALVES * C + c) * K
    v, v_pair = _convolve(
        P, bias, rms, mask, w, _row(2, c, O, 3), rows, second, t, L, HALVES, K, BIAS, MASK, NEAR
    )
    d, d_pair = _read(dz, at, inside, rms), _read(dz, at + step, inside, rms)
    if MASK:
        m = _read(mask, t, inside, rms)
        d, d_pair = d * m, d_pair * m
    else:
        m = 1.0
    tl.store(dgate + at, d * v, mask=inside)
    tl.store(dvalue + at, d * s1 + _read(dv, at, inside, rms) * m, mask=inside)
    if HALVES == 2:
        tl.store(dgate + at + step, d_pair * v_pair, mask=inside)
        other = d_pair * s1_pair + _read(dv, at + step, inside, rms) * m
        tl.store(dvalue + at + step, other, mask=inside)


@triton.jit
def enter_backward_kernel(
    dgate, ds2, dvalue, P, bias, rms, mask, taps, dP, dtaps, dbias, C, O, L,
    HALVES: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr, MASK: tl.constexpr,
    NEAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dP times rms, and every piece's sums for taps (pieces, 3, halves, C, K) and bias (pieces, 3
    C), from the gradients of the three short convolutions.
    """
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, rows, piece = t < L, 3 * C, b * tl.num_programs(0) + tl.program_id(0)
    upstream, step = (b * HALVES * C + c) * L, _stride(C, L) * (HALVES - 1)
    P, dP, rms, mask = (
        P + b * rows * HALVES * L,
        dP + b * rows * HALVES * L,
        rms + b * L,
        mask + b * L,
    )
    place, t = t, tl.minimum(t, L - 1)
    scale = _read(rms, t, inside, rms)
    for part in tl.static_range(3):
        row, w = _row(part, c, O, 3), taps + (part * HALVES * C + c) * K
        d = dgate if part == 0 else (ds2 if part == 1 else dvalue)
        h, h_pair = _product(P, bias, rms, mask, row, rows, t, L, inside, HALVES, BIAS, MASK)
        even, odd = 0.0, 0.0
        for j in tl.static_range(K):
            at = upstream + _around(t + (j - K // 2), L, NEAR)
            da, do = _read(d, at, inside, rms), _read(d, at + step, inside, rms)
            even += da * tl.load(w + j).to(rms.dtype.element_ty)
            odd += do * tl.load(w + C * K * (HALVES - 1) + j).to(rms.dtype.element_ty)
            # h[t] meets what lies j - K // 2 ahead; nothing beyond the end was read.
            out = dtaps + ((piece * 3 + part) * HALVES * C + c) * K + j
            tl.store(out, tl.sum(da * h, 0))
            if HALVES == 2:
                tl.store(out + C * K, tl.sum(do * h_pair, 0))
        if MASK:
            m = _read(mask, t, inside, rms)
            even, odd = even * m, odd * m
        even, odd = _fly(even, odd, HALVES)
        if BIAS:
            tl.store(dbias + piece * rows + row, tl.sum(even, 0))
        tl.store(dP + row * L + place, even * scale, mask=inside)
        if HALVES == 2:
            tl.store(dP + (row + rows) * L + place, odd * scale, mask=inside)


@triton.jit
def leave_kernel(y, z, s2, skip, u, C, L, HALVES: tl.constexpr, BLOCK: tl.constexpr):
    """u = fly((y + skip z) s2)."""
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, at, step = t < L, (b * HALVES * C + c) * L + t, _stride(C, L) * (HALVES - 1)
    first, second = tl.load(skip + c), tl.load(skip + c + C * (HALVES - 1))
    a = (_read(y, at, inside, skip) + first * _read(z, at, inside, skip)) * _read(
        s2, at, inside, skip
    )
    o = _read(y, at + step, inside, skip) + second * _read(z, at + step, inside, skip)
    a, o = _fly(a, o * _read(s2, at + step, inside, skip), HALVES)
    tl.store(u + at, a, mask=inside)
    if HALVES == 2:
        tl.store(u + at + step, o, mask=inside)


@triton.jit
def leave_backward_kernel(
    du, y, z, s2, skip, u, dy, dz, ds2, dskip, C, L, HALVES: tl.constexpr, BLOCK: tl.constexpr
):
    """u again, the gradients of y, z and s2, and every piece's sum for skip (pieces, halves C)."""
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, at, step = t < L, (b * HALVES * C + c) * L + t, _stride(C, L) * (HALVES - 1)
    piece = b * tl.num_programs(0) + tl.program_id(0)
    da, do = _fly(_read(du, at, inside, skip), _read(du, at + step, inside, skip), HALVES)
    for half in tl.static_range(HALVES):
        here, d, factor = at + half * step, da if half == 0 else do, tl.load(skip + c + half * C)
        value, gate = _read(z, here, inside, skip), _read(s2, here, inside, skip)
        sum_ = _read(y, here, inside, skip) + factor * value
        dsum = d * gate
        tl.store(ds2 + here, d * sum_, mask=inside)
        tl.store(dy + here, dsum, mask=inside)
        tl.store(dz + here, dsum * factor, mask=inside)
        tl.store(
            dskip + (piece * HALVES + half) * C + c, tl.sum(tl.where(inside, dsum * value, 0.0), 0)
        )
        if half == 0:
            a = sum_ * gate
            o = a
        else:
            o = sum_ * gate
    a, o = _fly(a, o, HALVES)
    tl.store(u + at, a, mask=inside)
    if HALVES == 2:
        tl.store(u + at + step, o, mask=inside)


@triton.jit
def glu_kernel(
    P, bias, rms, u, C, O, L, HALVES: tl.constexpr, BIAS: tl.constexpr, BLOCK: tl.constexpr
):
    """u = fly(value GELU(gate)) of the two parts of P."""
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, rows, at, step = t < L, 2 * C, (b * HALVES * C + c) * L + t, _stride(C, L)
    P, rms = P + b * rows * HALVES * L, rms + b * L
    value, value_pair = _product(
        P, bias, rms, rms, _row(0, c, O, 2), rows, t, L, inside, HALVES, BIAS, False
    )
    gate, gate_pair = _product(
        P, bias, rms, rms, _row(1, c, O, 2), rows, t, L, inside, HALVES, BIAS, False
    )
    a, o = _fly(value * gate * _normal(gate), value_pair * gate_pair * _normal(gate_pair), HALVES)
    tl.store(u + at, a, mask=inside)
    if HALVES == 2:
        tl.store(u + at + step, o, mask=inside)


@triton.jit
def _normal(x):
    """The normal distribution up to x; GELU(x) = x times it."""
    # The exact GELU, as on a CPU.
    return 0.5 + 0.5 * tl.erf(x * 0.7071067811865476)


@triton.jit
def _glu_backward(d, value, gate):
    """u, and the gradients of value and gate."""
    up_to = _normal(gate)
    active = gate * up_to
    return (
        value * active,
        d * active,
        d * value * (up_to + gate * 0.3989422804014327 * tl.exp(-0.5 * gate * gate)),
    )


@triton.jit
def glu_backward_kernel(
    du,
    P,
    bias,
    rms,
    u,
    dP,
    dbias,
    C,
    O,
    L,
    HALVES: tl.constexpr,
    BIAS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """u again, dP times rms, and every piece's sums for bias (pieces, 2 C)."""
    t, c, b = (
        tl.program_id(0) * BLOCK + tl.arange(0, BLOCK),
        tl.program_id(1),
        tl.program_id(2).to(tl.int64),
    )
    inside, rows, at, step = (
        t < L,
        2 * C,
        (b * HALVES * C + c) * L + t,
        _stride(C, L) * (HALVES - 1),
    )
    P, dP, rms = P + b * rows * HALVES * L, dP + b * rows * HALVES * L, rms + b * L
    row, gate_row = _row(0, c, O, 2), _row(1, c, O, 2)
    value, value_pair = _product(P, bias, rms, rms, row, rows, t, L, inside, HALVES, BIAS, False)
    gate, gate_pair = _product(P, bias, rms, rms, gate_row, rows, t, L, inside, HALVES, BIAS, False)
    da, do = _fly(_read(du, at, inside, rms), _read(du, at + step, inside, rms), HALVES)
    a, dvalue, dgate = _glu_backward(da, value, gate)
    o, dvalue_pair, dgate_pair = _glu_backward(do, value_pair, gate_pair)
    a, o = _fly(a, o, HALVES)
    dvalue, dvalue_pair = _fly(dvalue, dvalue_pair, HALVES)
    dgate, dgate_pair = _fly(dgate, dgate_pair, HALVES)
    scale = _read(rms, t, inside, rms)
    tl.store(u + at, a, mask=inside)
    tl.store(dP + row * L + t, dvalue * scale, mask=inside)
    tl.store(dP + gate_row * L + t, dgate * scale, mask=inside)
    if HALVES == 2:
        tl.store(u + at + step, o, mask=inside)
        tl.store(dP + (row + rows) * L + t, dvalue_pair * scale, mask=inside)
        tl.store(dP + (gate_row + rows) * L + t, dgate_pair * scale, mask=inside)
    if BIAS:
        out = dbias + (b * tl.num_programs(0) + tl.program_id(0)) * rows
        tl.store(out + row, tl.sum(tl.where(inside, dvalue, 0.0), 0))
        tl.store(out + gate_row, tl.sum(tl.where(inside, dgate, 0.0), 0))
