"""The learning rate of every step, and what weight decay may touch."""

import pytest
import torch
from torch import nn

from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe, build, load, rate

RECIPE = OptimizerRecipe(rate=1e-2, warmup=10, final=0.1)


def test_the_rate_rises_in_a_line_then_falls_as_a_cosine():
    rates = [rate(step, 100, RECIPE) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3, rel=0.01)
    assert max(rates) <= 1e-2
    assert rates.index(max(rates)) == 9
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[50] == pytest.approx(1e-2 * 0.55)
    assert rate(100, 100, RECIPE) == pytest.approx(1e-3)


@pytest.mark.parametrize("warmup", [0, 1])
def test_without_warm_up_the_first_step_is_the_peak(warmup):
    assert rate(0, 100, RECIPE.model_copy(update={"warmup": warmup})) == pytest.approx(1e-2)


def test_a_run_shorter_than_its_warm_up_never_reaches_the_peak():
    rates = [rate(step, 3, RECIPE) for step in range(3)]
    assert min(rates) > 0
    assert max(rates) < 3e-3


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("kind", ["correlation", "magnitude", "static"])
def test_only_matrices_over_channels_decay(strands, kind):
    encoder = OrchidRecipe.model_validate(
        {"width": 16, "depth": 2, "strands": strands, "filter": {"kind": kind}}
    )
    model = OrchidModel(ModelRecipe(encoder=encoder, head=LettersRecipe()))
    decaying, others = build(model, RECIPE).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in decaying["params"]}
    rest = {names[id(parameter)] for parameter in others["params"]}
    assert (decaying["weight_decay"], others["weight_decay"]) == (RECIPE.decay, 0.0)
    assert found | rest == set(names.values())
    assert not found & rest
    parts = ("mixer.inside", "mixer.outside", "mlp.inside", "mlp.outside")
    assert found == {f"encoder.blocks.{block}.{part}.weight" for block in (0, 1) for part in parts}
    for word in ("static", "short", "norm", "skip", "bias", "letters"):
        assert not any(word in name for name in found)
        assert any(word in name for name in rest), word


def test_short_taps_may_have_a_rate_of_their_own():
    model = OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=16, depth=2), head=LettersRecipe()))
    *others, apart = build(model, RECIPE.model_copy(update={"taps": 10.0})).param_groups
    assert {id(p) for p in apart["params"]} == {
        id(block.mixer.short) for block in model.encoder.blocks
    }
    assert (apart["scale"], apart["weight_decay"]) == (10.0, 0.0)
    assert sum(len(group["params"]) for group in (*others, apart)) == len(list(model.parameters()))
    assert not any("scale" in group for group in others)


@pytest.mark.parametrize("fused", [None, True])
def test_moments_go_from_one_way_of_stepping_to_another(fused):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    before = torch.optim.AdamW(layer.parameters(), fused=not fused)
    layer(torch.ones(1, 3)).sum().backward()
    before.step()
    after = torch.optim.AdamW(layer.parameters(), fused=fused)
    load(after, before.state_dict())
    [group] = after.param_groups
    assert group["fused"] == fused
    for parameter in layer.parameters():
        assert torch.equal(after.state[parameter]["exp_avg"], before.state[parameter]["exp_avg"])
        assert after.state[parameter]["step"] == 1
    after.step()
    assert all(after.state[parameter]["step"] == 2 for parameter in layer.parameters())


def test_moments_of_another_shape_are_refused():
    wide, narrow = nn.Linear(3, 2), nn.Linear(2, 3)
    given = build(wide, RECIPE)
    wide(torch.ones(1, 3)).sum().backward()
    given.step()
    with pytest.raises(ValueError, match=r"exp_avg of \(2, 3\) for weights of \(3, 2\)"):
        load(build(narrow, RECIPE), given.state_dict())
