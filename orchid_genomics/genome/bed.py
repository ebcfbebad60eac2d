"""BED files (BED3 to BED12, narrowPeak, IDR) as intervals; BED is 0-based half-open.

Read by hand: pybedtools wants a bedtools binary and pyranges a table in memory, and neither names
the line that is wrong. The trap: column 10 is a summit in one format, the number of exons in
another.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pysam

from orchid_genomics.errors import GenomeNote, InputError
from orchid_genomics.files import atomic_file, read_lines, writable
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.contigs import note_skipped
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval
from orchid_genomics.sequence.interval import read_strand, shorten, whole_number

_SKIPPED = ("#", "track", "browser")
# words of a column 6 that mean nothing but a strand; W, C or 1 may be letters or counts
_PLAIN_STRANDS = ("+", "-", "plus", "minus", "forward", "reverse", "sense", "antisense")
_HEADERS = ("chrom", "chr", "contig", "seqname", "seqid", "chromosome")
# A .tbi can name no letter beyond this; a .csi can.
_LONGEST_TBI = 1 << 29
_SUMMIT, _BED12 = 9, 12  # index of the column of a summit; columns of the one format without


class Record(NamedTuple):
    """One record of a BED.

    Attributes
    ----------
    line : int
        Its line, from 1.
    place : Interval
        With the contig as written.
    columns : tuple of str
        The columns after the third, as written.
    """

    line: int
    place: Interval
    columns: tuple[str, ...]

    def summit(self, path: object) -> int | None:
        """The peak of a narrowPeak record or one like it (IDR), 0-based on its contig; None where
        there is none.

        A record has one where columns 7 to 9 are numbers and column 10 a whole one, unless it is a
        BED12, or begins as one (gappedPeak); -1 there says that none was called. One rule for every
        command, record by record: a file may mix records with and without. Raises InputError,
        naming `path`, for a summit of a narrowPeak (10 columns) that lies outside its record.
        """
        words = self.columns
        if len(words) + 3 <= _SUMMIT or len(words) + 3 == _BED12:
            return None
        if not all(map(_is_number, words[3:6])) or self._has_blocks():
            return None
        offset = whole_number(words[6])
        if offset is None or offset == -1:
            return None
        if not 0 <= offset <= len(self.place):
            if len(words) == _SUMMIT - 2:
                message = f"column 10 of {self.place} (1-based) is {shorten(words[6])!r}"
                raise InputError(path, message, "a narrowPeak summit, or -1")
            return None
        # ENCODE's files round up to the letter after the last
        return self.place.start + min(offset, len(self.place) - 1)

    def _has_blocks(self) -> bool:
        """Whether columns 7 to 12 are those of a BED12: a thick part of the record, and lists of as
        many sizes and starts as column 10 says.
        """
        words = self.columns
        if len(words) + 3 < _BED12:
            return False
        thick = [whole_number(word) for word in words[3:5]]
        sizes, starts = (word.rstrip(",").split(",") for word in words[7:9])
        numbers = [whole_number(word) for word in (*sizes, *starts)]
        return (
            whole_number(words[6]) == len(sizes) == len(starts)
            and None not in numbers
            and all(self.place.start <= (at or 0) <= self.place.end for at in thick)
        )


@dataclass(frozen=True, eq=False)
class Bed(Sequence[Interval]):
    """The records of a BED file, a sequence of Interval in file order.

    Attributes
    ----------
    path : Path
    intervals : tuple of Interval
        A record without a strand in column 6 has strand ".", one without a name in column 4 has
        name "".
    columns : tuple
        The columns after the third of every record, as written.
    """

    path: Path
    intervals: tuple[Interval, ...]
    columns: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.intervals)

    def __getitem__(self, index: Any) -> Any:
        return self.intervals[index]

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    def summits(self) -> list[int | None]:
        """The summit of every record, 0-based on its contig; None where it has none (see
        `Record.summit`).
        """
        rows = zip(self.intervals, self.columns, strict=True)
        return [Record(0, interval, columns).summit(self.path) for interval, columns in rows]


def read_bed(path: str | Path, genome: Genome | None = None) -> Bed:
    """Read BED3 to BED12, narrowPeak or broadPeak, plain or (b)gzipped, a file or a pipe; records
    may be none.

    Parameters
    ----------
    path : str or Path
    genome : Genome, optional
        Contigs are renamed to its own. Records on contigs that it lacks are left out, and said by a
        GenomeNote.

    Raises
    ------
    InputError
        With the line number for too few columns, text for numbers, start < 0, start >= end, and a
        place off its contig; with both lists of names where no contig is the genome's.
    """
    path = Path(path)
    records = list(read_records(path))
    if genome is not None:
        records = _on_genome(records, genome, path)
    intervals = tuple(record.place for record in records)
    return Bed(path, intervals, tuple(record.columns for record in records))


def read_records(path: Path, shown: object = None) -> Iterator[Record]:
    """The records of a BED one by one, in constant memory, contigs as written; raises InputError as
    `read_bed`. Messages call the file `shown`, if that is given.
    """
    shown = shown or path
    column_six = _ColumnSix(shown)
    for number, line in read_lines(path):
        if not line.strip() or (line.startswith(_SKIPPED) and _is_comment(line)):
            continue
        # Where tabs separate columns, a name may hold spaces.
        words = line.split("\t") if "\t" in line else line.split()
        if number == 1 and _is_header(words):
            continue
        contig, start, end = _place(words, f"{shown} line {number}")
        strand = column_six.strand(words[5], number) if len(words) > 5 else "."
        name = words[3] if len(words) > 3 and words[3] != "." else ""
        interval = Interval(contig, start, end, strand=strand, name=name)
        yield Record(number, interval, tuple(words[3:]))
    column_six.note()


class _ColumnSix:
    """Column 6 of a BED: a strand in all of its records, or something else in all of them.

    Many tables that are cut and joined hold something else there. What must not be is that some
    records are read on their strand and others not, so a column of both is refused.
    """

    def __init__(self, shown: object) -> None:
        self.shown = shown
        self._is_strand: bool | None = None
        self._other = ""

    def strand(self, word: str, number: int) -> str:
        """The strand that a record of line `number` has. Raises InputError where it is unclear."""
        strand = read_strand(word)
        # "." says nothing of the column, nor does 0: Ensembl's word for no strand, and many a score
        if self._is_strand is None and strand != ".":
            self._is_strand = strand is not None
            if strand is None:
                self._other = f"{shorten(word)!r} in line {number:,}"
        if self._is_strand is False:
            if word.strip().lower() not in _PLAIN_STRANDS:
                return "."
            message = f"strand {shorten(word)!r} in column 6, which has {self._other}"
            possible = "a strand in every record (. for none), or in none"
            raise InputError(f"{self.shown} line {number}", message, possible)
        if strand is None:
            message = f"strand {shorten(word)!r} in column 6"
            raise InputError(f"{self.shown} line {number}", message, "+, - or .")
        return strand

    def note(self) -> None:
        """Say that the column held something else, where it did."""
        if self._other:
            message = f"column 6 is no strand ({self._other}): records are read forward"
            # Not of the caller: the same file may be read twice, and is to be told once.
            warnings.warn(f"{self.shown}: {message}", GenomeNote, stacklevel=1)


def _is_comment(line: str) -> bool:
    """A line of `track` or `browser` settings, and not a record of a contig called track1."""
    return line.startswith("#") or line.split(None, 1)[0] in _SKIPPED


def _is_header(words: list[str]) -> bool:
    numbers = [whole_number(word) for word in words[1:3]]
    # A contig may bear such a name too; then numbers follow it.
    return words[0].lower() in _HEADERS and numbers == [None] * len(numbers)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _place(words: list[str], where: str) -> tuple[str, int, int]:
    if len(words) < 3:
        raise InputError(
            where, f"{len(words)} columns", "contig, start and end at least, between tabs"
        )
    if not words[0].strip():
        raise InputError(where, "a contig without a name", "contig, start and end between tabs")
    start, end = whole_number(words[1]), whole_number(words[2])
    if start is None or end is None:
        label, word = ("start", words[1]) if start is None else ("end", words[2])
        message = f"{label} {shorten(word)!r} is no whole number"
        raise InputError(where, message, "0-based half-open places")
    if start < 0:
        raise InputError(where, f"start {start} is negative", "0-based half-open places")
    if start >= end:
        raise InputError(where, f"start {start} is not below end {end}", "0-based half-open places")
    return words[0], start, end


def _on_genome(records: list[Record], genome: Genome, path: Path) -> list[Record]:
    """The records on contigs of the genome, under its names."""
    contigs = list(dict.fromkeys(record.place.contig for record in records))
    names = genome.shared(contigs, path)
    if records and not names:
        # Raises, with both lists of names.
        genome.rename(contigs, path)
    placed: list[Record] = []
    unknown: Counter[str] = Counter()
    for record in records:
        own = record.place
        if own.contig not in names:
            unknown[own.contig] += 1
            continue
        contig = names[own.contig]
        length = genome.contigs[contig]
        if own.end > length:
            raise InputError(
                f"{path} line {record.line}",
                f"end {own.end:,} is off contig {contig}",
                f"ends up to {length:,} in {genome.path.name}",
            )
        placed.append(record._replace(place=replace(own, contig=contig)))
    if unknown:
        note_skipped(path, "records", unknown, genome.path.name)
    return placed


def write_bed(path: str | Path, rows: Iterable[Interval | tuple]) -> None:
    """Write intervals as BED6, or tuples (contig, start, end, ...) as they are; 0-based half-open.

    A `.gz` path is bgzipped, sorted by place (contigs in order of appearance) and gets a tabix
    index. The file appears whole or not at all. Raises InputError for a word with a tab or line
    break.
    """
    path = Path(path)
    records = [_record(row) for row in rows]
    for record in records:
        if any(mark in str(word) for word in record for mark in "\t\n\r"):
            raise InputError(path, f"a tab or line break in {record!r}", "words without")
    text = ["\t".join(map(str, record)) + "\n" for record in records]
    with writable(path), ExitStack() as stack:
        temporary = stack.enter_context(atomic_file(path))
        # An OSError that says why, where pysam would end the process.
        temporary.touch()
        if path.suffix != ".gz":
            temporary.write_text("".join(text), encoding="utf-8")
            return
        contigs = dict.fromkeys(record[0] for record in records)
        rank = {contig: number for number, contig in enumerate(contigs)}
        # tabix wants every contig in one piece, and its places rising.
        order = sorted(range(len(text)), key=lambda i: (rank[records[i][0]], *records[i][1:3]))
        with open_bgzip(temporary) as file:
            file.write("".join(text[i] for i in order).encode())
        tabix(stack, temporary, path, max((record[2] for record in records), default=0))


def tabix(stack: ExitStack, temporary: Path, path: Path, longest: int, **columns: Any) -> None:
    """Index the bgzipped `temporary` that will be `path`: `.tbi`, or `.csi` where a place lies
    beyond 512 Mb.

    `columns` say where places stand, in the words of `pysam.tabix_index`; as in a BED when nothing
    is said. The index takes its name when the stack closes, and so does the file, whose
    `atomic_file` was entered before it.
    """
    csi = longest > _LONGEST_TBI
    index = stack.enter_context(atomic_file(Path(f"{path}.{'csi' if csi else 'tbi'}")))
    words = columns or {"preset": "bed"}
    pysam.tabix_index(
        str(temporary), force=True, csi=csi, keep_original=True, index=str(index), **words
    )


def _record(row: Interval | tuple) -> tuple:
    return (
        (row.contig, row.start, row.end, row.name or ".", 0, row.strand)
        if isinstance(row, Interval)
        else row
    )
