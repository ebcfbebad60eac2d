"""A run folder: recipe.json, inputs.json, log.jsonl, checkpoints/ and model/; every file is whole
or not there.

The trap: a disk that fills, or a kill, must cost at most the steps since the last checkpoint, so
everything is written under a temporary name and renamed.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from orchid_genomics.errors import InputError, TrainingError, reason
from orchid_genomics.files import finite, replacing, writable

NEWEST, BEST = "newest.pt", "best.pt"


class Run:
    """The folder of one run, checked when made and written from `begin` on.

    `writes` is False on ranks that only read. Raises TrainingError for a folder that holds a run
    already, or, to resume, none or one of another recipe.
    """

    def __init__(
        self, folder: str | Path, recipe: BaseModel, resume: bool, writes: bool = True
    ) -> None:
        self.folder, self.resume, self.writes = Path(folder), resume, writes
        self.checkpoints, self.model = self.folder / "checkpoints", self.folder / "model"
        self.log_path, self.recipe_path = self.folder / "log.jsonl", self.folder / "recipe.json"
        self.inputs_path = self.folder / "inputs.json"
        self.values = json.loads(recipe.model_dump_json())
        if resume:
            self._same(self.values)
        elif writes and any(
            os.path.exists(path) for path in (self.recipe_path, self.checkpoints / NEWEST)
        ):
            raise TrainingError(
                self.folder, "holds a run already", "--resume to go on, or another -o"
            )

    def begin(self, inputs: Mapping[str, str] | None = None) -> "Run":
        """Make the folder, once everything else is found right; `inputs` are the files that are
        read, by checksum.

        Raises MachineError when it cannot be written, TrainingError to resume a run that began with
        other inputs.
        """
        if not self.writes:
            return self
        if self.resume and self.inputs_path.exists():
            self._same_inputs(inputs or {})
        with writable(self.folder, "-o with a folder to write in"):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            for left in [*self.folder.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")]:
                if left.is_file():  # what a kill cut short
                    left.unlink()
        if not self.resume:
            self.write(self.recipe_path, self.values)
        if inputs:
            self.write(self.inputs_path, inputs)
        return self

    def _same_inputs(self, now: Mapping[str, str]) -> None:
        before = _read(self.inputs_path, "the checksums that the run wrote when it began")
        for path in now:
            if before.get(path, now[path]) != now[path]:
                found = f"changed since the run began (SHA-256 {before[path][:12]} then, {now[path][:12]} now)"
                raise TrainingError(path, found, "the file as it was, or a new run with another -o")

    def _same(self, values: dict[str, Any]) -> None:
        if not self.recipe_path.exists():
            raise TrainingError(
                self.folder,
                "holds no run to resume",
                "the folder of an earlier run, or no --resume",
            )
        before, now = _flat(_read(self.recipe_path, "the recipe of the run")), _flat(values)
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            shown = ", ".join(
                f"{key} {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:4]
            )
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            found = f"the recipe changed since the run began: {shown}{more}"
            raise TrainingError(self.folder, found, "the same recipe, or a new run with another -o")

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Write a checkpoint whole; raises MachineError (disk full, say) with the older one still
        in place.
        """
        path = self.checkpoints / name
        kept = (
            "the older one is kept, and --resume goes on from it"
            if path.exists()
            else "there is no older one"
        )
        with writable(path, kept), replacing(path) as part, part.open("wb") as file:
            torch.save(state, file)

    def write(self, path: Path, values: Any) -> None:
        """Write JSON whole; raises MachineError, with what stood there before still in place."""
        with writable(path, "a disk with room"), replacing(path) as part:
            part.write_text(
                json.dumps(finite(values), indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )

    def load(self, name: str, device: torch.device) -> dict[str, Any] | None:
        """A checkpoint, or None when there is none yet. Raises InputError when it is damaged."""
        path = self.checkpoints / name
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:
            other = f"{BEST} in its place" if name == NEWEST else f"{NEWEST} in its place"
            raise InputError(path, f"is damaged ({reason(error)})", other) from None

    def log(self, **values: Any) -> None:
        """Append one line to log.jsonl."""
        if self.writes:
            with (
                writable(self.log_path, "a disk with room, then --resume"),
                self.log_path.open("a", encoding="utf-8") as log,
            ):
                log.write(json.dumps(values) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; a last line that a kill cut short is left out."""
        if not self.log_path.exists():
            return []
        found = []
        for line in self.log_path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def rewind(self, step: int) -> None:
        """Drop the log lines after `step`, which a resumed run will write again."""
        if self.writes:
            kept = [line for line in self.lines() if line.get("step", 0) <= step]
            with writable(self.log_path, "a disk with room"), replacing(self.log_path) as part:
                part.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def _read(path: Path, possible: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({reason(error)})", possible) from None


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    """Nested values as dotted keys."""
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list) and all(isinstance(value, dict | list) for value in values):
        items = enumerate(values)
    else:
        return {key: values}
    return {
        k: v
        for name, value in items
        for k, v in _flat(value, f"{key}.{name}" if key else str(name)).items()
    }
