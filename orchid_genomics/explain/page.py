"""One self-contained HTML page about an `explain` run, for readers without Python; places in its
words are 1-based.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import draw
from orchid_genomics.draw.canvas import divided
from orchid_genomics.draw.pages import picture, render
from orchid_genomics.explain.arrays import Explained
from orchid_genomics.explain.motifs import Match, MotifTable, on_genome
from orchid_genomics.files import atomic_file
from orchid_genomics.score.elements.element_scores import REASONS
from orchid_genomics.sequence import CODE, Interval

SHORT, ZOOM, LETTERS = 240, 120, 2_000
"""A region up to SHORT letters is one logo; of a longer one the heaviest ZOOM letters; up to LETTERS a map."""
MOST = 30
"""Regions that are drawn; the table names all."""


@dataclass(frozen=True)
class Known:
    """A motif met in the regions: its matrix (4, L), and the columns of its line in the table."""

    matrix: np.ndarray
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """What a run's page says beside its regions; called with the path and the regions, it writes
    it.

    `identity` is that of the run, `about` more words of provenance; motifs are those of the run's
    table.
    """

    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    lanes: Sequence[draw.Lane] = ()
    motifs: MotifTable | None = None

    def __call__(self, path: Path, regions: Iterable[Explained]) -> None:
        kept = [
            each if n < MOST else each._replace(found=_light(each))
            for n, each in enumerate(regions)
        ]
        identity = self.identity
        method, target = identity["method"], identity["target"]
        unit = (
            "bits"
            if method == "dependency"
            else "nats"
            if target.startswith("pll") or "@" in target
            else target
        )
        title = f"What a model reads in {len(kept):,} region{'s' * (len(kept) != 1)}"
        lead = f"{_METHODS[method]}{f', of {target}' if target else ''}. Positions are 1-based."
        names = ("window", "references", "seed", "orchid-genomics")
        provenance = {
            **self.about,
            "method": method,
            "target": target,
            **{name: identity[name] for name in names},
        }
        known = None if self.motifs is None else known_motifs(*self.motifs.matched(kept)[:2])
        facts = {name: value for name, value in provenance.items() if value != ""}
        lanes = {"lanes": self.lanes, "motifs": known, "notes": _NOTES.get(method, ())}
        write_page(path, title, lead, kept, unit=unit, provenance=facts, **lanes)


def _light(region: Explained) -> dict[str, Any]:
    """A region's arrays but those that only its own pictures need."""
    return {
        name: region.found[name]
        for name in ("tokens", "projected", "difference", "error")
        if not region.why
    }


_METHODS = {
    "gradient": "Input × gradient, less the mean over the four letters",
    "integrated": "Integrated gradients against dinucleotide shuffles",
    "deeplift": "DeepLIFT against dinucleotide shuffles",
    "ism": "In-silico mutagenesis: a letter's height is the mean over what else it could be",
    "dependency": "Nucleotide dependencies: a letter's height is the mean of what its substitution does to the others",
}
_NOTES = {
    "gradient": (
        "A gradient is taken at the sequence itself, near which a model of letters may be flat: compare with "
        "--method ism before reading much into it.",
    ),
}


def write_page(
    path: str | Path,
    title: str,
    lead: str,
    regions: Sequence[Explained],
    *,
    unit: str = "attribution",
    lanes: Sequence[draw.Lane] = (),
    motifs: Sequence[Known] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: regions, their pictures, motifs and provenance. `motifs` None says that none
    were looked for.

    The file appears whole or not at all. Cost: about 0.5 s a region, 30 of which are drawn at most.
    """
    explained = [region for region in regions if not region.why]
    page = render(
        "explain/regions.html",
        title=title,
        lead=lead,
        notes=notes,
        summary=_summary(regions),
        sections=[_section(region, unit, lanes) for region in explained[:MOST]],
        unshown=f"{len(explained):,}" if len(explained) > MOST else "",
        motifs=None if motifs is None else _motif_table(motifs),
        provenance=provenance or {},
    )
    with atomic_file(Path(path)) as part:
        part.write_text(page, encoding="utf-8")


def _summary(regions: Sequence[Explained]) -> dict[str, Any]:
    """The table of all regions: what was explained, how well it sums, or why it was not."""
    head = [
        "region (1-based)",
        "name",
        "letters",
        "sum",
        "heaviest letter",
        "sum must be",
        "off by",
    ]
    rows = [_summary_row(region) for region in regions]
    # The last two columns are of methods that promise a sum.
    kept = [i for i in range(len(head)) if i < 5 or any(row[i] for row in rows)]
    return {
        "head": [head[i] for i in kept],
        "rows": [[row[i] for i in kept] for row in rows],
    }


def _summary_row(region: Explained) -> list[str]:
    place, arrays = region.place, region.found
    about = [str(place), place.name, f"{len(place):,}"]
    if region.why:
        reason = REASONS.get(region.why, region.why)
        return [*about, "", f"not explained: {reason}", "", ""]
    values = arrays["projected"]
    at = int(np.nanargmax(np.abs(values)))
    base = "ACGTN"[min(int(arrays["tokens"][at] & CODE), 4)]
    heaviest = f"{base} at {_position(place, at):,} ({values[at]:+.3g})"
    sums = [float(arrays[name]) for name in ("difference", "error")]
    wanted = [f"{value:.3g}" if np.isfinite(value) else "" for value in sums]
    return [*about, f"{np.nansum(values):+.3g}", heaviest, *wanted]


def _position(place: Interval, at: int) -> int:
    """The 1-based position of letter `at` of a place as it is read."""
    return place.end - at if place.strand == "-" else place.start + at + 1


def _section(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> dict[str, Any]:
    """What the page shows of one region: its title and its figures."""
    place, arrays = region.place, region.found
    if len(place) <= SHORT:
        ax = _logo(region, unit, lanes)
        figures = [{"picture": picture(ax, f"Logo of the attributions of {place}"), "caption": ""}]
    else:
        zoom = heaviest(place, arrays["projected"])
        ax = draw.zoomed(arrays["projected"], arrays["tokens"], place, zoom, lanes, unit=unit)
        caption = (
            f"Above all letters of the region, below the {len(zoom)} that weigh most together, "
            f"{zoom} (1-based)."
        )
        figures = [{"picture": picture(ax, caption, as_png=True), "caption": caption}]
    if "dependency" in arrays and len(place) <= LETTERS:
        ax = draw.dependency(arrays["dependency"], place, tokens=arrays["tokens"])
        caption = (
            "Dependency map: how the prediction of each letter (columns) changes when another "
            "(rows) is mutated."
        )
        figures.append({"picture": picture(ax, caption, as_png=True), "caption": caption})
    return {"title": f"{place.name} {place}".strip(), "figures": figures}


def heaviest(place: Interval, values: np.ndarray, length: int = ZOOM) -> Interval:
    """The window of `length` letters of a place whose `values` (L,) are largest together, on the
    place's strand.
    """
    weight = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.abs(values)))])
    length = min(length, len(values))
    at = int(np.argmax(weight[length:] - weight[:-length]))
    start = place.end - at - length if place.strand == "-" else place.start + at
    return Interval(place.contig, start, start + length, place.strand, place.name)


def _logo(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> Any:
    """The logo of a short region with its lanes below."""
    place, values, tokens = region.place, region.found["projected"], region.found["tokens"]
    shown = [lane for lane in lanes if any(each.overlaps(place) for each in lane.places)]
    if not shown:
        return draw.logo(values, place, tokens=tokens, unit=unit)
    width = min(14.0, max(5.0, len(place) / 9))
    top, *rest = divided(None, width, [1.4, *[0.5] * len(shown)], [0.08] * len(shown))
    draw.logo(values, place, top, tokens=tokens, unit=unit, name=False)
    for number, (ax, lane) in enumerate(zip(rest, shown, strict=True), 1):
        draw.lane(lane, place, ax, name=number == len(shown))
    return top


def known_motifs(
    matches: Sequence[Match], places: Sequence[Interval], most: float = 0.05
) -> list[Known]:
    """The motifs that seqlets of `places` look like with a q-value up to `most`, those met most
    often first.
    """
    grouped: dict[str, list[Match]] = {}
    for match in matches:
        if match.q <= most:
            grouped.setdefault(match.motif.id, []).append(match)
    found = []
    for those in sorted(
        grouped.values(), key=lambda those: (-len(those), min(match.q for match in those))
    ):
        best = min(those, key=lambda match: match.q)
        where = on_genome(best.seqlet, places[best.seqlet.region])
        about = {
            "motif": best.motif.id,
            "name": best.motif.name,
            "seqlets": len(those),
            "best q": f"{best.q:.1e}",
        }
        found.append(Known(best.motif.matrix, {**about, "best match (1-based)": str(where)}))
    return found


def _motif_table(motifs: Sequence[Known]) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for motif in motifs for name in motif.facts))
    rows = []
    for motif in motifs:
        cells = [motif.facts.get(name, "") for name in columns]
        logo = picture(draw.motif(motif.matrix), f"Logo of motif {cells[0]}")
        rows.append([logo, *cells])
    return {"head": ["logo", *columns], "rows": rows}
