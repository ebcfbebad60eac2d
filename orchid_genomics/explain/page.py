"""One self-contained HTML page about an `explain` run, for readers without Python; positions in its
words are 1-based.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics import draw
from orchid_genomics.draw.logo import reach
from orchid_genomics.draw.pages import picture, render
from orchid_genomics.explain.explainer import EDGE, REASONS, Explained, window_width
from orchid_genomics.explain.methods import METHODS
from orchid_genomics.explain.motifs import Match, MotifTable, Seqlet, on_genome
from orchid_genomics.files import atomic_file
from orchid_genomics.sequence import CODE, DNA, Interval

SHORT = 160
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
class Look:
    """How the regions of one page are drawn, so that their pictures may be compared.

    Parameters
    ----------
    unit : str
        What attributions are in.
    lanes : sequence of Lane
        Genes and elements below them.
    seqlets : mapping
        Of each region, by its number, the seqlets with the motifs that they look like.
    limits : (float, float), optional
        Ends of y of all logos.
    top : float, optional
        Where the colours of all maps end.
    window : int
        Letters that were read around each region; 0 where that is not known.
    """

    unit: str = "attribution"
    lanes: Sequence[draw.Lane] = ()
    seqlets: Mapping[int, Mapping[Seqlet, list[Match]]] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    top: float | None = None
    window: int = 0


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
    unit : str
        What attributions are in.
    lanes : sequence of Lane
        Genes and elements to show below the attributions.
    motifs : MotifTable, optional
        That of the run.
    """

    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    unit: str = "attribution"
    lanes: Sequence[draw.Lane] = ()
    motifs: MotifTable | None = None

    def __call__(self, path: Path, regions: Iterable[Explained]) -> None:
        kept = []
        for number, region in enumerate(regions):
            # Of regions that the table alone names, what only pictures need is let go.
            kept.append(region if number < MOST else region._replace(arrays=_light(region)))
        identity = self.identity
        method = METHODS[identity["method"]]
        plural = "s" if len(kept) != 1 else ""
        of_target = f", of {identity['target']}" if identity["target"] else ""
        motifs = None
        seqlets: dict[int, dict[Seqlet, list[Match]]] = {}
        if self.motifs is not None:
            matched = self.motifs.match(kept)
            motifs = motif_rows(matched.best, matched.intervals)
            along = sorted(matched.matches, key=lambda match: match.seqlet.start)
            for match in along:
                of_region = seqlets.setdefault(match.seqlet.region, {})
                of_region.setdefault(match.seqlet, []).append(match)
        names = ("method", "target", "window", "references", "seed", "orchid-genomics")
        provenance = {**self.about, **{name: identity[name] for name in names}}
        write_page(
            path,
            f"What a model reads in {len(kept):,} region{plural}",
            f"{method.lead}{of_target}. Positions are 1-based.",
            kept,
            look=Look(self.unit, self.lanes, seqlets, window=identity["window"]),
            motifs=motifs,
            notes=[method.caution] if method.caution else [],
            provenance={name: value for name, value in provenance.items() if value != ""},
        )


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
    look: Look | None = None,
    motifs: Sequence[MotifRow] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: regions, their pictures, motifs and provenance. `motifs` None says that none
    were looked for.

    The file appears whole or not at all. Cost: about 0.5 s a region, 30 of which are drawn at most.
    """
    explained = [region for region in regions if not region.why]
    shown = explained[:MOST]
    look = _common(look or Look(), shown)
    page = render(
        "explain/regions.html",
        title=title,
        lead=lead,
        notes=notes,
        summary=_summary(regions),
        sections=[_section(number, region, look) for number, region in enumerate(shown)],
        unshown=f"{len(explained):,}" if len(explained) > MOST else "",
        motifs=None if motifs is None else _motif_table(motifs),
        provenance=provenance or {},
    )
    with atomic_file(Path(path)) as part:
        # A name of a file may be no text.
        part.write_text(page, encoding="utf-8", errors="backslashreplace")


def _common(look: Look, shown: Sequence[Explained]) -> Look:
    """The same look with one scale for all pictures of a kind."""
    scores, maps = [], []
    for region in shown:
        values = np.nan_to_num(region.arrays["projected"])
        scores.append(draw.letter_scores(values, region.arrays["tokens"]))
        if _has_map(region):
            maps.append(region.arrays["dependency"])
    return Look(
        look.unit,
        look.lanes,
        look.seqlets,
        limits=reach(*scores) if scores else None,
        top=draw.colour_top(*maps) if maps else None,
        window=look.window,
    )


def _has_map(region: Explained) -> bool:
    return "dependency" in region.arrays and len(region.interval) <= LETTERS


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


def _section(number: int, region: Explained, look: Look) -> dict[str, Any]:
    """What the page shows of one region: its title, its figures and its seqlets."""
    interval, arrays = region.interval, region.arrays
    seqlets = look.seqlets.get(number, {})
    shaded, caption = _shade(region, look.window)
    draw_letters = partial(
        draw.letters,
        above=_seqlet_lanes(interval, seqlets),
        shaded=shaded,
        limits=look.limits,
        unit=look.unit,
    )
    lanes = [lane for lane in look.lanes if any(each.overlaps(interval) for each in lane.intervals)]
    values, tokens = arrays["projected"], arrays["tokens"]
    if len(interval) <= SHORT:
        ax = draw_letters(values, tokens, interval, lanes)
        image = picture(ax, f"Logo of the attributions of {interval}")
    else:
        zoom = heaviest(interval, values)
        ax = draw.closeup(values, tokens, interval, zoom, lanes, **draw_letters.keywords)
        caption = (
            f"Above all letters of the region, below the {len(zoom)} that weigh most together, "
            f"{zoom} (1-based). {caption}"
        )
        image = picture(ax, caption, as_png=True)
    figures = [{"picture": image, "caption": caption.strip()}]
    if _has_map(region):
        ax = draw.dependency(arrays["dependency"], interval, tokens=tokens, top=look.top)
        caption = (
            "Dependency map: how the prediction of each letter (columns) changes when another "
            "(rows) is mutated."
        )
        figures.append({"picture": picture(ax, caption, as_png=True), "caption": caption})
    return {
        "title": f"{interval.name} {interval}".strip(),
        "figures": figures,
        "seqlets": _seqlet_table(region, seqlets),
    }


def _shade(region: Explained, window: int) -> tuple[list[Interval], str]:
    """Letters whose attributions say less than they seem to, and the words about them."""
    interval = region.interval
    length = len(interval)
    positions, words = np.zeros(length, bool), []
    beside = (window_width(length, window) - length) // 2
    if window and beside < EDGE:
        reached = EDGE - beside
        positions[:reached] = positions[-reached:] = True
        words.append(
            f"nearer than {EDGE} letters to an end of what was read, which the operator joins to "
            "the other end"
        )
    if "contrasts" in region.arrays:
        same = region.arrays["contrasts"] == 0
        positions |= same
        if same.any():
            words.append(
                f"the same in every reference ({same.sum():,}), so that their 0 says nothing"
            )
    # Letters run as they are read, intervals on the forward strand.
    if interval.strand == "-":
        positions = positions[::-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], positions, [False]])))
    runs = edges.reshape(-1, 2) + interval.start
    shaded = [Interval(interval.contig, int(start), int(end)) for start, end in runs]
    return shaded, f"On grey: letters {'; or '.join(words)}." if words else ""


def _seqlet_lanes(interval: Interval, seqlets: Mapping[Seqlet, list[Match]]) -> list[draw.Lane]:
    """The seqlets of a region, numbered as in their table, named by what they look most like and
    how surely.
    """
    places = []
    for number, (seqlet, matches) in enumerate(seqlets.items(), 1):
        where = on_genome(seqlet, interval)
        # A name without its q would be read as an identification.
        name = f"{number} {matches[0].motif.name} q {matches[0].q:.2g}"
        places.append(Interval(where.contig, where.start, where.end, interval.strand, name))
    return [draw.Lane("seqlets", tuple(places))] if places else []


def _seqlet_table(region: Explained, seqlets: Mapping[Seqlet, list[Match]]) -> dict[str, Any]:
    """A line a seqlet, with the motifs that it looks most like."""
    rows = []
    for number, (seqlet, matches) in enumerate(seqlets.items(), 1):
        letters = DNA.decode(region.arrays["tokens"][seqlet.start : seqlet.end] & CODE)
        nearest = ", ".join(f"{match.motif.name} (q {match.q:.2g})" for match in matches)
        where = on_genome(seqlet, region.interval)
        rows.append([f"{number}", str(where), letters, f"{seqlet.attribution:+.3g}", nearest])
    return {"head": ["seqlet", "where (1-based)", "letters", "sum", "nearest motifs"], "rows": rows}


def heaviest(interval: Interval, values: np.ndarray, length: int = ZOOM) -> Interval:
    """The window of `length` letters of an interval whose `values` (L,) are largest together, on
    its strand.
    """
    # Of all windows at once: each weighs the difference of two of these sums.
    weight = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.abs(values)))])
    length = min(length, len(values))
    at = int(np.argmax(weight[length:] - weight[:-length]))
    start = interval.end - at - length if interval.strand == "-" else interval.start + at
    return Interval(interval.contig, start, start + length, interval.strand, interval.name)


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
