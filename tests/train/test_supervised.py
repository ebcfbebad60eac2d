"""What learning answers asks of a step: its loss, its mask, its weights; and what a model says of
many rows.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe, TracksRecipe
from orchid_genomics.model.orchid import OrchidRecipe, transform_length
from orchid_genomics.sequence import DNA
from orchid_genomics.train.supervised import (
    Supervised,
    balanced_weights,
    padded_lengths,
    predict,
    units,
)


def labelled(task="binary", lengths=(40, 51, 60, 90), rows=24) -> LabelledSet:
    rng = np.random.default_rng(1)
    tokens = [
        rng.integers(0, 4, lengths[row % len(lengths)]).astype(np.uint8) for row in range(rows)
    ]
    target = {
        "binary": (np.arange(rows) % 4 == 0).astype(np.int64),
        "multiclass": np.arange(rows) % 3,
        "multilabel": rng.integers(0, 2, (rows, 2)).astype(np.float32),
        "regression": rng.normal(5, 2, (rows, 1)).astype(np.float32),
    }[task]
    labels = {
        "binary": ("0", "1"),
        "multiclass": ("a", "b", "c"),
        "multilabel": ("x", "y"),
        "regression": ("n",),
    }[task]
    split = np.repeat([0, 1, 2], [rows - 8, 4, 4])
    return LabelledSet(
        "set",
        task_of(task, labels),
        tokens,
        target,
        split,
        np.arange(rows),
        [f"row {r}" for r in range(rows)],
    )


def objective(data, batch=8, **options) -> Supervised:
    return Supervised(
        data, Epochs(data.tokens, np.arange(len(data)), padded_lengths(data), batch), **options
    )


def shown(found: Supervised, step: int = 0, batch: int = 8):
    tokens = found.epochs.batch(0, step, range(batch))
    looked_up = found.look_up(tokens, 0, step, range(batch))
    given = [None if each is None else torch.from_numpy(each) for each in looked_up]
    return found.hide(torch.from_numpy(tokens), 0, step, torch.arange(batch), given)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_the_loss_is_the_mean_over_rows_by_hand(task):
    data = labelled(task, lengths=(60,))
    found = objective(data)
    batch = shown(found)
    torch.manual_seed(0)
    outputs = torch.randn(8, 1 if task == "binary" else len(data.labels))
    target = batch.target
    wanted = {
        "binary": lambda: functional.binary_cross_entropy_with_logits(
            outputs[:, 0], target.float()
        ),
        "multiclass": lambda: functional.cross_entropy(outputs, target),
        "multilabel": lambda: functional.binary_cross_entropy_with_logits(outputs, target),
        "regression": lambda: ((outputs - target) / data.target[:16].std()).square().mean(),
    }[task]()
    torch.testing.assert_close(
        found.loss(outputs, batch) / batch.weights_BL.sum(), wanted, rtol=1e-5, atol=1e-5
    )


def test_padding_is_masked_and_rows_that_fill_a_batch_weigh_nothing():
    data = labelled(lengths=(40, 51, 90))  # transformed at 40, 60 and 96
    found = objective(data)
    for step in range(found.epochs.steps):
        batch = shown(found, step)
        examples, weights = found.epochs.examples(0, step, range(8))
        assert torch.equal(batch.weights_BL, torch.from_numpy(weights))
        lengths = data.lengths[examples]
        assert batch.shown_BL.shape[1] == transform_length(int(lengths[0]))
        if lengths[0] == batch.shown_BL.shape[1]:
            assert batch.mask_BL is None
        else:
            assert batch.mask_BL.sum(1).tolist() == lengths.tolist()


def test_balanced_classes_have_the_same_say():
    data = labelled("binary", lengths=(60,), rows=40)
    weights = balanced_weights(data)
    train = data.target[data.rows("train")]
    assert weights[0] * (train == 0).sum() == pytest.approx(weights[1] * (train == 1).sum())
    assert weights[train].mean() == pytest.approx(1.0)
    batch = shown(objective(data, class_weights=weights))
    assert torch.equal(batch.weights_BL, torch.from_numpy(weights)[batch.target])


def test_balanced_labels_have_the_same_say_and_numbers_have_none():
    data = labelled("multilabel", lengths=(60,), rows=40)
    data.target[:, 0] = np.arange(40) % 5 == 0
    weights, train = balanced_weights(data), data.target[data.rows("train")]
    for label in range(2):
        said = [weights[bit, label] * (train[:, label] == bit).sum() for bit in (0, 1)]
        assert said[0] == pytest.approx(said[1])
        assert sum(said) == pytest.approx(len(train))
    found = objective(data, class_weights=weights)
    batch, outputs = shown(found), torch.randn(8, 2)
    each = functional.binary_cross_entropy_with_logits(outputs, batch.target, reduction="none")
    each = each * torch.from_numpy(np.where(batch.target.numpy() > 0, weights[1], weights[0]))
    torch.testing.assert_close(found.loss(outputs, batch), each.mean(1).sum())
    with pytest.raises(
        RecipeError, match=r"training\.class_weights: balanced, for numbers; \"none\""
    ):
        balanced_weights(labelled("regression"))


def test_noise_hides_a_share_of_the_letters_and_never_an_n():
    data = labelled(lengths=(3000,), rows=16)
    for row in data.tokens:
        row[:100] = DNA.n
    batch = shown(objective(data, noise=0.2))
    assert 0.18 < (batch.shown_BL[:, 100:] == DNA.mask).float().mean() < 0.22
    assert (batch.shown_BL[:, :100] == DNA.n).all()
    assert torch.equal(shown(objective(data, noise=0.2)).shown_BL, batch.shown_BL)


def model(head) -> OrchidModel:
    torch.manual_seed(0)
    return OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=8, depth=1), head=head)).eval()


@pytest.mark.parametrize("letters", [60, 1 << 15])
def test_predictions_are_those_of_each_row_alone_in_order(letters):
    data = labelled()
    ours = model(PooledRecipe(pool="attention"))
    found = predict(ours, data.tokens, torch.device("cpu"), letters)
    with torch.inference_mode():
        alone = np.stack([ours(torch.from_numpy(row)[None])[0].numpy() for row in data.tokens])
    assert np.array_equal(found, alone)


def test_tracks_end_with_their_row():
    data = labelled()
    found = predict(model(TracksRecipe(bin=10)), data.tokens, torch.device("cpu"))
    assert found.shape == (24, 9, 1)
    assert np.isfinite(found[..., 0]).sum(1).tolist() == (data.lengths // 10).tolist()


def test_bins_without_a_number_are_no_part_of_the_loss():
    target = np.full((24, 9, 1), np.nan, np.float32)
    target[:, :3] = np.random.default_rng(0).normal(size=(24, 3, 1))
    data = replace(
        labelled("regression", lengths=(90,)), target=target, task=task_of("regression", ("n",), 10)
    )
    found = objective(data)
    batch = shown(found)
    outputs = torch.randn(8, 9, 1, generator=torch.Generator().manual_seed(0))
    assert batch.weights_BL.tolist() == [3.0] * 8
    _, scale = units(data)
    wanted = ((outputs[:, :3] - batch.target[:, :3]) / torch.from_numpy(scale)).square().mean()
    torch.testing.assert_close(found.loss(outputs, batch) / batch.weights_BL.sum(), wanted)
    outputs[:, 3:] = 1e6
    torch.testing.assert_close(found.loss(outputs, batch) / batch.weights_BL.sum(), wanted)
