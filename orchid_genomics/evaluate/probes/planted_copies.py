"""Does far context do anything? Gain in masked bits on a copy when its source, far away, is there
to be read.

A segment of each held-out window is planted a second time; the control is the same window with the
first copy shuffled (neighbouring pairs kept), the same letters hidden. (Natural sequence, in
`exchanged_context`, needs another control.) The trap: letters hidden in the first copy cannot be
read from it, so even an exact lookup gains only on what is shown (the row "place known").
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from orchid_genomics.data.copies import CopiesRecipe, Copy, draw_copies, plant, shuffle_segment
from orchid_genomics.data.corpus import Corpus
from orchid_genomics.evaluate.held_out import HeldOut, hide_letters
from orchid_genomics.evaluate.masked_letters import LetterModel, gather, letter_bits
from orchid_genomics.evaluate.probes.exchanged_context import (
    NaturalRecipe,
    natural_table,
    window_score,
)
from orchid_genomics.evaluate.score_table import Score, ScoreTable
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.distributed import Ranks

_VALIDATION = -2  # a step that training never takes


class LookupEvaluationRecipe(NaturalRecipe):
    """What is measured after training: the gain from a copy, against distance, length, divergence
    and strand.
    """

    lengths: tuple[int, ...] = ()
    """Further windows, nt, for the model as it is; the training window is measured first."""
    distances: tuple[int, ...] = (1000, 2000, 4000, 8000)
    """From start to start, nt; those that do not fit into a window are left out. None: nothing is
    planted."""
    copies: tuple[int, ...] = Field(default=(200, 500, 1000, 2000, 5000), min_length=1)
    """Lengths of the copy, nt."""
    copy_length: int = Field(default=1000, ge=1)
    """The length at which divergence and strand are varied."""
    diverged: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    """Substitutions, as a share of the copy's letters."""
    windows: int = Field(default=24, gt=0)
    """Windows a cell, evenly over the test split; the same for every cell."""
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of letters masked at once."""
    validation_windows: int = Field(default=16, gt=0)
    """Windows read for each validation during training."""
    seed: int = 0
    """Which letters are masked; the same for every model that is to be compared."""


class Kind(NamedTuple):
    """One kind of copy: distance and length in nt, substitutions as a share, and whether on the
    other strand.
    """

    distance: int
    length: int
    diverged: float = 0.0
    turned: bool = False

    def fits(self, length: int) -> bool:
        """Whether a window of `length` holds it; the copies do not overlap."""
        return self.length <= self.distance and self.distance + self.length <= length


class CopyBits(NamedTuple):
    """Bits (W, n) on the letters of the second copy; NaN where no letter is hidden.

    `there`: in windows with the first copy; `without`: with it shuffled; `known`: what the place of
    the copy, and how far it diverged, would have said.
    """

    there: np.ndarray
    without: np.ndarray
    known: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """Bits that the first copy saves."""
        return self.without - self.there


def choose_windows(pieces: Sequence[HeldOut], length: int, count: int) -> list[tuple[int, int]]:
    """Piece and start of windows that are held out whole, evenly spaced over all that are.

    Parameters
    ----------
    pieces
        Held-out contigs.
    length, count
        Letters of a window, and windows at most.
    """
    places = [np.zeros((0, 2), np.int64)]
    for number, piece in enumerate(pieces):
        before = np.concatenate([[0], np.cumsum(piece.inside)])
        whole = np.flatnonzero(before[length:] - before[:-length] == length)
        places.append(np.stack([np.full(len(whole), number), whole], 1))
    all_places = np.concatenate(places)
    total = len(all_places)
    count = min(count, total)
    # The middles of equal parts, so that neither end is preferred.
    rows = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    return [(int(all_places[row, 0]), int(all_places[row, 1])) for row in rows]


def copy_bits(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    length: int,
    kind: Kind,
    *,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> CopyBits:
    """Plant one kind of copy into the middle of every window, second copy after the first, and read
    both copies.
    """
    windows = choose_windows(pieces, length, measured.windows)
    first = (length - kind.distance - kind.length) // 2
    copy = Copy(first, first + kind.distance, kind.length, kind.diverged, kind.turned)
    second = slice(copy.target, copy.target + copy.length)
    rows = np.full((3, len(windows), kind.length), np.nan, np.float32)
    for number in range(ranks.rank, len(windows), ranks.world):
        piece, start = pieces[windows[number][0]], windows[number][1]
        inside = slice(start, start + length)
        key = measured.seed, number
        planted = plant(piece.tokens[inside], copy, *key)
        control = shuffle_segment(planted, copy.source, copy.length, *key)
        true_BL = np.stack([planted, control]) & CODE
        # The same letters are hidden in both, so that the first copy alone makes the difference.
        hidden = piece.hidden[inside]
        seen_BL = np.where(hidden, DNA.mask, true_BL).astype(np.uint8)
        there, without = letter_bits(model, seen_BL, true_BL, ranks.device)[:, second]
        known = _known_bits(true_BL[0], hidden, copy, without)
        target = hidden[second] & (true_BL[0, second] < DNA.count)
        for row, values in zip(rows, (there, without, known), strict=True):
            row[number] = np.where(target, values, np.nan)
    return CopyBits(*(gather(row, ranks) for row in rows))


def _known_bits(
    codes_L: np.ndarray, hidden_L: np.ndarray, copy: Copy, without: np.ndarray
) -> np.ndarray:
    """Bits (n,) on the second copy, knowing where the first stands and how far it diverged.

    Where the first copy's letter is hidden there is nothing to read: the bits without it.
    """
    source = np.arange(copy.source, copy.source + copy.length)
    partner = codes_L
    if copy.turned:
        source, partner = source[::-1], DNA.reverse_complement(codes_L)[::-1]
    same = partner[source] == codes_L[copy.target : copy.target + copy.length]
    # Never 0, whose logarithm is infinite.
    other = max(copy.diverged, 1e-9) / (DNA.count - 1)
    known = -np.log2(np.where(same, 1 - copy.diverged, other))
    return np.where(hidden_L[source], without, known)


class _Measurements:
    """The bits of each kind of copy in windows of one length, measured once."""

    def __init__(self, measure: Callable[[Kind], CopyBits], length: int) -> None:
        self.measure, self.length = measure, length
        self.bits: dict[Kind, CopyBits] = {}

    def row(self, kinds: Sequence[Kind], read: Callable[[CopyBits], np.ndarray]) -> list[Score]:
        """A number of each kind, by distance; without one where it does not fit the window."""
        scores = []
        for kind in kinds:
            name = f"{kind.distance / 1000:g} kb"
            if not kind.fits(self.length):
                scores.append(Score(name, np.nan, np.nan, np.nan, 0))
                continue
            if kind not in self.bits:
                self.bits[kind] = self.measure(kind)
            scores.append(window_score(name, read(self.bits[kind])))
        return scores


def planted_tables(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    length: int,
    *,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> list[ScoreTable]:
    """Gain against distance for every length of the copy, then for every divergence and the other
    strand.
    """
    if not measured.distances:
        return []

    def measure(kind: Kind) -> CopyBits:
        return copy_bits(model, pieces, length, kind, measured=measured, ranks=ranks)

    def kinds(size: int, diverged: float = 0.0, turned: bool = False) -> list[Kind]:
        return [Kind(distance, size, diverged, turned) for distance in measured.distances]

    table, one = _Measurements(measure, length), measured.copy_length
    by_length = {}
    for size in measured.copies:
        by_length[f"{size:,} nt"] = table.row(kinds(size), lambda bits: bits.gain)
    by_rate = {}
    for rate in measured.diverged:
        by_rate[f"{rate:.0%} diverged"] = table.row(kinds(one, rate), lambda bits: bits.gain)
    by_rate["other strand"] = table.row(kinds(one, turned=True), lambda bits: bits.gain)
    plain = {
        "first copy shuffled": table.row(kinds(one), lambda bits: bits.without),
        "first copy there": table.row(kinds(one), lambda bits: bits.there),
        "place known": table.row(kinds(one), lambda bits: bits.known),
    }
    where = f"windows of {length:,} nt"
    return [
        ScoreTable(f"gain on the second copy by its length, bits, {where}", by_length, {}),
        ScoreTable(f"gain on {one:,} nt by divergence, bits, {where}", by_rate, {}),
        ScoreTable(f"bits a masked letter of {one:,} nt, {where}", plain, {}),
    ]


def evaluate(
    model: LetterModel,
    corpus: Corpus,
    length: int,
    measured: LookupEvaluationRecipe,
    *,
    ranks: Ranks,
    say: Callable[[str], None] = lambda _: None,
) -> list[ScoreTable]:
    """Every table at the training window and at `measured.lengths`."""
    model.eval()
    pieces = hide_letters(corpus, "test", measured.seed, measured.share)
    tables = []
    for each in dict.fromkeys((length, *measured.lengths)) if pieces else ():
        say(f"measuring copies in windows of {each:,} nt")
        tables += planted_tables(model, pieces, each, measured=measured, ranks=ranks)
        tables += natural_table(model, corpus, pieces, each, measured=measured, ranks=ranks)
    return tables if ranks.main else []


def validation(
    model: LetterModel,
    corpus: Corpus,
    recipe: CopiesRecipe,
    length: int,
    *,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> Callable[[], float] | None:
    """A function that gives bits on copies planted in validation windows as in training; None
    without validation.
    """
    seed = measured.seed
    pieces = hide_letters(corpus, "validation", seed, measured.share)
    windows = choose_windows(pieces, length, measured.validation_windows)
    if not windows:
        return None
    every = recipe.model_copy(update={"share": 1.0})  # a window without a copy says nothing here
    # Drawn once, so that all validations ask the same.
    copies = draw_copies(every, length, seed, _VALIDATION, range(len(windows)))

    def mean_bits() -> float:
        total = torch.zeros(2, dtype=torch.float64)
        for number in range(ranks.rank, len(windows), ranks.world):
            copy = copies[number]
            if copy is None:
                continue
            piece, start = pieces[windows[number][0]], windows[number][1]
            inside = slice(start, start + length)
            planted = plant(piece.tokens[inside], copy, seed, _VALIDATION, number)
            true_BL = planted[None] & CODE
            seen_BL = np.where(piece.hidden[inside], DNA.mask, true_BL).astype(np.uint8)
            second = slice(copy.target, copy.target + copy.length)
            target = piece.hidden[inside][second] & (true_BL[0, second] < DNA.count)
            bits = letter_bits(model, seen_BL, true_BL, ranks.device)[0, second]
            total += torch.tensor([bits[target].sum(), target.sum()])
        bits_sum, letters = ranks.sum(total.to(ranks.device)).tolist()
        return bits_sum / max(letters, 1)

    return mean_bits
