"""Labelled tables: TSV or CSV, plain or gzipped, with a header; a leading # of the header is no
part of a name.

A table whose label column is called `label:CTCF,MAX` holds bits in that order. The trap: what reads
and writes such a table as numbers eats the leading zeros of `01`; they are restored, and said.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.labelled.schema import SPLITS, STRANDS, LabelledRecipe, Rows
from orchid_genomics.errors import InputError
from orchid_genomics.files import read_lines
from orchid_genomics.genome.contigs import listed
from orchid_genomics.recipe import RecipePath
from orchid_genomics.sequence import DNA, Interval
from orchid_genomics.sequence.interval import read_strand, shorten, whole_number

PLACE = ("chrom", "start", "end")


class TableRecipe(LabelledRecipe):
    """A table of sequences: one file with a split column, or one file a split."""

    kind: Literal["table"] = "table"
    path: RecipePath | None = None
    """The one file; or else train, validation and test, a file each."""
    train: RecipePath | None = None
    """The training rows."""
    validation: RecipePath | None = None
    """The validation rows."""
    test: RecipePath | None = None
    """The test rows."""
    sequence: str = "sequence"
    """The column of sequences."""
    label: str | tuple[str, ...] = "label"
    """The column of labels; several columns are several bits or numbers."""
    split: str = "split"
    """The column of train, validation and test, where there is one."""
    group: str = "group"
    """Rows of one family, where there is such a column."""

    @model_validator(mode="after")
    def _files(self) -> "TableRecipe":
        parts = [self.train, self.validation, self.test]
        if (self.path is None) == (None in parts) or (self.path is not None and any(parts)):
            raise PydanticCustomError("files", "either path, or train, validation and test")
        return self


@dataclass(frozen=True)
class _Layout:
    """Where the columns of one table stand; None where there is no such column."""

    columns: tuple[str, ...]
    sequence: int
    labels: tuple[int, ...]
    names: tuple[str, ...]
    """What bits or numbers are called."""
    is_bits: bool
    """Labels are words of a bit for each name."""
    split: int | None
    group: int | None
    place: tuple[int, int, int] | None
    strand: int | None


@dataclass
class _Columns:
    """The rows of one table, column by column."""

    where: list[str] = field(default_factory=list)
    tokens: list[np.ndarray] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """The word of the label, where it is one column."""
    numbers: list[list[float]] = field(default_factory=list)
    """The numbers of the labels, where they are several columns."""
    splits: list[str] = field(default_factory=list)
    places: list[Interval] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    strands: list[str] = field(default_factory=list)


def read_table(recipe: TableRecipe) -> Rows:
    """All rows of the table, or of a table for each split.

    Raises
    ------
    InputError
        With the line, or with the columns that there are.
    """
    if recipe.path is not None:
        return _read(recipe.path, recipe, None)
    parts = []
    for split in SPLITS:
        path: Path = getattr(recipe, split)
        parts.append((path, _read(path, recipe, split)))
    return _join(parts)


def read_header(path: Path) -> tuple[list[str], list[str]]:
    """The names of a table's columns, and the words of its first row.

    Raises
    ------
    InputError
        For a table without a header and a row.
    """
    lines = _words(path)
    header, row = next(lines, None), next(lines, None)
    if header is None or row is None:
        raise InputError(path, "has no row", "a header and rows")
    return _names_of(header[1]), row[1]


def _names_of(header: list[str]) -> list[str]:
    return [word.strip().lstrip("#").strip() for word in header]


def _join(parts: list[tuple[Path, Rows]]) -> Rows:
    """The rows of several tables; a column that one of them lacks is left out."""
    last = parts[-1][0]
    headers = {rows.names for _, rows in parts}
    if len(headers) > 1:
        raise InputError(last, f"names the bits {headers}", "one header in all three files")

    def join(column: Callable[[Rows], Sequence[Any] | None]) -> list[Any] | None:
        values: list[Any] = []
        for _, rows in parts:
            part = column(rows)
            if part is None:
                return None
            values += part
        return values

    labels = [rows.label for _, rows in parts if isinstance(rows.label, np.ndarray)]
    first = parts[0][1]
    return Rows(
        name="/".join(last.parent.parts[-2:]),
        where=join(lambda rows: rows.where) or [],
        tokens=join(lambda rows: rows.tokens) or [],
        label=np.concatenate(labels) if labels else join(lambda rows: list(rows.label)) or [],
        names=first.names,
        split=join(lambda rows: rows.split),
        places=join(lambda rows: rows.places),
        group=join(lambda rows: rows.group),
        strands=join(lambda rows: rows.strands) or [],
        is_bits=first.is_bits,
        notes=tuple(join(lambda rows: rows.notes) or ()),
    )


def _read(path: Path, recipe: TableRecipe, split: str | None) -> Rows:
    """The rows of one table; all of them are of `split`, where it is given."""
    lines = _words(path)
    _, header = next(lines, (0, []))
    if not header:
        raise InputError(path, "is empty", "a header and rows")
    layout = _layout(path, header, recipe, has_split=split is None)
    columns = _Columns()
    for number, words in lines:
        _add(columns, layout, words, f"{path} line {number}")
    label: list[str] | np.ndarray = columns.words
    notes: tuple[str, ...] = ()
    if len(layout.labels) > 1:
        label = np.array(columns.numbers, np.float32).reshape(-1, len(layout.labels))
    elif layout.is_bits:
        label, notes = _restore_bits(path, columns.words, layout.names)
    splits = columns.splits if layout.split is not None else None
    return Rows(
        name=path.name,
        where=columns.where,
        tokens=columns.tokens,
        label=label,
        names=layout.names,
        split=[split] * len(columns.where) if split is not None else splits,
        places=columns.places if layout.place is not None else None,
        group=columns.groups if layout.group is not None else None,
        strands=columns.strands,
        is_bits=layout.is_bits,
        notes=notes,
    )


def _add(columns: _Columns, layout: _Layout, words: list[str], where: str) -> None:
    """Append one row."""
    count = len(layout.columns)
    if len(words) != count:
        raise InputError(where, f"{len(words)} columns", f"{count} as in the header")
    columns.where.append(where)
    columns.tokens.append(DNA.encode(words[layout.sequence].strip(), where))
    labels = [words[at] for at in layout.labels]
    if len(labels) == 1:
        columns.words.append(labels[0])
    else:
        columns.numbers.append(_numbers(labels, where))
    if layout.split is not None:
        columns.splits.append(words[layout.split])
    if layout.group is not None:
        columns.groups.append(words[layout.group])
    strand = "." if layout.strand is None else _strand(words[layout.strand], where)
    columns.strands.append(strand)
    if layout.place is not None:
        contig, start, end = (words[at].strip() for at in layout.place)
        columns.places.append(_place(contig, start, end, strand, where))


def _restore_bits(
    path: Path, words: list[str], names: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Labels with a bit for each name; what a spreadsheet or pandas took for a number gets its
    leading zeros back, for that is all it can have lost.
    """
    short = 0
    restored = []
    for word in map(str.strip, words):
        is_short = 0 < len(word) < len(names) and set(word) <= set("01")
        short += is_short
        restored.append(word.zfill(len(names)) if is_short else word)
    if not short:
        return restored, ()
    what = f"labels of {path.name} with fewer than {len(names)} bits, leading zeros restored"
    return restored, (f"{what}: {short:,}",)


def _words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered rows, from 1, as words; blank lines are left out."""
    rows = ((number, line) for number, line in read_lines(path) if line.strip())
    first = next(rows, None)
    if first is None:
        return
    number, header = first
    mark = "\t" if "\t" in header else ","
    yield number, next(csv.reader([header], delimiter=mark))
    for number, line in rows:
        # Quotes alone need the csv module, which is slow for one line at a time.
        yield number, next(csv.reader([line], delimiter=mark)) if '"' in line else line.split(mark)


def _layout(path: Path, header: list[str], recipe: TableRecipe, has_split: bool) -> _Layout:
    """What stands in which column."""
    columns = _names_of(header)
    labels, names, is_bits = _label_columns(path, columns, recipe.label)
    of_place = None
    if set(PLACE) <= set(columns):
        contig, start, end = map(columns.index, PLACE)
        of_place = contig, start, end
    return _Layout(
        columns=tuple(columns),
        sequence=_column(path, columns, recipe.sequence),
        labels=tuple(labels),
        names=names,
        is_bits=is_bits,
        split=_optional(path, columns, recipe.split, "split") if has_split else None,
        group=_optional(path, columns, recipe.group, "group"),
        place=of_place,
        strand=columns.index("strand") if "strand" in columns else None,
    )


def _column(path: Path, columns: list[str], name: str) -> int:
    """Where the one column of a name stands."""
    count = columns.count(name)
    if count != 1:
        message = f"has {count} columns {name!r}" if count else f"has no column {name!r}"
        raise InputError(path, message, f"its columns: {listed(columns, 12)}")
    return columns.index(name)


def _optional(path: Path, columns: list[str], name: str, default: str) -> int | None:
    """A column that need not be there, unless the recipe names it."""
    return _column(path, columns, name) if name in columns or name != default else None


def _label_columns(
    path: Path, columns: list[str], label: str | tuple[str, ...]
) -> tuple[list[int], tuple[str, ...], bool]:
    """Where labels stand, the names of bits or numbers, and whether a label is a word of bits."""
    if not isinstance(label, str):
        return [_column(path, columns, name) for name in label], tuple(label), False
    # A column of the very name goes before one that adds the names of bits to it.
    named = [at for at, column in enumerate(columns) if column.startswith(f"{label}:")]
    if named and label not in columns:
        bits = columns[named[0]].partition(":")[2].split(",")
        return named[:1], tuple(name.strip() for name in bits), len(bits) > 1
    return [_column(path, columns, label)], () if label == "label" else (label,), False


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        message = f"the labels {words} are not all numbers"
        raise InputError(where, message, "numbers") from None


def _place(contig: str, start: str, end: str, strand: str, where: str) -> Interval:
    first, last = whole_number(start), whole_number(end)
    if first is None or last is None:
        message = f"start {shorten(start)!r} and end {shorten(end)!r} are not whole numbers"
        raise InputError(where, message, "0-based half-open places")
    if first >= last:
        raise InputError(where, f"start {first} is not below end {last}", "0-based half-open")
    return Interval(contig, first, last, strand)


def _strand(word: str, where: str) -> str:
    strand = read_strand(word)
    if strand is None:
        raise InputError(where, f"strand {shorten(word)!r}", STRANDS)
    return strand
