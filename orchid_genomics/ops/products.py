"""What the fused parts of a block share: products, butterflies and norms on chunks, forward and backward.

Shapes: weights (G, parts * O, I), G = halves * blocks; bias (parts * O * blocks) of half 0; chunks (D, n). The trap:
`fly` leaves out the butterfly's 1 / sqrt 2, which is folded into the weights (`model.strands.Mix.folded`). The type of
the weights is that of the activations (bfloat16 on a GPU); the residual stream x keeps its own.
"""

import torch
from torch import Tensor

EPS = 1e-6


def by_half(x: Tensor, halves: int) -> Tensor:
    """(halves * rest, n) -> (halves, rest, n)."""
    return x.reshape(halves, -1, x.shape[-1])


def fly(x_HRn: Tensor) -> Tensor:
    """The butterfly without its 1 / sqrt 2 over dim 0 (two halves); one half stays as it is."""
    if x_HRn.shape[0] == 1:
        return x_HRn
    out = torch.empty_like(x_HRn)
    torch.add(x_HRn[0], x_HRn[1], out=out[0])
    torch.sub(x_HRn[0], x_HRn[1], out=out[1])
    return out


def flown(out_GOn: Tensor, halves: int, parts: int) -> Tensor:
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


def unflown(d_PHCn: Tensor, G: int) -> Tensor:
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


def normalise(x_Dn: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x over its root mean square as activations of `dtype`, and one over that root in the stream's own."""
    rms = (x_Dn * x_Dn).sum(0).div_(x_Dn.shape[0]).add_(EPS).rsqrt_()
    return (x_Dn * rms).to(dtype), rms


def normalise_backward(dn_Dn: Tensor, n_Dn: Tensor, rms: Tensor) -> Tensor:
    dn_Dn = dn_Dn.to(rms.dtype)
    share = (dn_Dn * n_Dn).sum(0).div_(n_Dn.shape[0])
    return dn_Dn.addcmul_(n_Dn, share, value=-1).mul_(rms)


def product(weight: Tensor, bias: Tensor | None, x_Dn: Tensor) -> Tensor:
    """(G, O, n) of weight (G, O, I) and x (G * I, n); bias on the first half."""
    out = torch.bmm(weight, x_Dn.reshape(weight.shape[0], weight.shape[2], -1))
    if bias is not None:
        blocks = bias.numel() // weight.shape[1]
        out[:blocks] += bias.view(blocks, -1, 1)
    return out


def product_backward(dout_GOn: Tensor, weight: Tensor, x_Dn: Tensor, dweight: Tensor, dbias: Tensor | None) -> Tensor:
    """The gradient of x from that of the product; those of weight and bias are added to what is given."""
    if dbias is not None:
        blocks = dbias.numel() // weight.shape[1]
        dbias += dout_GOn[:blocks].sum(-1).view(-1)
    dout_GOn = dout_GOn.to(weight.dtype)
    x_GnI = x_Dn.reshape(weight.shape[0], weight.shape[2], -1).transpose(1, 2)
    if dweight.dtype == x_Dn.dtype:
        dweight.baddbmm_(dout_GOn, x_GnI)
    else:
        dweight += torch.bmm(dout_GOn, x_GnI)
    return torch.bmm(weight.transpose(1, 2), dout_GOn).view(x_Dn.shape)


def zeros_like_all(*tensors: Tensor | None) -> list[Tensor | None]:
    """What partial sums start from: float32 at least, for bfloat16 loses a sum over many chunks."""
    return [None if t is None else torch.zeros(t.shape, dtype=_wide(t.dtype), device=t.device) for t in tensors]


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def summed(partial: list[list[Tensor | None]], dtype: torch.dtype) -> list[Tensor]:
    """Partial sums of the workers, added in their order; a missing bias is an empty tensor."""
    sums = [None if group[0] is None else sum(group[1:], group[0]) for group in zip(*partial, strict=True)]
    return [torch.zeros(0) if total is None else total.to(dtype) for total in sums]


# --- autograd and shapes for torch.compile ---


def gradient_of(gradient: Tensor, of: Tensor | None) -> Tensor | None:
    return None if of is None else gradient


def keep_all(ctx, inputs, output) -> None:
    *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def shape(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def shapes(*tensors: Tensor | None) -> list[Tensor]:
    return [torch.empty(0) if t is None else shape(t) for t in tensors]
