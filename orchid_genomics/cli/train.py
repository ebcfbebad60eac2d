"""Commands that train: pretrain, plan."""

import os
import sys

import click

from orchid_genomics.cli.options import recipe, run, taking


@click.command(short_help="Train an encoder on genomes, print it beside baselines.")
@taking(recipe + run)
@click.option(
    "--processes",
    default=1,
    type=click.IntRange(min=1),
    show_default=True,
    help="Processes of this machine, by torchrun: one a GPU, or one a CPU core (faster there than threads).",
)
def pretrain(
    recipe: str, overrides: tuple[str, ...], out: str | None, resume: bool, processes: int
) -> None:
    """Pretrain an Orchid encoder on the genomes of RECIPE (TOML), then print it beside its
    baselines.

    Contigs are split whole; BED files in the recipe are 0-based half-open. The run folder holds
    recipe.json, log.jsonl, checkpoints/ and model/. SIGTERM or Ctrl-C saves and exits.

    \b
    For several machines:
      torchrun --nnodes N --nproc-per-node GPUS -m orchid_genomics pretrain RECIPE
    """
    from orchid_genomics.tasks.pretrain import load, run_recipe
    from orchid_genomics.tasks.pretrain import pretrain as task

    if processes == 1 or "WORLD_SIZE" in os.environ:
        task(recipe, out, overrides, resume)
        return
    load(recipe, run_recipe, overrides)  # a wrong recipe is said once, here
    words = [word for override in overrides for word in ("--set", override)]
    words += ["-o", out] if out else []
    words += ["--resume"] if resume else []
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.execv(
        sys.executable,
        [sys.executable, *torchrun, "-m", "orchid_genomics", "pretrain", recipe, *words],
    )


@click.command(short_help="What pretraining would take, before any of it.")
@taking(recipe)
@click.option(
    "--steps", default=3, type=click.IntRange(min=1), show_default=True, help="Steps to measure."
)
def plan(recipe: str, overrides: tuple[str, ...], steps: int) -> None:
    """Say what pretraining RECIPE would take, before any of it: windows, letters, parameters,
    memory, time.

    Checks every file and split, then measures a few real steps of each length. Writes nothing.
    Coordinates that it prints are 1-based; BED files in the recipe are 0-based half-open.
    """
    from orchid_genomics.tasks.plan import plan as task

    for line in task(recipe, overrides, steps):
        click.echo(line)


COMMANDS = (plan, pretrain)
