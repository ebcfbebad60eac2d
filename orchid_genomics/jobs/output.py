"""Where a command writes: a file whose name says its format, or "-" for standard output.

Nothing here imports torch, so that a wrong name is refused at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.files import require_no_device


@dataclass(frozen=True)
class Destination:
    """Where a job writes, and which part of it.

    Attributes: `out` the final name, beside which the parts lie in ``<out>.parts`` ("-": standard
    output, without parts); `shard` (i, n), i from 1, the i-th of n contiguous runs of blocks;
    `resume` whether parts that are there may be kept.
    """

    out: Path
    shard: tuple[int, int] = (1, 1)
    resume: bool = False

    @property
    def piped(self) -> bool:
        return str(self.out) == "-"

    @property
    def parts(self) -> Path:
        """The folder of parts."""
        return parts_folder(self.out)


def parts_folder(out: Path) -> Path:
    """The folder of parts of an output, which a shard leaves behind for `merge`."""
    return out.with_name(f"{out.name}.parts")


def kind_of(out: Path, kinds: Sequence[str], piped: str = "") -> str:
    """The format of an output: the first of `kinds`, endings without their dot, that its name has.

    `piped` is the kind of standard output, for commands that write there. Raises InputError for
    another name.
    """
    if piped and str(out) == "-":
        return piped
    for kind in kinds:
        # A name that is an ending alone, such as .bed, is a hidden file of no format.
        if out.name.endswith(f".{kind}") and out.name != f".{kind}":
            return kind
    possible = ", ".join(f".{kind}" for kind in kinds)
    if piped:
        possible += f", or - ({piped.upper()} to standard output)"
    raise InputError("out", f"{out.name!r} names no format", possible)


def require_no_input(out: Path, inputs: Sequence[str | Path | None]) -> None:
    """Raises InputError where writing `out` would destroy one of `inputs`."""
    if not out.exists():
        return
    for each in inputs:
        # By the file and not its name: a link to the input is the input.
        if each is not None and Path(each).exists() and out.samefile(each):
            raise InputError("out", f"{out} is the input", "another name")


def destination(
    out: str | Path, inputs: Sequence[str | Path | None], shard: str | None, resume: bool
) -> Destination:
    """Where a job that reads `inputs` writes; `shard` is text such as "3/10", None for all of it.

    Raises InputError for a shard that is none, standard output in parts, an `out` that is a folder
    or one of the inputs, and MachineError where its folder is not there.
    """
    where = Destination(Path(out), parse_shard(shard) if shard else (1, 1), resume)
    if where.piped:
        if shard or resume:
            raise InputError("out", "- leaves no parts to resume or merge", "a file")
        return where
    if where.out.is_dir():
        raise InputError("out", f"{out} is a folder", "the name of a file in it")
    # What is written beside it has a name of its own, which an input may bear as well.
    for ending in ("", ".summary.json", ".tbi", ".csi"):
        require_no_input(where.out.with_name(where.out.name + ending), inputs)
    require_no_device(where.out, "a file, or -")
    if not where.out.parent.is_dir():
        raise MachineError(out, "cannot be written (No such file or directory)", "a folder that is")
    return where


def parse_shard(text: str) -> tuple[int, int]:
    """``3/10`` as (3, 10). Raises InputError for anything else."""
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise InputError("shard", f"{text!r}", "i/n with 1 <= i <= n, such as 3/10")
    return int(i), int(n)
