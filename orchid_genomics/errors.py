"""What a user can mend, as one line: ``<where>: <what was found>; <what was possible>``.

Everything else (a bug of ours) is an ordinary exception with its traceback.
"""

import os
import sys
import time

PATIENCE = 10.0  # seconds in which rank 0 is expected to meet what another rank met


class OrchidError(Exception):
    """A fault that the user can mend; the command line prints it as one line and exits with 1.

    Parameters: `where` names the file, key or parameter; `found` what stood there; `possible` what
    would have been right, or the command that mends it. A parameter of a call is named as in Python
    (`window`; within `found` and `possible` between backticks); the command line makes it a flag.
    """

    def __init__(self, where: object, found: str, possible: str = "") -> None:
        self.where, self.found, self.possible = str(where), found, possible
        super().__init__(f"{where}: {found}; {possible}" if possible else f"{where}: {found}")

    def __reduce__(self):
        return type(self), (self.where, self.found, self.possible)


class GenomeNote(UserWarning):
    """What a user should hear once about their files, though the work goes on."""


class InputError(OrchidError):
    """A file that is missing, damaged or not what it should be."""


class NoValueError(InputError):
    """All was read and answered, and none of the answers is a value that the output could hold."""


class RecipeError(OrchidError):
    """A recipe with a wrong key, type, kind or value."""


class MachineError(OrchidError):
    """This machine cannot do it: a missing extra, backend, device, or a full disk."""


class TrainingError(OrchidError):
    """A run that cannot go on: a loss that is not finite, a changed recipe on resume."""


def missing_extra(package: str, extra: str) -> MachineError:
    """The error for an optional library that is not installed."""
    return MachineError(package, "is not installed", f'pip install "orchid-genomics[{extra}]"')


def reason(error: BaseException) -> str:
    """What the system said, in its own words; else the first line of the error."""
    return (
        getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    )


class NumericError(OrchidError):
    """NaN or infinity where a number was needed; names the tensor."""


def say(error: OrchidError, patience: float = PATIENCE) -> None:
    """Print an error as one line on stderr; once, where `torchrun` started many of us.

    Rank 0 speaks at once, then exits, and torchrun ends the others, which wait in silence. So one
    that is still there after `patience` seconds (twice that, unless the first of its machine) met a
    fault of its own, and says so.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    who = ""
    if rank:
        time.sleep(patience if os.environ.get("LOCAL_RANK") == "0" else 2 * patience)
        who = f"rank {rank} of {world}: "
    print(one_line(f"error: {who}{error}"), file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text without line breaks or other signs that a terminal would obey, each escaped: names of
    files and keys of a stranger may hold any.
    """
    signs = [sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text]
    return "".join(signs)
