"""Steps over buffers that stay where they are: as graphs on a GPU, called one by one on a CPU."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import MachineError, TrainingError
from orchid_genomics.model.cnn import CNNRecipe, cnn_encoder
from orchid_genomics.model.filters import CorrelationRecipe, MagnitudeRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe, PooledRecipe, TracksRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.sequence import DNA, SOFT, alphabet
from orchid_genomics.terminal import silence
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Fit, Stage, TrainingRecipe
from orchid_genomics.train.objectives import (
    AnswersRecipe,
    MaskedLetters,
    MaskedRecipe,
    RecallAnswers,
)
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.rates import TrackedLetters, WithTracks
from orchid_genomics.train.replay import Replay
from orchid_genomics.train.supervised import Supervised, balanced_weights, padded_lengths

CPU = torch.device("cpu")
LABELS = ("x", "y")
TASKS = {"bins": ("regression", 10), "classes": ("binary", 0)}
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda here")


@pytest.fixture(autouse=True)
def quiet():
    """No reporter, which would draw into a folder where TensorBoard is installed."""
    with silence(True):
        yield


class Letters:
    """Rows that are a function of the step and the row alone, some of them in lower case."""

    def __init__(self, length, symbols=False):
        self.length, self.symbols = length, symbols

    def batch(self, seed, step, rows):
        drawn = [np.random.default_rng([seed, step, row]) for row in rows]
        each = [rng.integers(0, 4, self.length, dtype=np.uint8) for rng in drawn]
        letters = np.stack(each)
        if self.symbols:  # a key, its value, a key, ...
            letters[:, 1::2] += 4
            return letters
        return letters | (letters == step % 4) * np.uint8(SOFT)

    def places(self, seed, step, rows):
        return [f"row {row}" for row in rows]


def tracks(seed, step, rows):
    values = np.random.default_rng([seed, step]).normal(size=(max(rows) + 1, 64, 1))
    values[:, ::7] = np.nan
    return values[list(rows)].astype(np.float32)


def letters_model(tracks=(), letters="dna", **encoder):
    torch.manual_seed(0)
    shape = OrchidRecipe(width=16, depth=2, alphabet=letters, **encoder)
    return OrchidModel(ModelRecipe(encoder=shape, head=LettersRecipe(tracks=tracks)))


def fit_of(objective, model, stages, device=CPU, accumulate=1, **training):
    """A run of these stages whose folder nobody asks for."""
    steps = sum(stage.steps for stage in stages)
    lines = []
    run = SimpleNamespace(folder=None, log=lambda **values: lines.append(values), lines=lines)
    run.load = lambda *_: None
    run.save = lambda *_: None
    return Fit(
        model,
        objective,
        stages,
        recipe=TrainingRecipe(steps=steps, batch=4, precision="float32", **training),
        optimizer=OptimizerRecipe(warmup=2),
        seed=3,
        run=run,
        ranks=Ranks(0, 1, device),
    )


def labelled_set(task="multilabel", bin=0, lengths=(40, 48, 60)):
    rng = np.random.default_rng(1)
    tokens = [rng.integers(0, 4, lengths[row % 3], dtype=np.uint8) for row in range(24)]
    target = {
        "multilabel": rng.integers(0, 2, (24, 2)).astype(np.float32),
        "binary": np.arange(24) % 2,
        "regression": rng.normal(size=(24, 6, 2) if bin else (24, 2)).astype(np.float32),
    }[task]
    if bin:
        target[:, 4:] = np.nan
    names = [f"row {row}" for row in range(24)]
    split = np.repeat([0, 1, 2], [16, 4, 4])
    made = task_of(task, LABELS, bin)
    return LabelledSet("set", made, tokens, target, split, np.arange(24), names)


def case(name):
    """An objective, a model and stages: what is trained in every way that there is."""
    stages = [Stage(64, 3, 4, 1, Letters(64)), Stage(128, 3, 4, 2, Letters(128))]
    if name == "masked":
        return MaskedLetters(MaskedRecipe(span=2), DNA), letters_model(), stages
    if name == "wide":
        shape = {"filter": MagnitudeRecipe(frequency_taps=3), "stem": 5, "strands": "dense"}
        return MaskedLetters(MaskedRecipe(), DNA), letters_model(**shape), stages
    if name == "turned":
        shape = {"filter": CorrelationRecipe(turned=0.1, threshold=0.5)}
        return MaskedLetters(MaskedRecipe(), DNA), letters_model(**shape), stages
    if name == "recall":
        symbols = alphabet("symbols:8")
        objective = RecallAnswers(AnswersRecipe(answers="some"), symbols)
        model = letters_model(letters="symbols:8", strands="dense")
        return objective, model, [Stage(64, 4, 4, 2, Letters(64, True))]
    if name == "tracks":
        letters = MaskedLetters(MaskedRecipe(), DNA)
        model = WithTracks(letters_model(tracks=("rate",)))
        return TrackedLetters(letters, tracks, [0.5]), model, stages[:1]
    return supervised_case(name)


def supervised_case(name):
    encoder, weights = OrchidRecipe(width=16, depth=1, stem=5), None
    task, bin = TASKS.get(name, ("multilabel", 0))
    data = labelled_set(task, bin)
    head = PooledRecipe(task=task, labels=LABELS, pool="attention", maxima=("stem",))
    if name == "cnn":
        encoder, head = cnn_encoder(), CNNRecipe(task=task, labels=LABELS, filters=8)
    if name == "bins":
        head = TracksRecipe(labels=LABELS, bin=bin)
    if name == "classes":
        weights = balanced_weights(data)
        head = PooledRecipe(task=task, labels=LABELS, stretches=2, maxima=("residual",))
    epochs = Epochs(data.tokens, np.arange(len(data)), padded_lengths(data), 4)
    torch.manual_seed(0)
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head))
    return Supervised(data, epochs, weights, noise=0.1), model, [Stage(50, 6, 4, 1, epochs)]


CASES = ["masked", "wide", "turned", "recall", "tracks", "labels", "bins", "classes", "cnn"]


def called(fit, records=False):
    """Let a run take its steps from buffers; what was said."""
    said = []
    fit.replay = lambda parts, say: Replay(fit.parts, parts, fit.rate, said.append, records)
    return said


def trained(fit):
    fit.run()
    losses = [line["loss"] for line in fit.saved.lines]
    weights = torch.cat([each.detach().flatten().cpu() for each in fit.parts.parameters])
    return losses, weights


@pytest.mark.parametrize("name", CASES)
def test_steps_over_buffers_are_the_steps_call_by_call_bit_for_bit(name):
    plain = trained(fit_of(*case(name)))
    buffered = fit_of(*case(name))
    called(buffered)
    losses, weights = trained(buffered)
    assert losses == plain[0]
    assert torch.equal(weights, plain[1])
    assert [line["step"] for line in buffered.saved.lines] == list(range(1, len(losses) + 1))


ASKS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "item", "equal"}
DRAWS = {"rand", "randn", "bernoulli_", "normal_", "uniform_", "randint", "randperm"}


class Strict(TorchDispatchMode):
    """Refuses what a GPU could only do by stopping: numbers for Python, shapes of the data."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in ASKS | DRAWS, f"{function} in a step"
        if name in ("index", "index_put_", "index_put"):
            masks = [each for each in args[1] if each is not None and each.dtype == torch.bool]
            assert not masks, "an index of truths in a step"
        return function(*args, **(kwargs or {}))


def shown_to_the_device(name):
    """A step over buffers, ready to be called, and its run."""
    objective, model, stages = case(name)
    fit = fit_of(objective, model, stages)
    parts = stages[-1].parts(fit.ranks)
    replay = Replay(fit.parts, parts, fit.rate, pytest.fail)
    [batch] = stages[-1].batches(0, 0, 1, parts)
    replay.issue(batch)
    return replay


# A small CNN asks how long the longest row is, of a CPU alone.
@pytest.mark.parametrize("name", CASES[:-1])
def test_a_step_asks_the_device_nothing(name, monkeypatch):
    # What is asked of a CPU alone.
    monkeypatch.setattr("orchid_genomics.ops._check_standing", lambda *_: None)
    replay = shown_to_the_device(name)
    [order] = replay.orders.values()
    # A fused update asks nothing, and there is none like it here.
    replay._update = lambda: None
    with Strict():
        order.run()


def test_a_step_that_is_not_finite_stops_all_that_were_ordered_after_it(monkeypatch):
    objective, model, [stage, _] = case("masked")
    fit = fit_of(objective, model, [stage])
    called(fit)
    monkeypatch.setattr(Replay, "read", unread(Replay.read))
    nats, calls = fit.parts.gradients, []

    def poisoned(examples):
        calls.append(torch.cat([each.detach().flatten() for each in fit.parts.parameters]))
        return nats(examples) * (float("nan") if len(calls) == 2 else 1.0)

    fit.parts.gradients = poisoned
    with pytest.raises(TrainingError, match=r"step 2, windows row 0, .*row 3 .*: the loss is nan"):
        fit.run()
    assert len(calls) == 3
    assert torch.equal(calls[1], calls[2]), "the third step saw weights that the second changed"
    after = torch.cat([each.detach().flatten() for each in fit.parts.parameters])
    assert torch.equal(after, calls[2])
    assert not torch.equal(calls[0], calls[1])
    assert [line["step"] for line in fit.saved.lines] == [1]


@pytest.mark.parametrize("step", [2, 3, 5])
def test_stopped_over_buffers_and_resumed_call_by_call_a_run_is_the_same(step):
    whole = trained(fit_of(*case("masked")))
    kept = {}

    def part(over_buffers, stops):
        fit = fit_of(*case("masked"))
        if over_buffers:
            called(fit)
        run = fit.saved
        run.save = lambda name, state: kept.update(copy.deepcopy({name: state}))
        run.load = lambda name, device: copy.deepcopy(kept.get(name))
        run.restoring, run.rewind = lambda name: nullcontext(), lambda step: None

        def log(**values):
            run.lines.append(values)
            if stops and values["step"] == step:
                fit.progress.stopped = 15

        run.log = log
        return fit

    first = part(over_buffers=True, stops=True)
    with pytest.raises(SystemExit):
        first.run()
    assert kept["newest.pt"]["step"] == step
    losses, weights = trained(part(over_buffers=False, stops=False))
    assert [line["loss"] for line in first.saved.lines] + losses == whole[0]
    assert torch.equal(weights, whole[1])


def test_a_fault_of_the_device_is_one_line():
    objective, model, [stage, _] = case("masked")
    fit = fit_of(objective, model, [stage])

    def faulty(examples):
        raise torch.AcceleratorError("CUDA error: an illegal memory access\nCompile with ...")

    fit.parts.gradients = faulty
    with pytest.raises(MachineError) as caught:
        fit.run()
    assert str(caught.value) == (
        "cpu: CUDA error: an illegal memory access; the newest checkpoint is sound: --resume in a"
        " new process"
    )


def unread(read):
    """As a GPU that has done nothing before it is waited for."""
    return lambda self, wait: read(self, wait) if wait else []


# --- on a GPU ---


def assert_alike(one, other):
    """As two runs whose sums were taken in another order: AdamW steps by a sign where a gradient is
    nothing but rounding.
    """
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=0)
    assert (one[1] - other[1]).abs().mean() < 1e-5


@on_gpu
@pytest.mark.parametrize("name", CASES)
def test_graphs_train_as_the_same_calls_do(name):
    cuda, answers = torch.device("cuda"), []
    for records in (True, False):
        objective, model, stages = case(name)
        fit = fit_of(objective, model, stages, cuda)
        said = called(fit, records)
        answers.append(trained(fit))
        assert not said
    assert_alike(*answers)


@on_gpu
@pytest.mark.parametrize("backend", ["fft", "triton"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_graphs_train_as_steps_that_are_waited_for(backend, checkpointing):
    answers, (objective, _, stages) = [], case("masked")
    for capture in (True, False):
        model = letters_model(backend=backend)
        options = {"capture": capture, "checkpointing": checkpointing}
        answers.append(trained(fit_of(objective, model, stages, torch.device("cuda"), **options)))
    assert_alike(*answers)


@on_gpu
def test_a_recording_changes_neither_weights_nor_moments_and_none_after_a_fault():
    objective, model, [stage, _] = case("masked")
    fit = fit_of(objective, model, [stage], torch.device("cuda"))
    parts = stage.parts(fit.ranks)
    before = [each.clone() for each in fit.parts.parameters]
    replay = fit.replay(parts, pytest.fail)
    replay.spoilt.fill_(1)
    for batch in stage.batches(0, 0, 3, parts):
        replay.issue(batch)
    assert len(replay.read(wait=True)) == 3
    assert all(map(torch.equal, before, fit.parts.parameters))
    moments = [fit.optimizer.state[each] for each in fit.parts.parameters]
    assert not any(each["step"] or each["exp_avg"].any() for each in moments)
    assert all(each.grad is None for each in fit.parts.parameters)


@on_gpu
def test_what_is_kept_of_weights_follows_graphs():
    objective, model, [stage, _] = case("masked")
    fit = fit_of(objective, model, [stage], torch.device("cuda"))
    tokens = torch.zeros(1, 64, dtype=torch.uint8, device="cuda")
    model.eval()
    with torch.inference_mode():
        before = model(tokens)
    trained(fit)
    model.eval()
    with torch.inference_mode():
        kept = model(tokens)
        for block in model.encoder.blocks:
            block.mixer.static._state = None
        torch.testing.assert_close(model(tokens), kept)
    assert not torch.equal(before, kept)


@on_gpu
def test_what_cannot_be_recorded_is_said_and_run_call_by_call():
    class Asks(MaskedLetters):
        def hide(self, *given):
            example = super().hide(*given)
            assert float(example.weights_BL.sum()) > 0
            return example

    _, model, [stage, _] = case("masked")
    fit = fit_of(Asks(MaskedRecipe(), DNA), model, [stage], torch.device("cuda"))
    said = called(fit, records=True)
    losses, _ = trained(fit)
    assert len(losses) == 3
    assert len(said) == 1
    assert "cannot be recorded as graphs" in said[0]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
