"""Labelled sets in HDF5, the one kind that holds numbers along the sequence (tracks).

Schema: attribute `format` = "orchid-genomics/labelled/1" (and `labels`, names; `bin`, letters of
one number of a track). Datasets, over rows: `sequence` (text); `label`, one of text (N,), whole or
other numbers (N,), bits or numbers (N, K), tracks (N, P, K) with NaN beyond the end of a row;
optional `split`, `chrom`, `start`, `end` (0-based half-open), `strand`, `group`. The trap: an HDF5
may point into other files, and declare more rows than it holds; neither is followed.
"""

from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from orchid_genomics.data.labelled.schema import (
    SPLITS,
    STRANDS,
    LabelledRecipe,
    LabelledSet,
    Rows,
)
from orchid_genomics.errors import InputError, reason
from orchid_genomics.files import atomic_file, create_hdf5, open_hdf5
from orchid_genomics.recipe import RecipePath
from orchid_genomics.sequence import DNA, Interval
from orchid_genomics.sequence.interval import read_strand, shorten

FORMAT = "orchid-genomics/labelled/1"
_TEXTS = ("split", "chrom", "strand", "group")
_COMPRESSION = 1100  # bytes that one byte of a file can stand for: deflate gives 1032 at most


class ArraysRecipe(LabelledRecipe):
    """One HDF5 file of the schema of this module."""

    kind: Literal["hdf5"] = "hdf5"
    path: RecipePath
    """The HDF5."""


def read_arrays(recipe: ArraysRecipe) -> Rows:
    """All rows of the file.

    Raises
    ------
    InputError
        For a file that is not one of ours, whose datasets do not fit, or whose data lie elsewhere.
    """
    path = recipe.path
    if not path.is_file():
        raise InputError(path, "cannot be read (no such file)", f"an HDF5 of format {FORMAT!r}")
    try:
        with open_hdf5(path) as file:
            return _rows(file, path)
    except UnicodeDecodeError:
        raise InputError(path, "holds text that is not UTF-8", "UTF-8 text") from None
    # Whatever the HDF5 library finds broken.
    except (OSError, RuntimeError, KeyError) as error:
        message = f"cannot be read (no HDF5, or damaged: {reason(error)})"
        raise InputError(path, message, f"an HDF5 of format {FORMAT!r}") from None


def _rows(file: h5py.File, path: Path) -> Rows:
    if not all(isinstance(name, str) for name in file):
        raise InputError(path, "holds a name that is not UTF-8", "UTF-8 text")
    form = file.attrs.get("format")
    holds = ", ".join(file) or "nothing"
    if not isinstance(form, str) or form != FORMAT:
        message = f"is not a labelled set of this tool (format {form!r}; holds {holds})"
        possible = f"attribute format = {FORMAT!r}, datasets sequence and label"
        raise InputError(path, message, possible)
    for name in ("sequence", "label"):
        if name not in file.keys():  # noqa: SIM118 -- `in file` follows links, and may loop
            raise InputError(path, f"has no dataset {name!r}", f"it holds: {holds}")
    columns = {name: _dataset(file, name, path) for name in file}
    _check_columns(columns, path)
    count = len(columns["sequence"])
    where = [f"{path} row {row + 1}" for row in range(count)]
    letters = _text(columns, "sequence") or []
    tokens = [DNA.encode(text, here) for text, here in zip(letters, where, strict=True)]
    bin = _bin(file, path)
    label, text = columns["label"], _text(columns, "label")
    if (label.ndim == 3) != (bin > 0):
        message = f"labels of {label.ndim} axes and bin = {bin}"
        raise InputError(path, message, "tracks (N, P, K) with bin above 0")
    labels: list[str] | np.ndarray = text or []
    if label.ndim > 1:
        values: np.ndarray = label[:]
        if bin:
            _check_tracks(values, tokens, bin, where)
            values = _without_ends(values, tokens, bin)
        labels = values
    return Rows(
        name=path.name,
        where=where,
        tokens=tokens,
        label=labels,
        names=_names(file, path),
        split=_text(columns, "split"),
        places=_places(columns, where),
        group=_text(columns, "group"),
        bin=bin,
        strands=_strands(columns, where),
    )


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """A dataset whose data lie in this very file, and may well be there."""
    link = file.get(name, getlink=True)
    # A file from a stranger must not make us read another file of ours into a report.
    if isinstance(link, h5py.ExternalLink):
        message = f"{name} is a link to another file ({link.filename})"
        raise InputError(path, message, "a dataset in this file")
    try:
        data = file[name]
    except (KeyError, RuntimeError, OSError):
        message = f"{name} is a link that leads nowhere, or in a circle"
        raise InputError(path, message, "a dataset in this file") from None
    if not isinstance(data, h5py.Dataset):
        raise InputError(path, f"{name} is a group", "a dataset")
    if data.external or data.is_virtual or data.file != file:
        raise InputError(path, f"{name} keeps its data in another file", "a dataset in this file")
    held = path.stat().st_size
    size = data.size or 0
    if size * max(data.dtype.itemsize, 1) > _COMPRESSION * held:
        message = f"{name} declares {size:,} values in a file of {held:,} bytes"
        raise InputError(path, message, "a whole file")
    return data


def _check_columns(columns: dict[str, h5py.Dataset], path: Path) -> None:
    """Every dataset has a row for each sequence, and numbers where there must be numbers."""
    sequence = columns["sequence"]
    if not _is_text(sequence):
        raise InputError(path, f"sequence holds {sequence.dtype}", "text of IUPAC letters")
    if sequence.ndim != 1:
        raise InputError(path, f"sequence has {sequence.ndim} axes", "one text a row")
    count = len(sequence)
    for name, data in columns.items():
        if not data.shape or len(data) != count:
            rows = f"{len(data):,} rows" if data.shape else "no rows"
            message = f"{name} has {rows}, sequence {count:,}"
            raise InputError(path, message, "as many of each")
        if name in _TEXTS and data.ndim != 1:
            raise InputError(path, f"{name} has {data.ndim} axes", "one value a row")
    for name in {"start", "end"} & columns.keys():
        if columns[name].dtype.kind not in "iu" or columns[name].ndim != 1:
            raise InputError(path, f"{name} holds no whole numbers", "0-based half-open places")
    label = columns["label"]
    if not (1 <= label.ndim <= 3) or (_is_text(label) and label.ndim > 1):
        raise InputError(path, f"label has {label.ndim} axes", "(N,), (N, K) or (N, P, K)")
    if not _is_text(label) and label.dtype.kind not in "biuf":
        raise InputError(path, f"label holds {label.dtype}", "text or numbers")


def _bin(file: h5py.File, path: Path) -> int:
    """Letters of one number of a track; 0 where labels are of whole sequences."""
    value = file.attrs.get("bin", 0)
    if not isinstance(value, int | np.integer) or value < 0:
        raise InputError(path, f"bin is {value!r}", "a whole number of letters")
    return int(value)


def _names(file: h5py.File, path: Path) -> tuple[str, ...]:
    """What bits, numbers or tracks are called."""
    value = file.attrs.get("labels", ())
    names = list(value) if isinstance(value, list | tuple | np.ndarray) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise InputError(path, f"labels is {value!r}", "a list of names")
    return tuple(str(name) for name in names)


def _check_tracks(values: np.ndarray, tokens: list[np.ndarray], bin: int, where: list[str]) -> None:
    """Every bin of a row has a place among its labels, and some of them a number."""
    for row, here in enumerate(where):
        own = len(tokens[row]) // bin
        if own > values.shape[1]:
            message = f"{own:,} bins of {bin} nt, labels for {values.shape[1]:,}"
            raise InputError(here, message, "a number for every bin")
        if not np.isfinite(values[row, :own]).any():
            raise InputError(here, "the label is missing", "a number for some bin")


def _without_ends(values: np.ndarray, tokens: list[np.ndarray], bin: int) -> np.ndarray:
    """Tracks (N, P, K) with NaN after the last bin of each row."""
    values = values.astype(np.float32)
    for row, letters in enumerate(tokens):
        values[row, len(letters) // bin :] = np.nan
    return values


def _is_text(data: h5py.Dataset) -> bool:
    return h5py.check_string_dtype(data.dtype) is not None


def _text(columns: dict[str, h5py.Dataset], name: str) -> list[str] | None:
    """The words of a column, numbers as they are written; None where there is no such column."""
    data = columns.get(name)
    if data is None or data.ndim != 1:
        return None
    if _is_text(data):
        return list(data.asstr()[:])
    return [str(value) for value in data[:].tolist()]


def _strands(columns: dict[str, h5py.Dataset], where: list[str]) -> list[str]:
    """The strand of every row; . where there is none."""
    strands = []
    for word, here in zip(_text(columns, "strand") or ["."] * len(where), where, strict=True):
        strand = read_strand(word)
        if strand is None:
            raise InputError(here, f"strand {shorten(word)!r}", STRANDS)
        strands.append(strand)
    return strands


def _places(columns: dict[str, h5py.Dataset], where: list[str]) -> list[Interval] | None:
    if not {"chrom", "start", "end"} <= columns.keys():
        return None
    contigs = _text(columns, "chrom") or []
    starts = columns["start"][:].tolist()
    ends = columns["end"][:].tolist()
    strands = _strands(columns, where)
    places = []
    for contig, start, end, strand, here in zip(contigs, starts, ends, strands, where, strict=True):
        if start >= end:
            raise InputError(here, f"start {start}, end {end}", "0-based half-open places")
        places.append(Interval(contig, start, end, strand))
    return places


def write_arrays(path: str | Path, rows: LabelledSet) -> None:
    """Write a labelled set, whole or not at all."""
    text = h5py.string_dtype()
    classes = rows.task.has_classes
    label = rows.target
    if classes:
        label = np.array([rows.labels[code] for code in rows.target], object)
    with atomic_file(Path(path)) as part, create_hdf5(part) as file:
        file.attrs["format"] = FORMAT
        file.attrs["labels"] = list(rows.labels)
        file.attrs["bin"] = rows.task.bin
        file.create_dataset("sequence", data=[DNA.decode(row) for row in rows.tokens], dtype=text)
        # HDF5 keeps texts in a heap, which its compression does not reach.
        options = {"dtype": text} if classes else {"compression": "gzip"}
        file.create_dataset("label", data=label, **options)
        file.create_dataset("split", data=[SPLITS[code] for code in rows.split], dtype=text)
        file.create_dataset("group", data=[str(code) for code in rows.group], dtype=text)
        if rows.places is not None:
            file.create_dataset("chrom", data=[place.contig for place in rows.places], dtype=text)
            file.create_dataset("start", data=[place.start for place in rows.places])
            file.create_dataset("end", data=[place.end for place in rows.places])
            file.create_dataset("strand", data=[place.strand for place in rows.places], dtype=text)
