"""What a pretraining recipe would take, measured on a few real steps before any of it is run."""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import build, stages_of, summary
from orchid_genomics.tasks.pretraining import opened, run_recipe
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed as processes
from orchid_genomics.train.loop import Fit
from orchid_genomics.train.objectives import OBJECTIVES
from orchid_genomics.train.run import Run


def plan(path: str | Path, overrides: tuple[str, ...] = (), steps: int = 3) -> Iterator[str]:
    """Lines: the source and its checks, parameters, and for each stage seconds a step, memory and
    time in all.
    """
    recipe = load(path, run_recipe, overrides)
    ranks = processes.start(recipe.training.device)
    source = opened(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    yield summary(model, source.lines(recipe.longest, whole=True))
    objective = OBJECTIVES[recipe.objective.kind](recipe.objective, source.alphabet)
    total = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run", recipe, resume=False).begin()
        fit = Fit(
            model, objective, stages, recipe.training, recipe.optimizer, recipe.seed, run, ranks
        )
        model.train()
        for stage in stages:
            seconds = _seconds_a_step(fit, stage, steps)
            total += seconds * stage.steps
            speed = stage.batch * stage.length / seconds
            yield (
                f"{stage.steps:,} steps of {stage.batch} x {stage.length:,} nt: {seconds:.2f} s a step "
                f"({speed / 1e3:,.1f} knt/s), {clock(seconds * stage.steps)}"
            )
    yield f"peak memory so far: {_peak_gb(ranks.device):.1f} GB on {ranks.device.type}"
    yield f"training time: about {clock(total)}, and the evaluation after it"


def _seconds_a_step(fit: Fit, stage, steps: int) -> float:
    """The median over real steps; the first, which warms up, is not counted."""
    parts = [
        fit.ranks.rows(stage.batch, part, stage.accumulate) for part in range(stage.accumulate)
    ]
    found, start = [], time.monotonic()
    for batch in stage.batches(0, steps + 1, [row for part in parts for row in part]):
        fit._step(batch, parts)
        found.append(time.monotonic() - start)
        start = time.monotonic()
    return sorted(found[1:])[(len(found) - 1) // 2]


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
