"""A model reading a genome through windows of one length: the forward passes that scores are made
of.

The trap: a number may depend on the genome, the variant, the model and the window alone. So windows
are centred on the event or lie on a grid of the contig; rows of a batch never talk; and what is
kept from one question to the next (all ALTs of a site share a pass) is the answer to the same
question.
"""

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.events import Event, around, swapped_ends
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.objectives import MaskedRecipe

_LETTERS = {"cpu": 1 << 14, "cuda": 1 << 20}  # of one forward pass


@dataclass(frozen=True)
class Pair:
    """What the reference and the alternate window say of one event; nats where log-likelihoods.

    `flanks`: log-likelihood of the homologous flank letters, alternate minus reference, summed;
    `letters`: of the inserted letters (for a deletion: the deleted ones) per nucleotide; `cosine`:
    one minus the cosine between all the vectors of homologous letters; `distance`: the root of
    their mean squared distance.
    """

    flanks: float
    letters: float
    cosine: float
    distance: float


class Reader:
    """A model, a genome and a window length in letters; forgets between blocks (`forget`).

    Attributes: `flank` homologous letters read on each side of an event; `core` the central letters
    of a tile that are read from it; `longest` letters of an event that fits; `seconds` spent in the
    model. Raises InputError for a window that is odd or below 64 letters.
    """

    def __init__(self, model: OrchidModel, genome: Genome, window: int) -> None:
        if window < 64 or window % 2:
            raise InputError("--window", f"{window:,} nt", "an even number of letters, 64 or more")
        self.model, self.genome, self.window = model.eval(), genome, window
        self.flank, self.core = window // 4, 3 * window // 4
        self.longest = window - 1 - 2 * self.flank
        self.device = next(model.parameters()).device
        self.batch = max(1, _LETTERS.get(self.device.type, 1 << 20) // window)
        self.dense = model.recipe.encoder.strands == "dense"
        self.reads_letters = model.recipe.head is not None and model.recipe.head.kind == "letters"
        self.seconds = 0.0
        self._kept: dict[str, dict[Hashable, Any]] = {}

    def forget(self) -> None:
        """Let go of what was read; memory is that of the questions since."""
        self._kept.clear()

    def masked(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Log-probabilities (changed letters, 4) of SNV and MNV: all changed letters masked, the
        window around them.

        One forward pass a set of changed places, so one for all ALTs of a site.
        """

        def answer(keys: list[tuple]) -> list[np.ndarray]:
            logs_BLV = self.letters(np.stack([self._masked_row(key) for key in keys]))
            return [logs_LV[self._places(key)] for logs_LV, key in zip(logs_BLV, keys, strict=True)]

        return self._answers(
            "masked", [(e.contig, e.start, e.end, e.changed) for e in events], answer, self.batch
        )

    def shown(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Log-probabilities (changed letters, 4) of SNV and MNV with all letters in sight, from a
        fixed grid of tiles.

        Tile k is read in its central part, letters k core to (k + 1) core of the contig, wherever
        the variants are. `unmasking` is taken off the letter in sight, so that these estimate what
        `masked` says. One pass a tile.
        """

        def answer(keys: list[tuple]) -> list[np.ndarray]:
            tiles = sorted({(contig, place // self.core) for contig, place in keys})
            found: dict[tuple, np.ndarray] = {}
            for first in range(0, len(tiles), self.batch):
                some = tiles[first : first + self.batch]
                logs_BLV = self.letters(
                    np.stack([self._tile(*tile) for tile in some]), self.unmasking
                )
                row = {tile: i for i, tile in enumerate(some)}
                for contig, place in keys:
                    if (tile := (contig, place // self.core)) in row:
                        found[contig, place] = logs_BLV[
                            row[tile], place - self._tile_start(tile[1])
                        ]
            return [found[key] for key in keys]

        sites = [(e.contig, e.start + at) for e in events for at in e.changed]
        logs = iter(self._answers("shown", sites, answer, len(sites)))
        return [np.stack([next(logs) for _ in e.changed]) for e in events]

    def pairs(self, events: Sequence[Event]) -> list[Pair]:
        """The reference and the alternate window of every event, of equal length, trimmed evenly
        from both sides.

        One forward pass for each; the reference is shared by ALTs of a site that follow each other.
        """
        return self._answers("pairs", events, self._pairs, max(1, self.batch // 2))

    def predictions(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Outputs (T,) of the model's own head for the alternate window, minus those for the
        reference window.

        In the head's units: log-odds of classes, or numbers as the labels were; of tracks, the mean
        along the window.
        """

        def answer(some: list[Event]) -> list[np.ndarray]:
            rows, at = self._haplotypes(some)
            out = self._timed(self.model, rows)
            out = (out.mean(1) if out.ndim == 3 else out).double().cpu().numpy()
            return [out[alt] - out[ref] for ref, alt in at]

        return self._answers("predictions", events, answer, max(1, self.batch // 2))

    @property
    def unmasking(self) -> float:
        """What a letter in sight has too much of log-odds: log(3 kept / other) of the targets in
        training.

        A model trained to name targets that are shown as MASK, as another letter or as they are
        (80/10/10) reads a letter in sight as one of the latter two. By Bayes its odds are those of
        the masked letter times kept / (other / 3), for another letter is one of three. Raises
        RecipeError when either share is 0: then a letter in sight says nothing of what the model
        thinks of the others.
        """
        recipe = self.model.provenance.get("recipe", {}).get("objective", {})
        shares = MaskedRecipe(**{key: recipe[key] for key in ("masked", "other") if key in recipe})
        kept = 1 - shares.masked - shares.other
        if min(kept, shares.other) < 1e-6:
            found = f"was trained with {shares.other:g} of its targets shown as another letter and {kept:g} as they are"
            raise RecipeError("model", found, "the scores llr and entropy, which mask")
        return math.log(3 * kept / shares.other)

    def edge(self, event: Event, tiled: bool = False) -> tuple[float, float]:
        """How far a changed letter's log-odds move when the window's ends are swapped, and how far
        from 0 they stand.

        Means over the three other letters, nats. One forward pass more, for what was read is kept.
        """
        place, ref = event.start + event.changed[0], event.ref[event.changed[0]]
        if tiled:
            tile, unmasking = place // self.core, self.unmasking
            row, at = self._tile(event.contig, tile), place - self._tile_start(tile)
        else:
            key, unmasking = (event.contig, event.start, event.end, event.changed), 0.0
            row, at = self._masked_row(key), self._places(key)[0]
        plain = (self.shown if tiled else self.masked)([event])[0][0]
        swapped = self.letters(swapped_ends(row)[None], unmasking)[0, at]
        odds = [np.delete(logs - logs[ref], ref) for logs in (plain, swapped)]
        return float(np.abs(odds[1] - odds[0]).mean()), float(np.abs(odds[0]).mean())

    def _masked_row(self, key: tuple) -> np.ndarray:
        contig, start, end, changed = key
        inside = self.genome.tokens(contig, start, end) & CODE
        inside[list(changed)] = DNA.mask
        return around(self.genome, contig, start, end, inside.tobytes(), self.window)

    def _places(self, key: tuple) -> list[int]:
        """Where in its window the changed letters of a masked row stand."""
        _, start, end, changed = key
        return [(self.window - 1 - (end - start)) // 2 + at for at in changed]

    def _tile_start(self, tile: int) -> int:
        return tile * self.core - (self.window - self.core) // 2

    def _tile(self, contig: str, tile: int) -> np.ndarray:
        start = self._tile_start(tile)
        return self.genome.tokens(contig, start, start + self.window) & CODE

    def _haplotypes(self, events: Sequence[Event]) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The windows that events need, each once, and the rows (ref, alt) of each event."""
        rows: dict[tuple, int] = {}
        at = []
        for e in events:
            keys = [(e.contig, e.start, e.end, inside) for inside in (e.ref, e.alt)]
            at.append(tuple(rows.setdefault(key, len(rows)) for key in keys))
        return np.stack([around(self.genome, *key, self.window) for key in rows]), at

    def _pairs(self, events: list[Event]) -> list[Pair]:
        rows, at = self._haplotypes(events)
        vectors_BLD = self._timed(self._vectors, rows)
        likely_BL = None
        if self.reads_letters:
            codes = rows.astype(np.int64)
            logs = self._logs(vectors_BLD, rows, self.unmasking)
            likely_BL = np.take_along_axis(logs, np.minimum(codes, DNA.count - 1)[..., None], 2)[
                ..., 0
            ]
            likely_BL[codes >= DNA.count] = 0.0
        return [
            self._pair(
                e, vectors_BLD[[ref, alt]], None if likely_BL is None else likely_BL[[ref, alt]]
            )
            for e, (ref, alt) in zip(events, at, strict=True)
        ]

    def _pair(self, e: Event, vectors_2LD: Tensor, likely_2L: np.ndarray | None) -> Pair:
        sizes, F = (len(e.ref), len(e.alt)), self.flank
        sides = [(self.window - 1 - n) // 2 for n in sizes]
        flanks = [
            np.r_[side - F : side, side + n : side + n + F]
            for side, n in zip(sides, sizes, strict=True)
        ]
        if sizes[0] == sizes[1]:  # the changed letters are homologous too
            same = [np.r_[side - F : side + n + F] for side, n in zip(sides, sizes, strict=True)]
        else:
            same = flanks
        ref, alt = (vectors_2LD[i, same[i]].double() for i in (0, 1))
        cosine = 1 - (ref * alt).sum() / (ref.square().sum() * alt.square().sum()).sqrt()
        distance = (alt - ref).square().sum(1).mean().sqrt()
        if likely_2L is None:
            return Pair(math.nan, math.nan, float(cosine), float(distance))
        moved = (
            0 if e.kind == "deletion" else 1
        )  # in which window the letters stand that only one of them has
        inside = likely_2L[moved, sides[moved] : sides[moved] + sizes[moved]]
        change = likely_2L[1, flanks[1]].sum() - likely_2L[0, flanks[0]].sum()
        return Pair(float(change), float(inside.mean()), max(float(cosine), 0.0), float(distance))

    def _vectors(self, tokens_BL: Tensor) -> Tensor:
        """Vectors (B, L, D), float32; for dense models those of both strands side by side, (B, L, 2
        D).
        """
        vectors = self.model.encoder.encode(tokens_BL).float()
        if not self.dense:
            return vectors
        return torch.cat(
            [vectors, self.model.encoder.encode(_other_strand(tokens_BL)).float().flip(1)], 2
        )

    def letters(self, rows: np.ndarray, unmasking: float = 0.0) -> np.ndarray:
        """Log-probabilities (B, L, 4), float64, of rows of codes (B, L) as they stand; see
        `unmasking`.
        """
        return self._logs(self._timed(self._vectors, rows), rows, unmasking)

    def _logs(self, vectors_BLD: Tensor, rows: np.ndarray, unmasking: float) -> np.ndarray:
        """Log-probabilities (B, L, 4), float64; `unmasking` is taken off the letters that `rows`
        show.
        """

        def logs(vectors_BLD: Tensor, flip: bool) -> Tensor:
            logits = (
                self.model.head(vectors_BLD.flip(1)).flip(1, 2)
                if flip
                else self.model.head(vectors_BLD)
            )
            codes = torch.from_numpy(rows).to(logits.device).long()
            too_much = functional.one_hot(codes, DNA.size)[..., : DNA.count] * unmasking
            return functional.log_softmax(logits.double() - too_much, 2)

        def both(vectors_BLD: Tensor) -> Tensor:
            if not self.dense:
                return logs(vectors_BLD, False)
            here, there = vectors_BLD.chunk(2, 2)
            return (logs(here, False) + logs(there, True)) / 2

        return self._timed(both, vectors_BLD).cpu().numpy()

    def _timed(self, work: Callable[[Tensor], Tensor], given: np.ndarray | Tensor) -> Tensor:
        begun = time.perf_counter()
        with torch.inference_mode():
            out = work(
                torch.from_numpy(given).to(self.device) if isinstance(given, np.ndarray) else given
            )
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - begun
        return out

    def _answers(
        self, name: str, keys: Sequence[Hashable], answer: Callable[[list], list], batch: int
    ) -> list[Any]:
        """The answer to every key, asked once, so many at a time."""
        kept = self._kept.setdefault(name, {})
        wanted = [key for key in dict.fromkeys(keys) if key not in kept]
        for first in range(0, len(wanted), max(batch, 1)):
            some = wanted[first : first + batch]
            kept.update(zip(some, answer(some), strict=True))
        return [kept[key] for key in keys]


def _other_strand(tokens_BL: Tensor) -> Tensor:
    complement = torch.tensor(DNA.complement_codes, dtype=torch.uint8, device=tokens_BL.device)
    return complement[tokens_BL.long()].flip(1)
