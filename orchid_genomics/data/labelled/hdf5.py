"""Labelled sets in HDF5, the one kind that holds numbers along the sequence (tracks).

Schema: attribute `format` = "orchid-genomics/labelled/1" (and `labels`, names; `bin`, letters of
one number of a track). Datasets, over rows: `sequence` (text); `label`, one of text (N,), whole or
other numbers (N,), bits or numbers (N, K), tracks (N, P, K) with NaN beyond the end of a row;
optional `split`, `chrom`, `start`, `end` (0-based half-open), `strand`, `group`.
"""

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from orchid_genomics.data.labelled.schema import SPLITS, LabelledRecipe, LabelledSet, Rows
from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file
from orchid_genomics.recipe import RecipePath
from orchid_genomics.sequence import DNA, Interval

FORMAT = "orchid-genomics/labelled/1"


class ArraysRecipe(LabelledRecipe):
    """One HDF5 file of the schema of this module."""

    kind: Literal["hdf5"] = "hdf5"
    path: RecipePath


def read_arrays(recipe: ArraysRecipe) -> Rows:
    """All rows of the file. Raises InputError for a file that is not one of ours, or whose datasets
    do not fit.
    """
    path = recipe.path
    if not path.is_file():
        raise InputError(path, "cannot be read (no such file)", f"an HDF5 of format {FORMAT!r}")
    try:
        with h5py.File(path, "r") as file:
            return _rows(file, path)
    except OSError as error:
        raise InputError(
            path, f"cannot be read (no HDF5, or damaged: {error})", f"an HDF5 of format {FORMAT!r}"
        ) from None


def _rows(file: h5py.File, path: Path) -> Rows:
    form = file.attrs.get("format")
    if form != FORMAT:
        found = f"is not a labelled set of this tool (format {form!r}; holds {', '.join(file) or 'nothing'})"
        raise InputError(path, found, f"attribute format = {FORMAT!r}, datasets sequence and label")
    for name in ("sequence", "label"):
        if name not in file:
            raise InputError(
                path, f"has no dataset {name!r}", f"it holds: {', '.join(file) or 'nothing'}"
            )
    _check_datasets(file, path)
    count = len(file["sequence"])
    where = [f"{path} row {row + 1}" for row in range(count)]
    tokens = [
        DNA.encode(text, here)
        for text, here in zip(file["sequence"].asstr()[:], where, strict=True)
    ]
    label = file["label"]
    is_text = h5py.check_string_dtype(label.dtype) is not None
    values = label.asstr()[:] if is_text else label[:]
    bin = int(file.attrs.get("bin", 0))
    if (values.ndim == 3) != (bin > 0):
        raise InputError(
            path,
            f"labels of {values.ndim} axes and bin = {bin}",
            "tracks (N, P, K) with bin above 0",
        )
    if bin:
        _check_tracks(values, tokens, bin, where)
    labels = values if values.ndim > 1 else [str(value) for value in values.tolist()]
    return Rows(
        path.name, where, tokens, labels, tuple(str(name) for name in file.attrs.get("labels", ())),
        _text(file, "split"), _places(file, where), _text(file, "group"), bin, _text(file, "strand") or (),
    )  # fmt: skip


def _check_datasets(file: h5py.File, path: Path) -> None:
    """Every dataset has a row for each sequence, and numbers where there must be numbers."""
    if h5py.check_string_dtype(file["sequence"].dtype) is None:
        raise InputError(path, f"sequence holds {file['sequence'].dtype}", "text of IUPAC letters")
    count = file["sequence"].shape[:1]
    for name, data in file.items():
        if not isinstance(data, h5py.Dataset) or data.shape[:1] != count or not count:
            found = f"{data.shape[0]:,} rows" if getattr(data, "shape", ()) else "no rows"
            rows = f"{count[0]:,}" if count else "none"
            raise InputError(path, f"{name} has {found}, sequence {rows}", "as many of each")
    for name in {"start", "end"} & set(file):
        if file[name].dtype.kind not in "iu":
            raise InputError(path, f"{name} holds no whole numbers", "0-based half-open places")


def _check_tracks(values: np.ndarray, tokens: list[np.ndarray], bin: int, where: list[str]) -> None:
    for row, here in enumerate(where):
        own = len(tokens[row]) // bin
        if own > values.shape[1]:
            raise InputError(
                here,
                f"{own:,} bins of {bin} nt, labels for {values.shape[1]:,}",
                "a number for every bin",
            )
        if not np.isfinite(values[row, :own]).any():
            raise InputError(here, "the label is missing", "a number for some bin")
        values[row, own:] = np.nan


def _text(file: h5py.File, name: str) -> list[str] | None:
    if name not in file:
        return None
    data = file[name]
    return (
        list(data.asstr()[:])
        if h5py.check_string_dtype(data.dtype)
        else [str(value) for value in data[:].tolist()]
    )


def _places(file: h5py.File, where: list[str]) -> list[Interval] | None:
    if not {"chrom", "start", "end"} <= set(file):
        return None
    columns: list[Any] = [_text(file, "chrom"), file["start"][:].tolist(), file["end"][:].tolist()]
    strands = [(strand or ".") for strand in _text(file, "strand") or ["."] * len(where)]
    found = []
    for contig, start, end, strand, here in zip(*columns, strands, where, strict=True):
        if start >= end or strand not in ("+", "-", "."):
            raise InputError(
                here, f"start {start}, end {end}, strand {strand!r}", "0-based half-open, +, - or ."
            )
        found.append(Interval(contig, start, end, strand))
    return found


def write_arrays(path: str | Path, rows: LabelledSet) -> None:
    """Write a labelled set, whole or not at all."""
    text = h5py.string_dtype()
    classes = rows.task.has_classes
    label = rows.target
    if classes:
        label = np.array([rows.labels[code] for code in rows.target], object)
    with atomic_file(Path(path)) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["labels"] = list(rows.labels)
        file.attrs["bin"] = rows.task.bin
        file.create_dataset("sequence", data=[DNA.decode(row) for row in rows.tokens], dtype=text)
        options = {"dtype": text} if classes else {"compression": "gzip"}
        file.create_dataset("label", data=label, **options)
        file.create_dataset("split", data=[SPLITS[code] for code in rows.split], dtype=text)
        file.create_dataset("group", data=[str(code) for code in rows.group], dtype=text)
        if rows.places is not None:
            file.create_dataset("chrom", data=[place.contig for place in rows.places], dtype=text)
            file.create_dataset("start", data=[place.start for place in rows.places])
            file.create_dataset("end", data=[place.end for place in rows.places])
            file.create_dataset("strand", data=[place.strand for place in rows.places], dtype=text)
