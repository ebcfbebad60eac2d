"""The kinds of answer: scores they name, links, and the bins of tracks."""

import numpy as np
import pytest
import torch

from orchid_genomics.answers.supervised_tasks import TASKS, Tracks, task_of


@pytest.mark.parametrize("name", TASKS)
def test_every_task_gives_every_score_it_names(name):
    rng = np.random.default_rng(0)
    classes = {"binary": 2, "multiclass": 3}.get(name, 0)
    task = task_of(name, ("a", "b", "c")[: classes or 2])
    target = (rng.random((40, 2)) > 0.5).astype(np.float32)
    if classes:
        target = rng.integers(0, classes, 40)
    answers = rng.random((40, task.outputs))
    thresholds = task.thresholds(answers, target)
    found = task.score(answers, target, thresholds, np.ones((1, 40)))
    assert set(found) == set(task.scores)
    assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("name", TASKS)
def test_labels_that_a_task_cannot_have_are_told(name):
    possible = {"binary": [2], "multiclass": [3, 9], "multilabel": [1, 5], "regression": [1, 2]}
    for count in (1, 2, 3, 5, 9):
        fits = not TASKS[name].label_fault(count)
        assert fits or count not in possible[name]
    assert all(not TASKS[name].label_fault(count) for count in possible[name])


def test_a_link_gives_probabilities_or_numbers():
    outputs = torch.tensor([[0.0, 2.0, -2.0]])
    three = ("a", "b", "c")
    assert task_of("multiclass", three).link(outputs).sum() == pytest.approx(1)
    assert torch.equal(task_of("multilabel", three).link(outputs), outputs.sigmoid())
    assert torch.equal(task_of("regression", three).link(outputs), outputs)


def test_tracks_are_scored_on_the_bins_that_every_track_has_a_number_of():
    task = task_of("regression", ("a", "b"), 8)
    assert isinstance(task, Tracks)
    target = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    target[0, 2] = np.nan
    target[1, 0, 1] = np.nan
    answers = np.zeros((2, 4, 2))  # a bin more than there are numbers for
    answers = answers[:, :3]
    flat, truth, group = task.flatten(answers, target, np.array([7, 9]))
    assert truth.tolist() == [[0, 1], [2, 3], [8, 9], [10, 11]]
    assert flat.shape == (4, 2)
    assert group.tolist() == [7, 7, 9, 9]
    assert task.count(target).tolist() == [2, 3]
    np.testing.assert_allclose(task.constant(target), [np.nanmean(target[..., k]) for k in (0, 1)])


def test_the_constant_answer_is_the_share_of_each_class():
    assert task_of("binary", ("n", "y")).constant(np.array([0, 1, 1, 1])).tolist() == [0.75]
    three = task_of("multiclass", ("a", "b", "c")).constant(np.array([0, 0, 1, 2]))
    assert three.tolist() == [0.5, 0.25, 0.25]
