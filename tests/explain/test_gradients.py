"""Input x gradient and integrated gradients: against differences by hand, captum, their own sums,
and both strands.
"""

from functools import partial

import pytest
import torch
from captum.attr import IntegratedGradients

from orchid_genomics.explain import (
    OneHot,
    input_x_gradient,
    integrated_gradients,
    one_hot,
    shuffles,
)
from orchid_genomics.sequence import DNA


def other_strand(x_N4L):
    """A, C, G, T and T, G, C, A stand mirrored: both axes flip."""
    return x_N4L.flip(1, 2)


def test_gradients_are_small_differences_less_their_mean_over_letters(letters, made):
    model = OneHot(made(dtype=torch.float64), "C@5")
    x = one_hot(letters(1, 20)).double()
    step = 1e-5
    slopes = torch.zeros(4, 20, dtype=torch.float64)
    for letter in range(4):
        for place in range(20):
            moved = [x.clone(), x.clone()]
            moved[0][0, letter, place] += step
            moved[1][0, letter, place] -= step
            slopes[letter, place] = (model(moved[0]) - model(moved[1])).item() / (2 * step)
    found = input_x_gradient(model, x)
    torch.testing.assert_close(found.hypothetical[0], slopes - slopes.mean(0), atol=1e-8, rtol=1e-5)
    torch.testing.assert_close(found.projected, (found.hypothetical * x).sum(1))
    assert found.error.isnan().all()


def test_integrated_gradients_are_captums_with_many_steps(made, letters):
    model, x = (
        OneHot(made(dtype=torch.float64, depth=1), "C@5"),
        one_hot(letters(2, 33, codes=5)).double(),
    )
    references = shuffles(x, 2, seed=3)
    found = integrated_gradients(model, x, references, batch=50, tolerance=1e-4, most_steps=4000)
    theirs = [
        IntegratedGradients(model).attribute(
            x,
            references[:, k],
            target=0,
            n_steps=500,
            method="gausslegendre",
            internal_batch_size=200,
        )
        for k in range(2)
    ]
    torch.testing.assert_close(found.projected, sum(theirs).sum(1) / 2, atol=2e-3, rtol=2e-3)
    assert (found.projected[x.sum(1) == 0] == 0).all()


def test_steps_go_where_the_sum_is_wrong_until_it_is_right_or_the_error_is_said(
    tiny_model, letters
):
    model, x = OneHot(tiny_model, "C@5"), one_hot(letters(1, 32))
    references = shuffles(x, 1)
    rough = integrated_gradients(model, x, references, most_steps=1)
    found = integrated_gradients(model, x, references, most_steps=3000)
    assert rough.steps < found.steps
    assert (found.error <= 1e-3 * found.difference.abs()).all()
    for each in (rough, found):
        torch.testing.assert_close(
            each.error, (each.projected.sum(1) - each.difference).abs(), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            each.difference, (model(x) - model(references[:, 0]))[:, 0].detach()
        )


@pytest.mark.parametrize("L", [32, 41])
@pytest.mark.parametrize("method", [input_x_gradient, partial(integrated_gradients, most_steps=1)])
def test_the_other_strand_gives_the_mirrored_attribution(tiny_model, method, L, letters):
    model, x = OneHot(tiny_model), one_hot(letters(1, L, codes=5))
    here, there = method(model, x), method(model, other_strand(x))
    torch.testing.assert_close(
        there.hypothetical, other_strand(here.hypothetical), atol=2e-5, rtol=1e-4
    )
    torch.testing.assert_close(there.projected, here.projected.flip(1), atol=2e-5, rtol=1e-4)


def test_batches_do_not_matter(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(5, 32))
    whole, cut = input_x_gradient(model, x), input_x_gradient(model, x, batch=2)
    torch.testing.assert_close(whole.hypothetical, cut.hypothetical)


def test_a_sequence_without_letters_is_answered(tiny_model):
    x = one_hot(torch.full((1, 32), DNA.n, dtype=torch.uint8))
    for method in (input_x_gradient, integrated_gradients):
        assert (method(OneHot(tiny_model), x).projected == 0).all()
