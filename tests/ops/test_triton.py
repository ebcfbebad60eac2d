"""Triton's kernels equal the plain sums: on the GPU where there is one, else interpreted (slow, so
sizes are small).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from orchid_genomics.model.orchid import GatedMLP, Mixer, OrchidRecipe
from orchid_genomics.model.strands import over_rms
from orchid_genomics.ops import long_conv
from orchid_genomics.ops.triton import available, block, machine, onchip, operator

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
}  # of a tensor's largest number, or of 1

possible = pytest.mark.skipif(
    not available(DEVICE), reason="triton is not installed, or not interpreted"
)


def inputs(
    B=2, D=2, L=16, kind="correlation", side=0, paired=False, masked=False, dtype=torch.float32
) -> dict:
    """What `long_conv` takes; real tensors of `dtype`, spectra of the type that goes with it."""
    random = torch.Generator().manual_seed(L)
    C, F = (D // 2 if paired else D), L // 2 + 1
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64

    def leaf(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        drawn = torch.randn(*shape, 2, generator=random, dtype=torch.float64)
        drawn = torch.view_as_complex(drawn) if dtype.is_complex else drawn[..., 0]
        return drawn.to(DEVICE, dtype)

    keep = torch.ones(B, L, device=DEVICE, dtype=dtype)
    if masked:
        keep[-1, L - L // 3 :] = 0
    given = {"z_BDL": leaf(B, D, L) * keep[:, None], "v_BDL": (leaf(B, D, L) + 0.5) * keep[:, None]}
    given["static_CF"] = leaf(C, F, dtype=wide)
    if kind != "static":
        given["gain_CF"] = leaf(C, F, dtype=wide)
    if side:
        given["taps_CJ"] = leaf(C, side, dtype=wide)
    leaves = {name: tensor.requires_grad_() for name, tensor in given.items()}
    return {**leaves, "mask_BL": keep if masked else None, "kind": kind}


def run(backend: str, given: dict) -> dict[str, torch.Tensor]:
    """The output, and the gradients of a fixed random sum of it."""
    y = long_conv(**given, backend=backend)
    leaves = {
        name: tensor
        for name, tensor in given.items()
        if torch.is_tensor(tensor) and tensor.requires_grad
    }
    weight = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(y)
    gradients = torch.autograd.grad(
        (y * weight).sum(), list(leaves.values()), materialize_grads=True
    )
    return {"y": y.detach(), **dict(zip(leaves, gradients, strict=True))}


def agree(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, other in theirs.items():
        wide = torch.complex128 if other.is_complex() else torch.float64
        size = max(1.0, other.abs().max().item()) if other.numel() else 1.0
        assert ours[name].dtype == other.dtype, name
        assert (ours[name].to(wide) - other.to(wide)).abs().le(tolerance * size).all(), name


@possible
@pytest.mark.parametrize("kind", ["correlation", "magnitude", "static"])
@pytest.mark.parametrize("L", [1, 2, 7, 31, 64])
def test_equals_the_sum_in_outputs_and_gradients(kind, L):
    given = inputs(L=L, kind=kind)
    agree(run("triton", given), run("reference", given), TOLERANCE[torch.float32])


@possible
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["correlation", "static"])
@pytest.mark.parametrize("L", [1, 15, 16])
def test_equals_the_sum_in_narrow_and_wide_numbers(kind, dtype, L):
    given = inputs(B=3, L=L, kind=kind, dtype=dtype)
    agree(run("triton", given), run("reference", given), TOLERANCE[dtype])


@possible
@pytest.mark.parametrize("L", [1, 2, 5, 16])
@pytest.mark.parametrize("side", [0, 1, 2])
@pytest.mark.parametrize("kind", ["correlation", "magnitude"])
def test_equals_the_sum_with_side_taps_pairs_and_masks(kind, side, L):
    given = inputs(L=L, kind=kind, side=side, paired=True, masked=True, dtype=torch.float64)
    agree(run("triton", given), run("reference", given), TOLERANCE[torch.float64])


@possible
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.slow
def test_pieces_parts_splits_and_groups_do_not_show(side, monkeypatch):
    """Three blocks of a spectrum in three parts, two rows of spectra a group, the batch in one
    program and in more.
    """
    given = inputs(D=6, L=66, side=side, paired=True, dtype=torch.float64)
    whole = run("reference", given)
    monkeypatch.setattr(operator, "BLOCK", 16)
    monkeypatch.setattr(operator, "PART", 1)
    monkeypatch.setattr(operator, "WORKSPACE", 1)
    for programs in (1, 18) if side == 0 else (1,):
        monkeypatch.setattr(operator, "PROGRAMS", programs)
        agree(run("triton", given), whole, TOLERANCE[torch.float64])


ROWS = [  # B, L, kind, strand pairs, type
    (3, 512, "correlation", True, torch.float32),
    (1, 512, "magnitude", True, torch.float32),
    (1, 1024, "static", False, torch.bfloat16),
    (3, 1024, "correlation", True, torch.bfloat16),
]


@possible
@pytest.mark.parametrize(("B", "L", "kind", "paired", "dtype"), ROWS)
def test_rows_transformed_on_chip_equal_the_sum(B, L, kind, paired, dtype, monkeypatch):
    """A program takes every row of a channel or, of a batch, a part of them; sums stay in
    registers, or in memory between rows.
    """
    given = inputs(B=B, L=L, kind=kind, paired=paired, dtype=dtype)
    monkeypatch.setattr(onchip, "ON", True)
    monkeypatch.setattr(onchip, "DTYPES", (dtype,))
    monkeypatch.setattr(onchip, "PROCESSORS", 1 if B == 1 else 4)
    monkeypatch.setattr(onchip, "BACKWARD", 1)
    monkeypatch.setitem(onchip.CHOICES, 1024, ({}, {"SPILL": True}))
    assert onchip.fits(given["z_BDL"], given["v_BDL"], None, None)
    agree(run("triton", given), run("reference", given), TOLERANCE[dtype])


@possible
def test_on_chip_a_row_of_nothing_gives_nothing(monkeypatch):
    monkeypatch.setattr(onchip, "ON", True)
    given = inputs(B=1, L=512, kind="magnitude", paired=True, dtype=torch.bfloat16)
    with torch.no_grad():
        given["z_BDL"].zero_()
        given["v_BDL"].fill_(3.0)  # centred, nothing is left
    found = run("triton", given)
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    assert found["y"].abs().max() == 0


@possible
def test_on_chip_or_not_a_long_row_is_the_same(monkeypatch):
    given = inputs(B=1, L=2048, paired=True, dtype=torch.bfloat16)
    monkeypatch.setattr(onchip, "ON", True)
    ours = run("triton", given)
    monkeypatch.setattr(onchip, "ON", False)
    agree(ours, run("triton", given), TOLERANCE[torch.bfloat16])


@pytest.fixture
def poisoned(monkeypatch):
    """Memory comes full of NaN, so that a number read before it is written shows."""

    def fill(make):
        def poison(*shape, **options):
            made = make(*shape, **options)
            return made.fill_(float("nan")) if made.is_floating_point() else made

        return poison

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, fill(getattr(owner, name)))


@possible
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("kind", ["correlation", "static"])
@pytest.mark.slow
def test_no_memory_is_read_before_it_is_written(kind):
    given = inputs(L=9, kind=kind, side=0 if kind == "static" else 1, paired=True, masked=True)
    assert all(torch.isfinite(tensor).all() for tensor in run("triton", given).values())
    x = torch.randn(2, 4, 9, device=DEVICE, requires_grad=True)
    for layer, rest in ((built(Mixer, width=4), [None]), (built(GatedMLP, width=4), [])):
        assert all(torch.isfinite(tensor).all() for tensor in outcome(layer, x, *rest).values())


@possible
def test_no_rows_at_all():
    found = run("triton", inputs(B=0, side=1))
    assert found["y"].shape == (0, 2, 16)
    assert all(found[name].abs().sum() == 0 for name in ("static_CF", "gain_CF", "taps_CJ"))


@possible
@pytest.mark.parametrize("kind", ["correlation", "static"])
def test_the_operator_keeps_torchs_rules_and_compiles_to_one_graph(kind):
    given = inputs(L=6, kind=kind)
    arguments = (
        *[t for t in given.values() if torch.is_tensor(t)],
        *[None] * (2 if "gain_CF" in given else 3),
    )
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.orchid.long_conv_triton.default, (*arguments, kind, 64.0), test_utils=checks
    )
    torch.compiler.reset()  # a function compiled too often is an error, over tests too
    traced = torch.compile(long_conv, fullgraph=True, backend="aot_eager", dynamic=False)
    agree(
        {"y": traced(**given, backend="triton")},
        {"y": long_conv(**given, backend="reference")},
        2e-5,
    )


# --- the rest of a block ---


def built(layer: type, **options) -> torch.nn.Module:
    """A layer whose every parameter is moved off its start, so that a forgotten one shows."""
    torch.manual_seed(5)
    module = layer(OrchidRecipe(depth=1, backend="triton", **options))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.to(DEVICE)


def outcome(
    layer: torch.nn.Module, x: torch.Tensor, *rest, plain: bool = False
) -> dict[str, torch.Tensor]:
    """The output, and the gradients of x and every parameter."""
    y = (layer.plain if plain else layer)(x, *rest)
    weight = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(y)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    gradients = torch.autograd.grad((y * weight).sum(), [x, *parameters])
    return {"y": y.detach(), **dict(zip(["x", *names], gradients, strict=True))}


def stream(
    B: int, D: int, L: int, dtype: torch.dtype, masked: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    mask = torch.ones(B, L, device=DEVICE, dtype=dtype)
    mask[-1, L - L // 3 :] = 0
    x = torch.randn(B, D, L, generator=torch.Generator().manual_seed(L)).to(DEVICE, dtype)
    return x.requires_grad_(), mask if masked else None


@possible
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("L", [1, 2, 5, 16])
def test_enter_and_leave_are_the_plain_mixer(strands, L):
    layer = built(Mixer, width=4, strands=strands).double()
    given = stream(2, 4, L, torch.float64, masked=True)
    agree(outcome(layer, *given), outcome(layer, *given, plain=True), 1e-9)


@possible
@pytest.mark.parametrize("taps", [1, 5, 9])
def test_short_convolutions_wrap_even_when_longer_than_the_window(taps):
    layer = built(Mixer, width=4, short_taps=taps).double()
    given = stream(2, 4, 3, torch.float64, masked=False)
    agree(outcome(layer, *given), outcome(layer, *given, plain=True), 1e-9)


@possible
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_gated_mlp_is_the_plain_one(strands, blocks):
    layer = built(GatedMLP, width=8, strands=strands, mlp=1.5, mlp_blocks=blocks).double()
    x, _ = stream(2, 8, 5, torch.float64, masked=False)
    agree(outcome(layer, x), outcome(layer, x, plain=True), 1e-9)


@possible
@pytest.mark.parametrize("L", [1, 19])
def test_the_last_norm_is_the_plain_one(L, monkeypatch):
    monkeypatch.setattr(block, "BLOCK", 16)
    monkeypatch.setattr(block, "CHANNELS", 4)
    x, _ = stream(2, 6, L, torch.float64, masked=False)
    scale = torch.arange(1.0, 7, dtype=torch.float64, device=DEVICE, requires_grad=True)
    found, plain = block.norm(x, scale), over_rms(x) * scale[:, None]
    weight = torch.randn_like(found)
    for ours, theirs in zip(
        (found, *torch.autograd.grad((found * weight).sum(), (x, scale))),
        (plain, *torch.autograd.grad((plain * weight).sum(), (x, scale))),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-10)


@possible
@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
@pytest.mark.slow
def test_pieces_of_positions_do_not_show(layer, monkeypatch):
    layer = built(layer, width=4).double()
    given = stream(2, 4, 35, torch.float64, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    whole = (
        outcome(layer, *given, plain=True)
        if isinstance(layer, GatedMLP)
        else outcome(layer, *given)
    )
    monkeypatch.setattr(block, "BLOCK", 16)
    monkeypatch.setattr(block, "CHANNELS", 2)
    agree(outcome(layer, *given), whole, 1e-9)


@possible
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
def test_products_within_the_kernels_around_them_are_the_plain_layer(layer, strands, monkeypatch):
    """Two pieces of positions and of hidden channels, neither of them full."""
    monkeypatch.setattr(block, "ON_CHIP", (torch.float64,))
    monkeypatch.setattr(block, "POSITIONS", 16)
    monkeypatch.setattr(block, "HIDDEN", 16)
    layer = built(layer, width=12, strands=strands, mlp=4).double()
    given = stream(2, 12, 21, torch.float64, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    agree(outcome(layer, *given), outcome(layer, *given, plain=True), 1e-9)


@possible
@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
def test_bfloat16_activations_meet_a_float32_stream(layer):
    layer = built(layer, width=4)
    given = stream(2, 4, 16, torch.float32, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    options = (
        [torch.bfloat16]
        if isinstance(layer, GatedMLP)
        else [*[None] * (2 - len(given)), torch.bfloat16]
    )
    agree(outcome(layer, *given, *options), outcome(layer, *given, plain=True), 0.05)


@possible
@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
def test_the_layers_compile_to_one_graph(layer):
    layer = built(layer, width=4)
    given = stream(2, 4, 6, torch.float32, masked=False)[: 2 if isinstance(layer, Mixer) else 1]
    torch.compiler.reset()  # a function compiled too often is an error, over tests too
    traced = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=False)
    agree({"y": traced(*given)}, {"y": layer.plain(*given)}, 2e-5)


# --- machines that cannot ---

SMALL = """
import sys
import torch
if "hide" in sys.argv:
    sys.modules["triton"] = None
from orchid_genomics.ops import long_conv
x, static = torch.ones(1, 2, 4), torch.ones(2, 3, dtype=torch.complex64)
assert long_conv(x, x, static, kind="static").shape == x.shape
try:
    long_conv(x, x, static, kind="static", backend="triton")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def told(*options: str) -> str:
    """What a fresh Python says where Triton is not told to interpret and no GPU is seen."""
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command, unseen = [sys.executable, "-c", SMALL, *options], {**clean, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, env=unseen, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.skipif(not machine.installed(), reason="triton is not installed")
def test_without_a_gpu_the_reason_and_what_can_run_are_named():
    found = "needs a CUDA GPU and this machine has none; fft and reference run here"
    assert told() == f"MachineError: backend triton: {found}"


def test_without_triton_all_else_runs_and_the_extra_is_named():
    found = (
        'triton is not installed; pip install "orchid-genomics[cuda]"; fft and reference run here'
    )
    assert told("hide") == f"MachineError: backend triton: {found}"


def test_the_benchmark_of_gpus_says_in_one_line_that_there_is_none():
    script = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    unseen = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, script], env=unseen, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "gpu.py: this machine has no CUDA GPU; operator.py and block.py measure the CPU\n"
    )


def test_powers_of_two():
    assert [machine.power_of_two(n) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 4, 8, 1024]
