"""Vectors of elements: what the encoder makes of their letters, seen in place on the genome or by
themselves.

The trap is the strand, as in `model.batching`: an element on "-" is read there, its letters 5' to 3',
and with strand "both" only those channels are kept that do not change between strands.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.batching import Strand, channels, pool_vectors
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.score.elements.element_scores import read
from orchid_genomics.score.elements.likelihood import pieces
from orchid_genomics.score.events import around
from orchid_genomics.sequence import CODE, DNA, Interval

Pooling = Literal["mean", "none"]


class ElementVectors:
    """An encoder and a genome made ready to embed elements.

    `window` letters are read around each piece of an element, of which the central part counts; 0:
    the element alone. Raises InputError for a window that is odd or below 64 letters.
    """

    def __init__(
        self, encoder: Orchid, genome: Genome, window: int, pool: Pooling, strand: Strand
    ) -> None:
        if window and (window < 64 or window % 2):
            raise InputError(
                "--window", f"{window:,} nt", "0 (the element alone), or an even number, 64 or more"
            )
        self.encoder, self.genome, self.window, self.pool, self.strand = (
            encoder.eval(),
            genome,
            window,
            pool,
            strand,
        )
        self.width = channels(encoder, strand)
        self.device = next(encoder.parameters()).device
        self.dense = encoder.recipe.strands == "dense"
        self.batch = max(1, (1 << (20 if self.device.type == "cuda" else 14)) // max(window, 1))

    def __call__(self, places: Sequence[Interval]) -> list[np.ndarray]:
        """A vector (1, C) for each place, or with pool "none" one for each of its letters (n, C);
        float32.

        A row depends on its own place alone.
        """
        if not self.window and self.pool == "mean":
            rows = [read(self.genome, place) for place in places]
            return list(pool_vectors(self.encoder, rows, "mean", self.strand)[:, None])
        found = [np.zeros((len(place), self.width), np.float32) for place in places]
        rows: list[tuple] = []
        for place, out in zip(places, found, strict=True):
            for row in self._rows(place, out):
                rows.append(row)
                if len(rows) == self.batch or not self.window:
                    self._answer(rows)
                    rows = []
        if rows:
            self._answer(rows)
        if self.pool == "none":
            return found
        return [letters.mean(0, dtype=np.float64).astype(np.float32)[None] for letters in found]

    def _rows(self, place: Interval, out: np.ndarray):
        """Codes to run as read on the element's strand, where the letters of a piece stand in them,
        where they go.
        """
        n, backward = len(place), place.strand == "-"
        if not self.window:
            yield read(self.genome, place) & CODE, slice(0, n), out
            return
        codes = self.genome.tokens(place.contig, place.start, place.end) & CODE
        for first, last in pieces(n, 3 * self.window // 4):
            side = (self.window - 1 - (last - first)) // 2
            inside = codes[first:last].tobytes()
            window = around(
                self.genome,
                place.contig,
                place.start + first,
                place.start + last,
                inside,
                self.window,
            )
            if backward:
                begin = self.window - side - (last - first)
                yield (
                    DNA.reverse_complement(window),
                    slice(begin, begin + last - first),
                    out[n - last : n - first],
                )
            else:
                yield window, slice(side, side + last - first), out[first:last]

    def _answer(self, rows: list[tuple]) -> None:
        vectors = self._vectors(np.stack([codes for codes, _, _ in rows]))
        for x_LD, (_, at, out) in zip(vectors, rows, strict=True):
            out[:] = x_LD[at]

    def _vectors(self, codes_BL: np.ndarray) -> np.ndarray:
        """(B, L, C); rows of one length, by the encoder's own transform length where they stand
        alone.
        """
        run = self.encoder.encode if self.window else self.encoder
        with torch.inference_mode():
            x_BLD = run(torch.from_numpy(codes_BL).to(self.device)).float()
            if self.dense and self.strand == "both":
                other = torch.from_numpy(
                    np.stack([DNA.reverse_complement(row) for row in codes_BL])
                )
                x_BLD = (x_BLD + run(other.to(self.device)).float().flip(1)) / 2
        return x_BLD[..., : self.width].cpu().numpy()
