"""Lags that stand out, and the term that reads turned copies: both forms equal, and exact laws."""

import pytest
import torch

from orchid_genomics.errors import MachineError, NumericError
from orchid_genomics.ops import long_conv

FORMS = ["fft", "reference"]
OPTIONS = {
    "threshold": (0.3, False),
    "turned": (0.0, True),
    "both": (0.3, True),
}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 3e-2}


def inputs(option, B=2, D=6, L=32, dtype=torch.float64, mask=False, seed=0, taps=True):
    """Leaf tensors by the names of `long_conv`'s arguments, and the rest of its arguments."""
    random = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    C, F = D // 2, L // 2 + 1

    def draw(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    def draw_complex(*shape):
        cdtype = torch.complex128 if wide == torch.float64 else torch.complex64
        return torch.view_as_complex(draw(*shape, 2)).to(cdtype)

    keep = torch.ones(B, L, dtype=torch.float64)
    if mask:
        keep[1, L - L // 3 :] = 0
    threshold, turned = OPTIONS[option]
    leaves = {
        "z_BDL": (draw(B, D, L) * keep[:, None]).to(dtype),
        "v_BDL": ((draw(B, D, L) + 0.5) * keep[:, None]).to(dtype),
        "static_CF": draw_complex(C, F),
        "gain_CF": draw_complex(C, F),
    }
    if taps:
        leaves["taps_CJ"] = draw_complex(C, 1)
    if turned:
        leaves["turned_CF"] = draw_complex(C, F)
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    return leaves, {"mask_BL": keep.to(wide) if mask else None, "threshold": threshold}


def run(backend, leaves, rest, **more):
    """The output and the gradients of a fixed random sum of it."""
    y = long_conv(**leaves, **rest, **more, backend=backend)
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(y.shape, generator=random, dtype=torch.float64).to(y.dtype)
    gradients = torch.autograd.grad((y * weight).sum(), list(leaves.values()))
    return [y.detach(), *gradients]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ["correlation", "magnitude"])
@pytest.mark.parametrize("L", [1, 2, 9, 32])
@pytest.mark.parametrize("mask", [False, True], ids=["whole", "masked"])
def test_fft_equals_the_sums_in_outputs_and_gradients(option, dtype, kind, L, mask):
    leaves, rest = inputs(option, L=L, dtype=dtype, mask=mask)
    ours, sums = (run(form, leaves, rest, kind=kind) for form in FORMS)
    for one, other in zip(ours, sums, strict=True):
        size = max(1.0, other.abs().max().item())
        wide = torch.complex128 if one.is_complex() else torch.float64
        assert one.dtype == other.dtype
        assert (one.to(wide) - other.to(wide)).abs().le(TOLERANCE[dtype] * size).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("L", [31, 32])
def test_rolling_the_input_rolls_the_output(form, option, L):
    leaves, rest = inputs(option, L=L)
    y = long_conv(**leaves, **rest, backend=form)
    for shift in (1, L // 2, -3):
        rolled = {name: leaves[name].roll(shift, -1) for name in ("z_BDL", "v_BDL")}
        moved = long_conv(**{**leaves, **rolled}, **rest, backend=form)
        torch.testing.assert_close(moved, y.roll(shift, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("L", [31, 32])
def test_the_other_strand_reverses_positions_and_swaps_the_pairs(form, option, L):
    def other_strand(x_BDL):
        one, other = x_BDL.chunk(2, 1)
        return torch.cat((other, one), 1).flip(-1).roll(1, -1)

    leaves, rest = inputs(option, L=L)
    y = long_conv(**leaves, **rest, backend=form)
    swapped = {name: other_strand(leaves[name]) for name in ("z_BDL", "v_BDL")}
    there = long_conv(**{**leaves, **swapped}, **rest, backend=form)
    torch.testing.assert_close(there, other_strand(y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("option", OPTIONS)
def test_rows_never_talk(form, option):
    leaves, rest = inputs(option, B=3, L=40, dtype=torch.float32)
    batch = long_conv(**leaves, **rest, backend=form)
    for row in range(3):
        alone = {name: leaves[name][row : row + 1] for name in ("z_BDL", "v_BDL")}
        y = long_conv(**{**leaves, **alone}, **rest, backend=form)
        torch.testing.assert_close(y[0], batch[row], rtol=0, atol=2e-5)


@pytest.mark.parametrize("option", OPTIONS)
def test_gradients_agree_with_finite_differences(option):
    leaves, rest = inputs(option, B=1, D=4, L=9)
    names = list(leaves)

    def call(*values):
        return long_conv(**dict(zip(names, values, strict=True)), **rest)

    assert torch.autograd.gradcheck(call, tuple(leaves.values()))


def test_a_threshold_keeps_the_lag_of_a_copy_and_drops_the_rest():
    random = torch.Generator().manual_seed(0)
    L, lag, length = 2048, 700, 300
    v = torch.randn(1, 16, L, generator=random)
    v[..., lag : lag + length] = v[..., :length]
    impulse = torch.zeros_like(v)
    impulse[..., 0] = 1
    flat = torch.ones(16, L // 2 + 1, dtype=torch.complex64)
    h = long_conv(impulse, v, 0 * flat, flat, threshold=1.5)[0].abs().mean(0)
    kept = h.clone()
    kept[[0, lag, L - lag]] = 0
    assert h[lag] > 0.1
    assert kept.max() < 0.05 * h[lag]


@pytest.mark.parametrize("length", [300])
def test_a_turned_copy_is_read_letter_for_letter(length):
    random = torch.Generator().manual_seed(0)
    L, source, target = 2048, 100, 1500
    both = torch.randn(2, 1, 16, L, generator=random)
    for x in both:
        one, other = x.chunk(2, 1)
        segment = slice(source, source + length)
        # What channel c holds at the copy is what its partner holds at the source, turned.
        one[..., target : target + length] = other[..., segment].flip(-1)
        other[..., target : target + length] = one[..., segment].flip(-1)
    z, v = both
    flat = torch.ones(8, L // 2 + 1, dtype=torch.complex64)
    nothing = torch.zeros_like(flat)
    y = long_conv(z, v, nothing, nothing, turned_CF=flat, threshold=0.7)
    there, here = (x[..., target : target + length].flatten() for x in (y, z))
    assert torch.nn.functional.cosine_similarity(there, here, dim=0) > 0.95


@pytest.mark.parametrize("form", FORMS)
def test_a_silent_row_has_an_output_and_gradients(form):
    leaves, rest = inputs("both", L=16)
    leaves["v_BDL"] = torch.zeros_like(leaves["v_BDL"]).requires_grad_()
    y, *gradients = run(form, leaves, rest)
    plain = long_conv(leaves["z_BDL"], leaves["v_BDL"], leaves["static_CF"], kind="static")
    torch.testing.assert_close(y, plain, rtol=0, atol=1e-12)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("option", OPTIONS)
def test_compiles_to_one_graph_forward_and_backward(form, option):
    leaves, rest = inputs(option, L=12, dtype=torch.float32)
    torch.compiler.reset()  # a function compiled too often is an error, over tests too
    traced = torch.compile(long_conv, fullgraph=True, backend="aot_eager", dynamic=False)
    y = traced(**leaves, **rest, backend=form)
    expected = long_conv(**leaves, **rest, backend=form)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)
    values = list(leaves.values())
    ours, theirs = (torch.autograd.grad(x.square().sum(), values) for x in (y, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_off_is_the_operator_without_it_bit_for_bit():
    leaves, rest = inputs("both", dtype=torch.float32)
    leaves.pop("turned_CF")
    plain = long_conv(**leaves, mask_BL=rest["mask_BL"])
    assert torch.equal(long_conv(**leaves, mask_BL=rest["mask_BL"], threshold=0.0), plain)


def test_a_backend_without_them_is_refused_with_those_that_have_them():
    leaves, rest = inputs("both", dtype=torch.float32)
    with pytest.raises(MachineError) as caught:
        long_conv(**leaves, **rest, backend="triton")
    message = "backend triton: has no threshold and no turned term; fft, reference, auto"
    assert str(caught.value) == message


def test_what_cannot_be_is_refused():
    leaves, rest = inputs("both")
    without = {**leaves, "gain_CF": None, "taps_CJ": None}
    with pytest.raises(ValueError, match="needs a filter that depends on the data"):
        long_conv(**without, **rest, kind="static")
    wrong = {**leaves, "turned_CF": leaves["turned_CF"][:2]}
    with pytest.raises(ValueError, match=r"must be \(D / 2, L // 2 \+ 1\) = \(3, 17\)"):
        long_conv(**wrong, **rest)
    bad = {**leaves, "turned_CF": leaves["turned_CF"] * float("nan")}
    with pytest.raises(NumericError, match=r"^long_conv: turned: holds NaN"):
        long_conv(**bad, **rest)
