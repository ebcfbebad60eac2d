"""Learning answers: which rows a step reads, how an answer is scored, and what a model says of many
rows.

The trap: rows of unequal length are padded to their transform length and masked, in training and
prediction alike; a model never sees a row padded further than the row's own length asks.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.loader import Batch
from orchid_genomics.errors import RecipeError
from orchid_genomics.model.orchid import transform_length
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.hashing import Stream
from orchid_genomics.train.distributed import Ranks, check_batch
from orchid_genomics.train.loop import Fit, Stage, Trainable, TrainingRecipe, activations
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.optimizer import build as build_optimizer
from orchid_genomics.train.replay import Replay, can_replay
from orchid_genomics.train.run import BEST, Run
from orchid_genomics.train.step import Step, on_device
from orchid_genomics.train.tensor_hash import fraction, hash_tensors


class SupervisedRecipe(Strict):
    """How long, how wide and how often one model is trained."""

    epochs: int = Field(default=10, gt=0)
    batch: int = Field(default=32, gt=0)
    accumulate: int = Field(default=1, gt=0)
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class, or the two answers of every label, have the same say in the loss."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Share of the letters shown as MASK in training."""
    checks: int = Field(default=1, gt=0)
    """Validations an epoch."""
    patience: int = Field(default=4, ge=0)
    """Stop after so many validations without a better one; 0: never."""
    checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class FitRecipe(Strict):
    """What one fit is, so that a resumed one is the same."""

    arm: str
    candidate: str
    """In words."""
    rate: float
    seed: int
    training: SupervisedRecipe
    recipe: dict[str, Any]


class Network(Trainable, Protocol):
    """A trainable model that answers rows of letters: an encoder with a head, or a CNN."""

    def __call__(self, tokens_BL: Tensor) -> Tensor: ...

    def eval(self) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


Trained = TypeVar("Trained", bound=Network)


@dataclass(frozen=True)
class SupervisedFit(Generic[Trained]):
    """A model with its best weights on validation, and how it came to them."""

    model: Trained
    loss: float
    """The lowest one minus the monitored score on validation."""
    seconds: float
    log: list[dict[str, Any]]


class Examples(NamedTuple):
    """A batch made ready: what the model sees, its answers, and what they weigh."""

    shown_BL: Tensor
    target: Tensor
    weights_B: Tensor
    """The weight of each row in the loss; 0 where it only fills the batch."""
    weights_BL: Tensor
    """What the sum of losses is divided by, (B,): weights times the answers that a row holds."""
    mask_BL: Tensor | None


class Supervised:
    """The objective over a labelled set: answers are those of the rows that `Epochs` reads."""

    unit = "row"

    def __init__(
        self,
        data: LabelledSet,
        epochs: Epochs,
        class_weights: np.ndarray | None = None,
        noise: float = 0.0,
    ) -> None:
        self.data = data
        self.epochs = epochs
        self.noise = noise
        self.class_weights = class_weights
        self.scale = units(data)[1]
        self.validation = f"validation_1-{data.task.monitor}"
        self._constants: dict[torch.device, tuple[Tensor, Tensor | None]] = {}

    def look_up(
        self, tokens_BL: np.ndarray, seed: int, step: int, rows: Sequence[int]
    ) -> tuple[np.ndarray | None, ...]:
        """Answers, weights of the rows, what their losses are divided by, and the mask."""
        examples, weights = self.epochs.examples(seed, step, rows)
        target = self.data.target[examples]
        if self.class_weights is not None:
            weights = weights * self.data.task.row_weights(target, self.class_weights)
        # A row counts by the answers that it holds, so missing ones do not dilute the mean.
        divisor = weights * self.data.task.count(target)
        real = (tokens_BL & CODE) != DNA.pad
        # No mask of ones where nothing is padded: that would round otherwise (`Orchid.groups`).
        mask = None if real.all() else real.astype(np.float32)
        return target, weights.astype(np.float32), divisor.astype(np.float32), mask

    def hide(
        self,
        tokens_BL: Tensor,
        seed: int,
        step: int | Tensor,
        rows: Tensor,
        given: Sequence[Tensor | None] = (),
    ) -> Examples:
        """Tokens (B, L) uint8 of some rows of a step, `noise` of their letters shown as MASK;
        `given` is what `look_up` finds.
        """
        device = tokens_BL.device
        codes = tokens_BL & CODE
        if self.noise:
            position = torch.arange(codes.shape[1], device=device)
            key_BL = hash_tensors(Stream.INPUT_NOISE, seed, step, rows[:, None], position[None])
            hidden = fraction(key_BL) < self.noise
            # Letters alone: N and PAD stay what they are.
            codes = torch.where(hidden & (codes < DNA.count), DNA.mask, codes)
        target, weights_B, weights_BL, mask_BL = given
        if target is None or weights_B is None or weights_BL is None:
            raise ValueError("only the mask may be missing")
        return Examples(codes.to(torch.uint8), target, weights_B, weights_BL, mask_BL)

    def loss(self, outputs: Tensor, batch: Examples) -> Tensor:
        """The sum over rows (tracks: bins) of weight times nats, or times squared error in units of
        the spread.
        """
        # Moved once: a graph of a step may copy nothing from the host.
        if outputs.device not in self._constants:
            of_classes = on_device(self.class_weights, outputs.device)
            scale = torch.from_numpy(self.scale).to(outputs.device)
            self._constants[outputs.device] = scale, of_classes
        each = self.data.task.loss(outputs.float(), batch.target, *self._constants[outputs.device])
        weights = batch.weights_B.reshape(-1, *[1] * (each.ndim - 1))
        return (each * weights).sum()


def units(data: LabelledSet) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (K,) of the training numbers; 0 and 1 where answers are no numbers."""
    return data.task.units(data.target[data.rows("train")])


def balanced_weights(data: LabelledSet) -> np.ndarray:
    """Weights that give every class the same say in the loss, (classes,), or 0 and 1 of every
    label, (2, K).

    They average 1 over training rows.

    Raises
    ------
    RecipeError
        For answers that are no classes.
    """
    weights = data.task.balance(data.target[data.rows("train")])
    if weights is None:
        message = f"balanced, for {data.task.plural}"
        possible = '"none", or a set of classes or labels'
        raise RecipeError("training.class_weights", message, possible)
    return weights


def padded_lengths(data: LabelledSet) -> np.ndarray:
    """The transform length of every row (N,)."""
    return np.array([transform_length(int(length)) for length in data.lengths], np.int64)


@torch.inference_mode()
def predict(
    model: Network, tokens: Sequence[np.ndarray], device: torch.device, letters: int = 1 << 15
) -> np.ndarray:
    """A model's outputs for every sequence, in order: (n, K), or tracks (n, P, T) with NaN beyond a
    row's end.

    Batches of one length hold about `letters` letters; outputs do not depend on them.
    """
    lengths = np.fromiter((len(row) for row in tokens), np.int64, len(tokens))
    outputs: dict[int, np.ndarray] = {}
    # Rows of one length together: nothing is padded, and outputs do not depend on the batch.
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        size = max(1, letters // int(length))
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            batch = torch.from_numpy(np.stack([tokens[row] for row in some])).to(device)
            for row, output in zip(some, model(batch).float().cpu().numpy(), strict=True):
                outputs[int(row)] = output
    if not outputs:
        return np.zeros((0, 1), np.float32)
    ordered = [outputs[row] for row in range(len(tokens))]
    if ordered[0].ndim == 1:
        return np.stack(ordered)
    most = max(len(output) for output in ordered)
    return np.stack([_pad_bins(output, most) for output in ordered])


def _pad_bins(output: np.ndarray, bins: int) -> np.ndarray:
    """Tracks (P, T) with NaN after their last bin."""
    missing = bins - len(output)
    return np.pad(output, ((0, missing), (0, 0)), constant_values=np.nan)


def answer(model: Network, data: LabelledSet, rows: np.ndarray, device: torch.device) -> np.ndarray:
    """A model's answers for some rows: probabilities or numbers (n, K), or tracks (n, P, K)."""
    model.eval()
    outputs = predict(model, [data.tokens[row] for row in rows], device)
    return data.task.link(torch.from_numpy(outputs)).numpy()


def validation_loss(data: LabelledSet, answers: np.ndarray, rows: np.ndarray) -> float:
    """One minus the task's monitored score on some rows: what early stopping is by.

    1 where there is nothing to score.
    """
    flat, target, _ = data.task.flatten(answers, data.target[rows], data.group[rows])
    thresholds = data.task.thresholds(flat, target)
    scores = data.task.score(flat, target, thresholds, np.ones((1, len(flat))))
    value = float(scores[data.task.monitor][0])
    return 1.0 - value if np.isfinite(value) else 1.0


def seconds_a_step(
    model: Network,
    data: LabelledSet,
    training: SupervisedRecipe,
    optimizer: OptimizerRecipe,
    ranks: Ranks,
    steps: int = 3,
) -> float:
    """The median of a few real steps of training, after one that is not counted.

    Parameters
    ----------
    model
        As for `fit_supervised`; it is trained for these steps, and of no use afterwards.
    data, training, optimizer
        As for `fit_supervised`.
    ranks
        The processes that would train together; each measures its own share of a step.
    steps
        How many to measure.
    """
    device, share = ranks.device, ranks.rows(training.batch)
    epochs = Epochs(data.tokens, data.rows("train"), padded_lengths(data), training.batch)
    objective = Supervised(data, epochs, noise=training.noise)
    model = model.to(device).train()
    model.encoder.prepare(training.checkpointing, activations(training.precision, device))
    if not isinstance(model, nn.Module):  # which a protocol cannot say
        raise TypeError(f"a {type(model).__name__} is no torch module")
    if can_replay(ranks):
        step: Step[Examples] = Step(model, objective, optimizer, 0, ranks)
        replay = Replay(step, [share], lambda step: optimizer.rate, lambda line: None)
        batches = [Batch(n, epochs.batch(0, n, share), share, epochs, 0) for n in range(steps)]
        seconds = [_seconds_of(replay, batch) for batch in batches]
        replay.close()
        return float(np.median(seconds))
    adam = build_optimizer(model, optimizer)
    rows = torch.tensor(share, device=device)
    seconds = []
    for number in range(steps + 1):
        clock = time.monotonic()
        tokens_BL = epochs.batch(0, number, share)
        looked_up = objective.look_up(tokens_BL, 0, number, share)
        given = [on_device(each, device) for each in looked_up]
        hidden = objective.hide(torch.from_numpy(tokens_BL).to(device), 0, number, rows, given)
        objective.loss(model.encode(hidden.shown_BL, hidden.mask_BL), hidden).backward()
        adam.step()
        adam.zero_grad()
        # A GPU only takes orders; the clock has to wait for it.
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.monotonic() - clock)
    return float(np.median(seconds[1:]))


def _seconds_of(replay: Replay[Any], batch: Batch, times: int = 10) -> float:
    """The mean of a step of one batch, after one that may have been recorded."""
    replay.issue(batch)
    replay.read(wait=True)
    clock = time.monotonic()
    for _ in range(times):
        replay.issue(batch)
    replay.read(wait=True)
    return (time.monotonic() - clock) / times


def fit_supervised(
    model: Trained,
    data: LabelledSet,
    training: SupervisedRecipe,
    *,
    optimizer: OptimizerRecipe,
    identity: FitRecipe,
    flip: bool,
    folder: Path,
    ranks: Ranks,
) -> SupervisedFit[Trained]:
    """Train one model on the training rows, and give it its best weights on validation.

    Parameters
    ----------
    model
        Tokens (B, L) -> outputs; trained in place.
    data
        A split set.
    training, optimizer
        How long and how.
    identity
        What the fit is; one of the same identity that `folder` holds is resumed.
    flip
        Whether half of the rows of an epoch are read on the other strand.
    folder
        The run folder of this fit.
    ranks
        The processes that train together.
    """
    check_batch(training.batch, training.accumulate, ranks.world, "training.batch")
    seed, validation = identity.seed, data.rows("validation")
    epochs = Epochs(data.tokens, data.rows("train"), padded_lengths(data), training.batch, flip)
    weights = balanced_weights(data) if training.class_weights == "balanced" else None
    every = max(1, epochs.steps // training.checks)
    loop = TrainingRecipe(
        steps=epochs.steps * training.epochs,
        batch=training.batch,
        accumulate=training.accumulate,
        checkpointing=training.checkpointing,
        precision=training.precision,
        save_every=every,
        validate_every=every,
        patience=training.patience,
    )
    resume = (folder / "recipe.json").exists()
    run = Run(folder, identity, resume, writes=ranks.main).begin()

    def validate() -> float:
        answers = answer(model, data, validation, ranks.device)
        return validation_loss(data, answers, validation)

    # Rows differ in length: their mean is for the speed and the log alone.
    length = int(data.lengths.mean())
    stage = Stage(length, loop.steps, loop.batch, loop.accumulate, epochs)
    fit: Fit[Examples] = Fit(
        model,
        Supervised(data, epochs, weights, training.noise),
        [stage],
        recipe=loop,
        optimizer=optimizer,
        seed=seed,
        run=run,
        ranks=ranks,
        validate=validate,
    )
    with closing(run):
        progress = fit.run()
    state = run.load(BEST, ranks.device)
    if state is not None:
        with run.restoring(BEST):
            model.load_state_dict(state["model"])
    model.eval()
    return SupervisedFit(model, progress.best, progress.seconds, run.lines())
