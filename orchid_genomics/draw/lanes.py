"""Genes and elements under a picture, from BED or GFF; BED is 0-based, GFF 1-based, the picture's
axis 1-based.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import INK, MUTED, OURS, axes, genomic
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval

_LETTER = 0.0076  # of the axis' width that a letter of a name takes, about
_NAMED_ROWS, _ROWS = 4, 5
_LIGHT, _DARK = "#c9c3cd", "#6d6672"


@dataclass(frozen=True)
class Lane:
    """Places under one heading; `thick` are parts of them drawn taller (coding sequence),
    `is_genes` draws arrows.
    """

    name: str
    places: tuple[Interval, ...]
    thick: tuple[Interval, ...] = ()
    is_genes: bool = False


def read_lane(path: str | Path, genome: Genome | None = None, name: str | None = None) -> Lane:
    """The lane of a file: genes with their coding parts of GFF3 or GenBank, the records of a BED.

    Genes bear their `Name` (symbol) where the file gives one. Raises as `genome.bed` and
    `genome.annotation` do.
    """
    path = Path(path)
    stem = name if name is not None else path.name.split(".")[0]
    if not path.name.removesuffix(".gz").endswith(
        (".gff", ".gff3", ".gb", ".gbk", ".gbff", ".genbank")
    ):
        return Lane(stem, tuple(read_bed(path, genome)))
    annotation = read_annotation(path, genome)
    symbols = {
        part.place: part.attributes.get("Name") or part.attributes.get("gene")
        for part in annotation.features
        if part.place.name and "Parent" not in part.attributes
    }
    genes = tuple(
        Interval(gene.contig, gene.start, gene.end, gene.strand, symbols.get(gene) or gene.name)
        for gene in annotation.genes()
    )
    return Lane(name if name is not None else "genes", genes, tuple(annotation.coding()), True)


def lane(content: Lane, place: Interval, ax: Any = None, *, name: bool = True) -> Any:
    """The places of a lane that touch `place`, in rows; names where four rows hold them.

    Genes are arrows in their direction, coding parts dark; elements are bars. `name` as in
    `canvas.genomic`.
    """
    from matplotlib.collections import PolyCollection

    ax = axes(ax, (8, 1.0 if name else 0.7))
    genomic(ax, place, len(place), name)
    shown = sorted(
        (each for each in content.places if each.overlaps(place)), key=lambda each: each.start
    )
    rows = _rows(shown, place, True)
    named = max(rows, default=0) < _NAMED_ROWS
    rows, most = (rows, _NAMED_ROWS) if named else (_rows(shown, place, False), _ROWS)
    kept = [(each, row) for each, row in zip(shown, rows, strict=True) if row < most]
    half = 0.2 if named else 0.32
    light, dark = (_LIGHT, _DARK) if content.is_genes else (OURS, OURS)
    bars = [_outline(each, each, row, place, half, content.is_genes) for each, row in kept]
    ax.add_collection(PolyCollection(bars, facecolors=light, linewidths=0))
    parts = [part for part in content.thick if part.overlaps(place)]
    coding = [
        _outline(part, each, row, place, half, True)
        for each, row in kept
        for part in _of(each, parts)
    ]
    ax.add_collection(PolyCollection(coding, facecolors=dark, linewidths=0))
    for each, row in kept if named else ():
        _named(ax, each, row, place, content.is_genes)
    ax.set_ylim(
        max(max((row for _, row in kept), default=0) + 1, 2 if named else 3)
        - (0.15 if named else 0.5),
        -0.5,
    )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_visible(name)
    ax.set_ylabel(content.name, fontsize=8, rotation=0, ha="right", va="center", color=INK)
    left = len(shown) - len(kept)
    if left or not shown:
        words = f"{left:,} more" if shown else "none here"
        at = (0.5, 0.02, "bottom") if shown else (0.5, 0.5, "center")
        ax.text(
            *at[:2], words, transform=ax.transAxes, fontsize=7, color=MUTED, ha="center", va=at[2]
        )
    return ax


def _of(gene: Interval, parts: Sequence[Interval]) -> list[Interval]:
    """The coding parts inside a gene, on its strand."""
    return [
        p for p in parts if p.strand == gene.strand and gene.start <= p.start and p.end <= gene.end
    ]


def _rows(shown: Sequence[Interval], place: Interval, named: bool) -> list[int]:
    """The first row in which each place, with its name where `named`, begins after the last one
    there has ended.
    """
    ends: list[float] = []
    rows = []
    for each in shown:
        start, end = max(each.start, place.start), min(each.end, place.end)
        room = len(place) * _LETTER * (len(each.name) + 1) if named else 0
        if named and place.strand == "-":  # names run to the left there
            start = min(start, end - room)
        row = next((row for row, taken in enumerate(ends) if taken <= start), len(ends))
        ends[row : row + 1] = [max(end, start + room) + len(place) * 0.004]
        rows.append(row)
    return rows


def _outline(
    part: Interval, whole: Interval, row: int, place: Interval, half: float, arrow: bool
) -> np.ndarray:
    """Corners of a bar on the 1-based axis; the part that ends its `whole` is an arrow in the
    strand's direction.
    """
    low, high = max(part.start, place.start) + 0.5, min(part.end, place.end) + 0.5
    tip = min(len(place) * 0.007, high - low) if arrow else 0
    corners = [(low, row - half), (high, row - half), (high, row + half), (low, row + half)]
    if tip and whole.strand == "+" and part.end == whole.end <= place.end:
        corners[1:3] = [(high - tip, row - half), (high, row), (high - tip, row + half)]
    elif tip and whole.strand == "-" and part.start == whole.start >= place.start:
        corners = [(low, row), (low + tip, row - half), *corners[1:3], (low + tip, row + half)]
    return np.array(corners)


def _named(ax: Any, each: Interval, row: int, place: Interval, is_gene: bool) -> None:
    """A name under its place, with an arrow where the end of the gene is out of sight."""
    backwards = place.strand == "-"
    words = each.name
    if (
        is_gene
        and (each.end > place.end if each.strand == "+" else each.start < place.start)
        and each.strand in "+-"
    ):
        words += " →" if (each.strand == "+") != backwards else " ←"
    first = min(each.end, place.end) if backwards else max(each.start, place.start)
    style = {"fontsize": 6.5, "color": INK, "ha": "left", "va": "top", "clip_on": True}
    ax.text(first + 0.5, row + 0.24, words, style="italic" if is_gene else "normal", **style)
