"""Sequences of associative recall: what they promise, and that nothing but (seed, step, row)
decides them.
"""

import numpy as np
import pytest

from orchid_genomics.data.loader import batches
from orchid_genomics.data.recall import Recall, RecallRecipe, commonest, look_up
from orchid_genomics.errors import RecipeError
from orchid_genomics.recipe import validate


def sequences(vocabulary=20, length=128, rows=range(64), seed=0, step=0):
    return Recall(RecallRecipe(vocabulary=vocabulary), length).batch(seed, step, rows)


@pytest.mark.parametrize("vocabulary", [4, 20, 30, 100])
@pytest.mark.parametrize("length", [32, 128, 2048])
def test_keys_and_values_alternate_and_a_key_has_one_value(vocabulary, length):
    tokens = sequences(vocabulary, length)
    half = vocabulary // 2
    assert (tokens.shape, tokens.dtype) == ((64, length), np.uint8)
    assert tokens[:, ::2].max() < half <= tokens[:, 1::2].min()
    assert tokens.max() < vocabulary
    for row in tokens:
        assert len(set(zip(row[::2].tolist(), row[1::2].tolist(), strict=True))) == len(
            set(row[::2].tolist())
        )


@pytest.mark.parametrize("vocabulary", [20, 100])
def test_the_query_occurred_before_and_exact_matching_is_always_right(vocabulary):
    tokens = sequences(vocabulary, 32, range(500))
    assert (tokens[:, :-2:2] == tokens[:, -2:-1]).any(1).all()
    assert (look_up(tokens) == tokens[:, -1]).all()


def test_the_query_is_any_of_the_keys_that_occurred_as_likely():
    tokens = sequences(4, 32, range(4000))
    assert abs((tokens[:, -2] == 0).mean() - 0.5) < 0.04
    uneven = (tokens[:, :-2:2] == 0).sum(1) >= 11  # of 15
    assert abs((tokens[uneven, -2] == 0).mean() - 0.5) < 0.15


def test_the_commonest_value_by_hand():
    tokens = np.array([[0, 3, 1, 2, 1, 2, 0, 3], [0, 2, 1, 3, 1, 3, 0, 2]], np.uint8)
    assert commonest(tokens).tolist() == [2, 3]
    assert look_up(tokens).tolist() == [3, 2]


def test_counting_alone_is_right_more_often_than_chance_but_far_from_always():
    tokens = sequences(20, 128, range(2000))
    assert 0.15 < (commonest(tokens) == tokens[:, -1]).mean() < 0.4


def test_a_row_is_a_closed_form_of_seed_step_and_row():
    whole = sequences(rows=range(16), seed=5, step=9)
    assert np.array_equal(sequences(rows=[11, 3], seed=5, step=9), whole[[11, 3]])
    for other in (
        sequences(rows=range(16), seed=6, step=9),
        sequences(rows=range(16), seed=5, step=10),
    ):
        assert (other != whole).mean() > 0.5
    assert (whole[:8] != whole[8:]).mean() > 0.5


def test_the_loader_reads_them_as_it_reads_windows():
    source = Recall(RecallRecipe(), 64, 8)
    for batch in batches(source, 1, 3, 6, range(2, 5)):
        assert np.array_equal(batch.tokens_BL, source.batch(1, batch.step, range(2, 5)))
        assert batch.places() == ["row 3", "row 4", "row 5"]


@pytest.mark.parametrize(
    "values", [{"vocabulary": 7}, {"vocabulary": 2}, {"length": 33}, {"length": 2}]
)
def test_what_cannot_be_pairs_is_refused(values):
    with pytest.raises(RecipeError, match=next(iter(values))):
        validate(RecallRecipe, values, "recipe")
