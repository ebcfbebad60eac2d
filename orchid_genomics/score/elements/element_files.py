"""Elements in and scored elements out: BED, TSV and parquet with a row each, in order; tracks of
one of the scores.

The trap: a BED is answered record by record, so one that lies off the genome is read like any other
and gets a reason. What is added to a header is the same for every shard: model and genome by
checksum, never a time or a path.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import __version__
from orchid_genomics.errors import InputError
from orchid_genomics.files import checksum
from orchid_genomics.genome.bed import Record, read_records
from orchid_genomics.genome.contigs import GenomeNote, listed, shared
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import Piece, write_track
from orchid_genomics.jobs.formats import ParquetFormat, TextFormat
from orchid_genomics.score.elements.element_scores import REASONS, ElementScores
from orchid_genomics.score.variants.scorers import Column
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

    Attributes: `records` how many; `checksum`; `names` every contig of the file to that of the
    genome, or to itself where the genome has none such; `ordered` whether a tabix index is
    possible; `farthest` the largest end; `columns` the most columns of a record; `stranded` whether
    both strands occur; `longest` the most letters.
    """

    path: Path
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
        path = Path(path)
        count, farthest, longest, columns, ordered = 0, 0, 0, 0, True
        last, seen, strands = ("", 0), {}, set()
        for record in read_records(path):
            place = record.place
            count, farthest, longest = count + 1, max(farthest, place.end), max(longest, len(place))
            columns = max(columns, 3 + len(record.columns))
            ordered &= (
                place.start >= last[1] if place.contig == last[0] else place.contig not in seen
            )
            seen[place.contig], last = None, (place.contig, place.start)
            strands.add(place.strand)
        if not count:
            raise InputError(path, "has no record", "a BED with at least one element")
        known = shared(seen, genome.contigs, path, genome.path.name)
        if not known:
            found = f"no contig of {genome.path.name}: {listed(seen)}"
            raise InputError(path, found, f"possible: {listed(genome.contigs)}")
        names = {name: known.get(name, name) for name in seen}
        return cls(
            path,
            count,
            checksum(path),
            names,
            ordered,
            farthest,
            columns,
            {"+", "-"} <= strands,
            longest,
        )

    def __iter__(self) -> Iterator[Record]:
        return read_records(self.path)

    def place(self, record: Record) -> Interval:
        """The place of a record with the genome's name of its contig."""
        place, contig = record.place, self.names[record.place.contig]
        return (
            place
            if contig == place.contig
            else Interval(contig, place.start, place.end, place.strand, place.name)
        )


def summit(record: Record) -> int | None:
    """The summit of a narrowPeak record, 0-based on its contig; None where there is none."""
    text = record.columns[6] if len(record.columns) == 7 else ""
    if not text.isdecimal() or int(text) > len(record.place):
        return None
    return record.place.start + min(
        int(text), len(record.place) - 1
    )  # ENCODE's files round up to the letter after


def identity_of(
    options: dict[str, Any],
    columns: Sequence[Column],
    kind: str,
    file: ElementFile | None,
    track: str | None,
) -> dict[str, Any]:
    """All that decides a byte of the output, as JSON: a resumed run or another shard must say the
    same.

    `options` name inputs by checksum; `track` is the column of a track.
    """
    if file and not file.ordered and kind.endswith(".gz"):
        warnings.warn(
            f"{file.path}: is not sorted by place; answered in its order, without index",
            GenomeNote,
            stacklevel=2,
        )
    about = {
        "orchid-genomics": __version__,
        **{key: value for key, value in options.items() if key != "input"},
    }
    line = "#" + "; ".join(f"{key} {value}" for key, value in about.items()).replace(" ", "=", 1)
    own = [*(column.name for column in columns), "why"]
    before = _columns(max(file.columns, _FEWEST)) if file else []
    head = "\n".join([line, "#" + "\t".join([*before, *own])]) + "\n"
    return {
        **options,
        "kind": kind,
        "columns": [[column.name, column.about] for column in columns],
        "about": {key.replace(" ", "_"): str(value) for key, value in about.items()},
        "head": head,
        "width": len(before),
        "ordered": file.ordered if file else True,
        "farthest": file.farthest if file else 0,
        "track": track,
    }


def _columns(count: int) -> list[str]:
    more = {10: _NARROWPEAK, 12: _BED12}.get(
        count, tuple(f"column{n}" for n in range(7, count + 1))
    )
    return ["chrom", "start", "end", "name", "score", "strand", *more][:count]


def form(identity: dict[str, Any]) -> "TextFormat | ParquetFormat | TrackFormat":
    """How the parts of a job are written and joined."""
    kind = identity["kind"]
    if kind in TRACKS:
        return TrackFormat(identity["contigs"])
    if kind == "parquet":
        schema = {
            "chrom": "string",
            "start": "int64",
            "end": "int64",
            "name": "string",
            "strand": "string",
        }
        schema |= {name: "float32" for name, _ in identity["columns"]} | {"why": "string"}
        return ParquetFormat(tuple(schema.items()), identity["about"])
    index = {"preset": "bed"} if identity["ordered"] else None
    return TextFormat(identity["head"].encode(), kind.endswith(".gz"), index, identity["farthest"])


def rendered(
    identity: dict[str, Any],
    records: Sequence[Record],
    places: Sequence[Interval],
    found: ElementScores,
) -> Any:
    """Records and their scores as `form` takes them."""
    if identity["kind"] in TRACKS:
        column = found[identity["track"]]
        return [
            (place.contig, place.start, np.full(len(place), value, np.float32))
            for place, value in zip(places, column, strict=True)
        ]
    if identity["kind"] == "parquet":
        return _table(records, found)
    lines = []
    for record, row, why in zip(records, found.values.tolist(), found.why, strict=True):
        place = record.place
        own = [
            *record.columns,
            *(".", "0", ".", *(["."] * identity["width"]))[len(record.columns) :],
        ]
        words = [place.contig, str(place.start), str(place.end), *own][: identity["width"]]
        lines.append("\t".join([*words, *map(number, row), why or "."]).encode() + b"\n")
    return lines


def number(value: float) -> str:
    """Six significant digits, `.` for none."""
    return "." if value != value else f"{value:.6g}"


def _table(records: Sequence[Record], found: ElementScores) -> dict[str, list[Any]]:
    places = [record.place for record in records]
    table: dict[str, list[Any]] = {
        "chrom": [place.contig for place in places],
        "start": [place.start for place in places],
        "end": [place.end for place in places],
        "name": [place.name or None for place in places],
        "strand": [place.strand for place in places],
    }
    for i, column in enumerate(found.columns):
        table[column.name] = [
            None if value != value else value for value in found.values[:, i].tolist()
        ]
    return table | {"why": [why or None for why in found.why]}


@dataclass(frozen=True)
class TrackFormat:
    """Values along contigs; where places overlap, their mean. `contigs` are all of the genome, name
    to length.

    Answers are (contig, start, values); a part is an npz. Joining needs the memory of one part and
    one stretch.
    """

    contigs: dict[str, int]

    def write(self, answers: Iterable[tuple[str, int, Sequence[float]]], part: Path) -> None:
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
    found = {}
    for code in np.unique(places[:, 0]).tolist():
        rows = places[:, 0] == code
        found[code] = int(places[rows, 1].min()), int(ends[rows].max())
    return found


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


def reasons() -> str:
    """The words of REASONS for a help text."""
    return "; ".join(f"{code}: {words}" for code, words in REASONS.items())
