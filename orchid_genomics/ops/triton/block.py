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

from orchid_genomics.ops.products import (
    EPS,
    fake,
    fakes,
    gradient_if,
    save_inputs,
    sum_products,
)
from orchid_genomics.ops.triton.machine import kernels, launch, on_device_of, power_of_two

BLOCK = 256  # positions a program takes at once
CHANNELS = 16  # channels that a program of the norm takes at once
ON_CHIP = (torch.bfloat16,)
"""Types of weights whose products are part of the kernels around them; others go by cuBLAS."""
# Channels of a half that such a kernel holds: of 96 registers spill, and a step took 16.9 ms on an
# H200 where cuBLAS between the kernels takes 7.3.
WIDEST = 64
HIDDEN, POSITIONS = 32, 64  # hidden channels it takes at once, and positions
LAUNCH = {
    "mlp_backward_kernel": {"num_warps": 8, "maxnreg": 128},
    "enter_product_backward_kernel": {"num_warps": 8},
}
"""How such kernels are launched, so that two programs' registers fit a processor; four warps
else."""

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
            P, rms, _ = _enter_product(run, x, weight, halves, keeps=False)
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
        P, rms, narrow = _enter_product(run, x, weight, halves, keeps=True)
        grid = _grid(x, halves)
        pieces, C = grid[0] * grid[2], x.shape[1] // halves
        # A sum for every piece, added up later: atomic adds would depend on timing.
        dP, dtaps = torch.empty_like(P), rms.new_empty(pieces, *taps.shape)
        dbias = None if bias is None else rms.new_empty(pieces, 3 * C)
        given = (P, _or(bias, rms), rms, _mask(mask_BL, rms), taps.contiguous())
        sizes = _sizes(weight, x, halves, 3)
        options = _options(weight, bias, taps, mask_BL, halves, x)
        dgate, dvalue = (torch.empty_like(x, dtype=weight.dtype) for _ in range(2))
        of_product = dz_BDL.contiguous(), dv_BDL.contiguous()
        outs = (dgate, dvalue)
        launch(run.gates_backward_kernel, grid, *of_product, *given, *outs, *sizes, **options)
        of_taps = dgate, ds2_BDL.contiguous(), dvalue
        sums = (dP, dtaps, _or(dbias, rms))
        launch(run.enter_backward_kernel, grid, *of_taps, *given, *sums, *sizes, **options)
        if _fits_on_chip(weight, halves):
            dx = _enter_product_backward(dP, x, weight, rms, None, halves)
        else:
            dx = _norm_backward(run, _product(weight.transpose(1, 2), dP), x, rms, None)
        dweight = _weight_gradient(dP, narrow, weight)
        # Small parameters come in a wide type of their own.
        dbias = torch.zeros(0) if bias is None else _sum_pieces(dbias, bias)
        return [dx, dweight, dbias, _sum_pieces(dtaps, taps)]


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
        given = tuple(t.contiguous() for t in (y_BDL, z_BDL, s2_BDL))
        if _fits_on_chip(weight, halves):
            options = {"HALVES": halves, "BIAS": bias is not None, **_tile(u, halves)}
            out = torch.empty_like(x_BDL, memory_format=torch.contiguous_format)
            skip = _wide(skip)
            parameters = (skip, weight.contiguous(), _or(bias, skip))
            arguments = (x_BDL.contiguous(), *given, *parameters, out)
            _launch_positions("leave_product_kernel", u, arguments, weight.shape[2], options)
            return out
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
    """Gradients of y, z, s2 and weight, and of skip and bias in one row of numbers; that of x is
    dout itself.
    """
    run, dout = kernels("block_kernels", y_BDL), dout_BDL.contiguous()
    y, z, s2 = (t.contiguous() for t in (y_BDL, z_BDL, s2_BDL))
    if not y.numel():
        return [*_zeros(y, z, s2, weight), _room(skip, skip, bias).zero_()]
    with on_device_of(y):
        if _fits_on_chip(weight, halves):
            dy, dz, ds2, narrow, u = (torch.empty_like(y) for _ in range(5))
            pieces = _pieces(y, halves)
            sums = _room(skip).new_empty(pieces, skip.numel() + weight.shape[1])
            given = (dout, y, z, s2, _wide(skip), weight.contiguous())
            outs = (dy, dz, ds2, narrow, u, sums)
            options = {"HALVES": halves, **_tile(y, halves)}
            _launch_positions(
                "leave_product_backward_kernel", y, (*given, *outs), weight.shape[2], options
            )
            last = skip.numel() + (0 if bias is None else bias.numel())
            return [dy, dz, ds2, _weight_gradient(narrow, u, weight), sums[:, :last].sum(0)]
        narrow = dout.to(weight.dtype)
        du = _product(weight.transpose(1, 2), narrow)
        u, dy, dz, ds2 = (torch.empty_like(y) for _ in range(4))
        grid, wide = _grid(y, halves), _wide(skip)
        # A sum for every piece, as in `enter_backward`.
        dskip = wide.new_empty(grid[0] * grid[2], skip.numel())
        C, L = y.shape[1] // halves, y.shape[2]
        options = {"HALVES": halves, "BLOCK": _block(L)}
        arguments = (du, y, z, s2, wide, u, dy, dz, ds2, dskip)
        launch(run.leave_backward_kernel, grid, *arguments, C, L, **options)
        both = (_sum_pieces(dskip, wide), _bias_gradient(dout, bias))
        small = torch.cat([each.to(wide) for each in both])
        return [dy, dz, ds2, _weight_gradient(narrow, u, weight), small]


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
        if _fits_on_chip(w_in, halves):
            return _mlp_on_chip(x, w_in, b_in, w_out, b_out, halves)
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
    """Gradients of x, w_in and w_out, and of b_in and b_out in one row of numbers."""
    run, x, dy = kernels("block_kernels", x_BDL), x_BDL.contiguous(), dy_BDL.contiguous()
    if not x.numel():
        return [*_zeros(x, w_in, w_out), _room(x, b_in, b_out).zero_()]
    with on_device_of(x):
        if _fits_on_chip(w_in, halves):
            return _mlp_on_chip_backward(dy, x, w_in, b_in, w_out, b_out, halves)
        rms, narrow = _norm(run, x, w_in.dtype)
        P, u = _product(w_in, narrow), _hidden(w_in, narrow)
        dout = dy.to(w_out.dtype)
        du, dP, grid = _product(w_out.transpose(1, 2), dout), torch.empty_like(P), _grid(u, halves)
        dbias = None if b_in is None else rms.new_empty(grid[0] * grid[2], b_in.numel())
        options = {"HALVES": halves, "BIAS": b_in is not None, "BLOCK": _block(x.shape[2])}
        given = (du, P, _or(b_in, rms), rms, u, dP, _or(dbias, rms))
        launch(run.glu_backward_kernel, grid, *given, *_sizes(w_in, u, halves, 2), **options)
        dx = _norm_backward(run, _product(w_in.transpose(1, 2), dP), x, rms, dy)
        weights = _weight_gradient(dP, narrow, w_in), _weight_gradient(dout, u, w_out)
        biases = [_sum_pieces(dbias, rms), _bias_gradient(dy, b_out)]
        return [dx, *weights, torch.cat([each.to(rms) for each in biases])]


@torch.library.custom_op("orchid::norm_triton", mutates_args=())
def norm(x_BDL: Tensor, scale_D: Tensor) -> Tensor:
    """x over its root mean square over channels, times a scale a channel; see `ops.norm`."""
    run, x = kernels("block_kernels", x_BDL), x_BDL.contiguous()
    y, (_, D, L) = torch.empty_like(x), x.shape
    if x.numel():
        with on_device_of(x):
            grid, options = _norm_grid(x)
            launch(run.norm_kernel, grid, x, _wide(scale_D), y, D, L, EPS=EPS, **options)
    return y


@torch.library.custom_op("orchid::norm_triton_backward", mutates_args=())
def norm_backward(dy_BDL: Tensor, x_BDL: Tensor, scale_D: Tensor) -> list[Tensor]:
    """Gradients of x and scale."""
    run, x = kernels("block_kernels", x_BDL), x_BDL.contiguous()
    if not x.numel():
        return _zeros(x, scale_D)
    with on_device_of(x):
        (grid, options), dx, (_, D, L) = _norm_grid(x), torch.empty_like(x), x.shape
        wide = _wide(scale_D)
        sums = wide.new_empty(grid[0] * grid[1], D)
        given = (dy_BDL.contiguous(), x, wide, dx, sums)
        launch(run.scaled_norm_backward_kernel, grid, *given, D, L, EPS=EPS, **options)
        return [dx, sums.sum(0).to(scale_D.dtype)]


def _norm_grid(x_BDL: Tensor) -> tuple[tuple[int, int], dict]:
    """The grid of every norm's kernel, and the options that all of them have."""
    B, _, L = x_BDL.shape
    block = min(128, _block(L))
    return (-(-L // block), B), {"CHANNELS": CHANNELS, "BLOCK": block}


def _fits_on_chip(weight: Tensor, halves: int) -> bool:
    """Whether a program can hold all channels of some positions beside the matrices' pieces."""
    return weight.dtype in ON_CHIP and len(weight) == halves and weight.shape[2] <= WIDEST


def _enter_product(
    run: ModuleType, x: Tensor, weight: Tensor, halves: int, keeps: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """W x, one over the root mean square of x, and x in the products' type, which the backward pass
    `keeps`.
    """
    if not _fits_on_chip(weight, halves):
        rms, narrow = _norm(run, x, weight.dtype)
        return _product(weight, narrow), rms, narrow
    (B, _, L), O = x.shape, weight.shape[1]
    P, rms = x.new_empty(B, halves * O, L, dtype=weight.dtype), _room(x).new_empty(B, L)
    narrow = x if not keeps or x.dtype == weight.dtype else torch.empty_like(x, dtype=weight.dtype)
    options = {"HALVES": halves, "NARROW": narrow is not x, "EPS": EPS, **_tile(x, halves, O)}
    given = (x, weight.contiguous(), P, rms, narrow)
    _launch_positions("enter_product_kernel", x, given, weight.shape[2], options, O)
    return P, rms, narrow


def _enter_product_backward(
    dP: Tensor, x: Tensor, weight: Tensor, rms: Tensor, residual: Maybe, halves: int
) -> Tensor:
    """The gradient of x from that of W x, which is times rms; the residual's on top."""
    dx, O = torch.empty_like(x), weight.shape[1]
    options = {"HALVES": halves, "RESIDUAL": residual is not None, **_tile(x, halves, O)}
    given = (dP, weight.contiguous(), x, rms, _or(residual, x), dx)
    _launch_positions("enter_product_backward_kernel", x, given, weight.shape[2], options, O)
    return dx


def _mlp_on_chip(
    x: Tensor, w_in: Tensor, b_in: Maybe, w_out: Tensor, b_out: Maybe, halves: int
) -> Tensor:
    y, none, H = torch.empty_like(x), _room(x), w_out.shape[2]
    biases = {"BIAS": b_in is not None, "BIAS_OUT": b_out is not None}
    options = {"HALVES": halves, "EPS": EPS, **biases, **_tile(x, halves, H)}
    bias = none if b_in is None else _wide(b_in)
    given = (x, w_in.contiguous(), bias, w_out.contiguous(), _or(b_out, none), y)
    _launch_positions("mlp_kernel", x, given, w_in.shape[2], options, H)
    return y


def _mlp_on_chip_backward(
    dy: Tensor, x: Tensor, w_in: Tensor, b_in: Maybe, w_out: Tensor, b_out: Maybe, halves: int
) -> list[Tensor]:
    (B, D, L), H, none = x.shape, w_out.shape[2], _room(x)
    narrow, dout = (torch.empty_like(x, dtype=w_in.dtype) for _ in range(2))
    u, dP = narrow.new_empty(B, halves * H, L), narrow.new_empty(B, 2 * halves * H, L)
    rms, sums = none.new_empty(B, L), none.new_empty(_pieces(x, halves), 2 * H + D // halves)
    tile = _tile(x, halves, H)
    options = {"HALVES": halves, "BIAS": b_in is not None, "EPS": EPS, **tile}
    bias = none if b_in is None else _wide(b_in)
    given = (dy, x, w_in.contiguous(), bias, w_out.contiguous())
    outs = (rms, narrow, dout, u, dP, sums)
    parts = -(-H // tile["HIDDEN"])
    _launch_positions(
        "mlp_backward_kernel", x, (*given, *outs), D // halves, options, H, parts=parts
    )
    dx = _enter_product_backward(dP, x, w_in, rms, dy, halves)
    weights = _weight_gradient(dP, narrow, w_in), _weight_gradient(dout, u, w_out)
    first, last = 0 if b_in is not None else 2 * H, 2 * H + (0 if b_out is None else D // halves)
    return [dx, *weights, sums[:, first:last].sum(0)]


def _launch_positions(
    name: str,
    x_BDL: Tensor,
    given: tuple[Any, ...],
    width: int,
    options: dict,
    *hidden: int,
    parts: int = 1,
) -> None:
    """Run a kernel that holds all channels of some positions, `width` a half; `parts` programs for
    each piece of positions.
    """
    B, _, L = x_BDL.shape
    grid, sizes = (-(-L // options["BLOCK"]) * parts, B), (width, *hidden, L)
    run = getattr(kernels("position_kernels", x_BDL), name)
    # One stage: weights come from the second cache, and registers are what is short.
    launch(run, grid, *given, *sizes, **options, **LAUNCH.get(name, {}), num_stages=1)


def _tile(x_BDL: Tensor, halves: int, hidden: int = 0) -> dict[str, int]:
    """Channels of a half as a power of two, hidden channels taken at once, and positions."""
    _, D, L = x_BDL.shape
    width = max(16, power_of_two(D // halves))
    tile = {"WIDTH": width, "BLOCK": min(POSITIONS, max(16, power_of_two(L)))}
    return tile | ({"HIDDEN": max(16, power_of_two(min(hidden, HIDDEN)))} if hidden else {})


def _pieces(x_BDL: Tensor, halves: int) -> int:
    """Pieces of positions, over all rows."""
    B, _, L = x_BDL.shape
    return B * -(-L // _tile(x_BDL, halves)["BLOCK"])


def _room(like: Tensor, *numbers_of: Maybe) -> Tensor:
    """Room for the gradients of small parameters, float32 or wider."""
    count = sum(0 if each is None else each.numel() for each in numbers_of)
    return like.new_empty(count, dtype=torch.promote_types(like.dtype, torch.float32))


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
    rms = _room(x_BDL).new_empty(B, L)
    narrow = x_BDL if x_BDL.dtype == dtype else torch.empty_like(x_BDL, dtype=dtype)
    grid, options = _norm_grid(x_BDL)
    options |= {"EPS": EPS, "NARROW": narrow is not x_BDL}
    launch(run.rms_kernel, grid, x_BDL, rms, narrow, D, L, **options)
    return rms, narrow


def _norm_backward(
    run: ModuleType, e: Tensor, x_BDL: Tensor, rms: Tensor, residual: Maybe
) -> Tensor:
    """The gradient of x; written over e where the types allow."""
    _, D, L = x_BDL.shape
    dx = e if e.dtype == x_BDL.dtype else torch.empty_like(x_BDL)
    grid, options = _norm_grid(x_BDL)
    given = (e, x_BDL, rms, _or(residual, e), dx)
    launch(run.norm_backward_kernel, grid, *given, D, L, RESIDUAL=residual is not None, **options)
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
    return sum_products(dout.view(B, G, O, L), x_BDL.view(B, G, I, L), weight.dtype)


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
    dy, dz, ds2, dweight, sums = leave_backward(dout, y, z, s2, skip, weight, bias, ctx.halves)
    dskip, dbias = sums.split([skip.numel(), len(sums) - skip.numel()])
    return dout, dy, dz, ds2, dskip, dweight, gradient_if(dbias, bias), None


def _mlp_gradients(ctx: Any, dy: Tensor) -> tuple[Maybe, ...]:
    x, w_in, b_in, w_out, b_out = ctx.saved_tensors
    dx, dw_in, dw_out, biases = gated_mlp_backward(dy, x, w_in, b_in, w_out, b_out, ctx.halves)
    numbers = 0 if b_in is None else b_in.numel()
    db_in, db_out = biases.split([numbers, len(biases) - numbers])
    return dx, dw_in, gradient_if(db_in, b_in), dw_out, gradient_if(db_out, b_out), None


norm.register_autograd(
    lambda ctx, dy: tuple(norm_backward(dy, *ctx.saved_tensors)),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
norm.register_fake(lambda x, scale: fake(x))
norm_backward.register_fake(lambda dy, x, scale: fakes(x, scale))
enter.register_autograd(_enter_gradients, setup_context=save_inputs)
leave.register_autograd(_leave_gradients, setup_context=_save_leave)
gated_mlp.register_autograd(_mlp_gradients, setup_context=save_inputs)
enter.register_fake(lambda x, weight, *rest: [fake(x).to(weight.dtype) for _ in range(3)])
enter_backward.register_fake(
    lambda dz, dv, ds2, x, weight, bias, taps, mask, halves: fakes(x, weight, bias, taps)
)
leave.register_fake(lambda x, *rest: fake(x))
leave_backward.register_fake(
    lambda dout, y, z, s2, skip, weight, bias, halves: [
        *fakes(y, z, s2, weight),
        _room(skip, skip, bias),
    ]
)
gated_mlp.register_fake(lambda x, w_in, b_in, w_out, b_out, halves: fake(x))
gated_mlp_backward.register_fake(
    lambda dy, x, w_in, b_in, w_out, b_out, halves: [
        *fakes(x, w_in, w_out),
        _room(x, b_in, b_out),
    ]
)
