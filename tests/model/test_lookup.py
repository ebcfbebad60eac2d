"""Laws of an encoder that reads copies through pointers: as of one without, and off is none."""

import pytest
import torch
from compiling import check_encode_compiles
from pydantic import ValidationError

from orchid_genomics.model.filters import CorrelationRecipe, StaticRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe, transform_length
from orchid_genomics.ops import triton
from orchid_genomics.sequence import DNA

FILTERS = {
    "correlation": CorrelationRecipe(hash_length=7, agreement=0.5),
    "static": StaticRecipe(hash_length=7, agreement=0.5),
    "with lags that stand out": CorrelationRecipe(
        hash_length=7, agreement=0.5, threshold=0.5, turned=0.3
    ),
}


def encoder(dtype=torch.float64, **shape) -> Orchid:
    """Every parameter moved off its start: what starts at 0 or 1 would hide a fault."""
    torch.manual_seed(2)
    recipe = OrchidRecipe(**{"width": 12, "depth": 2, "filter": FILTERS["correlation"], **shape})
    model = Orchid(recipe).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def copies(B: int, L: int) -> torch.Tensor:
    """Letters of which a quarter stands a second time, on one strand and on the other."""
    random = torch.Generator().manual_seed(L)
    rows = torch.randint(0, 4, (B, L), generator=random, dtype=torch.uint8)
    size = L // 4
    rows[:, 2 * size : 3 * size] = rows[:, :size]
    rows[:, 3 * size : 4 * size] = other_strand(rows[:, size : 2 * size])
    rows[:, ::9] = DNA.mask
    return rows


def other_strand(rows: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(DNA.reverse_complement(rows.numpy()).copy())


def padded(row: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(row, (0, length - row.shape[-1]), value=DNA.pad)


def test_copies_are_read():
    model, rows = encoder(), copies(2, 160)
    assert model.pointers(model.one_hot(rows)).weight_BSJL.any()
    read = model(rows)
    with torch.no_grad():
        for block in model.blocks:
            block.mixer.look.zero_()
    assert (read - model(rows)).abs().max() > 0.01


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("L", [120, 143])
def test_the_other_strand_reverses_positions_and_negates_the_odd_half(filter, L):
    model, rows = encoder(filter=FILTERS[filter]), copies(2, L)
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    vectors = model.encode(rows)
    turned = model.encode(other_strand(rows))
    torch.testing.assert_close(turned, vectors.flip(1) * sign, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_rolling_the_letters_rolls_the_vectors(strands):
    model, rows = encoder(strands=strands), copies(2, 160)
    for shift in (1, 80, -7):
        rolled = model(rows.roll(shift, 1))
        torch.testing.assert_close(rolled, model(rows).roll(shift, 1), rtol=0, atol=1e-12)


def test_a_row_alone_is_bit_equal_to_the_row_in_any_batch():
    model, rows = encoder(torch.float32), copies(5, 160)
    with torch.inference_mode():
        alone = [model(rows[row : row + 1])[0] for row in range(5)]
        for B in (2, 5):
            assert all(torch.equal(model(rows[:B])[row], alone[row]) for row in range(B))


def test_padding_and_neighbours_change_nothing():
    model, row, other = encoder(torch.float32), copies(1, 143), copies(1, 150)
    assert transform_length(143) > 143
    with torch.no_grad():
        alone = model(row)
        batch = model(torch.cat((padded(row, 150), other)))
        assert torch.equal(batch[:1, :143], alone)
        assert not batch[0, 143:].any()
        assert torch.equal(model(padded(row, 300))[:, :143], alone)


def test_the_fused_form_is_the_plain_one():
    model, rows = encoder(), copies(2, 160)
    letters = model.one_hot(rows)
    pointers = model.pointers(letters)
    x_BDL, _ = model.embed(letters)
    for block in model.blocks:
        fused, plain = (
            block(x_BDL, None, None, None, pointers),
            block.plain(x_BDL, None, pointers=pointers),
        )
        torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)
        slopes = [
            torch.autograd.grad(y.square().sum(), list(block.parameters()), retain_graph=True)
            for y in (fused, plain)
        ]
        for one, two in zip(*slopes, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
        x_BDL = fused


def test_backends_read_the_same():
    rows = copies(2, 96)
    reference, fft = (encoder(backend=backend)(rows) for backend in ("reference", "fft"))
    torch.testing.assert_close(fft, reference, rtol=0, atol=1e-10)


def test_encode_compiles_to_one_graph_forward_and_backward():
    model, rows = encoder(torch.float32, depth=1), copies(2, 96)
    check_encode_compiles(model, rows)


def test_blocks_computed_again_have_the_same_gradients():
    model, rows = encoder(), copies(2, 96)
    slopes = []
    for checkpointing in (False, True):
        model.prepare(checkpointing, torch.float32)
        loss = model.encode(rows).square().sum()
        slopes.append(torch.autograd.grad(loss, list(model.parameters())))
    for one, two in zip(*slopes, strict=True):
        torch.testing.assert_close(one, two)


def test_held_pointers_are_those_of_the_letters_held_but_where_letters_are_hidden():
    model, rows = encoder(), copies(1, 160)
    own = model.pointers(model.one_hot(rows))
    other = torch.randint(0, 4, (2, 160), dtype=torch.uint8)
    with model.hold_pointers(model.one_hot(rows)):
        held = model.pointers(model.one_hot(other))
        other[:, 40] = DNA.mask
        hidden = model.pointers(model.one_hot(other))
    assert all(torch.equal(held_row, own[0][0]) for held_row in held[0])
    assert torch.equal(held[1][1], own[1][0])
    assert not torch.equal(hidden[1], held[1])
    assert not torch.equal(model.pointers(model.one_hot(other))[1], hidden[1])


def test_pointers_found_before_are_those_found_inside_bit_for_bit():
    model, rows = encoder(torch.float32), copies(3, 160)
    found = model.find_pointers(rows)
    results = []
    for given in (None, found):
        y = model.encode(rows, pointers=given)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    none = found._replace(weight_BSJL=torch.zeros_like(found.weight_BSJL))
    assert not torch.equal(model.encode(rows, pointers=none), results[0][0])


@pytest.mark.skipif(not triton.available("cpu"), reason="triton is not interpreted here")
def test_pointers_for_a_gpu_are_of_one_size_and_read_the_same():
    model, rows = encoder(torch.float32), copies(3, 160)
    wanted = model.encode(rows)
    indexed = model.find_pointers(rows, torch.device("cuda"))
    torch.testing.assert_close(model.encode(rows, pointers=indexed), wanted, rtol=1e-5, atol=1e-5)
    other = model.find_pointers(torch.zeros_like(rows), torch.device("cuda"))
    assert [each.shape for each in other] == [each.shape for each in indexed]


def test_an_encoder_without_pointers_has_no_weight_of_them():
    model = encoder(filter=CorrelationRecipe())
    assert not [name for name in model.state_dict() if "look" in name]
    assert model.pointers(model.one_hot(copies(1, 96))) is None


def test_symbols_are_not_hashed():
    with pytest.raises(ValidationError, match="hash_length is of DNA, and alphabet is symbols:20"):
        OrchidRecipe(
            alphabet="symbols:20", strands="dense", filter=CorrelationRecipe(hash_length=9)
        )
