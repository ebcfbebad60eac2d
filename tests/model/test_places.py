"""Weights of letters by place: sums of a positional regression, from the middle outwards."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from random_models import random_model

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import Pooled, PooledRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.places import Places
from orchid_genomics.sequence import DNA

LONG = "ACGTNACGTACGAACCGTTTGACTCAGGATTACA"


def one_hot(text: str) -> torch.Tensor:
    codes = torch.from_numpy(DNA.encode(text)).long() & 0x7F
    return torch.nn.functional.one_hot(codes, DNA.size).T[None].double()


def shaken(places: int) -> Places:
    torch.manual_seed(0)
    made = Places(places, 2).double()
    torch.nn.init.normal_(made.weight)
    return made


def model_of(places: int = 33) -> OrchidModel:
    labels = {"task": "multilabel", "labels": ("a", "b")}
    return random_model(PooledRecipe(strand="forward", places=places, **labels))


def by_hand(made: Places, text: str) -> np.ndarray:
    """Letter by letter, the middle of the row on the middle of the places."""
    weight = made.weight.detach().numpy()
    places, total = weight.shape[2], np.zeros(2)
    for at, letter in enumerate(text):
        place = at - len(text) // 2 + places // 2
        if letter in "ACGT" and 0 <= place < places:
            total += weight[:, "ACGT".index(letter), place]
    return total


@pytest.mark.parametrize("places", [1, 2, 33, 34, 35, 60])
@pytest.mark.parametrize("text", [LONG, LONG[:9], "A", "NNN"])
def test_a_sum_is_that_of_the_letters_from_the_middle_outwards(text, places):
    made = shaken(places)
    found = made(one_hot(text))[0].detach().numpy()
    np.testing.assert_allclose(found, by_hand(made, text), atol=1e-12)


def test_slopes_are_those_of_differences():
    x = torch.rand(2, DNA.size, 12, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 12, dtype=torch.float64)
    mask[1, 7:] = 0
    assert torch.autograd.gradcheck(shaken(9), (x, mask))


def test_a_row_is_its_own_in_any_batch_and_padding_stands_nowhere():
    model = model_of()
    texts = [LONG.replace("N", ""), LONG, LONG[:22], "ACGTA"]
    for text, row in zip(texts, model(texts), strict=True):
        assert torch.equal(model(text)[0], row)


def test_an_answer_is_that_of_the_head_and_that_of_the_places():
    model = model_of()
    assert isinstance(model.head, Pooled)
    assert model.head.places is not None
    whole = model(LONG)
    places = model.head.places(one_hot(LONG).float())
    with torch.no_grad():
        model.head.places.weight.zero_()
    torch.testing.assert_close(whole - model(LONG), places)
    assert places.abs().min() > 1e-3


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="one strand"):
        PooledRecipe(strand="both", places=30)
    recipe = PooledRecipe(strand="forward", places=30)
    with pytest.raises(RecipeError, match=r"head\.places.*DNA"):
        OrchidModel(
            ModelRecipe(encoder=OrchidRecipe(alphabet="symbols:20", strands="dense"), head=recipe)
        )
    model = model_of()
    with pytest.raises(InputError, match="of vectors alone"):
        model.head(model.encoder(LONG))
