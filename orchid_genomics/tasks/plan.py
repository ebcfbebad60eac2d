"""What a recipe would take, measured on a few real steps before any of it is run."""

import json
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.arms import arms_of
from orchid_genomics.evaluate.budget import fit_in, pace_of
from orchid_genomics.evaluate.candidates import settings_notes
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe, seconds_of
from orchid_genomics.evaluate.orientation import sets_of
from orchid_genomics.evaluate.side_by_side import one_thread, processes_for
from orchid_genomics.files import finite, scratch_folder
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import build, check_memory, fit_of, stages_of, summary
from orchid_genomics.tasks.pretraining import RunRecipe, Source, open_source, run_recipe
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Fit, Stage, StageRecipe
from orchid_genomics.train.run import Run

FEW_STEPS = 100  # of a later stage of a curriculum


def plan(
    path: str | Path, overrides: tuple[str, ...] = (), steps: int = 3, as_json: bool = False
) -> Iterator[str]:
    """Lines about what a run would take; nothing is written.

    Parameters
    ----------
    path, overrides
        The recipe, and `KEY=VALUE` over what it says.
    steps
        Steps of each stage that are measured.
    as_json
        One JSON object in place of lines.

    Yields
    ------
    str
        The source and its checks, parameters, and for each stage seconds a step, memory and time.
    """
    recipe = load(path, _schema, overrides)
    values: dict[str, Any] = {"lines": []}
    of_kind = _plan_finetuning if isinstance(recipe, FinetuneRecipe) else _plan_pretraining
    for line in of_kind(recipe, steps, values):
        if not as_json:
            yield line
        values["lines"].append(line)
    if as_json:
        yield json.dumps(finite(values), indent=2)


def _plan_pretraining(recipe: Any, steps: int, values: dict[str, Any]) -> Iterator[str]:
    """Lines: the source, and what every stage would take; numbers go into `values`."""
    ranks = distributed.start(recipe.training.device, recipe.training.sequence_ranks)
    source = open_source(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    check_memory(recipe, model, ranks)
    yield summary(model, source.describe(recipe.longest, whole=True))
    yield from short_stages(recipe.stages())
    total = 0.0
    for stage, seconds in _stage_times(recipe, source, stages, model, ranks=ranks, steps=steps):
        total += seconds * stage.steps
        speed = stage.batch * stage.length / seconds
        size = f"{stage.steps:,} steps of {stage.batch} x {stage.length:,} nt"
        pace = f"{seconds:.2f} s a step ({speed / 1e3:,.1f} knt/s)"
        values.setdefault("stages", []).append(
            {
                "length": stage.length,
                "batch": stage.batch,
                "steps": stage.steps,
                "seconds_a_step": seconds,
            }
        )
        yield f"{size}: {pace}, {clock(seconds * stage.steps)}"
    values |= {"seconds": total, "gigabytes": _peak_gb(ranks.device)}
    yield f"peak memory so far: {_peak_gb(ranks.device):.1f} GB on {ranks.device.type}"
    yield f"training time: about {clock(total)}, and the evaluation after it"


def step_seconds(recipe: RunRecipe, steps: int = 3) -> float:
    """Seconds of a step of a recipe's last stage, from a few real ones; checks all of its files."""
    ranks = distributed.start(recipe.training.device, recipe.training.sequence_ranks)
    source = open_source(recipe)
    stages = stages_of(recipe, source, ranks)
    last, model = stages[-1:], build(recipe)
    times = _stage_times(recipe, source, last, model, ranks=ranks, steps=steps)
    ((_, seconds),) = times
    return seconds


def _stage_times(
    recipe: RunRecipe,
    source: Source,
    stages: list[Stage],
    model: OrchidModel,
    *,
    ranks: Ranks,
    steps: int,
) -> Iterator[tuple[Stage, float]]:
    """Each stage with the seconds of one of its steps."""
    with trial(recipe, source, model, stages, ranks) as fit:
        for stage in stages:
            yield stage, _seconds_a_step(fit, stage, steps)


@contextmanager
def trial(
    recipe: RunRecipe, source: Source, model: OrchidModel, stages: list[Stage], ranks: Ranks
) -> Iterator[Fit[Any]]:
    """The fit of a recipe, ready for a few of its steps; what it writes goes with it."""
    # Training wants a run folder; this one goes again, for nothing is to be left.
    with scratch_folder() as scratch:
        run = Run(scratch / "run", recipe, resume=False).begin()
        fit = fit_of(recipe, source, model, stages, run=run, ranks=ranks)
        model.train()
        yield fit


def _schema(values: Any, where: str) -> type[FinetuneRecipe] | type[RunRecipe]:
    """The schema of a recipe: labelled data have a kind, and what is pretrained on has none."""
    data = values.get("data") if isinstance(values, dict) else None
    labelled = isinstance(data, dict) and "kind" in data
    return FinetuneRecipe if labelled else run_recipe(values, where)


def _plan_finetuning(recipe: Any, steps: int, values: dict[str, Any]) -> Iterator[str]:
    """Lines: the data, what the recipe leaves out, and what every arm would take."""
    ranks = distributed.start(recipe.training.device)
    data = sets_of(recipe)[0]
    yield from data.describe()
    yield from settings_notes(recipe, data)
    count = processes_for(arms_of(recipe, data), recipe, data, ranks, None)
    with one_thread() if count > 1 else nullcontext():
        times = list(arm_times(recipe, data, ranks, steps))
    for time_of_arm in times:
        values.setdefault("arms", []).append(asdict(time_of_arm))
        yield time_of_arm.line(recipe.training.folds)
    total = sum(each.seconds for each in times) / count
    values |= {"processes": count, "seconds": total, "gigabytes": _peak_gb(ranks.device)}
    each = " in each process" if count > 1 else ""
    yield f"peak memory so far: {_peak_gb(ranks.device):.1f} GB on {ranks.device.type}{each}"
    beside = f" in {count} processes of one thread" if count > 1 else ""
    after = "and the simple alternatives after it"
    yield f"training time: at most about {clock(total)}{beside}, {after}"


@dataclass(frozen=True)
class ArmTime:
    """What training an arm would take, over all fits and folds."""

    name: str
    epoch: float
    """Seconds of an epoch."""
    epochs: int
    fits: int
    seconds: float
    """At most: patience may end a fit before its last epoch."""

    def line(self, folds: int) -> str:
        """For a person."""
        each = f" in each of {folds} folds" if folds else ""
        return (
            f"{self.name}: {clock(self.epoch)} an epoch, {self.fits} fits of up to "
            f"{self.epochs} epochs{each}, at most {clock(self.seconds)}"
        )


def arm_times(
    recipe: FinetuneRecipe, data: LabelledSet, ranks: Ranks, steps: int = 3
) -> Iterator[ArmTime]:
    """Time a few real steps of every arm."""
    for arm in arms_of(recipe, data):
        pace = pace_of(arm, recipe, data, ranks, steps)
        count, epochs, seeds = len(arm.candidates), pace.epochs, len(recipe.training.seeds)
        if isinstance(recipe.training.budget, str):
            count, epochs = fit_in(arm, pace, seconds_of(recipe.training.budget), seeds)
        fits = count + seeds - 1
        seconds = pace.seconds * epochs * fits * max(recipe.training.folds, 1)
        yield ArmTime(arm.name, pace.seconds, epochs, fits, seconds)


def short_stages(stages: Sequence[StageRecipe]) -> Iterator[str]:
    """A line for every later stage of a curriculum that is too short to learn from its length."""
    for stage in stages[1:]:
        if stage.steps < FEW_STEPS:
            yield (
                f"few steps: {stage.steps:,} of {stage.length:,} nt. On yeast, stages of 8 to 20 "
                "steps left long windows worse than short ones; 600 steps of stages up to "
                "131,072 nt did not"
            )


def _seconds_a_step(fit: Fit[Any], stage: Stage, steps: int) -> float:
    """The median over real steps, or the mean of those that a GPU is not waited for; the first,
    which warms up, is not counted.
    """
    parts = stage.parts(fit.ranks)
    replay = fit.replay(parts, lambda _: None)
    if replay is not None:
        coming = fit.batches(stage, 0, steps + 1, parts)
        fit.order(replay, next(coming))
        replay.read(wait=True)
        start = time.monotonic()
        for batch in coming:
            fit.order(replay, batch)
        replay.read(wait=True)
        replay.close()
        return (time.monotonic() - start) / steps
    seconds, start = [], time.monotonic()
    for batch in fit.batches(stage, 0, steps + 1, parts):
        fit.step(batch, parts)
        seconds.append(time.monotonic() - start)
        start = time.monotonic()
    return sorted(seconds[1:])[(len(seconds) - 1) // 2]


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # Linux counts in KB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
