"""One self-contained HTML page about an `explain` run, for readers without Python; places in its words are 1-based."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import draw
from orchid_genomics.draw import html
from orchid_genomics.draw.canvas import divided
from orchid_genomics.genome.index import replacing
from orchid_genomics.sequence import Interval

SHORT, ZOOM, LETTERS = 240, 120, 2_000
"""A region up to SHORT letters is one logo; of a longer one the heaviest ZOOM letters; up to LETTERS a map."""
MOST = 30
"""Regions that are drawn; the table names all."""


@dataclass(frozen=True)
class Explained:
    """A region as it is read: `tokens` (L,), `values` (L,) of its letters, a dependency map (L, L) or None.

    `facts` are columns of the table of regions, such as the completeness error.
    """

    place: Interval
    tokens: np.ndarray
    values: np.ndarray
    dependency: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A motif met in the regions: its matrix (4, L), and the columns of its line in the table."""

    matrix: np.ndarray
    facts: Mapping[str, Any]


def write_page(
    path: str | Path,
    title: str,
    lead: str,
    regions: Sequence[Explained],
    *,
    unit: str = "attribution",
    lanes: Sequence[draw.Lane] = (),
    motifs: Sequence[Found] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: regions, their pictures, motifs and provenance. `motifs` None says that none were looked for.

    The file appears whole or not at all. Cost: about 0.5 s a region, 30 of which are drawn at most.
    """
    parts = [html.paragraph(note) for note in notes]
    parts += [html.heading("Regions"), *_summary(regions)]
    for region in regions[:MOST]:
        parts += _pictures(region, unit, lanes)
    if motifs is not None:
        parts += [html.heading("Motifs"), *_motifs(motifs)]
    if provenance:
        parts += [html.heading("Provenance"), html.facts(provenance)]
    with replacing(Path(path)) as part:
        part.write_text(html.document(title, lead, parts), encoding="utf-8")


def _summary(regions: Sequence[Explained]) -> list[str]:
    extra = list(dict.fromkeys(name for region in regions for name in region.facts))
    head = ["region (1-based)", "name", "letters", "sum", "heaviest letter", *extra]
    rows = []
    for region in regions:
        at = int(np.nanargmax(np.abs(region.values)))
        letter = draw.of_letters(np.ones(1), region.tokens[at : at + 1])[:, 0]
        base = "ACGT"[int(letter.argmax())] if letter.any() else "N"
        heaviest = f"{base} at {_position(region.place, at):,} ({region.values[at]:+.3g})"
        about = [str(region.place), region.place.name, f"{len(region.place):,}", f"{np.nansum(region.values):+.3g}"]
        rows.append([*about, heaviest, *(region.facts.get(name, "") for name in extra)])
    parts = [html.table(head, rows)]
    if len(regions) > MOST:
        parts.append(html.paragraph(f"The first {MOST} of {len(regions):,} regions are drawn."))
    return parts


def _position(place: Interval, at: int) -> int:
    """The 1-based position of letter `at` of a place as it is read."""
    return place.end - at if place.strand == "-" else place.start + at + 1


def _pictures(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> list[str]:
    place, short = region.place, len(region.place) <= SHORT
    parts = [html.heading(f"{place.name} {place}".strip(), 3)]
    if short:
        parts.append(html.figure(_logo(region, unit, lanes), alt=f"Logo of the attributions of {place}"))
    else:
        zoom = heaviest(region)
        ax = draw.zoomed(region.values, region.tokens, place, zoom, lanes, unit=unit)
        words = f"Above all letters of the region, below the {len(zoom)} that weigh most together, {zoom} (1-based)."
        parts.append(html.figure(ax, words, many=True))
    if region.dependency is not None and len(region.dependency) <= LETTERS:
        ax = draw.dependency(region.dependency, place, tokens=region.tokens)
        words = "Dependency map: how the prediction of each letter (columns) changes when another (rows) is mutated."
        parts.append(html.figure(ax, words, many=True))
    return parts


def heaviest(region: Explained, length: int = ZOOM) -> Interval:
    """The window of `length` letters whose attributions are largest together, on the region's strand."""
    place = region.place
    weight = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.abs(region.values)))])
    length = min(length, len(region.values))
    at = int(np.argmax(weight[length:] - weight[:-length]))
    start = place.end - at - length if place.strand == "-" else place.start + at
    return Interval(place.contig, start, start + length, place.strand, place.name)


def _logo(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> Any:
    """The logo of a short region with its lanes below."""
    shown = [lane for lane in lanes if any(each.overlaps(region.place) for each in lane.places)]
    if not shown:
        return draw.logo(region.values, region.place, tokens=region.tokens, unit=unit)
    width = min(14.0, max(5.0, len(region.place) / 9))
    top, *rest = divided(None, width, [1.4, *[0.5] * len(shown)], [0.08] * len(shown))
    draw.logo(region.values, region.place, top, tokens=region.tokens, unit=unit, name=False)
    for number, (ax, lane) in enumerate(zip(rest, shown, strict=True), 1):
        draw.lane(lane, region.place, ax, name=number == len(shown))
    return top


def _motifs(motifs: Sequence[Found]) -> list[str]:
    if not motifs:
        return [html.paragraph("No stretch of letters stood out, or none matched a motif of the file.")]
    head = ["logo", *dict.fromkeys(name for motif in motifs for name in motif.facts)]
    rows = [[html.image(draw.motif(each.matrix)), *(each.facts.get(name, "") for name in head[1:])] for each in motifs]
    return [html.table(head, rows, pictures=["logo"])]
