"""BED files as intervals, and sets of places; BED is 0-based half-open, and the first record is
never a header.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pysam

from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, read_lines, writable
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval

_SKIPPED = ("#", "track", "browser")
_HEADERS = ("chrom", "chr", "contig", "seqname", "seqid", "chromosome")
_STRANDS = {"+": "+", "-": "-", ".": ".", "*": ".", "": "."}
_LONGEST_TBI = 1 << 29


@dataclass(frozen=True, eq=False)
class Bed(Sequence):
    """The records of a BED file, a sequence of Interval in file order.

    Attributes: `columns`, the columns after the third of every record, as written. A record without
    a strand in column 6 has strand ".", one without a name in column 4 has name "".
    """

    path: Path
    intervals: tuple[Interval, ...]
    columns: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.intervals)

    def __getitem__(self, index):
        return self.intervals[index]

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    def summits(self) -> list[int]:
        """The peak of every narrowPeak record, 0-based on its contig; the middle where none was
        called (-1).

        Raises InputError when the records have no column 10, or it lies outside its record.
        """
        found = []
        for place, columns in zip(self.intervals, self.columns, strict=True):
            text = columns[6] if len(columns) > 6 else "none"
            offset = int(text) if text.removeprefix("-").isdigit() else -2
            if not -1 <= offset <= len(place):
                raise InputError(
                    self.path,
                    f"column 10 of {place} (1-based) is {text!r}",
                    "a narrowPeak summit, or -1",
                )
            offset = min(
                offset, len(place) - 1
            )  # ENCODE's files round up to the letter after the last
            found.append(place.start + (len(place) // 2 if offset == -1 else offset))
        return found


def read_bed(path: str | Path, genome: Genome | None = None) -> Bed:
    """Read BED3 to BED12, narrowPeak or broadPeak, plain or (b)gzipped; records may be none.

    With a genome, contigs are renamed to its own and every record must lie on them. Raises
    InputError with the line number for too few columns, text for numbers, start < 0, start >= end,
    a place off its contig, and with both lists of names for an unknown contig.
    """
    path = Path(path)
    records = list(read_records(path))
    numbers, places = [record.line for record in records], [record.place for record in records]
    if genome is not None:
        places = on_genome(places, genome, path, numbers)
    return Bed(path, tuple(places), tuple(record.columns for record in records))


class Record(NamedTuple):
    """One record of a BED: the number of its line, its place, and the columns after the third as
    written.
    """

    line: int
    place: Interval
    columns: tuple[str, ...]


def read_records(path: Path) -> Iterator[Record]:
    """The records of a BED one by one, in constant memory, contigs as written; raises InputError as
    `read_bed`.
    """
    stranded: bool | None = None
    for number, line in read_lines(path):
        if not line.strip() or (line.startswith(_SKIPPED) and _is_comment(line)):
            continue
        words = line.split("\t") if "\t" in line else line.split()
        if number == 1 and words[0].lower() in _HEADERS and not any(map(_is_whole, words[1:3])):
            continue
        place = _place(words, f"{path} line {number}")
        if stranded is None and len(words) > 5:
            stranded = words[5] in _STRANDS  # the first record decides whether column 6 is a strand
        strand = words[5] if stranded and len(words) > 5 else "."
        if strand not in _STRANDS:
            raise InputError(f"{path} line {number}", f"strand {strand!r} in column 6", "+, - or .")
        name = words[3] if len(words) > 3 and words[3] != "." else ""
        yield Record(number, Interval(*place, _STRANDS[strand], name), tuple(words[3:]))


def _is_comment(line: str) -> bool:
    """A line of `track` or `browser` settings, and not a record of a contig called track1."""
    return line.startswith("#") or line.split(None, 1)[0] in _SKIPPED


def _is_whole(word: str) -> bool:
    return word.strip().removeprefix("-").isdecimal()


def _place(words: list[str], where: str) -> tuple[str, int, int]:
    if len(words) < 3:
        raise InputError(
            where, f"{len(words)} columns", "contig, start and end at least, between tabs"
        )
    for word, label in zip(words[1:3], ("start", "end"), strict=True):
        if not _is_whole(word):
            raise InputError(
                where, f"{label} {word!r} is no whole number", "0-based half-open places"
            )
    start, end = int(words[1]), int(words[2])
    if start < 0:
        raise InputError(where, f"start {start} is negative", "0-based half-open places")
    if start >= end:
        raise InputError(where, f"start {start} is not below end {end}", "0-based half-open places")
    return words[0], start, end


def on_genome(
    places: Sequence[Interval], genome: Genome, path: Path, lines: Sequence[int]
) -> list[Interval]:
    """Places with the genome's contig names; raises InputError for an unknown contig or a place off
    its contig.
    """
    names = genome.rename((place.contig for place in places), path)
    found = []
    for place, line in zip(places, lines, strict=True):
        contig = names[place.contig]
        if place.end > genome.contigs[contig]:
            off = f"end {place.end:,} is off contig {contig}"
            where = f"{path} line {line}" if line else path  # GenBank features come without
            raise InputError(
                where, off, f"ends up to {genome.contigs[contig]:,} in {genome.path.name}"
            )
        same = contig == place.contig
        found.append(
            place if same else Interval(contig, place.start, place.end, place.strand, place.name)
        )
    return found


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
        temporary.touch()  # an OSError that says why, where pysam would end the process
        if path.suffix != ".gz":
            temporary.write_text("".join(text), encoding="utf-8")
            return
        seen = {
            contig: place
            for place, contig in enumerate(dict.fromkeys(record[0] for record in records))
        }
        order = sorted(range(len(text)), key=lambda i: (seen[records[i][0]], *records[i][1:3]))
        with pysam.BGZFile(str(temporary), "wb") as file:
            file.write("".join(text[i] for i in order).encode())
        tabix(stack, temporary, path, max((record[2] for record in records), default=0))


def tabix(stack: ExitStack, temporary: Path, path: Path, longest: int, **columns: Any) -> None:
    """Index the bgzipped `temporary` that will be `path`: `.tbi`, or `.csi` where a place lies
    beyond 512 Mb.

    `columns` say where places stand, in the words of `pysam.tabix_index`; as in a BED when nothing
    is said. The index takes its name when the stack closes, and so does the file, whose `atomic_file`
    was entered before it.
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
