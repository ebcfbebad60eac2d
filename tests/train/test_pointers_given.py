"""Pointers beside a step: found on the host, in threads ahead, as those found inside."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from orchid_genomics.model.filters import CorrelationRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.ops import triton
from orchid_genomics.sequence import DNA
from orchid_genomics.terminal import silence
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Fit, Stage, TrainingRecipe
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.replay import Replay

CPU = torch.device("cpu")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda here")


class Copies:
    """Rows whose third quarter is their first, and whose last is their second turned."""

    def batch(self, seed, step, rows):
        return np.stack([self._row(np.random.default_rng([seed, step, row])) for row in rows])

    def _row(self, rng):
        letters = rng.integers(0, 4, 160, dtype=np.uint8)
        letters[80:120] = letters[:40]
        letters[120:] = DNA.reverse_complement(letters[40:80])
        return letters

    def places(self, seed, step, rows):
        return [f"row {row}" for row in rows]


@pytest.fixture(autouse=True)
def quiet():
    """No reporter, which would draw into a folder where TensorBoard is installed."""
    with silence(True):
        yield


@pytest.fixture
def fit_of(tmp_path):
    """Runs that log to a list: made of their steps, the parts of a step, and a device."""

    def make(steps, accumulate, device=CPU):
        losses = []
        fit = _fit(tmp_path, steps, accumulate, device, losses)
        fit.losses = losses
        return fit

    return make


def _fit(folder, steps, accumulate, device, losses):
    torch.manual_seed(0)
    filter = CorrelationRecipe(hash_length=7, agreement=0.5)
    shape = ModelRecipe(
        encoder=OrchidRecipe(width=16, depth=2, filter=filter), head=LettersRecipe()
    )

    def log(**values):
        losses.append(values["loss"])

    run = SimpleNamespace(folder=folder, log=log, load=lambda *_: None, save=lambda *_: None)
    return Fit(
        OrchidModel(shape),
        MaskedLetters(MaskedRecipe(), DNA),
        [Stage(160, steps, 4, accumulate, Copies())],
        recipe=TrainingRecipe(steps=steps, batch=4, precision="float32"),
        optimizer=OptimizerRecipe(warmup=2),
        seed=3,
        run=run,
        ranks=Ranks(0, 1, device),
    )


def weights(fit):
    return [parameter.detach().cpu() for parameter in fit.model.parameters()]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_pointers_found_ahead_train_as_those_found_inside_bit_for_bit(fit_of, accumulate):
    ahead, inside = fit_of(4, accumulate), fit_of(4, accumulate)
    ahead.run()
    # As before there was a search ahead: the model finds its pointers by itself.
    inside.parts.searcher = None
    inside.run()
    assert ahead.model.encoder.looks_up
    for one, other in zip(weights(ahead), weights(inside), strict=True):
        assert torch.equal(one, other)


def test_a_batch_that_nobody_prepared_is_searched_when_it_comes(fit_of):
    ahead, here = fit_of(3, 1), fit_of(3, 1)
    ahead.run()
    stage = here.stages[0]
    parts = stage.parts(here.ranks)
    for batch in stage.batches(here.seed, 0, 3, parts):
        assert batch.prepared is None
        here.step(batch, parts)
    for one, other in zip(weights(ahead), weights(here), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=on_gpu)])
def test_a_step_over_buffers_reads_the_pointers_of_each_batch(fit_of, device):
    """The shapes of a GPU's pointers on any device, in buffers that stay where they are."""
    if not triton.available(device.type):
        pytest.skip("triton is not interpreted here")
    plain, buffered = fit_of(3, 2), fit_of(3, 2, device)
    plain.run()
    search = buffered.model.encoder.find_pointers
    buffered.model.encoder.find_pointers = lambda codes, _: search(codes, torch.device("cuda"))
    stage = buffered.stages[0]
    parts = stage.parts(buffered.ranks)
    said = []
    replay = Replay(buffered.parts, parts, buffered.rate, said.append)
    for batch in stage.batches(buffered.seed, 0, 3, parts, buffered.parts.ahead(parts), 2):
        assert [each.dtype for each in batch.prepared[0]] == [np.int32, np.float32, *2 * [np.int32]]
        replay.issue(batch)
    losses = [outcome.nats for outcome in replay.read(wait=True)]
    assert not said
    assert len(replay.orders) == 1
    assert losses == pytest.approx(plain.losses, rel=1e-4)
