"""Whether the CUDA backend is right on this very GPU: what `gpu.py` runs before it times anything.

The trap: a faster answer is worth nothing if it is another; so gradients are compared, and at
lengths that matter.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.model.filters import tap_spectrum
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.ops import long_conv

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Of the largest number of a tensor; bfloat16 against the same numbers in float32."""


def inputs(
    batch: int,
    width: int,
    length: int,
    kind: str,
    side: int,
    pairs: bool,
    dtype: torch.dtype,
    device: str,
) -> dict:
    """What `long_conv` takes, leaves that require gradients."""
    random = torch.Generator().manual_seed(length)
    channels, wide = (
        (width // 2 if pairs else width),
        torch.float64 if dtype == torch.float64 else torch.float32,
    )

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random).to(device, wide)

    spectrum = torch.fft.rfft(drawn(channels, length)) / length**0.5
    given = {
        "z_BDL": drawn(batch, width, length).to(dtype),
        "v_BDL": drawn(batch, width, length).to(dtype),
    }
    given["static_CF"] = spectrum
    if kind != "static":
        short = 0.1 * drawn(channels, 3) + torch.tensor([0.0, 1.0, 0.0], device=device)
        given["gain_CF"] = 0.1 * tap_spectrum(short, length)
    if side:
        given["taps_CJ"] = torch.view_as_complex(0.1 * drawn(channels, side, 2))
    return {**{name: tensor.requires_grad_() for name, tensor in given.items()}, "kind": kind}


def call(given: dict[str, Any], dy: Tensor | None, backend: str) -> list[Tensor]:
    """Forward, and the gradients of every leaf when dy is given."""
    with torch.set_grad_enabled(dy is not None):
        y = long_conv(**given, backend=backend)
    if dy is None:
        return [y]
    return [
        y,
        *torch.autograd.grad(
            y, [t for t in given.values() if isinstance(t, Tensor)], dy, materialize_grads=True
        ),
    ]


def farthest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference, in units of each tensor's largest number."""
    pairs = zip(ours, theirs, strict=True)
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item() for a, b in pairs)


def checked(device: str) -> Iterator[tuple[str, float, float]]:
    """What was compared, how far apart it is, how far it may be."""
    for dtype, other, lengths in (
        (torch.float64, "reference", (1, 2, 7, 61, 64, 90)),
        (torch.float32, "fft", (31, 1024, 16_384, 100_003, 131_072)),
        (torch.bfloat16, "fft", (512, 1024, 2048, 4096, 8192, 131_072)),
    ):
        for length in lengths:
            for kind, side in (
                ("correlation", 0),
                ("magnitude", 0),
                ("static", 0),
                ("correlation", 1),
            ):
                if kind == "magnitude" and dtype == torch.bfloat16:
                    continue  # the slope of a root at small power magnifies the rounding of v
                if (kind != "correlation" or side) and length in (512, 2048, 4096, 8192):
                    continue  # kernels that take long to compile, and differ by length alone
                given = inputs(2, 8, length, kind, side, True, dtype, device)
                dy = torch.randn_like(given["z_BDL"])
                found = farthest(call(given, dy, "triton"), call(given, dy, other))
                name = (
                    f"{kind}, {side} side taps, {length:,}, {str(dtype).removeprefix('torch.')}"
                    f" against {other}"
                )
                yield name, found, TOLERANCE[dtype]
    for backend in ("triton", "fft"):
        name = f"two layers, {backend}, float32 against the layers written plainly"
        yield name, *layers_apart(backend, device)


def layers_apart(backend: str, device: str) -> tuple[float, float]:
    torch.manual_seed(0)
    encoder = OrchidModel(
        ModelRecipe(encoder=OrchidRecipe(width=64, depth=2, backend=backend))
    ).encoder.to(device)
    x = torch.randn(2, 64, 2048, device=device, requires_grad=True)
    results = []
    for plain in (False, True):
        y = x
        for layer in encoder.blocks:
            y = layer.plain(y, None) if plain else layer(y, None)
        parameters = [p for layer in encoder.blocks for p in layer.parameters()]
        results.append([y, *torch.autograd.grad(y.square().mean(), [x, *parameters])])
    return farthest(*results), 1e-3
