"""Rows that stand on their own strand are known without a column; no others are taken for such."""

import json
from dataclasses import replace

import numpy as np
import pytest
from labelled_rows import made, random_texts

from orchid_genomics.evaluate.candidates import strand_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.orientation import CLEAR, orientation_of, sets_of
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.plan import plan

WORD = "GATTACC"


def reverse_complement(text: str) -> str:
    return DNA.decode(DNA.reverse_complement(DNA.encode(text)))


def planted(rows: int, length: int, turn: bool, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts whose every second one holds the word, on a random strand where `turn`."""
    rng = np.random.default_rng(seed)
    texts = random_texts(rows, length, seed)
    for row in range(0, rows, 2):
        at = int(rng.integers(0, length - len(WORD) + 1))
        text = texts[row][:at] + WORD + texts[row][at + len(WORD) :]
        texts[row] = reverse_complement(text) if turn and rng.random() < 0.5 else text
    return texts, np.arange(rows) % 2


@pytest.mark.parametrize("seed", range(3))
def test_a_word_on_one_strand_is_seen(seed):
    found = orientation_of(made(*planted(900, 30, turn=False, seed=seed)))
    assert found is not None
    assert found.is_clear
    assert found.own < min(found.other, 1)


@pytest.mark.parametrize("seed", range(6))
def test_a_word_on_either_strand_is_not(seed):
    found = orientation_of(made(*planted(900, 30, turn=True, seed=seed)))
    assert found is not None
    assert abs(found.errors) < CLEAR


def test_rows_of_several_lengths_are_asked_by_words_alone():
    texts, target = planted(1800, 30, turn=False)
    texts = [text + "ACGT"[row % 4] * (row % 3) for row, text in enumerate(texts)]
    found = orientation_of(made(texts, target))
    assert found is not None
    assert found.is_clear


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_every_kind_of_answer_is_asked(task):
    texts, target = planted(900, 30, turn=False)
    has_word = target == 0
    asked = {
        "multiclass": (np.where(has_word, 2, target), ("a", "b", "c")),
        "multilabel": (np.stack([has_word, has_word], 1).astype(np.float32), ("a", "b")),
        "regression": ((1000.0 + 50 * has_word[:, None]).astype(np.float32), ("level",)),
    }
    found = orientation_of(made(texts, asked[task][0], task, asked[task][1]))
    assert found is not None
    assert found.is_clear
    assert found.own < 1


def test_families_count_once():
    """Copies of one row say no more than the row."""
    data = made(*planted(900, 30, turn=False))
    assert orientation_of(replace(data, group=np.arange(900) % 30)) is None


def test_a_strand_column_is_not_asked():
    data = replace(made(*planted(900, 30, turn=False)), stranded=True)
    assert orientation_of(data) is None


def test_rows_that_are_their_own_reverse_complements_say_nothing():
    half = random_texts(900, 15)
    texts = [text + reverse_complement(text) for text in half]
    found = orientation_of(made(texts, np.arange(900) % 2))
    assert found is not None
    assert found.errors == 0
    assert not found.is_clear


def recipe_of(tmp_path, turn: bool, **blocks) -> FinetuneRecipe:
    texts, target = planted(900, 30, turn)
    path = tmp_path / "set.tsv"
    splits = ("train", "validation", "test")
    rows = [
        f"{text}\t{label}\t{splits[row % 3]}\n"
        for row, (text, label) in enumerate(zip(texts, target, strict=True))
    ]
    path.write_text("sequence\tlabel\tsplit\n" + "".join(rows))
    return FinetuneRecipe.model_validate({"data": {"kind": "table", "path": path}, **blocks})


@pytest.mark.parametrize(("turn", "strand"), [(False, "forward"), (True, "both")])
def test_the_heads_of_a_table_without_strands_follow_its_rows(tmp_path, turn, strand):
    recipe = recipe_of(tmp_path, turn)
    (data,) = sets_of(recipe)
    assert strand_of(recipe, data) == strand


def test_what_the_recipe_says_stands(tmp_path):
    recipe = recipe_of(tmp_path, False, head={"strand": "both"})
    (data,) = sets_of(recipe)
    assert not data.oriented
    assert strand_of(recipe, data) == "both"


def test_every_fold_is_asked(tmp_path):
    recipe = recipe_of(tmp_path, False, training={"folds": 3})
    sets = sets_of(recipe)
    assert [strand_of(recipe, data) for data in sets] == ["forward"] * 3


def test_plan_says_so(tmp_path):
    recipe = recipe_of(tmp_path, False)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.model_dump(mode="json", exclude_unset=True)))
    lines = "\n".join(plan(path, steps=1))
    assert "standard errors apart" in lines
    assert "center and maxima" in lines
