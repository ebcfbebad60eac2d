"""Sequences with their answers: what fine-tuning learns and is measured on.

A labelled set is a TSV `#chrom start end strand label split sequence` (0-based half-open, the
sequence read on its strand), as `dataset` writes it, or one of the other kinds of `[data]`. The
trap: rows of a file are not independent. Splits are by whole chromosome, as given, or by family; a
row with another answer in training is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from pydantic import Field

from orchid_genomics.answers.supervised_tasks import SupervisedTask, TaskName
from orchid_genomics.errors import InputError
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA, Interval

SPLITS = ("train", "validation", "test")
STRANDS = "+, - or ., or words such as 1, -1, plus, minus"
SPLIT_NAMES = {
    "train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2,
    "testing": 2,
}  # fmt: skip


class LabelledRecipe(Strict):
    """What every kind of labelled data may state."""

    task: Literal["auto", TaskName] = "auto"
    """auto: bits are multi-label, numbers that are not whole a regression, all else is classes."""
    validation_contigs: tuple[str, ...] = ()
    """Whole chromosomes held out for validation, in place of any split that the file gives."""
    test_contigs: tuple[str, ...] = ()
    """Whole chromosomes held out, in place of any split that the file gives."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of families for validation, where nothing else holds any out."""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """Shares of families (the group column, else equal sequences), where nothing else holds out."""
    conflicts: Literal["error", "drop"] = "error"
    """Training and validation rows whose sequence has another answer in a later split: refuse the
    set, or drop those rows.
    """
    longest: int = Field(default=131_072, gt=0)
    """Letters of a sequence, at most."""
    train_rows: int | None = Field(default=None, gt=0)
    """Train on so many rows drawn at random; every report says so."""


@dataclass(frozen=True)
class Rows:
    """Rows as read: tokens with case, and the words beside them; None where a file has no such
    column.
    """

    name: str
    where: Sequence[str]
    """File and line of every row, for messages."""
    tokens: list[np.ndarray]
    label: Sequence[str] | np.ndarray
    names: tuple[str, ...] = ()
    """What bits, numbers or tracks are called."""
    split: Sequence[str] | None = None
    places: Sequence[Interval] | None = None
    group: Sequence[str] | None = None
    bin: int = 0
    """Letters of one number of a track; 0 where labels are of whole sequences."""
    strands: Sequence[str] = ()
    """The strand column, where there are no places to say it."""
    is_bits: bool = False
    """Labels are words of a bit for each name."""
    notes: tuple[str, ...] = ()
    """What was mended while reading, a sentence each."""

    @property
    def stranded(self) -> bool:
        """Whether rows are read on either strand, each on its own."""
        return {"+", "-"} <= {*self.strands, *(place.strand for place in self.places or ())}


@dataclass(frozen=True)
class LabelledSet:
    """Sequences and their answers, checked; arrays are over rows (N,).

    `target` is (N,) int64 classes, (N, K) float32 bits or numbers, or (N, P, K) tracks with NaN
    where there is none; `split` 0 train, 1 validation, 2 test; `group` rows of one family;
    `stranded`: rows are read on either strand; `oriented`: no column says so, and they stand on
    their own strand all the same.
    """

    name: str
    task: SupervisedTask
    tokens: list[np.ndarray]
    target: np.ndarray
    split: np.ndarray
    group: np.ndarray
    where: Sequence[str]
    places: Sequence[Interval] | None = None
    stranded: bool = False
    oriented: bool = False
    notes: tuple[str, ...] = field(default=())
    """What was dropped, drawn or found, a sentence each."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the task's classes, bits, numbers or tracks are called."""
        return self.task.labels

    @property
    def lengths(self) -> np.ndarray:
        """Letters of every row (N,)."""
        return np.fromiter((len(row) for row in self.tokens), np.int64, len(self.tokens))

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, in file order."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Answers of rows as float64 numbers: 1 or 0 for each class, else as they stand."""
        target = self.target[rows]
        if self.task.has_classes:
            target = np.eye(len(self.labels))[target]
        return target.astype(np.float64)

    def take(self, rows: np.ndarray, note: str = "") -> "LabelledSet":
        """These rows alone."""
        return replace(
            self,
            tokens=[self.tokens[row] for row in rows],
            target=self.target[rows],
            split=self.split[rows],
            group=self.group[rows],
            where=[self.where[row] for row in rows],
            places=None if self.places is None else [self.places[row] for row in rows],
            notes=(*self.notes, note) if note else self.notes,
        )

    def describe(self) -> list[str]:
        """Lines for a person: rows by split, task, labels, lengths, what was noted."""
        counts = ", ".join(f"{len(self.rows(split)):,} {split}" for split in SPLITS)
        lengths = self.lengths
        span = f"{lengths.min():,}"
        if lengths.min() < lengths.max():
            span += f"-{lengths.max():,}"
        labels = ", ".join(self.labels[:12])
        if len(self.labels) > 12:
            labels += f", ... ({len(self.labels)})"
        if self.task.bin:
            labels += f", a number for every {self.task.bin:,} nt"
        return [
            f"{self.name}: {counts} rows of {span} nt",
            f"{self.task.name}: {labels}",
            *self.notes,
        ]


def check_tokens(rows: Rows, longest: int) -> None:
    """Raise InputError for a sequence that is empty, all N, or longer than `longest`."""
    if not rows.tokens:
        raise InputError(rows.name, "has no row", "one labelled sequence at least")
    for where, tokens in zip(rows.where, rows.tokens, strict=True):
        if not len(tokens):
            raise InputError(where, "the sequence is empty", "letters")
        if len(tokens) > longest:
            message = f"a sequence of {len(tokens):,} nt is longer than {longest:,}"
            raise InputError(where, message, "shorter sequences, or a larger data.longest")
        if not ((tokens & CODE) < DNA.count).any():
            raise InputError(where, f"all {len(tokens):,} letters are N", "a sequence with letters")


def keys_of(tokens: Sequence[np.ndarray], strand: str) -> list[bytes]:
    """A key for every sequence: its letters, case aside; those of the smaller strand where strands
    are alike.
    """
    own = [(row & CODE).astype(np.uint8) for row in tokens]
    if strand == "forward":
        return [row.tobytes() for row in own]
    return [min(row.tobytes(), DNA.reverse_complement(row).tobytes()) for row in own]
