"""One self-contained HTML page about an `explain` run, for readers without Python; places in its
words are 1-based.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import draw
from orchid_genomics.draw.canvas import stack_axes
from orchid_genomics.draw.pages import picture, render
from orchid_genomics.explain.explainer import REASONS, Explained
from orchid_genomics.explain.methods import METHODS
from orchid_genomics.explain.motifs import Match, MotifTable, on_genome
from orchid_genomics.files import atomic_file
from orchid_genomics.sequence import CODE, Interval

SHORT = 240
"""Letters up to which a region is one logo."""
ZOOM = 120
"""Letters of a longer region that are shown as a logo: the heaviest."""
LETTERS = 2_000
"""Letters up to which a region has a dependency map."""
MOST = 30
"""Regions that are drawn; the table names all."""


@dataclass(frozen=True)
class MotifRow:
    """A motif met in the regions: its matrix (4, L), and the columns of its line in the table."""

    matrix: np.ndarray
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """What a run's page says beside its regions; called with the path and the regions, it writes
    it.

    Parameters
    ----------
    identity : mapping
        That of the run.
    about : mapping
        More words of provenance.
    lanes : sequence of Lane
        Genes and elements to show below the attributions.
    motifs : MotifTable, optional
        That of the run.
    """

    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    lanes: Sequence[draw.Lane] = ()
    motifs: MotifTable | None = None

    def __call__(self, path: Path, regions: Iterable[Explained]) -> None:
        kept = []
        for number, region in enumerate(regions):
            kept.append(region if number < MOST else region._replace(arrays=_light(region)))
        identity = self.identity
        target = identity["target"]
        method = METHODS[identity["method"]]
        plural = "s" if len(kept) != 1 else ""
        of_target = f", of {target}" if target else ""
        motifs = None
        if self.motifs is not None:
            matched = self.motifs.match(kept)
            motifs = motif_rows(matched.matches, matched.intervals)
        names = ("method", "target", "window", "references", "seed", "orchid-genomics")
        provenance = {**self.about, **{name: identity[name] for name in names}}
        write_page(
            path,
            f"What a model reads in {len(kept):,} region{plural}",
            f"{method.lead}{of_target}. Positions are 1-based.",
            kept,
            unit=_unit(identity["method"], target),
            lanes=self.lanes,
            motifs=motifs,
            notes=[method.caution] if method.caution else [],
            provenance={name: value for name, value in provenance.items() if value != ""},
        )


def _unit(method: str, target: str) -> str:
    if method == "dependency":
        return "bits"
    return "nats" if target.startswith("pll") or "@" in target else target


def _light(region: Explained) -> dict[str, Any]:
    """A region's arrays but those that only its own pictures need."""
    names = ("tokens", "projected", "difference", "error")
    return {name: region.arrays[name] for name in names if not region.why}


def write_page(
    path: str | Path,
    title: str,
    lead: str,
    regions: Sequence[Explained],
    *,
    unit: str = "attribution",
    lanes: Sequence[draw.Lane] = (),
    motifs: Sequence[MotifRow] | None = None,
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
    interval, arrays = region.interval, region.arrays
    about = [str(interval), interval.name, f"{len(interval):,}"]
    if region.why:
        reason = REASONS.get(region.why, region.why)
        return [*about, "", f"not explained: {reason}", "", ""]
    values = arrays["projected"]
    at = int(np.nanargmax(np.abs(values)))
    base = "ACGTN"[min(int(arrays["tokens"][at] & CODE), 4)]
    heaviest = f"{base} at {_position(interval, at):,} ({values[at]:+.3g})"
    sums = [float(arrays[name]) for name in ("difference", "error")]
    wanted = [f"{value:.3g}" if np.isfinite(value) else "" for value in sums]
    return [*about, f"{np.nansum(values):+.3g}", heaviest, *wanted]


def _position(interval: Interval, at: int) -> int:
    """The 1-based position of letter `at` of an interval as it is read."""
    return interval.end - at if interval.strand == "-" else interval.start + at + 1


def _section(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> dict[str, Any]:
    """What the page shows of one region: its title and its figures."""
    interval, arrays = region.interval, region.arrays
    if len(interval) <= SHORT:
        ax = _logo(region, unit, lanes)
        figures = [
            {"picture": picture(ax, f"Logo of the attributions of {interval}"), "caption": ""}
        ]
    else:
        zoom = heaviest(interval, arrays["projected"])
        ax = draw.closeup(arrays["projected"], arrays["tokens"], interval, zoom, lanes, unit=unit)
        caption = (
            f"Above all letters of the region, below the {len(zoom)} that weigh most together, "
            f"{zoom} (1-based)."
        )
        figures = [{"picture": picture(ax, caption, as_png=True), "caption": caption}]
    if "dependency" in arrays and len(interval) <= LETTERS:
        ax = draw.dependency(arrays["dependency"], interval, tokens=arrays["tokens"])
        caption = (
            "Dependency map: how the prediction of each letter (columns) changes when another "
            "(rows) is mutated."
        )
        figures.append({"picture": picture(ax, caption, as_png=True), "caption": caption})
    return {"title": f"{interval.name} {interval}".strip(), "figures": figures}


def heaviest(interval: Interval, values: np.ndarray, length: int = ZOOM) -> Interval:
    """The window of `length` letters of an interval whose `values` (L,) are largest together, on the
    interval's strand.
    """
    weight = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.abs(values)))])
    length = min(length, len(values))
    at = int(np.argmax(weight[length:] - weight[:-length]))
    start = interval.end - at - length if interval.strand == "-" else interval.start + at
    return Interval(interval.contig, start, start + length, interval.strand, interval.name)


def _logo(region: Explained, unit: str, lanes: Sequence[draw.Lane]) -> Any:
    """The logo of a short region with its lanes below."""
    interval, values, tokens = region.interval, region.arrays["projected"], region.arrays["tokens"]
    shown = [lane for lane in lanes if any(each.overlaps(interval) for each in lane.intervals)]
    if not shown:
        return draw.logo(values, interval, tokens=tokens, unit=unit)
    width = min(14.0, max(5.0, len(interval) / 9))
    top, *rest = stack_axes(None, width, [1.4, *[0.5] * len(shown)], [0.08] * len(shown))
    draw.logo(values, interval, top, tokens=tokens, unit=unit, name=False)
    for number, (ax, lane) in enumerate(zip(rest, shown, strict=True), 1):
        draw.lane(lane, interval, ax, name=number == len(shown))
    return top


def motif_rows(
    matches: Sequence[Match], intervals: Sequence[Interval], most: float = 0.05
) -> list[MotifRow]:
    """The motifs that seqlets of `intervals` look like with a q-value up to `most`, those met most
    often first.
    """
    grouped: dict[str, list[Match]] = {}
    for match in matches:
        if match.q <= most:
            grouped.setdefault(match.motif.id, []).append(match)
    rows = []
    for same in sorted(grouped.values(), key=lambda same: (-len(same), min(m.q for m in same))):
        best = min(same, key=lambda match: match.q)
        facts = {
            "motif": best.motif.id,
            "name": best.motif.name,
            "seqlets": len(same),
            "best q": f"{best.q:.1e}",
            "best match (1-based)": str(on_genome(best.seqlet, intervals[best.seqlet.region])),
        }
        rows.append(MotifRow(best.motif.matrix, facts))
    return rows


def _motif_table(motifs: Sequence[MotifRow]) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for motif in motifs for name in motif.facts))
    rows = []
    for motif in motifs:
        cells = [motif.facts.get(name, "") for name in columns]
        logo = picture(draw.motif(motif.matrix), f"Logo of motif {cells[0]}")
        rows.append([logo, *cells])
    return {"head": ["logo", *columns], "rows": rows}
