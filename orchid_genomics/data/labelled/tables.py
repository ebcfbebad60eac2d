"""Labelled tables: TSV or CSV, plain or gzipped, with a header; a leading # of the header is no
part of a name.

A table whose label column is called `label:CTCF,MAX` holds bits in that order.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.labelled.schema import LabelledRecipe, Rows
from orchid_genomics.errors import InputError
from orchid_genomics.files import read_lines
from orchid_genomics.genome.contigs import listed
from orchid_genomics.recipe import RecipePath
from orchid_genomics.sequence import DNA, Interval

PLACE = ("chrom", "start", "end")
_STRANDS = {
    "+": "+",
    "-": "-",
    "1": "+",
    "+1": "+",
    "-1": "-",
    ".": ".",
    "*": ".",
    "": ".",
}  # 1 and -1 as Ensembl's


class TableRecipe(LabelledRecipe):
    """A table of sequences: one file with a split column, or one file a split."""

    kind: Literal["table"] = "table"
    path: RecipePath | None = None
    train: RecipePath | None = None
    validation: RecipePath | None = None
    test: RecipePath | None = None
    sequence: str = "sequence"
    label: str | tuple[str, ...] = "label"
    """The column of labels; several columns are several bits or numbers."""
    split: str = "split"
    group: str = "group"
    """Rows of one family, where there is such a column."""

    @model_validator(mode="after")
    def _files(self) -> "TableRecipe":
        parts = [self.train, self.validation, self.test]
        if (self.path is None) == (None in parts) or (self.path is not None and any(parts)):
            raise PydanticCustomError("files", "either path, or train, validation and test")
        return self


def read_table(recipe: TableRecipe) -> Rows:
    """All rows of the table or tables. Raises InputError with the line, or with the columns that
    there are.
    """
    if recipe.path is not None:
        return _read(recipe.path, recipe, None)
    parts = {
        split: _read(getattr(recipe, split), recipe, split)
        for split in ("train", "validation", "test")
    }
    names = {part.names for part in parts.values()}
    if len(names) > 1:
        raise InputError(recipe.test, f"names the bits {names}", "one header in all three files")
    joined = {
        key: None if any(getattr(part, key) is None for part in parts.values())
        else [value for part in parts.values() for value in getattr(part, key)]
        for key in ("where", "tokens", "label", "split", "places", "group", "strands")
    }  # fmt: skip
    return Rows(name="/".join(recipe.train.parent.parts[-2:]), names=names.pop(), **joined)


def _read(path: Path, recipe: TableRecipe, split: str | None) -> Rows:
    lines = _words(path)
    number, header = next(lines, (0, []))
    if not header:
        raise InputError(path, "is empty", "a header and rows")
    columns = [word.strip().lstrip("#").strip() for word in header]
    label_at, names = _label_columns(path, columns, recipe.label)
    sequence_at = _column(path, columns, recipe.sequence)
    split_at = _optional(path, columns, recipe.split, "split") if split is None else None
    group_at = _optional(path, columns, recipe.group, "group")
    place_at = [columns.index(name) for name in PLACE] if set(PLACE) <= set(columns) else None
    strand_at = columns.index("strand") if "strand" in columns else None
    where, tokens, label, splits, places, groups, strands = [], [], [], [], [], [], []
    for number, words in lines:
        here = f"{path} line {number}"
        if len(words) != len(columns):
            raise InputError(here, f"{len(words)} columns", f"{len(columns)} as in the header")
        where.append(here)
        tokens.append(DNA.encode(words[sequence_at].strip(), here))
        label.append("\t".join(words[at] for at in label_at))
        if split_at is not None:
            splits.append(words[split_at])
        if group_at is not None:
            groups.append(words[group_at])
        strands.append("." if strand_at is None else _strand(words[strand_at], here))
        if place_at is not None:
            places.append(_place([words[at] for at in place_at], strands[-1], here))
    if len(label_at) > 1:
        label = _many(label, where)
    return Rows(
        path.name, where, tokens, label, names,
        [split] * len(tokens) if split is not None else splits if split_at is not None else None,
        places if place_at is not None else None, groups if group_at is not None else None, strands=strands,
    )  # fmt: skip


def _words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered rows, from 1, as words; blank lines are left out."""
    rows = ((number, line) for number, line in read_lines(path) if line.strip())
    first = next(rows, None)
    if first is None:
        return
    header = first[1].removeprefix("\ufeff")  # the mark that spreadsheets put before UTF-8
    mark = "\t" if "\t" in header else ","
    yield first[0], next(csv.reader([header], delimiter=mark))
    for number, line in rows:
        yield number, next(csv.reader([line], delimiter=mark)) if '"' in line else line.split(mark)


def _column(path: Path, columns: list[str], name: str) -> int:
    if columns.count(name) != 1:
        found = (
            f"{columns.count(name)} columns {name!r}" if name in columns else f"no column {name!r}"
        )
        raise InputError(path, f"has {found}", f"its columns: {listed(columns, 12)}")
    return columns.index(name)


def _optional(path: Path, columns: list[str], name: str, default: str) -> int | None:
    """A column that need not be there, unless the recipe names it."""
    return _column(path, columns, name) if name in columns or name != default else None


def _label_columns(
    path: Path, columns: list[str], label: str | tuple[str, ...]
) -> tuple[list[int], tuple[str, ...]]:
    """Where labels stand, and the names of bits or numbers."""
    if not isinstance(label, str):
        return [_column(path, columns, name) for name in label], tuple(label)
    bits = [at for at, column in enumerate(columns) if column.startswith(f"{label}:")]
    if bits and label not in columns:
        return bits[:1], tuple(
            name.strip() for name in columns[bits[0]].partition(":")[2].split(",")
        )
    return [_column(path, columns, label)], () if label == "label" else (label,)


def _many(label: list[str], where: list[str]) -> np.ndarray:
    """Several columns of numbers as an array (N, K)."""
    found = []
    for words, here in zip(label, where, strict=True):
        try:
            found.append([float(word) for word in words.split("\t")])
        except ValueError:
            raise InputError(
                here, f"the labels {words.split(chr(9))} are not all numbers", "numbers"
            ) from None
    return np.array(found, np.float32)


def _place(words: list[str], strand: str, where: str) -> Interval:
    contig, start, end = (word.strip() for word in words)
    if not (start.removeprefix("-").isdecimal() and end.isdecimal()):
        raise InputError(
            where,
            f"start {start!r} and end {end!r} are not whole numbers",
            "0-based half-open places",
        )
    return Interval(contig, int(start), int(end), strand)


def _strand(word: str, where: str) -> str:
    if word.strip() not in _STRANDS:
        raise InputError(where, f"strand {word!r}", "+, - or .")
    return _STRANDS[word.strip()]
