"""Fine-tune recipes: those of the project are read, and those that make no sense are refused."""

from pathlib import Path

import pytest

from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.recipe import load

RECIPES = sorted((Path(__file__).parents[2] / "recipes/elements").glob("*.toml"))


def test_there_is_a_recipe_for_every_set_of_the_table():
    told = (RECIPES[0].parent / "README.md").read_text()
    assert len(RECIPES) >= 15
    for path in RECIPES:
        family = (
            path.stem.rsplit("_", 1)[0]
            if path.stem.startswith(("gue_", "yeast_mpra", "yeast_emp"))
            else path.stem
        )
        assert family in told or family.rsplit("_", 1)[0] in told, path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read_and_its_data_lie_where_its_readme_says(path):
    recipe = load(path, FinetuneRecipe)
    data = recipe.data
    files = [data.path] if data.path else [data.train, data.validation, data.test]
    assert all("data" in file.parts or "labelled" in file.parts for file in files)
    assert recipe.pretrained is None or recipe.model is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=0", r"training\.epochs: .*greater than 0"),
        ("head.pool=max", r"head\.pool: 'max'; possible: 'mean', 'center' or 'attention'"),
        (
            "data.kind=parquet",
            r"data: unknown kind 'parquet'; possible: 'table', 'bed', 'fasta', 'hdf5'",
        ),
        ("training.folds=99", r"training\.folds: "),
        (
            "baselines.svm=true",
            r"baselines\.svm: unknown key; possible: cnn, cnn_rates, random, random_spread, simple",
        ),
    ],
)
def test_a_wrong_word_is_one_line_with_what_was_possible(override, message):
    with pytest.raises(RecipeError, match=message):
        load(RECIPES[0], FinetuneRecipe, (override,))
