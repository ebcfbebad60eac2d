"""Passes that are replayed give what passes give; on a CPU a replay is the same call again."""

import copy

import pytest
import torch

from orchid_genomics.model import recording
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.orchid import Encoding, OrchidRecipe
from orchid_genomics.model.recording import OFTEN, Passes, RecordingError

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda here")


@pytest.fixture
def recorded(monkeypatch):
    """How many recordings were made, of which a replay is the same call again."""
    made = []

    def record(compute, pool):
        compute()
        made.append(compute)
        return compute

    monkeypatch.setattr(recording, "record", record)
    return made


def model(**encoder):
    torch.manual_seed(0)
    head = PooledRecipe(maxima=("residual",), pool="attention")
    return OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=8, depth=2, **encoder), head=head))


def letters(encoder, seed, batch=3, length=40):
    drawn = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (batch, length), generator=drawn, dtype=torch.uint8)
    return encoder.one_hot(tokens.to(encoder.letters.free.device))


def replayed(passes, encoder, letters_BVL, mask_BL=None):
    with torch.inference_mode():
        # Made in that mode, as they are where tokens come in.
        given = letters_BVL.clone(), None if mask_BL is None else mask_BL.clone()
        return Encoding(*passes.run(encoder, lambda *each: encoder._encoding(*each, None), *given))


def assert_equal(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stem", [0, 5])
def test_replays_are_passes_of_their_own_letters(recorded, masked, stem):
    encoder, passes, answers = model(stem=stem).encoder.eval(), Passes(), []
    mask = torch.ones(3, 40)
    mask[1, 30:] = 0
    given = mask if masked else None
    for seed in range(OFTEN + 3):
        answers.append(replayed(passes, encoder, letters(encoder, seed), given))
    assert len(recorded) == 1
    for seed, found in enumerate(answers):
        with torch.inference_mode():
            assert_equal(found, encoder.encoding(letters(encoder, seed), given))


def test_other_weights_and_shapes_are_recorded_anew(recorded):
    encoder, passes = model().encoder.eval(), Passes()
    for _ in range(OFTEN + 2):
        before = replayed(passes, encoder, letters(encoder, 0))
        replayed(passes, encoder, letters(encoder, 0, batch=2))
    assert len(recorded) == 2
    with torch.no_grad():
        encoder.blocks[0].mixer.skip.mul_(2)
    for _ in range(OFTEN + 2):
        after = replayed(passes, encoder, letters(encoder, 0))
    assert len(recorded) == 3
    assert not torch.equal(before.vectors_BLD, after.vectors_BLD)
    with torch.inference_mode():
        assert_equal(after, encoder.encoding(letters(encoder, 0)))


def test_what_cannot_be_recorded_is_said_once_and_run_call_by_call(monkeypatch):
    def record(compute, pool):
        raise RecordingError("an operation is not permitted")

    monkeypatch.setattr(recording, "record", record)
    encoder, passes = model().encoder.eval(), Passes()
    for _ in range(OFTEN):
        replayed(passes, encoder, letters(encoder, 0))
    with pytest.warns(UserWarning, match=r"call by call, not as graphs \(an operation is not per"):
        found = replayed(passes, encoder, letters(encoder, 0))
    again = replayed(passes, encoder, letters(encoder, 0))
    with torch.inference_mode():
        assert_equal(found, encoder.encoding(letters(encoder, 0)))
    assert_equal(again, found)


def test_a_copy_of_a_model_records_its_own(recorded):
    encoder = model().encoder.eval()
    for _ in range(OFTEN + 1):
        replayed(encoder._passes, encoder, letters(encoder, 0))
    assert encoder._passes._recorded
    assert not copy.deepcopy(encoder)._passes._recorded


@on_gpu
@pytest.mark.parametrize("backend", ["fft", "triton"])
def test_graphs_give_what_passes_give(backend):
    ours = model(backend=backend, stem=5).cuda().eval()
    encoder, wanted, found = ours.encoder, [], []
    for seed in range(OFTEN + 4):
        given = letters(encoder, seed, length=64)
        with torch.no_grad():
            wanted.append(encoder.encoding(given))
        with torch.inference_mode():
            found.append(encoder.encoding(given))
    assert len(encoder._passes._recorded) == 1
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(tuple(one), tuple(other), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        encoder.blocks[0].mixer.skip.mul_(2)
    for _ in range(OFTEN + 2):
        with torch.inference_mode():
            after = encoder.encoding(given)
        with torch.no_grad():
            torch.testing.assert_close(
                tuple(after), tuple(encoder.encoding(given)), rtol=1e-4, atol=1e-5
            )
