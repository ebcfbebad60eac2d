"""Embeddings of elements as HDF5: written once by `embed`, read here; chunked, so that any element
is read alone.

Schema, ``format = "orchid-genomics-embeddings/1"``, N elements in the order of their BED, C
channels:

=======================  ================  ======================================================
`vectors`                (N, C) or          one an element, NaN where it has none; with pool "none"
                         (letters, C)       one a letter, 5' to 3' on the element's strand
`offsets`                (N + 1,) int64     pool "none": the letters of element i are
                                            offsets[i]:offsets[i + 1]
`chrom start end`        (N,) text, int64   0-based half-open, names as in the BED
`strand name why`        (N,) text          why: a reason where there is no vector, else ""
attributes               -                  format, version, model and genome (hashes), pool,
                                            strand, window (letters read around each piece; 0: the
                                            element alone)
=======================  ================  ======================================================

The trap: with strand "forward" the last half of the channels changes sign on the other strand;
"both" leaves it out.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError, reason
from orchid_genomics.files import create_hdf5, open_hdf5
from orchid_genomics.sequence import Interval
from orchid_genomics.sequence.interval import shorten

FORMAT = "orchid-genomics-embeddings/1"
TEXTS, NUMBERS = ("chrom", "strand", "name", "why"), ("start", "end")
_CHUNK = 1 << 16  # numbers of a chunk, at most, beyond one row

Part = dict[str, np.ndarray]
"""Some elements in order: `vectors` (rows, C), `letters` (n,) rows of each, and the columns of the
schema.
"""


class Embeddings:
    """A file of embeddings, opened; a sequence of the vectors of its elements.

    Attributes: `about` the file's attributes; `intervals` the elements; `why` the reason of each
    without a vector. Raises InputError for a file that is missing, damaged or not one of ours.

    >>> with Embeddings("promoters.h5") as embeddings:  # doctest: +SKIP
    ...     X = embeddings.matrix()
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = open_hdf5(self.path)
        except OSError as error:
            why = "No such file" if not self.path.exists() else reason(error)
            raise InputError(
                self.path, f"cannot be read ({why})", "an HDF5 of orchid-genomics embed"
            ) from None
        self.about: dict[str, Any] = dict(self._file.attrs)
        if self.about.get("format") != FORMAT:
            self.close()
            message = f"is not an HDF5 of ours (format {self.about.get('format')!r})"
            raise InputError(self.path, message, "one of orchid-genomics embed")
        try:
            self._read_columns()
        # h5py says in many ways that a column is missing, of another kind or damaged.
        except (KeyError, TypeError, AttributeError, ValueError, OSError, RuntimeError) as error:
            self.close()
            message = f"is damaged ({shorten(reason(error), 100)})"
            raise InputError(self.path, message, "copy it again, or embed once more") from None

    def _read_columns(self) -> None:
        columns: dict[str, list[Any]] = {}
        for name in TEXTS:
            columns[name] = self._file[name].asstr()[()].tolist()
        for name in NUMBERS:
            columns[name] = self._file[name][()].tolist()
        fields = (columns[name] for name in ("chrom", "start", "end", "strand", "name"))
        self.intervals = [
            Interval(contig, start, end, strand, name)
            for contig, start, end, strand, name in zip(*fields, strict=True)
        ]
        self.why: list[str] = columns["why"]
        self._offsets = self._file["offsets"][()] if "offsets" in self._file else None
        rows = len(self) if self._offsets is None else int(self._offsets[-1])
        if len(self._file["vectors"]) != rows or len(self.why) != len(self):
            raise ValueError(f"{len(self._file['vectors']):,} vectors where {rows:,} belong")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Embeddings":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.intervals)

    def __getitem__(self, i: int) -> np.ndarray:
        """The vector (C,) of element `i`, or with pool "none" those of its letters (n, C); none
        where `why` says so.
        """
        # Negative places and an IndexError past the end, as of a list.
        i = range(len(self))[i]
        vectors = self._file["vectors"]
        return (
            vectors[i]
            if self._offsets is None
            else vectors[self._offsets[i] : self._offsets[i + 1]]
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def matrix(self) -> np.ndarray:
        """All vectors as they lie: (N, C), or (letters, C) with pool "none"."""
        return self._file["vectors"][()]


def write_embeddings(
    path: Path, about: dict[str, Any], parts: Iterable[Callable[[], Part]], dtype: str
) -> None:
    """Write a file of the schema from functions that give its parts in order, each called twice;
    memory is one part's.

    The same parts give the same bytes. Raises InputError when there is no part.
    """
    import h5py

    parts = list(parts)
    if not parts:
        raise InputError(path, "has no element", "at least one")
    # HDF5 wants the sizes before the first value, so every part is read twice.
    count = rows = width = 0
    for read in parts:
        part = read()
        count += len(part["letters"])
        rows += len(part["vectors"])
        width = part["vectors"].shape[1]
    with create_hdf5(path) as file:
        file.attrs.update({"format": FORMAT, **about})
        chunk = (max(1, min(rows, _CHUNK // width)), width)
        # Shuffled, bytes of like weight lie side by side and compress better.
        packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        file.create_dataset("vectors", (rows, width), dtype, chunks=chunk, **packed)
        for name in (*TEXTS, *NUMBERS):
            kind = h5py.string_dtype() if name in TEXTS else np.int64
            file.create_dataset(name, (count,), kind, chunks=(min(count, 4096),), **packed)
        if about["pool"] == "none":
            file.create_dataset("offsets", (count + 1,), np.int64)
        at = row = 0
        for read in parts:
            part = read()
            n, size = len(part["letters"]), len(part["vectors"])
            file["vectors"][row : row + size] = part["vectors"]
            for name in TEXTS:
                file[name][at : at + n] = part[name].astype(object)
            for name in NUMBERS:
                file[name][at : at + n] = part[name]
            if about["pool"] == "none":
                file["offsets"][at + 1 : at + n + 1] = row + np.cumsum(part["letters"])
            at += n
            row += size
