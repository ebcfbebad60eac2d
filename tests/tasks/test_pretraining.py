"""The recipes of the embedded genome open: every file, split, window and batch is what a run would
need.
"""

from pathlib import Path

import pytest

from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import build, stages_of
from orchid_genomics.tasks.pretraining import open_source, run_recipe
from orchid_genomics.train import distributed as ranks

RECIPES = sorted((Path(__file__).parents[2] / "recipes/yeast").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_the_repository_reads_trains_and_measures_what_is_there(path):
    recipe = load(path, run_recipe)
    source = open_source(recipe)
    for stage in stages_of(recipe, source, ranks.start("cpu")):
        (batch,) = stage.batches(recipe.seed, 0, 1, [[0]])
        assert batch.tokens_BL.shape == (1, stage.length)
    assert "training windows that touch held-out letters: 0" in source.describe(recipe.longest)
    assert build(recipe).recipe.encoder.filter.longest == recipe.stages()[0].length


def test_the_longest_windows_are_131_072_letters_one_at_a_time():
    recipe = load(RECIPES[0].parent / "long.toml", run_recipe)
    last = recipe.stages()[-1]
    assert recipe.longest == last.length == 131_072
    assert last.batch == 1
    assert recipe.evaluation.batch == 1
