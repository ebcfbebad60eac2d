"""What a pretraining recipe would take, measured on a few real steps before any of it is run."""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import build, fit_of, stages_of, summary
from orchid_genomics.tasks.pretraining import open_source, run_recipe
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed
from orchid_genomics.train.loop import Fit, Stage
from orchid_genomics.train.run import Run


def plan(path: str | Path, overrides: tuple[str, ...] = (), steps: int = 3) -> Iterator[str]:
    """Lines about what a run would take; nothing is written.

    Parameters
    ----------
    path, overrides
        The recipe, and `KEY=VALUE` over what it says.
    steps
        Steps of each stage that are measured.

    Yields
    ------
    str
        The source and its checks, parameters, and for each stage seconds a step, memory and time.
    """
    recipe = load(path, run_recipe, overrides)
    ranks = distributed.start(recipe.training.device)
    source = open_source(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    yield summary(model, source.describe(recipe.longest, whole=True))
    total = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run", recipe, resume=False).begin()
        fit = fit_of(recipe, source, model, stages, run=run, ranks=ranks)
        model.train()
        for stage in stages:
            seconds = _seconds_a_step(fit, stage, steps)
            total += seconds * stage.steps
            speed = stage.batch * stage.length / seconds
            size = f"{stage.steps:,} steps of {stage.batch} x {stage.length:,} nt"
            pace = f"{seconds:.2f} s a step ({speed / 1e3:,.1f} knt/s)"
            yield f"{size}: {pace}, {clock(seconds * stage.steps)}"
    yield f"peak memory so far: {_peak_gb(ranks.device):.1f} GB on {ranks.device.type}"
    yield f"training time: about {clock(total)}, and the evaluation after it"


def _seconds_a_step(fit: Fit[Any], stage: Stage, steps: int) -> float:
    """The median over real steps; the first, which warms up, is not counted."""
    parts = stage.parts(fit.ranks)
    seconds, start = [], time.monotonic()
    for batch in stage.batches(fit.seed, 0, steps + 1, parts):
        fit.step(batch, parts)
        seconds.append(time.monotonic() - start)
        start = time.monotonic()
    return sorted(seconds[1:])[(len(seconds) - 1) // 2]


def _peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
