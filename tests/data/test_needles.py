"""Needles: the key stands twice, its value is what is asked, and near-duplicates lead elsewhere."""

import numpy as np

from orchid_genomics.data.needles import NeedleRecipe, plant_needle
from orchid_genomics.sequence import DNA


def test_the_key_stands_twice_with_its_value_and_distractors_differ():
    tokens = np.random.default_rng(0).integers(0, 4, 4096).astype(np.uint8)
    before = tokens.copy()
    recipe = NeedleRecipe()
    row, answer = plant_needle(tokens, recipe, 1, 2)
    assert np.array_equal(tokens, before)
    assert answer.stop - answer.start == recipe.value
    text = DNA.decode(row)
    asked = DNA.decode(row[answer.start - recipe.key : answer.stop])
    assert text.count(asked) == text.count(asked[: recipe.key]) == 2
    assert text.find(asked) < len(row) * 9 // 10 < answer.start
    differing = []
    for start in range(len(row) - len(asked)):
        other = row[start : start + recipe.key]
        differing.append((other != row[answer.start - recipe.key : answer.start]).sum())
    near = [count for count in differing if 0 < count <= recipe.changed]
    assert len(near) == recipe.distractors


def test_a_needle_is_a_closed_form_of_its_numbers():
    tokens = np.random.default_rng(0).integers(0, 4, 4096).astype(np.uint8)
    one, again = (plant_needle(tokens, NeedleRecipe(), 1, 2) for _ in range(2))
    assert np.array_equal(one[0], again[0])
    assert one[1] == again[1]
    assert not np.array_equal(one[0], plant_needle(tokens, NeedleRecipe(), 1, 3)[0])
