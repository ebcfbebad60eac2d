"""Commands that learn from labelled data: finetune, evaluate."""

import click

from orchid_genomics.cli.options import device, recipe, run, taking


@click.command(short_help="Train on labelled data, print the answer beside others.")
@taking(recipe + run)
def finetune(recipe: str, overrides: tuple[str, ...], out: str | None, resume: bool) -> None:
    """Train on the labelled data of RECIPE (TOML), then print the answer beside its alternatives.

    Data are a table, BEDs on a genome, a FASTA for each class, or HDF5; places are 0-based
    half-open. The first line printed says whether the encoder beats the best alternative. The run
    folder holds recipe.json, fits/, model/, evaluation.json and report.html. SIGTERM or Ctrl-C
    saves and exits.
    """
    from orchid_genomics.tasks.finetune import finetune as task

    task(recipe, out, overrides, resume)


@click.command(short_help="Score a fine-tuned model on labelled data.")
@click.argument("model", type=click.Path())
@click.argument("data", type=click.Path())
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Rows to score; default see above.",
)
@click.option(
    "--sequence", metavar="COLUMN", help="The column of sequences of a table; default sequence."
)
@click.option("--label", metavar="COLUMN", help="The column of labels of a table; default label.")
@click.option("-o", "--out", metavar="JSON", help="Write the scores as JSON, too.")
@taking(device)
def evaluate(
    model: str,
    data: str,
    split: str | None,
    sequence: str | None,
    label: str | None,
    out: str | None,
    device: str,
) -> None:
    """Score MODEL, a folder that finetune wrote, on DATA: a table (TSV, CSV), HDF5, or a recipe
    with [data].

    By default the test rows of data that have a split (contigs of a recipe, a split column, or the
    split of fine-tuning for its own files), else all rows. Thresholds are those that fine-tuning
    chose on its validation rows. Places in DATA are 0-based half-open.
    """
    from orchid_genomics.tasks.evaluate import evaluate as task

    columns = {
        name: column for name, column in (("sequence", sequence), ("label", label)) if column
    }
    for line in task(model, data, split, out, columns, device):
        click.echo(line)


COMMANDS = (finetune, evaluate)
