"""Words to calls: every command is one call of a task; nothing heavy is imported before a command
runs.
"""

import sys
import warnings

import click

from orchid_genomics import __version__
from orchid_genomics.cli import (
    elements,
    explain,
    genome,
    judging,
    learning,
    model,
    process,
    train,
    variants,
)
from orchid_genomics.errors import OrchidError, say


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


for family in (genome, train, model, learning, variants, judging, elements, explain):
    for command in family.COMMANDS:
        group.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit 1, wrong words exit 2."""
    warnings.showwarning = _note
    process.settle()
    try:
        group.main(arguments, prog_name="orchid-genomics", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OrchidError as error:
        say(error)
        sys.exit(1)


def _note(message: Warning | str, category: type[Warning], *_: object) -> None:
    """A warning as one line, without the place in our code that raised it."""
    click.echo(f"{'note' if category.__name__ == 'GenomeNote' else 'warning'}: {message}", err=True)
