"""Does far context do anything in natural sequence? Bits on tiles whose far context stands, or is
another place's.

The trap: a model that was trained on far context of any sort expects some, so what is far is never
taken away but exchanged for natural sequence; and what recurs within `near` letters is in both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.splits import read_regions
from orchid_genomics.evaluate.bootstrap import block_bootstrap
from orchid_genomics.evaluate.held_out import HeldOut
from orchid_genomics.evaluate.masked_letters import LetterModel, gather, letter_bits
from orchid_genomics.evaluate.protocols import RegionRecipe
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.evaluate.score_table import Score, ScoreTable
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.distributed import Ranks

Tile = tuple[int, int]  # the number of a piece, and a start in it


class NaturalRecipe(Strict):
    """What is measured in natural sequence."""

    near: int = Field(default=512, gt=0)
    """The letters of a tile, and so many on each side of it, keep their place; the rest is
    exchanged."""
    tiles: int = Field(default=64, ge=0)
    """Tiles of `near` letters read in each region, and as many outside all of them."""
    regions: tuple[RegionRecipe, ...] = ()
    """Natural repeats, such as transposons."""


class ExchangedBits(NamedTuple):
    """Bits (T, near) on tiles, NaN where nothing is hidden.

    `whole`: in their window; `exchanged`: with its far letters from elsewhere; `recurs`: 1 where a
    letter lies in a 24-mer that the far part of its own window holds as well.
    """

    whole: np.ndarray
    exchanged: np.ndarray
    recurs: np.ndarray


def window_score(name: str, bits_WN: np.ndarray) -> Score:
    """The mean of what is no NaN, with an interval by bootstrap over rows, which are windows."""
    row, column = np.nonzero(~np.isnan(bits_WN))
    mean, low, high = block_bootstrap(bits_WN[row, column], row, np.zeros_like(row))
    return Score(name, mean, low, high, len(row))


def exchange_context(
    model: LetterModel,
    pieces: Sequence[HeldOut],
    tiles: Sequence[Tile],
    length: int,
    *,
    near: int,
    ranks: Ranks,
) -> ExchangedBits:
    """Bits on tiles with their own far context, and with that of another place.

    Parameters
    ----------
    model
        Reads windows of `length` letters around each tile; one is moved into its contig where it
        would hang over.
    pieces, tiles
        Held-out contigs, and tiles in them.
    length, near
        Letters of a window; letters of a tile, and those kept on each side of it.
    ranks
        The processes that share the tiles.
    """
    rows = np.full((3, len(tiles), near), np.nan, np.float32)
    for number in range(ranks.rank, len(tiles), ranks.world):
        piece, at = pieces[tiles[number][0]], tiles[number][1]
        room = len(piece.tokens) - length
        start = min(max(at + near // 2 - length // 2, 0), room)
        # Half a contig further on: nothing that is near the tile is near there.
        other = (start + room // 2) % (room + 1)
        own = piece.tokens[start : start + length] & CODE
        far = (piece.tokens[other : other + length] & CODE).copy()
        kept = slice(max(at - near - start, 0), at + 2 * near - start)
        far[kept] = own[kept]
        true_BL = np.stack([own, far])
        tile = slice(at - start, at - start + near)
        hidden = piece.hidden[start : start + length]
        seen_BL = np.where(hidden, DNA.mask, true_BL).astype(np.uint8)
        bits = letter_bits(model, seen_BL, true_BL, ranks.device)[:, tile]
        again = recurs([own[: kept.start], own[kept.stop :]], [own[tile]])[0]
        for row, values in zip(rows, (*bits, again), strict=True):
            row[number] = np.where(hidden[tile], values, np.nan)
    return ExchangedBits(*(gather(row, ranks) for row in rows))


def natural_table(
    model: LetterModel,
    corpus: Corpus,
    pieces: Sequence[HeldOut],
    length: int,
    *,
    measured: NaturalRecipe,
    ranks: Ranks,
) -> list[ScoreTable]:
    """Gain from the far context of natural sequence: in each region, outside all, and where a tile
    stands again.
    """
    if not measured.tiles:
        return []
    by_region = choose_tiles(corpus, pieces, length, measured)
    tiles = [tile for each in by_region.values() for tile in each]
    bits = exchange_context(model, pieces, tiles, length, near=measured.near, ranks=ranks)
    names = np.repeat(list(by_region), [len(each) for each in by_region.values()])
    # Added to bits, these leave the letters of one part and make NaN of the others.
    parts = {name: np.where((names == name)[:, None], 0.0, np.nan) for name in by_region}
    parts["standing again"] = np.where(bits.recurs > 0, 0.0, np.nan)
    rows = {
        "gain": bits.exchanged - bits.whole,
        "far context exchanged": bits.exchanged,
        "whole window": bits.whole,
    }
    scores = {}
    for row, values in rows.items():
        scores[row] = [window_score(name, values + part) for name, part in parts.items()]
    title = f"natural sequence, what lies beyond {measured.near:,} nt, bits a masked letter"
    return [ScoreTable(f"{title}, windows of {length:,} nt", scores, {})]


def choose_tiles(
    corpus: Corpus, pieces: Sequence[HeldOut], length: int, measured: NaturalRecipe
) -> dict[str, list[Tile]]:
    """Tiles by region, evenly spaced where there are too many; "elsewhere" is the rest."""
    near, most = measured.near, measured.tiles
    touched = [np.zeros(len(piece.tokens), bool) for piece in pieces]
    tiles: dict[str, list[Tile]] = {}
    for part in measured.regions:
        inside = tiles.setdefault(part.name, [])
        intervals = read_regions(part.bed, corpus.genomes[part.genome])
        for number, piece in enumerate(pieces):
            for interval in intervals if piece.genome == part.genome else ():
                if interval.contig == piece.contig:
                    touched[number][max(interval.start, 0) : interval.end] = True
                    starts = range(interval.start, interval.end - near + 1, near)
                    inside += [(number, at) for at in starts]
    elsewhere = tiles.setdefault("elsewhere", [])
    for number, piece in enumerate(pieces):
        starts = range(0, len(piece.tokens) - near + 1, near)
        elsewhere += [(number, at) for at in starts if not touched[number][at : at + near].any()]

    def usable(tile: Tile) -> bool:
        piece, at = pieces[tile[0]], tile[1]
        return len(piece.tokens) >= length and bool(piece.inside[at : at + near].all())

    kept = {name: [tile for tile in each if usable(tile)] for name, each in tiles.items()}
    return {name: _spread(each, most) for name, each in kept.items()}


def _spread(tiles: list[Tile], most: int) -> list[Tile]:
    """At most so many, evenly spaced."""
    if len(tiles) <= most:
        return tiles
    return [tiles[len(tiles) * i // most] for i in range(most)]
