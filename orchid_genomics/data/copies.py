"""Copies planted in windows: a segment stands a second time some way off, diverged, on either
strand.

What a model must look up far away, as recall is, but of real sequence; the share of letters that it
could know is known. The trap: an encoder that is circular has two lags between the copies, d one
way round and L - d the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.sampling import Training
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA, SOFT, Interval
from orchid_genomics.sequence.hashing import Stream, as_fraction, hash_integers
from orchid_genomics.sequence.shuffle import dinucleotide_shuffle


class CopiesRecipe(Strict):
    """The `[copies]` block: what is planted in the training windows of the genomes.

    Lengths are in nt.
    """

    shortest: int = Field(default=200, ge=1)
    """The shortest segment that is copied; lengths are drawn evenly on a log scale."""
    longest: int = Field(default=5000, ge=1)
    """The longest; at most a third of the window, and what `nearest` leaves of it."""
    nearest: int = Field(default=1000, ge=1)
    """The least distance, from start to start, and never less than the segment.

    Distances are drawn evenly on a log scale too.
    """
    farthest: int | None = Field(default=None, ge=1)
    """The largest distance; as far as the window allows when not given."""
    diverged: float = Field(default=0.2, ge=0, lt=1)
    """Substitutions, as a share of the copy's letters.

    Each copy has a share of its own, drawn evenly from none to this.
    """
    turned: float = Field(default=0.5, ge=0, le=1)
    """Share of the copies that stand on the other strand."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Share of the windows that get a copy; the others are left as they are."""

    @model_validator(mode="after")
    def _spans(self) -> "CopiesRecipe":
        spans = [("shortest", self.shortest, "longest", self.longest)]
        if self.farthest is not None:
            spans.append(("nearest", self.nearest, "farthest", self.farthest))
        for low, least, high, most in spans:
            if least > most:
                words = {"low": low, "least": least, "high": high, "most": most}
                raise PydanticCustomError("span", "{low} {least} is more than {high} {most}", words)
        return self

    def most(self, length: int) -> int:
        """The longest segment in a window of `length`, nt; below `shortest` when the window holds
        no copy.
        """
        return min(self.longest, length // 3, length - self.nearest)


@dataclass(frozen=True)
class Copy:
    """One planted copy: `length` letters from `source` stand again from `target` on (0-based, in
    the window).
    """

    source: int
    target: int
    length: int
    diverged: float
    turned: bool


def plant(tokens_L: np.ndarray, copy: Copy, *key: int) -> np.ndarray:
    """The window with the copy in it; which letters change, and to which other, is a hash of `key`.
    Case is copied.
    """
    segment = tokens_L[copy.source : copy.source + copy.length]
    code, offset = segment & CODE, np.arange(copy.length)
    # one to three letters on, so that a change is never the letter itself
    step = hash_integers(*key, Stream.COPY_LETTER, offset) % np.uint64(DNA.count - 1)
    other = (code + 1 + step.astype(np.uint8)) % DNA.count
    changed = other.astype(np.uint8) | (segment & SOFT)
    chance = as_fraction(hash_integers(*key, Stream.COPY_CHANGE, offset))
    segment = np.where((chance < copy.diverged) & (code < DNA.count), changed, segment)
    planted = tokens_L.copy()
    planted[copy.target : copy.target + copy.length] = (
        DNA.reverse_complement(segment) if copy.turned else segment
    )
    return planted


def shuffle_segment(tokens_L: np.ndarray, start: int, length: int, *key: int) -> np.ndarray:
    """The window with one segment shuffled: the same pairs of neighbours, so that all but what it
    says is kept.
    """
    mingled, inside = tokens_L.copy(), slice(start, start + length)
    mingled[inside] = dinucleotide_shuffle(tokens_L[inside], np.random.default_rng(key))
    return mingled


def draw_copies(
    recipe: CopiesRecipe, length: int, seed: int, step: int, rows: Sequence[int]
) -> list[Copy | None]:
    """The copies of these rows of a step in windows of `length`; None where nothing is planted."""
    row = np.asarray(rows, np.int64)

    def chance(stream: Stream) -> np.ndarray:
        return as_fraction(hash_integers(seed, stream, step, row))

    size = _log_even(chance(Stream.COPY_LENGTH), recipe.shortest, recipe.most(length))
    nearest = np.maximum(recipe.nearest, size)
    farthest = np.maximum(nearest, np.minimum(recipe.farthest or length, length - size))
    distance = _log_even(chance(Stream.COPY_DISTANCE), nearest, farthest)
    first = (chance(Stream.COPY_PLACE) * (length - size - distance + 1)).astype(np.int64)
    ahead = chance(Stream.COPY_SIDE) < 0.5
    source = np.where(ahead, first, first + distance)
    target = np.where(ahead, first + distance, first)
    diverged = chance(Stream.COPY_RATE) * recipe.diverged
    turned = chance(Stream.COPY_STRAND) < recipe.turned
    present = chance(Stream.COPY_PRESENT) < recipe.share
    copies: list[Copy | None] = []
    for i in range(len(row)):
        copy = Copy(
            int(source[i]), int(target[i]), int(size[i]), float(diverged[i]), bool(turned[i])
        )
        copies.append(copy if present[i] else None)
    return copies


class Planted:
    """Training windows with a copy planted in each: a closed form of (seed, step, row), as the
    windows are.
    """

    def __init__(self, windows: Training, recipe: CopiesRecipe) -> None:
        self.windows, self.recipe = windows, recipe
        self.length, self.rows = windows.length, windows.rows

    def copies(self, seed: int, step: int, rows: Sequence[int]) -> list[Copy | None]:
        """What is planted in these rows of a step; None where nothing is."""
        return draw_copies(self.recipe, self.length, seed, step, rows)

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, L) uint8 of these rows of a step."""
        tokens_BL = self.windows.batch(seed, step, rows)
        for i, (row, copy) in enumerate(zip(rows, self.copies(seed, step, rows), strict=True)):
            if copy is not None:
                tokens_BL[i] = plant(tokens_BL[i], copy, seed, step, row)
        return tokens_BL

    def places(self, seed: int, step: int, rows: Sequence[int]) -> list[tuple[int, Interval]]:
        """Where the windows of these rows lie."""
        return self.windows.places(seed, step, rows)


def _log_even(fraction: np.ndarray, low: np.ndarray | int, high: np.ndarray | int) -> np.ndarray:
    """Whole numbers from low to high, both included, evenly on a log scale."""
    low = np.asarray(low, float)
    # To just under high + 1, of which the whole part is taken.
    return np.minimum(low * ((np.asarray(high) + 1) / low) ** fraction, high).astype(np.int64)
