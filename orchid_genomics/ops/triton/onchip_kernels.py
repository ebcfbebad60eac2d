"""The operator in one pass over memory: every transform is two products with small matrices, on
chip.

A row of L = N1 x N2 numbers is a tile x[n1, n2] with n = n1 N2 + n2, its spectrum a tile
X[k1, k2] with k = k1 + N1 k2: a product over n1, a turn by exp(-2 pi i k1 n2 / L), a product over
n2. What happens between transforms is bin by bin, so no bin is ever moved to its natural place:
`pack_kernel` brings the spectra of the filters to the tile's order, `unpack_kernel` takes their
gradients back.

The trap: only half of the bins are computed. Real rows give X[L - k] = conj X[k], so the tile holds
k1 < N1 / 2 (its row k1 = 0 stands for itself twice), and the row k1 = N1 / 2, which is its own
mirror, is apart: N2 / 2 bins, the "middle" ones, by plain sums.
"""

import triton
import triton.language as tl

from orchid_genomics.ops.reference import TINY as _TINY

TINY = tl.constexpr(_TINY)
PEAK = tl.constexpr(256.0)
"""The largest number of a spectrum before it is rounded to float16: sums of 128 stay finite."""


@triton.jit
def _narrow(x, NARROW: tl.constexpr):
    return x.to(tl.float16) if NARROW else x


@triton.jit
def _dot(a, b, NARROW: tl.constexpr):
    return tl.dot(a, b) if NARROW else tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def _add_dot(a, b, sum, NARROW: tl.constexpr):
    return tl.dot(a, b, sum) if NARROW else tl.dot(a, b, sum, input_precision="tf32x3")


@triton.jit
def _tile(start, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Pointers to a row-major tile."""
    return start + tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]


@triton.jit
def _two_tiles(start, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Two tables, one behind the other."""
    one = tl.load(_tile(start, ROWS, COLUMNS))
    return one, tl.load(_tile(start + ROWS * COLUMNS, ROWS, COLUMNS))


@triton.jit
def _first(products, N1: tl.constexpr):
    """cos and -sin of 2 pi k1 n1 / N1, (N1 / 2, N1); cos of k1 = N1 / 2 in place of sin of 0."""
    return _two_tiles(products, N1 // 2, N1)


@triton.jit
def _second(products, N1: tl.constexpr, N2: tl.constexpr):
    """cos and sin of 2 pi k2 n2 / N2, (N2, N2)."""
    return _two_tiles(products + N1 * N1, N2, N2)


@triton.jit
def _turn(angles, N1: tl.constexpr, N2: tl.constexpr):
    """cos and sin of 2 pi k1 n2 / L, (N1 / 2, N2)."""
    return _two_tiles(angles, N1 // 2, N2)


@triton.jit
def _middle(angles, N1: tl.constexpr, N2: tl.constexpr):
    """cos and sin of 2 pi (N1 / 2 + N1 k2) n2 / L, (N2, N2 / 2)."""
    return _two_tiles(angles + N1 * N2, N2, N2 // 2)


@triton.jit
def _at_first(N1: tl.constexpr):
    """Whether a row of the tile is k1 = 0."""
    return tl.arange(0, N1 // 2)[:, None] == 0


@triton.jit
def _transform(
    x, first, second, turn, angles, N1: tl.constexpr, N2: tl.constexpr, NARROW: tl.constexpr
):
    """The tile of a real row's spectrum and its middle bins: (re, im, middle re, middle im)."""
    cos, sin = first
    x = _narrow(x, NARROW)
    ar, ai = _dot(cos, x, NARROW), _dot(sin, x, NARROW)
    cos, sin = turn
    br, bi = ar * cos + ai * sin, ai * cos - ar * sin
    # The sines of k1 = 0 are none: in their place is the row k1 = N1 / 2, which is real here.
    alternating = tl.sum(tl.where(_at_first(N1), bi, 0.0), 0)[:, None]
    br, bi = _narrow(br, NARROW), _narrow(tl.where(_at_first(N1), 0.0, bi), NARROW)
    cos, sin = second
    re = _add_dot(bi, sin, _dot(br, cos, NARROW), NARROW)
    im = _add_dot(-br, sin, _dot(bi, cos, NARROW), NARROW)
    cos, sin = _middle(angles, N1, N2)
    return re, im, tl.sum(alternating * cos, 0), -tl.sum(alternating * sin, 0)


@triton.jit
def _inverse(
    re, im, mr, mi, first, second, turn, angles,
    N1: tl.constexpr, N2: tl.constexpr, NARROW: tl.constexpr,
):  # fmt: skip
    """The real row (N1, N2) of a spectrum."""
    # Every bin of the tile stands for its mirror too, but those of row 0 have theirs beside them.
    weight = tl.where(tl.arange(0, N1 // 2) == 0, 0.5, 1.0)
    back = 2.0 / (N1 * N2)
    if NARROW:
        largest = tl.maximum(tl.max(tl.abs(re) + tl.abs(im)), tl.max(tl.abs(mr) + tl.abs(mi)))
        scale = PEAK / tl.where(largest > 0, largest, PEAK)
        back /= scale
        weight *= scale
        mr, mi = mr * scale, mi * scale
    re, im = _narrow(re * weight[:, None], NARROW), _narrow(im * weight[:, None], NARROW)
    cos, sin = _middle(angles, N1, N2)
    alternating = tl.sum(mr[None, :] * cos - mi[None, :] * sin, 1)[None, :]
    cos, sin = second
    tr = _add_dot(-im, sin, _dot(re, cos, NARROW), NARROW)
    ti = _add_dot(re, sin, _dot(im, cos, NARROW), NARROW)
    cos, sin = turn
    ur, ui = tr * cos - ti * sin, ti * cos + tr * sin
    ur, ui = _narrow(ur, NARROW), _narrow(tl.where(_at_first(N1), alternating, ui), NARROW)
    cos, sin = first
    return _add_dot(tl.trans(sin), ui, _dot(tl.trans(cos), ur, NARROW), NARROW) * back


@triton.jit
def _level(x, NARROW: tl.constexpr):
    """x brought to at most 1, for float16, and by what it is to be multiplied again."""
    level = 1.0
    if NARROW:
        largest = tl.max(tl.abs(x))
        level = tl.where(largest > 0, largest, 1.0)
        x = x * (1 / level)
    return x, level


@triton.jit
def _moments(v, L: tl.constexpr):
    """The mean of v, and the factor that brings v without it to a mean square of 1, so that
    |V|^2 / L is power over its mean.
    """
    mean = tl.sum(v) / L
    v = v - mean
    # Parseval: this is the mean power over the whole spectrum.
    return mean, tl.rsqrt((tl.sum(v * v) + TINY) / L)


@triton.jit
def _inverse_of(x):
    """1 / x, x >= 1, in two steps of the machine where a division takes ten."""
    root = tl.rsqrt(x)
    return root * root


@triton.jit
def _power(re, im, L: tl.constexpr):
    return (re * re + im * im) * (1.0 / L)


@triton.jit
def _strength(power, BOUND: tl.constexpr, MAGNITUDE: tl.constexpr):
    strength = power * _inverse_of(1 + power * (1 / BOUND))
    return tl.sqrt(strength) if MAGNITUDE else strength


@triton.jit
def _slope(power, strength, BOUND: tl.constexpr, MAGNITUDE: tl.constexpr):
    """d strength / d power."""
    slope = _inverse_of(1 + power * (1 / BOUND))
    slope *= slope
    if MAGNITUDE:
        some = strength > 0
        # Both sides are computed: the inner `where` keeps the division off 0.
        slope = tl.where(some, slope / tl.where(some, 2 * strength, 1.0), 0.0)
    return slope


@triton.jit
def _load_spectrum(spectra, plane, N1: tl.constexpr, N2: tl.constexpr):
    """One packed spectrum: the tile and the middle bins, (re, im, middle re, middle im)."""
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    start = spectra + 2 * plane * bins
    middle = start + N1 // 2 * N2 + tl.arange(0, N2 // 2)
    re, im = tl.load(_tile(start, N1 // 2, N2)), tl.load(_tile(start + bins, N1 // 2, N2))
    return re, im, tl.load(middle), tl.load(middle + bins)


@triton.jit
def _store_spectrum(out, plane, re, im, mr, mi, N1: tl.constexpr, N2: tl.constexpr):
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    start = out + 2 * plane * bins
    middle = start + N1 // 2 * N2 + tl.arange(0, N2 // 2)
    tl.store(_tile(start, N1 // 2, N2), re)
    tl.store(_tile(start + bins, N1 // 2, N2), im)
    tl.store(middle, mr)
    tl.store(middle + bins, mi)


@triton.jit
def _add_spectrum(out, plane, re, im, mr, mi, first, N1: tl.constexpr, N2: tl.constexpr):
    """Add to what earlier rows left; the first row finds nothing there."""
    if not first:
        br, bi, bmr, bmi = _load_spectrum(out, plane, N1, N2)
        re, im, mr, mi = re + br, im + bi, mr + bmr, mi + bmi
    _store_spectrum(out, plane, re, im, mr, mi, N1, N2)


@triton.jit
def _without_mean(power, N1: tl.constexpr, N2: tl.constexpr):
    """No power at DC: v is centred, and what is left there is rounding."""
    mean = (tl.arange(0, N1 // 2)[:, None] == 0) & (tl.arange(0, N2)[None, :] == 0)
    return tl.where(mean, 0.0, power)


@triton.jit(do_not_specialize=["C", "rows", "strands", "each", "nothing"])
def convolve_kernel(
    z, v, y, spectra, products, angles, C, rows, strands, each, nothing,
    KIND: tl.constexpr, BOUND: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
    NARROW: tl.constexpr, HOLD: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """y = irfft(H(v) rfft(z)), rows (b, strand) of C channels; a program takes `each` rows of one
    channel.
    """
    L: tl.constexpr = N1 * N2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    # Addresses that differ in name alone: what is kept from one use to the next takes registers.
    near = 0 if HOLD else tl.multiple_of(nothing * tl.num_programs(0), 16)
    c, split = (tl.program_id(0) % C).to(tl.int64), tl.program_id(0) // C
    spectra += c * SPECTRA * 2 * bins
    if KEEP:
        first, second = _first(products, N1), _second(products, N1, N2)
    if HOLD:
        turn = _turn(angles, N1, N2)
    for outer in range(split * each, tl.minimum(split * each + each, rows)):
        at = (outer * C + c) * L
        if not KEEP:
            first, second = _first(products, N1), _second(products, N1, N2)
        if KIND != 0:
            x = tl.load(_tile(v + at, N1, N2)).to(tl.float32)
            mean, factor = _moments(x, L)
            x = (x - mean) * factor
            if not HOLD:
                turn = _turn(angles + near, N1, N2)
            re, im, mr, mi = _transform(x, first, second, turn, angles + near, N1, N2, NARROW)
            strength = _strength(_without_mean(_power(re, im, L), N1, N2), BOUND, KIND == 2)
            middle = _strength(_power(mr, mi, L), BOUND, KIND == 2)
        x, level = _level(tl.load(_tile(z + at, N1, N2)).to(tl.float32), NARROW)
        if not HOLD:
            turn = _turn(angles + 2 * near, N1, N2)
        re, im, mr, mi = _transform(x, first, second, turn, angles + 2 * near, N1, N2, NARROW)
        # Filters are read where they are needed: registers are what is scarce.
        if KIND != 0:
            hr, hi, hmr, hmi = _load_spectrum(spectra, 1, N1, N2)
            hr, hi, hmr, hmi = hr * strength, hi * strength, hmr * middle, hmi * middle
            br, bi, bmr, bmi = _load_spectrum(spectra, 0, N1, N2)
            hr, hi, hmr, hmi = hr + br, hi + bi, hmr + bmr, hmi + bmi
        else:
            hr, hi, hmr, hmi = _load_spectrum(spectra, 0, N1, N2)
        turned = tl.where(outer % strands == 1, -1.0, 1.0)
        hi, hmi = hi * turned, hmi * turned
        if not HOLD:
            turn = _turn(angles + 3 * near, N1, N2)
        x = _inverse(
            re * hr - im * hi, re * hi + im * hr, mr * hmr - mi * hmi, mr * hmi + mi * hmr,
            first, second, turn, angles + 3 * near, N1, N2, NARROW,
        )  # fmt: skip
        tl.store(_tile(y + at, N1, N2), (x * level).to(y.dtype.element_ty))


@triton.jit(do_not_specialize=["C", "rows", "strands", "each", "nothing"])
def differentiate_kernel(
    dy, z, v, dz, dv, spectra, sums, products, angles, C, rows, strands, each, nothing,
    KIND: tl.constexpr, BOUND: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
    NARROW: tl.constexpr, HOLD: tl.constexpr, KEEP: tl.constexpr, SPILL: tl.constexpr,
):  # fmt: skip
    """dz and dv, and `sums` (splits, C, 1 or 2 packed spectra) of what static and gain move.

    A program takes `each` rows of one channel in order, so sums never depend on timing; SPILL
    leaves them in memory between rows and transforms v twice, where registers are too few.
    """
    L: tl.constexpr = N1 * N2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    # Addresses that differ in name alone: what is kept from one use to the next takes registers.
    near = 0 if HOLD else tl.multiple_of(nothing * tl.num_programs(0), 16)
    c, split = (tl.program_id(0) % C).to(tl.int64), tl.program_id(0) // C
    spectra += c * SPECTRA * 2 * bins
    sums += (split * C + c) * SPECTRA * 2 * bins
    twice = tl.where(tl.arange(0, N1 // 2) == 0, 1.0, 2.0)[:, None]
    if not SPILL:
        sr = tl.zeros((N1 // 2, N2), tl.float32)
        si, smr = tl.zeros_like(sr), tl.zeros((N2 // 2,), tl.float32)
        smi = tl.zeros_like(smr)
        ar, ai, amr, ami = sr, si, smr, smi
    if KEEP:
        first, second = _first(products, N1), _second(products, N1, N2)
    if HOLD:
        turn = _turn(angles, N1, N2)
    for outer in range(split * each, tl.minimum(split * each + each, rows)):
        at = (outer * C + c) * L
        if not KEEP:
            first, second = _first(products, N1), _second(products, N1, N2)
        turned = tl.where(outer % strands == 1, -1.0, 1.0)
        if KIND != 0:
            x = tl.load(_tile(v + at, N1, N2)).to(tl.float32)
            mean, factor = _moments(x, L)
            x = (x - mean) * factor
            if not HOLD:
                turn = _turn(angles + near, N1, N2)
            vr, vi, vmr, vmi = _transform(x, first, second, turn, angles + near, N1, N2, NARROW)
            power, middle = _without_mean(_power(vr, vi, L), N1, N2), _power(vmr, vmi, L)
        x, pulled = _level(tl.load(_tile(dy + at, N1, N2)).to(tl.float32), NARROW)
        if not HOLD:
            turn = _turn(angles + 2 * near, N1, N2)
        dr, di, dmr, dmi = _transform(x, first, second, turn, angles + 2 * near, N1, N2, NARROW)
        if KIND != 0:
            strength = _strength(power, BOUND, KIND == 2)
            weak = _strength(middle, BOUND, KIND == 2)
            hr, hi, hmr, hmi = _load_spectrum(spectra, 1, N1, N2)
            hr, hi, hmr, hmi = hr * strength, hi * strength, hmr * weak, hmi * weak
            br, bi, bmr, bmi = _load_spectrum(spectra, 0, N1, N2)
            hr, hi, hmr, hmi = hr + br, hi + bi, hmr + bmr, hmi + bmi
        else:
            hr, hi, hmr, hmi = _load_spectrum(spectra, 0, N1, N2)
        hi, hmi = hi * turned, hmi * turned
        if not HOLD:
            turn = _turn(angles + 3 * near, N1, N2)
        x = _inverse(
            dr * hr + di * hi, di * hr - dr * hi, dmr * hmr + dmi * hmi, dmi * hmr - dmr * hmi,
            first, second, turn, angles + 3 * near, N1, N2, NARROW,
        )  # fmt: skip
        tl.store(_tile(dz + at, N1, N2), (x * pulled).to(dz.dtype.element_ty))
        if not KEEP:
            first, second = _first(products, N1), _second(products, N1, N2)
        x, level = _level(tl.load(_tile(z + at, N1, N2)).to(tl.float32), NARROW)
        if not HOLD:
            turn = _turn(angles + 4 * near, N1, N2)
        re, im, mr, mi = _transform(x, first, second, turn, angles + 4 * near, N1, N2, NARROW)
        # Q = conj(Z) dY, conjugated on the second strand.
        both = level * pulled
        qr, qi = (re * dr + im * di) * both, (re * di - im * dr) * (both * turned)
        qmr, qmi = (mr * dmr + mi * dmi) * both, (mr * dmi - mi * dmr) * (both * turned)
        if SPILL:
            _add_spectrum(sums, 0, qr, qi, qmr, qmi, outer == split * each, N1, N2)
        else:
            sr, si, smr, smi = sr + qr, si + qi, smr + qmr, smi + qmi
        if KIND != 0:
            strength = _strength(power, BOUND, KIND == 2)
            weak = _strength(middle, BOUND, KIND == 2)
            pr, pi, pmr, pmi = qr * strength, qi * strength, qmr * weak, qmi * weak
            if SPILL:
                _add_spectrum(sums, 1, pr, pi, pmr, pmi, outer == split * each, N1, N2)
            else:
                ar, ai, amr, ami = ar + pr, ai + pi, amr + pmr, ami + pmi
            gr, gi, gmr, gmi = _load_spectrum(spectra, 1, N1, N2)
            slope = _slope(power, strength, BOUND, KIND == 2) * (gr * qr + gi * qi)
            sloped = _slope(middle, weak, BOUND, KIND == 2) * (gmr * qmr + gmi * qmi)
            # What every bin moves through the mean.
            shared = tl.sum(twice * slope * power)
            shared = (shared + 2 * tl.sum(sloped * middle, 0)) / L
            if SPILL:
                x = (tl.load(_tile(v + at, N1, N2)).to(tl.float32) - mean) * factor
                if not HOLD:
                    turn = _turn(angles + 5 * near, N1, N2)
                vr, vi, vmr, vmi = _transform(
                    x, first, second, turn, angles + 5 * near, N1, N2, NARROW
                )
            # V stands here times `factor`, and the mean power is L / factor^2.
            factor *= 2.0 / L
            slope = _without_mean(slope - shared, N1, N2) * factor
            sloped = (sloped - shared) * factor
            if not HOLD:
                turn = _turn(angles + 6 * near, N1, N2)
            x = _inverse(
                vr * slope, vi * slope, vmr * sloped, vmi * sloped,
                first, second, turn, angles + 6 * near, N1, N2, NARROW,
            )  # fmt: skip
            tl.store(_tile(dv + at, N1, N2), x.to(dv.dtype.element_ty))
        if SPILL:
            # The next row adds to what this one stored.
            tl.debug_barrier()
    if not SPILL:
        _store_spectrum(sums, 0, sr, si, smr, smi, N1, N2)
        if KIND != 0:
            _store_spectrum(sums, 1, ar, ai, amr, ami, N1, N2)


@triton.jit
def pack_kernel(
    static, gain, out, KIND: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, BLOCK: tl.constexpr
):
    """Half spectra (C, F) in the tile's order: out (C, 1 or 2, re and im, bins)."""
    L: tl.constexpr = N1 * N2
    F: tl.constexpr = L // 2 + 1
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    c, which = tl.program_id(0).to(tl.int64), tl.program_id(2)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < L // 2
    k = tl.where(inside, place // N2 + N1 * (place % N2), N1 // 2 + N1 * (place - L // 2))
    mirrored = 2 * k > L
    f = tl.where(mirrored, L - k, k)
    source = static
    if which == 1:
        source = gain
    at = source + (c * F + f) * 2
    real = tl.load(at, mask=place < bins, other=0.0)
    imaginary = tl.load(at + 1, mask=place < bins, other=0.0)
    imaginary = tl.where(mirrored, -imaginary, imaginary)
    # DC and Nyquist are real.
    imaginary = tl.where((f == 0) | (2 * f == L), 0.0, imaginary)
    at = out + (c * SPECTRA + which) * 2 * bins + place
    tl.store(at, real, mask=place < bins)
    tl.store(at + bins, imaginary, mask=place < bins)


@triton.jit(do_not_specialize=["C", "splits"])
def unpack_kernel(
    sums, dstatic, dgain, C, splits,
    KIND: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients (C, F) of half spectra, from sums of all bins over splits in order."""
    L: tl.constexpr = N1 * N2
    F: tl.constexpr = L // 2 + 1
    bins: tl.constexpr = N1 // 2 * N2 + N2 // 2
    SPECTRA: tl.constexpr = 1 if KIND == 0 else 2
    c, which = tl.program_id(0).to(tl.int64), tl.program_id(2)
    f = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    digit = f % N1
    mirrored = digit > N1 // 2
    k = tl.where(mirrored, L - f, f)
    place = tl.where(digit == N1 // 2, L // 2 + f // N1, k % N1 * N2 + k // N1)
    real, imaginary = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for split in range(splits):
        at = sums + ((split * C + c) * SPECTRA + which) * 2 * bins + place
        real += tl.load(at, mask=f < F, other=0.0)
        imaginary += tl.load(at + bins, mask=f < F, other=0.0)
    end = (f == 0) | (2 * f == L)
    weight = tl.where(end, 1.0 / L, 2.0 / L)
    imaginary = tl.where(end, 0.0, tl.where(mirrored, -imaginary, imaginary))
    target = dstatic
    if which == 1:
        target = dgain
    at = target + (c * F + f) * 2
    tl.store(at, real * weight, mask=f < F)
    tl.store(at + 1, imaginary * weight, mask=f < F)
