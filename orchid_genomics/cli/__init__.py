"""Words to calls: every command is one call of a task.

The trap: a help text must not wait for torch, so nothing heavy is imported before a command runs.
"""

import contextlib
import sys
import warnings
from typing import TextIO

import click

from orchid_genomics import __version__
from orchid_genomics.cli import interpret, judge, prepare, process, score, train
from orchid_genomics.errors import OrchidError, one_line, reason, say

INTERRUPTED = 130  # what a shell gives for a program that SIGINT ended


class Ordered(click.Group):
    """Commands in the order of work, not of the alphabet."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="orchid-genomics")
def group() -> None:
    """Long-sequence DNA models: from a genome to a trained Orchid encoder.

    Coordinates are 0-based half-open (BED) unless a help text says otherwise.
    """


for family in (prepare, train, score, judge, interpret):
    for command in family.COMMANDS:
        group.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit 1, wrong words exit 2."""
    warnings.showwarning = _note
    process.open_streams()
    process.settle()
    try:
        # Not standalone, or click would exit by itself and say errors in its own words.
        group.main(arguments, prog_name="orchid-genomics", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("stopped: interrupted")
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Of a help text; a command's own are met in Command.
        process.discard_output()
        _say(f"error: standard output: cannot be written ({reason(error)})")
        sys.exit(1)
    except OrchidError as error:
        # Where stderr is gone too, nobody is left to tell.
        with contextlib.suppress(OSError):
            say(error)
        sys.exit(1)
    process.end_rank()


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str = "",
    lineno: int = 0,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line, without the place in our code that raised it."""
    kind = "note" if category.__name__ == "GenomeNote" else "warning"
    _say(one_line(f"{kind}: {message}"))
