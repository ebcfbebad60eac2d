"""Does far context do anything? Gain in masked bits on a copy when its source, far away, is there
to be read.

A segment of each held-out window is planted a second time; the control is the same window with the
first copy shuffled (neighbouring pairs kept), the same letters hidden. (Natural sequence, in
`natural`, needs another control.) The trap: letters hidden in the first copy cannot be read from
it, so even an exact lookup gains only on what is shown (the row "place known").
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import nn

from orchid_genomics.data.copies import CopiesRecipe, Copy, draw_copies, plant, shuffle_segment
from orchid_genomics.data.corpus import Corpus
from orchid_genomics.evaluate.masked_letters import HeldOut, gathered, held_out, letter_bits
from orchid_genomics.evaluate.probes.exchanged_context import NaturalRecipe, natural_table, score
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
    """From start to start, nt; those that do not fit into a window are left out. None: nothing is planted."""
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
    seed: int = 0
    """Which letters are masked; the same for every model that is to be compared."""


class Cell(NamedTuple):
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


class Pairs(NamedTuple):
    """Bits (W, n) on the letters of the second copy, in windows with the first copy and with it
    shuffled.

    NaN where no letter is hidden; `known` is what the place of the copy, and how far it diverged,
    would have said.
    """

    there: np.ndarray
    without: np.ndarray
    known: np.ndarray


def starts(pieces: Sequence[HeldOut], length: int, count: int) -> list[tuple[int, int]]:
    """Piece and start of at most `count` windows that are held out whole, evenly spaced over all
    that are.
    """
    found = []
    for number, piece in enumerate(pieces):
        before = np.concatenate([[0], np.cumsum(piece.inside)])
        whole = np.flatnonzero(before[length:] - before[:-length] == length)
        found += [(number, whole)] if len(whole) else []
    total = sum(len(whole) for _, whole in found)
    numbers = (
        np.concatenate([np.full(len(whole), number) for number, whole in found]) if found else []
    )
    places = np.concatenate([whole for _, whole in found]) if found else []
    at = [(2 * i + 1) * total // (2 * min(count, total)) for i in range(min(count, total))]
    return [(int(numbers[i]), int(places[i])) for i in at]


def pairs(
    model: nn.Module,
    pieces: Sequence[HeldOut],
    length: int,
    cell: Cell,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> Pairs:
    """Plant one kind of copy into the middle of every window, second copy after the first, and read
    both copies.
    """
    windows = starts(pieces, length, measured.windows)
    first = (length - cell.distance - cell.length) // 2
    copy = Copy(first, first + cell.distance, cell.length, cell.diverged, cell.turned)
    second = slice(copy.target, copy.target + copy.length)
    found = Pairs(*np.full((3, len(windows), cell.length), np.nan, np.float32))
    for w in range(ranks.rank, len(windows), ranks.world):
        piece, start = pieces[windows[w][0]], windows[w][1]
        inside = slice(start, start + length)
        hidden, planted = piece.hidden[inside], plant(piece.tokens[inside], copy, measured.seed, w)
        both = np.stack(
            [planted, shuffle_segment(planted, copy.source, copy.length, measured.seed, w)]
        )
        both &= CODE
        bits = letter_bits(
            model, np.where(hidden, DNA.mask, both).astype(np.uint8), both, ranks.device
        )[:, second]
        target = hidden[second] & (both[0, second] < DNA.count)
        source = np.arange(copy.source, copy.source + copy.length)[:: -1 if copy.turned else 1]
        partner = DNA.reverse_complement(both[0])[::-1] if copy.turned else both[0]
        same = partner[source] == both[0, second]
        known = -np.log2(
            np.where(same, 1 - copy.diverged, max(copy.diverged, 1e-9) / (DNA.count - 1))
        )
        known = np.where(hidden[source], bits[1], known)
        for row, values in zip(found, (*bits, known), strict=True):
            row[w] = np.where(target, values, np.nan)
    return Pairs(*(gathered(row, ranks) for row in found))


def planted_tables(
    model: nn.Module,
    pieces: Sequence[HeldOut],
    length: int,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> list[ScoreTable]:
    """Gain against distance for every length of the copy, then for every divergence and the other
    strand.
    """
    if not measured.distances:
        return []
    kept: dict[Cell, Pairs] = {}

    def row(read: Callable[[Pairs], np.ndarray], **kind) -> list[Score]:
        scores = []
        for distance in measured.distances:
            cell, name = Cell(distance, **kind), f"{distance / 1000:g} kb"
            if not cell.fits(length):
                scores.append(Score(name, np.nan, np.nan, np.nan, 0))
                continue
            if cell not in kept:
                kept[cell] = pairs(model, pieces, length, cell, measured, ranks)
            scores.append(score(name, read(kept[cell])))
        return scores

    def gain(found: Pairs) -> np.ndarray:
        return found.without - found.there

    one, where = measured.copy_length, f"windows of {length:,} nt"
    by_length = {f"{n:,} nt": row(gain, length=n) for n in measured.copies}
    by_rate = {
        f"{rate:.0%} diverged": row(gain, length=one, diverged=rate) for rate in measured.diverged
    }
    by_rate["other strand"] = row(gain, length=one, turned=True)
    names = {"first copy shuffled": "without", "first copy there": "there", "place known": "known"}
    bits = {
        name: row(lambda found, key=key: getattr(found, key), length=one)
        for name, key in names.items()
    }
    return [
        ScoreTable(f"gain on the second copy by its length, bits, {where}", by_length, {}),
        ScoreTable(f"gain on {one:,} nt by divergence, bits, {where}", by_rate, {}),
        ScoreTable(f"bits a masked letter of {one:,} nt, {where}", bits, {}),
    ]


def evaluate(
    model: nn.Module,
    corpus: Corpus,
    length: int,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
    tell: Callable[[str], None] = lambda _: None,
) -> list[ScoreTable]:
    """Every table at the training window and at `measured.lengths`."""
    model.eval()
    pieces, tables = held_out(corpus, "test", measured.seed, measured.share), []
    for each in dict.fromkeys((length, *measured.lengths)) if pieces else ():
        tell(f"measuring copies in windows of {each:,} nt")
        tables += planted_tables(model, pieces, each, measured, ranks)
        tables += natural_table(model, corpus, pieces, each, measured, ranks)
    return tables if ranks.main else []


def validation(
    model: nn.Module,
    corpus: Corpus,
    recipe: CopiesRecipe,
    length: int,
    measured: LookupEvaluationRecipe,
    ranks: Ranks,
) -> Callable[[], float] | None:
    """A function that gives bits on copies planted in validation windows as in training; None
    without validation.
    """
    pieces = held_out(corpus, "validation", measured.seed, measured.share)
    windows = starts(pieces, length, measured.validation_windows)
    if not windows:
        return None
    copies = draw_copies(
        recipe.model_copy(update={"share": 1.0}),
        length,
        measured.seed,
        _VALIDATION,
        range(len(windows)),
    )

    def bits() -> float:
        total = torch.zeros(2, dtype=torch.float64)
        for w in range(ranks.rank, len(windows), ranks.world):
            piece, inside = pieces[windows[w][0]], slice(windows[w][1], windows[w][1] + length)
            planted = (
                plant(piece.tokens[inside], copies[w], measured.seed, _VALIDATION, w)[None] & CODE
            )
            seen = np.where(piece.hidden[inside], DNA.mask, planted).astype(np.uint8)
            second = slice(copies[w].target, copies[w].target + copies[w].length)
            target = piece.hidden[inside][second] & (planted[0, second] < DNA.count)
            found = letter_bits(model, seen, planted, ranks.device)[0, second]
            total += torch.tensor([found[target].sum(), target.sum()])
        nats, letters = ranks.sum(total.to(ranks.device)).tolist()
        return nats / max(letters, 1)

    return bits
