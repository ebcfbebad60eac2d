"""Vectors of elements: what the encoder makes of their letters, in place on the genome or alone.

The trap is the strand, as in `model.batching`: an element on "-" is read there, 5' to 3',
and with strand "both" only those channels are kept that do not change between strands.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.batching import Strand, channels, pool_vectors
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.score.elements.element_scores import read
from orchid_genomics.score.elements.likelihood import pieces
from orchid_genomics.score.events import Haplotype, sides_of, window_around
from orchid_genomics.score.reader import by_length, check_window, enough_memory
from orchid_genomics.score.tiles import Tiles
from orchid_genomics.sequence import CODE, DNA, Interval

Pooling = Literal["mean", "none"]
_LETTERS = {"cpu": 1 << 14, "cuda": 1 << 20}  # of one forward pass


class ElementVectors:
    """An encoder and a genome made ready to embed elements.

    `window` letters are read around each piece of an element, of which the central part counts; 0:
    the element alone. Raises InputError for a window that is odd or below 64 letters.
    """

    def __init__(
        self, encoder: Orchid, genome: Genome, window: int, pool: Pooling, strand: Strand
    ) -> None:
        if window:
            possible = "0 (the element alone), or an even number, 64 or more"
            check_window(window, encoder, "window", possible, genome)
        self.encoder, self.genome = encoder.eval(), genome
        self.window, self.pool, self.strand = window, pool, strand
        self.width = channels(encoder, strand)
        self.tiles = Tiles(genome, 3 * window // 4, whole=window)
        self.device = next(encoder.parameters()).device
        self.dense = encoder.recipe.strands == "dense"
        self.batch = max(1, _LETTERS.get(self.device.type, 1 << 20) // max(window, 1))

    def __call__(self, intervals: Sequence[Interval]) -> list[np.ndarray]:
        """A vector (1, C) for each interval, or with pool "none" one a letter (n, C); float32.

        A row depends on its own interval alone.
        """
        if not self.window and self.pool == "mean":
            rows = [read(self.genome, interval) for interval in intervals]
            return list(pool_vectors(self.encoder, rows, "mean", self.strand)[:, None])
        answers = [np.zeros((len(interval), self.width), np.float32) for interval in intervals]
        batch: list[_Row] = []
        for interval, answer_LC in zip(intervals, answers, strict=True):
            for row in self._rows(interval, answer_LC):
                batch.append(row)
                # elements alone differ in length, and rows of a batch may not
                if len(batch) == self.batch or not self.window:
                    self._read(batch)
                    batch = []
        if batch:
            self._read(batch)
        if self.pool == "none":
            return answers
        return [each.mean(0, dtype=np.float64).astype(np.float32)[None] for each in answers]

    def _rows(self, interval: Interval, answer_LC: np.ndarray) -> Iterator["_Row"]:
        """What is run to read an interval, on its strand: a window around each of its pieces."""
        n = len(interval)
        if not self.window:
            yield _Row(read(self.genome, interval) & CODE, slice(0, n), answer_LC)
            return
        codes = self.genome.tokens(interval.contig, interval.start, interval.end) & CODE
        for first, last in pieces(n, self.tiles.size(interval.contig)):
            size = last - first
            inside = codes[first:last].tobytes()
            start, end = interval.start + first, interval.start + last
            haplotype = Haplotype(interval.contig, start, end, inside)
            side, _ = sides_of(self.genome, haplotype, self.window)
            window = window_around(self.genome, haplotype, self.window)
            if interval.strand == "-":
                # Counted from the other end: the N that ended the window now begins it.
                begin = len(window) - side - size
                other = DNA.reverse_complement(window)
                yield _Row(other, slice(begin, begin + size), answer_LC[n - last : n - first])
            else:
                yield _Row(window, slice(side, side + size), answer_LC[first:last])

    def _read(self, rows: Sequence["_Row"]) -> None:
        for numbers, codes_BL in by_length([row.codes for row in rows]):
            for number, x_LC in zip(numbers, self._vectors(codes_BL), strict=True):
                row = rows[number]
                row.answer_LC[:] = x_LC[row.at]

    def _vectors(self, codes_BL: np.ndarray) -> np.ndarray:
        """(B, L, C); rows of one length, by the encoder's own transform length where they stand
        alone.
        """
        run = self.encoder.encode if self.window else self.encoder
        with enough_memory(codes_BL.shape[1]), torch.inference_mode():
            x_BLD = run(torch.from_numpy(codes_BL).to(self.device)).float()
            if self.dense and self.strand == "both":
                turned_BL = np.stack([DNA.reverse_complement(row) for row in codes_BL])
                other_BLD = run(torch.from_numpy(turned_BL).to(self.device)).float().flip(1)
                x_BLD = (x_BLD + other_BLD) / 2
        return x_BLD[..., : self.width].cpu().numpy()


class _Row(NamedTuple):
    """Codes to run, where in them the letters of a piece stand, and where their vectors go."""

    codes: np.ndarray
    at: slice
    answer_LC: np.ndarray
