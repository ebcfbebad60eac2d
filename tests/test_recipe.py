import json
import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.recipe import RecipePath, Strict, load


class Plain(Strict):
    kind: Literal["plain"] = "plain"
    width: int = 3


class Fancy(Strict):
    kind: Literal["fancy"] = "fancy"
    colour: str = "red"


class Part(Strict):
    fasta: RecipePath
    weight: float = 1.0


class Whole(Strict):
    seed: int = 0
    mode: Literal["fast", "slow"] = "fast"
    parts: tuple[Part, ...] = ()
    head: Annotated[Plain | Fancy, Field(discriminator="kind")] = Plain()


TEXT = """
seed = 5
[[parts]]
fasta = "genomes/a.fa"
[head]
kind = "plain"
width = 7
"""


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(TEXT)
    return path


def test_a_recipe_states_what_differs_from_the_defaults(recipe):
    whole = load(recipe, Whole)
    assert (whole.seed, whole.mode, whole.head) == (5, "fast", Plain(width=7))


def test_paths_are_relative_to_the_recipe(recipe):
    assert load(recipe, Whole).parts[0].fasta == recipe.parent / "genomes" / "a.fa"


def test_the_saved_recipe_reads_back_as_itself(recipe, tmp_path):
    whole = load(recipe, Whole)
    saved = tmp_path / "elsewhere" / "recipe.json"
    saved.parent.mkdir()
    saved.write_text(whole.model_dump_json())
    assert load(saved, Whole) == whole


@pytest.mark.parametrize(
    ("override", "reach", "value"),
    [
        ("seed=9", lambda w: w.seed, 9),
        ("mode=slow", lambda w: w.mode, "slow"),
        ("head.width=1", lambda w: w.head.width, 1),
        ("parts.0.weight=0.5", lambda w: w.parts[0].weight, 0.5),
        ("head.kind=fancy", lambda w: w.head, Fancy()),
    ],
)
def test_set_changes_one_value(recipe, override, reach, value):
    assert reach(load(recipe, Whole, [override])) == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth=3", r"depth: unknown key; possible: head, mode, parts, seed"),
        ("head.depth=3", r"head\.plain\.depth: unknown key; possible: kind, width"),
        ("parts.0.name=3", r"parts\.0\.name: unknown key; possible: fasta, weight"),
        ("head.kind=odd", r"head: unknown kind 'odd'; possible: 'plain', 'fancy'"),
        ("mode=medium", r"mode: 'medium'; possible: 'fast' or 'slow'"),
        ("seed=many", r"seed: .*integer.*\(found 'many'\)"),
        ("seed", r"overrides: 'seed' is not KEY=VALUE; such as model.depth=12"),
        ("parts.3.weight=1", r"no item '3'; 0 to 0"),
        ("seed.x=1", r"'seed' is a value, not a block"),
    ],
)
def test_a_wrong_word_is_one_line_with_what_was_possible(recipe, override, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load(recipe, Whole, [override])
    assert "\n" not in str(caught.value)


def test_a_missing_key_and_a_missing_file_are_named(recipe, tmp_path):
    recipe.write_text("[[parts]]\nweight = 2.0\n")
    with pytest.raises(RecipeError, match=r"run\.toml: parts\.0\.fasta: is missing"):
        load(recipe, Whole)
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file"):
        load(tmp_path / "none.toml", Whole)


def test_text_that_is_no_toml_is_refused(recipe):
    recipe.write_text("seed = \n")
    with pytest.raises(RecipeError, match=r"is no TOML: Invalid value \(at line 1"):
        load(recipe, Whole)


def test_a_json_recipe_is_checked_as_strictly(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"sed": 1}))
    with pytest.raises(RecipeError, match="sed: unknown key"):
        load(path, Whole)


@pytest.mark.parametrize("name", ["r.toml", "r.json"])
def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path, name):
    text = "seed = 5\r\n" if name == "r.toml" else '{"seed": 5}'
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(tmp_path / name, Whole).seed == 5


@pytest.mark.parametrize("name", ["r.toml", "r.json"])
def test_brackets_without_end_are_one_line(tmp_path, name):
    (tmp_path / name).write_text(("x = " if name == "r.toml" else "") + "[" * 100_000)
    with pytest.raises(RecipeError, match=f"{name}: is no (TOML|JSON): "):
        load(tmp_path / name, Whole)


def test_what_a_recipe_names_can_be_read_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "r.toml").write_text('[[parts]]\nfasta = "pipe"\n')
    with pytest.raises(RecipeError, match=r"parts\.0\.fasta: is a pipe or device; a file, which"):
        load(tmp_path / "r.toml", Whole)
