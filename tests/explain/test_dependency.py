"""The dependency map equals the definition, written out, and is mirrored on the other strand."""

import math

import pytest
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.explain import OneHot, dependency_map, one_hot
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.sequence import DNA


def by_definition(model, tokens):
    """e[i, j], from probabilities, one substitution after the other."""
    found = torch.zeros(len(tokens), len(tokens))
    before = model(tokens[None])[0].softmax(-1)
    for i in range(len(tokens)):
        for letter in set(range(4)) - {int(tokens[i])}:
            mutant = tokens.clone()
            mutant[i] = letter
            after = model(mutant[None])[0].softmax(-1)
            ratio = (after / (1 - after)) / (before / (1 - before))
            found[i] = torch.maximum(found[i], ratio.log2().abs().amax(-1))
    return found.fill_diagonal_(0)


@torch.no_grad()
@pytest.mark.parametrize("batch", [5, 100])
def test_it_is_the_largest_change_of_log_odds(tiny_model, letters, batch):
    tokens = letters(1, 20)
    found = dependency_map(OneHot(tiny_model), one_hot(tokens), batch=batch)
    torch.testing.assert_close(found[0], by_definition(tiny_model, tokens[0]), atol=1e-4, rtol=1e-3)


def test_the_other_strand_gives_the_mirrored_map(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(1, 25, codes=5))
    here, there = dependency_map(model, x), dependency_map(model, x.flip(1, 2))
    torch.testing.assert_close(there, here.flip(1, 2), atol=1e-4, rtol=1e-3)


def test_a_region_is_that_part_of_the_whole_and_n_depends_on_nothing(tiny_model, letters):
    model, tokens = OneHot(tiny_model), letters(1, 24)
    tokens[0, 12] = DNA.n
    whole, part = (dependency_map(model, one_hot(tokens), *region) for region in ((), (8, 20)))
    torch.testing.assert_close(part, whole[:, 8:20, 8:20], atol=1e-4, rtol=1e-3)
    assert (whole[0, 12] == 0).all()
    assert (whole[0, :, 12] == 0).all()
    assert (whole[0, :12, :12] + torch.eye(12) > 0).all()


def test_log_odds_are_right_where_a_letter_is_certain(tiny_model):
    from orchid_genomics.explain.dependency import log_odds

    found = log_odds(torch.tensor([40.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(found[0], torch.tensor(40 - math.log(3)))
    assert torch.isfinite(found).all()


def test_a_model_of_no_letters_is_refused(made, letters):
    with pytest.raises(InputError) as error:
        dependency_map(OneHot(made(PooledRecipe())), one_hot(letters(1, 24)))
    assert (
        str(error.value)
        == "method: dependency is of models that predict letters; a pretrained model"
    )
