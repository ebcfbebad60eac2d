"""The unfused form is the same function as the fused one, in outputs and gradients; its rules are
exact.
"""

import pytest
import torch
from tangermeme.deep_lift_shap import deep_lift_shap

from orchid_genomics.explain import OneHot, attribution_ops, one_hot, shuffles, unfused
from orchid_genomics.explain.deeplift_shap import deeplift
from orchid_genomics.model.filters import CorrelationRecipe
from orchid_genomics.model.heads import PooledRecipe, TracksRecipe

HEADS = {
    "letters": None,
    "mean": PooledRecipe(),
    "attention": PooledRecipe(task="multilabel", labels=("a", "b"), pool="attention"),
    "tracks": TracksRecipe(labels=("plus",), bin=3),
    "maxima": PooledRecipe(maxima=("residual", "stem")),
    "wide stem": PooledRecipe(maxima=("residual", "stem")),
    "words": PooledRecipe(words=5, words_gap=2),
    "places": PooledRecipe(strand="forward", places=30),
    "stretches": PooledRecipe(pool="center", maxima=("residual", "stem"), stretches=5),
    "middles": PooledRecipe(maxima=("residual", "stem"), middles=2),
}
MODULES = {  # each with the shape of its input, a sequence's
    unfused.Product: (2, 3, 5),
    unfused.Quotient: (2, 3, 5),
    unfused.SpectrumProduct: (2, 3, 5, 2),
    unfused.Power: (3, 5, 2),
    unfused.Root: (3, 5),
    unfused.Magnitude: (3, 5),
    unfused.LogSoftmax: (3, 4),
    unfused.Maximum: (3, 7),
    unfused.Counts: (4, 9),
}


def stem_of(head):
    """The stem below a head of HEADS."""
    return {"stem": 7, "stem_width": 20 if head == "wide stem" else 0}


def hooked(model):
    """The model with a hook on a product, as an attribution library would put it."""
    model.unfused.mixers[0].enter.register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("L", [32, 41])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("filter", ["correlation", "magnitude", "static", "side taps"])
def test_outputs_and_gradients_are_those_of_the_fused_form(
    made, letters, filters, filter, strands, L
):
    model = made(dtype=torch.float64, filter=filters[filter], strands=strands, mlp_blocks=2)
    x = one_hot(letters(2, L, codes=5)).double()
    fused, plain = OneHot(model), hooked(OneHot(model))
    assert plain.unfused.hooked
    assert not fused.unfused.hooked
    slopes = []
    for form in (fused, plain):
        given = x.clone().requires_grad_()
        slopes.append((form(given), torch.autograd.grad(form(given).sum(), given)[0]))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("filter", ["threshold", "turned", "standing"])
def test_what_stands_out_is_what_the_fused_form_reads(made, letters, filters, filter):
    model = made(dtype=torch.float64, filter=filters[filter])
    x = one_hot(letters(2, 41, codes=5)).double()
    torch.testing.assert_close(OneHot(model)(x), hooked(OneHot(model))(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_same_under_every_head(made, letters, head):
    model = made(HEADS[head], dtype=torch.float64, **stem_of(head))
    x = one_hot(letters(2, 41)).double()
    torch.testing.assert_close(OneHot(model)(x), hooked(OneHot(model))(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_it_is_the_same_above_full_convolutions(made, letters, strands):
    model = made(dtype=torch.float64, strands=strands, convolutions=(1, 3), convolution_taps=5)
    x = one_hot(letters(2, 41)).double()
    torch.testing.assert_close(OneHot(model)(x), hooked(OneHot(model))(x), rtol=1e-9, atol=1e-9)


def test_it_has_no_parameters_and_runs_only_where_it_is_hooked(made):
    model = OneHot(made())
    assert not list(model.unfused.parameters())
    assert set(model.state_dict()) == {f"model.{name}" for name in model.model.state_dict()}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_multipliers_times_differences_are_the_difference(module):
    torch.manual_seed(0)
    layer, rule = module(), attribution_ops()[module]
    layer.input = torch.rand(6, *MODULES[module], dtype=torch.float64) * 3
    layer.input[4] = layer.input[1]  # a pair that does not differ at all
    out = layer(layer.input)
    weights = torch.rand_like(out[:3])
    multipliers = rule(layer, None, (torch.cat((weights, weights)),))[0]
    inputs, outputs = layer.input[:3] - layer.input[3:], out[:3] - out[3:]
    for half in multipliers.chunk(2):
        found = (half * inputs).flatten(1).sum(1)
        torch.testing.assert_close(found, (weights * outputs).flatten(1).sum(1))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_multipliers_of_a_pair_that_does_not_differ_are_the_gradient(module):
    torch.manual_seed(0)
    layer, rule = module(), attribution_ops()[module]
    x = (torch.rand(1, *MODULES[module], dtype=torch.float64) + 0.1).requires_grad_()
    out = layer(x)
    weights = torch.rand_like(out)
    slope = torch.autograd.grad((out * weights).sum(), x)[0]
    layer.input = torch.cat((x, x)).detach()
    torch.testing.assert_close(
        rule(layer, None, (torch.cat((weights, weights)),))[0].chunk(2)[0], slope
    )


@pytest.mark.parametrize("filter", ["correlation", "magnitude", "static", "side taps", "standing"])
def test_tangermemes_deeplift_completes_on_it(made, letters, filters, filter):
    model = OneHot(made(dtype=torch.float64, filter=filters[filter]))
    x = one_hot(letters(2, 41))
    references = shuffles(x, 3)
    found = deep_lift_shap(
        model,
        x,
        references=references,
        additional_nonlinear_ops=attribution_ops(),
        device="cpu",
        dtype=torch.float64,
    )
    with torch.no_grad():
        before = torch.stack([model(some.double()).mean() for some in references])
        torch.testing.assert_close(
            found.sum((1, 2)), model(x.double())[:, 0] - before, rtol=1e-8, atol=1e-8
        )
    assert not model.unfused.hooked


@pytest.mark.parametrize("head", HEADS)
def test_deeplift_completes_under_every_head(made, letters, head):
    target = 0 if HEADS[head] else "pll-hidden"
    model = OneHot(made(HEADS[head], dtype=torch.float64, **stem_of(head)), target)
    x = one_hot(letters(1, 41))
    references = shuffles(x, 1)
    found = deep_lift_shap(
        model,
        x,
        references=references,
        additional_nonlinear_ops=attribution_ops(),
        device="cpu",
        dtype=torch.float64,
    )
    with torch.no_grad():
        difference = model(x.double()) - model(references[:, 0].double())
    torch.testing.assert_close(found.sum((1, 2)), difference[:, 0], rtol=1e-8, atol=1e-8)


def test_deeplift_completes_above_full_convolutions(made, letters):
    model = OneHot(made(dtype=torch.float64, convolutions=(1, 3), convolution_taps=5))
    x = one_hot(letters(2, 41))
    found = deeplift(model, x, shuffles(x, 2))
    assert found.error.max() < 1e-6 * found.difference.abs().max()


def test_deeplift_completes_where_copies_are_read_through_the_pointers_of_the_sequence(
    made, letters
):
    filter = CorrelationRecipe(hash_length=7, agreement=0.5)
    model = OneHot(made(dtype=torch.float64, filter=filter))
    tokens = letters(2, 160)
    tokens[:, 80:120] = tokens[:, 10:50]
    x = one_hot(tokens)
    references = shuffles(x, 2)
    found = deeplift(model, x, references)
    assert found.error.max() < 1e-6 * found.difference.abs().max()
    with model.hold(x[:1]), torch.no_grad():
        before = model(references[0].double()).mean()
        torch.testing.assert_close(
            found.difference[0].double(),
            (model(x[:1].double())[0, 0] - before).double(),
            rtol=1e-4,
            atol=1e-6,
        )


def test_without_the_rules_it_does_not_complete(made, letters):
    model, x = OneHot(made(dtype=torch.float64)), one_hot(letters(1, 41))
    with (
        pytest.warns(RuntimeWarning, match="an operation in the model has no DeepLIFT rule"),
        pytest.warns(RuntimeWarning, match="Convergence deltas too high"),
    ):
        deep_lift_shap(model, x, references=shuffles(x, 1), device="cpu", dtype=torch.float64)
