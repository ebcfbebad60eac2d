"""Masked bits per base on what was held out: the same letters for every model, whatever its window.

Two protocols: 15 % of the letters masked at once, every target shown as MASK; and one masked letter
a window at fixed sites. Targets are a hash of (seed, genome, contig, position), so that models of
different windows and count baselines answer for the same letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.hashing import Stream, hash_integers
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import nats

_FAR = 1 << 20  # contigs of one genome, at most, when contigs of several are numbered


@dataclass(frozen=True)
class HeldOut:
    """One contig with held-out letters: tokens (L,), which are held out, and which are hidden as 15
    % targets.
    """

    genome: int
    contig: str
    number: int
    tokens: np.ndarray
    inside: np.ndarray
    hidden: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """Places (N,) of the targets of the first protocol."""
        return np.flatnonzero(self.hidden & self.inside)

    @property
    def shown(self) -> np.ndarray:
        """What a model sees (L,): codes, with every hidden letter as MASK."""
        return np.where(self.hidden, DNA.mask, self.tokens & CODE).astype(np.uint8)


def held_out(corpus: Corpus, split: str, seed: int, share: float = 0.15) -> list[HeldOut]:
    """The contigs of "validation" or "test" with their hidden letters; A, C, G and T alone are
    hidden.
    """
    found: dict[tuple[int, str], np.ndarray] = {}
    for genome, place in corpus.held_out(split):
        size = corpus.genomes[genome].contigs[place.contig]
        found.setdefault((genome, place.contig), np.zeros(size, bool))[place.start : place.end] = (
            True
        )
    pieces = []
    for (genome, contig), inside in found.items():
        number = genome * _FAR + list(corpus.genomes[genome].contigs).index(contig)
        tokens = contig_tokens(corpus.genomes[genome], contig)
        draw = hash_integers(seed, Stream.ASKED_LETTER, number, np.arange(len(tokens)))
        drawn = draw >> np.uint64(40)
        hidden = (drawn < int(share * (1 << 24))) & ((tokens & CODE) < DNA.count)
        pieces.append(HeldOut(genome, contig, number, tokens, inside, hidden))
    return pieces


def contig_tokens(genome: Genome, contig: str) -> np.ndarray:
    """A whole contig as tokens, case kept."""
    return genome.tokens(contig, 0, genome.contigs[contig])


def sites(pieces: Sequence[HeldOut], count: int, seed: int) -> list[np.ndarray]:
    """`count` fixed places over all pieces (fewer where there are fewer letters), sorted, per
    piece.
    """
    keys = [
        hash_integers(seed, Stream.ASKED_SITE, piece.number, np.arange(len(piece.tokens)))
        for piece in pieces
    ]
    usable = [piece.inside & ((piece.tokens & CODE) < DNA.count) for piece in pieces]
    drawn = np.sort(np.concatenate([key[use] for key, use in zip(keys, usable, strict=True)]))[
        :count
    ]
    last = drawn[-1] if len(drawn) else np.uint64(0)
    return [np.flatnonzero(use & (key <= last)) for key, use in zip(keys, usable, strict=True)]


@torch.inference_mode()
def masked_bits(
    model: nn.Module,
    pieces: Sequence[HeldOut],
    length: int,
    batch: int,
    ranks: Ranks,
    most: int | None = None,
) -> list[np.ndarray]:
    """-log2 p(true) of a model at the targets of each piece, in order; tiles of `length` over each
    piece.

    With `most`, only that many tiles, evenly spaced, are read, and the letters of the others are
    NaN.
    """
    bits = [np.full(len(piece.tokens), np.nan, np.float32) for piece in pieces]
    shown = [piece.shown for piece in pieces]
    tiles = [(p, start) for p, piece in enumerate(pieces) for start in _tiles(piece, length)]
    if most is not None and len(tiles) > most:
        tiles = [tiles[len(tiles) * i // most] for i in range(most)]
    mine = tiles[ranks.rank :: ranks.world]
    for i in range(0, len(mine), batch):
        rows = mine[i : i + batch]
        seen = np.stack([window(shown[p], start, length) for p, start in rows])
        true = np.stack([window(pieces[p].tokens, start, length) for p, start in rows])
        found = letter_bits(model, seen, true, ranks.device)
        for (p, start), row in zip(rows, found, strict=True):
            inside = slice(max(start, 0), min(start + length, len(bits[p])))
            bits[p][inside] = row[inside.start - start : inside.stop - start]
    return [gathered(row[piece.targets], ranks) for row, piece in zip(bits, pieces, strict=True)]


@torch.inference_mode()
def single_bits(
    model: nn.Module,
    pieces: Sequence[HeldOut],
    places: Sequence[np.ndarray],
    length: int,
    batch: int,
    ranks: Ranks,
) -> list[np.ndarray]:
    """-log2 p(true) at each place, masked alone in a window of `length` centred on it."""
    todo = [(p, int(place)) for p, at in enumerate(places) for place in at]
    found = np.full(len(todo), np.nan, np.float32)
    mine = range(ranks.rank, len(todo), ranks.world)
    centre = length // 2
    for i in range(0, len(mine), batch):
        rows = mine[i : i + batch]
        true = np.stack(
            [window(pieces[todo[r][0]].tokens, todo[r][1] - centre, length) for r in rows]
        )
        seen = true & CODE
        seen[:, centre] = DNA.mask
        found[rows] = letter_bits(model, seen, true, ranks.device)[:, centre]
    found = gathered(found, ranks)
    return np.split(found, np.cumsum([len(at) for at in places])[:-1])


@torch.inference_mode()
def letter_bits(
    model: nn.Module, seen_BL: np.ndarray, true_BL: np.ndarray, device: torch.device
) -> np.ndarray:
    """-log2 p(true letter) of a model that sees other letters, (B, L); 0 where there is no letter."""
    codes = torch.from_numpy(true_BL & CODE).to(device).long()
    return (
        (nats(model.encode(torch.from_numpy(seen_BL).to(device)), codes) / np.log(2)).cpu().numpy()
    )


def _tiles(piece: HeldOut, length: int) -> range | list[int]:
    """Starts of tiles over the contig that hold a held-out letter."""
    return [s for s in range(0, len(piece.tokens), length) if piece.inside[s : s + length].any()]


def window(tokens: np.ndarray, start: int, length: int) -> np.ndarray:
    """Letters start to start + length, N beyond the contig's ends."""
    first, last = max(start, 0), min(start + length, len(tokens))
    window = np.full(length, DNA.n, np.uint8)
    window[first - start : last - start] = tokens[first:last]
    return window


def gathered(mine: np.ndarray, ranks: Ranks) -> np.ndarray:
    """What the ranks found, each its own letters (NaN elsewhere), put together."""
    if ranks.world == 1:
        return mine
    found = torch.from_numpy(~np.isnan(mine)).to(ranks.device, torch.float32)
    total = ranks.sum(torch.from_numpy(np.nan_to_num(mine)).to(ranks.device))
    return np.where(ranks.sum(found).cpu().numpy() > 0, total.cpu().numpy(), np.nan).astype(
        np.float32
    )
