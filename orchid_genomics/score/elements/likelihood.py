"""How likely a model finds an element's letters, each given all others (pseudo-log-likelihood).

The trap: a number may depend on the element alone. So its windows are laid symmetrically around its
own middle (both strands read the same), and only their central part is read, away from where a
circular window joins its ends.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.score.events import Haplotype, sides_of, window_around
from orchid_genomics.score.reader import Reader
from orchid_genomics.sequence import CODE, DNA, Interval

MOST_PASSES = 64


class Likelihood:
    """Log-likelihood (nats) and entropy (bits) of letters, through the windows of a `Reader`.

    `passes` 1: one pass with all letters in sight, corrected by Bayes for what training showed
    (`Reader.unmasking`). `passes` k > 1: k passes, each with every k-th letter of the element
    masked, the others in sight. A letter is then hidden, as most targets of training were, at k
    times the cost. Raises InputError for fewer than one or too many passes, and RecipeError for one
    pass with a model whose training does not allow it.
    """

    def __init__(self, reader: Reader, passes: int = 1) -> None:
        if not 1 <= passes <= MOST_PASSES:
            raise InputError(
                "passes",
                f"{passes}",
                f"1 (letters in sight, corrected) to {MOST_PASSES} (masked)",
            )
        self.reader, self.passes = reader, passes
        self.unmasking = reader.unmasking if passes == 1 else 0.0

    def letters(self, intervals: Sequence[Interval]) -> list[np.ndarray]:
        """Log-likelihood and entropy (2, n) of every letter of each interval, along the genome; NaN
        where it is N.
        """
        answers = [np.full((2, len(interval)), np.nan) for interval in intervals]
        batch: list[_Row] = []
        for interval, answer_2L in zip(intervals, answers, strict=True):
            for row in self._rows(interval, answer_2L):
                batch.append(row)
                if len(batch) == self.reader.batch:
                    self._read(batch)
                    batch = []
        if batch:
            self._read(batch)
        return answers

    def means(self, intervals: Sequence[Interval]) -> np.ndarray:
        """Mean log-likelihood and mean entropy (N, 2) over the known letters of every interval."""
        means = np.full((len(intervals), 2), np.nan)
        for row, letters_2L in enumerate(self.letters(intervals)):
            known = ~np.isnan(letters_2L[0])
            if known.any():
                means[row] = letters_2L[:, known].mean(1)
        return means

    def _rows(self, interval: Interval, answer_2L: np.ndarray) -> Iterator["_Row"]:
        """The windows that read an interval: a pass or more of each of its pieces."""
        genome, width = self.reader.genome, self.reader.window
        codes = genome.tokens(interval.contig, interval.start, interval.end) & CODE
        core = self.reader.tiles.size(interval.contig)
        for first, last in pieces(len(interval), core):
            inside = codes[first:last]
            start, end = interval.start + first, interval.start + last
            here = Haplotype(interval.contig, start, end, inside.tobytes())
            side, _ = sides_of(genome, here, width)
            turns = np.arange(len(inside)) % self.passes
            for turn in range(self.passes):
                read = np.flatnonzero((inside < DNA.count) & (turns == turn))
                if not len(read):
                    continue
                shown = inside.copy()
                if self.passes > 1:
                    shown[read] = DNA.mask
                haplotype = here._replace(inside=shown.tobytes())
                window = window_around(genome, haplotype, width)
                letters = inside[read].astype(np.intp)
                yield _Row(window, side + read, letters, answer_2L, first + read)

    def _read(self, rows: Sequence["_Row"]) -> None:
        every = self.reader.letters([row.window for row in rows], self.unmasking)
        for logs_LV, row in zip(every, rows, strict=True):
            logs = logs_LV[row.at]
            row.answer_2L[0, row.to] = np.take_along_axis(logs, row.letters[:, None], 1)[:, 0]
            row.answer_2L[1, row.to] = -(np.exp(logs) * logs).sum(1) / math.log(2)


class _Row(NamedTuple):
    """A window (W,), where in it the letters stand that it is read for, and where answers go."""

    window: np.ndarray
    at: np.ndarray
    letters: np.ndarray
    answer_2L: np.ndarray
    to: np.ndarray


def pieces(length: int, core: int) -> list[tuple[int, int]]:
    """Stretches [first, last) of at most `core` letters over `length`, alike from both ends."""
    if length <= core:
        return [(0, length)]
    # the middle piece has the parity of the whole
    side = (length - (core - (core - length) % 2)) // 2
    left = [(max(at - core, 0), at) for at in range(side, 0, -core)][::-1]
    right = [(length - last, length - first) for first, last in reversed(left)]
    return [*left, (side, length - side), *right]
