"""The index of a FASTA that can be trusted: a stale `.fai` reads wrong bases without a word.

An index beside the file is used only when every header and the end of every contig stand where it
says; otherwise pyfaidx builds ours in a cache folder. Nothing is ever written beside a user's file.
A file without random access (gzip, CR line ends) is read as a bgzipped copy, which the cache keeps.
"""

import hashlib
import io
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orchid_genomics.errors import InputError, MachineError, reason
from orchid_genomics.files import (
    atomic_file,
    cache_folder,
    is_regular,
    open_content,
    temporary_folder,
)
from orchid_genomics.genome.bgzf import Text, no_random_access, open_bgzip
from orchid_genomics.genome.contigs import GenomeNote

_TAIL = 4096  # bytes at the end of every contig whose line ends are checked


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
        if lines and not rest:
            lines, rest = lines - 1, self.bases
        return self.offset + lines * self.width + rest


@dataclass(frozen=True)
class Index:
    """An open way into a FASTA.

    Attributes
    ----------
    fasta : Path
        The file that is read: the user's, or our copy of it.
    fai, gzi : Path
        Where its index lies; `gzi` is None for plain text.
    contigs : tuple of Contig
        In file order.
    """

    fasta: Path
    fai: Path
    gzi: Path | None
    contigs: tuple[Contig, ...]


def find_index(path: Path, cache: Path | None = None) -> Index:
    """The index beside `path` if it is right, else ours in `cache` (default $ORCHID_CACHE), built
    when needed.

    Raises
    ------
    InputError
        For a file that is missing, a pipe, empty, truncated, no FASTA, or with two contigs of one
        name.
    MachineError
        When nothing can be written in the cache.
    """
    if path.exists() and not path.is_dir() and not is_regular(path):
        raise InputError(path, "is a pipe or device", "a file: letters are read at any place of it")
    # what is not there, Text names
    obstacle = no_random_access(path) if is_regular(path) else ""
    if obstacle:
        return _index_of_copy(path, cache, obstacle)
    text = Text(path)
    try:
        beside = Path(f"{path}.fai"), Path(f"{path}.gzi")
        wrong = fault(text, *beside)
        if wrong is None:
            return _index(text, *beside)
        cached = _cache_path(path, cache, ".fai"), _cache_path(path, cache, ".gzi")
        if fault(text, *cached) is not None and not build(text, *cached):
            return _index_of_copy(path, cache, "has lines that no index can count")
        if wrong:
            message = f"{wrong}; it is left alone and an index of our own is used ({cached[0]})"
            warnings.warn(f"{beside[0]}: {message}", GenomeNote, stacklevel=4)
        return _index(text, *cached)
    finally:
        text.close()


def _index(text: Text, fai: Path, gzi: Path) -> Index:
    return Index(text.path, fai, None if text.blocks is None else gzi, tuple(read_fai(fai)))


def _index_of_copy(path: Path, cache: Path | None, obstacle: str) -> Index:
    """The index of a bgzipped copy in the cache, which is made when it is not there."""
    copy = _cache_path(path, cache, ".fa.gz")
    if not copy.exists():
        _write_copy(path, copy)
    text = Text(copy, shown=path)
    try:
        index = Path(f"{copy}.fai"), Path(f"{copy}.gzi")
        if fault(text, *index) is not None and not build(text, *index):
            raise InputError(path, "cannot be indexed", "a FASTA that samtools faidx accepts")
        message = f"{obstacle}; a bgzipped copy is read in its place ({copy})"
        warnings.warn(f"{path}: {message}", GenomeNote, stacklevel=5)
        return _index(text, *index)
    finally:
        text.close()


def _write_copy(path: Path, copy: Path) -> None:
    """The same letters, bgzipped: lines end with LF, blank ones are gone, headers are UTF-8."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(copy) as temporary:
            # An OSError that says why, where pysam would end the process.
            temporary.touch()
            with open_content(path) as content, open_bgzip(temporary) as target:
                lines = io.TextIOWrapper(content, encoding="utf-8", errors="replace")
                first = lines.read(1)
                if first.strip() and first != ">":
                    # before gigabytes of something else are copied
                    raise InputError(path, f"is no FASTA: it begins with {first!r}", "a line >name")
                target.write(first.strip().encode())
                while piece := lines.readlines(1 << 20):
                    target.write("".join(line for line in piece if line.strip()).encode())
                lines.detach()
    except OSError as error:
        message = f"a copy of {path.name} cannot be written there ({reason(error)})"
        raise MachineError(copy.parent, message, "set ORCHID_CACHE to a folder that can") from None


def read_fai(fai: Path) -> list[Contig]:
    """The lines of a `.fai` in file order; raises ValueError when it is none."""
    rows = [
        line.rstrip("\n").split("\t")
        for line in fai.read_text(encoding="utf-8").splitlines()
        if line
    ]
    contigs = [Contig(row[0], *map(int, row[1:5])) for row in rows]
    return sorted(contigs, key=lambda contig: contig.offset)


def fault(text: Text, fai: Path, gzi: Path) -> str | None:
    """What is wrong with an index, or None; "" when there is none.

    Raises InputError when the index shows that the FASTA is cut short.
    """
    try:
        contigs = read_fai(fai)
        table = None if text.blocks is None else _read_gzi(gzi)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, struct.error):
        return "is no index"
    if table is not None and not np.array_equal(table, _points(text)):
        return f"{gzi.name} does not fit the bgzip blocks"
    if not contigs or len({contig.name for contig in contigs}) < len(contigs):
        return "has no contig, or two of one name"
    at = 0
    for contig in contigs:
        wrong = _fault_of_contig(text, contig, at, fai)
        if wrong:
            return f"contig {contig.name} {wrong}"
        at = contig.end
    # Blank lines may follow the last contig; 64 KB of them are more than a file has.
    if text.size - at > 1 << 16 or text.read(at, 1 << 16).strip():
        return "the FASTA goes on after its last contig"
    return None


def _fault_of_contig(text: Text, contig: Contig, at: int, fai: Path) -> str | None:
    """What is wrong with one line of an index; the contig before it ends at byte `at`."""
    if contig.offset <= at or not 0 < contig.bases <= contig.width or contig.length < 1:
        return "has impossible numbers"
    header = text.read(at, min(contig.offset - at, 1 << 16)).strip()
    if at and contig.offset > text.size:
        raise _cut_short(text.shown, contig, fai)
    before = text.read(contig.offset - 1, 1)
    if not _is_header(header, contig.name) or before not in (b"\n", b"\r"):
        return "is not where it says (an older version of the file?)"
    if contig.end > text.size:
        raise _cut_short(text.shown, contig, fai)
    ending = text.read(contig.offset + contig.bases, contig.width - contig.bases)
    if contig.length > contig.bases and ending not in (b"\n", b"\r\n"):
        return "has lines of another length"
    if not _tail_fits(text, contig):
        return "has lines of another length"
    return None


def _tail_fits(text: Text, contig: Contig) -> bool:
    """Whether the last lines of a contig end where they should: a longer last line fits every other
    number.
    """
    last_line = (contig.length - 1) // contig.bases
    first = max(0, last_line - _TAIL // contig.width)
    start = contig.offset + first * contig.width
    lines = text.read(start, contig.end - start).split(b"\n")
    letters = [contig.bases] * (last_line - first) + [contig.length - last_line * contig.bases]
    return [len(line.rstrip(b"\r")) for line in lines] == letters


def _is_header(line: bytes, name: str) -> bool:
    words = line[1:].split()
    return line.startswith(b">") and b"\n" not in line and words[:1] == [name.encode()]


def _cut_short(path: Path, contig: Contig, fai: Path) -> InputError:
    letters = f"contig {contig.name} has its {contig.length:,} letters of {fai.name}"
    return InputError(
        path,
        f"is truncated: it ends before {letters}",
        f"copy it again, or remove {fai.name} if the FASTA is right",
    )


def _points(text: Text) -> np.ndarray:
    """The rows of a right `.gzi`: every block that holds text, but for the first."""
    if text.blocks is None:
        return np.zeros((0, 2), np.int64)
    inner = text.blocks[1:]
    return inner[inner[:, 1] < text.size]


def _read_gzi(gzi: Path) -> np.ndarray:
    raw = gzi.read_bytes()
    (count,) = struct.unpack_from("<Q", raw)
    table = np.frombuffer(raw, "<u8", 2 * count, 8).reshape(count, 2).astype(np.int64)
    return table[: -1 if count > 1 and table[-1, 1] == table[-2, 1] else None]


def _cache_path(path: Path, cache: Path | None, ending: str) -> Path:
    """The name of a file of ours for this version of `path`, known by its place, size and time."""
    stat = path.stat()
    version = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
    # A name may hold bytes that are no text.
    key = hashlib.sha256(version.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Path(cache or cache_folder()) / f"{path.name}-{key}{ending}"


def build(text: Text, fai: Path, gzi: Path) -> bool:
    """Have pyfaidx write an index under temporary names, then rename; the `.fai` last, for its
    presence means both.

    Returns whether it could. Raises InputError with the line where the FASTA is wrong.
    """
    try:
        fai.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(fai) as folder:
            if not _run_pyfaidx(text, folder):
                return False
            if text.blocks is not None:
                os.replace(folder / "gzi", gzi)
            os.replace(folder / "fai", fai)
    except OSError as error:
        raise MachineError(
            fai.parent,
            f"the index cannot be written there ({reason(error)})",
            "set ORCHID_CACHE to a folder that can",
        ) from None
    return True


def _run_pyfaidx(text: Text, folder: Path) -> bool:
    """Whether pyfaidx left a right index, `fai` and `gzi`, in the folder."""
    # Here and not at the top: it takes a third of a second to import.
    import pyfaidx

    fai, gzi = folder / "fai", folder / "gzi"
    # pyfaidx tells bgzip from plain text by the name alone
    link = folder / ("genome.fa" if text.blocks is None else "genome.fa.gz")
    link.symlink_to(text.path.absolute())
    try:
        pyfaidx.Faidx(str(link), indexname=str(fai), gzi_indexname=str(gzi)).close()
    # Of many kinds: it asserts, and lets Biopython's and the system's through.
    except Exception:
        refuse_wrong_lines(text)
        if not os.access(folder, os.W_OK) or os.statvfs(folder).f_bavail == 0:
            raise
        return False
    # what it accepts is not always right: contigs without letters, a last line that is longer
    if fault(text, fai, gzi) is None:
        return True
    refuse_wrong_lines(text)
    return False


def refuse_wrong_lines(text: Text) -> None:
    """Read a FASTA through (15 s for a human genome); InputError at its first wrong line."""
    names: set[str] = set()
    name, length, bases, short = "", 0, 0, False
    number = 0
    for number, line in enumerate(text.lines(), 1):
        where = f"{text.shown} line {number}"
        letters = line.rstrip()
        if line.startswith(b">"):
            if name and not length:
                _refuse_no_letters(text.shown, number - 1, name)
            name, length, bases, short = _contig_name(where, line), 0, 0, False
            if name in names:
                raise InputError(where, f"two contigs are named {name!r}", "one name each")
            names.add(name)
        elif letters:
            if short or (bases and len(letters) > bases):
                raise InputError(
                    where,
                    f"a line of another length within contig {name!r}",
                    "only the last line of a contig may be shorter",
                )
            bases = bases or len(letters)
            length += len(letters)
            short = len(letters) < bases
        else:
            # A blank line may end a contig; letters after it would be where no index counts.
            short = length > 0
    if name and not length:
        _refuse_no_letters(text.shown, number, name)


def _refuse_no_letters(path: Path, number: int, name: str) -> None:
    raise InputError(
        f"{path} line {number}", f"contig {name!r} has no letters", "letters, or no contig"
    )


def _contig_name(where: str, line: bytes) -> str:
    words = line[1:].split()
    if not words or line[1:2].isspace():
        raise InputError(where, "a contig without a name", "a line >name")
    return words[0].decode("utf-8", "replace")
