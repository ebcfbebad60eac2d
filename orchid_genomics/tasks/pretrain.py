"""From a recipe to a trained encoder: `pretrain` is what `orchid-genomics pretrain` calls."""

import json
import platform
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from orchid_genomics import __version__, draw
from orchid_genomics.errors import OrchidError, say
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.files import atomic_file, finite
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretraining import RunRecipe, Source, open_source, run_recipe
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Fit, Stage
from orchid_genomics.train.run import BEST, Run


def pretrain(
    path: str | Path,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
) -> Path:
    """Train the model of a recipe and measure it beside its baselines.

    Parameters
    ----------
    path
        The recipe (TOML, or the recipe.json of a run).
    out
        The run folder; by default runs/ and the recipe's name.
    overrides
        `KEY=VALUE` each, over what the recipe says.
    resume
        Go on with the run that the folder holds.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    OrchidError
        For what a user can mend.
    """
    recipe = load(path, run_recipe, overrides)
    ranks = distributed.start(recipe.training.device)
    folder = Path(out or Path("runs") / Path(path).stem)
    try:
        with closing(Run(folder, recipe, resume, writes=ranks.main)) as run:
            return _pretrain(recipe, run, ranks)
    except OrchidError as error:
        if ranks.world == 1:
            raise
        say(error)  # before the group goes, for that is what the other ranks fail of
        raise SystemExit(1) from None
    finally:
        ranks.close()


def _pretrain(recipe: RunRecipe, run: Run, ranks: Ranks) -> Path:
    clock = time.monotonic()
    source = open_source(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    # The first thing written, once nothing is found wrong.
    run.begin(source.inputs() if ranks.main else {})
    length = recipe.stages()[-1].length

    def tell(text: str) -> None:
        if ranks.main:
            print(text, file=sys.stderr, flush=True)

    tell(summary(model, source.describe(length)))
    check = source.validation(model, length, ranks)
    progress = fit_of(recipe, source, model, stages, run=run, ranks=ranks, validate=check).run()
    if check and (best := run.load(BEST, ranks.device)) is not None:
        model.load_state_dict(best["model"])
    tables = source.evaluate(model, length, ranks, tell)
    if ranks.main:
        seconds = {"training": progress.seconds, "all": time.monotonic() - clock}
        _write(run, recipe, source, model, tables, provenance_of(recipe, source, seconds, ranks))
        for table in tables:
            print(table.text() + "\n")
        print(f"model: {run.model}")
    return run.model


def build(recipe: RunRecipe) -> OrchidModel:
    """The untrained model of a recipe; the same weights for the same seed."""
    filter = recipe.model.filter
    if filter.longest is None:
        filter = filter.model_copy(update={"longest": float(recipe.longest)})
    encoder = recipe.model.model_copy(update={"filter": filter})
    torch.manual_seed(recipe.seed)
    return OrchidModel(ModelRecipe(encoder=encoder, head=LettersRecipe()))


def stages_of(recipe: RunRecipe, source: Source, ranks: Ranks) -> list[Stage]:
    """The stages of a recipe over its source; windows are built, and every check made, before any
    step.
    """
    stages = []
    for number, stage in enumerate(recipe.stages()):
        where = f"training.curriculum.{number}" if recipe.training.curriculum else "training"
        distributed.check_batch(stage.batch, stage.accumulate, ranks.world, f"{where}.batch")
        sampler = source.training(stage.length, stage.batch)
        stages.append(Stage(stage.length, stage.steps, stage.batch, stage.accumulate, sampler))
    return stages


def fit_of(
    recipe: RunRecipe,
    source: Source,
    model: OrchidModel,
    stages: list[Stage],
    *,
    run: Run,
    ranks: Ranks,
    validate: Callable[[], float] | None = None,
) -> Fit[Any]:
    """The training run of a recipe, ready to begin; parameters as in `Fit`."""
    return Fit(
        model,
        source.objective(),
        stages,
        recipe=recipe.training,
        optimizer=recipe.optimizer,
        seed=recipe.seed,
        run=run,
        ranks=ranks,
        validate=validate,
    )


def summary(model: OrchidModel, lines: list[str]) -> str:
    """What is about to be trained on what, in a few lines."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return "\n".join([f"{parameters:,} parameters; {lines[0]}", *lines[1:]])


def provenance_of(
    recipe: RunRecipe, source: Source, seconds: dict[str, float], ranks: Ranks
) -> dict[str, Any]:
    """Where a model comes from: versions, time, recipe and the source's own words (`origin`)."""
    first, stages = 0, []
    for stage in recipe.stages():
        stages.append((stage.length, stage.batch, first, first + stage.steps))
        first += stage.steps
    machine = f"{torch.get_num_threads()} CPU threads"
    if ranks.device.type == "cuda":
        machine = torch.cuda.get_device_name()
    return {
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{ranks.world} x {machine}",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        **source.origin(recipe.stages()[-1].length, stages),
    }


def _write(
    run: Run,
    recipe: RunRecipe,
    source: Source,
    model: OrchidModel,
    tables: list[ScoreTable],
    provenance: dict[str, Any],
) -> None:
    """Model folder, evaluation.json, and the curve where it says something."""
    values = [table.values() for table in tables]
    provenance["evaluation"] = finite(values)
    model.save_pretrained(run.model, provenance, card(recipe, source, tables))
    run.write(run.folder / "evaluation.json", values)
    if source.has_curve:
        with atomic_file(run.folder / "curve.png") as part:
            draw.save(draw.training_curve(run.lines(), values), part)


def card(recipe: RunRecipe, source: Source, tables: list[ScoreTable]) -> str:
    """The README.md of a model folder."""
    encoder, text = recipe.model, "\n\n".join(f"```\n{table.text()}\n```" for table in tables)
    shape = f"width {encoder.width}, {encoder.depth} layers, {encoder.strands} strands"
    return (
        f"# Orchid encoder pretrained on {source.name}\n\n"
        f"Masked-letter model, {shape}, windows up to {recipe.longest:,} nt. "
        f"Written by orchid-genomics {__version__}.\n\n"
        "```python\nfrom orchid_genomics.model.folder import OrchidModel\n\n"
        'model = OrchidModel.from_pretrained("this folder")\n```\n\n'
        f"## On held-out sequence, beside its baselines\n\n{text}\n"
    )
