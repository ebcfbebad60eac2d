"""The loop: stages of batches in, a trained model and its checkpoints out.

Everything random is a function of (seed, step, row), so a run killed at any step and resumed ends
with the same weights, bit for bit on a CPU with the same number of threads, and two ranks train as
one.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from orchid_genomics.errors import MachineError, NumericError, TrainingError
from orchid_genomics.recipe import Strict
from orchid_genomics.train import optimizer as adamw
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.progress import Reporter
from orchid_genomics.train.run import BEST, NEWEST, Run


class StageRecipe(Strict):
    """A part of a length curriculum: so many steps at one window length."""

    length: int = Field(ge=32)
    steps: int = Field(gt=0)
    batch: int = Field(gt=0)
    accumulate: int = Field(default=1, gt=0)


class TrainingRecipe(Strict):
    """How long, how wide, how often."""

    steps: int = Field(default=1000, gt=0)
    batch: int = Field(default=8, gt=0)
    """Windows a step, over all ranks and accumulated parts."""
    accumulate: int = Field(default=1, gt=0)
    """Parts of a batch that are run one after another, to save memory."""
    curriculum: tuple[StageRecipe, ...] = ()
    """Train short, finish long: stages in order, in place of `steps`, `batch`, `accumulate` and `data.length`."""
    checkpointing: bool = False
    """Compute every block again in the backward pass rather than keep its activations."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 activations on CUDA, float32 on CPU (transforms are float32 always)."""
    save_every: int = Field(default=200, gt=0)
    """Steps between checkpoints; the newest and the best on validation are kept."""
    validate_every: int = Field(default=200, gt=0)
    patience: int = Field(default=0, ge=0)
    """Stop after so many validations without a better one; 0: train to the end."""


class Batch(Protocol):
    """What a stage yields: tokens (B, L) uint8 of some rows of a step."""

    step: int
    tokens_BL: np.ndarray

    def places(self) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Stage:
    """Steps of one length; `batches(first, last, rows)` yields the batches of those steps."""

    length: int
    steps: int
    batch: int
    accumulate: int
    batches: Callable[[int, int, Sequence[int]], Iterator[Batch]]


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    best: float = math.inf
    seconds: float = 0.0
    stale: int = 0
    """Validations since the best."""
    stopped: int = field(default=0, compare=False)


class _Loss(nn.Module):
    """Model and objective as one module, so that its forward is what is wrapped for many ranks."""

    def __init__(self, model: nn.Module, objective: Any) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, hidden: Any) -> Tensor:
        return self.objective.loss(self.model.encode(hidden.shown_BL, hidden.mask_BL), hidden)


class Fit:
    """One training run: `Fit(...).run()` trains from the newest checkpoint, or the start, to the
    end.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Any,
        stages: Sequence[Stage],
        recipe: TrainingRecipe,
        optimizer: OptimizerRecipe,
        seed: int,
        run: Run,
        ranks: Ranks,
        validate: Callable[[], float] | None = None,
    ) -> None:
        self.model, self.objective, self.stages = model.to(ranks.device), objective, stages
        self.recipe, self.optimizer_recipe, self.seed = recipe, optimizer, seed
        self.saved, self.ranks, self.validate = run, ranks, validate
        self.steps = sum(stage.steps for stage in stages)
        model.encoder.prepare(recipe.checkpointing, activations(recipe.precision, ranks.device))
        self.optimizer = adamw.build(model, optimizer)
        self.module = ranks.wrap(_Loss(model, objective))
        self.progress = Progress()

    def run(self) -> Progress:
        """Train to the end. SIGTERM and SIGINT save and exit (128 + the signal's number)."""
        self._restore()
        quiet, unit = not self.ranks.main, self.objective.unit
        self.reporter = Reporter(self.steps, self.progress.step, self.saved.folder, quiet, unit)
        before = [
            (number, signal.signal(number, self._stop))
            for number in (signal.SIGTERM, signal.SIGINT)
        ]
        try:
            self.model.train()
            first = 0
            for stage in self.stages:
                last = first + stage.steps
                if self.progress.step < last and not self._ended():
                    self._stage(stage, last)
                first = last
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            self.reporter.close()
        return self.progress

    def _stage(self, stage: Stage, last: int) -> None:
        parts = [
            self.ranks.rows(stage.batch, part, stage.accumulate) for part in range(stage.accumulate)
        ]
        rows = [row for part in parts for row in part]
        clock = time.monotonic()
        for batch in stage.batches(self.progress.step, last, rows):
            values = self._step(batch, parts)
            now = time.monotonic()
            self.progress.seconds += now - clock
            values["nt_per_second"] = stage.batch * stage.length / (now - clock)
            clock = now
            self.progress.step += 1
            step = self.progress.step
            self.reporter.step(step, values)
            read = {"length": stage.length, "nt": stage.batch * stage.length}
            self.saved.log(step=step, seconds=round(self.progress.seconds, 3), **read, **values)
            if self.validate and (step % self.recipe.validate_every == 0 or step == self.steps):
                self._validated(step)
            stopped = self.ranks.agree(bool(self.progress.stopped))
            if step % self.recipe.save_every == 0 or step == self.steps or stopped or self._ended():
                self._save(NEWEST)
            if stopped:
                self.reporter.say(f"stopped: saved at step {step:,}; --resume goes on from there")
                raise SystemExit(128 + (self.progress.stopped or signal.SIGTERM))
            if self._ended():
                self.reporter.say(
                    f"no better validation in {self.progress.stale}: ended after step {step:,}"
                )
                return

    def _step(self, batch: Batch, parts: Sequence[Sequence[int]]) -> dict[str, float]:
        """One step of the optimizer; the loss is over the weights of all rows, ranks and parts."""
        device, size = self.ranks.device, len(parts[0])
        tokens = torch.from_numpy(batch.tokens_BL).to(device, non_blocking=True)
        hidden = [
            self.objective.hide(
                tokens[i * size : (i + 1) * size],
                self.seed,
                batch.step,
                torch.tensor(rows, device=device),
            )
            for i, rows in enumerate(parts)
        ]
        weight = self.ranks.sum(sum(part.weights_BL.sum() for part in hidden)).clamp(min=1e-9)
        total = torch.zeros((), device=device)
        try:
            for i, part in enumerate(hidden):
                last = i == len(hidden) - 1
                with nullcontext() if last or self.ranks.world == 1 else self.module.no_sync():
                    loss = self.module(part)
                    (loss * (self.ranks.world / weight)).backward()
                total += loss.detach()
        except NumericError as error:
            self._fail(batch, f"{error.where}: {error.found}")
        except torch.OutOfMemoryError:
            less = "a smaller batch, more accumulate, or checkpointing = true in [training]"
            raise MachineError(
                f"step {batch.step + 1}", f"{device} is out of memory", less
            ) from None
        nats = float(self.ranks.sum(total) / weight)
        if not math.isfinite(nats):
            self._fail(batch, f"the loss is {nats}")
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.optimizer_recipe.clip))
        if not math.isfinite(norm):
            self._fail(batch, f"the gradient is {norm}")
        rate = adamw.rate(batch.step, self.steps, self.optimizer_recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": nats, "bits": nats / math.log(2), "rate": rate, "gradient": norm}

    def _fail(self, batch: Batch, found: str) -> None:
        places = ", ".join(
            str(place[-1] if isinstance(place, tuple) else place) for place in batch.places()
        )
        where = f"step {batch.step + 1}, windows {places} (1-based)"
        raise TrainingError(
            where, found, "a lower optimizer.rate; the newest checkpoint is from before"
        )

    def _ended(self) -> bool:
        """Whether validation has not improved for as long as the recipe allows."""
        return 0 < self.recipe.patience <= self.progress.stale

    def _validated(self, step: int) -> None:
        self.model.eval()
        found = self.validate()
        self.model.train()
        self.saved.log(step=step, **{self.objective.validation: found})
        self.reporter.validation(step, found, self.objective.validation)
        self.progress.stale += 1
        if found < self.progress.best:
            self.progress.best, self.progress.stale = found, 0
            self._save(BEST)

    def _save(self, name: str) -> None:
        if self.ranks.main:
            state = {
                name: getattr(self.progress, name) for name in ("step", "best", "seconds", "stale")
            }
            model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
            self.saved.save(name, {**state, "model": model, "optimizer": optimizer})

    def _restore(self) -> None:
        state = self.saved.load(NEWEST, self.ranks.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(
            state["step"], state["best"], state["seconds"], state.get("stale", 0)
        )
        self.saved.rewind(state["step"])

    def _stop(self, number: int, _: Any) -> None:
        if (
            self.progress.stopped and number == signal.SIGINT
        ):  # asked twice: do not wait for the step to end
            # (SIGTERM comes twice from a scheduler that also tells torchrun)
            raise KeyboardInterrupt
        self.progress.stopped = number


def activations(precision: str, device: torch.device) -> torch.dtype:
    """The type of activations for a `training.precision` on a device."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, precision)
