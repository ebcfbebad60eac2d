"""What a user can mend, as one line: ``<where>: <what was found>; <what was possible>``.

Everything else (a bug of ours) is an ordinary exception with its traceback.
"""


class OrchidError(Exception):
    """A fault that the user can mend; the command line prints it as one line and exits with 1.

    Parameters: `where` names the file, key or argument; `found` what stood there; `possible` what
    would have been right, or the command that mends it.
    """

    def __init__(self, where: object, found: str, possible: str = "") -> None:
        self.where, self.found, self.possible = str(where), found, possible
        super().__init__(f"{where}: {found}; {possible}" if possible else f"{where}: {found}")

    def __reduce__(self):
        return type(self), (self.where, self.found, self.possible)


class InputError(OrchidError):
    """A file that is missing, damaged or not what it should be."""


class RecipeError(OrchidError):
    """A recipe with a wrong key, type, kind or value."""


class MachineError(OrchidError):
    """This machine cannot do it: a missing extra, backend, device, or a full disk."""


class TrainingError(OrchidError):
    """A run that cannot go on: a loss that is not finite, a changed recipe on resume."""


def missing_extra(package: str, extra: str) -> MachineError:
    """The error for an optional library that is not installed."""
    return MachineError(package, "is not installed", f'pip install "orchid-genomics[{extra}]"')


class NumericError(OrchidError):
    """NaN or infinity where a number was needed; names the tensor."""
