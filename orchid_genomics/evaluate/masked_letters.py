"""Masked bits per base on what was held out, under two protocols.

15 % of the letters masked at once, every target shown as MASK; and one masked letter a window at
fixed sites. The trap: the two are different questions, and their bits are never compared.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.evaluate.held_out import HeldOut
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.terminal import Count
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import nats


class LetterModel(Protocol):
    """What is asked of a model of letters: codes (B, L) uint8 -> logits (B, L, letters)."""

    def encode(self, tokens_BL: Tensor) -> Tensor: ...

    def eval(self) -> Any: ...


@torch.inference_mode()
def masked_bits(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    length: int,
    *,
    batch: int,
    ranks: Ranks,
    most: int | None = None,
    shown_as: str = "",
) -> list[np.ndarray]:
    """-log2 p(true letter) at the targets of each piece, in order.

    Parameters
    ----------
    model
        Reads tiles of `length` letters that stand side by side over each contig.
    pieces
        Held-out contigs.
    length, batch
        Letters of a tile, and tiles at once.
    ranks
        The processes that share the tiles.
    most
        Read only so many tiles, evenly spaced; the letters of the others are NaN.
    shown_as
        What the work is called where its progress is shown; "" shows none.
    """
    bits = [np.full(len(piece.tokens), np.nan, np.float32) for piece in pieces]
    shown = [piece.shown for piece in pieces]
    tiles = [
        (number, start) for number, piece in enumerate(pieces) for start in _tiles(piece, length)
    ]
    if most is not None and len(tiles) > most:
        tiles = [tiles[len(tiles) * i // most] for i in range(most)]
    # Dealt in turn, so that each rank has tiles of all contigs.
    own = tiles[ranks.rank :: ranks.world]
    with Count(shown_as, len(own), quiet=not (shown_as and ranks.main)) as progress:
        for rows in _batches(own, pieces, length, batch):
            seen, true = [], []
            for p, start in rows:
                circular = pieces[p].circular
                seen.append(window(shown[p], start, length, circular))
                true.append(window(pieces[p].tokens, start, length, circular))
            bits_BL = letter_bits(model, np.stack(seen), np.stack(true), ranks.device)
            for (p, start), row in zip(rows, bits_BL, strict=True):
                end = min(start + length, len(bits[p]))
                bits[p][start:end] = row[: end - start]
            progress.add(len(rows))
    return [gather(row[piece.targets], ranks) for row, piece in zip(bits, pieces, strict=True)]


@torch.inference_mode()
def single_bits(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    places: Sequence[np.ndarray],
    length: int,
    *,
    batch: int,
    ranks: Ranks,
    shown_as: str = "",
) -> list[np.ndarray]:
    """-log2 p(true letter) at each place, masked alone in a window of `length` centred on it.

    Parameters are those of `masked_bits`; `places` are 0-based, for each piece.
    """
    sites = [(number, int(site)) for number, at in enumerate(places) for site in at]
    bits = np.full(len(sites), np.nan, np.float32)
    own = [(sites[row][0], row) for row in range(ranks.rank, len(sites), ranks.world)]
    with Count(shown_as, len(own), quiet=not (shown_as and ranks.main)) as progress:
        for numbered in _batches(own, pieces, length, batch):
            rows = [row for _, row in numbered]
            centre = letters_of(pieces[numbered[0][0]], length) // 2
            windows = []
            for number, site in (sites[row] for row in rows):
                piece = pieces[number]
                windows.append(window(piece.tokens, site - centre, length, piece.circular))
            true_BL = np.stack(windows)
            seen_BL = true_BL & CODE
            seen_BL[:, centre] = DNA.mask
            bits[rows] = letter_bits(model, seen_BL, true_BL, ranks.device)[:, centre]
            progress.add(len(rows))
    ends = np.cumsum([len(at) for at in places])
    return np.split(gather(bits, ranks), ends[:-1])


@torch.inference_mode()
def letter_bits(
    model: LetterModel, seen_BL: np.ndarray, true_BL: np.ndarray, device: torch.device
) -> np.ndarray:
    """-log2 p(true letter) of a model that sees other letters, (B, L) float32; 0 where there is no
    letter.
    """
    codes_BL = torch.from_numpy(true_BL & CODE).to(device).long()
    logits_BLV = model.encode(torch.from_numpy(seen_BL).to(device))
    return (nats(logits_BLV, codes_BL) / np.log(2)).cpu().numpy()


def _tiles(piece: HeldOut, length: int) -> list[int]:
    """Starts of tiles over the contig that hold a held-out letter."""
    starts = range(0, len(piece.tokens), length)
    return [start for start in starts if piece.inside[start : start + length].any()]


def letters_of(piece: HeldOut, length: int) -> int:
    """Letters of the windows of a contig: a circular one that is no longer is read whole."""
    return min(length, len(piece.tokens)) if piece.circular else length


def _batches(
    own: Sequence[tuple[int, int]], pieces: Sequence[HeldOut], length: int, batch: int
) -> Iterator[list[tuple[int, int]]]:
    """Up to `batch` windows that follow each other; the first of a pair is the number of its piece.

    Windows of one batch are of one length.
    """
    for _, group in groupby(own, key=lambda pair: letters_of(pieces[pair[0]], length)):
        alike = list(group)
        for first in range(0, len(alike), batch):
            yield alike[first : first + batch]


def window(tokens: np.ndarray, start: int, length: int, circular: bool = False) -> np.ndarray:
    """Letters start to start + length, N beyond the contig's ends.

    A circular contig goes on at its origin; one that is no longer is read once, from `start` on.
    """
    if circular:
        places = np.arange(start, start + min(length, len(tokens)))
        return tokens.take(places, mode="wrap")
    first, last = max(start, 0), min(start + length, len(tokens))
    letters = np.full(length, DNA.n, np.uint8)
    letters[first - start : last - start] = tokens[first:last]
    return letters


def gather(own: np.ndarray, ranks: Ranks) -> np.ndarray:
    """What the ranks found, each its own letters (NaN elsewhere), put together."""
    if ranks.world == 1:
        return own
    # NaN cannot be summed, so values and who holds them are sent apart.
    answered = torch.from_numpy(~np.isnan(own)).to(ranks.device, torch.float32)
    total = ranks.sum(torch.from_numpy(np.nan_to_num(own)).to(ranks.device)).cpu().numpy()
    here = ranks.sum(answered).cpu().numpy() > 0
    return np.where(here, total, np.nan).astype(np.float32)
