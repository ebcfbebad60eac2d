"""Explained regions as files: parts of a job, HDF5 and npz with a row a region, tracks of one value
a letter.

Arrays of a row run along the region as it is read; one shorter than the longest ends in zeros
(one-hot) and NaN. The
trap: in a track values stand on the forward strand, and where regions overlap it holds their mean.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.explain.methods import Found
from orchid_genomics.explain.references import one_hot
from orchid_genomics.files import atomic_file
from orchid_genomics.jobs.task import Format
from orchid_genomics.score.elements.element_files import TRACKS, TrackFormat
from orchid_genomics.sequence import Interval

KINDS = ("h5", "npz", *TRACKS)
_PLACE = ("contig", "start", "end", "strand", "name", "why")
_ABOUT = ("difference", "error", "steps")
_LINES = {"hypothetical": 4, "effects": 4}  # arrays of (4, L)


class Explained(NamedTuple):
    """One region: its place, `why` it has no arrays (else ""), and its arrays as `Explaining` gives
    them.
    """

    place: Interval
    why: str
    found: Found


@dataclass(frozen=True)
class ExplainFormat(Format):
    """Parts as npz; joined as what `identity["kind"]` says (a kind of KINDS), and as the files of
    `also` beside it.

    `reports` are files beside them, each with what writes it from its path and the regions.
    """

    identity: Mapping[str, Any]
    also: Sequence[Path] = ()
    reports: Mapping[Path, Callable[[Path, Iterable[Explained]], None]] = field(
        default_factory=dict
    )

    def write(self, answers: Iterable[Explained], part: Path) -> None:
        answers = list(answers)
        places = [each.place for each in answers]
        arrays: dict[str, Any] = {
            "contig": np.array([place.contig for place in places], "U"),
            "start": np.array([place.start for place in places], np.int64),
            "end": np.array([place.end for place in places], np.int64),
            "strand": np.array([place.strand for place in places], "U"),
            "name": np.array([place.name for place in places], "U"),
            "why": np.array([each.why for each in answers], "U"),
        }
        known = [each for each in answers if not each.why]
        for name in known[0].found if known else ():
            values = [each.found[name] for each in known]
            arrays[name] = (
                np.stack(values)
                if values[0].ndim == 0
                else np.concatenate([v.reshape(-1) for v in values])
            )
        codes = {name: code for code, name in enumerate(sorted(self.identity["contigs"]))}
        rows = [(codes[each.place.contig], each.place.start, len(each.place)) for each in known]
        values = [
            each.found["projected"][:: -1 if each.place.strand == "-" else 1] for each in known
        ]
        arrays["places"] = np.array(rows, np.int64).reshape(-1, 3)
        arrays["values"] = np.concatenate([np.zeros(0, np.float32), *values])
        with part.open("wb") as file:
            np.savez(file, **arrays)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        parts = list(parts)
        for path in (out, *self.also):
            if path.name.endswith(TRACKS):
                TrackFormat(dict(self.identity["contigs"])).join(parts, path)
            elif path.suffix == ".h5":
                _write_h5(path, parts, self.identity)
            else:
                _write_npz(path, parts, self.identity)
        for path, write in self.reports.items():
            write(path, (each for part in parts for each in rows_of(part)))


def rows_of(part: Path) -> Iterator[Explained]:
    """The regions of a part."""
    with np.load(part) as saved:
        arrays = {name: saved[name] for name in saved.files}
    at, number = dict.fromkeys(arrays, 0), 0
    for contig, start, end, strand, name, why in zip(
        *(arrays[key].tolist() for key in _PLACE), strict=True
    ):
        place, found = Interval(contig, start, end, strand, name), {}
        for key in (
            () if why else [key for key in arrays if key not in (*_PLACE, "places", "values")]
        ):
            if key in _ABOUT:
                found[key] = arrays[key][number]
                continue
            shape = _shape(key, len(place))
            size = int(np.prod(shape))
            found[key] = arrays[key][at[key] : at[key] + size].reshape(shape)
            at[key] += size
        number += not why
        yield Explained(place, why, found)


def _shape(name: str, length: int) -> tuple[int, ...]:
    if name == "dependency":
        return (length, length)
    return (_LINES[name], length) if name in _LINES else (length,)


def _table(identity: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Datasets of a row's shape (without the regions) and type."""
    L, table = identity["longest"], {"one_hot": ((4, identity["longest"]), "u1")}
    for name in identity["arrays"]:
        table[name] = ((), "f4") if name in _ABOUT else (_shape(name, L), "f4")
    return table


def _filled(each: Explained, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """A row of a dataset: the array at its beginning, then what stands for nothing."""
    row = np.full(shape, 0 if kind == "u1" else np.nan, kind)
    if not each.why:
        values = (
            one_hot(each.found["tokens"][None])[0].numpy()
            if name == "one_hot"
            else each.found[name]
        )
        row[tuple(slice(n) for n in values.shape)] = values
    return row


def _about(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in identity.items() if key not in ("contigs", "arrays", "kind")
    }


def _write_h5(path: Path, parts: Sequence[Path], identity: Mapping[str, Any]) -> None:
    import h5py

    table, records = _table(identity), identity["records"]
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in _about(identity).items():
            file.attrs[key] = value if isinstance(value, str | int | float) else json.dumps(value)
        for name, (shape, kind) in table.items():
            options = (
                {"chunks": (1, *shape), "compression": "gzip", "shuffle": True} if shape else {}
            )
            file.create_dataset(name, (records, *shape), kind, **options)
        texts = file.create_group("intervals")
        for name in _PLACE:
            texts.create_dataset(
                name, (records,), "i8" if name in ("start", "end") else h5py.string_dtype()
            )
        row = 0
        for part in parts:
            for each in rows_of(part):
                for name, (shape, kind) in table.items():
                    file[name][row] = _filled(each, name, shape, kind)
                place = (
                    each.place.contig,
                    each.place.start,
                    each.place.end,
                    each.place.strand,
                    each.place.name,
                )
                for name, value in zip(_PLACE, (*place, each.why), strict=True):
                    texts[name][row] = value
                row += 1


def _write_npz(path: Path, parts: Sequence[Path], identity: Mapping[str, Any]) -> None:
    """Held in memory whole; a large job is better written as HDF5."""
    every = [each for part in parts for each in rows_of(part)]
    arrays: dict[str, Any] = {
        name: np.stack([_filled(each, name, shape, kind) for each in every])
        for name, (shape, kind) in _table(identity).items()
    }
    places = [each.place for each in every]
    for name in _PLACE[:-1]:
        arrays[name] = np.array([getattr(place, name) for place in places])
    arrays["why"] = np.array([each.why for each in every])
    arrays["about"] = np.array(json.dumps(_about(identity)))
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_explained(path: str | Path) -> Iterator[Explained]:
    """The regions of an HDF5 file that `explain` wrote, one after the other. Raises InputError for
    another file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = [name for name in file if name not in ("intervals", "one_hot")]
            texts = file["intervals"]
            for row in range(len(texts["start"])):
                words = [texts[name][row] for name in _PLACE]
                contig, start, end, strand, name, why = (
                    w.decode() if isinstance(w, bytes) else int(w) for w in words
                )
                place, found = Interval(contig, start, end, strand, name), {}
                if not why:
                    x = file["one_hot"][row, :, : len(place)]
                    found["tokens"] = np.where(x.any(0), x.argmax(0), 4).astype(np.uint8)
                    for key in names:
                        shape = () if key in _ABOUT else _shape(key, len(place))
                        found[key] = file[key][(row, *(slice(n) for n in shape))]
                yield Explained(place, why, found)
    except (OSError, KeyError):
        raise InputError(
            path, "is no HDF5 file of explained regions", "an OUT.h5 of orchid-genomics explain"
        ) from None
