"""From a recipe to a trained encoder: `pretrain` is what `orchid-genomics pretrain` calls."""

import json
import platform
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchid_genomics import __version__, draw
from orchid_genomics.errors import OrchidError, RecipeError, say
from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.files import atomic_file, finite
from orchid_genomics.genome.regions import union
from orchid_genomics.model.adapters import adapt, merge
from orchid_genomics.model.device import memory_of
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.model.sequence_parallel import check_shards
from orchid_genomics.recipe import load
from orchid_genomics.tasks.model_card import model_card
from orchid_genomics.tasks.pretraining import (
    PretrainRecipe,
    RunRecipe,
    Source,
    open_source,
    run_recipe,
)
from orchid_genomics.terminal import remark, silence
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.loop import Fit, Progress, Stage, activations
from orchid_genomics.train.run import BEST, Run

# What a model that goes on is held against, as tables call it.
GIVEN, SCRATCH = "given model", "from scratch"


def pretrain(
    path: str | Path,
    out: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
    *,
    quiet: bool = False,
    as_json: bool = False,
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
    quiet
        Show no progress.
    as_json
        Print the answer as one JSON object in place of tables.

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
    ranks = distributed.start(recipe.training.device, recipe.training.sequence_ranks)
    folder = Path(out or Path("runs") / Path(path).stem)
    try:
        with (
            silence(quiet or not ranks.main),
            closing(Run(folder, recipe, resume, writes=ranks.main)) as run,
        ):
            return _pretrain(recipe, run, ranks, as_json)
    except OrchidError as error:
        if ranks.world == 1:
            raise
        # Before the group goes, for the other ranks then fail of that.
        say(error)
        raise SystemExit(1) from None
    finally:
        ranks.close()


def _pretrain(recipe: RunRecipe, run: Run, ranks: Ranks, as_json: bool) -> Path:
    clock = time.monotonic()
    source = open_source(recipe)
    stages = stages_of(recipe, source, ranks)
    model = build(recipe)
    check_memory(recipe, model, ranks)
    # The first thing written, once nothing is found wrong.
    run.begin(source.inputs() if ranks.main else {})
    length = recipe.stages()[-1].length
    remark(summary(model, source.describe(length)))
    if run.raised:
        remark(f"{run.raised}; the learning rate goes on as in a run of that many steps")
    progress = _train(recipe, source, model, stages, run, ranks)
    others = _alternatives(recipe, source, stages, run, ranks, remark)
    tables = source.evaluate(model, length, ranks, remark, others)
    if ranks.main:
        seconds = {"training": progress.seconds, "all": time.monotonic() - clock}
        _write(run, recipe, source, model, tables, provenance_of(recipe, source, seconds, ranks))
        if as_json:
            values = {"model": str(run.model), "evaluation": [each.values() for each in tables]}
            print(json.dumps(finite(values), indent=2))
            return run.model
        for table in tables:
            print(table.text() + "\n")
        print(f"model: {run.model}")
    return run.model


def _train(
    recipe: RunRecipe,
    source: Source,
    model: OrchidModel,
    stages: list[Stage],
    run: Run,
    ranks: Ranks,
) -> Progress:
    """Train a model in its folder, and leave it with the weights that were best on validation."""
    check = source.validation(model, recipe.stages()[-1].length, ranks)
    progress = fit_of(recipe, source, model, stages, run=run, ranks=ranks, validate=check).run()
    if check and (best := run.load(BEST, ranks.device)) is not None:
        with run.restoring(BEST):
            model.load_state_dict(best["model"])
    merge(model)
    return progress


def _alternatives(
    recipe: RunRecipe,
    source: Source,
    stages: list[Stage],
    run: Run,
    ranks: Ranks,
    tell: Callable[[str], None],
) -> dict[str, OrchidModel]:
    """What a model that went on is held against: the given one, and the same steps from scratch."""
    if recipe.given is None:
        return {}
    given = OrchidModel.from_pretrained(recipe.given).to(ranks.device)
    models = {GIVEN: given}
    for note in source.seen_by(given.provenance):
        tell(note)
    if isinstance(recipe, PretrainRecipe) and recipe.evaluation.scratch:
        tell("training the same shape from scratch")
        fresh = build(recipe, fresh=True)
        folder = run.folder / "scratch"
        # A run in a folder of its own, which a kill of the whole may have left half done.
        resume = (folder / "recipe.json").exists()
        with closing(Run(folder, recipe, resume, writes=ranks.main).begin()) as own:
            _train(recipe, source, fresh, stages, own, ranks)
        models[SCRATCH] = fresh
    return models


def build(recipe: RunRecipe, fresh: bool = False) -> OrchidModel:
    """The model of a recipe before its first step; the same weights for the same seed.

    `fresh` leaves the weights of a given model out, and keeps its shape. Raises RecipeError for a
    given model that does not fit.
    """
    given = None if recipe.given is None else _read_given(recipe)
    encoder = recipe.model if given is None else given.recipe.encoder
    if encoder.filter.longest is None:
        # Decay lengths begin within the first stage's window. Lags that no early window holds would
        # keep the noise that they began with, and windows long enough to read it would be worse.
        encoder = _with_longest(encoder, float(recipe.stages()[0].length))
    lengths = [stage.length for stage in recipe.stages()]
    check_shards(encoder, lengths, recipe.training.sequence_ranks)
    # Right before the weights: nothing else may draw in between.
    torch.manual_seed(recipe.seed)
    head = LettersRecipe(tracks=_tracks(recipe, given))
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head))
    if given is not None and not fresh:
        # A given model without tracks leaves those weights as they were drawn.
        model.load_state_dict({**model.state_dict(), **given.state_dict()})
        adapt(model.encoder, recipe.training.adapter)
    return model


def _tracks(recipe: RunRecipe, given: OrchidModel | None) -> tuple[str, ...]:
    """Names of the tracks that a model predicts: the recipe's, else those of the given model."""
    own = tuple(track.name for track in recipe.tracks) if isinstance(recipe, PretrainRecipe) else ()
    theirs: tuple[str, ...] = ()
    if given is not None and isinstance(given.recipe.head, LettersRecipe):
        theirs = given.recipe.head.tracks
    if own and theirs and own != theirs:
        message = f"{', '.join(own)}, and the given model has {', '.join(theirs)}"
        raise RecipeError("tracks", message, "the same names in the same order, or none")
    return own or theirs


def _with_longest(encoder: OrchidRecipe, longest: float | None) -> OrchidRecipe:
    """A shape with the longest decay length of its filter."""
    filter = encoder.filter.model_copy(update={"longest": longest})
    return encoder.model_copy(update={"filter": filter})


def _read_given(recipe: RunRecipe) -> OrchidModel:
    """The model that a run goes on with, checked against the recipe."""
    given = OrchidModel.from_pretrained(recipe.given or "")
    head = given.recipe.head.kind if given.recipe.head else "no"
    if head != "letters":
        message = f"{recipe.given} has {head} head"
        raise RecipeError("pretrained", message, "a model that pretrain wrote")
    own, theirs = recipe.model, given.recipe.encoder
    # A recipe that leaves `longest` out got it from its first stage (see `build`), so it differs
    # by that alone.
    shapes = own, _with_longest(own, theirs.filter.longest)
    if own != OrchidRecipe() and theirs not in shapes:
        message = "differs from the shape of the model that pretrained names"
        raise RecipeError("model", message, "no [model], or no pretrained")
    if theirs.alphabet != own.alphabet:
        raise RecipeError("pretrained", f"{recipe.given} reads {theirs.alphabet}", own.alphabet)
    return given


def stages_of(recipe: RunRecipe, source: Source, ranks: Ranks) -> list[Stage]:
    """The stages of a recipe over its source; windows are built, and every check made, before any
    step.
    """
    stages = []
    for number, stage in enumerate(recipe.stages()):
        where = f"training.curriculum.{number}" if recipe.training.curriculum else "training"
        distributed.check_batch(stage.batch, stage.accumulate, ranks.readers, f"{where}.batch")
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
        source.trainable(model),
        source.objective(),
        stages,
        recipe=recipe.training,
        optimizer=recipe.optimizer,
        seed=recipe.seed,
        run=run,
        ranks=ranks,
        validate=validate,
    )


def check_memory(recipe: RunRecipe, model: OrchidModel, ranks: Ranks) -> None:
    """Raise RecipeError for a stage whose windows the device cannot hold, before any step.

    Counted are the activations that are kept for the backward pass, which is less than all.
    """
    present = memory_of(ranks.device)
    narrow = activations(recipe.training.precision, ranks.device)
    for number, stage in enumerate(recipe.stages()):
        rows = stage.batch // (stage.accumulate * ranks.readers)
        letters = rows * stage.length // recipe.training.sequence_ranks
        kept = kept_bytes(model.recipe.encoder, recipe.training.checkpointing, narrow)
        if letters * kept > present:
            curriculum = recipe.training.curriculum
            where = f"training.curriculum.{number}.length" if curriculum else "data.length"
            need = f"{letters * kept / 1e9:,.0f} GB of {present / 1e9:,.0f} GB"
            message = f"{rows:,} x {stage.length:,} nt need over {need}"
            possible = "shorter windows, more accumulate, checkpointing, more sequence_ranks"
            raise RecipeError(where, message, possible)


def kept_bytes(encoder: OrchidRecipe, checkpointing: bool, narrow: torch.dtype) -> int:
    """Bytes a letter that are kept for the backward pass: the stream before each half of a block,
    and z, v, s2 and y of its mixer; with checkpointing the stream before each block alone.
    """
    layer = 4 if checkpointing else 8 + 4 * narrow.itemsize
    return encoder.width * encoder.depth * layer


def summary(model: OrchidModel, lines: list[str]) -> str:
    """What is about to be trained on what, in a few lines."""
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    words = f"{parameters:,} parameters"
    if trained < parameters:
        words += f", {trained:,} of them trained"
    return "\n".join([f"{words}; {lines[0]}", *lines[1:]])


def provenance_of(
    recipe: RunRecipe, source: Source, seconds: dict[str, float], ranks: Ranks
) -> dict[str, Any]:
    """Where a model comes from: versions, time, recipe and the source's own words (`origin`)."""
    first, stages = 0, []
    for stage in recipe.stages():
        stages.append((stage.length, stage.batch, first, first + stage.steps))
        first += stage.steps
    given = None if recipe.given is None else OrchidModel.from_pretrained(recipe.given)
    machine = f"{torch.get_num_threads()} CPU threads"
    if ranks.device.type == "cuda":
        machine = torch.cuda.get_device_name()
    values = {
        "version": __version__,
        "licence": recipe.licence or (given.provenance.licence if given else None),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{ranks.world} x {machine}",
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "recipe": json.loads(recipe.model_dump_json()),
        **source.origin(recipe.stages()[-1].length, stages),
    }
    if given is not None:
        values["pretrained"] = {"hash": given.hash()}
        values["genomes"] = join_genomes(values["genomes"], given.provenance.plain("genomes"))
    return values


def join_genomes(own: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a model saw that went on with another: its own genomes, then those of the given one.

    A genome of both, by checksum, is written once, with the letters that either saw.
    """
    mine = {genome["sha256"]: genome for genome in own}
    others = []
    for genome in given:
        if genome["sha256"] not in mine:
            others.append(genome)
            continue
        seen = mine[genome["sha256"]]["seen"]
        for contig, spans in genome["seen"].items():
            both = np.array([*seen.get(contig, []), *spans], np.int64).reshape(-1, 2)
            seen[contig] = np.stack(union(both[:, 0], both[:, 1]), 1).tolist()
    return [*own, *others]


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
    origin = Provenance.of(provenance, run.model)
    title = f"Orchid encoder pretrained on {source.name}"
    model.save_pretrained(run.model, origin, model_card(title, model, origin))
    run.write(run.folder / "evaluation.json", values)
    if source.has_curve:
        with atomic_file(run.folder / "curve.png") as part:
            draw.save(draw.training_curve(run.lines(), values), part)
