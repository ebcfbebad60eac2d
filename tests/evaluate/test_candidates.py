"""What a fine-tuning recipe leaves out follows from its data; what it states is not searched."""

from dataclasses import replace

import numpy as np
import pytest
from compared_sets import labelled
from pydantic import ValidationError

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.arms import arms_of
from orchid_genomics.evaluate.budget import Pace, fit_in
from orchid_genomics.evaluate.candidates import (
    COARSEST,
    FEWEST,
    MOST,
    Reading,
    Tuned,
    cnn_candidates,
    cnn_readings,
    encoder_of,
    model_candidates,
    readings_of,
    settings_notes,
    training_of,
)
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe, FinetuneTraining, seconds_of
from orchid_genomics.recipe import validate


def recipe(**values) -> FinetuneRecipe:
    return validate(FinetuneRecipe, {"data": {"kind": "table", "path": "x.tsv"}, **values}, "x")


def rows_of(count: int, length: int = 80):
    """A set whose training rows, all it has, are so many."""
    data = labelled()
    some = data.take(np.resize(data.rows("train"), count))
    tokens = [np.zeros(length, np.uint8)] * count
    return type(data)(**{**vars(some), "tokens": tokens})


@pytest.mark.parametrize("rows", [40, 1_000, 8_000, 60_000])
def test_training_is_long_enough_whatever_the_rows(rows):
    data = rows_of(rows)
    training = training_of(recipe(), data)
    steps = -(-rows // training.batch) * training.epochs
    assert 6 <= training.epochs <= 30
    assert steps >= 80 if rows < 100 else steps >= 1_400
    assert training.patience >= training.epochs * training.checks // 2


def test_where_a_place_means_the_same_in_all_rows_every_arm_takes_longer():
    data = rows_of(2_000)
    anywhere, placed = (recipe(head={"strand": strand}) for strand in ("both", "forward"))
    for candidates in (model_candidates, cnn_candidates):
        short, long = (candidates(each, data)[0].training.epochs for each in (anywhere, placed))
        assert 3 * long == 4 * short


def test_small_sets_try_more_and_every_arm_as_much():
    for rows, length, count in ((200, 80, MOST), (20_000, 500, FEWEST)):
        data = rows_of(rows, length)
        model, cnn = arms_of(recipe(), data)
        assert len(model.candidates) == len(cnn.candidates) == count


def test_what_is_stated_is_not_searched():
    data = rows_of(500)
    stated = recipe(
        training={"rates": [1e-2, 1e-3], "epochs": 3, "batch": 8, "noise": 0.3, "patience": 0},
        head={"pool": "mean"},
    )
    candidates = model_candidates(stated, data)
    assert [candidate.rate for candidate in candidates] == [1e-2, 1e-3]
    for candidate in candidates:
        assert candidate.reading.words == "mean"
        training = candidate.training
        assert (training.epochs, training.batch, training.noise) == (3, 8, 0.3)
        assert training.patience == 0
    one = model_candidates(recipe(optimizer={"rate": 5e-3}), data)
    assert [candidate.rate for candidate in one] == [5e-3]
    rates = cnn_candidates(recipe(baselines={"cnn_rates": [7e-3]}), data)
    assert [candidate.rate for candidate in rates] == [7e-3]
    assert len(model_candidates(recipe(training={"budget": 1}), data)) == 1


def test_no_two_candidates_are_the_same_and_none_reads_a_stem_that_is_not_there():
    data = rows_of(200)
    stemless = recipe(model={"stem": 0}, training={"budget": 9})
    candidates = model_candidates(stemless, data)
    assert len({candidate.words for candidate in candidates}) == len(candidates)
    assert not any("stem" in reading.maxima for reading in readings_of(stemless, data))


def test_an_encoder_has_the_shape_of_the_recipe_above_its_own_defaults():
    assert encoder_of(recipe()).stem == 23
    assert encoder_of(recipe(model={"width": 32})).stem == 23
    assert encoder_of(recipe(model={"stem": 0})).stem == 0


def test_a_shape_is_tried_where_the_recipe_names_none():
    data = rows_of(200)
    shapes = [candidate.encoder for candidate in model_candidates(recipe(), data)]
    assert [shape.stem_word for shape in shapes if shape is not None] == [0]
    stated = model_candidates(recipe(model={"width": 32}), data)
    assert not any(candidate.encoder for candidate in stated)


def test_rows_of_one_orientation_are_read_through_convolutions_and_without():
    data = rows_of(200)
    forward = {"head": {"strand": "forward"}, "training": {"budget": 2}}
    for more, wanted in (({}, [(1, 2), ()]), ({"model": {"width": 32}}, [(), ()])):
        arm = arms_of(recipe(**forward, **more), data)[0]
        encoders = [arm.make(candidate, 0).recipe.encoder for candidate in arm.candidates]
        assert [encoder.convolutions for encoder in encoders] == wanted
    assert "2 full convolutions" in settings_notes(recipe(**forward), data)[0]


def test_parts_of_a_given_encoder_are_tried_last_where_the_recipe_names_none():
    data = rows_of(200)
    given = {"pretrained": "yeast"}
    every = model_candidates(recipe(**given, training={"budget": 20}), data)
    parts = [each.tuned for each in every if each.tuned is not None]
    assert parts == [Tuned(adapter=8), Tuned(layers=1), Tuned(layers=0)]
    assert [each.tuned for each in every[-3:]] == parts
    assert "the head and adapters of rank 8" in every[-3].words
    assert not any(each.tuned for each in model_candidates(recipe(**given), data))
    for stated in ({"adapter": 4}, {"layers": 0}, {"adapter": 0}):
        tried = model_candidates(recipe(**given, training={"budget": 20, **stated}), data)
        assert not any(each.tuned for each in tried)
    assert not any(each.tuned for each in model_candidates(recipe(training={"budget": 20}), data))


@pytest.mark.parametrize(("length", "middles"), [(30, 0), (101, 2), (200, 3), (500, 4)])
def test_parts_about_the_middle_follow_from_the_length_of_rows(length, middles):
    data = rows_of(200, length)
    readings = readings_of(recipe(), data)
    assert readings[0].middles == middles
    assert Reading("attention", ("stem",)) in readings
    # Nothing but maxima has parts.
    assert readings[-1] == Reading("mean")
    stated = {reading.middles for reading in readings_of(recipe(head={"middles": 1}), data)}
    assert stated == {0, 1}
    assert not any(each.middles for each in readings_of(recipe(head={"middles": 0}), data))
    first, second, *_ = model_candidates(recipe(), data)
    if middles:
        assert second == replace(first, reading=Reading("attention", ("stem",)))
    else:
        assert second == replace(first, encoder=second.encoder)
    forward = readings_of(recipe(head={"strand": "forward"}), data)
    assert [each.middles for each in forward] == [0] * len(forward)


def test_the_small_cnn_may_read_the_parts_that_an_encoder_does_by_default():
    data, stated = rows_of(200, 200), recipe(head={"middles": 0})
    for each in (recipe(), stated):
        assert [candidate.words for candidate in cnn_candidates(each, data)] == [
            "rate 0.003, in 4 parts about the middle",
            "rate 0.001",
            "rate 0.003, 10% hidden, in 4 parts about the middle",
            "rate 0.003",
        ]
    assert cnn_readings(recipe(), rows_of(200, 30)) == [Reading()]
    forward = cnn_candidates(recipe(head={"strand": "forward"}), data)
    fine, coarse = Reading(stretches=50), Reading(stretches=COARSEST)
    assert [each.reading for each in forward] == [fine, coarse, fine, coarse]
    arm = arms_of(recipe(), data)[1]
    heads = [arm.make(each, 0).recipe.head for each in arm.candidates[:2]]
    assert [head.middles for head in heads] == [3, 0]


@pytest.mark.parametrize(
    ("length", "labels", "stretches"),
    [(20, 1, 16), (70, 1, 17), (300, 1, 75), (2_000, 1, 128), (300, 40, 51), (300, 900, 16)],
)
def test_rows_of_one_orientation_are_read_in_stretches_of_four_letters(length, labels, stretches):
    task = task_of("multilabel", tuple(f"track {label}" for label in range(labels)))
    data = replace(rows_of(200, length), task=task, target=np.zeros((200, labels), np.float32))
    forward = recipe(head={"strand": "forward"})
    fine, *others = readings_of(forward, data)
    assert (fine.pool, fine.stretches) == ("center", stretches)
    assert others[0].stretches == (COARSEST if stretches > COARSEST else 1)
    several = recipe(head={"strand": "forward"}, training={"budget": 3})
    tried = [candidate.reading.stretches for candidate in model_candidates(several, data)]
    assert tried[:3] == [stretches, stretches, COARSEST]
    stated = recipe(head={"strand": "forward", "stretches": 8})
    assert {each.stretches for each in readings_of(stated, data)} == {8}


@pytest.mark.parametrize(
    "head", [{"middles": 2}, {"pool": "mean", "maxima": ["stem"], "middles": 2}]
)
def test_parts_that_are_stated_are_not_searched(head):
    tried = model_candidates(recipe(head=head, training={"budget": 20}), rows_of(200, 200))
    with_maxima = [each.reading for each in tried if each.reading.maxima]
    assert {reading.middles for reading in with_maxima} == {2}


def test_few_rows_of_a_class_are_told_with_what_works():
    notes = "\n".join(settings_notes(recipe(), rows_of(40)))
    assert "training rows of" in notes
    assert "50 or more of each class" in notes
    assert "Few rows" not in "\n".join(settings_notes(recipe(), rows_of(1_000)))


@pytest.mark.parametrize(("words", "seconds"), [("90 s", 90), ("5 min", 300), ("1.5h", 5400)])
def test_a_time_is_read(words, seconds):
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("budget", ["5 minutes", "", "0 s", 0])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(ValidationError, match="budget"):
        FinetuneTraining(budget=budget)


def test_a_time_becomes_candidates_or_fewer_epochs_and_one_without_an_epoch_is_refused():
    arm = arms_of(recipe(training={"budget": "1 h"}), rows_of(200))[0]
    pace = Pace(seconds=10.0, epochs=6)
    assert fit_in(arm, pace, 200.0) == (3, 6)
    assert fit_in(arm, pace, 25.0) == (1, 2)
    # The best one's other seeds take their part.
    assert fit_in(arm, pace, 260.0, seeds=3) == (2, 6)
    assert fit_in(arm, pace, 100.0, seeds=3) == (1, 3)
    message = r'training\.budget: 5 s, and an epoch of the model takes about 10 s; "13 s" or more'
    with pytest.raises(RecipeError, match=message):
        fit_in(arm, pace, 5.0)
    message = r"training\.budget: 25 s, and an epoch .* for each of 3 seeds; .*seeds = \[0\]"
    with pytest.raises(RecipeError, match=message):
        fit_in(arm, pace, 25.0, seeds=3)
