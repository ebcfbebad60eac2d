"""Where a command writes: the name of a file says its format, and "-" is standard output; nothing
imports torch.
"""

from collections.abc import Sequence
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.jobs.engine import parse_shard


def kind_of(out: Path, kinds: Sequence[str], piped: str = "") -> str:
    """The format of an output: the first of `kinds`, endings without their dot, that its name has.

    `piped` is the kind of standard output, for commands that write there. Raises InputError for
    another name.
    """
    if piped and str(out) == "-":
        return piped
    for kind in kinds:
        if out.name.endswith(f".{kind}") and out.name != f".{kind}":
            return kind
    dash = f", or - ({piped.upper()} to standard output)" if piped else ""
    raise InputError(
        "--out", f"{out.name!r} names no format", ", ".join(f".{kind}" for kind in kinds) + dash
    )


def destination(
    out: str | Path, source: str | Path | None, shard: str | None, resume: bool
) -> tuple[Path, tuple[int, int]]:
    """Where a job writes, and which part of it: (1, 1) without a `shard`.

    Raises InputError for a shard that is none, standard output in parts, or an `out` that is the
    `source`.
    """
    out, part = Path(out), parse_shard(shard) if shard else (1, 1)
    if str(out) == "-" and (shard or resume):
        raise InputError("--out", "- leaves no parts to resume or merge", "a file")
    if source and out.exists() and Path(source).exists() and out.samefile(source):
        raise InputError("--out", f"{out} is the input", "another name")
    return out, part
