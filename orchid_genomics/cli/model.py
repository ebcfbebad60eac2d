"""Commands about a trained model: info."""

import click


@click.command(short_help="What a model folder holds.")
@click.argument("model", type=click.Path())
def info(model: str) -> None:
    """Say what a MODEL folder holds: shape, parameters, hash, what it was trained on, how it
    scored.

    Intervals are counted in 0-based half-open coordinates.
    """
    from orchid_genomics.tasks.info import info as task

    for line in task(model):
        click.echo(line)


COMMANDS = (info,)
