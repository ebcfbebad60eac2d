"""Words and places as parts of a head: a row is its own, and an answer is a sum of its parts."""

import pytest
import torch
from random_models import one_hot, random_model

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import Pooled, PooledRecipe
from orchid_genomics.model.orchid import OrchidRecipe

LONG = "ACGTNACGTACGAACCGTTTGACTCAGGATTACA"
PARTS = [
    ("words", {"words": 6, "words_gap": 1, "strand": "both"}),
    ("words", {"words": 6, "words_gap": 1, "strand": "forward"}),
    ("places", {"places": 33, "strand": "forward"}),
]


def recipe_of(keys) -> PooledRecipe:
    return PooledRecipe(task="multilabel", labels=("a", "b"), **keys)


@pytest.mark.parametrize(("part", "keys"), PARTS)
def test_a_row_is_its_own_in_any_batch_and_padding_says_nothing(part, keys):
    model = random_model(recipe_of(keys))
    texts = [LONG.replace("N", ""), LONG, LONG[:22], "ACGTA"]
    for text, row in zip(texts, model(texts), strict=True):
        assert torch.equal(model(text)[0], row)


@pytest.mark.parametrize(("part", "keys"), PARTS)
def test_an_answer_is_that_of_the_head_and_that_of_the_part(part, keys):
    model = random_model(recipe_of(keys))
    assert isinstance(model.head, Pooled)
    added = getattr(model.head, part)
    assert added is not None
    whole = model(LONG)
    sums = added(one_hot(LONG).float())
    with torch.no_grad():
        added.weight.zero_()
    torch.testing.assert_close(whole - model(LONG), sums)
    assert sums.abs().min() > 1e-3


@pytest.mark.parametrize(("part", "keys"), PARTS)
def test_what_cannot_be_is_refused(part, keys):
    symbols = OrchidRecipe(alphabet="symbols:20", strands="dense")
    with pytest.raises(RecipeError, match=rf"head\.{part}.*DNA"):
        OrchidModel(ModelRecipe(encoder=symbols, head=recipe_of(keys)))
    model = random_model(recipe_of(keys))
    with pytest.raises(InputError, match="of vectors alone"):
        model.head(model.encoder(LONG))
