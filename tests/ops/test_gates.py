"""The fused parts of a block equal the same layers written plainly, in outputs and gradients."""

import pytest
import torch

from orchid_genomics.model.orchid import GatedMLP, Mixer, OrchidRecipe
from orchid_genomics.ops import chunks, gates
from orchid_genomics.ops.mlp import gated_mlp_keeping

TOLERANCE = {
    torch.float64: 1e-11,
    torch.float32: 2e-5,
}  # of the largest number in a tensor, or of 1
LENGTHS = [
    1,
    2,
    3,
    7,
    8,
    13,
    16,
    24,
]  # chunks of 8: within one, over one and two borders, whole and broken


@pytest.fixture(autouse=True, params=["cut", "kept"])
def small_chunks(request, monkeypatch):
    """Rows cut into pieces whose inside is computed again, or rows whole, two together and kept."""
    if request.param == "cut":
        monkeypatch.setitem(chunks.CHUNK, "cpu", 8)
    else:
        monkeypatch.setattr(chunks, "NUMBERS", 2 * 8 * 13)


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def shaken(layer: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Every parameter moved off its start, so that a forgotten one shows."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return layer.to(dtype)


def fused_and_plain(layer, *inputs) -> list[list[torch.Tensor]]:
    """Output, and gradients of x and of every parameter, of `forward` and of `plain`."""
    both = []
    for call in (layer, layer.plain):
        x = inputs[0].clone().requires_grad_()
        y = call(x, *inputs[1:])
        weight = torch.randn(
            y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        ).to(y.dtype)
        both.append(
            [y.detach(), *torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()])]
        )
    return both


def agree(layer, tolerance: float, *inputs) -> None:
    fused, plain = fused_and_plain(layer, *inputs)
    names = ["y", "x", *(name for name, _ in layer.named_parameters())]
    for name, one, other in zip(names, fused, plain, strict=True):
        size = max(1.0, other.abs().max().item())
        assert (one - other).abs().max().item() <= tolerance * size, name


def sample(
    B: int, D: int, L: int, dtype: torch.dtype, masked: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    random = torch.Generator().manual_seed(L)
    mask = torch.ones(B, L, dtype=dtype)
    for row in range(B):
        mask[row, L - (row * L) // (2 * B) :] = 0
    return torch.randn(B, D, L, generator=random, dtype=torch.float64).to(
        dtype
    ), mask if masked else None


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("L", LENGTHS)
def test_enter_and_leave_are_the_plain_mixer(dtype, strands, masked, L):
    mixer = shaken(Mixer(OrchidRecipe(width=8, depth=1, strands=strands)), dtype)
    agree(mixer, TOLERANCE[dtype], *sample(3, 8, L, dtype, masked))


@pytest.mark.parametrize("taps", [1, 5, 7])
@pytest.mark.parametrize("L", [1, 2, 3, 9, 16])
def test_short_convolutions_of_any_odd_length_wrap_even_when_longer_than_the_window(taps, L):
    mixer = shaken(Mixer(OrchidRecipe(width=4, depth=1, short_taps=taps)), torch.float64)
    agree(mixer, 1e-11, *sample(2, 4, L, torch.float64, masked=True))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("L", LENGTHS)
def test_gated_mlp_is_the_plain_one(dtype, strands, blocks, L):
    mlp = shaken(
        GatedMLP(OrchidRecipe(width=16, depth=1, strands=strands, mlp=1.5, mlp_blocks=blocks)),
        dtype,
    )
    agree(mlp, TOLERANCE[dtype], sample(3, 16, L, dtype, masked=False)[0])


@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
@pytest.mark.usefixtures("two_threads")
def test_two_threads_give_what_one_gives(layer):
    layer = shaken(layer(OrchidRecipe(width=8, depth=1)), torch.float32)
    inputs = sample(3, 8, 37, torch.float32, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    two = fused_and_plain(layer, *inputs)[0]
    again = fused_and_plain(layer, *inputs)[0]
    torch.set_num_threads(1)
    one = fused_and_plain(layer, *inputs)[0]
    assert all(
        torch.equal(a, b) for a, b in zip(two, again, strict=True)
    )  # never a matter of timing
    assert torch.equal(two[0], one[0])
    for ours, theirs in zip(two, one, strict=True):  # gradients: the same sums in another order
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
def test_the_size_of_chunks_does_not_show(layer, monkeypatch):
    layer = shaken(layer(OrchidRecipe(width=8, depth=1)), torch.float64)
    inputs = sample(2, 8, 50, torch.float64, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    results = []
    for size in (1, 7, 50, 4096):
        monkeypatch.setitem(chunks.CHUNK, "cpu", size)
        results.append(fused_and_plain(layer, *inputs)[0])
    for result in results[1:]:
        for ours, first in zip(result, results[0], strict=True):
            torch.testing.assert_close(ours, first, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 2])
def test_inference_mode_and_strided_input_are_welcome(threads, two_threads):
    torch.set_num_threads(threads)
    mixer, mlp = (
        shaken(layer(OrchidRecipe(width=8, depth=1)), torch.float32) for layer in (Mixer, GatedMLP)
    )
    x, mask = sample(3, 8, 20, torch.float32, masked=True)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    with torch.inference_mode():
        y, y_strided = mlp(mixer(x, mask)), mlp(mixer(strided, mask))
    assert (y - y_strided).abs().max() <= 1e-5 * y.abs().max()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", [Mixer, GatedMLP])
def test_bfloat16_activations_meet_float32_weights(layer, threads, two_threads):
    torch.set_num_threads(threads)
    layer = layer(OrchidRecipe(width=8, depth=1))
    inputs = list(
        sample(2, 8, 20, torch.bfloat16, masked=True)[: 2 if isinstance(layer, Mixer) else 1]
    )
    fused = _fused(layer, inputs)
    wide = _fused(layer, [tensor.float() for tensor in inputs])
    assert fused[0].dtype == fused[1].dtype == torch.bfloat16
    for ours, theirs in zip(fused, wide, strict=True):
        assert (ours.float() - theirs).abs().max() <= 0.05 * max(1.0, theirs.abs().max().item())


def _fused(layer, inputs) -> list[torch.Tensor]:
    x = inputs[0].clone().requires_grad_()
    y = layer(x, *inputs[1:])
    return [y.detach(), *torch.autograd.grad(y.float().square().mean(), [x, *layer.parameters()])]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("halves", [1, 2])
def test_the_custom_operators_keep_torchs_rules(bias, halves):
    """No hidden mutation or aliasing, true fakes without data, the same when traced; a bias may be
    absent.
    """
    x, y, z, s2 = (torch.randn(2, 8, 11, dtype=torch.float64, requires_grad=True) for _ in range(4))

    def weights(out: int, inside: int, biased: int) -> list[torch.Tensor | None]:
        weight = torch.randn(
            halves, out // halves, inside // halves, dtype=torch.float64, requires_grad=True
        )
        return [
            weight,
            torch.randn(biased // halves, dtype=torch.float64, requires_grad=True)
            if bias
            else None,
        ]

    mask = torch.ones(2, 11, dtype=torch.float64)
    mask[1, 7:] = 0
    taps = torch.randn(3, halves, 8 // halves, 3, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(8, dtype=torch.float64, requires_grad=True)
    for keep in [False, True] if chunks.is_kept(x) else [False]:
        entering = (x, *weights(24, 8, 24), taps, mask, halves, keep)
        torch.library.opcheck(gates.enter_keeping, entering)
        both = (*weights(24, 8, 24), *weights(8, 12, 8))
        torch.library.opcheck(gated_mlp_keeping, (x, *both, halves, keep))
    torch.library.opcheck(gates.leave_fused, (x, y, z, s2, skip, *weights(8, 8, 8), halves))


def test_a_circle_is_read_past_both_ends_as_often_as_asked():
    x = torch.arange(5.0)[None]
    for first, last in [(0, 5), (-2, 3), (3, 8), (-2, 7), (-5, 10), (-11, 12)]:
        assert chunks.cut_circle(x, first, last)[0].tolist() == [
            float(t % 5) for t in range(first, last)
        ]
