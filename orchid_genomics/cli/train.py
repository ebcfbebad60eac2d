"""Commands that train models and describe them: init, plan, pretrain, finetune, info, models."""

import json
import os
from dataclasses import asdict
from functools import partial

import click

from orchid_genomics.cli import options, process
from orchid_genomics.cli.command import Command, answer, echo

command = partial(click.command, cls=Command)


@command(short_help="Write a first recipe that fits your files.")
@options.genome
@click.option(
    "--annotation",
    type=click.Path(),
    metavar="GFF",
    help="GFF3 or GenBank: coding and intergenic sequence are reported apart.",
)
@click.option(
    "--labels",
    type=click.Path(),
    metavar="TABLE",
    help="A table of labelled sequences (TSV or CSV): the recipe is one for finetune.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(),
    metavar="RECIPE",
    help="The recipe to write; default the name of GENOME or TABLE with .toml, here.",
)
@click.option(
    "--minutes",
    default=10.0,
    show_default=True,
    help="What pretraining may take on this machine; from 30 on a larger model is proposed.",
)
@options.answers
def init(
    genome: str,
    annotation: str | None,
    labels: str | None,
    out: str | None,
    minutes: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a commented recipe (TOML) that fits GENOME, a FASTA: its contigs, a split by whole
    chromosomes, and as many steps as a few real ones on this machine say fit in --minutes.

    The recipe runs as it is: with pretrain, or with finetune where --labels is given. BEDs that it
    needs (0-based half-open) are written beside it, into RECIPE's name with .beds. A recipe that
    is there is not written over.
    """
    from orchid_genomics.tasks.init import init as task

    written = task(genome, annotation, labels, out, minutes)
    answer(asdict(written), written.lines(), as_json=as_json, quiet=quiet)


@command(short_help="What a recipe would take, before any of it.")
@options.recipe
@click.option(
    "--steps", default=3, type=click.IntRange(min=1), show_default=True, help="Steps to measure."
)
@options.as_json
def plan(recipe: str, overrides: tuple[str, ...], steps: int, as_json: bool) -> None:
    """Say what pretrain or finetune with RECIPE would take, before any of it: windows or rows,
    letters, parameters, what is tried, memory, time.

    Checks every file and split, then times a few real steps at each length, or of each arm. Writes
    nothing.
    Positions that it prints are 1-based; BED files in the recipe are 0-based half-open.
    """
    from orchid_genomics.tasks.plan import plan as task

    for line in task(recipe, overrides, steps, as_json):
        echo(line)


@command(short_help="Train an encoder on genomes, print it beside baselines.")
@options.recipe
@options.run_folder
@click.option(
    "--processes",
    default=1,
    type=click.IntRange(min=1),
    show_default=True,
    help="Processes on this machine, by torchrun: one for each GPU or CPU core (on a CPU faster "
    "than threads).",
)
@click.option(
    "--from",
    "given",
    type=options.ModelName(),
    metavar="MODEL",
    help="Go on from a model, as `pretrained` in the recipe does: a folder, a name of models, or "
    "the hub's OWNER/NAME.",
)
@options.answers
def pretrain(
    recipe: str,
    overrides: tuple[str, ...],
    out: str | None,
    resume: bool,
    processes: int,
    given: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Pretrain an Orchid encoder on the genomes of RECIPE (TOML), then print it beside its
    baselines.

    Contigs are held out whole; BED files in the recipe are 0-based half-open. The run folder holds
    recipe.json, log.jsonl, checkpoints/ and model/. SIGTERM or Ctrl-C saves and exits.

    \b
    For several machines:
      torchrun --nnodes N --nproc-per-node GPUS -m orchid_genomics pretrain RECIPE
    """
    from orchid_genomics.tasks.pretrain import load, run_recipe
    from orchid_genomics.tasks.pretrain import pretrain as task

    if given is not None:
        overrides = (*overrides, f"pretrained={json.dumps(_beside(given))}")
    if processes == 1 or process.is_rank():
        task(recipe, out, overrides, resume, quiet=quiet, as_json=as_json)
        return
    # A wrong recipe is told once, here, and not by every process.
    load(recipe, run_recipe, overrides)
    words = ["pretrain", recipe]
    for override in overrides:
        words += ["--set", override]
    words += ["-o", out] if out else []
    for flag, is_given in (("--resume", resume), ("--json", as_json), ("--quiet", quiet)):
        words += [flag] if is_given else []
    process.replace_by_ranks(processes, words)


def _beside(model: str) -> str:
    """A MODEL of the command line as a recipe names it: paths there are relative to the recipe."""
    places = (model, os.path.join(model, "model"))
    # As everywhere: a folder that holds no model hides no name.
    is_folder = any(os.path.isfile(os.path.join(place, "config.json")) for place in places)
    return os.path.abspath(model) if is_folder else model


@command(short_help="Train on labelled data, print the answer beside others.")
@options.recipe
@options.run_folder
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Fits side by side on a CPU, each in a process of one thread.  [default: as many as there "
    "are cores, or OMP_NUM_THREADS; 1 where rows are long]",
)
@options.answers
@click.option(
    "--arm",
    type=click.Choice(["encoder", "cnn"]),
    help="What model/ holds, as `arm` in the recipe; the other is in arms/.  [default: encoder]",
)
def finetune(
    recipe: str,
    overrides: tuple[str, ...],
    out: str | None,
    resume: bool,
    processes: int | None,
    as_json: bool,
    quiet: bool,
    arm: str | None,
) -> None:
    """Train on the labelled data of RECIPE (TOML), then print the answer beside its alternatives.

    Data are a table, BEDs on a genome, a FASTA for each class, or HDF5; positions are 0-based
    half-open. The first line printed says whether the encoder beats the best alternative. The run
    folder holds recipe.json, fits/, model/, arms/, evaluation.json and report.html. SIGTERM or
    Ctrl-C saves and exits.
    """
    from orchid_genomics.tasks.finetune import finetune as task

    if arm is not None:
        overrides += (f"arm={arm}",)
    task(recipe, out, overrides, resume, processes=processes, quiet=quiet, as_json=as_json)


@command(short_help="What a model is and how it scored.")
@options.model
@options.as_json
def info(model: str, as_json: bool) -> None:
    """Say what MODEL is: shape, parameters, hash, licence, what it was trained on, how it scored.

    MODEL is a folder, a name of `models`, or the hub's OWNER/NAME.

    Intervals are counted in 0-based half-open coordinates.
    """
    from orchid_genomics.tasks.info import info as task

    for line in task(model, as_json):
        echo(line)


@command(short_help="The models that come along, by name.")
@options.as_json
def models(as_json: bool) -> None:
    """List the models that come along with the package: name, genome, masked bits beside those of
    the best count model, window, licence, size.

    \b
    The MODEL of any command, and `pretrained` in a recipe, is one of
      a folder    that pretrain or finetune wrote, or the run folder around it; goes first
      a name      of this list
      OWNER/NAME  a model of the hub, or OWNER/NAME@REVISION
                  (pip install "orchid-genomics[hub]"); read from the hub's cache
                  where there is no network

    Coordinates in what models write are 0-based half-open, unless a command says otherwise.
    """
    from orchid_genomics.tasks.models import models as task

    for line in task(as_json):
        echo(line)


COMMANDS = (init, plan, pretrain, finetune, info, models)
