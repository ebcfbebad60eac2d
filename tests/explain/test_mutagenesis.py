"""In-silico mutagenesis equals mutating by hand, letter by letter, and is the same on both
strands.
"""

import pytest
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.explain import OneHot, centre, mutate, one_hot
from orchid_genomics.sequence import DNA


def brute_force(model, tokens):
    """f(mutant) - f(original) for every letter and place, from tokens."""
    effects = torch.zeros(4, len(tokens))
    with torch.no_grad():
        before = model(one_hot(tokens[None]))
        for place in range(len(tokens)):
            for letter in range(4):
                mutant = tokens.clone()
                mutant[place] = letter
                effects[letter, place] = (model(one_hot(mutant[None])) - before).item()
    return effects


@pytest.mark.parametrize("target", ["pll", "G@9"])
@pytest.mark.parametrize("batch", [1, 7, 500])
def test_it_equals_brute_force_whatever_the_batch(tiny_model, target, batch, letters):
    tokens = letters(2, 20, codes=5)
    model = OneHot(tiny_model, target)
    found = mutate(model, one_hot(tokens), batch=batch)
    expected = torch.stack([brute_force(model, row) for row in tokens])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert (found[one_hot(tokens) == 1] == 0).all()


def test_a_region_is_that_part_of_the_whole(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(1, 40))
    torch.testing.assert_close(
        mutate(model, x, 10, 25), mutate(model, x)[..., 10:25], atol=1e-5, rtol=1e-4
    )


def test_the_other_strand_gives_the_mirrored_effects(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(1, 41, codes=5))
    torch.testing.assert_close(
        mutate(model, x.flip(1, 2)), mutate(model, x).flip(1, 2), atol=2e-5, rtol=1e-4
    )


def test_centred_effects_sum_to_nothing_over_letters(tiny_model, letters):
    effects = mutate(OneHot(tiny_model), one_hot(letters(1, 20)))
    torch.testing.assert_close(centre(effects).sum(1), torch.zeros(1, 20), atol=1e-5, rtol=0)
    torch.testing.assert_close(centre(effects) - centre(effects)[:, :1], effects - effects[:, :1])


def test_a_sequence_without_letters_is_answered(tiny_model):
    x = one_hot(torch.full((1, 20), DNA.n, dtype=torch.uint8))
    assert torch.isfinite(mutate(OneHot(tiny_model), x)).all()


@pytest.mark.parametrize(("start", "end"), [(-1, 4), (5, 5), (3, 41)])
def test_a_region_off_the_sequence_is_one_line(tiny_model, start, end, letters):
    with pytest.raises(InputError) as error:
        mutate(OneHot(tiny_model), one_hot(letters(1, 40)), start, end)
    assert str(error.value) == f"region: {start} to {end}; 0-based half-open, within 0 to 40"
