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
from orchid_genomics.sequence.hashing import mixed
from orchid_genomics.sequence.shuffle import dinucleotide_shuffle

_LENGTH, _DISTANCE, _PLACE, _SIDE, _TURN, _RATE, _CHANGE, _OTHER, _SOME = range(
    41, 50
)  # streams of the hash


class CopiesRecipe(Strict):
    """The `[copies]` block: what is planted in the training windows of the genomes; lengths in nt."""

    shortest: int = Field(default=200, ge=1)
    """The shortest segment that is copied; lengths are drawn evenly on a log scale."""
    longest: int = Field(default=5000, ge=1)
    """The longest; at most a third of the window, and what `nearest` leaves of it."""
    nearest: int = Field(default=1000, ge=1)
    """The least distance, from start to start (and never less than the segment); evenly on a log scale too."""
    farthest: int | None = Field(default=None, ge=1)
    """The largest distance; as far as the window allows when not given."""
    diverged: float = Field(default=0.2, ge=0, lt=1)
    """Substitutions, as a share of the copy's letters: drawn evenly from none to this for each copy."""
    turned: float = Field(default=0.5, ge=0, le=1)
    """Share of the copies that stand on the other strand."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Share of the windows that get a copy; the others are left as they are."""

    @model_validator(mode="after")
    def _spans(self) -> "CopiesRecipe":
        spans = (("shortest", self.shortest, "longest", self.longest),)
        if self.farthest is not None:
            spans += (("nearest", self.nearest, "farthest", self.farthest),)
        for low, least, high, most in spans:
            if least > most:
                found = {"low": low, "least": least, "high": high, "most": most}
                raise PydanticCustomError("span", "{low} {least} is more than {high} {most}", found)
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
    place = np.arange(copy.length)
    other = (
        (segment & CODE)
        + 1
        + (mixed(*key, _OTHER, place) % np.uint64(DNA.count - 1)).astype(np.uint8)
    )
    changed = (other % DNA.count).astype(np.uint8) | (segment & SOFT)
    swap = (_fraction(mixed(*key, _CHANGE, place)) < copy.diverged) & ((segment & CODE) < DNA.count)
    segment = np.where(swap, changed, segment)
    planted = tokens_L.copy()
    planted[copy.target : copy.target + copy.length] = (
        DNA.reverse_complement(segment) if copy.turned else segment
    )
    return planted


def shuffled(tokens_L: np.ndarray, start: int, length: int, *key: int) -> np.ndarray:
    """The window with one segment shuffled: the same pairs of neighbours, so that all but what it
    says is kept.
    """
    mingled, inside = tokens_L.copy(), slice(start, start + length)
    mingled[inside] = dinucleotide_shuffle(tokens_L[inside], np.random.default_rng(key))
    return mingled


def drawn(
    recipe: CopiesRecipe, length: int, seed: int, step: int, rows: Sequence[int]
) -> list[Copy | None]:
    """The copies of these rows of a step in windows of `length`; None where nothing is planted."""
    row = np.asarray(rows, np.int64)
    f = {stream: _fraction(mixed(seed, stream, step, row)) for stream in range(_LENGTH, _SOME + 1)}
    n = _log_even(f[_LENGTH], recipe.shortest, recipe.most(length))
    near = np.maximum(recipe.nearest, n)
    d = _log_even(
        f[_DISTANCE], near, np.maximum(near, np.minimum(recipe.farthest or length, length - n))
    )
    first = (f[_PLACE] * (length - n - d + 1)).astype(np.int64)
    ahead = f[_SIDE] < 0.5
    source, target = np.where(ahead, first, first + d), np.where(ahead, first + d, first)
    each = zip(source, target, n, f[_RATE] * recipe.diverged, f[_TURN] < recipe.turned, strict=True)
    found = [
        Copy(int(s), int(t), int(k), float(rate), bool(turned)) for s, t, k, rate, turned in each
    ]
    return [
        copy if here else None for copy, here in zip(found, f[_SOME] < recipe.share, strict=True)
    ]


class Planted:
    """Training windows with a copy planted in each: a closed form of (seed, step, row), as the
    windows are.
    """

    def __init__(self, windows: Training, recipe: CopiesRecipe) -> None:
        self.windows, self.recipe = windows, recipe
        self.length, self.rows = windows.length, windows.rows

    def copies(self, seed: int, step: int, rows: Sequence[int]) -> list[Copy | None]:
        """What is planted in these rows of a step; None where nothing is."""
        return drawn(self.recipe, self.length, seed, step, rows)

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


def _fraction(state: np.ndarray) -> np.ndarray:
    """A hash as a number in [0, 1)."""
    return (state >> np.uint64(11)) * (1.0 / (1 << 53))


def _log_even(fraction: np.ndarray, low: np.ndarray | int, high: np.ndarray | int) -> np.ndarray:
    """Whole numbers from low to high, both included, evenly on a log scale."""
    low = np.asarray(low, float)
    return np.minimum(low * ((np.asarray(high) + 1) / low) ** fraction, high).astype(np.int64)
