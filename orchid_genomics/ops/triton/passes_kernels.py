"""The operator in three passes over memory, for rows too long for one program; transforms by small
matrices, as in `onchip_kernels`.

A row of L = N x M numbers is N rows of M. `split_kernel` transforms over the N (k1), the kernels
between take each k1 alone, a complex row of M = M1 x M2 numbers on chip: turn, transform, filter
and back; `merge_kernel` goes back over k1. Between passes numbers are float16 with a scale for
every k1 and piece of M2 positions.

The trap: the sines of k1 = 0 are none, so the row k1 = N / 2, which is real before its turn, is
kept in the imaginary part of row 0: N / 2 rows are stored, N / 2 + 1 are worked on.
"""

import triton
import triton.language as tl

from orchid_genomics.ops.triton.onchip_kernels import (
    PEAK,
    TINY,
    _first,
    _level,
    _power,
    _slope,
    _strength,
    _tile,
)


@triton.jit
def _scaled(x):
    """Rows brought to at most 1 as float16, and what they were multiplied by."""
    largest = tl.max(tl.abs(x), 1)
    scale = tl.where(largest > 0, largest, 1.0)
    return (x * (1 / scale)[:, None]).to(tl.float16), scale


@triton.jit
def _split(
    x, out, scales, row, piece, products, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr
):
    """Transform one piece of a row over n1; out (rows, re and im, N / 2, M)."""
    M: tl.constexpr = M1 * M2
    columns = piece * M2 + tl.arange(0, M2)[None, :]
    x = tl.load(x + row * N * M + tl.arange(0, N)[:, None] * M + columns).to(tl.float32)
    narrow, level = _level(x, True)
    narrow = narrow.to(tl.float16)
    cos, sin = _first(products, N)
    re, by_re = _scaled(tl.dot(cos, narrow))
    im, by_im = _scaled(tl.dot(sin, narrow))
    half = tl.arange(0, N // 2)
    at = out + row * N * M + half[:, None] * M + columns
    tl.store(at, re)
    tl.store(at + N // 2 * M, im)
    at = scales + (row * M1 + piece) * N + half
    tl.store(at, by_re * level)
    tl.store(at + N // 2, by_im * level)
    return x


@triton.jit(do_not_specialize=["rows"])
def split_kernel(
    z, v, out, scales, sums, products, rows,
    KIND: tl.constexpr, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr,
):  # fmt: skip
    """Transforms of z and v over n1, out (2, rows, ...); of v also sums and sums of squares of each
    piece, sums (rows, 2, pieces).
    """
    row, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    _split(z, out, scales, row, piece, products, N, M1, M2)
    if KIND != 0:
        out += rows.to(tl.int64) * N * M1 * M2
        scales += rows.to(tl.int64) * N * M1
        x = _split(v, out, scales, row, piece, products, N, M1, M2)
        tl.store(sums + row * 2 * M1 + piece, tl.sum(x))
        tl.store(sums + row * 2 * M1 + M1 + piece, tl.sum(x * x))


@triton.jit
def split_one_kernel(
    dy, out, scales, products, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr
):
    """The transform of dy over n1."""
    _split(dy, out, scales, tl.program_id(0).to(tl.int64), tl.program_id(1), products, N, M1, M2)


@triton.jit
def _moments(sums, row, L: tl.constexpr, M1: tl.constexpr):
    """The mean of v, and its mean power over the whole spectrum without DC."""
    piece = sums + row * 2 * M1 + tl.arange(0, M1)
    mean = tl.sum(tl.load(piece)) / L
    power = tl.sum(tl.load(piece + M1)) - mean * mean * L
    return mean, tl.maximum(power, 0.0) + TINY


@triton.jit
def _turns(angles, M1: tl.constexpr, M2: tl.constexpr):
    """cos and sin of 2 pi j1 m2 / M, (M1, M2)."""
    return tl.load(_tile(angles, M1, M2)), tl.load(_tile(angles + M1 * M2, M1, M2))


@triton.jit
def _outer(angles, k1, M1: tl.constexpr, M2: tl.constexpr):
    """cos and sin of 2 pi k1 n2 / L, (M1, M2)."""
    start = angles + (1 + k1) * 2 * M1 * M2
    return tl.load(_tile(start, M1, M2)), tl.load(_tile(start + M1 * M2, M1, M2))


@triton.jit
def _inner(products, N: tl.constexpr, M1: tl.constexpr):
    """cos and sin of 2 pi j1 m1 / M1, (M1, M1)."""
    start = products + N * N
    return tl.load(_tile(start, M1, M1)), tl.load(_tile(start + M1 * M1, M1, M1))


@triton.jit
def _last(products, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr):
    """cos and sin of 2 pi j2 m2 / M2, (M2, M2)."""
    start = products + N * N + 2 * M1 * M1
    return tl.load(_tile(start, M2, M2)), tl.load(_tile(start + M2 * M2, M2, M2))


@triton.jit
def _plane(x, scales, row, k1, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr):
    """One plane of a row, and the scale of each of its pieces; k1 counts both planes' rows."""
    x = tl.load(_tile(x + (row * N + k1) * M1 * M2, M1, M2)).to(tl.float32)
    return x, tl.load(scales + (row * M1 + tl.arange(0, M1)) * N + k1)


@triton.jit
def _spectrum(
    x, scales, row, k1, products, angles, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr
):
    """The spectrum (j1, j2) of row k1 in units of `level`, and that."""
    # Rows 0 and N / 2 are real, and stand in the two planes of row 0.
    alone = (k1 == 0) | (k1 == N // 2)
    re, by_re = _plane(x, scales, row, k1, N, M1, M2)
    im, by_im = _plane(x, scales, row, tl.where(alone, N // 2, N // 2 + k1), N, M1, M2)
    by_im = tl.where(alone, 0.0, by_im)
    level = tl.maximum(tl.max(by_re), tl.max(by_im))
    ratio = 1 / level
    re, im = re * (by_re * ratio)[:, None], im * (by_im * ratio)[:, None]
    cos, sin = _outer(angles, k1, M1, M2)
    xr, xi = (re * cos + im * sin).to(tl.float16), (im * cos - re * sin).to(tl.float16)
    cos, sin = _inner(products, N, M1)
    ar = tl.dot(sin, xi, tl.dot(cos, xr))
    ai = tl.dot(sin, -xr, tl.dot(cos, xi))
    cos, sin = _turns(angles, M1, M2)
    br, bi = (ar * cos + ai * sin).to(tl.float16), (ai * cos - ar * sin).to(tl.float16)
    cos, sin = _last(products, N, M1, M2)
    re = tl.dot(bi, sin, tl.dot(br, cos))
    return re, tl.dot(-br, sin, tl.dot(bi, cos)), level


@triton.jit
def _back(
    re, im, level, out, scales, row, k1, products, angles,
    N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr,
):  # fmt: skip
    """Store what a row's spectrum (j1, j2) times `level` is before the inverse over k1."""
    largest = tl.max(tl.abs(re) + tl.abs(im))
    scale = PEAK / tl.where(largest > 0, largest, PEAK)
    level /= scale
    re, im = (re * scale).to(tl.float16), (im * scale).to(tl.float16)
    cos, sin = _last(products, N, M1, M2)
    ar = tl.dot(-im, sin, tl.dot(re, cos))
    ai = tl.dot(re, sin, tl.dot(im, cos))
    cos, sin = _turns(angles, M1, M2)
    br, bi = (ar * cos - ai * sin).to(tl.float16), (ai * cos + ar * sin).to(tl.float16)
    cos, sin = _inner(products, N, M1)
    ar = tl.dot(sin, -bi, tl.dot(cos, br))
    ai = tl.dot(sin, br, tl.dot(cos, bi))
    cos, sin = _outer(angles, k1, M1, M2)
    re, by_re = _scaled(ar * cos - ai * sin)
    im, by_im = _scaled(ai * cos + ar * sin)
    piece = tl.arange(0, M1)
    start = scales + (row * M1 + piece) * N
    # Of a row that is its own mirror the real part alone counts, once where others count twice.
    alone = (k1 == 0) | (k1 == N // 2)
    weight = tl.where(alone, 0.5, 1.0)
    tl.store(_tile(out + (row * N + k1) * M1 * M2, M1, M2), re)
    tl.store(start + k1, by_re * (level * weight))
    if not alone:
        tl.store(_tile(out + (row * N + N // 2 + k1) * M1 * M2, M1, M2), im)
        tl.store(start + N // 2 + k1, by_im * level)


@triton.jit
def _filter(spectra, plane, M1: tl.constexpr, M2: tl.constexpr):
    start = spectra + 2 * plane * M1 * M2
    return tl.load(_tile(start, M1, M2)), tl.load(_tile(start + M1 * M2, M1, M2))


@triton.jit
def _without_mean(power, k1, M1: tl.constexpr, M2: tl.constexpr):
    first = (tl.arange(0, M1)[:, None] == 0) & (tl.arange(0, M2)[None, :] == 0)
    return tl.where(first & (k1 == 0), 0.0, power)


@triton.jit(do_not_specialize=["C", "rows", "strands"])
def between_kernel(
    x, scales, sums, spectra, out, by, products, angles, C, rows, strands,
    KIND: tl.constexpr, BOUND: tl.constexpr,
    N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr,
):  # fmt: skip
    """A row's spectrum at one k1 times its filter; programs of one filter follow one another."""
    L: tl.constexpr = N * M1 * M2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    outer, rest = tl.program_id(0) % rows, tl.program_id(0) // rows
    k1, c = rest % (N // 2 + 1), (rest // (N // 2 + 1)).to(tl.int64)
    row, many = outer * C + c, rows.to(tl.int64) * C
    spectra += (c * (N // 2 + 1) + k1) * SPECTRA * 2 * M1 * M2
    hr, hi = _filter(spectra, 0, M1, M2)
    if KIND != 0:
        _, mean = _moments(sums, row, L, M1)
        re, im, level = _spectrum(
            x + many * L, scales + many * N * M1, row, k1, products, angles, N, M1, M2
        )
        level *= tl.rsqrt(mean / L)
        power = _without_mean(_power(re * level, im * level, L), k1, M1, M2)
        strength = _strength(power, BOUND, KIND == 2)
        gr, gi = _filter(spectra, 1, M1, M2)
        hr, hi = hr + gr * strength, hi + gi * strength
    hi *= tl.where(outer % strands == 1, -1.0, 1.0)
    re, im, level = _spectrum(x, scales, row, k1, products, angles, N, M1, M2)
    _back(
        re * hr - im * hi, re * hi + im * hr, level,
        out, by, row, k1, products, angles, N, M1, M2,
    )  # fmt: skip


@triton.jit
def _add(at, x, first):
    """Add to what earlier rows left; the first row finds nothing there."""
    if first:
        tl.store(at, x)
    else:
        tl.store(at, tl.load(at) + x)


@triton.jit(do_not_specialize=["C", "rows", "strands"])
def between_backward_kernel(
    x, scales, sums, spectra, dx, from_dy, out, by, moved, shares, products, angles,
    C, rows, strands,
    KIND: tl.constexpr, BOUND: tl.constexpr,
    N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr,
):  # fmt: skip
    """Of one k1 of a channel, over its rows in order: dz, dv (but for what moves through the mean
    power, of which `shares` (rows, C, k1) are left), and what the filters' spectra move.
    """
    L: tl.constexpr = N * M1 * M2
    M: tl.constexpr = M1 * M2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    k1, c = tl.program_id(0) % (N // 2 + 1), (tl.program_id(0) // (N // 2 + 1)).to(tl.int64)
    many = rows.to(tl.int64) * C
    place = (c * (N // 2 + 1) + k1) * SPECTRA * 2 * M
    spectra += place
    moved += place
    for outer in range(rows):
        row = outer * C + c
        turned = tl.where(outer % strands == 1, -1.0, 1.0)
        zr, zi, level = _spectrum(x, scales, row, k1, products, angles, N, M1, M2)
        dr, di, pulled = _spectrum(dx, from_dy, row, k1, products, angles, N, M1, M2)
        both = level * pulled
        qr, qi = (zr * dr + zi * di) * both, (zr * di - zi * dr) * (both * turned)
        _add(_tile(moved, M1, M2), qr, outer == 0)
        _add(_tile(moved + M, M1, M2), qi, outer == 0)
        hr, hi = _filter(spectra, 0, M1, M2)
        if KIND != 0:
            _, mean = _moments(sums, row, L, M1)
            vr, vi, level = _spectrum(
                x + many * L, scales + many * N * M1, row, k1, products, angles, N, M1, M2
            )
            unit = level * tl.rsqrt(mean / L)
            power = _without_mean(_power(vr * unit, vi * unit, L), k1, M1, M2)
            strength = _strength(power, BOUND, KIND == 2)
            _add(_tile(moved + 2 * M, M1, M2), qr * strength, outer == 0)
            _add(_tile(moved + 3 * M, M1, M2), qi * strength, outer == 0)
            gr, gi = _filter(spectra, 1, M1, M2)
            hr, hi = hr + gr * strength, hi + gi * strength
            slope = _slope(power, strength, BOUND, KIND == 2) * (gr * qr + gi * qi)
            slope = _without_mean(slope, k1, M1, M2)
            weight = tl.where((k1 == 0) | (k1 == N // 2), 1.0 / L, 2.0 / L)
            tl.store(shares + row * (N // 2 + 1) + k1, tl.sum(slope * power) * weight)
            _back(
                vr * slope, vi * slope, level * 2 / mean,
                out + many * L, by + many * N * M1, row, k1, products, angles, N, M1, M2,
            )  # fmt: skip
        hi = hi * turned
        _back(
            dr * hr + di * hi, di * hr - dr * hi, pulled,
            out, by, row, k1, products, angles, N, M1, M2,
        )  # fmt: skip
        # The next row adds to what this one stored.
        tl.debug_barrier()


@triton.jit
def _merge(x, scales, row, piece, products, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr):
    """One piece (N, M2) of the real row whose transform over n1 is x."""
    M: tl.constexpr = M1 * M2
    half = tl.arange(0, N // 2)
    at = x + row * N * M + half[:, None] * M + piece * M2 + tl.arange(0, M2)[None, :]
    start = scales + (row * M1 + piece) * N + half
    by_re, by_im = tl.load(start), tl.load(start + N // 2)
    level = tl.maximum(tl.max(by_re), tl.max(by_im))
    level = tl.where(level > 0, level, 1.0)
    re = (tl.load(at).to(tl.float32) * (by_re / level)[:, None]).to(tl.float16)
    im = (tl.load(at + N // 2 * M).to(tl.float32) * (by_im / level)[:, None]).to(tl.float16)
    cos, sin = _first(products, N)
    return tl.dot(tl.trans(sin), im, tl.dot(tl.trans(cos), re)) * (level * 2 / (N * M))


@triton.jit(do_not_specialize=["rows"])
def merge_kernel(
    x, scales, y, dv, v, sums, shares, products, rows,
    BACKWARD: tl.constexpr, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """y (or dz) from `between`; and dv, from which goes what v moves through its mean power."""
    M: tl.constexpr = M1 * M2
    row, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = row * N * M + tl.arange(0, N)[:, None] * M + piece * M2 + tl.arange(0, M2)[None, :]
    found = _merge(x, scales, row, piece, products, N, M1, M2)
    tl.store(y + at, found.to(y.dtype.element_ty))
    if BACKWARD:
        x += rows.to(tl.int64) * N * M
        scales += rows.to(tl.int64) * N * M1
        found = _merge(x, scales, row, piece, products, N, M1, M2)
        mean, power = _moments(sums, row, N * M, M1)
        k1 = tl.arange(0, BLOCK)
        shared = tl.load(shares + row * (N // 2 + 1) + k1, mask=k1 <= N // 2, other=0.0)
        shared = tl.sum(shared) * 2 / power
        found -= (tl.load(v + at).to(tl.float32) - mean) * shared
        tl.store(dv + at, found.to(dv.dtype.element_ty))


@triton.jit
def arrange_kernel(
    static, gain, out,
    KIND: tl.constexpr, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Half spectra (C, F) in the order of `between`: out (C, k1, 1 or 2, re and im, M)."""
    M: tl.constexpr = M1 * M2
    L: tl.constexpr = N * M
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    c, which = tl.program_id(0).to(tl.int64), tl.program_id(2)
    # Bins that are neighbours in memory go to one program.
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    k1, k2 = k % N, k // N
    kept = (k1 <= N // 2) & (k < L)
    mirrored = 2 * k > L
    f = tl.where(mirrored, L - k, k)
    source = static
    if which == 1:
        source = gain
    at = source + (c * (L // 2 + 1) + f) * 2
    real, imaginary = tl.load(at, mask=kept, other=0.0), tl.load(at + 1, mask=kept, other=0.0)
    imaginary = tl.where(mirrored, -imaginary, imaginary)
    imaginary = tl.where((f == 0) | (2 * f == L), 0.0, imaginary)
    at = out + ((c * (N // 2 + 1) + k1) * SPECTRA + which) * 2 * M + k2 % M1 * M2 + k2 // M1
    tl.store(at, real, mask=kept)
    tl.store(at + M, imaginary, mask=kept)


@triton.jit
def restore_kernel(
    moved, dstatic, dgain,
    KIND: tl.constexpr, N: tl.constexpr, M1: tl.constexpr, M2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients (C, F) of half spectra from those in the order of `between`."""
    M: tl.constexpr = M1 * M2
    L: tl.constexpr = N * M
    F: tl.constexpr = L // 2 + 1
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    c, which = tl.program_id(0).to(tl.int64), tl.program_id(2)
    f = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mirrored = f % N > N // 2
    k = tl.where(mirrored, L - f, f)
    k1, k2 = k % N, k // N
    at = moved + ((c * (N // 2 + 1) + k1) * SPECTRA + which) * 2 * M + k2 % M1 * M2 + k2 // M1
    real = tl.load(at, mask=f < F, other=0.0)
    imaginary = tl.load(at + M, mask=f < F, other=0.0)
    end = (f == 0) | (2 * f == L)
    weight = tl.where(end, 1.0 / L, 2.0 / L)
    imaginary = tl.where(end, 0.0, tl.where(mirrored, -imaginary, imaginary))
    target = dstatic
    if which == 1:
        target = dgain
    at = target + (c * F + f) * 2
    tl.store(at, real * weight, mask=f < F)
    tl.store(at + 1, imaginary * weight, mask=f < F)
