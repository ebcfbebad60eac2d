"""A run folder: recipe.json, inputs.json, log.jsonl, checkpoints/ and model/; every file is whole
or not there.

The trap: a disk that fills, or a kill, must cost at most the steps since the last checkpoint, so
everything is written under a temporary name and renamed.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from orchid_genomics.errors import InputError, TrainingError, reason
from orchid_genomics.files import Lock, atomic_file, is_regular, writable, write_json

NEWEST, BEST = "newest.pt", "best.pt"
# What torch raises for weights, and for moments of an optimizer, of another model.
_MISFITS = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)
_SHOWN = 4  # changed keys that a message lists
# What may grow on resume: the steps of a run, or of the last stage of its curriculum.
_LONGER = re.compile(r"training\.(?:steps|curriculum\.(\d+)\.steps)")


class Run:
    """The folder of one run, checked when made and written from `begin` on.

    Parameters
    ----------
    folder
        Where it lies, or is to lie.
    recipe
        The whole recipe of the run.
    resume
        Whether to go on with the run that the folder holds.
    writes
        False on ranks that only read.

    Raises
    ------
    TrainingError
        The folder holds a run already; or, to resume, none, or one of another recipe (its steps, or
        those of its last stage, may be more).
    """

    def __init__(
        self, folder: str | Path, recipe: BaseModel, resume: bool, writes: bool = True
    ) -> None:
        self.folder, self.resume, self.writes = Path(folder), resume, writes
        self.checkpoints, self.model = self.folder / "checkpoints", self.folder / "model"
        self.log_path, self.recipe_path = self.folder / "log.jsonl", self.folder / "recipe.json"
        self.inputs_path = self.folder / "inputs.json"
        self.values = json.loads(recipe.model_dump_json())
        self.raised = ""
        """What of the recipe is more than it was when the run began, in words."""
        self._lock: Lock | None = None
        if resume:
            self._check_recipe()
        elif writes and self._is_there():
            raise TrainingError(
                self.folder, "holds a run already", "--resume to go on, or another -o"
            )

    def begin(self, inputs: Mapping[str, str] | None = None) -> "Run":
        """Make the folder, once everything else is found right.

        Parameters
        ----------
        inputs
            The files that are read, by checksum.

        Raises
        ------
        MachineError
            The folder cannot be written, or another run is at work in it.
        TrainingError
            A run to resume began with other inputs.
        """
        if not self.writes:
            return self
        if self.resume and self.inputs_path.exists():
            self._check_inputs(inputs or {})
        with writable(self.folder, "-o with a folder to write in"):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            # Before anything is swept away or written: what looks half written may be a living
            # run's checkpoint.
            self._lock = Lock(self.folder)
            for half in [*self.folder.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")]:
                if half.is_file():  # what a kill cut short
                    half.unlink()
        # Raised steps become the recipe that the next resume is held against.
        if self.raised or not self.resume:
            self.write(self.recipe_path, self.values)
        if inputs:
            self.write(self.inputs_path, inputs)
        return self

    def close(self) -> None:
        """Let another run have the folder; the end of the process does so too."""
        if self._lock:
            self._lock.release()

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Write a checkpoint whole.

        Raises
        ------
        MachineError
            It cannot be written (a full disk, say); the older one is still in place.
        """
        path = self.checkpoints / name
        possible = "there is no older one"
        if path.exists():
            possible = "the older one is kept, and --resume goes on from it"
        with writable(path, possible), atomic_file(path) as part, part.open("wb") as file:
            torch.save(state, file)

    def write(self, path: Path, values: Any) -> None:
        """Write JSON whole; raises MachineError, with what stood there before still in place."""
        write_json(path, values, indent=2)

    def load(self, name: str, device: torch.device) -> dict[str, Any] | None:
        """A checkpoint, or None when there is none yet. Raises InputError when it is damaged, or
        none of ours.
        """
        path = self.checkpoints / name
        if not path.exists():
            return None
        if not is_regular(path):
            raise InputError(path, "is no regular file", _other(name))
        try:
            # Weights and numbers alone: a pickle of anything else could run code.
            state = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:
            raise InputError(path, f"is damaged ({reason(error)})", _other(name)) from None
        if wrong := _fault_of(state):
            raise InputError(path, f"is no checkpoint of a run ({wrong})", _other(name))
        return state

    @contextmanager
    def restoring(self, name: str) -> Iterator[None]:
        """What cannot be restored from the checkpoint `name` within is an InputError."""
        try:
            yield
        except _MISFITS as error:
            message = f"does not fit the run ({reason(error)})"
            raise InputError(self.checkpoints / name, message, _other(name)) from None

    def log(self, **values: Any) -> None:
        """Append one line to log.jsonl."""
        if not self.writes:
            return
        possible = "a disk with room, then --resume"
        with writable(self.log_path, possible), self.log_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; a last line that a kill cut short is left out."""
        if not self.log_path.exists():
            return []
        lines = []
        for text in self.log_path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
        return lines

    def rewind(self, step: int) -> None:
        """Drop the log lines after `step`, which a resumed run will write again."""
        if not self.writes:
            return
        kept = [json.dumps(line) + "\n" for line in self.lines() if line.get("step", 0) <= step]
        with writable(self.log_path, "a disk with room"), atomic_file(self.log_path) as part:
            part.write_text("".join(kept), encoding="utf-8")

    def _is_there(self) -> bool:
        # Not Path.exists, which raises for a folder that may not be looked into.
        return os.path.exists(self.recipe_path) or os.path.exists(self.checkpoints / NEWEST)

    def _check_inputs(self, now: Mapping[str, str]) -> None:
        before = _read(self.inputs_path, "the checksums that the run wrote when it began")
        for path, digest in now.items():
            # A file that the first run did not read is no change.
            then = before.get(path, digest)
            if then != digest:
                message = (
                    f"changed since the run began (SHA-256 {then[:12]} then, {digest[:12]} now)"
                )
                raise TrainingError(
                    path, message, "the file as it was, or a new run with another -o"
                )

    def _check_recipe(self) -> None:
        if not self.recipe_path.exists():
            possible = "the folder of an earlier run, or no --resume"
            raise TrainingError(self.folder, "holds no run to resume", possible)
        before = dict(_flat(_read(self.recipe_path, "the recipe of the run")))
        now = dict(_flat(self.values))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        # Raised alone: with anything else it would be another run.
        longer = _LONGER.fullmatch(changed[0]) if len(changed) == 1 else None
        if longer and _is_last(longer, now) and before[changed[0]] < now[changed[0]]:
            self.raised = (
                f"{changed[0]} is raised from {before[changed[0]]:,} to {now[changed[0]]:,}"
            )
            return
        if not changed:
            return
        shown = [f"{key} {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:_SHOWN]]
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        message = f"the recipe changed since the run began: {', '.join(shown)}{more}"
        raise TrainingError(self.folder, message, "the same recipe, or a new run with another -o")


def _other(name: str) -> str:
    return f"{BEST if name == NEWEST else NEWEST} in its place"


def _fault_of(state: Any) -> str:
    """What a checkpoint lacks; "" when it has all the parts of one."""
    if not isinstance(state, dict):
        return "it holds a single value"
    kinds: dict[str, tuple[type, ...]] = {"step": (int,), "best": (int, float)}
    kinds |= {"seconds": (int, float), "model": (Mapping,), "optimizer": (Mapping,)}
    for key, kind in kinds.items():
        if not isinstance(state.get(key), kind):
            return f"without {key!r}, or with one of another kind"
    times = state["seconds"] >= 0 and math.isfinite(state["seconds"])
    if not times or state["step"] < 0 or not isinstance(state.get("stale", 0), int):
        return "its numbers are impossible"
    if not all(isinstance(value, torch.Tensor) for value in state["model"].values()):
        return "its weights are no tensors"
    return ""


def _is_last(key: re.Match[str], values: Mapping[str, Any]) -> bool:
    """Whether a key of steps is that of the last part of a run."""
    if key[1] is None:
        return True
    return f"training.curriculum.{int(key[1]) + 1}.steps" not in values


def _read(path: Path, possible: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({reason(error)})", possible) from None


def _flat(values: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    """Nested values as (dotted key, value); a list of plain values is one value."""
    if isinstance(values, dict):
        items = list(values.items())
    elif isinstance(values, list) and all(isinstance(value, dict | list) for value in values):
        items = [(str(number), value) for number, value in enumerate(values)]
    else:
        yield key, values
        return
    for name, value in items:
        yield from _flat(value, f"{key}.{name}" if key else name)
