"""From a recipe to a trained encoder: `pretrain` is what `orchid-genomics pretrain` calls."""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from orchid_genomics import __version__, draw
from orchid_genomics.data.loader import batches
from orchid_genomics.errors import OrchidError, say
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.files import finite, replacing
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretraining import RunRecipe, Source, opened, run_recipe
from orchid_genomics.train import distributed as processes
from orchid_genomics.train.loop import Fit, Stage
from orchid_genomics.train.objectives import OBJECTIVES
from orchid_genomics.train.run import BEST, Run


def build(recipe: RunRecipe) -> OrchidModel:
    """The untrained model of a recipe; the same weights for the same seed."""
    filter = recipe.model.filter
    if filter.longest is None:
        filter = filter.model_copy(update={"longest": float(recipe.longest)})
    torch.manual_seed(recipe.seed)
    return OrchidModel(
        ModelRecipe(
            encoder=recipe.model.model_copy(update={"filter": filter}), head=LettersRecipe()
        )
    )


def pretrain(
    path: str | Path,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
) -> Path:
    """Train the model of a recipe and measure it beside its baselines; returns the model folder.

    `out` is the run folder (default: runs/ and the recipe's name). Raises OrchidError for what a
    user can mend.
    """
    recipe = load(path, run_recipe, overrides)
    ranks = processes.start(recipe.training.device)
    try:
        return _pretrain(recipe, Path(out or Path("runs") / Path(path).stem), ranks, resume)
    except OrchidError as error:
        if ranks.world == 1:
            raise
        say(error)  # before the group goes, for that is what the other ranks fail of
        raise SystemExit(1) from None
    finally:
        ranks.close()


def _pretrain(recipe: RunRecipe, folder: Path, ranks: processes.Ranks, resume: bool) -> Path:
    clock = time.monotonic()
    run = Run(folder, recipe, resume, writes=ranks.main)
    source = opened(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    run.begin(
        source.inputs() if ranks.main else {}
    )  # the first thing written, once nothing is wrong
    objective = OBJECTIVES[recipe.objective.kind](recipe.objective, source.alphabet)
    length = recipe.stages()[-1].length

    def tell(text: str) -> None:
        if ranks.main:
            print(text, file=sys.stderr, flush=True)

    tell(summary(model, source.lines(length)))
    check = source.validation(model, length, ranks)
    fit = Fit(
        model, objective, stages, recipe.training, recipe.optimizer, recipe.seed, run, ranks, check
    )
    progress = fit.run()
    if check and (best := run.load(BEST, ranks.device)) is not None:
        model.load_state_dict(best["model"])
    protocols = source.evaluate(model, length, ranks, tell)
    if ranks.main:
        seconds = {"training": progress.seconds, "all": time.monotonic() - clock}
        provenance = provenance_of(recipe, source, protocols, seconds, ranks)
        model.save_pretrained(run.model, provenance, card(recipe, source, protocols))
        run.write(folder / "evaluation.json", [protocol.values() for protocol in protocols])
        if source.drawn:
            with replacing(folder / "curve.png") as part:
                draw.save(
                    draw.training_curve(run.lines(), [protocol.values() for protocol in protocols]),
                    part,
                )
        for protocol in protocols:
            print(protocol.text() + "\n")
        print(f"model: {run.model}")
    return run.model


def stages_of(recipe: RunRecipe, source: Source, ranks: processes.Ranks) -> list[Stage]:
    """The stages of a recipe over its source; windows are built, and every check made, before any
    step.
    """
    stages = []
    for number, stage in enumerate(recipe.stages()):
        where = f"training.curriculum.{number}" if recipe.training.curriculum else "training"
        processes.check_batch(stage.batch, stage.accumulate, ranks.world, f"{where}.batch")
        training = source.training(stage.length, stage.batch)

        def read(first: int, last: int, rows: Any, training: Any = training) -> Any:
            return batches(training, recipe.seed, first, last, rows)

        stages.append(Stage(stage.length, stage.steps, stage.batch, stage.accumulate, read))
    return stages


def summary(model: OrchidModel, lines: list[str]) -> str:
    """What is about to be trained on what, in a few lines."""
    parameters = sum(p.numel() for p in model.parameters())
    return "\n".join([f"{parameters:,} parameters; {lines[0]}", *lines[1:]])


def provenance_of(
    recipe: RunRecipe,
    source: Source,
    protocols: list[ScoreTable],
    seconds: dict[str, float],
    ranks: processes.Ranks,
) -> dict[str, Any]:
    """Where a model comes from: the source's own words (`origin`), versions, time, recipe and
    metrics.
    """
    first, stages = 0, []
    for stage in recipe.stages():
        stages.append((stage.length, stage.batch, first, first + stage.steps))
        first += stage.steps
    machine = (
        torch.cuda.get_device_name()
        if ranks.device.type == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    return {
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{ranks.world} x {machine}",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        **source.origin(recipe.stages()[-1].length, stages),
        "evaluation": finite([protocol.values() for protocol in protocols]),
    }


def card(recipe: RunRecipe, source: Source, protocols: list[ScoreTable]) -> str:
    """The README.md of a model folder."""
    tables = "\n\n".join(f"```\n{protocol.text()}\n```" for protocol in protocols)
    return (
        f"# Orchid encoder pretrained on {source.name}\n\n"
        f"Masked-letter model, width {recipe.model.width}, {recipe.model.depth} layers, {recipe.model.strands} "
        f"strands, windows up to {recipe.longest:,} nt. Written by orchid-genomics {__version__}.\n\n"
        "```python\nfrom orchid_genomics.model.folder import OrchidModel\n\n"
        'model = OrchidModel.from_pretrained("this folder")\n```\n\n'
        f"## On held-out sequence, beside its baselines\n\n{tables}\n"
    )
