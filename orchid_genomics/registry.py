"""Choices by name (heads, backends, scores ...): ours, and those that other packages add.

Another package adds one by a call (``HEADS["mine"] = Mine``, or ``@HEADS.register("mine")``), or,
so that every command has it, by an entry point in its ``pyproject.toml``::

    [project.entry-points."orchid_genomics.heads"]
    mine = "their_package:Mine"

The trap: an entry point is imported when it is first looked up, not when names are listed, so that
a help page that lists them waits for nobody's libraries.
"""

from collections.abc import Callable, Iterator, MutableMapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from orchid_genomics.errors import MachineError, OrchidError, RecipeError, reason

Value = TypeVar("Value")
Registered = TypeVar("Registered")


class Registry(MutableMapping[str, Value]):
    """What is registered under each name, in the order of registration, then of entry points.

    Parameters
    ----------
    word : what one is, such as "head"; its entry points are those of the group
        ``orchid_genomics.<word>s``.
    """

    def __init__(self, word: str) -> None:
        self.word, self.group = word, f"orchid_genomics.{word}s"
        self._own: dict[str, Value] = {}

    @cached_property
    def _outside(self) -> dict[str, EntryPoint]:
        """Entry points by name, not yet imported; read once, for it goes through all packages."""
        return {entry.name: entry for entry in entry_points(group=self.group)}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """A decorator that registers a class or function under a name that is free.

        Raises
        ------
        ValueError : where the name is taken.
        """

        def add(value: Registered) -> Registered:
            if name in self._own:
                raise ValueError(f"there is a {self.word} {name!r} already")
            self._own[name] = value  # type: ignore[assignment]  # typed where it is looked up
            return value

        return add

    def present(self) -> dict[str, Value]:
        """What code that has run registered: all but the entry points not yet looked up."""
        return dict(self._own)

    def pick(self, name: str, where: object, error: type[OrchidError] = RecipeError) -> Value:
        """What is registered under a name.

        Parameters
        ----------
        where : the file, key or parameter that holds the name.
        error : the kind of error for a name that nobody registered; it lists the choices.
        """
        if name not in self:
            raise error(where, f"unknown {self.word} {name!r}", f"possible: {', '.join(self)}")
        return self[name]

    def __getitem__(self, name: str) -> Value:
        if name not in self._own:
            # What was registered by code that ran stands before an entry point of the same name.
            self._own[name] = self._load(self._outside[name])
        return self._own[name]

    def _load(self, entry: EntryPoint) -> Value:
        try:
            return entry.load()
        # The import of another package may fail in any way.
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            message = f"the {self.word} {entry.name!r} cannot be loaded ({reason(error)})"
            raise MachineError(package, message, "mend or uninstall that package") from error

    def __setitem__(self, name: str, value: Value) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._outside

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._outside if name not in self._own)

    def __len__(self) -> int:
        return len(self._own.keys() | self._outside.keys())
