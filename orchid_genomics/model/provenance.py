"""Where a model comes from: what provenance.json holds, read by all through one typed model.

The trap: folders outlive versions of this tool. Every key may be missing, keys that a later version
added are kept as they are, and only what is there is written again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from orchid_genomics.errors import InputError
from orchid_genomics.files import read_json


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class GenomeOrigin(_Part):
    """A genome that a model was trained on."""

    fasta: str = ""
    """The name of the file."""
    assembly: str | None = None
    """What the genome is called elsewhere, such as "R64-1-1 (sacCer3)"."""
    sha256: str = ""
    contigs: dict[str, int] = {}
    """Letters of each contig."""
    split: dict[str, tuple[str, ...]] = {}
    """The contigs of train, validation and test."""
    seen: dict[str, tuple[tuple[int, int], ...]] = {}
    """Places (start, end) that were in a window of training, a contig."""


class WindowsReport(_Part):
    """What windows were cut from the genomes."""

    length: int | None = None
    """Letters of a window of the last stage."""


class SequencesSeen(_Part):
    length: int
    sequences: int


class RecallOrigin(_Part):
    """Associative recall, for models of symbols."""

    symbols: int
    seen: tuple[SequencesSeen, ...] = ()


class LabelledOrigin(_Part):
    """The labelled data that a model was fine-tuned on."""

    name: str = ""
    task: str = ""
    labels: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    """Of each output, chosen on the validation split; None where an output is a number."""
    rows: dict[str, int] = {}
    """Sequences of each split."""
    lengths: tuple[int, ...] = ()
    """Letters of the shortest and of the longest sequence."""
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}
    """The SHA-256 of each file by its name."""


class Provenance(_Part):
    """What a model was trained on, how, where, and how it scored.

    `recipe` and `evaluation` are plain values: the schema of the run that wrote them need not be
    that of this version.
    """

    version: str = ""
    licence: str | None = None
    """What may be done with the model, as SPDX has it; None where nobody stated it."""
    torch: str = ""
    python: str = ""
    machine: str = ""
    seconds: dict[str, float] = {}
    recipe: dict[str, Any] = {}
    genomes: tuple[GenomeOrigin, ...] = ()
    report: WindowsReport | None = None
    recall: RecallOrigin | None = None
    pretrained: dict[str, Any] | None = None
    labelled: LabelledOrigin | None = None
    evaluation: tuple[dict[str, Any], ...] = ()
    verdict: dict[str, Any] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], where: object) -> "Provenance":
        """Check plain values.

        Raises
        ------
        InputError : at `where`, for values of another form.
        """
        try:
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in fault["loc"])
            message = f"is damaged or not of this tool ({key}: {fault['msg']})"
            raise InputError(where, message, "the file that training wrote, or none") from None

    @classmethod
    def read(cls, path: Path) -> "Provenance":
        """What a file says; nothing where there is none."""
        return cls.of(read_json(path), path) if path.exists() else cls()

    def text(self) -> str:
        """As a file holds it."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=2) + "\n"

    def plain(self, key: str) -> Any:
        """One key as plain values, as the file holds it; an empty list where it has none."""
        return self.model_dump(mode="json", include={key}, exclude_unset=True).get(key, [])

    def setting(self, *keys: str) -> Any:
        """A value of the recipe, such as ``setting("data", "length")``; None where it has none."""
        value: Any = self.recipe
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def window(self) -> int | None:
        """Letters of the longest window of the last stage of pretraining, where it is known."""
        length = self.report.length if self.report else None
        length = length or self.setting("data", "length")
        return length if isinstance(length, int) else None
