"""The fused full convolution equals the same layer written plainly, in outputs and gradients."""

import pytest
import torch
from torch.nn import functional

from orchid_genomics.model.convolution import Convolution
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.ops import chunks
from orchid_genomics.ops.full_conv import full_conv_keeping, read_slots, turn_round

STRANDS = ["equivariant", "dense"]


@pytest.fixture(autouse=True, params=["cut", "kept"])
def small_chunks(request, monkeypatch):
    """Rows cut into pieces whose inside is computed again, or rows whole and kept."""
    if request.param == "cut":
        monkeypatch.setitem(chunks.CHUNK, "cpu", 8)
    else:
        monkeypatch.setattr(chunks, "NUMBERS", 2 * 8 * 13 * 5)


def shaken(dilation: int, dtype: torch.dtype = torch.float64, **shape) -> Convolution:
    """Every parameter off its start: what begins at 0 or 1 would hide a fault."""
    torch.manual_seed(5)
    recipe = OrchidRecipe(**{"width": 8, "convolution_taps": 5, **shape})
    layer = Convolution(recipe, dilation)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return layer.to(dtype)


def sample(L: int, masked: bool, dtype: torch.dtype = torch.float64):
    """Three rows, and a mask in which the later ones end sooner."""
    drawn = torch.Generator().manual_seed(L)
    x_BDL = torch.randn(3, 8, L, generator=drawn, dtype=torch.float64)
    mask_BL = torch.ones(3, L, dtype=dtype)
    for row in range(3):
        mask_BL[row, L - (row * L) // 6 :] = 0
    return x_BDL.to(dtype), mask_BL if masked else None


def slopes(call, x_BDL, mask_BL, layer) -> list[torch.Tensor]:
    """The output, and the gradients of x and of all parameters."""
    given = x_BDL.clone().requires_grad_()
    y_BDL = call(given, mask_BL)
    drawn = torch.Generator().manual_seed(1)
    weight_BDL = torch.randn(y_BDL.shape, generator=drawn, dtype=torch.float64).to(y_BDL.dtype)
    return [y_BDL, *torch.autograd.grad((y_BDL * weight_BDL).sum(), [given, *layer.parameters()])]


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("strands", STRANDS)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("L", [1, 3, 8, 13, 24, 40])
@pytest.mark.parametrize("dilation", [1, 3])
def test_it_is_the_plain_layer(dtype, near, strands, masked, L, dilation):
    layer = shaken(dilation, dtype, strands=strands)
    fused, plain = (slopes(call, *sample(L, masked, dtype), layer) for call in (layer, layer.plain))
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=near, atol=near)


@pytest.mark.parametrize("taps", [1, 3, 9])
@pytest.mark.parametrize("strands", STRANDS)
def test_taps_of_any_odd_number_wrap_even_when_longer_than_the_window(taps, strands):
    layer = shaken(4, convolution_taps=taps, strands=strands)
    fused, plain = (slopes(call, *sample(9, True), layer) for call in (layer, layer.plain))
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("strands", STRANDS)
def test_its_kernel_is_that_of_an_ordinary_circular_convolution(strands):
    layer = shaken(2, strands=strands)
    x_BDL, _ = sample(24, False)
    halves, _, slots, _ = layer.weight.shape
    read = read_slots(functional.pad(x_BDL, (4, 4), mode="circular"), slots, 2, halves)
    ours = torch.einsum("hoc,bhcl->bhol", layer.weight.flatten(2), read.flatten(2, 3))
    wide_BDL = functional.pad(x_BDL, (4, 4), mode="circular")
    ordinary = functional.conv1d(wide_BDL, layer.kernel(), dilation=2)
    torch.testing.assert_close(ours.reshape(ordinary.shape), ordinary, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("strands", STRANDS)
def test_turned_round_twice_a_weight_is_itself(strands):
    weight = shaken(1, strands=strands).weight
    assert torch.equal(turn_round(turn_round(weight)), weight)


def test_gradients_are_those_of_differences():
    layer = shaken(2)
    x_BDL, mask_BL = sample(13, True)
    given = x_BDL[:2].requires_grad_(), *layer.parameters()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, mask_BL[:2]), given, fast_mode=True)


def test_the_operator_keeps_the_rules_of_its_kind():
    layer = shaken(2)
    x_BDL, mask_BL = sample(13, True)
    outside = layer.outside.weight, layer.outside.bias
    given = x_BDL.requires_grad_(), layer.weight, layer.bias, *outside, mask_BL, 2, False
    torch.library.opcheck(full_conv_keeping, given)


def test_narrow_activations_leave_the_stream_wide():
    layer = shaken(2, torch.float32)
    x_BDL, mask_BL = sample(40, True, torch.float32)
    y_BDL = layer(x_BDL, mask_BL, torch.bfloat16)
    assert y_BDL.dtype == torch.float32
    torch.testing.assert_close(y_BDL, layer(x_BDL, mask_BL), rtol=0.05, atol=0.05)
