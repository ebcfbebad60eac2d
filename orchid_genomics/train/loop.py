"""The loop: stages of batches in, a trained model and its checkpoints out.

Everything random is a function of (seed, step, row), so a run killed at any step and resumed ends
with the same weights, bit for bit on a CPU with the same number of threads, and two ranks train as
one.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, Literal, NoReturn, Protocol

import torch
from pydantic import Field

from orchid_genomics.data.loader import Batch, Sampler, batches
from orchid_genomics.errors import MachineError, NumericError, TrainingError, reason
from orchid_genomics.model.sequence_parallel import Shards
from orchid_genomics.recipe import Strict
from orchid_genomics.train import optimizer as adamw
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import Objective, Ready
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.replay import Outcome, Replay, can_replay
from orchid_genomics.train.reporter import Reporter
from orchid_genomics.train.run import BEST, NEWEST, Run
from orchid_genomics.train.step import Encodes, Step, on_device

# What torch calls a fault of a GPU, after which the process can do nothing more with it.
_DEVICE_FAULTS = tuple(
    fault for fault in (getattr(torch, "AcceleratorError", None),) if fault is not None
)


class StageRecipe(Strict):
    """A part of a length curriculum: so many steps at one window length."""

    length: int = Field(ge=32)
    """Letters of a window."""
    steps: int = Field(gt=0)
    """Steps of this stage."""
    batch: int = Field(gt=0)
    """Windows a step."""
    accumulate: int = Field(default=1, gt=0)
    """Parts of a batch that are run one after another."""


class TrainingRecipe(Strict):
    """How long, how wide, how often."""

    steps: int = Field(default=1000, gt=0)
    """Updates of the weights; may be raised on --resume."""
    batch: int = Field(default=8, gt=0)
    """Windows a step, over all ranks and accumulated parts."""
    accumulate: int = Field(default=1, gt=0)
    """Parts of a batch that are run one after another, to save memory."""
    curriculum: tuple[StageRecipe, ...] = ()
    """Train short, finish long: stages in order, in place of `steps`, `batch`, `accumulate` and
    `data.length`."""
    sequence_ranks: int = Field(default=1, gt=0)
    """Ranks that share each window, a part of its letters each; those of `torchrun` are a multiple
    of it, and groups of them read different rows."""
    checkpointing: bool = False
    """Compute every block again in the backward pass rather than keep its activations."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 activations on CUDA, float32 on CPU (transforms are float32 always)."""
    save_every: int = Field(default=200, gt=0)
    """Steps between checkpoints; the newest and the best on validation are kept."""
    validate_every: int = Field(default=200, gt=0)
    """Steps between validations."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many validations without a better one; 0: train to the end."""
    adapter: int = Field(default=0, ge=0)
    """Rank of low-rank updates of a given model's products (LoRA), trained with the head in place
    of its weights and merged into them at the end; 0: all weights are trained."""
    # No part of what a run is: one may be resumed without.
    capture: bool = Field(default=True, exclude=True)
    """On CUDA, record a whole step of each length as one graph and replay it; false: run it call by
    call."""


class Encoder(Protocol):
    """What the loop asks of an encoder."""

    def prepare(
        self, checkpointing: bool, activations: torch.dtype, shards: Shards | None = None
    ) -> None:
        """Say how to train: whether to compute blocks again in the backward pass, the type of
        activations, and which processes share a window.
        """


class Trainable(Encodes, Protocol):
    """What the loop asks of a model, which is an `nn.Module` with an encoder."""

    @property
    def encoder(self) -> Encoder: ...

    def to(self, device: torch.device) -> Any: ...

    def train(self, mode: bool = True) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


@dataclass(frozen=True)
class Stage:
    """Steps of one length: `batch` rows a step, in `accumulate` parts, as `sampler` draws them."""

    length: int
    steps: int
    batch: int
    accumulate: int
    sampler: Sampler

    def parts(self, ranks: Ranks) -> list[Sequence[int]]:
        """The rows of this rank, for each of the accumulated parts of a step."""
        return [ranks.rows(self.batch, part, self.accumulate) for part in range(self.accumulate)]

    def batches(
        self,
        seed: int,
        first: int,
        last: int,
        parts: Sequence[Sequence[int]],
        prepare: Callable[[Batch], object] | None = None,
        threads: int = 1,
    ) -> Iterator[Batch]:
        """The batches of steps `first` to `last` (not included), read ahead and prepared."""
        rows = [row for part in parts for row in part]
        # Each thread works on one, and others are ready when it is late.
        ahead = 4 + 2 * (threads if prepare else 0)
        return batches(self.sampler, seed, first, last, rows, ahead, prepare, threads)


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    best: float = math.inf
    seconds: float = 0.0
    stale: int = 0
    """Validations since the best."""
    stopped: int = field(default=0, compare=False)
    """The number of the signal that asked for an end; 0 for none."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "step": self.step, "best": self.best, "seconds": self.seconds, "stale": self.stale
        }  # fmt: skip


class Fit(Generic[Ready]):
    """One training run: `Fit(...).run()` trains from the newest checkpoint, or the start, to the
    end.

    Parameters
    ----------
    model
        What is trained, in place.
    objective
        A batch -> a loss.
    stages
        Steps of one length each, in order.
    recipe, optimizer, seed
        How to train; chance is a function of the seed, the step and the row.
    run
        The folder that holds checkpoints and the log.
    ranks
        This process among those that train together.
    validate
        A function that gives a number, lower is better; none without a validation split.
    """

    def __init__(
        self,
        model: Trainable,
        objective: Objective[Ready],
        stages: Sequence[Stage],
        *,
        recipe: TrainingRecipe,
        optimizer: OptimizerRecipe,
        seed: int,
        run: Run,
        ranks: Ranks,
        validate: Callable[[], float] | None = None,
    ) -> None:
        model.to(ranks.device)
        kind = activations(recipe.precision, ranks.device)
        model.encoder.prepare(recipe.checkpointing, kind, ranks.shards)
        self.model, self.objective, self.stages = model, objective, stages
        self.recipe, self.optimizer_recipe, self.seed = recipe, optimizer, seed
        self.saved, self.ranks, self.validate = run, ranks, validate
        self.steps = sum(stage.steps for stage in stages)
        self.parts = Step(model, objective, optimizer, seed, ranks)
        self.optimizer = self.parts.optimizer
        self.progress = Progress()

    def run(self) -> Progress:
        """Train to the end. SIGTERM and SIGINT save and exit (128 + the signal's number)."""
        try:
            return self._run()
        except _DEVICE_FAULTS as error:
            possible = "the newest checkpoint is sound: --resume in a new process"
            raise MachineError(self.ranks.device, reason(error), possible) from None

    def _run(self) -> Progress:
        self._restore()
        self.reporter = Reporter(
            self.steps,
            self.progress.step,
            self.saved.folder,
            quiet=not self.ranks.main,
            unit=self.objective.unit,
        )
        with self._stopping_on_signals():
            self.model.train()
            first = 0
            for stage in self.stages:
                last = first + stage.steps
                if self.progress.step < last and not self._stale():
                    self._run_stage(stage, last)
                first = last
        return self.progress

    def step(self, batch: Batch, parts: Sequence[Sequence[int]]) -> dict[str, float]:
        """One step of the optimizer.

        Parameters
        ----------
        batch
            The rows of this rank, part after part.
        parts
            The global numbers of the rows of each part.

        Returns
        -------
        dict
            loss (nats a target, over all rows, ranks and parts), bits, rate, and the gradient's
            norm.
        """
        nats, norm = self._step(batch, parts)[1:]
        return self._values(batch, nats, norm)

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0)."""
        return adamw.rate(step, self.steps, self.optimizer_recipe)

    def replay(
        self, parts: Sequence[Sequence[int]], say: Callable[[str], None]
    ) -> Replay[Ready] | None:
        """Steps as graphs, where that is possible and asked for; None where they are not.

        Parameters
        ----------
        parts
            The global numbers of the rows of each part of a step.
        say
            Where to say that a shape cannot be recorded.
        """
        if not self.recipe.capture:
            return None
        if can_replay(self.ranks):
            return Replay(self.parts, parts, self.rate, say)
        if self.ranks.device.type == "cuda":
            say("steps are run call by call: graphs are for one process on the current GPU")
        return None

    def _step(self, batch: Batch, parts: Sequence[Sequence[int]]) -> Outcome:
        """A step whose numbers are waited for."""
        device = self.ranks.device
        try:
            tokens = torch.from_numpy(batch.tokens_BL).to(device, non_blocking=True)
            rows = [torch.tensor(numbers, device=device) for numbers in parts]
            given = [
                None if each is None else tuple(on_device(array, device) for array in each)
                for each in self.parts.look_up(batch, parts)
            ]
            examples = self.parts.examples(tokens, batch.step, rows, given)
            nats = float(self.parts.gradients(examples))
        except NumericError as error:
            self._fail(batch, f"{error.where}: {error.found}")
        except torch.OutOfMemoryError:
            self._fail_for_memory(batch)
        # Before the optimizer steps, so that weights and checkpoints stay sound.
        if not math.isfinite(nats):
            self._fail(batch, Outcome(batch, nats, 0.0).fault)
        outcome = Outcome(batch, nats, float(self.parts.clip()))
        if outcome.fault:
            self._fail(batch, outcome.fault)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(batch.step) * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return outcome

    def _values(self, batch: Batch, nats: float, norm: float) -> dict[str, float]:
        rate = self.rate(batch.step)
        return {"loss": nats, "bits": nats / math.log(2), "rate": rate, "gradient": norm}

    def batches(
        self, stage: Stage, first: int, last: int, parts: Sequence[Sequence[int]]
    ) -> Iterator[Batch]:
        """The batches of steps `first` to `last` (not included), with what takes long looked up."""
        ahead = self.parts.ahead(parts), self.parts.threads
        return stage.batches(self.seed, first, last, parts, *ahead)

    def _run_stage(self, stage: Stage, last: int) -> None:
        parts = stage.parts(self.ranks)
        replay = self.replay(parts, self.reporter.say)
        try:
            self._run_steps(stage, last, parts, replay)
        finally:
            if replay is not None:
                replay.close()

    def _run_steps(
        self,
        stage: Stage,
        last: int,
        parts: Sequence[Sequence[int]],
        replay: Replay[Ready] | None,
    ) -> None:
        self._clock = time.monotonic()
        for batch in self.batches(stage, self.progress.step, last, parts):
            if replay is None:
                self._note(stage, [self._step(batch, parts)])
            else:
                self.order(replay, batch)
                self._note(stage, replay.read(wait=False))
            step = batch.step + 1
            # After the last step too, so that the end may be the best.
            validates = step % self.recipe.validate_every == 0 or step == self.steps
            if self.validate and validates:
                self._catch_up(stage, replay)
                self._run_validation(self.validate)
            # A scheduler may tell one rank alone; all must leave at the same step.
            stopped = self.ranks.agree(bool(self.progress.stopped))
            ends = stopped or self._stale() or step == self.steps
            saves = ends or step % self.recipe.save_every == 0
            if saves or step == last:
                self._catch_up(stage, replay)
            if saves:
                self._save(NEWEST)
            if stopped:
                self.reporter.say(f"stopped: saved at step {step:,}; --resume goes on from there")
                raise SystemExit(128 + (self.progress.stopped or signal.SIGTERM))
            if self._stale():
                stale = self.progress.stale
                self.reporter.say(f"no better validation in {stale}: ended after step {step:,}")
                return

    def order(self, replay: Replay[Ready], batch: Batch) -> None:
        """A step of the optimizer that is not waited for; `replay.read` says what it came to."""
        try:
            replay.issue(batch)
        except torch.OutOfMemoryError:
            self._fail_for_memory(batch)

    def _catch_up(self, stage: Stage, replay: Replay[Ready] | None) -> None:
        """Wait for every step that was ordered."""
        if replay is not None:
            self._note(stage, replay.read(wait=True))

    def _note(self, stage: Stage, outcomes: Sequence[Outcome]) -> None:
        """Count steps that are done, show and log them."""
        if not outcomes:
            return
        now = time.monotonic()
        # Steps that were read together took the same time each.
        seconds = (now - self._clock) / len(outcomes)
        self._clock = now
        for batch, nats, norm in outcomes:
            if fault := Outcome(batch, nats, norm).fault:
                self._fail(batch, fault)
            values = self._values(batch, nats, norm)
            self.progress.seconds += seconds
            values["nt_per_second"] = stage.batch * stage.length / seconds
            self.progress.step = batch.step + 1
            self._report(stage, values)

    def _report(self, stage: Stage, values: dict[str, float]) -> None:
        """Show the step just done, and log it."""
        step = self.progress.step
        self.reporter.step(step, values)
        seconds = round(self.progress.seconds, 3)
        size = {"length": stage.length, "nt": stage.batch * stage.length}
        self.saved.log(step=step, seconds=seconds, **size, **values)

    def _fail(self, batch: Batch, message: str) -> NoReturn:
        names = [str(each[-1] if isinstance(each, tuple) else each) for each in batch.places()]
        where = f"step {batch.step + 1}, windows {', '.join(names)} (1-based)"
        possible = "a lower optimizer.rate; the newest checkpoint is from before"
        raise TrainingError(where, message, possible)

    def _fail_for_memory(self, batch: Batch) -> NoReturn:
        where, less = f"step {batch.step + 1}", "a smaller batch, more accumulate, or "
        less += "checkpointing = true in [training]"
        raise MachineError(where, f"{self.ranks.device} is out of memory", less) from None

    def _stale(self) -> bool:
        """Whether validation has not improved for as long as the recipe allows."""
        return 0 < self.recipe.patience <= self.progress.stale

    def _run_validation(self, validate: Callable[[], float]) -> None:
        name, step = self.objective.validation, self.progress.step
        self.model.train(False)
        value = validate()
        self.model.train()
        self.saved.log(step=step, **{name: value})
        self.reporter.validation(step, value, name)
        self.progress.stale += 1
        if value < self.progress.best:
            self.progress.best, self.progress.stale = value, 0
            self._save(BEST)

    def _save(self, name: str) -> None:
        if self.ranks.main:
            # Of the model itself, not of what ranks wrap: names do not depend on ranks.
            weights = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            self.saved.save(name, {**self.progress.state(), **weights})

    def _restore(self) -> None:
        state = self.saved.load(NEWEST, self.ranks.device)
        if state is None:
            return
        with self.saved.restoring(NEWEST):
            self.model.load_state_dict(state["model"])
            adamw.load(self.optimizer, state["optimizer"])
        # Older checkpoints do not say how many validations were no better.
        self.progress = Progress(
            state["step"], state["best"], state["seconds"], state.get("stale", 0)
        )
        # Lines that were logged after the checkpoint will be written again.
        self.saved.rewind(state["step"])

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after its step; what they did before comes back."""
        numbers = signal.SIGTERM, signal.SIGINT
        before = [(number, signal.signal(number, self._stop)) for number in numbers]
        ends = False
        try:
            yield
        except (SystemExit, KeyboardInterrupt):
            ends = True
            raise
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            self.reporter.close()
            # One that no step was left to hear, for a fault or the end came first.
            if self.progress.stopped and not ends:
                signal.raise_signal(self.progress.stopped)

    def _stop(self, number: int, _: FrameType | None) -> None:
        # Ctrl-C twice does not wait for the step to end. SIGTERM comes twice from a scheduler that
        # also tells torchrun, so there the second is no hurry.
        if self.progress.stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.progress.stopped = number


def activations(precision: str, device: torch.device) -> torch.dtype:
    """The type of activations for a `training.precision` on a device."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
