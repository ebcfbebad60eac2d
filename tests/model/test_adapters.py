"""Low-rank updates: exact on both strands, nothing at the start, one weight at the end."""

import pytest
import torch

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.adapters import adapt, largest_rank, merge, merged_state
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.strands import Mix
from orchid_genomics.sequence import DNA

SHAPES = {
    "equivariant": OrchidRecipe(width=16, depth=2),
    "dense": OrchidRecipe(width=16, depth=2, strands="dense"),
    "blocks": OrchidRecipe(width=16, depth=1, mlp_blocks=2),
    "stem": OrchidRecipe(width=16, depth=1, stem=5, stem_width=24),
    "convolutions": OrchidRecipe(width=16, depth=1, convolutions=(1, 3)),
}


def adapted(recipe, rank=2, seed=0):
    """An encoder with updates that are no longer zero, and how it answered before."""
    torch.manual_seed(seed)
    encoder = Orchid(recipe).double().eval()
    tokens_BL = torch.randint(0, 4, (2, 64), dtype=torch.uint8)
    before = encoder.encode(tokens_BL)
    adapt(encoder, rank)
    assert torch.equal(encoder.encode(tokens_BL), before)
    for module in encoder.modules():
        if isinstance(module, Mix):
            torch.nn.init.normal_(module.up, std=0.3)
    return encoder, tokens_BL, before


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_begins_at_nothing_and_merged_it_answers_as_before_merging(shape):
    encoder, tokens_BL, before = adapted(SHAPES[shape])
    names = Orchid(SHAPES[shape]).state_dict().keys()
    after = encoder.encode(tokens_BL)
    assert (after - before).abs().max() > 0.1
    state = merged_state(encoder)
    assert state.keys() == names
    assert len(encoder.state_dict()) > len(names)
    merge(encoder)
    assert encoder.state_dict().keys() == names
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, state[name])
    torch.testing.assert_close(encoder.encode(tokens_BL), after, rtol=1e-10, atol=1e-10)
    merge(encoder)  # nothing more to merge
    assert encoder.state_dict().keys() == names


@pytest.mark.parametrize("shape", ["equivariant", "blocks", "stem"])
@pytest.mark.parametrize("L", [64, 45])
def test_strands_stay_exact_whatever_the_update(shape, L):
    encoder, tokens_BL, _ = adapted(SHAPES[shape])
    tokens_BL = tokens_BL[:, :L]
    complement = torch.tensor(DNA.complement_codes, dtype=torch.uint8)
    own, other = encoder.encode(tokens_BL), encoder.encode(complement[tokens_BL.long()].flip(1))
    even, odd = other.flip(1).chunk(2, -1)
    torch.testing.assert_close(torch.cat((even, -odd), -1), own, rtol=1e-10, atol=1e-10)


def test_updates_alone_have_gradients_and_they_are_those_of_the_definition():
    encoder, tokens_BL, _ = adapted(SHAPES["equivariant"])
    trained = {name for name, each in encoder.named_parameters() if each.requires_grad}
    assert {name.rsplit(".", 1)[-1] for name in trained} == {"up", "down"}
    assert len(trained) == 2 * 4 * 2  # of two blocks with four products each
    # The update of a weight W has the gradient dW D' and U' dW, by the chain rule.
    mix = encoder.blocks[0].mixer.inside
    direction = torch.randn_like(encoder.encode(tokens_BL))
    (encoder.encode(tokens_BL) * direction).sum().backward()
    up, down = mix.up.grad.clone(), mix.down.grad.clone()
    factors = mix.up.detach(), mix.down.detach()
    merge(encoder)
    mix.weight.requires_grad_(True)
    (encoder.encode(tokens_BL) * direction).sum().backward()
    torch.testing.assert_close(up, mix.weight.grad @ factors[1].mT)
    torch.testing.assert_close(down, factors[0].mT @ mix.weight.grad)


def test_a_folder_holds_merged_weights_and_the_model_goes_on_with_its_updates(tmp_path):
    torch.manual_seed(0)
    model = OrchidModel(ModelRecipe(encoder=SHAPES["equivariant"], head=LettersRecipe())).eval()
    adapt(model.encoder, 1)
    torch.nn.init.ones_(model.encoder.blocks[1].mlp.outside.up)
    model.save_pretrained(tmp_path / "model")
    read = OrchidModel.from_pretrained(tmp_path / "model")
    assert read.hash() == model.hash()
    torch.testing.assert_close(read("ACGTTGCAACGT" * 8), model("ACGTTGCAACGT" * 8))
    assert model.encoder.blocks[1].mlp.outside.up is not None
    merge(model)
    assert read.hash() == model.hash()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_rank_is_the_smaller_side_of_the_smallest_matrix(shape):
    encoder = Orchid(SHAPES[shape])
    sides = [module.weight.shape[1:] for module in encoder.modules() if isinstance(module, Mix)]
    assert largest_rank(SHAPES[shape]) == min(min(pair) for pair in sides)
    with pytest.raises(RecipeError, match=r"training\.adapter: 17, and the smallest matrix has"):
        adapt(encoder, 17)


def test_an_encoder_without_layers_has_nothing_to_update():
    encoder = Orchid(OrchidRecipe(width=16, depth=0))
    assert largest_rank(encoder.recipe) == 0
    with pytest.raises(RecipeError, match=r"training\.adapter: 1"):
        adapt(encoder, 1)
