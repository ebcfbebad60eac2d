"""What is said of a model that holds several networks."""

import json

import pytest

from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.tasks.info import info
from orchid_genomics.tasks.model_card import model_card
from tests.random_models import random_model


@pytest.mark.parametrize("count", [1, 3])
def test_several_networks_are_told_in_lines_in_json_and_on_the_card(count, tmp_path):
    parts = [random_model(PooledRecipe(), seed=seed) for seed in range(count)]
    model = OrchidModel.together(parts)
    model.save_pretrained(tmp_path / "model")
    lines = list(info(tmp_path / "model"))
    card = model_card("A model", model, model.provenance)
    assert ("networks     3, whose outputs are averaged" in lines) == (count == 3)
    assert ("| networks | 3, whose outputs are averaged |" in card) == (count == 3)
    assert json.loads(*info(tmp_path / "model", as_json=True))["networks"] == count
    parameters = sum(part.numel() for part in model.parameters())
    assert f"parameters   {parameters:,}" in lines
    assert f"; {parameters:,} parameters{' in all' if count > 1 else ''} |" in card
