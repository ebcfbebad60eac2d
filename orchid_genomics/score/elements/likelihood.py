"""How likely a model finds the letters of an element, each given all the others:
pseudo-log-likelihood and entropy.

The trap: a number may depend on the element alone. So its windows are laid symmetrically around its
own middle (both strands read the same), and only their central part is read, away from where a
circular window joins its ends.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.score.events import around
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
                "--passes",
                f"{passes}",
                f"1 (letters in sight, corrected) to {MOST_PASSES} (masked)",
            )
        self.reader, self.passes = reader, passes
        self.unmasking = reader.unmasking if passes == 1 else 0.0

    def letters(self, places: Sequence[Interval]) -> list[np.ndarray]:
        """Log-likelihood and entropy of every letter (2, n) of every place, along the genome; NaN
        where it is N.
        """
        found = [np.full((2, len(place)), np.nan) for place in places]
        rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        for place, out in zip(places, found, strict=True):
            for row in self._rows(place, out):
                rows.append(row)
                if len(rows) == self.reader.batch:
                    self._answer(rows)
                    rows = []
        if rows:
            self._answer(rows)
        return found

    def means(self, places: Sequence[Interval]) -> np.ndarray:
        """Mean log-likelihood and mean entropy (N, 2) over the known letters of every place."""
        found = np.full((len(places), 2), np.nan)
        for row, letters in enumerate(self.letters(places)):
            known = ~np.isnan(letters[0])
            if known.any():
                found[row] = letters[:, known].mean(1)
        return found

    def _rows(self, place: Interval, out: np.ndarray) -> Iterator[tuple]:
        """Windows (W,), where in them the letters to be read stand, their codes, and where the
        answers go (2, n).
        """
        reader = self.reader
        codes = reader.genome.tokens(place.contig, place.start, place.end) & CODE
        for first, last in pieces(len(place), reader.core):
            inside = codes[first:last]
            side = (reader.window - 1 - len(inside)) // 2
            for turn in range(self.passes):
                read = np.flatnonzero(
                    (inside < DNA.count) & (np.arange(len(inside)) % self.passes == turn)
                )
                if not len(read):
                    continue
                shown = inside.copy()
                if self.passes > 1:
                    shown[read] = DNA.mask
                start, end = place.start + first, place.start + last
                window = around(
                    reader.genome, place.contig, start, end, shown.tobytes(), reader.window
                )
                yield window, side + read, inside[read].astype(np.intp), (out, first + read)

    def _answer(self, rows: Sequence[tuple]) -> None:
        logs_BLV = self.reader.letters(np.stack([window for window, *_ in rows]), self.unmasking)
        for logs_LV, (_, at, codes, (out, where)) in zip(logs_BLV, rows, strict=True):
            logs = logs_LV[at]
            out[0, where] = np.take_along_axis(logs, codes[:, None], 1)[:, 0]
            out[1, where] = -(np.exp(logs) * logs).sum(1) / math.log(2)


def pieces(length: int, core: int) -> list[tuple[int, int]]:
    """Stretches [first, last) of at most `core` letters that cover `length` letters, the same from
    both ends.
    """
    if length <= core:
        return [(0, length)]
    side = (
        length - (core - (core - length) % 2)
    ) // 2  # the middle piece has the parity of the whole
    left = [(max(at - core, 0), at) for at in range(side, 0, -core)][::-1]
    return [*left, (side, length - side), *((length - b, length - a) for a, b in reversed(left))]
