"""What every job over a file is: its name, what decides its bytes, how answers become a file.

The trap: `merge` ends a job from its identity alone, on a machine that may have neither the model
nor the input. So a `Task` never holds either; what does is its `Work`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.summary import Stats, total
from orchid_genomics.registry import Registry


class Identity(BaseModel):
    """All that decides a byte of an output: the same for a resumed run, every shard, and a merge.

    Inputs stand here by checksum. A path, a time, a device or a shard never does, for it may differ
    between the machines that share one job. `kind` is the ending of the output's name. A field that
    is None does not apply to the job, and is left out of its manifest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    summary_fields: ClassVar[tuple[str, ...]] = ()
    """Names, as in the manifest, of the fields that open the summary."""

    kind: str
    aliases: str | None = None
    """Checksum of other names of the contigs, where a file of them was given."""
    circular: tuple[str, ...] | None = None
    """The contigs that are read round their origin, where there are any."""

    def of_inputs(self, genome: Genome, named: bool = True) -> Self:
        """The same, for a genome whose contigs have other names, or are circular; without `named`
        the other names decide nothing.
        """
        names = None
        # By what was read: the file may be a pipe, whose bytes are gone.
        if named and genome.names.aliases:
            text = json.dumps(genome.names.aliases, sort_keys=True)
            names = hashlib.sha256(text.encode()).hexdigest()
        circular = tuple(sorted(genome.circular)) or None
        return self.model_copy(update={"aliases": names, "circular": circular})

    def dump(self) -> dict[str, Any]:
        """The identity as JSON values, as it stands in a manifest."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def summary(self) -> dict[str, Any]:
        """What of the identity opens the summary."""
        values = self.dump()
        return {name: values[name] for name in self.summary_fields if name in values}


class Format:
    """How answers become files. Parts hold no header, so that they join in any number."""

    def require(self) -> None:
        """Raise MachineError where a library is missing; asked before any work."""

    def write(self, answers: Any, part: Path) -> None:
        """Write the answers of one block as the file `part`, a name that the engine replaces."""
        raise NotImplementedError

    def join(self, parts: Iterable[Path], out: Path) -> None:
        """Put parts together in order as `out`, with its index if any; whole or not at all."""
        raise NotImplementedError

    def pipe(self, answers: Iterable[Any], out: BinaryIO) -> None:
        """Write a header and answers as they come; only for formats that `-` may name."""
        raise InputError("out", "- cannot be of this format", "the name of a file")


AnyIdentity = TypeVar("AnyIdentity", bound=Identity)


class Task(Protocol[AnyIdentity]):
    """A command that runs as a job: killed and resumed, or split over machines and merged.

    Attributes: `name` the command; `unit` what its records are called, in the plural; `identity`
    the class of its identities; `reasons` why a record may have no answer, by code; `counts` the
    key of a block's stats that says how fast the job is, where its records do not.
    """

    name: str
    unit: str
    identity: type[AnyIdentity]
    reasons: Mapping[str, str] = {}
    counts: str = ""

    def format(self, identity: AnyIdentity) -> Format:
        """How the parts of a job are written and joined."""
        ...

    def summarise(self, identity: AnyIdentity, blocks: Sequence[Stats]) -> Stats:
        """What a whole job came to, from what its blocks say of themselves: their sum."""
        return total(blocks)

    def lines(self, identity: AnyIdentity, summary: Stats) -> Iterable[str]:
        """The summary for a person."""
        ...


class Work(Protocol):
    """What a job answers: so many records, in order, and the answer to a block of them.

    An answer may depend on the records of its own block alone, or shards would not join to the
    bytes of one run.
    """

    def __len__(self) -> int:
        """Records of the whole input."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Records of the whole input, from its beginning."""
        ...

    def answer(self, records: list[Any]) -> tuple[Any, Stats]:
        """The answers to one block as the task's format takes them, and what it says of itself."""
        ...

    def check_inputs(self) -> None:
        """Raise InputError where an input is not what it was; asked before a block is kept."""
        ...


TASKS: Registry[Task[Any]] = Registry("task")
"""Every task by its name; ours once its module is imported."""


def register(task: Task[Any]) -> None:
    """Make a task known to `merge`."""
    TASKS[task.name] = task
