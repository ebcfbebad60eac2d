"""Explained regions as files: parts of a job, HDF5 and npz with a row a region, tracks of one value
a letter.

Arrays of a row run along the region as it is read; one shorter than the longest ends in zeros
(one-hot) and NaN. The trap: in a track values stand on the forward strand, and where regions
overlap it holds their mean.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.explain.explainer import Arrays, Explained
from orchid_genomics.explain.methods import COMMON, Shape
from orchid_genomics.explain.references import one_hot
from orchid_genomics.files import atomic_file, create_hdf5, open_hdf5
from orchid_genomics.jobs.task import Format
from orchid_genomics.score.elements.element_files import TRACKS, TrackFormat
from orchid_genomics.sequence import DNA, Interval

KINDS = ("h5", "npz", *TRACKS)
_COLUMNS = ("contig", "start", "end", "strand", "name", "why")
# What files of the first version hold, which say nothing of shapes.
_KNOWN_SHAPES: dict[str, Shape] = {**COMMON, "effects": (4, "L"), "dependency": ("L", "L")}


def _shape(shape: Sequence[int | str], length: int) -> tuple[int, ...]:
    """The shape of an array of a region of so many letters."""
    return tuple(length if size == "L" else int(size) for size in shape)


@dataclass(frozen=True)
class ExplainFormat(Format):
    """Parts as npz, joined as one of KINDS.

    Parameters
    ----------
    identity : mapping
        That of the job; its `kind` names the format, its `arrays` hold shapes by name.
    also : sequence of Path
        More files of the same numbers.
    reports : mapping
        Files beside them, each with what writes it from its path and the regions.
    """

    identity: Mapping[str, Any]
    also: Sequence[Path] = ()
    reports: Mapping[Path, Callable[[Path, Iterable[Explained]], None]] = field(
        default_factory=dict
    )

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return self.identity["arrays"]

    def write(self, answers: Iterable[Explained], part: Path) -> None:
        answers = list(answers)
        explained = [region for region in answers if not region.why]
        arrays: dict[str, Any] = {**_columns(answers)}
        for name in explained[0].arrays if explained else ():
            values = [region.arrays[name] for region in explained]
            # Regions differ in length, so their arrays lie end to end.
            arrays[name] = np.concatenate([array.reshape(-1) for array in values])
        arrays |= self._track(explained)
        with part.open("wb") as file:
            np.savez(file, **arrays)

    def _track(self, explained: Sequence[Explained]) -> Arrays:
        """What a track is joined from: pieces (contig, start, letters) and their values."""
        numbers = {name: number for number, name in enumerate(sorted(self.identity["contigs"]))}
        pieces = []
        values = [np.zeros(0, np.float32)]
        for interval, _, arrays in explained:
            pieces.append((numbers[interval.contig], interval.start, len(interval)))
            # A track stands on the forward strand, an array as the region is read.
            values.append(arrays["projected"][:: -1 if interval.strand == "-" else 1])
        return {
            "places": np.array(pieces, np.int64).reshape(-1, 3),
            "values": np.concatenate(values),
        }

    def join(self, parts: Iterable[Path], out: Path) -> None:
        parts = list(parts)
        for path in (out, *self.also):
            if path.name.endswith(TRACKS):
                TrackFormat(dict(self.identity["contigs"])).join(parts, path)
            elif path.suffix == ".h5":
                self._write_h5(path, parts)
            else:
                self._write_npz(path, parts)
        for path, write in self.reports.items():
            write(path, self.regions(parts))

    def regions(self, parts: Iterable[Path]) -> Iterator[Explained]:
        """The regions of parts, one after the other."""
        for part in parts:
            yield from read_part(part, self.shapes)

    @property
    def _table(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Datasets: the shape of a row, and its type."""
        longest = self.identity["longest"]
        table: dict[str, tuple[tuple[int, ...], str]] = {"one_hot": ((4, longest), "u1")}
        for name, shape in self.shapes.items():
            table[name] = (_shape(shape, longest), "f4")
        return table

    @property
    def _about(self) -> dict[str, Any]:
        """What a file says of itself."""
        return {
            key: value for key, value in self.identity.items() if key not in ("contigs", "kind")
        }

    def _write_h5(self, path: Path, parts: Sequence[Path]) -> None:
        import h5py

        records = self.identity["records"]
        with atomic_file(path) as temporary, create_hdf5(temporary) as file:
            for key, value in self._about.items():
                is_plain = isinstance(value, str | int | float)
                file.attrs[key] = value if is_plain else json.dumps(value)
            for name, (shape, kind) in self._table.items():
                # A chunk a region, for regions are read one by one.
                options = (
                    {"chunks": (1, *shape), "compression": "gzip", "shuffle": True} if shape else {}
                )
                file.create_dataset(name, (records, *shape), kind, **options)
            columns = file.create_group("intervals")
            for name in _COLUMNS:
                kind = "i8" if name in ("start", "end") else h5py.string_dtype()
                columns.create_dataset(name, (records,), kind)
            for row, region in enumerate(self.regions(parts)):
                for name, (shape, kind) in self._table.items():
                    file[name][row] = _row(region, name, shape, kind)
                for name, value in zip(_COLUMNS, _words(region), strict=True):
                    columns[name][row] = value

    def _write_npz(self, path: Path, parts: Sequence[Path]) -> None:
        """Held in memory whole; a large job is better written as HDF5."""
        regions = list(self.regions(parts))
        arrays: dict[str, Any] = {**_columns(regions)}
        for name, (shape, kind) in self._table.items():
            arrays[name] = np.stack([_row(region, name, shape, kind) for region in regions])
        arrays["about"] = np.array(json.dumps(self._about))
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)


def _words(region: Explained) -> tuple[str, int, int, str, str, str]:
    """A region without its arrays, in the order of _COLUMNS."""
    interval = region.interval
    return (
        interval.contig,
        interval.start,
        interval.end,
        interval.strand,
        interval.name,
        region.why,
    )


def _columns(regions: Sequence[Explained]) -> Arrays:
    """Regions without their arrays, a column (N,) for each of _COLUMNS."""
    rows = [_words(region) for region in regions]
    columns = {}
    for number, name in enumerate(_COLUMNS):
        kind = np.int64 if name in ("start", "end") else np.str_
        columns[name] = np.array([row[number] for row in rows], kind)
    return columns


def _row(region: Explained, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """A row of a dataset: the array at its beginning, then what stands for nothing."""
    row = np.full(shape, 0 if kind == "u1" else np.nan, kind)
    if region.why:
        return row
    if name == "one_hot":
        values = one_hot(region.arrays["tokens"][None])[0].numpy()
    else:
        values = region.arrays[name]
    row[tuple(slice(size) for size in values.shape)] = values
    return row


def read_part(part: Path, shapes: Mapping[str, Shape]) -> Iterator[Explained]:
    """The regions of a part, whose arrays have `shapes`."""
    with np.load(part) as file:
        saved = {name: file[name] for name in file.files}
    shapes = {"tokens": ("L",), **shapes}
    taken = dict.fromkeys(shapes, 0)
    for words in zip(*(saved[name].tolist() for name in _COLUMNS), strict=True):
        interval, why = Interval(*words[:5]), words[5]
        arrays: Arrays = {}
        for name, symbols in shapes.items() if not why else ():
            shape = _shape(symbols, len(interval))
            size = int(np.prod(shape))
            arrays[name] = saved[name][taken[name] : taken[name] + size].reshape(shape)
            taken[name] += size
        yield Explained(interval, why, arrays)


def read_explained(path: str | Path) -> Iterator[Explained]:
    """The regions of a file that `explain` wrote, one after the other.

    Parameters
    ----------
    path : str or Path
        An HDF5 file, which is read region by region, or an npz, which is read whole.

    Raises
    ------
    InputError
        For another file.
    """
    read = _read_npz if str(path).endswith(".npz") else _read_h5
    try:
        yield from read(Path(path))
    except (OSError, KeyError, ValueError, BadZipFile):
        raise InputError(
            path, "holds no explained regions", "an OUT.h5 or OUT.npz of orchid-genomics explain"
        ) from None


def _read_h5(path: Path) -> Iterator[Explained]:
    with open_hdf5(path) as file:
        columns = file["intervals"]
        known = {name: shape for name, shape in _KNOWN_SHAPES.items() if name in file}
        shapes = json.loads(file.attrs["arrays"]) if "arrays" in file.attrs else known
        rows = {name: columns[name].asstr() for name in ("contig", "strand", "name", "why")}
        rows |= {name: columns[name] for name in ("start", "end")}
        for row in range(len(columns["start"])):
            yield _region(file, rows, row, shapes)


def _read_npz(path: Path) -> Iterator[Explained]:
    with np.load(path) as file:
        saved = {name: file[name] for name in file.files}
    about = json.loads(str(saved["about"]))
    known = {name: shape for name, shape in _KNOWN_SHAPES.items() if name in saved}
    shapes = about.get("arrays", known)
    for row in range(len(saved["start"])):
        yield _region(saved, saved, row, shapes)


def _region(
    saved: Mapping[str, Any], columns: Mapping[str, Any], row: int, shapes: Mapping[str, Shape]
) -> Explained:
    """A row of a file, without what fills its arrays up to the longest region."""
    contig, start, end, strand, name, why = (columns[column][row] for column in _COLUMNS)
    interval = Interval(str(contig), int(start), int(end), str(strand), str(name))
    arrays: Arrays = {}
    if not why:
        x_4L = saved["one_hot"][row, :, : len(interval)]
        # The argmax of a column without a letter would be A.
        arrays["tokens"] = np.where(x_4L.any(0), x_4L.argmax(0), DNA.n).astype(np.uint8)
        for array, shape in shapes.items():
            sizes = _shape(shape, len(interval))
            arrays[array] = saved[array][(row, *(slice(size) for size in sizes))]
    return Explained(interval, str(why), arrays)
