"""Options and arguments that several commands share, as decorators, so that each reads the same
wherever it stands.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator; the first stands first in the help."""
    # What click applies last stands first in its help.
    return lambda function: reduce(
        lambda decorated, option: option(decorated), reversed(decorators), function
    )


def file_argument(name: str, **more: Any) -> Decorator:
    """An argument that is a file or a folder, or several."""
    return click.argument(name, type=click.Path(), **more)


class ModelName(click.Path):
    """A model: Tab completes the names of those that come along, and folders."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Here, for every command reads this module, and names are asked for at Tab alone.
        from orchid_genomics.tasks.models import model_names

        names = [name for name in model_names() if name.startswith(incomplete)]
        # Folders first: for bash they replace what came before.
        folders = CompletionItem(incomplete, type="dir")
        return [folders, *(CompletionItem(name) for name in names)]


model = click.argument("model", type=ModelName())
genome = file_argument("genome")
elements = file_argument("elements")
aliases = click.option(
    "--aliases",
    type=click.Path(),
    metavar="FILE",
    help="Other names of the genome's contigs: two names of a contig in each line, between tabs.",
)
circular = click.option(
    "--circular",
    multiple=True,
    metavar="CONTIG|FILE",
    help="A contig without ends, read round its origin, or a GFF3 or GenBank file that says which "
    "are; may be repeated.",
)

relatives = click.option(
    "--relatives",
    multiple=True,
    metavar="FASTA",
    type=click.Path(),
    help="A related genome: the stretch of it that belongs beside a window is read with it, by a "
    "model that has pointers; may be repeated.",
)

recipe = together(
    file_argument("recipe"),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one key, such as model.depth=12; may be repeated.",
    ),
)
run_folder = together(
    click.option(
        "-o", "--out", metavar="RUN", help="Run folder; default runs/<name of the recipe>."
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue the run in that folder from its newest checkpoint.",
    ),
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the model runs; auto: a GPU if there is one.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="The answer as one JSON value, for programs."
)
quiet = click.option("--quiet", is_flag=True, help="No progress and no summary.")
answers = together(as_json, quiet)
job = together(
    click.option("--shard", metavar="I/N", help="Do part I of N of the job, for merge."),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue from the parts that a killed run left in OUT.parts.",
    ),
    aliases,
    circular,
    device,
    answers,
)
JOB_NOTE = """\b
A killed job continues with --resume. On a cluster, run --shard 1/10 to 10/10
with the same OUT, then: orchid-genomics merge OUT.parts -o OUT
Split or resumed, the output is byte-identical once decompressed. The summary
printed at the end is also in OUT.summary.json.
"""


def out(metavar: str, help: str, *, required: bool = True, **more: Any) -> Decorator:
    """The one thing that a command writes."""
    return click.option(
        "-o", "--out", required=required, type=click.Path(), metavar=metavar, help=help, **more
    )


def json_out(help: str) -> Decorator:
    """Numbers that are printed, as a file too."""
    return click.option("-o", "--out", type=click.Path(), metavar="JSON", help=help)


def seed(what: str) -> Decorator:
    """What chance decides."""
    return click.option("--seed", default=0, show_default=True, help=f"Decides {what}.")


def scores(help: str) -> Decorator:
    """Scores of variants, between commas."""
    return click.option("--scores", metavar="A,B", callback=split_names, help=help)


def windows(help: str) -> Decorator:
    """Lengths of windows, between commas."""
    return click.option("--window", "windows", metavar="N,M", callback=split_lengths, help=help)


def split_names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Words between commas; none when not given."""
    return tuple(text.split(",")) if text else ()


def split_lengths(
    _: click.Context, __: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """Numbers of letters between commas."""
    if text is None:
        return None
    # 131_072 is how recipes and Python may write it.
    words = text.replace("_", "").split(",")
    # Python reads no number of thousands of digits.
    if not all(word.strip().isdecimal() and len(word) < 100 for word in words):
        raise click.BadParameter(
            f"{text[:40]!r} is not one or more lengths, such as 1024 or 1024,8192"
        )
    return tuple(int(word) for word in words)
