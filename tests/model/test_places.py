"""Weights of letters by place: sums of a positional regression, from the middle outwards."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from random_models import one_hot

from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.places import Places
from orchid_genomics.sequence import DNA

LONG = "ACGTNACGTACGAACCGTTTGACTCAGGATTACA"


def shaken(places: int) -> Places:
    torch.manual_seed(0)
    made = Places(places, 2).double()
    torch.nn.init.normal_(made.weight)
    return made


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


def test_places_are_of_one_strand():
    with pytest.raises(ValidationError, match="one strand"):
        PooledRecipe(strand="both", places=30)
