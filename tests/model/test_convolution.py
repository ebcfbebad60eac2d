"""Laws of full convolutions in an encoder: strands, shifts, rows, padding, one compiled graph."""

import pytest
import torch
from compiling import check_encode_compiles
from pydantic import ValidationError
from torch.nn import functional

from orchid_genomics.model.orchid import Orchid, OrchidRecipe, transform_length
from orchid_genomics.sequence import DNA, alphabet

STRANDS = ["equivariant", "dense"]


def encoder(dtype=torch.float64, **shape) -> Orchid:
    """Every parameter moved off its start: what starts at 0 or 1 would hide a fault."""
    torch.manual_seed(2)
    given = {"width": 12, "depth": 1, "convolutions": (1, 4), "convolution_taps": 5, **shape}
    model = Orchid(OrchidRecipe(**given)).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def tokens(B: int, L: int, codes: int = 6) -> torch.Tensor:
    """Letters, N and MASK (never PAD)."""
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, codes, (B, L), generator=drawn, dtype=torch.uint8)


def other_strand(rows: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(DNA.reverse_complement(rows.numpy()).copy())


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("L", [1, 2, 14, 32, 47])
def test_the_other_strand_reverses_positions_and_negates_the_odd_half(L, depth):
    model = encoder(depth=depth)
    row = tokens(2, L)
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    here, there = model(row), model(other_strand(row))
    torch.testing.assert_close(there, here.flip(1) * sign, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strands", STRANDS)
def test_rolling_the_letters_rolls_the_vectors(strands):
    model = encoder(strands=strands)
    row = tokens(2, 36)
    for shift in (1, 17, -5):
        rolled = model.encode(row.roll(shift, 1))
        torch.testing.assert_close(rolled, model.encode(row).roll(shift, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("strands", STRANDS)
def test_padding_at_the_end_changes_nothing(strands):
    model = encoder(torch.float32, strands=strands)
    row = tokens(1, 45)
    assert transform_length(45) > 45
    with torch.no_grad():
        for length in (46, 60, 100):
            padded = functional.pad(row, (0, length - 45), value=DNA.pad)
            out = model(padded)
            assert torch.equal(out[:, :45], model(row))
            assert not out[:, 45:].any()


def test_nothing_is_read_beyond_the_end_of_a_row():
    model = encoder(depth=0)
    row = tokens(1, 45)
    padded = functional.pad(row, (0, 3), value=DNA.pad)
    mask = (padded != DNA.pad).double()
    other = torch.where(mask == 1, padded, 2)
    with torch.no_grad():
        here, there = (model.encode(each.to(torch.uint8), mask) for each in (padded, other))
    assert torch.equal(here[:, :45], there[:, :45])


@pytest.mark.parametrize("strands", STRANDS)
@pytest.mark.parametrize("width", [12, 96])
@pytest.mark.parametrize("N", [32, 36, 640])
def test_a_row_alone_is_bit_equal_to_the_row_in_any_batch(strands, width, N):
    model = encoder(torch.float32, width=width, strands=strands)
    rows = tokens(5, N)
    with torch.inference_mode():
        alone = torch.cat([model.encode(row) for row in rows.split(1)])
        for B in (2, 3, 5):
            assert torch.equal(model.encode(rows[:B]), alone[:B])


def test_it_reads_as_far_as_its_taps_and_no_farther():
    model = encoder(depth=0, convolutions=(4,))
    row = tokens(1, 40, 4)
    changed = row.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 4
    with torch.no_grad():
        differs = (model.encode(row) != model.encode(changed)).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == [12, 16, 20, 24, 28]


def test_computed_again_in_the_backward_pass_gradients_are_the_same():
    gradients = []
    for checkpointing in (False, True):
        model = encoder().train()
        model.prepare(checkpointing, torch.float32)
        model.encode(tokens(2, 32)).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_encode_compiles_to_one_graph_forward_and_backward():
    model = encoder(torch.float32)
    mask = torch.ones(2, 32)
    mask[1, 20:] = 0
    check_encode_compiles(model, tokens(2, 32), mask)


def test_symbols_have_them_where_strands_are_dense():
    model = encoder(torch.float32, alphabet="symbols:20", strands="dense")
    assert alphabet("symbols:20").count == 20
    assert model(tokens(2, 40, 20)).shape == (2, 40, 12)


def test_strand_pairs_halve_the_weights():
    paired, dense = (
        sum(parameter.numel() for parameter in encoder(strands=strands).convolutions.parameters())
        for strands in STRANDS
    )
    assert 2 * paired == dense


def test_an_encoder_without_one_has_no_weight_of_it():
    assert not [name for name in encoder(convolutions=()).state_dict() if "convolution" in name]


def test_taps_without_a_middle_are_refused():
    with pytest.raises(ValidationError, match="4 taps have no middle; 3 or 5"):
        OrchidRecipe(convolution_taps=4)


def test_a_dilation_of_zero_is_refused():
    with pytest.raises(ValidationError):
        OrchidRecipe(convolutions=(1, 0))
