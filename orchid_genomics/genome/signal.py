"""Signals along a genome, bigWig or bedGraph, read and written; where a file says nothing there is
NaN, never zero.

The trap: pyBigWig ends the process (no exception) on a file cut short and on a NaN to be written,
and a handle that crosses a fork reads another place; so files are checked before they are opened,
and each process has its own handle.
"""

import os
import struct
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from orchid_genomics.errors import InputError, MachineError, NoValueError, reason
from orchid_genomics.files import atomic_file, name_errors, read_lines, regular_copy, utf8_name
from orchid_genomics.genome.bed import tabix
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.contigs import GenomeNote, listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence.interval import shorten, whole_number

BIGWIG, BEDGRAPH = (".bw", ".bigwig"), (".bedgraph", ".bdg", ".bg")
_MAGIC = 0x888FFC26
_PLACE = (1 << 62) - 1  # that a file can be asked for
_TREE = 0x78CA8C91  # of the contigs of a bigWig
_INDEX = 0x2468ACE0  # of its blocks of values
_LEAF = np.dtype([("places", "<u4", 4), ("at", "<u8"), ("size", "<u8")])  # names a block
_BRANCH = np.dtype([("places", "<u4", 4), ("at", "<u8")])  # names a node below
_BLOCK_HEADER = 24  # bytes, before the values of a block
_VALUE_BYTES = {1: 12, 2: 8, 3: 4}  # of a value, by the type of its block
_LONGEST_NAME = 255  # letters of a contig
_TOGETHER = 1 << 16  # values of adjoining pieces that are written as one section

Piece = tuple[str, int, np.ndarray]
"""A contig, a 0-based start, and one value a letter from there."""


class Track:
    """A bigWig or bedGraph (plain or gzipped), told apart by its content.

    A bedGraph stands in memory, 20 bytes a record, and may come through a pipe.

    Parameters
    ----------
    path : str or Path
    genome : Genome, optional
        Contigs are asked for by its names. Those that it lacks are said by a GenomeNote, and so is
        one that is read and the track lacks, which is NaN. A contig that is read must be as long in
        both (a bedGraph has no lengths: it must end within the genome's).

    Attributes
    ----------
    path : Path
    contigs : dict
        The track's names to lengths; of a bedGraph, to the end of the last record.

    Raises
    ------
    InputError
        For a file that is missing, damaged or neither, for records that overlap, and for a genome
        with no contig in common. When a contig is read that is of another length: a track of
        another build.
    """

    def __init__(self, path: str | Path, genome: Genome | None = None) -> None:
        self.path = Path(path)
        self._on_genome = genome is not None
        self._misfits: dict[str, str] = {}
        self._silent: set[str] = set()  # contigs asked for that the track lacks, said once
        # A pipe gives its bytes once, and a bigWig is read at any place of it.
        self._readable = regular_copy(self.path)
        with name_errors(self._readable, self.path):
            is_bigwig = _is_bigwig(self._readable)
            self._records = None if is_bigwig else _read_bedgraph(self._readable)
        self._forget()
        if self._records is None:
            self.contigs: dict[str, int] = dict(self._handle()[0].chroms())
        else:
            self.contigs = {contig: int(rows[1][-1]) for contig, rows in self._records.items()}
        self._names = (
            {contig: contig for contig in self.contigs} if genome is None else self._meet(genome)
        )

    def _meet(self, genome: Genome) -> dict[str, str]:
        """The genome's name of every contig of ours that it has, to our name."""
        names = {contig: name for name, contig in genome.shared(self.contigs, self.path).items()}
        if not names:
            message = f"no contig of {genome.path.name}: {listed(self.contigs)}"
            raise InputError(self.path, message, f"possible: {listed(genome.contigs)}")
        for contig, name in names.items():
            size, own = genome.contigs[contig], self.contigs[name]
            if own > size or (own < size and self._records is None):
                # refused when it is read, and not before: builds differ in chrM alone
                self._misfits[contig] = (
                    f"contig {name} has {own:,} letters where {genome.path.name} has {size:,}"
                )
        known = set(names.values())
        unknown = [name for name in self.contigs if name not in known]
        if unknown:
            message = f"contigs that {genome.path.name} lacks are not read: {listed(unknown)}"
            warnings.warn(f"{self.path}: {message}", GenomeNote, stacklevel=3)
        return names

    def _forget(self) -> None:
        self._opened: tuple[int, Any, threading.Lock] | None = None

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_opened"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def values(self, contig: str, start: int, end: int) -> np.ndarray:
        """Values (L,) float32 of letters `start` to `end` (0-based half-open); NaN where nothing is
        said.

        Raises InputError for a contig that is of another length in the genome.
        """
        values_L = np.full(end - start, np.nan, np.float32)
        name = self._names.get(contig)
        if name is None:
            self._note_silent(contig)
            return values_L
        if contig in self._misfits:
            raise InputError(self.path, self._misfits[contig], "a track of the same build")
        first, last = max(start, 0), min(end, self.contigs[name])
        if first >= last:
            return values_L
        inside = values_L[first - start : last - start]
        if self._records is None:
            handle, lock = self._handle()
            # The handle seeks and then reads: of two threads, one would read at the other's place.
            with lock, _whole_bigwig(self.path):
                inside[:] = handle.values(name, first, last, numpy=True)
            return values_L
        starts, ends, values = self._records[name]
        low, high = np.searchsorted(ends, first, "right"), np.searchsorted(starts, last, "left")
        for row in range(int(low), int(high)):
            inside[max(starts[row] - first, 0) : ends[row] - first] = values[row]
        return values_L

    def _note_silent(self, contig: str) -> None:
        """Say, once a contig, that one is read of which the track says nothing."""
        if self._on_genome and contig not in self._silent:
            self._silent.add(contig)
            message = f"has nothing on contig {contig}, which is read"
            warnings.warn(f"{self.path}: {message}", GenomeNote, stacklevel=3)

    def mean(self, contig: str, start: int, end: int, covered: bool = False) -> float:
        """The mean over letters `start` to `end`: where nothing is said counts as zero (the `mean0`
        of bigWigAverageOverBed), or with `covered` not at all (its `mean`; NaN where nothing is
        said of any letter).
        """
        return mean_of(self.values(contig, start, end), covered)

    def _handle(self) -> tuple[Any, threading.Lock]:
        import pyBigWig

        # A handle of the process that forked us would share its place in the file with it.
        if self._opened is None or self._opened[0] != os.getpid():
            with _whole_bigwig(self.path), utf8_name(self._readable) as name:
                handle = pyBigWig.open(str(name))
            self._opened = (os.getpid(), handle, threading.Lock())
        return self._opened[1:]


def mean_of(values_L: np.ndarray, covered: bool) -> float:
    """The mean of some letters' values, NaN where nothing is said; see `Track.mean`."""
    values_L = values_L.astype(np.float64)
    known = values_L[~np.isnan(values_L)]
    if covered:
        return float(known.mean()) if len(known) else float("nan")
    return float(known.sum()) / len(values_L)


@contextmanager
def _whole_bigwig(path: Path) -> Iterator[None]:
    """What pyBigWig says of a damaged file becomes one line."""
    try:
        yield
    except (RuntimeError, OSError, MemoryError, TypeError, ValueError) as error:
        raise InputError(path, f"is a damaged bigWig ({reason(error)})", "copy it again") from None


def _is_bigwig(path: Path) -> bool:
    """Whether a file is bigWig; raises InputError for one that is missing, or a bigWig that is
    damaged or empty.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            size = file.seek(0, os.SEEK_END)
            # A whole bigWig ends with its magic number again.
            file.seek(max(size - 4, 0))
            tail = file.read(4)
            # Here the header says where the summary stands, which begins with the letters covered.
            file.seek(min(int.from_bytes(head[44:52], "little"), size))
            covered = file.read(8)
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "a bigWig or bedGraph"
        ) from None
    magic = struct.pack("<I", _MAGIC)
    if head[:4] == magic[::-1]:
        raise InputError(path, "is a big-endian bigWig", "one written on an ordinary machine")
    if head[:4] != magic:
        return False
    offsets = struct.unpack("<3Q", head[8:32]) if len(head) == 64 else (size,)
    if tail != magic or max(offsets) >= size:
        raise InputError(path, "is a bigWig cut short (it does not end as one)", "copy it again")
    if covered == bytes(8):
        raise InputError(path, "is a bigWig without values", "one that holds a signal")
    with path.open("rb") as file:
        whole = _zooms_fit(file, head, size) and _contigs_fit(file, offsets[0])
        if not (whole and _index_fits(file, head, size)):
            raise InputError(path, "is a damaged bigWig", "copy it again")
    return True


def _zooms_fit(file: BinaryIO, head: bytes, size: int) -> bool:
    """Whether the zoom levels that the header of a bigWig promises lie within the file."""
    (count,) = struct.unpack("<H", head[6:8])
    file.seek(64)
    levels = file.read(24 * count)
    if len(levels) < 24 * count:
        return False
    return all(max(offsets) < size for _, _, *offsets in struct.iter_unpack("<IIQQ", levels))


def _contigs_fit(file: BinaryIO, start: int) -> bool:
    """Whether the tree of contigs of a bigWig can be walked; pyBigWig takes all of its numbers at
    their word, and writes where they point.
    """
    file.seek(start)
    head = file.read(32)
    if len(head) < 32:
        return False
    magic, block, key, value, items, _ = struct.unpack("<4I2Q", head)
    if magic != _TREE or not 0 < key <= _LONGEST_NAME or value != 8:
        return False
    nodes, names, numbers = [start + 32], set(), set()
    visited = 0
    while nodes:
        visited += 1
        if visited > 2 * items + 1:
            # More nodes than a tree of so many names has: some name each other.
            return False
        file.seek(nodes.pop())
        # Past the end of the file this reads a leaf of 255, which is refused.
        leaf, _, count = struct.unpack("<BBH", file.read(4).ljust(4, b"\xff"))
        # After its key a leaf has a number and a length, another node the place of the one below.
        entry = key + 8
        entries = file.read(count * entry)
        if leaf > 1 or not 0 < count <= block or len(entries) < count * entry:
            return False
        for at in range(0, len(entries), entry):
            name, rest = entries[at : at + key].rstrip(b"\0"), entries[at + key : at + entry]
            if not leaf:
                nodes.append(int.from_bytes(rest[:8], "little") & _PLACE)
                continue
            if not name.isascii() or not name or b"\0" in name:
                return False
            names.add(name)
            numbers.add(int.from_bytes(rest[:4], "little"))
    return len(names) == len(numbers) == items and max(numbers) < items


def _index_fits(file: BinaryIO, head: bytes, size: int) -> bool:
    """Whether the index of a bigWig can be walked, and every block that it names lies in the file.

    pyBigWig follows nodes that name each other until its stack ends. Blocks that are packed have a
    checksum; of plain ones the number of values is compared with their bytes here.
    """
    start = int.from_bytes(head[24:32], "little")
    # Here stands the size of an unpacked block; 0 where none is packed.
    packed = any(head[52:56])
    file.seek(start)
    top = file.read(48)
    if len(top) < 48 or int.from_bytes(top[:4], "little") != _INDEX:
        return False
    nodes, visited = [start + 48], set()
    while nodes:
        node = nodes.pop()
        if node in visited:
            return False
        visited.add(node)
        file.seek(node)
        leaf, _, count = struct.unpack("<BBH", file.read(4).ljust(4, b"\xff"))
        form = _LEAF if leaf else _BRANCH
        raw = file.read(count * form.itemsize)
        if leaf > 1 or len(raw) < count * form.itemsize:
            return False
        entries = np.frombuffer(raw, form)
        if (entries["at"] >= size).any():
            return False
        if not leaf:
            nodes += entries["at"].tolist()
            continue
        # the first holds since `at` lies in the file, and so nothing is taken from less than it
        if (entries["size"] > size - entries["at"]).any():
            return False
        if not packed and not _plain_blocks_fit(file, entries):
            return False
    return True


def _plain_blocks_fit(file: BinaryIO, entries: np.ndarray) -> bool:
    """Whether blocks that are not packed hold as many values as they say."""
    for at, size in zip(entries["at"].tolist(), entries["size"].tolist(), strict=True):
        file.seek(at)
        header = file.read(min(size, _BLOCK_HEADER))
        if len(header) < _BLOCK_HEADER:
            return False
        kind, count = header[20], int.from_bytes(header[22:24], "little")
        if kind not in _VALUE_BYTES or _BLOCK_HEADER + count * _VALUE_BYTES[kind] > size:
            return False
    return True


def _read_bedgraph(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Starts, ends and values of every contig, sorted and disjoint."""
    rows: dict[str, list[tuple[int, int, float]]] = {}
    for number, line in read_lines(path):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] in ("track", "browser"):
            continue
        rows.setdefault(words[0], []).append(_record(words, f"{path} line {number}"))
    if not rows:
        raise InputError(
            path, "has no record", "a bigWig, or a bedGraph of contig, start, end and value"
        )
    arrays = {}
    for contig, records in rows.items():
        records.sort()
        starts = np.array([start for start, _, _ in records], np.int64)
        ends = np.array([end for _, end, _ in records], np.int64)
        clash = np.flatnonzero(starts[1:] < ends[:-1])
        if len(clash):
            letter = f"{contig}:{starts[clash[0] + 1] + 1:,}"
            message = f"two records hold letter {letter} (1-based)"
            raise InputError(path, message, "one value a letter")
        values = np.array([value for _, _, value in records], np.float32)
        arrays[contig] = starts, ends, values
    return arrays


def _record(words: list[str], where: str) -> tuple[int, int, float]:
    try:
        start, end, value = whole_number(words[1]), whole_number(words[2]), float(words[3])
    except (IndexError, ValueError):
        start = end = None
    if start is None or end is None:
        message = f"{shorten(' '.join(words))!r} is no bedGraph record"
        raise InputError(where, message, "contig, start, end and value; or a bigWig")
    if not 0 <= start < end:
        raise InputError(where, f"start {start} and end {end}", "0-based half-open places")
    return start, end, value


def is_track(path: str | Path) -> bool:
    """Whether a name is that of a bigWig or bedGraph."""
    name = str(path).lower().removesuffix(".gz")
    return name.endswith(BIGWIG + BEDGRAPH)


def write_track(path: str | Path, contigs: Mapping[str, int], pieces: Iterable[Piece]) -> int:
    """Write a signal by the path's name as bigWig (.bw, .bigWig; with zoom levels) or bedGraph
    (.bedGraph[.gz]).

    `contigs` are all contigs of the genome with their lengths. Pieces come with contigs in order of
    name (bytes, as the bigWig index wants them: chr10 before chr2), places rising and disjoint; NaN
    is left out. Gives the number of letters written. The file appears whole or not at all; `.gz` is
    bgzipped with a tabix index. Memory: one piece.

    Raises InputError for another name, NoValueError for a signal without any value.
    """
    path, name = Path(path), str(path).lower()
    if not is_track(path) or name.endswith(tuple(end + ".gz" for end in BIGWIG)):
        raise InputError(
            path,
            "is no name of a track",
            "one that ends in .bw, .bigWig, .bedGraph or .bedGraph.gz",
        )
    runs = _Runs(dict(sorted(contigs.items())), pieces)
    try:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_file(path))
            # an OSError that says why, where pyBigWig and pysam would end the process
            temporary.touch()
            if name.endswith(BIGWIG):
                _write_bigwig(temporary, runs)
            else:
                _write_bedgraph(temporary, runs, packed=name.endswith(".gz"))
            if not runs.letters:
                message = "there is no value to write"
                raise NoValueError(path, message, "at least one place with a value")
            if name.endswith(".gz"):
                tabix(stack, temporary, path, max(contigs.values()))
    except (OSError, RuntimeError) as error:
        raise MachineError(path, f"cannot be written ({error})", "a folder with room") from None
    return runs.letters


class _Runs:
    """The stretches of values without NaN among pieces, adjoining ones joined up to a size, in
    order.
    """

    def __init__(self, contigs: dict[str, int], pieces: Iterable[Piece]) -> None:
        self.contigs, self.pieces, self.letters = contigs, pieces, 0

    def __iter__(self) -> Iterator[Piece]:
        order = {contig: number for number, contig in enumerate(self.contigs)}
        last = (-1, 0)
        held: list[np.ndarray] = []
        for contig, start, values in self.pieces:
            if (order[contig], start) < last or start + len(values) > self.contigs[contig]:
                raise ValueError(
                    f"{contig}:{start} (0-based) follows what lies behind it, or is off its contig"
                )
            if held and (
                (order[contig], start) != last or sum(len(part) for part in held) > _TOGETHER
            ):
                yield from self._stretches(*last, held)
                held = []
            held.append(np.asarray(values, np.float32))
            last = order[contig], start + len(values)
        if held:
            yield from self._stretches(*last, held)

    def _stretches(self, number: int, end: int, held: list[np.ndarray]) -> Iterator[Piece]:
        values = np.concatenate(held)
        start, contig = end - len(values), tuple(self.contigs)[number]
        known = np.concatenate([[False], ~np.isnan(values), [False]])
        edges = np.flatnonzero(known[1:] != known[:-1]).reshape(-1, 2)
        for first, stop in edges.tolist():
            self.letters += stop - first
            yield contig, start + first, values[first:stop]


def _write_bigwig(path: Path, runs: _Runs) -> None:
    import pyBigWig

    with utf8_name(path) as name, pyBigWig.open(str(name), "w") as file:
        file.addHeader(list(runs.contigs.items()))
        for contig, start, values in runs:
            file.addEntries(contig, start, values=values, span=1, step=1)


def _write_bedgraph(path: Path, runs: _Runs, packed: bool) -> None:
    """Runs of equal values as one record each, in the fewest digits that name the float32."""
    with open_bgzip(path) if packed else path.open("wb") as file:
        for contig, start, values in runs:
            edges = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))
            for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                file.write(
                    f"{contig}\t{start + first}\t{start + stop}\t{values[first]!s}\n".encode()
                )
