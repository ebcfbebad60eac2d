"""Genes and elements under a picture, from BED or GFF; BED is 0-based, GFF 1-based, the picture's
axis 1-based.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.draw.canvas import INK, MUTED, OURS, axes, genomic_axis
from orchid_genomics.files import name_errors, read_lines, regular_copy
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
    intervals: tuple[Interval, ...]
    thick: tuple[Interval, ...] = ()
    is_genes: bool = False


def read_lane(path: str | Path, genome: Genome | None = None, name: str | None = None) -> Lane:
    """The lane of a file: genes with their coding parts of GFF3 or GenBank, the records of a BED.

    Parameters
    ----------
    path : str or Path
        Its ending says which, or its first line; genes bear their `Name` (symbol) where the file
        gives one.
    genome : Genome, optional
        Contigs and lengths that coordinates are checked against.
    name : str, optional
        The heading; "genes", or the name of the BED, if not given.

    Raises
    ------
    InputError
        As `genome.bed.read_bed` and `genome.annotation.read_annotation` do.
    """
    path = Path(path)
    stem = name if name is not None else path.name.split(".")[0]
    # A pipe gives its bytes once, and has no ending that says what comes through it.
    copy = regular_copy(path)
    with name_errors(copy, path):
        if not _is_annotation(path.name, copy):
            return Lane(stem, tuple(read_bed(copy, genome)))
        annotation = read_annotation(copy, genome)
    symbols = {
        part: feature.attributes.get("Name") or feature.attributes.get("gene")
        for feature in annotation.features
        if feature.interval.name and "Parent" not in feature.attributes
        for part in annotation.parts(feature)
    }
    genes = tuple(
        Interval(gene.contig, gene.start, gene.end, gene.strand, symbols.get(gene) or gene.name)
        for gene in annotation.genes()
    )
    return Lane(name if name is not None else "genes", genes, tuple(annotation.coding()), True)


def _is_annotation(name: str, path: Path) -> bool:
    endings = (".gff", ".gff3", ".gb", ".gbk", ".gbff", ".genbank")
    if name.removesuffix(".gz").endswith(endings):
        return True
    _, first = next(read_lines(path), (0, ""))
    return first.startswith(("##gff-version", "LOCUS "))


def lane_height(content: Lane, interval: Interval) -> float:
    """Inches of a lane that holds its rows and their names."""
    touching = [each for each in content.intervals if each.overlaps(interval)]
    rows = max(_rows(sorted(touching, key=lambda each: each.start), interval, True), default=0) + 1
    return 0.24 + 0.2 * min(rows, _NAMED_ROWS)


def lane(content: Lane, interval: Interval, ax: Any = None, *, name: bool = True) -> Any:
    """The intervals of a lane that touch `interval`, in rows; names where four rows hold them.

    Genes are arrows in their direction, coding parts dark; elements are bars.

    Parameters
    ----------
    content : Lane
        What stands in it.
    interval : Interval
        What x shows, 0-based half-open.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    name : bool
        Whether x bears its label and numbers.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; `canvas.save` writes them.
    """
    from matplotlib.collections import PolyCollection

    ax = axes(ax, (8, 1.0 if name else 0.7))
    genomic_axis(ax, interval, len(interval), name)
    touching = [each for each in content.intervals if each.overlaps(interval)]
    shown = sorted(touching, key=lambda each: each.start)
    rows = _rows(shown, interval, True)
    named = max(rows, default=0) < _NAMED_ROWS
    # Names take room: without them more intervals fit into the rows.
    if not named:
        rows = _rows(shown, interval, False)
    most = _NAMED_ROWS if named else _ROWS
    kept = [(each, row) for each, row in zip(shown, rows, strict=True) if row < most]
    half = 0.2 if named else 0.32
    light, dark = (_LIGHT, _DARK) if content.is_genes else (OURS, OURS)
    parts = [part for part in content.thick if part.overlaps(interval)]
    bars, coding = [], []
    for each, row in kept:
        bar = partial(_outline, each, row=row, half=half, shown=interval, arrow=content.is_genes)
        bars.append(bar(each))
        coding += [bar(part) for part in _inside(each, parts)]
    ax.add_collection(PolyCollection(bars, facecolors=light, linewidths=0))
    ax.add_collection(PolyCollection(coding, facecolors=dark, linewidths=0))
    for each, row in kept if named else ():
        _write_name(ax, each, row, shown=interval, is_gene=content.is_genes)
    last = max((row for _, row in kept), default=0)
    bottom = max(last + 1, 2) - 0.15 if named else max(last + 1, 3) - 0.5
    ax.set_ylim(bottom, -0.5)
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


def _inside(gene: Interval, parts: Sequence[Interval]) -> list[Interval]:
    """The coding parts inside a gene, on its strand."""
    return [
        part
        for part in parts
        if part.strand == gene.strand and gene.start <= part.start and part.end <= gene.end
    ]


def _rows(shown: Sequence[Interval], interval: Interval, named: bool) -> list[int]:
    """The first row in which each interval, with its name where `named`, begins after the last one
    there has ended.
    """
    ends: list[float] = []
    rows = []
    for each in shown:
        start: float = max(each.start, interval.start)
        end = min(each.end, interval.end)
        room = len(interval) * _LETTER * (len(each.name) + 1) if named else 0
        # On the other strand names run to the left.
        if named and interval.strand == "-":
            start = min(start, end - room)
        row = next((row for row, taken in enumerate(ends) if taken <= start), len(ends))
        ends[row : row + 1] = [max(end, start + room) + len(interval) * 0.004]
        rows.append(row)
    return rows


def _outline(
    whole: Interval, part: Interval, *, row: int, half: float, shown: Interval, arrow: bool
) -> np.ndarray:
    """Corners of a bar on the 1-based axis; the part that ends its `whole` is an arrow in the
    strand's direction.
    """
    low, high = max(part.start, shown.start) + 0.5, min(part.end, shown.end) + 0.5
    tip = min(len(shown) * 0.007, high - low) if arrow else 0
    top, bottom = row - half, row + half
    # An arrow only where the end is in sight: the gene goes on otherwise.
    if tip and whole.strand == "+" and part.end == whole.end <= shown.end:
        right = [(high - tip, top), (high, row), (high - tip, bottom)]
        return np.array([(low, top), *right, (low, bottom)])
    if tip and whole.strand == "-" and part.start == whole.start >= shown.start:
        left = [(low + tip, bottom), (low, row), (low + tip, top)]
        return np.array([(high, top), (high, bottom), *left])
    return np.array([(low, top), (high, top), (high, bottom), (low, bottom)])


def _write_name(ax: Any, each: Interval, row: int, *, shown: Interval, is_gene: bool) -> None:
    """A name under its interval, with an arrow where the end of the gene is out of sight."""
    backwards = shown.strand == "-"
    words = each.name
    hidden = each.end > shown.end if each.strand == "+" else each.start < shown.start
    if is_gene and hidden and each.strand in "+-":
        words += " →" if (each.strand == "+") != backwards else " ←"
    first = min(each.end, shown.end) if backwards else max(each.start, shown.start)
    style = {"fontsize": 6.5, "color": INK, "ha": "left", "va": "top", "clip_on": True}
    ax.text(first + 0.5, row + 0.24, words, style="italic" if is_gene else "normal", **style)
