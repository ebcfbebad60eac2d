"""The stem's motifs and the embedding, fused by hand for a CPU: products over windows, GELU, the
butterfly and the mixing down to the stream, forward and backward.

Ordinary autograd passes ten times over tensors as wide as all motifs; here pieces of rows stay in
cache. `model.orchid.Orchid.embed` holds the same written out. The trap: `narrow` comes with the
butterfly's 1 / sqrt 2 folded in, and letters get no gradient here.
"""

import math
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import pieces, without_autocast
from orchid_genomics.ops.products import (
    finish_sums,
    fly,
    product,
    product_backward,
    split_halves,
    start_sum,
)


def read_motifs(
    letters_BVL: Tensor,
    windows_BWL: Tensor,
    table_DV: Tensor,
    weight_MW: Tensor,
    bias_M: Tensor,
    narrow: Tensor | None,
    halves: int,
) -> tuple[Tensor, Tensor]:
    """The residual stream (B, D, L), and the motifs (B, M, L) in the paired basis.

    Parameters
    ----------
    letters_BVL, windows_BWL : Tensor
        One-hot letters, and those around each position (`model.stem`), W numbers.
    table_DV : Tensor
        The vector of every letter, in the even/odd basis.
    weight_MW, bias_M : Tensor
        A motif is GELU(weight windows + bias).
    narrow : Tensor or None
        (halves, D / halves, M / halves): what mixes motifs down to the stream, in the even/odd
        basis; None where M is D and they are added as they are.
    halves : int
        2 where channels come in strand pairs, else 1.
    """
    x_BDL, motifs_BML, _ = _Motifs.apply(
        letters_BVL, windows_BWL, table_DV, weight_MW, bias_M, narrow, halves
    )
    return x_BDL, motifs_BML


class _Motifs(torch.autograd.Function):
    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        return _forward(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        letters, windows, table, weight, _, narrow, ctx.halves = inputs
        _, motifs, sums = output
        ctx.mark_non_differentiable(sums)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(letters, windows, table, weight, narrow, motifs, sums)

    @staticmethod
    def backward(ctx: Any, dx: Tensor | None, dmotifs: Tensor | None, _: None) -> tuple[Any, ...]:
        letters, windows, table, weight, narrow, motifs, sums = ctx.saved_tensors
        if dx is None:  # somebody reads the motifs alone
            dx = motifs.new_zeros(len(motifs), len(table), motifs.shape[-1])
        dtable, dweight, dbias, dnarrow = _backward(
            dx, dmotifs, letters, windows, table, weight, narrow, motifs, sums, ctx.halves
        )
        return None, None, dtable, dweight, dbias, None if narrow is None else dnarrow, None


@without_autocast
def _forward(
    letters_BVL: Tensor,
    windows_BWL: Tensor,
    table_DV: Tensor,
    weight_MW: Tensor,
    bias_M: Tensor,
    narrow: Tensor | None,
    halves: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Stream, motifs, and the sums that GELU takes."""
    (B, _, L), (D, M) = letters_BVL.shape, (len(table_DV), len(weight_MW))
    x_BDL = letters_BVL.new_empty(B, D, L)
    motifs_BML, sums_BML = (letters_BVL.new_empty(B, M, L) for _ in range(2))

    def work(rows: slice, first: int, last: int) -> None:
        windows, letters = (t[rows, :, first:last] for t in (windows_BWL, letters_BVL))
        motifs, sums, x = (t[rows, :, first:last] for t in (motifs_BML, sums_BML, x_BDL))
        weight = weight_MW.expand(len(windows), M, -1)
        torch.baddbmm(bias_M[:, None], weight, windows, out=sums)
        torch.ops.aten.gelu.out(sums, out=motifs)
        mixed = fly(split_halves(motifs, halves))
        if narrow is not None:
            mixed = product(narrow, None, mixed).view(x.shape)
        elif halves == 2:
            mixed.mul_(math.sqrt(0.5))
        torch.add(mixed, torch.matmul(table_DV, letters), out=x)

    for piece in pieces(motifs_BML):
        work(*piece)
    return x_BDL, motifs_BML, sums_BML


@without_autocast
def _backward(
    dx_BDL: Tensor,
    dmotifs_BML: Tensor | None,
    letters_BVL: Tensor,
    windows_BWL: Tensor,
    table_DV: Tensor,
    weight_MW: Tensor,
    narrow: Tensor | None,
    motifs_BML: Tensor,
    sums_BML: Tensor,
    halves: int,
) -> list[Tensor]:
    """Gradients of table, weight, bias and narrow."""
    dtable, dweight, dnarrow = start_sum(table_DV), start_sum(weight_MW), start_sum(narrow)
    dbias = start_sum(weight_MW[:, 0])

    def work(rows: slice, first: int, last: int) -> None:
        dx, motifs, sums, letters, windows = (
            t[rows, :, first:last] for t in (dx_BDL, motifs_BML, sums_BML, letters_BVL, windows_BWL)
        )
        dtable.add_(torch.bmm(dx, letters.transpose(1, 2)).sum(0))
        if narrow is None or dnarrow is None:
            dmixed = dx * math.sqrt(0.5) if halves == 2 else dx
        else:
            dout = dx.reshape(len(dx), *narrow.shape[:2], -1)
            dmixed = product_backward(
                dout, narrow, fly(split_halves(motifs, halves)), dnarrow, None
            )
        dmotifs = fly(split_halves(dmixed, halves))
        if dmotifs_BML is not None:
            dmotifs = dmotifs + dmotifs_BML[rows, :, first:last]
        dsums = torch.ops.aten.gelu_backward(dmotifs, sums)
        dbias.add_(dsums.sum((0, -1)))
        dweight.add_(torch.bmm(dsums, windows.transpose(1, 2)).sum(0))

    for piece in pieces(motifs_BML):
        work(*piece)
    return finish_sums(weight_MW.dtype, dtable, dweight, dbias, dnarrow)
