"""What every command does besides its one call: it never writes over its input, what the system
refuses is one line, and an error that names a parameter names its flag.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from orchid_genomics.cli import process
from orchid_genomics.errors import InputError, MachineError, OrchidError, reason
from orchid_genomics.files import finite, require_no_device

BROKEN_PIPE = 141  # what a shell gives for a program that SIGPIPE ended
_QUOTED = re.compile(r"`(\w+)`")


class Command(click.Command):
    """A command whose errors name its flags.

    Below the command line an error names the parameter of a call (`window`), which is what a caller
    from Python wrote. Here, and nowhere else, that becomes what a user of a terminal wrote
    (`--window`): the `where` of an error, if it is a parameter's name, and every name between
    backticks in its text.
    """

    def invoke(self, context: click.Context) -> Any:
        try:
            self._check_streams(context)
            self._check_outputs(context)
            self._check_answer(context)
            result = super().invoke(context)
            # Writes out what a task has printed, so that a full disk is met here and not at exit.
            echo("", end="")
            return result
        except OrchidError as error:
            raise self._in_flags(error, context) from None
        except EOFError as error:
            # click would take it for Ctrl-D at a prompt and leave without a word.
            raise InputError(self.name, f"an input ends too early ({reason(error)})") from error
        except BrokenPipeError:
            # A reader such as `head` has enough; that is no fault to speak of.
            process.discard_output()
            raise SystemExit(BROKEN_PIPE) from None
        except OSError as error:
            raise self._of_system(error) from error
        except MemoryError as error:
            raise MachineError(self.name, "not enough memory", "a smaller window") from error

    def _of_system(self, error: OSError) -> OrchidError:
        """What the system refused, where nobody closer said what it was for."""
        if error.filename is not None:
            return MachineError(error.filename, f"cannot be used ({reason(error)})")
        return MachineError(self.name, reason(error))

    def _check_streams(self, context: click.Context) -> None:
        """Raises InputError where a command is to read or write a stream that is closed."""
        for parameter in self.params:
            stream = "stdout" if parameter.name == "out" else "stdin"
            if context.params.get(parameter.name) == "-" and stream in process.CLOSED:
                name = "standard output" if stream == "stdout" else "standard input"
                raise InputError(name, "is closed", "a file, or a pipe")

    def _check_outputs(self, context: click.Context) -> None:
        """Raises InputError where a file to write is one that is read, or is a device or pipe."""
        paths = [each for each in self.params if isinstance(each.type, click.Path)]
        inputs = [each for each in paths if each.name != "out"]
        for out in _files(context.params.get("out")):
            require_no_device(out, "the name of a file")
            for parameter in inputs:
                if any(_same(out, source) for source in _files(context.params[parameter.name])):
                    raise InputError("out", f"{out} is the input", "another name")

    def _check_answer(self, context: click.Context) -> None:
        """Raises InputError where the answer and the output would both go to standard output."""
        if context.params.get("as_json") and "-" in _words(context.params.get("out")):
            raise InputError("as_json", "`out` is standard output already", "`out` a file")

    def _in_flags(self, error: OrchidError, context: click.Context) -> OrchidError:
        # Of -o and --out the long one.
        flags = {each.name: max(each.opts, key=len) for each in self.params if _is_option(each)}
        given = {str(path) for each in context.params.values() for path in _files(each)}
        # A file may be called `window`: what the user typed as a value stays as it is.
        name, space, rest = error.where.partition(" ")
        where = error.where
        if name in flags and error.where not in given:
            where = flags[name] + space + rest

        def flag(quoted: re.Match[str]) -> str:
            return flags.get(quoted[1], quoted[0])

        return type(error)(where, _QUOTED.sub(flag, error.found), _QUOTED.sub(flag, error.possible))


def echo(line: str, end: str = "\n") -> None:
    """Print a line of what a command answers. Raises MachineError where nothing can be written."""
    try:
        print(line, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        process.discard_output()
        message = f"cannot be written ({reason(error)})"
        raise MachineError("standard output", message) from None


def answer(values: Any, lines: Iterable[str], *, as_json: bool, quiet: bool = False) -> None:
    """Print what a command answers: as one JSON value, or as lines unless `quiet`."""
    if as_json:
        echo(json.dumps(finite(values), indent=2))
        return
    for line in () if quiet else lines:
        echo(line)


def answer_job(summary: Any, as_json: bool) -> None:
    """Print the summary of a job as JSON, where that is asked for and there is one.

    A shard has none: `merge` sums up. Lines for a person went to stderr.
    """
    if as_json and summary is not None:
        echo(json.dumps(finite(summary), indent=2))


def _is_option(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option)


def _words(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _files(value: Any) -> Iterator[Path]:
    """The paths that a parameter holds: none, one, or several."""
    for each in _words(value):
        if isinstance(each, str) and each not in ("", "-"):
            yield Path(each)


def _same(out: Path, source: Path) -> bool:
    """Whether an output is an input, or a file of a folder that is one, such as a model's."""
    try:
        inside = source.is_dir() and out.is_file() and source.resolve() in out.resolve().parents
        return inside or out.samefile(source)
    except OSError:
        return False
