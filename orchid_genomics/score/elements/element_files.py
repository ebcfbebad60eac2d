"""Elements in and scored elements out: BED, TSV and parquet with a row each, in order; tracks of
one of the scores.

The trap: a BED is answered record by record, so one that lies off the genome is read like any other
and gets a reason. What is added to a header is the same for every shard: model and genome by
checksum, never a time or a path.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import __version__
from orchid_genomics.errors import InputError
from orchid_genomics.files import checksum, name_errors, regular_copy
from orchid_genomics.genome.bed import Record, read_records
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.feature import around_origin
from orchid_genomics.genome.signal import Piece, write_track
from orchid_genomics.jobs.formats import ParquetFormat, TextFormat
from orchid_genomics.jobs.inputs import Unchanged
from orchid_genomics.jobs.task import Format, Identity
from orchid_genomics.score.elements.element_scores import ElementScores
from orchid_genomics.sequence import Interval

TRACKS = ("bw", "bigWig", "bedGraph.gz", "bedGraph", "bedgraph.gz", "bedgraph")
KINDS = ("bed.gz", "bed", "tsv.gz", "tsv", "parquet", *TRACKS)
_NARROWPEAK = ("signalValue", "pValue", "qValue", "peak")
_BED12 = ("thickStart", "thickEnd", "itemRgb", "blockCount", "blockSizes", "blockStarts")
_STRETCH = 1 << 22  # letters of a track that are put together at once
# columns of a BED before ours: what stands in the fourth is read as a name, in the fifth as a score
_FEWEST = 6


@dataclass(frozen=True)
class ElementFile:
    """A BED that was read through once: what a job must know before it begins.

    Attributes: `path` (of a copy, where a pipe was given) and `shown`, its name in messages;
    `records` how many; `checksum`; `names` every contig of the file to that of the
    genome, or to itself where the genome has none such; `ordered` whether a tabix index is
    possible; `farthest` the largest end; `columns` the most columns of a record; `stranded` whether
    both strands occur; `longest` the most letters.
    """

    path: Path
    shown: str
    unchanged: Unchanged
    records: int
    checksum: str
    names: dict[str, str]
    ordered: bool
    farthest: int
    columns: int
    stranded: bool
    longest: int

    @classmethod
    def survey(cls, path: str | Path, genome: Genome) -> "ElementFile":
        """Raises InputError for a file that is no BED, is empty, or has no contig of the genome."""
        shown = "standard input" if str(path) == "-" else str(path)
        # A pipe gives its bytes once, and a job reads its input twice.
        path = regular_copy(path)
        unchanged = Unchanged(path, shown)
        records = farthest = longest = columns = 0
        ordered, last = True, Interval("", -1, 0)
        seen: dict[str, None] = {}
        strands = set()
        for record in _read(path, shown):
            interval = record.place
            records += 1
            farthest, longest = max(farthest, interval.end), max(longest, len(interval))
            columns = max(columns, 3 + len(record.columns))
            if interval.contig == last.contig:
                ordered &= interval.start >= last.start
            else:
                ordered &= interval.contig not in seen
            seen[interval.contig] = None
            # A wrong summit is said before anything is scored.
            record.summit(shown)
            strands.add(interval.strand)
            last = interval
        if not records:
            raise InputError(shown, "has no record", "a BED with at least one element")
        known = genome.shared(seen, shown)
        if not known:
            message = f"no contig of {genome.path.name}: {listed(seen)}"
            raise InputError(shown, message, f"possible: {listed(genome.contigs)}")
        return cls(
            path=path,
            shown=shown,
            unchanged=unchanged,
            records=records,
            checksum=checksum(path),
            # A contig that the genome lacks keeps its name, and its elements get a reason.
            names={name: known.get(name, name) for name in seen},
            ordered=ordered,
            farthest=farthest,
            columns=columns,
            stranded={"+", "-"} <= strands,
            longest=longest,
        )

    def __len__(self) -> int:
        return self.records

    def __iter__(self) -> Iterator[Record]:
        return _read(self.path, self.shown)

    @property
    def settings(self) -> dict[str, Any]:
        """What of an identity the file decides."""
        return {
            "input": self.checksum,
            "width": len(_column_names(max(self.columns, _FEWEST))),
            "ordered": self.ordered,
            "farthest": self.farthest,
        }

    def interval(self, record: Record) -> Interval:
        """The interval of a record with the genome's name of its contig."""
        return replace(record.place, contig=self.names[record.place.contig])


def _read(path: Path, shown: str) -> Iterator[Record]:
    """Records of a BED; what is wrong is of the name that the user gave, not of a copy of ours."""
    with name_errors(path, shown):
        yield from read_records(path, shown)


class ElementIdentity(Identity):
    """What decides a byte of scored elements, or of the track of a genome.

    Which of the options are there depends on the model and on what is scored.
    """

    summary_fields = (
        "model",
        "genome",
        "input",
        "tile",
        "stride",
        "length",
        "window",
        "passes",
        "background",
        "seed",
        "track",
    )

    model: str
    genome: str
    length: int | None = None
    window: int | None = None
    passes: int | None = None
    background: int | None = None
    seed: int | None = None
    input: str | None = None
    tile: str | None = None
    stride: int | None = None
    track: str | None = None
    columns: tuple[tuple[str, str], ...]
    """Name and description of each."""
    width: int
    """Columns of an element before its scores."""
    ordered: bool
    farthest: int
    contigs: dict[str, int] | None = None
    """Those of the genome, of a track alone."""

    def summary(self) -> dict[str, Any]:
        # Null, and not left out, where no track is written.
        return super().summary() | {"track": self.track}

    @property
    def about(self) -> dict[str, str]:
        """What made the output, as its header says."""
        options = (
            "model",
            "genome",
            "length",
            "window",
            "passes",
            "background",
            "seed",
            "tile",
            "stride",
        )
        values = self.dump()
        about = {name: str(values[name]) for name in options if name in values}
        return {"orchid-genomics": __version__, **about}

    @property
    def head(self) -> str:
        """The header of a BED or TSV: what made it, and the names of its columns."""
        words = "; ".join(f"{key} {value}" for key, value in self.about.items())
        names = [*_column_names(self.width), *(name for name, _ in self.columns), "why"]
        return "#" + words.replace(" ", "=", 1) + "\n#" + "\t".join(names) + "\n"


def _column_names(count: int) -> list[str]:
    plain = tuple(f"column{n}" for n in range(7, count + 1))
    more = {10: _NARROWPEAK, 12: _BED12}.get(count, plain)
    return ["chrom", "start", "end", "name", "score", "strand", *more][:count]


def element_format(identity: ElementIdentity) -> Format:
    """How the parts of a job are written and joined."""
    kind = identity.kind
    if kind in TRACKS:
        return TrackFormat(identity.contigs or {})
    if kind == "parquet":
        schema = {"chrom": "string", "start": "int64", "end": "int64"}
        schema |= {"name": "string", "strand": "string"}
        schema |= {name: "float32" for name, _ in identity.columns} | {"why": "string"}
        return ParquetFormat(tuple(schema.items()), identity.about)
    index = {"preset": "bed"} if identity.ordered else None
    return TextFormat(identity.head.encode(), kind.endswith(".gz"), index, identity.farthest)


def render(
    identity: ElementIdentity,
    records: Sequence[Record],
    intervals: Sequence[Interval],
    scores: ElementScores,
) -> Any:
    """Records and their scores as `element_format` takes them; `intervals` are on the genome."""
    if identity.kind in TRACKS:
        values = []
        for interval, value in zip(intervals, scores[identity.track or ""], strict=True):
            size = (identity.contigs or {}).get(interval.contig, interval.end)
            # What has a score and runs over the last letter lies on a circular contig.
            parts = [interval] if math.isnan(value) else around_origin(interval, size)
            for part in parts:
                values.append((part.contig, part.start, np.full(len(part), value, np.float32)))
        return values
    if identity.kind == "parquet":
        return _table(records, scores)
    lines = []
    for record, row, why in zip(records, scores.values.tolist(), scores.why, strict=True):
        words = _bed_words(record, identity.width)
        lines.append("\t".join([*words, *map(number, row), why or "."]).encode() + b"\n")
    return lines


def _bed_words(record: Record, width: int) -> list[str]:
    """The columns of a record, filled up to `width` with what stands for nothing."""
    interval = record.place
    # A name, a score and a strand, as a BED says that it has none.
    nothing = [".", "0", ".", *["."] * width]
    columns = [*record.columns, *nothing[len(record.columns) :]]
    return [interval.contig, str(interval.start), str(interval.end), *columns][:width]


def number(value: float) -> str:
    """Six significant digits, `.` for none."""
    return "." if value != value else f"{value:.6g}"


def _table(records: Sequence[Record], scores: ElementScores) -> dict[str, list[Any]]:
    intervals = [record.place for record in records]
    table: dict[str, list[Any]] = {
        "chrom": [interval.contig for interval in intervals],
        "start": [interval.start for interval in intervals],
        "end": [interval.end for interval in intervals],
        "name": [interval.name or None for interval in intervals],
        "strand": [interval.strand for interval in intervals],
    }
    for i, column in enumerate(scores.columns):
        values = scores.values[:, i].tolist()
        table[column.name] = [None if math.isnan(value) else value for value in values]
    return table | {"why": [why or None for why in scores.why]}


@dataclass(frozen=True)
class TrackFormat(Format):
    """Values along contigs; where places overlap, their mean. `contigs` are all of the genome, name
    to length.

    Answers are (contig, start, values); a part is an npz. Joining needs the memory of one part and
    one stretch.
    """

    contigs: dict[str, int]

    def write(self, answers: Iterable[tuple[str, int, Sequence[float]]], part: Path) -> None:
        answers = list(answers)
        names = {name: code for code, name in enumerate(sorted(self.contigs))}
        rows = [
            (names[contig], start, len(values))
            for contig, start, values in answers
            if contig in names
        ]
        values = [
            np.asarray(values, np.float32) for contig, _, values in answers if contig in names
        ]
        with part.open("wb") as file:
            np.savez(
                file,
                places=np.array(rows, np.int64).reshape(-1, 3),
                values=np.concatenate([np.zeros(0), *values]),
            )

    def join(self, parts: Iterable[Path], out: Path) -> None:
        write_track(out, self.contigs, self._pieces(list(parts)))

    def _pieces(self, parts: list[Path]) -> Iterator[Piece]:
        """The means of every contig, in order of name, a stretch at a time."""
        spans = [(part, _spans(part)) for part in parts]
        # In order of name, as the index of a bigWig wants them.
        for code, (name, size) in enumerate(sorted(self.contigs.items())):
            mine = [(part, *span[code]) for part, span in spans if code in span]
            for start in range(0, size, _STRETCH):
                end = min(start + _STRETCH, size)
                here = [part for part, first, last in mine if first < end and last > start]
                if here:
                    yield name, start, _means(here, code, start, end)


def _spans(part: Path) -> dict[int, tuple[int, int]]:
    """First and last letter of a part on each of its contigs."""
    with np.load(part) as saved:
        places = saved["places"]
    ends = places[:, 1] + places[:, 2]
    spans = {}
    for code in np.unique(places[:, 0]).tolist():
        rows = places[:, 0] == code
        spans[code] = int(places[rows, 1].min()), int(ends[rows].max())
    return spans


def _means(parts: Sequence[Path], code: int, start: int, end: int) -> np.ndarray:
    """The mean of all values at each letter of a stretch, in the order of the parts; NaN where
    there is none.
    """
    total, count = np.zeros(end - start), np.zeros(end - start, np.int32)
    for part in parts:
        with np.load(part) as saved:
            places, values = saved["places"], saved["values"]
        at = np.cumsum(places[:, 2]) - places[:, 2]
        inside = (
            (places[:, 0] == code) & (places[:, 1] < end) & (places[:, 1] + places[:, 2] > start)
        )
        for (_, first, length), begin in zip(
            places[inside].tolist(), at[inside].tolist(), strict=True
        ):
            low, high = max(first, start), min(first + length, end)
            own = values[begin + low - first : begin + high - first]
            known = ~np.isnan(own)
            total[low - start : high - start][known] += own[known]
            count[low - start : high - start] += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
