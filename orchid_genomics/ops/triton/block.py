"""The parts of a block beside the long convolution on a GPU: batched products, and one kernel
between two of them.

`enter`, `leave` and `gated_mlp` are those of `ops.gates` and `ops.mlp`: same arguments, same
results, only inputs kept. `model.orchid` holds them written plainly. The trap: weights and all
inside have the type of the activations (bfloat16), the residual stream x its own (float32), and no
sum is narrower than float32 or depends on timing.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.products import EPS, fake, fakes, gradient_if, save_inputs
from orchid_genomics.ops.triton.machine import kernels, launch, on_device_of, power_of_two

BLOCK = 256  # positions a program takes at once
CHANNELS = 16  # channels that a program of the norm takes at once

Maybe = Tensor | None


@torch.library.custom_op("orchid::enter_triton", mutates_args=())
def enter(
    x_BDL: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    taps: Tensor,
    mask_BL: Tensor | None,
    halves: int,
) -> list[Tensor]:
    """z = v s1, v and s2 (B, D, L) from short_conv(fly(W norm(x))); see `ops.gates.enter`."""
    # Kernels take numbers to lie densely as (B, D, L).
    run, x = kernels("block_kernels", x_BDL), x_BDL.contiguous()
    outs = [torch.empty_like(x, dtype=weight.dtype) for _ in range(3)]
    # No kernel is launched over no numbers: a grid must not be empty.
    if x.numel():
        with on_device_of(x):
            rms, narrow = _norm(run, x, weight.dtype)
            P = _product(weight, narrow)
            options = _options(weight, bias, taps, mask_BL, halves, x)
            given = (P, _or(bias, rms), rms, _mask(mask_BL, rms), taps.contiguous())
            sizes = _sizes(weight, x, halves, 3)
            launch(run.enter_kernel, _grid(x, halves), *given, *outs, *sizes, **options)
    return outs


@torch.library.custom_op("orchid::enter_triton_backward", mutates_args=())
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
    """Gradients of x, weight, bias and taps."""
    run, x = kernels("block_kernels", x_BDL), x_BDL.contiguous()
    if not x.numel():
        return [torch.zeros_like(x), *_zeros(weight, bias, taps)]
    with on_device_of(x):
        rms, narrow = _norm(run, x, weight.dtype)
        P = _product(weight, narrow)
        grid = _grid(x, halves)
        pieces, C = grid[0] * grid[2], x.shape[1] // halves
        # A sum for every piece, added up later: atomic adds would depend on timing.
        dP, dtaps = torch.empty_like(P), rms.new_empty(pieces, *taps.shape)
        dbias = None if bias is None else rms.new_empty(pieces, 3 * C)
        given = (P, _or(bias, rms), rms, _mask(mask_BL, rms), taps.contiguous())
        sizes = _sizes(weight, x, halves, 3)
        options = _options(weight, bias, taps, mask_BL, halves, x)
        dgate, dvalue = (torch.empty_like(x, dtype=weight.dtype) for _ in range(2))
        upstream = dz_BDL.contiguous(), dv_BDL.contiguous(), *given, dgate, dvalue
        launch(run.gates_backward_kernel, grid, *upstream, *sizes, **options)
        outs = (dP, dtaps, _or(dbias, rms))
        upstream = dgate, ds2_BDL.contiguous(), dvalue
        launch(run.enter_backward_kernel, grid, *upstream, *given, *outs, *sizes, **options)
        dx = _norm_backward(run, _product(weight.transpose(1, 2), dP), x, rms, None)
        dweight = _weight_gradient(dP, narrow, weight)
        return [dx, dweight, _sum_pieces(dbias, weight), _sum_pieces(dtaps, taps)]


@torch.library.custom_op("orchid::leave_triton", mutates_args=())
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
    """x + W fly((y + skip z) s2); skip (D); see `ops.gates.leave`."""
    run, u = (
        kernels("block_kernels", x_BDL),
        torch.empty_like(y_BDL, memory_format=torch.contiguous_format),
    )
    if not u.numel():
        return torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
    with on_device_of(u):
        given = (t.contiguous() for t in (y_BDL, z_BDL, s2_BDL))
        C, L = u.shape[1] // halves, u.shape[2]
        grid, options = _grid(u, halves), {"HALVES": halves, "BLOCK": _block(L)}
        launch(run.leave_kernel, grid, *given, _wide(skip), u, C, L, **options)
        return _residual(x_BDL, weight, bias, u)


@torch.library.custom_op("orchid::leave_triton_backward", mutates_args=())
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
    run, dout = kernels("block_kernels", y_BDL), dout_BDL.contiguous()
    y, z, s2 = (t.contiguous() for t in (y_BDL, z_BDL, s2_BDL))
    if not y.numel():
        return [*(torch.zeros_like(t) for t in (y, z, s2)), *_zeros(skip, weight, bias)]
    with on_device_of(y):
        narrow = dout.to(weight.dtype)
        du = _product(weight.transpose(1, 2), narrow)
        u, dy, dz, ds2 = (torch.empty_like(y) for _ in range(4))
        grid, wide = _grid(y, halves), _wide(skip)
        # A sum for every piece, as in `enter_backward`.
        dskip = wide.new_empty(grid[0] * grid[2], skip.numel())
        C, L = y.shape[1] // halves, y.shape[2]
        options = {"HALVES": halves, "BLOCK": _block(L)}
        given = (du, y, z, s2, wide, u, dy, dz, ds2, dskip)
        launch(run.leave_backward_kernel, grid, *given, C, L, **options)
        dweight, dbias = _weight_gradient(narrow, u, weight), _bias_gradient(dout, bias)
        return [dy, dz, ds2, _sum_pieces(dskip, skip), dweight, dbias]


@torch.library.custom_op("orchid::gated_mlp_triton", mutates_args=())
def gated_mlp(
    x_BDL: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    halves: int,
) -> Tensor:
    """x + W_out fly(value GELU(gate)), with (value, gate) = fly(W_in norm(x)); see
    `ops.mlp.gated_mlp`.
    """
    run, x = kernels("block_kernels", x_BDL), x_BDL.contiguous()
    if not x.numel():
        return torch.empty_like(x)
    with on_device_of(x):
        rms, narrow = _norm(run, x, w_in.dtype)
        P, u = _product(w_in, narrow), _hidden(w_in, narrow)
        options = {"HALVES": halves, "BIAS": b_in is not None, "BLOCK": _block(x.shape[2])}
        given = (P, _or(b_in, rms), rms, u)
        launch(run.glu_kernel, _grid(u, halves), *given, *_sizes(w_in, u, halves, 2), **options)
        return _residual(x, w_out, b_out, u)


@torch.library.custom_op("orchid::gated_mlp_triton_backward", mutates_args=())
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
    run, x, dy = kernels("block_kernels", x_BDL), x_BDL.contiguous(), dy_BDL.contiguous()
    if not x.numel():
        return [torch.zeros_like(x), *_zeros(w_in, b_in, w_out, b_out)]
    with on_device_of(x):
        rms, narrow = _norm(run, x, w_in.dtype)
        P, u = _product(w_in, narrow), _hidden(w_in, narrow)
        dout = dy.to(w_out.dtype)
        du, dP, grid = _product(w_out.transpose(1, 2), dout), torch.empty_like(P), _grid(u, halves)
        dbias = None if b_in is None else rms.new_empty(grid[0] * grid[2], b_in.numel())
        options = {"HALVES": halves, "BIAS": b_in is not None, "BLOCK": _block(x.shape[2])}
        given = (du, P, _or(b_in, rms), rms, u, dP, _or(dbias, rms))
        launch(run.glu_backward_kernel, grid, *given, *_sizes(w_in, u, halves, 2), **options)
        dx = _norm_backward(run, _product(w_in.transpose(1, 2), dP), x, rms, dy)
        inside = [_weight_gradient(dP, narrow, w_in), _sum_pieces(dbias, w_in)]
        return [dx, *inside, _weight_gradient(dout, u, w_out), _bias_gradient(dy, b_out)]


def _block(L: int) -> int:
    return min(BLOCK, max(16, power_of_two(L)))


def _grid(x_BDL: Tensor, halves: int) -> tuple[int, int, int]:
    B, D, L = x_BDL.shape
    return -(-L // _block(L)), D // halves, B


def _sizes(weight: Tensor, out_BDL: Tensor, halves: int, parts: int) -> tuple[int, int, int]:
    """Channels of a half, those of one block and part, positions."""
    return out_BDL.shape[1] // halves, weight.shape[1] // parts, out_BDL.shape[2]


def _options(
    weight: Tensor, bias: Maybe, taps: Tensor, mask_BL: Maybe, halves: int, x_BDL: Tensor
) -> dict:
    K, L = taps.shape[-1], x_BDL.shape[2]
    given = {"BIAS": bias is not None, "MASK": mask_BL is not None, "NEAR": K // 2 <= L}
    return {"HALVES": halves, "K": K, **given, "BLOCK": _block(L)}


def _or(tensor: Maybe, other: Tensor) -> Tensor:
    """A kernel's argument that it never reads."""
    return other if tensor is None else tensor.contiguous()


def _mask(mask_BL: Maybe, rms: Tensor) -> Tensor:
    return rms if mask_BL is None else mask_BL.to(rms.dtype).contiguous()


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32)).contiguous()


def _hidden(w_in: Tensor, x_BDL: Tensor) -> Tensor:
    """Room for the hidden layer of the gated MLP."""
    B, _, L = x_BDL.shape
    return x_BDL.new_empty(B, w_in.shape[0] * w_in.shape[1] // 2, L)


def _norm(run: ModuleType, x_BDL: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One over the root mean square of every position, (B, L), float32 or wider; and x in the
    products' type.
    """
    B, D, L = x_BDL.shape
    rms = x_BDL.new_empty(B, L, dtype=torch.promote_types(x_BDL.dtype, torch.float32))
    narrow = x_BDL if x_BDL.dtype == dtype else torch.empty_like(x_BDL, dtype=dtype)
    block = min(128, _block(L))
    options = {"EPS": EPS, "NARROW": narrow is not x_BDL, "CHANNELS": CHANNELS, "BLOCK": block}
    launch(run.rms_kernel, (-(-L // block), B), x_BDL, rms, narrow, D, L, **options)
    return rms, narrow


def _norm_backward(
    run: ModuleType, e: Tensor, x_BDL: Tensor, rms: Tensor, residual: Maybe
) -> Tensor:
    """The gradient of x; written over e where the types allow."""
    B, D, L = x_BDL.shape
    dx = e if e.dtype == x_BDL.dtype else torch.empty_like(x_BDL)
    block = min(128, _block(L))
    options = {"RESIDUAL": residual is not None, "CHANNELS": CHANNELS, "BLOCK": block}
    given = (e, x_BDL, rms, _or(residual, e), dx)
    launch(run.norm_backward_kernel, (-(-L // block), B), *given, D, L, **options)
    return dx.view(x_BDL.shape)


def _product(weight: Tensor, x_BDL: Tensor) -> Tensor:
    """W x (B, G * O, L) of weight (G, O, I), without bias."""
    (B, _, L), (G, _, I) = x_BDL.shape, weight.shape
    return torch.matmul(weight, x_BDL.reshape(B, G, I, L)).reshape(B, -1, L)


def _residual(x_BDL: Tensor, weight: Tensor, bias: Maybe, u: Tensor) -> Tensor:
    """x + W u + bias on the first half; x is added within the product where it has its type."""
    (B, D, L), (G, O, I) = x_BDL.shape, weight.shape
    # A product that adds saves a pass over the stream; bfloat16 cannot add to float32.
    if x_BDL.dtype == weight.dtype:
        every = weight.expand(B, G, O, I).reshape(B * G, O, I)
        out = torch.baddbmm(x_BDL.reshape(B * G, O, L), every, u.view(B * G, I, L)).view(B, D, L)
    else:
        out = x_BDL + _product(weight, u)
    if bias is not None:
        out[:, : bias.numel()] += bias[:, None]
    return out


def _weight_gradient(dout: Tensor, x_BDL: Tensor, weight: Tensor) -> Tensor:
    (B, _, L), (G, O, I) = x_BDL.shape, weight.shape
    each = torch.matmul(dout.view(B, G, O, L), x_BDL.view(B, G, I, L).transpose(2, 3))
    # Wide, for bfloat16 loses a sum over many rows.
    return each.sum(0, dtype=torch.promote_types(each.dtype, torch.float32)).to(weight.dtype)


def _bias_gradient(dout: Tensor, bias: Maybe) -> Tensor:
    if bias is None:
        return torch.zeros(0)
    wide = torch.promote_types(dout.dtype, torch.float32)
    return dout[:, : bias.numel()].sum((0, 2), dtype=wide).to(bias.dtype)


def _sum_pieces(pieces: Maybe, like: Tensor) -> Tensor:
    return torch.zeros(0) if pieces is None else pieces.sum(0).to(like.dtype)


def _zeros(*tensors: Maybe) -> list[Tensor]:
    return [torch.zeros(0) if t is None else torch.zeros_like(t) for t in tensors]


# --- autograd and shapes for torch.compile ---


def _enter_gradients(ctx: Any, gradients: list[Tensor]) -> tuple[Maybe, ...]:
    x, weight, bias, taps, mask = ctx.saved_tensors
    dx, dweight, dbias, dtaps = enter_backward(*gradients, x, weight, bias, taps, mask, ctx.halves)
    return dx, dweight, gradient_if(dbias, bias), dtaps, None, None


def _save_leave(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *tensors, ctx.halves = inputs
    ctx.save_for_backward(*tensors)


def _leave_gradients(ctx: Any, dout: Tensor) -> tuple[Maybe, ...]:
    y, z, s2, skip, weight, bias = ctx.saved_tensors
    dy, dz, ds2, dskip, dweight, dbias = leave_backward(
        dout, y, z, s2, skip, weight, bias, ctx.halves
    )
    return dout, dy, dz, ds2, dskip, dweight, gradient_if(dbias, bias), None


def _mlp_gradients(ctx: Any, dy: Tensor) -> tuple[Maybe, ...]:
    x, w_in, b_in, w_out, b_out = ctx.saved_tensors
    dx, dw_in, db_in, dw_out, db_out = gated_mlp_backward(
        dy, x, w_in, b_in, w_out, b_out, ctx.halves
    )
    return dx, dw_in, gradient_if(db_in, b_in), dw_out, gradient_if(db_out, b_out), None


enter.register_autograd(_enter_gradients, setup_context=save_inputs)
leave.register_autograd(_leave_gradients, setup_context=_save_leave)
gated_mlp.register_autograd(_mlp_gradients, setup_context=save_inputs)
enter.register_fake(lambda x, weight, *rest: [fake(x).to(weight.dtype) for _ in range(3)])
enter_backward.register_fake(
    lambda dz, dv, ds2, x, weight, bias, taps, mask, halves: fakes(x, weight, bias, taps)
)
leave.register_fake(lambda x, *rest: fake(x))
leave_backward.register_fake(lambda dout, y, z, s2, *rest: fakes(y, z, s2, *rest[:-1]))
gated_mlp.register_fake(lambda x, w_in, b_in, w_out, b_out, halves: fake(x))
gated_mlp_backward.register_fake(lambda dy, x, *rest: fakes(x, *rest[:-1]))
