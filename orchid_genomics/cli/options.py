"""Options that several commands share, so that they read the same everywhere."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

model_and_genome = (
    click.argument("model", type=click.Path()),
    click.argument("genome", type=click.Path()),
)
recipe = (
    click.argument("recipe", type=click.Path()),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one key, such as model.depth=12; may be repeated.",
    ),
)
run = (
    click.option(
        "-o", "--out", metavar="RUN", help="Run folder; default runs/<name of the recipe>."
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with the run in that folder from its newest checkpoint.",
    ),
)
device = (
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the model runs; auto: a GPU where there is one.",
    ),
)
quiet = (click.option("--quiet", is_flag=True, help="No progress and no summary."),)
resumable = (
    click.option("--shard", metavar="I/N", help="Answer one of N parts of the job, for merge."),
    click.option(
        "--resume", is_flag=True, help="Go on with the parts that a killed run left in OUT.parts."
    ),
    *device,
    *quiet,
)
RESUMED = """\b
Killed, a job goes on with --resume. On a cluster, run --shard 1/10 to 10/10
with one OUT, then: orchid-genomics merge OUT.parts -o OUT
Either way the bytes, decompressed, are those of one run. The summary that is
printed at the end lies in OUT.summary.json.
"""


def taking(options: tuple) -> Callable:
    """All of some options or arguments, in order."""
    return lambda command: reduce(
        lambda wrapped, option: option(wrapped), reversed(options), command
    )


def out(metavar: str, help: str, **more: Any) -> Callable:
    """The one thing that a command must write."""
    return click.option(
        "-o", "--out", required=True, type=click.Path(), metavar=metavar, help=help, **more
    )


def seed(what: str) -> Callable:
    """What chance decides."""
    return click.option("--seed", default=0, show_default=True, help=f"Decides {what}.")


def listed(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Words between commas; none when not given."""
    return tuple(text.split(",")) if text else ()


def lengths(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Numbers of letters between commas."""
    if text is None:
        return None
    words = text.replace("_", "").split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise click.BadParameter(f"{text!r} is not one or more lengths, such as 1024 or 1024,8192")
    return tuple(int(word) for word in words)
