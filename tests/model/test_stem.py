"""Laws of the motif stem, alone and in an encoder: strands, shifts, rows, padding, gradients."""

import pytest
import torch
from compiling import check_encode_compiles
from pydantic import ValidationError
from torch.nn import functional

from orchid_genomics.model.orchid import Orchid, OrchidRecipe, transform_length
from orchid_genomics.model.stem import Stem
from orchid_genomics.model.strands import butterfly
from orchid_genomics.sequence import DNA, alphabet

STRANDS = ["equivariant", "dense"]


def encoder(dtype=torch.float64, **shape) -> Orchid:
    """Every parameter moved off its start: what starts at 0 or 1 would hide a fault."""
    torch.manual_seed(2)
    recipe = OrchidRecipe(**{"width": 12, "depth": 1, "stem": 15, **shape})
    model = Orchid(recipe).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def tokens(B: int, L: int, codes: int = 6) -> torch.Tensor:
    """Letters, N and MASK (never PAD)."""
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, codes, (B, L), generator=random, dtype=torch.uint8)


def other_strand(rows: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(DNA.reverse_complement(rows.numpy()).copy())


def filled(row: torch.Tensor, length: int) -> torch.Tensor:
    """One row, padded at its end."""
    return functional.pad(row, (0, length - row.shape[1]), value=DNA.pad)


@pytest.mark.parametrize("L", [3, 40])
def test_a_feature_is_the_product_with_its_window_on_either_strand(L):
    torch.manual_seed(0)
    stem = Stem(5, 4, "equivariant", DNA)
    torch.nn.init.normal_(stem.bias)
    row = tokens(1, L, 4)
    features_DL = stem(functional.one_hot(row.long(), DNA.size).transpose(1, 2).float())[0]
    for place in (0, L // 2, L - 1):
        window = row[0, (torch.arange(place - 2, place + 3) % L)]
        for strand, letters in enumerate((window, other_strand(window[None])[0])):
            scores = stem.weight[:, letters.long(), torch.arange(5)].sum(1) + stem.bias
            expected = functional.gelu(scores)
            torch.testing.assert_close(features_DL[2 * strand : 2 * strand + 2, place], expected)


@pytest.mark.parametrize("code", [DNA.n, DNA.mask, DNA.pad])
def test_what_is_no_letter_is_no_evidence(code):
    stem = Stem(5, 4, "dense", DNA)
    torch.nn.init.normal_(stem.bias)
    blank = torch.full((1, 9), code)
    features = stem(functional.one_hot(blank, DNA.size).transpose(1, 2).float())
    torch.testing.assert_close(features, functional.gelu(stem.bias)[None, :, None].expand(1, 4, 9))


@pytest.mark.parametrize("stem_width", [0, 20])
@pytest.mark.parametrize("L", [1, 2, 14, 32, 47])
def test_the_other_strand_reverses_positions_and_swaps_the_pairs(L, stem_width):
    model = encoder(stem_width=stem_width)
    row = tokens(2, L)
    here, there = (model.encoding(model.one_hot(rows)) for rows in (row, other_strand(row)))
    c, other = here.motifs_BDL.chunk(2, 1)
    swapped = torch.cat((other, c), 1).flip(2)
    torch.testing.assert_close(there.motifs_BDL, swapped, rtol=0, atol=1e-12)
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    for before, after in (
        (here.residual_BDL.transpose(1, 2), there.residual_BDL.transpose(1, 2)),
        (here.vectors_BLD, there.vectors_BLD),
        (model(row), model(other_strand(row))),
    ):
        torch.testing.assert_close(after, before.flip(1) * sign, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strands", STRANDS)
def test_rolling_the_letters_rolls_features_and_vectors(strands):
    model = encoder(strands=strands)
    row = tokens(2, 36)
    for shift in (1, 17, -5):
        here, there = (model.encoding(model.one_hot(x)) for x in (row, row.roll(shift, 1)))
        rolled = here.motifs_BDL.roll(shift, 2)
        torch.testing.assert_close(there.motifs_BDL, rolled, rtol=0, atol=1e-12)
        rolled = here.vectors_BLD.roll(shift, 1)
        torch.testing.assert_close(there.vectors_BLD, rolled, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strands", STRANDS)
@pytest.mark.parametrize("width", [6, 12, 96])
@pytest.mark.parametrize("N", [32, 36, 640])
def test_a_row_alone_is_bit_equal_to_the_row_in_any_batch(strands, width, N):
    model = encoder(torch.float32, width=width, strands=strands)
    letters_BVL = model.one_hot(tokens(5, N))
    with torch.inference_mode():
        alone = torch.cat([model.stem(row) for row in letters_BVL.split(1)])
        for B in (2, 3, 5):
            assert torch.equal(model.stem(letters_BVL[:B]), alone[:B])


@pytest.mark.parametrize("stem_width", [0, 20])
@pytest.mark.parametrize("strands", STRANDS)
def test_padding_at_the_end_changes_nothing(strands, stem_width):
    model = encoder(torch.float32, strands=strands, stem_width=stem_width)
    row = tokens(1, 45)
    assert transform_length(45) > 45
    with torch.no_grad():
        for length in (46, 60, 100):
            out = model(filled(row, length))
            assert torch.equal(out[:, :45], model(row))
            assert not out[:, 45:].any()


@pytest.mark.parametrize("strands", STRANDS)
def test_gradients_are_those_of_differences(strands):
    stem = Stem(3, 4, strands, DNA).double()
    letters_BVL = torch.rand(2, DNA.size, 7, dtype=torch.float64, requires_grad=True)
    given = (letters_BVL, stem.weight, stem.bias)
    assert torch.autograd.gradcheck(lambda letters, *_: stem(letters), given)


def test_encode_compiles_to_one_graph_forward_and_backward():
    model = encoder(torch.float32)
    mask = torch.ones(2, 32)
    mask[1, 20:] = 0
    check_encode_compiles(model, tokens(2, 32), mask)


def test_it_adds_to_the_embedding_in_the_basis_of_the_residual_stream():
    model = encoder()
    letters_BVL = model.one_hot(tokens(2, 40))
    x_BDL, motifs_BDL = model.embed(letters_BVL)
    table_BDL = torch.matmul(model.letters.vectors().T, letters_BVL)
    torch.testing.assert_close(x_BDL, table_BDL + butterfly(motifs_BDL, 2))


def test_more_features_than_the_stream_has_are_mixed_down_to_it():
    model = encoder(stem_width=20)
    letters_BVL = model.one_hot(tokens(2, 40))
    x_BDL, motifs_BDL = model.embed(letters_BVL)
    assert motifs_BDL.shape == (2, 20, 40)
    table_BDL = torch.matmul(model.letters.vectors().T, letters_BVL)
    torch.testing.assert_close(x_BDL, table_BDL + model.narrow(butterfly(motifs_BDL, 2)))


@pytest.mark.parametrize("strands", STRANDS)
@pytest.mark.parametrize("features", [0, 20], ids=["as many", "more"])
@pytest.mark.parametrize("L", [33, 2100], ids=["one piece", "several"])
def test_the_fused_stem_equals_the_written_one_in_outputs_and_gradients(strands, features, L):
    model = encoder(strands=strands, stem_width=features, depth=0)
    letters_BVL = model.one_hot(tokens(3, L))
    parts = [model.letters, model.stem] + ([model.narrow] if features else [])
    parameters = [parameter for part in parts for parameter in part.parameters()]
    results = []
    # Any GELU but the function itself is written out.
    for gelu in (functional.gelu, torch.nn.GELU()):
        x_BDL, motifs_BDL = model.embed(letters_BVL, gelu)
        of_both = (x_BDL.sin() + 1).sum() + motifs_BDL.cos().sum()
        gradients = [
            torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
            for loss in (of_both, motifs_BDL.sin().sum())
        ]
        results.append([x_BDL, motifs_BDL, *gradients[0], *gradients[1]])
    for fused, written in zip(*results, strict=True):
        torch.testing.assert_close(fused, written, rtol=1e-10, atol=1e-10)


def test_symbols_have_stems_where_strands_are_dense():
    model = encoder(torch.float32, alphabet="symbols:20", strands="dense")
    assert model.stem.weight.shape == (12, alphabet("symbols:20").count, 15)
    assert model(tokens(2, 40, 20)).shape == (2, 40, 12)


def test_an_encoder_without_one_has_no_weight_of_it():
    assert not [name for name in encoder(stem=0).state_dict() if "stem" in name]


def test_taps_without_a_middle_are_refused():
    with pytest.raises(ValidationError, match="14 taps have no middle; 13 or 15"):
        OrchidRecipe(stem=14)
