"""Kernels that read what stands at the partners of letters, and give gradients back to them.

All are gathers: a letter knows its partners (J slots, best first, -1 for none), and a partner its
readers (a list, in order), so no sum depends on timing. Few letters have partners at all, so blocks
of letters without any are left at once. The trap: where a partner stands on the other strand, the
other channel of the pair is read.
"""

import triton
import triton.language as tl


@triton.jit
def _channels(D, CHANNELS: tl.constexpr, PAIRED: tl.constexpr):
    """The channels of a program as a column, and what each is on the other strand."""
    d = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[:, None]
    other = d
    if PAIRED:
        other = tl.where(d < D // 2, d + D // 2, d - D // 2)
    return d, other


@triton.jit
def _place(L, blocks, BLOCK: tl.constexpr):
    """The row of a program, and its letters."""
    b = (tl.program_id(0) // blocks).to(tl.int64)
    return b, tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _gather(x, d, other, at, turned, some, D, L, like):
    """x[d, at], or x[other, at] where turned, in the wide type of `like`; zero where not `some`."""
    row = tl.where(turned[None, :], other, d).to(tl.int64)
    inside = some[None, :] & (d < D)
    return tl.load(x + row * L + at[None, :], mask=inside, other=0.0).to(like.dtype.element_ty)


@triton.jit
def _slot(z, partner, weight, b, j, d, other, t, D, L, J: tl.constexpr):
    """What stands at the partners in slot j of letters t, and its two weights."""
    at = tl.load(partner + (b * J + j) * L + t, mask=t < L, other=-1)
    some, turned = at >= 0, at >= L
    read = _gather(z, d, other, tl.where(turned, at - L, at), turned, some, D, L, weight)
    sharp = weight + (b * 2 * J + j) * L + t
    best = tl.load(sharp, mask=some, other=0.0)
    good = tl.load(sharp + J * L, mask=some, other=0.0)
    return read, best[None, :], good[None, :]


@triton.jit
def read_kernel(
    z, partner, weight, gain, y, D, L, blocks,
    J: tl.constexpr, PAIRED: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y[d, t] = sum over slots j of (gain[0, d] weight[0, j, t] + gain[1, d] weight[1, j, t])
    z[d, partner[j, t]].
    """
    b, t = _place(L, blocks, BLOCK)
    d, other = _channels(D, CHANNELS, PAIRED)
    kind = weight.dtype.element_ty
    total = tl.zeros((CHANNELS, BLOCK), kind)
    # Slots are filled from the first: a letter without a partner there has none.
    first = tl.load(partner + b * J * L + t, mask=t < L, other=-1)
    if tl.max(first, 0) >= 0:
        to_best = tl.load(gain + d, mask=d < D, other=0.0).to(kind)
        to_good = tl.load(gain + D + d, mask=d < D, other=0.0).to(kind)
        for j in range(J):
            read, best, good = _slot(z + b * D * L, partner, weight, b, j, d, other, t, D, L, J)
            total += (to_best * best + to_good * good) * read
    at = y + b * D * L + d.to(tl.int64) * L + t[None, :]
    tl.store(at, total.to(y.dtype.element_ty), mask=(d < D) & (t < L)[None, :])


@triton.jit
def gain_kernel(
    dy, z, partner, weight, dgain, D, L, blocks,
    J: tl.constexpr, PAIRED: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of the gain, a sum for every block of letters: dgain (pieces, 2, D)."""
    b, t = _place(L, blocks, BLOCK)
    d, other = _channels(D, CHANNELS, PAIRED)
    kind = weight.dtype.element_ty
    to_best, to_good = tl.zeros((CHANNELS, BLOCK), kind), tl.zeros((CHANNELS, BLOCK), kind)
    first = tl.load(partner + b * J * L + t, mask=t < L, other=-1)
    if tl.max(first, 0) >= 0:
        own = tl.zeros_like(t) > 0
        slope = _gather(dy + b * D * L, d, other, t, own, t < L, D, L, weight)
        for j in range(J):
            read, best, good = _slot(z + b * D * L, partner, weight, b, j, d, other, t, D, L, J)
            to_best += best * slope * read
            to_good += good * slope * read
    out = dgain + tl.program_id(0).to(tl.int64) * 2 * D + d
    tl.store(out, tl.sum(to_best, 1)[:, None], mask=d < D)
    tl.store(out + D, tl.sum(to_good, 1)[:, None], mask=d < D)


@triton.jit
def give_back_kernel(
    dy, partner, weight, first, reader, gain, dz, D, L, blocks,
    J: tl.constexpr, PAIRED: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of z: a letter's readers are `reader[first[t]]` to `reader[first[t + 1]]`, each
    its slot and letter as j L + t.
    """
    b, t = _place(L, blocks, BLOCK)
    d, other = _channels(D, CHANNELS, PAIRED)
    kind = weight.dtype.element_ty
    total = tl.zeros((CHANNELS, BLOCK), kind)
    start = tl.load(first + b * L + t, mask=t < L, other=0)
    count = tl.load(first + b * L + t + 1, mask=t < L, other=0) - start
    most = tl.max(count, 0)
    if most > 0:
        best_d = tl.load(gain + d, mask=d < D, other=0.0).to(kind)
        good_d = tl.load(gain + D + d, mask=d < D, other=0.0).to(kind)
        best_other = tl.load(gain + other, mask=d < D, other=0.0).to(kind)
        good_other = tl.load(gain + D + other, mask=d < D, other=0.0).to(kind)
        for i in range(most):
            some = i < count
            entry = tl.load(reader + start + i, mask=some, other=0)
            turned = tl.load(partner + b * J * L + entry, mask=some, other=-1) >= L
            slope = _gather(dy + b * D * L, d, other, entry % L, turned, some, D, L, weight)
            sharp = weight + b * 2 * J * L + entry
            best = tl.load(sharp, mask=some, other=0.0)[None, :]
            good = tl.load(sharp + J * L, mask=some, other=0.0)[None, :]
            own = best_d * best + good_d * good
            across = best_other * best + good_other * good
            total += tl.where(turned[None, :], across, own) * slope
    at = dz + b * D * L + d.to(tl.int64) * L + t[None, :]
    tl.store(at, total.to(dz.dtype.element_ty), mask=(d < D) & (t < L)[None, :])
