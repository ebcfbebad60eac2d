"""Options that several commands share, so that they read the same everywhere."""

from collections.abc import Callable
from functools import reduce

import click

model_and_genome = (
    click.argument("model", type=click.Path()),
    click.argument("genome", type=click.Path()),
)
resumable = (
    click.option("--shard", metavar="I/N", help="Answer one of N parts of the job, for merge."),
    click.option("--resume", is_flag=True, help="Go on with the parts that a killed run left in OUT.parts."),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the model runs; auto: a GPU where there is one.",
    ),
)
quiet = (click.option("--quiet", is_flag=True, help="No progress and no summary."),)


def taking(options: tuple) -> Callable:
    """All of some options or arguments, in order."""
    return lambda command: reduce(lambda wrapped, option: option(wrapped), reversed(options), command)
