"""Kernels between the transforms of the long convolution: everything that happens to half spectra.

Spectra are interleaved real and imaginary parts, rows (b, strand, channel) of F = L // 2 + 1 bins.
The trap: with side taps a bin reads its neighbours, so nothing that is read may be written in place
(see `operator`).
"""

import triton
import triton.language as tl

from orchid_genomics.ops.reference import TINY as _TINY

TINY = tl.constexpr(_TINY)


@triton.jit
def _load(row, first, F, BLOCK: tl.constexpr):
    """Bins from `first` on, one wide load: (real, imaginary), zero beyond F."""
    at = first * 2 + tl.arange(0, 2 * BLOCK)
    return tl.split(tl.reshape(tl.load(row + at, mask=at < F * 2, other=0.0), (BLOCK, 2)))


@triton.jit
def _store(row, first, F, re, im, BLOCK: tl.constexpr):
    at = first * 2 + tl.arange(0, 2 * BLOCK)
    tl.store(row + at, tl.reshape(tl.join(re, im), (2 * BLOCK,)), mask=at < F * 2)


@triton.jit
def _mirror(place, L, F, J: tl.constexpr):
    """The stored bin that holds a place up to J outside the half spectrum, and whether it is its
    conjugate.
    """
    place = (place + J * L) % L
    return tl.where(place < F, place, L - place), place >= F


@triton.jit
def _gather(row, at, conjugated):
    im = tl.load(row + 2 * at + 1)
    return tl.load(row + 2 * at), tl.where(conjugated, -im, im)


@triton.jit
def _at_end(f, L):
    """DC and (even L) Nyquist: bins that are real and stand once in the whole spectrum."""
    return (f == 0) | (2 * f == L)


@triton.jit
def _multiply(a, b, c, d):
    return a * c - b * d, a * d + b * c


@triton.jit
def _mean(partial, row, parts, L, PARTS: tl.constexpr):
    """The mean power of a row over the whole spectrum, from its partial sums."""
    at = tl.arange(0, PARTS)
    return tl.sum(tl.load(partial + row * parts + at, mask=at < parts, other=0.0), 0) / L + TINY


@triton.jit
def _strength(re, im, f, mean, BOUND: tl.constexpr, MAGNITUDE: tl.constexpr):
    """Power over its mean (none at DC), and the strength S of `ops.long_conv`."""
    power = tl.where(f == 0, 0.0, re * re + im * im) / mean
    strength = power / (1 + power / BOUND)
    if MAGNITUDE:
        strength = tl.sqrt(strength)
    return power, strength


@triton.jit
def _neighbour(
    V, gain, place, L, F, mean, J: tl.constexpr, BOUND: tl.constexpr, MAGNITUDE: tl.constexpr
):
    """gain * S at places around the half spectrum, real at its ends."""
    at, conjugated = _mirror(place, L, F, J)
    re, im = _gather(V, at, conjugated)
    _, strength = _strength(re, im, at, mean, BOUND, MAGNITUDE)
    re, im = _gather(gain, at, conjugated)
    return re * strength, tl.where(_at_end(at, L), 0.0, im * strength)


@triton.jit
def _conditioned(
    V,
    gain,
    taps,
    f,
    gr,
    gi,
    strength,
    L,
    F,
    mean,
    J: tl.constexpr,
    BOUND: tl.constexpr,
    MAGNITUDE: tl.constexpr,
):
    """The data-dependent filter at bins f: gain * S, and its neighbours times the side taps."""
    hr, hi = gr * strength, tl.where(_at_end(f, L), 0.0, gi * strength)
    for j in tl.static_range(1, J + 1):
        tr, ti = tl.load(taps + 2 * j - 2), tl.load(taps + 2 * j - 1)
        ar, ai = _neighbour(V, gain, f - j, L, F, mean, J, BOUND, MAGNITUDE)
        br, bi = _neighbour(V, gain, f + j, L, F, mean, J, BOUND, MAGNITUDE)
        ar, ai = _multiply(tr, ti, ar, ai)
        br, bi = _multiply(tr, -ti, br, bi)
        hr, hi = hr + ar + br, hi + ai + bi
    return hr, hi


@triton.jit
def _pull(DY, Z, place, L, F, reverse, J: tl.constexpr):
    """Q = conj(Z) dY around the half spectrum, conjugated on the second strand; its ends real."""
    at, conjugated = _mirror(place, L, F, J)
    zr, zi = _gather(Z, at, conjugated)
    dr, di = _gather(DY, at, conjugated)
    qr, qi = _multiply(zr, -zi, dr, di)
    return qr, tl.where(_at_end(at, L), 0.0, tl.where(reverse, -qi, qi))


@triton.jit
def power_kernel(V, partial, L, F, parts, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """Sums of |V|^2 over parts of the whole spectrum without DC; partial (rows, parts)."""
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    total = tl.zeros((BLOCK,), V.dtype.element_ty)
    for step in range(STEPS):
        first = (part * STEPS + step) * BLOCK
        re, im = _load(V + row * F * 2, first, F, BLOCK)
        f = first + tl.arange(0, BLOCK)
        # Weights of the whole spectrum, 2 inside and 1 at Nyquist; DC is the mean, taken away.
        total += tl.where(f == 0, 0.0, tl.where(2 * f == L, 1.0, 2.0) * (re * re + im * im))
    tl.store(partial + row * parts + part, tl.sum(total, 0))


@triton.jit
def product_kernel(
    Z, V, static, gain, taps, partial, L, F, C, rows, strands, parts,
    KIND: tl.constexpr, BOUND: tl.constexpr, J: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Z *= static + conv(gain S(V), taps), conjugated on the second strand; rows (b, strand) of C
    channels.

    Programs that share a piece of static and gain follow one another, so that it stays in cache.
    """
    program, blocks = tl.program_id(0), tl.cdiv(F, BLOCK)
    outer, first, c = program % rows, program // rows % blocks * BLOCK, program // rows // blocks
    row, c = outer.to(tl.int64) * C + c, c.to(tl.int64)
    f = first + tl.arange(0, BLOCK)
    hr, hi = _load(static + c * F * 2, first, F, BLOCK)
    if KIND != 0:
        mean = _mean(partial, row, parts, L, PARTS)
        vr, vi = _load(V + row * F * 2, first, F, BLOCK)
        _, strength = _strength(vr, vi, f, mean, BOUND, KIND == 2)
        gr, gi = _load(gain + c * F * 2, first, F, BLOCK)
        cr, ci = _conditioned(
            V + row * F * 2,
            gain + c * F * 2,
            taps + c * J * 2,
            f,
            gr,
            gi,
            strength,
            L,
            F,
            mean,
            J,
            BOUND,
            KIND == 2,
        )
        hr, hi = hr + cr, hi + ci
    hi = tl.where(outer % strands == 1, -hi, hi)
    zr, zi = _load(Z + row * F * 2, first, F, BLOCK)
    yr, yi = _multiply(zr, zi, hr, hi)
    # Real ends, as an inverse real transform expects.
    _store(Z + row * F * 2, first, F, yr, tl.where(_at_end(f, L), 0.0, yi), BLOCK)


@triton.jit
def pull_kernel(
    DY, Z, V, DZ, static, gain, taps, partial, slopes, shares, dstatic, dgain,
    L, F, C, rows, strands, parts, each,
    KIND: tl.constexpr, BOUND: tl.constexpr, J: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The spectrum of dz, the gradients of static and gain, and d loss / d power of every bin.

    A program takes one piece of one channel over `each` rows in order, so sums never depend on
    timing; dstatic and dgain are (splits, C, F). `slopes` (rows, C, F) and `shares` (rows, C,
    blocks) are for `push_kernel`.
    """
    program, blocks = tl.program_id(0), tl.cdiv(F, BLOCK)
    block, c, split = program % blocks, (program // blocks % C).to(tl.int64), program // blocks // C
    first = block * BLOCK
    f = first + tl.arange(0, BLOCK)
    end = _at_end(f, L)
    weight = tl.where(end, 1.0, 2.0).to(DY.dtype.element_ty) / L
    sr, si = _load(static + c * F * 2, first, F, BLOCK)
    if KIND != 0:
        gr, gi = _load(gain + c * F * 2, first, F, BLOCK)
        ar, ai = tl.zeros_like(gr), tl.zeros_like(gr)
    br, bi = tl.zeros_like(sr), tl.zeros_like(sr)
    for outer in range(split * each, tl.minimum(split * each + each, rows)):
        row, reverse = outer * C + c, outer % strands == 1
        at = row * F * 2
        dr, di = _load(DY + at, first, F, BLOCK)
        zr, zi = _load(Z + at, first, F, BLOCK)
        qr, qi = _multiply(zr, -zi, dr, di)
        qi = tl.where(end, 0.0, tl.where(reverse, -qi, qi))
        br, bi = br + qr, bi + qi
        hr, hi = sr, si
        if KIND != 0:
            mean = _mean(partial, row, parts, L, PARTS)
            vr, vi = _load(V + at, first, F, BLOCK)
            power, strength = _strength(vr, vi, f, mean, BOUND, KIND == 2)
            cr, ci = _conditioned(
                V + at,
                gain + c * F * 2,
                taps + c * J * 2,
                f,
                gr,
                gi,
                strength,
                L,
                F,
                mean,
                J,
                BOUND,
                KIND == 2,
            )
            hr, hi = hr + cr, hi + ci
            for j in tl.static_range(1, J + 1):
                tr, ti = (
                    tl.load(taps + (c * J + j - 1) * 2),
                    tl.load(taps + (c * J + j - 1) * 2 + 1),
                )
                lr, li = _pull(DY + at, Z + at, f - j, L, F, reverse, J)
                ur, ui = _pull(DY + at, Z + at, f + j, L, F, reverse, J)
                lr, li = _multiply(tr, ti, lr, li)
                ur, ui = _multiply(tr, -ti, ur, ui)
                qr, qi = qr + lr + ur, qi + li + ui
            ar, ai = ar + qr * strength, ai + qi * strength
            slope = 1 / (1 + power / BOUND)
            slope *= slope
            if KIND == 2:
                # Both sides are computed: the inner `where` keeps the division off 0.
                slope = tl.where(
                    strength > 0, slope / tl.where(strength > 0, 2 * strength, 1.0), 0.0
                )
            slope *= gr * qr + gi * qi
            tl.store(slopes + row * F + f, slope, mask=f < F)
            share = tl.sum(tl.where(f < F, weight * slope * power, 0.0), 0)
            tl.store(shares + row * blocks + block, share)
        hi = tl.where(reverse, hi, -hi)
        dr, di = _multiply(dr, di, hr, hi)
        _store(DZ + at, first, F, dr, tl.where(end, 0.0, di), BLOCK)
    out = (split * C + c) * F * 2
    _store(dstatic + out, first, F, br * weight, bi * weight, BLOCK)
    if KIND != 0:
        _store(dgain + out, first, F, ar * weight, ai * weight, BLOCK)


@triton.jit
def push_kernel(
    V,
    slopes,
    shares,
    partial,
    L,
    F,
    parts,
    blocks,
    PARTS: tl.constexpr,
    SHARES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """V becomes the spectrum of dv: V (slope - shared) 2 / mean, shared being what every bin moves
    through the mean.
    """
    row, first = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK
    f = first + tl.arange(0, BLOCK)
    mean = _mean(partial, row, parts, L, PARTS)
    at = tl.arange(0, SHARES)
    shared = tl.sum(tl.load(shares + row * blocks + at, mask=at < blocks, other=0.0), 0)
    slope = tl.load(slopes + row * F + f, mask=f < F, other=0.0)
    factor = tl.where(f == 0, 0.0, (slope - shared) * (2 / mean))
    re, im = _load(V + row * F * 2, first, F, BLOCK)
    _store(V + row * F * 2, first, F, re * factor, tl.where(_at_end(f, L), 0.0, im * factor), BLOCK)


@triton.jit
def taps_kernel(
    DY, Z, V, gain, partial, out, L, F, C, rows, strands, parts,
    MAGNITUDE: tl.constexpr, BOUND: tl.constexpr, J: tl.constexpr, PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of the side taps, out (blocks, C, J, 2): sums of Q[k] conj(U[k - j]) over rows and
    one piece.
    """
    block, c, j = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2) + 1
    f = block * BLOCK + tl.arange(0, BLOCK)
    weight = tl.where(f < F, tl.where(_at_end(f, L), 1.0, 2.0), 0.0).to(Z.dtype.element_ty) / L
    real, imaginary = tl.zeros((BLOCK,), Z.dtype.element_ty), tl.zeros((BLOCK,), Z.dtype.element_ty)
    for outer in range(rows):
        row = outer * C + c
        at = row * F * 2
        mean = _mean(partial, row, parts, L, PARTS)
        qr, qi = _pull(DY + at, Z + at, f, L, F, outer % strands == 1, J)
        br, bi = _neighbour(V + at, gain + c * F * 2, f - j, L, F, mean, J, BOUND, MAGNITUDE)
        ar, ai = _neighbour(V + at, gain + c * F * 2, f + j, L, F, mean, J, BOUND, MAGNITUDE)
        br, bi = _multiply(qr, qi, br, -bi)
        ar, ai = _multiply(qr, -qi, ar, ai)
        real, imaginary = real + weight * (br + ar), imaginary + weight * (bi + ai)
    at = ((block * C + c) * J + j - 1) * 2
    tl.store(out + at, tl.sum(real, 0))
    tl.store(out + at + 1, tl.sum(imaginary, 0))
