"""Commands that learn from labelled data: finetune, evaluate."""

import click

from orchid_genomics.cli.train import overrides, recipe


@click.command()
@recipe
@overrides
@click.option("-o", "--out", metavar="RUN", help="Run folder; default runs/<name of the recipe>.")
@click.option("--resume", is_flag=True, help="Go on with the run in that folder from its newest checkpoints.")
def finetune(recipe: str, overrides: tuple[str, ...], out: str | None, resume: bool) -> None:
    """Train on the labelled data of RECIPE (TOML), then print the answer beside its alternatives.

    Data are a table, BEDs on a genome, a FASTA for each class, or HDF5; places are 0-based half-open. The first line
    printed says whether the encoder beats the best alternative. The run folder holds recipe.json, fits/, model/,
    evaluation.json and report.html. SIGTERM or Ctrl-C saves and exits.
    """
    from orchid_genomics.tasks.finetune import finetune as task

    task(recipe, out, overrides, resume)


COMMANDS = (finetune,)
