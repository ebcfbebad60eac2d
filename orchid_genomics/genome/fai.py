"""The index of a FASTA that can be trusted: a stale `.fai` reads wrong bases without a word.

An index beside the file is used only when every header and the end of the file stand where it says;
otherwise ours is built in a cache folder. Nothing is ever written beside a user's file.
"""

import hashlib
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.bgzf import Text
from orchid_genomics.genome.contigs import GenomeNote


class Contig(NamedTuple):
    """One line of a `.fai`: letters, byte of the first letter, letters a line, bytes a line."""

    name: str
    length: int
    offset: int
    bases: int
    width: int

    @property
    def end(self) -> int:
        """The byte after the last letter."""
        lines, rest = divmod(self.length, self.bases) if self.bases else (0, 0)
        lines, rest = (lines - 1, self.bases) if lines and not rest else (lines, rest)
        return self.offset + lines * self.width + rest


@dataclass(frozen=True)
class Index:
    """Where the index of a FASTA lies (`gzi` is None for plain text), and its contigs in file
    order.
    """

    fai: Path
    gzi: Path | None
    contigs: tuple[Contig, ...]


def find(path: Path, cache: Path | None = None) -> Index:
    """The index beside `path` if it is right, else ours in `cache` (default $ORCHID_CACHE), built
    when needed.

    Raises InputError for a file that is missing, empty, truncated, no FASTA, or has two contigs of
    one name.
    """
    text = Text(path)
    try:
        beside = [Path(f"{path}.fai"), Path(f"{path}.gzi")]
        note = fault(text, *beside)
        if note is None:
            return _index(text, *beside)
        cached = _cached(path, cache)
        if fault(text, *cached) is not None:
            build(text, *cached)
        index = _index(text, *cached)
        if note:
            found = f"{beside[0]}: {note}; it is left alone and an index of our own is used ({index.fai})"
            warnings.warn(found, GenomeNote, stacklevel=3)
        return index
    finally:
        text.close()


def _index(text: Text, fai: Path, gzi: Path) -> Index:
    return Index(fai, None if text.blocks is None else gzi, tuple(read_fai(fai)))


def read_fai(fai: Path) -> list[Contig]:
    """The lines of a `.fai` in file order; raises ValueError when it is none."""
    rows = [
        line.rstrip("\n").split("\t")
        for line in fai.read_text(encoding="utf-8").splitlines()
        if line
    ]
    return sorted(
        (Contig(row[0], *map(int, row[1:5])) for row in rows), key=lambda contig: contig.offset
    )


def fault(text: Text, fai: Path, gzi: Path) -> str | None:
    """What is wrong with an index, or None; raises InputError when it shows that the FASTA is cut
    short.
    """
    try:
        contigs = read_fai(fai)
        table = None if text.blocks is None else _read_gzi(gzi)
    except FileNotFoundError:
        return ""  # merely missing
    except (OSError, ValueError, TypeError, struct.error):
        return "is no index"
    if table is not None and not np.array_equal(table, _points(text)):
        return f"{gzi.name} does not fit the bgzip blocks"
    if not contigs or len({contig.name for contig in contigs}) < len(contigs):
        return "has no contig, or two of one name"
    at = 0
    for contig in contigs:
        if contig.offset <= at or contig.width < contig.bases or contig.length < 0:
            return f"contig {contig.name} has impossible numbers"
        header = text.read(at, min(contig.offset - at, 1 << 16)).strip()
        if at and contig.offset > text.size:
            raise _cut_short(text.path, contig, fai)
        if not _is_header(header, contig.name) or text.read(contig.offset - 1, 1) not in (
            b"\n",
            b"\r",
        ):
            return f"contig {contig.name} is not where it says (an older version of the file?)"
        if contig.end > text.size:
            raise _cut_short(text.path, contig, fai)
        ending = text.read(contig.offset + contig.bases, contig.width - contig.bases)
        if contig.length > contig.bases and ending not in (b"\n", b"\r\n"):
            return f"contig {contig.name} has lines of another length"
        at = contig.end
    if text.size - at > 1 << 16 or text.read(at, 1 << 16).strip():
        return "the FASTA goes on after its last contig"
    return None


def _is_header(line: bytes, name: str) -> bool:
    return (
        line.startswith(b">")
        and b"\n" not in line
        and (line[1:].split() or [b""])[0] == name.encode()
    )


def _cut_short(path: Path, contig: Contig, fai: Path) -> InputError:
    found = f"is truncated: it ends before contig {contig.name} has its {contig.length:,} letters of {fai.name}"
    return InputError(path, found, f"copy it again, or remove {fai.name} if the FASTA is right")


def _points(text: Text) -> np.ndarray:
    """The rows of a right `.gzi`: every block that holds text, but for the first."""
    inner = text.blocks[1:]
    return inner[inner[:, 1] < text.size]


def _read_gzi(gzi: Path) -> np.ndarray:
    raw = gzi.read_bytes()
    (count,) = struct.unpack_from("<Q", raw)
    table = np.frombuffer(raw, "<u8", 2 * count, 8).reshape(count, 2).astype(np.int64)
    return table[: -1 if count > 1 and table[-1, 1] == table[-2, 1] else None]


def scan(text: Text) -> list[Contig]:
    """Index a FASTA by reading it through (15 s for a human genome); errors name the line."""
    contigs: list[Contig] = []
    seen: set[str] = set()
    name, length, offset, bases, width, short, at = "", 0, 0, 0, 0, False, 0

    def done(number: int) -> None:
        if offset and length == 0:
            raise InputError(
                f"{text.path} line {number - 1}",
                f"contig {name!r} has no letters",
                "letters, or no contig",
            )
        if offset:
            contigs.append(Contig(name, length, offset, bases, width))

    number = 0
    for number, line in enumerate(text.lines(), 1):
        at += len(line)
        if len(line) == width and not short and line[0] != 62:
            length += bases
            continue
        letters = line.rstrip()
        if line.startswith(b">"):
            done(number)
            name, length, offset, bases, width, short = (
                _name(text.path, number, line, seen),
                0,
                at,
                0,
                0,
                False,
            )
        elif letters:
            if short or (width and len(letters) > bases):
                found = f"a line of another length within contig {name!r}"
                raise InputError(
                    f"{text.path} line {number}",
                    found,
                    "only the last line of a contig may be shorter",
                )
            if not width:
                bases, width = len(letters), len(line)
            length, short = length + len(letters), len(line) != width
        else:
            short = length > 0
    done(number + 1)
    return contigs


def _name(path: Path, number: int, line: bytes, seen: set[str]) -> str:
    words = line[1:].split()
    if not words or line[1:2].isspace():
        raise InputError(f"{path} line {number}", "a contig without a name", "a line >name")
    name = words[0].decode("utf-8", "replace")
    if name in seen:
        raise InputError(
            f"{path} line {number}", f"two contigs are named {name!r}", "one name each"
        )
    seen.add(name)
    return name


def _cached(path: Path, cache: Path | None) -> tuple[Path, Path]:
    folder = cache or os.environ.get("ORCHID_CACHE") or Path.home() / ".cache" / "orchid-genomics"
    stat = path.stat()
    key = hashlib.sha256(
        f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}".encode()
    ).hexdigest()[:16]
    return Path(folder) / f"{path.name}-{key}.fai", Path(folder) / f"{path.name}-{key}.gzi"


def build(text: Text, fai: Path, gzi: Path) -> None:
    """Write an index under temporary names, then rename; the `.fai` last, for its presence means
    both.
    """
    contigs = scan(text)
    try:
        fai.parent.mkdir(parents=True, exist_ok=True)
        if text.blocks is not None:
            points = _points(text)
            with atomic_file(gzi) as temporary:
                temporary.write_bytes(
                    struct.pack("<Q", len(points)) + points.astype("<u8").tobytes()
                )
        with atomic_file(fai) as temporary:
            temporary.write_text(
                "".join("\t".join(map(str, contig)) + "\n" for contig in contigs), encoding="utf-8"
            )
    except OSError as error:
        found = f"the index cannot be written there ({error.strerror})"
        raise MachineError(fai.parent, found, "set ORCHID_CACHE to a folder that can") from None
