"""A model reading a genome through windows of one length: the passes that scores are made of.

The trap: a number may depend on the genome, the variant, the model and the window alone. So windows
are centred on the event or lie on a grid of the contig; rows of a batch never talk; and what is
kept from one question to the next (all ALTs of a site share a pass) is the answer to the same
question. A circular contig that is no longer than the window is read whole, as a window without
ends, so that windows may differ in length.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orchid_genomics.data.relatives import Relatives
from orchid_genomics.errors import InputError, MachineError, RecipeError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.channel_groups import bytes_held
from orchid_genomics.model.device import memory_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.masking import Masking
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.score.events import (
    Event,
    Haplotype,
    reads_whole,
    sides_of,
    swap_ends,
    window_around,
)
from orchid_genomics.score.tiles import Tiles
from orchid_genomics.sequence import CODE, DNA

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")
_WINDOWS = "an even number of letters, 64 or more"
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

    With `relatives`, what they have beside a window is read with it, and follows from its letters.

    Attributes: `core` the central letters of a tile that are read from it, and `tiles` the grid of
    them; `seconds` spent in the model. Raises InputError for a window that is odd or below 64
    letters, and for one that the model's device cannot hold.
    """

    def __init__(
        self,
        model: OrchidModel,
        genome: Genome,
        window: int,
        relatives: Relatives | None = None,
    ) -> None:
        check_window(window, model, "window", genome=genome)
        if relatives is not None:
            check_relatives(model, relatives, window)
        self.relatives = relatives
        self.model, self.genome, self.window = model.eval(), genome, window
        self.core = 3 * window // 4
        self.tiles = Tiles(genome, self.core, whole=window)
        self.device = next(model.parameters()).device
        read = window * (1 if relatives is None else relatives.times)
        self.batch = max(1, _LETTERS.get(self.device.type, 1 << 20) // read)
        self.dense = model.recipe.encoder.strands == "dense"
        self.reads_letters = model.recipe.head is not None and model.recipe.head.kind == "letters"
        self.seconds = 0.0
        self._kept: dict[str, dict[Hashable, Any]] = {}

    def letters_of(self, contig: str) -> int:
        """Letters of the windows of a contig: those of the reader, or a whole circular contig."""
        if reads_whole(self.genome, contig, self.window):
            return self.genome.contigs[contig]
        return self.window

    def flank(self, contig: str) -> int:
        """Homologous letters that are read on each side of an event."""
        return self.letters_of(contig) // 4

    def longest(self, contig: str) -> int:
        """Letters of an event that fits into the windows of a contig."""
        # One N at least ends every window that has ends: see `window_around`.
        ends = 0 if reads_whole(self.genome, contig, self.window) else 1
        return self.letters_of(contig) - ends - 2 * self.flank(contig)

    def forget(self) -> None:
        """Let go of what was read; memory is that of the questions since."""
        self._kept.clear()

    def masked(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Log-probabilities (changed letters, 4) of SNV and MNV: all changed letters masked, the
        window around them.

        One forward pass a set of changed places, so one for all ALTs of a site.
        """

        def answer(sites: list[_Site]) -> list[np.ndarray]:
            logs = self.letters([self._masked_row(site) for site in sites])
            return [logs_LV[self._offsets(site)] for logs_LV, site in zip(logs, sites, strict=True)]

        return self._answers("masked", [_Site.of(event) for event in events], answer, self.batch)

    def rates(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Tracks (changed letters, T) as the model predicts them of the windows of `masked`."""

        def answer(sites: list[_Site]) -> list[np.ndarray]:
            rows = [self._masked_row(site) for site in sites]
            means: dict[int, np.ndarray] = {}
            for numbers, codes_BL in by_length(rows):
                means_BLT = self._time(self._means, self._to_device(codes_BL))
                means.update(zip(numbers, means_BLT.cpu().numpy(), strict=True))
            return [means[row][self._offsets(site)] for row, site in enumerate(sites)]

        return self._answers("rates", [_Site.of(event) for event in events], answer, self.batch)

    def _means(self, tokens_BL: Tensor) -> Tensor:
        """Predicted tracks (B, L, T), float64; of dense models the mean of both strands."""
        means_BLT = self.model.encode_with_rates(tokens_BL)[1][0]
        if not self.dense:
            return means_BLT.double()
        other_BLT = self.model.encode_with_rates(_other_strand(tokens_BL))[1][0].flip(1)
        return (means_BLT + other_BLT).double() / 2

    def shown(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Log-probabilities (changed letters, 4) of SNV and MNV with all letters in sight, from a
        fixed grid of tiles.

        Tile k is read in its central part, letters k core to (k + 1) core of the contig, wherever
        the variants are. `unmasking` is taken off the letter in sight, so that these estimate what
        `masked` says. One pass a tile.
        """
        letters = [(event.contig, event.start + at) for event in events for at in event.changed]
        logs = iter(self._answers("shown", letters, self._read_tiles, len(letters)))
        return [np.stack([next(logs) for _ in event.changed]) for event in events]

    def _read_tiles(self, letters: list[tuple[str, int]]) -> list[np.ndarray]:
        """Log-probabilities (4,) of letters (contig, 0-based) from the tiles that they lie in."""
        by_tile: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for contig, letter in letters:
            number, offset = self.tiles.find(contig, letter)
            by_tile.setdefault((contig, number), []).append((letter, offset))
        logs: dict[tuple[str, int], np.ndarray] = {}
        for tile, logs_LV in self.central(sorted(by_tile)):
            for letter, offset in by_tile[tile]:
                logs[tile[0], letter] = logs_LV[offset]
        return [logs[letter] for letter in letters]

    def central(
        self, tiles: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
        """Each tile (contig, number in its grid) with the log-probabilities (core, 4) of its
        central letters, read with all letters in sight and corrected by `unmasking`.
        """
        for first in range(0, len(tiles), self.batch):
            batch = tiles[first : first + self.batch]
            logs = self.letters([self._tile(*tile) for tile in batch], self.unmasking)
            for (contig, tile), logs_LV in zip(batch, logs, strict=True):
                side = self._tile_side(contig)
                yield (contig, tile), logs_LV[side : side + self.tiles.size(contig)]

    def pairs(self, events: Sequence[Event]) -> list[Pair]:
        """The reference and the alternate window of every event, of equal length, trimmed evenly
        from both sides.

        One forward pass for each; the reference is shared by ALTs of a site that follow each other.
        """
        # An event may need two windows, so half as many events as rows.
        return self._answers("pairs", events, self._pairs, max(1, self.batch // 2))

    def predictions(self, events: Sequence[Event]) -> list[np.ndarray]:
        """Outputs (T,) of the model's own head for the alternate window, minus those for the
        reference window.

        In the head's units: log-odds of classes, or numbers as the labels were; of tracks, the mean
        along the window.
        """

        def answer(batch: list[Event]) -> list[np.ndarray]:
            rows, pairs = self._haplotypes(batch)
            values: dict[int, np.ndarray] = {}
            for numbers, codes_BL in by_length(rows):
                outputs = self._time(self._outputs, self._to_device(codes_BL))
                values.update(zip(numbers, outputs.cpu().numpy(), strict=True))
            return [values[alt] - values[ref] for ref, alt in pairs]

        return self._answers("predictions", events, answer, max(1, self.batch // 2))

    def _outputs(self, tokens_BL: Tensor) -> Tensor:
        """Outputs (B, T) of the model's own head, float64; of tracks, the mean along the window."""
        outputs = self.model(tokens_BL)
        return (outputs.mean(1) if outputs.ndim == 3 else outputs).double()

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
        masking = Masking.of(self.model.provenance)
        if not masking.legible:
            shares = f"{masking.other:g} of its targets shown as another letter"
            message = f"was trained with {shares} and {masking.kept:g} as they are"
            raise RecipeError("model", message, "the scores llr and entropy, which mask")
        return math.log(3 * masking.kept / masking.other)

    def edge(self, event: Event, tiled: bool = False) -> tuple[float, float]:
        """How far a changed letter's log-odds move when the window's ends are swapped, and how far
        from 0 they stand.

        Means over the three other letters, nats. One forward pass more, for what was read is kept.
        """
        letter, ref = event.start + event.changed[0], event.ref[event.changed[0]]
        if tiled:
            tile, offset = self.tiles.find(event.contig, letter)
            row, at = self._tile(event.contig, tile), self._tile_side(event.contig) + offset
            unmasking, plain = self.unmasking, self.shown([event])[0][0]
        else:
            site, unmasking = _Site.of(event), 0.0
            row, at = self._masked_row(site), self._offsets(site)[0]
            plain = self.masked([event])[0][0]
        swapped = plain
        # A whole circular contig has no ends to swap.
        if not reads_whole(self.genome, event.contig, self.window):
            swapped = self.letters([swap_ends(row)], unmasking)[0][at]
        odds = [np.delete(logs - logs[ref], ref) for logs in (plain, swapped)]
        return float(np.abs(odds[1] - odds[0]).mean()), float(np.abs(odds[0]).mean())

    def _masked_row(self, site: "_Site") -> np.ndarray:
        inside = self.genome.tokens(site.contig, site.start, site.end) & CODE
        inside[list(site.changed)] = DNA.mask
        haplotype = Haplotype(site.contig, site.start, site.end, inside.tobytes())
        return window_around(self.genome, haplotype, self.window)

    def _offsets(self, site: "_Site") -> list[int]:
        """Where in its window the changed letters of a site stand."""
        range_of_site = Haplotype(site.contig, site.start, site.end, bytes(site.end - site.start))
        side, _ = sides_of(self.genome, range_of_site, self.window)
        return [side + at for at in site.changed]

    def _tile_side(self, contig: str) -> int:
        """Letters on the left of a tile in its window; none around a whole contig."""
        if reads_whole(self.genome, contig, self.window):
            return 0
        return (self.window - self.core) // 2

    def _tile(self, contig: str, tile: int) -> np.ndarray:
        start = self.tiles.interval(contig, tile).start - self._tile_side(contig)
        return self.genome.tokens(contig, start, start + self.letters_of(contig)) & CODE

    def _haplotypes(
        self, events: Sequence[Event]
    ) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
        """The windows that events need, each once, and the rows (ref, alt) of each event."""
        rows: dict[Haplotype, int] = {}
        pairs = []
        for event in events:
            ref, alt = (rows.setdefault(each, len(rows)) for each in event.haplotypes)
            pairs.append((ref, alt))
        return [window_around(self.genome, each, self.window) for each in rows], pairs

    def _pairs(self, events: list[Event]) -> list[Pair]:
        rows, pairs = self._haplotypes(events)
        # vectors can be compared even where training says nothing of letters in sight
        legible = self.reads_letters and Masking.of(self.model.provenance).legible
        windows: dict[int, _Window] = {}
        for numbers, codes_BL in by_length(rows):
            vectors_BLD = self._read(codes_BL)
            likely_BL = self._likelihoods(vectors_BLD, codes_BL) if legible else None
            for row, number in enumerate(numbers):
                likely_L = None if likely_BL is None else likely_BL[row]
                windows[number] = _Window(vectors_BLD[row], likely_L)
        return [
            self._pair(event, windows[ref], windows[alt])
            for event, (ref, alt) in zip(events, pairs, strict=True)
        ]

    def _likelihoods(self, vectors_BLD: Tensor, rows: np.ndarray) -> np.ndarray:
        """The log-likelihood (B, L) of every letter that stands in its row, 0 where it is N."""
        codes_BL = rows.astype(np.int64)
        logs_BLV = self._logs(vectors_BLD, rows, self.unmasking)
        # An N has no likelihood: that of some letter is looked up, and then set to 0.
        known_BL = np.minimum(codes_BL, DNA.count - 1)
        likely_BL = np.take_along_axis(logs_BLV, known_BL[..., None], 2)[..., 0]
        likely_BL[codes_BL >= DNA.count] = 0.0
        return likely_BL

    def _pair(self, event: Event, reference: "_Window", alternate: "_Window") -> Pair:
        F = self.flank(event.contig)
        homologous, flanks, sides = [], [], []
        for haplotype in event.haplotypes:
            side, _ = sides_of(self.genome, haplotype, self.window)
            stop = side + len(haplotype.inside)
            flanks.append(np.r_[side - F : side, stop : stop + F])
            # Letters that stand for others are homologous to them, one by one.
            whole = np.r_[side - F : stop + F]
            homologous.append(whole if event.is_substitution else flanks[-1])
            sides.append(slice(side, stop))
        ref = reference.vectors_LD[homologous[0]].double()
        alt = alternate.vectors_LD[homologous[1]].double()
        cosine = 1 - (ref * alt).sum() / (ref.square().sum() * alt.square().sum()).sqrt()
        distance = (alt - ref).square().sum(1).mean().sqrt()
        if reference.likely_L is None or alternate.likely_L is None:
            return Pair(math.nan, math.nan, float(cosine), float(distance))
        # the window in which the letters stand that only one of the two has
        if event.kind == "deletion":
            inside = reference.likely_L[sides[0]]
        else:
            inside = alternate.likely_L[sides[1]]
        change = alternate.likely_L[flanks[1]].sum() - reference.likely_L[flanks[0]].sum()
        # Rounding may put a cosine a little above 1.
        return Pair(float(change), float(inside.mean()), max(float(cosine), 0.0), float(distance))

    def _read(self, codes_BL: np.ndarray) -> Tensor:
        """The vectors of windows, read with what their relatives have beside them if any."""
        L = codes_BL.shape[1]
        rows = codes_BL
        if self.relatives is not None:
            rows = np.stack([self.relatives.beside(row) for row in codes_BL])
        return self._time(self._vectors, self._to_device(rows))[:, :L]

    def _vectors(self, tokens_BL: Tensor) -> Tensor:
        """Vectors (B, L, D), float32; of dense models both strands side by side, (B, L, 2 D).

        Of an ensemble those of the first network: vectors of several have no common axes.
        """
        vectors = self.model.encoder.encode(tokens_BL).float()
        if not self.dense:
            return vectors
        other = self.model.encoder.encode(_other_strand(tokens_BL)).float().flip(1)
        return torch.cat([vectors, other], 2)

    def letters(self, rows: Sequence[np.ndarray], unmasking: float = 0.0) -> list[np.ndarray]:
        """Log-probabilities (L, 4), float64, of rows of codes (L,) as they stand.

        `unmasking` is taken off the letters that `rows` show.
        """
        answers: dict[int, np.ndarray] = {}
        for numbers, codes_BL in by_length(rows):
            vectors_BLD = self._read(codes_BL)
            answers.update(zip(numbers, self._logs(vectors_BLD, codes_BL, unmasking), strict=True))
        return [answers[number] for number in range(len(rows))]

    def _logs(self, vectors_BLD: Tensor, rows: np.ndarray, unmasking: float) -> np.ndarray:
        codes_BL = self._to_device(rows).long()
        excess_BLV = functional.one_hot(codes_BL, DNA.size)[..., : DNA.count] * unmasking

        def logs(logits_BLV: Tensor) -> Tensor:
            # Scores are small differences of these, hence float64.
            return functional.log_softmax(logits_BLV.double() - excess_BLV, 2)

        def both(vectors_BLD: Tensor) -> Tensor:
            if not self.dense:
                return logs(self.model.head(vectors_BLD))
            here, there = vectors_BLD.chunk(2, 2)
            other = self.model.head(there.flip(1)).flip(1, 2)
            return (logs(self.model.head(here)) + logs(other)) / 2

        return self._time(both, vectors_BLD).cpu().numpy()

    def _to_device(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows).to(self.device)

    def _time(self, work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """What the model makes of `x`; the seconds that it took are counted."""
        begun = time.perf_counter()
        with enough_memory(self.window), torch.inference_mode():
            out = work(x)
            if self.device.type == "cuda":
                # A GPU is still at work when the call returns.
                torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - begun
        return out

    def _answers(
        self,
        name: str,
        questions: Sequence[Question],
        answer: Callable[[list[Question]], list[Answer]],
        batch: int,
    ) -> list[Answer]:
        """The answer to every question, each asked once, so many at a time."""
        kept = self._kept.setdefault(name, {})
        wanted = [each for each in dict.fromkeys(questions) if each not in kept]
        for first in range(0, len(wanted), max(batch, 1)):
            some = wanted[first : first + batch]
            kept.update(zip(some, answer(some), strict=True))
        return [kept[each] for each in questions]


class _Window(NamedTuple):
    """What a model makes of one window: vectors (L, D), and how likely it finds each letter (L,)
    where it says so.
    """

    vectors_LD: Tensor
    likely_L: np.ndarray | None


def by_length(rows: Sequence[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Rows of one length together: their numbers, and their codes (B, L)."""
    numbers: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(len(row), []).append(number)
    for some in numbers.values():
        yield some, np.stack([rows[number] for number in some])


def check_relatives(model: OrchidModel, relatives: Relatives, window: int) -> None:
    """Raise InputError where a model would not read what stands beside its windows."""
    if not model.recipe.encoder.filter.hash_length:
        message = "the model has no pointers, and would not read them"
        raise InputError("relatives", message, "a model with filter.hash_length")
    if model.recipe.head is not None and model.recipe.head.kind != "letters":
        message = f"the model's head ({model.recipe.head.kind}) answers for all that it reads"
        raise InputError("relatives", message, "a pretrained model")
    check_memory(window * relatives.times, model, "relatives")


def check_window(
    window: int,
    model: OrchidModel | Orchid,
    where: str,
    possible: str = _WINDOWS,
    genome: Genome | None = None,
) -> None:
    """Raise InputError, at the parameter `where`, for a window that cannot be read.

    It is even, 64 letters or more, and its activations fit into the memory of the model's device;
    where a `genome` is given, those of the longest window that is read of it.
    """
    if window < 64 or window % 2:
        raise InputError(where, f"{window:,} nt", possible)
    check_memory(window, model, where, genome)


def check_memory(
    window: int, model: OrchidModel | Orchid, where: str, genome: Genome | None = None
) -> None:
    """Raise InputError, at `where`, for a window that the model's device cannot hold.

    Where all contigs of a `genome` are circular and shorter, the longest of them is the window.
    """
    what, letters = f"{window:,} nt", window
    if genome is not None and genome.contigs:
        lengths = {
            contig: size if reads_whole(genome, contig, window) else window
            for contig, size in genome.contigs.items()
        }
        contig = max(lengths, key=lengths.__getitem__)
        letters = lengths[contig]
        if reads_whole(genome, contig, window):
            what = f"{letters:,} nt of {contig} round its origin"
    encoders = [model] if isinstance(model, Orchid) else [each.encoder for each in model.members]
    # The largest alone: networks of an ensemble run one after another.
    needed = max(bytes_held(encoder, letters) for encoder in encoders)
    present = memory_of(encoders[0].letters.free.device)
    if needed > present:
        message = f"{what} need over {needed / 1e9:,.0f} GB of {present / 1e9:,.0f} GB"
        raise InputError(where, message, "a shorter window")


@contextmanager
def enough_memory(window: int) -> Iterator[None]:
    """A device without room for a pass is a MachineError, and no traceback."""
    try:
        yield
    # torch has no error of its own where the CPU's memory ends.
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        message = f"not enough memory for windows of {window:,} nt"
        raise MachineError("model", message, "a shorter window, or another device") from None


class _Site(NamedTuple):
    """The changed letters of an event, whatever they change to."""

    contig: str
    start: int
    end: int
    changed: tuple[int, ...]

    @classmethod
    def of(cls, event: Event) -> "_Site":
        return cls(event.contig, event.start, event.end, event.changed)


def _other_strand(tokens_BL: Tensor) -> Tensor:
    complement = torch.tensor(DNA.complement_codes, dtype=torch.uint8, device=tokens_BL.device)
    return complement[tokens_BL.long()].flip(1)
