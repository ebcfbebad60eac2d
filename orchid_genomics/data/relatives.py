"""Stretches of related genomes that stand beside a window: conservation without an alignment.

A stretch is found by the k-mers that it shares with the window, on either strand; it has the
window's length and orientation, and the model reads it through its pointers. The trap: what stands
beside a window follows from the window's own letters and the relatives alone, so that a record
depends on no other record; and letters of a relative that must not train are never in its index.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import Field

from orchid_genomics.data.sampling import Training
from orchid_genomics.errors import RecipeError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.sequence import CODE, DNA, Interval
from orchid_genomics.sequence.hashing import Stream, as_fraction, hash_integers
from orchid_genomics.sequence.kmers import both_strands

# Of a window of 1,024 letters with 15 % hidden, a relative that differs in an eighth shares about
# seventeen such k-mers; longer ones would be too few, and shorter ones stand everywhere.
K = 14
# One k-mer in two is kept, chosen by its letters: half the memory.
KEPT_IN = 2
# A k-mer that stands more often is a repeat, and says nothing of where the window belongs.
OFTEN = 4
# k-mers on one diagonal, give or take BIN letters of insertions, that a stretch needs.
VOTES = 3
BIN = 256


class RelativeRecipe(Strict):
    """A `[[relatives]]` block: a related genome whose stretches stand beside the windows."""

    fasta: RecipePath
    """The related genome, plain or bgzipped."""
    held_out: tuple[str, ...] | None = None
    """Contigs that never train; by default those that bear the names of the contigs held out of
    `[[genomes]]`."""


class BesideRecipe(Strict):
    """The `[beside]` block: how windows with relatives are made."""

    alone: float = Field(default=0.2, ge=0, le=1)
    """Share of the training windows that get no relatives, so that the model works alone too."""


class _Index(NamedTuple):
    """k-mers of a genome in order: codes of their smaller strand, and for each the place of its
    first letter among all contigs, doubled, plus 1 where the smaller strand is the other one.
    """

    codes: np.ndarray
    places: np.ndarray
    names: tuple[str, ...]
    starts: np.ndarray
    """Where each contig begins among all, with the end of the last."""


class Relative:
    """A related genome, indexed by the k-mers of some of its contigs when first asked.

    Parameters
    ----------
    genome : Genome
        The relative.
    without : iterable of str
        Contigs that are left out.
    """

    def __init__(self, genome: Genome, without: Iterable[str] = ()) -> None:
        self.genome, self.without = genome, frozenset(without)

    @cached_property
    def _index(self) -> _Index:
        names = tuple(name for name in self.genome.contigs if name not in self.without)
        sizes = [self.genome.contigs[name] for name in names]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        codes, places = [], []
        for name, size, start in zip(names, sizes, starts[:-1], strict=True):
            own, place = _sample(self.genome.tokens(name, 0, size))
            codes.append(own)
            places.append(place + 2 * start)
        code = np.concatenate([np.zeros(0, np.int64), *codes])
        place = np.concatenate([np.zeros(0, np.int64), *places])
        order = np.argsort(code, kind="stable")
        return _Index(code[order], place[order], names, starts)

    def find(self, tokens_L: np.ndarray) -> np.ndarray | None:
        """The stretch (L,) that belongs beside a window, in its orientation; None without one.

        N where it hangs over the end of its contig.
        """
        hit = self.locate(tokens_L)
        if hit is None:
            return None
        window = self.genome.tokens(hit.contig, hit.start, hit.end, hit.strand)
        return window & CODE

    def locate(self, tokens_L: np.ndarray) -> Interval | None:
        """Where that stretch stands."""
        index, L = self._index, len(tokens_L)
        codes, places = _sample(tokens_L)
        first = np.searchsorted(index.codes, codes, "left")
        count = np.searchsorted(index.codes, codes, "right") - first
        some = (count > 0) & (count <= OFTEN)
        number = np.repeat(first[some], count[some])
        number += np.arange(len(number)) - np.repeat(
            np.cumsum(count[some]) - count[some], count[some]
        )
        here, there = np.repeat(places[some], count[some]), index.places[number]
        turned = (here + there) % 2 == 1
        # Where the window's first letter would stand; of a turned stretch its last one does.
        at = np.where(turned, there // 2 + here // 2 + K - L, there // 2 - here // 2)
        contig = np.searchsorted(index.starts, there // 2, "right") - 1
        group = contig * 2 + turned
        if len(at) < VOTES:
            return None
        best = _densest(group, at)
        if best is None:
            return None
        inside = (group == best[0]) & (np.abs(at - best[1]) <= BIN)
        name, strand = index.names[best[0] // 2], "-" if best[0] % 2 else "+"
        start = int(np.sort(at[inside])[inside.sum() // 2] - index.starts[best[0] // 2])
        return Interval(name, start, start + L, strand)


def _sample(tokens_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kept k-mers of letters: codes of their smaller strand, and places doubled, plus 1 where
    that is the other strand.
    """
    forward, backward, valid = both_strands(tokens_L, K)
    code = np.minimum(forward, backward)
    # By the letters alone, so that both genomes keep the same ones; and no palindromes, which do
    # not say on which strand they stand.
    mixed = code.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    kept = valid & (forward != backward) & ((mixed >> np.uint64(40)) % np.uint64(KEPT_IN) == 0)
    place = np.flatnonzero(kept)
    return code[kept], 2 * place + (backward < forward)[kept]


def _densest(group: np.ndarray, at: np.ndarray) -> tuple[int, int] | None:
    """The group and place with most votes within BIN letters either way; None with too few."""
    order = np.lexsort((at, group))
    group, at = group[order], at[order]
    key = group * (1 << 40) + at
    votes = np.searchsorted(key, key + BIN, "right") - np.searchsorted(key, key - BIN, "left")
    best = int(np.argmax(votes))
    return (int(group[best]), int(at[best])) if votes[best] >= VOTES else None


class Relatives:
    """Several related genomes; what stands beside a window has one stretch for each.

    Parameters
    ----------
    relatives : sequence of Relative
        In the order in which their stretches stand.
    """

    def __init__(self, relatives: Sequence[Relative]) -> None:
        self.relatives = tuple(relatives)

    @property
    def times(self) -> int:
        """How many times as long as a window it is with what stands beside it."""
        return 1 + len(self.relatives)

    def beside(self, tokens_L: np.ndarray, alone: bool = False) -> np.ndarray:
        """A window and then the stretch of each relative, N where it has none; or N for all."""
        L = len(tokens_L)
        row = np.full(L * self.times, DNA.n, np.uint8)
        row[:L] = tokens_L
        for number, relative in enumerate(() if alone else self.relatives, 1):
            stretch = relative.find(tokens_L)
            if stretch is not None:
                row[number * L : (number + 1) * L] = stretch
        return row

    def checksums(self) -> tuple[str, ...]:
        """Of all their files, in order."""
        return tuple(relative.genome.checksum() for relative in self.relatives)


def open_relatives(
    recipes: Sequence[RelativeRecipe], held_out: Iterable[str], training: bool
) -> Relatives:
    """The relatives of a recipe; for `training` without the contigs that are held out.

    Raises InputError for a file that is not there, RecipeError for a relative of which nothing
    would be held out.
    """
    names, relatives = frozenset(held_out), []
    for number, recipe in enumerate(recipes):
        genome = Genome(recipe.fasta)
        where = f"relatives.{number}.held_out"
        if recipe.held_out is None:
            chosen = set(genome.shared(names, where).values())
        else:
            chosen = set(genome.rename(recipe.held_out, where).values())
        if names and recipe.held_out is None and not chosen:
            message = f"no contig of {recipe.fasta.name} bears the name of one that is held out"
            raise RecipeError(where, message, "name those that must not train, or [] for none")
        relatives.append(Relative(genome, chosen if training else ()))
    return Relatives(relatives)


class Beside:
    """Training windows with their relatives: a closed form of (seed, step, row), as windows are."""

    def __init__(self, windows: Training, relatives: Relatives, recipe: BesideRecipe) -> None:
        self.windows, self.relatives, self.recipe = windows, relatives, recipe
        self.length, self.rows = windows.length * relatives.times, windows.rows

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, L times) uint8 of these rows of a step."""
        tokens_BL = self.windows.batch(seed, step, rows)
        chance = as_fraction(hash_integers(seed, Stream.ALONE, step, np.asarray(rows, np.int64)))
        alone = chance < self.recipe.alone
        return np.stack(
            [
                self.relatives.beside(row, bool(is_alone))
                for row, is_alone in zip(tokens_BL, alone, strict=True)
            ]
        )

    def places(self, seed: int, step: int, rows: Sequence[int]) -> list[tuple[int, Interval]]:
        """Where the windows of these rows lie."""
        return self.windows.places(seed, step, rows)
