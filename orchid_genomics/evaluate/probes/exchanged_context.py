"""Does far context do anything in natural sequence? Bits on tiles whose far context stands, or is
another place's.

The trap: a model that was trained on far context of any sort expects some, so what is far is never
taken away but exchanged for natural sequence; and what recurs within `near` letters is in both.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from torch import nn

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.splits import read_regions
from orchid_genomics.evaluate.bootstrap import block_bootstrap
from orchid_genomics.evaluate.kmer_tables import repeated
from orchid_genomics.evaluate.masked_letters import HeldOut, gathered, letter_bits
from orchid_genomics.evaluate.protocols import RegionRecipe
from orchid_genomics.evaluate.score_table import Score, ScoreTable
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.distributed import Ranks


class NaturalRecipe(Strict):
    """What is measured in natural sequence."""

    near: int = Field(default=512, gt=0)
    """The letters of a tile, and so many on each side of it, keep their place; the rest is exchanged."""
    tiles: int = Field(default=64, ge=0)
    """Tiles of `near` letters read in each region, and as many outside all of them."""
    regions: tuple[RegionRecipe, ...] = ()
    """Natural repeats, such as transposons."""


def score(name: str, bits_WN: np.ndarray) -> Score:
    """The mean of what is no NaN, with an interval by bootstrap over rows, which are windows."""
    window, place = np.nonzero(~np.isnan(bits_WN))
    mean, low, high = block_bootstrap(bits_WN[window, place], window, np.zeros_like(window))
    return Score(name, mean, low, high, len(window))


def exchanged(
    model: nn.Module,
    pieces: Sequence[HeldOut],
    tiles: Sequence[tuple[int, int]],
    length: int,
    near: int,
    ranks: Ranks,
) -> np.ndarray:
    """Bits (3, T, near) on tiles: in their window, with its far letters from elsewhere, and whether
    they recur there.

    Tiles are (piece, start); a window is moved into its contig where it would hang over. NaN where
    nothing is hidden. The last of the three is 1 where a letter lies in a 24-mer that the far part
    of its own window holds as well.
    """
    found = np.full((3, len(tiles), near), np.nan, np.float32)
    for t in range(ranks.rank, len(tiles), ranks.world):
        piece, at = pieces[tiles[t][0]], tiles[t][1]
        room = len(piece.tokens) - length
        start = min(max(at + near // 2 - length // 2, 0), room)
        other = (start + room // 2) % (room + 1)
        own, far = (piece.tokens[place : place + length] & CODE for place in (start, other))
        kept = slice(max(at - near - start, 0), at + 2 * near - start)
        far = far.copy()
        far[kept] = own[kept]
        both, tile = np.stack([own, far]), slice(at - start, at - start + near)
        hidden = piece.hidden[start : start + length]
        bits = letter_bits(
            model, np.where(hidden, DNA.mask, both).astype(np.uint8), both, ranks.device
        )[:, tile]
        again = repeated([own[: kept.start], own[kept.stop :]], [own[tile]])[0]
        for row, values in zip(found, (*bits, again), strict=True):
            row[t] = np.where(hidden[tile], values, np.nan)
    return np.stack([gathered(row, ranks) for row in found])


def natural_table(
    model: nn.Module,
    corpus: Corpus,
    pieces: Sequence[HeldOut],
    length: int,
    measured: NaturalRecipe,
    ranks: Ranks,
) -> list[ScoreTable]:
    """Gain from the far context of natural sequence: in each region, outside all, and where a tile
    stands again.
    """
    if not measured.tiles:
        return []
    tiles = natural_tiles(corpus, pieces, length, measured)
    bits = exchanged(
        model,
        pieces,
        [tile for each in tiles.values() for tile in each],
        length,
        measured.near,
        ranks,
    )
    kinds = np.repeat(list(tiles), [len(each) for each in tiles.values()])
    parts = {name: np.where((kinds == name)[:, None], 0.0, np.nan) for name in tiles}
    parts["standing again"] = np.where(bits[2] > 0, 0.0, np.nan)
    rows = {"gain": bits[1] - bits[0], "far context exchanged": bits[1], "whole window": bits[0]}
    scores = {
        row: [score(name, values + part) for name, part in parts.items()]
        for row, values in rows.items()
    }
    title = f"natural sequence, what lies beyond {measured.near:,} nt, bits a masked letter, windows of {length:,} nt"
    return [ScoreTable(title, scores, {})]


def natural_tiles(
    corpus: Corpus, pieces: Sequence[HeldOut], length: int, measured: NaturalRecipe
) -> dict[str, list[tuple[int, int]]]:
    """Tiles (piece, start) by region, evenly spaced where there are more than asked for;
    "elsewhere" is the rest.
    """
    near = measured.near
    touched = [np.zeros(len(piece.tokens), bool) for piece in pieces]
    found: dict[str, list[tuple[int, int]]] = {}
    for part in measured.regions:
        places = read_regions(part.bed, corpus.genomes[part.genome])
        found[part.name] = []
        for number, piece in enumerate(pieces):
            for place in places if (piece.genome == part.genome) else ():
                if place.contig == piece.contig:
                    touched[number][max(place.start, 0) : place.end] = True
                    found[part.name] += [
                        (number, at) for at in range(place.start, place.end - near + 1, near)
                    ]
    found["elsewhere"] = [
        (number, at)
        for number, piece in enumerate(pieces)
        for at in range(0, len(piece.tokens) - near + 1, near)
        if not touched[number][at : at + near].any()
    ]
    usable = {
        name: [
            (p, at)
            for p, at in each
            if len(pieces[p].tokens) >= length and pieces[p].inside[at : at + near].all()
        ]
        for name, each in found.items()
    }
    most = measured.tiles
    return {
        name: [each[len(each) * i // most] for i in range(most)] if len(each) > most else each
        for name, each in usable.items()
    }
