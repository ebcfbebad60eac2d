"""Seqlets, runs of letters that weigh together, and the known motifs that they look like.

Seqlets are called by tangermeme's recursive caller, on the attributions and on their negative;
matches are memelite's TOMTOM. The trap: the p-value of a seqlet ranks it within what was given
(attributions of neighbours go together), it is no error rate; the q-values of matches are Benjamini
and Hochberg's over all pairs of seqlet and motif.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.explain.arrays import Explained
from orchid_genomics.explain.motif_files import Motif
from orchid_genomics.explain.references import one_hot
from orchid_genomics.files import atomic_file
from orchid_genomics.sequence import CODE, DNA, Interval

COLUMNS = (
    *("contig", "start", "end", "strand", "region", "attribution", "p_seqlet", "letters"),
    *("motif", "motif_name", "orientation", "offset", "p", "q"),
)
_GAP = 32  # letters between regions laid end to end: longer than any seqlet


@dataclass(frozen=True)
class Seqlet:
    """Letters `start` to `end` (0-based half-open, along the region as read) of region number
    `region`.

    `attribution` is their sum, `p` the caller's p-value (a rank, not an error rate).
    """

    region: int
    start: int
    end: int
    attribution: float
    p: float


@dataclass(frozen=True)
class Match:
    """A seqlet and a motif: `p` and `q` of their likeness, the motif's orientation ("+" or "-") and
    where it begins.

    `offset` is the motif's first letter relative to the seqlet's first, as the seqlet is read.
    """

    seqlet: Seqlet
    motif: Motif
    p: float
    q: float
    orientation: str
    offset: int


def call_seqlets(
    projected: Sequence[np.ndarray], threshold: float = 0.01, shortest: int = 4
) -> list[Seqlet]:
    """Seqlets of regions (L,) each, strongest first; of both signs, a negative one only where no
    positive one is.

    Raises MachineError without the `explain` extra, InputError for a threshold outside 0 to 1.
    """
    if not 0 < threshold <= 1:
        raise InputError("threshold", f"{threshold}", "above 0, 1 at most")
    if not sum(len(values) for values in projected):
        return []
    line, starts = _end_to_end(projected)
    found = _called(line, threshold, shortest)
    taken = np.zeros(len(line), bool)
    for start, end, *_ in found:
        taken[start:end] = True
    for start, end, attribution, p in _called(-line, threshold, shortest):
        if not taken[start:end].any():
            found.append((start, end, -attribution, p))
    seqlets = []
    for start, end, attribution, p in found:
        region = int(np.searchsorted(starts, start, "right")) - 1
        at = start - int(starts[region])
        if at + end - start <= len(projected[region]):
            seqlets.append(Seqlet(region, at, at + end - start, attribution, p))
    return sorted(
        seqlets, key=lambda each: (each.p, -abs(each.attribution), each.region, each.start)
    )


def _end_to_end(projected: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All regions in one line with gaps of nothing between, and where each begins."""
    gap = np.zeros(_GAP)
    parts = [
        part
        for values in projected
        for part in (np.nan_to_num(np.asarray(values, np.float64)), gap)
    ]
    sizes = [len(values) + _GAP for values in projected]
    return np.concatenate(parts), np.cumsum([0, *sizes[:-1]])


def _called(
    line: np.ndarray, threshold: float, shortest: int
) -> list[tuple[int, int, float, float]]:
    try:
        from tangermeme.seqlet import recursive_seqlets
    except ImportError:
        raise missing_extra("tangermeme", "explain") from None
    if not np.ptp(line):
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = recursive_seqlets(line[None], threshold=threshold, min_seqlet_len=shortest)
    rows = zip(table["start"], table["end"], table["attribution"], table["p-value"], strict=True)
    return [
        (int(start), int(end), float(attribution), float(p)) for start, end, attribution, p in rows
    ]


def match_motifs(
    seqlets: Sequence[Seqlet],
    tokens: Sequence[np.ndarray],
    motifs: Sequence[Motif],
    flank: int = 2,
    nearest: int = 1,
) -> list[Match]:
    """The `nearest` motifs of each seqlet by TOMTOM, best first within a seqlet, with q-values.

    `tokens` (L,) are those of each region; the letters of a seqlet and `flank` on both sides are
    compared, by letter. q is over all pairs of seqlet and motif (Benjamini & Hochberg 1995). With
    fewer than 25 motifs TOMTOM's p-values depend much on which they are. Raises MachineError
    without the `explain` extra.
    """
    if not seqlets or not motifs:
        return []
    try:
        from memelite.tomtom import tomtom
    except ImportError:
        raise missing_extra("memelite", "explain") from None
    from scipy.stats import false_discovery_control

    begins = [max(0, each.start - flank) for each in seqlets]
    queries = [
        one_hot(tokens[each.region][None, begin : each.end + flank])[0].double().numpy()
        for each, begin in zip(seqlets, begins, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few motifs, which is said above
        p, _, offsets, _, strands = tomtom(queries, [motif.matrix for motif in motifs], n_jobs=1)[
            :5
        ]
    p = np.clip(p, 0, 1)
    q = false_discovery_control(p, axis=None).reshape(p.shape)
    matches = []
    for row, (each, begin) in enumerate(zip(seqlets, begins, strict=True)):
        for at in np.argsort(p[row], kind="stable")[:nearest].tolist():
            orientation = "-" if strands[row, at] else "+"
            offset = -int(offsets[row, at]) - (
                each.start - begin
            )  # TOMTOM's is of the query in the motif
            matches.append(
                Match(each, motifs[at], float(p[row, at]), float(q[row, at]), orientation, offset)
            )
    return matches


def write_matches(
    path: str | Path,
    matches: Iterable[Match],
    places: Sequence[Interval],
    tokens: Sequence[np.ndarray],
) -> None:
    """A TSV of COLUMNS, a line a match; contig, start and end (0-based half-open) are those of the
    seqlet.
    """
    with atomic_file(Path(path)) as temporary:
        lines = [
            "#" + "\t".join(COLUMNS),
            *("\t".join(map(str, row_of(m, places, tokens).values())) for m in matches),
        ]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


Matched = tuple[list[Match], list[Interval], list[np.ndarray]]


@dataclass
class MotifTable:
    """Called with a path and the regions of a run, it writes the matches of their seqlets
    (`write_matches`).

    They are looked for once: a page of the same regions asks the table.
    """

    motifs: Sequence[Motif]
    _matched: Matched | None = field(default=None, init=False)

    def __call__(self, path: Path, regions: Iterable[Explained]) -> None:
        write_matches(path, *self.matched(regions))

    def matched(self, regions: Iterable[Explained]) -> Matched:
        """The motif nearest to every seqlet of the regions that were explained, with the places and
        tokens of those.
        """
        if self._matched is None:
            shown = [
                (each.place, each.found["tokens"], each.found["projected"])
                for each in regions
                if not each.why
            ]
            places, tokens, projected = ([row[i] for row in shown] for i in range(3))
            self._matched = (
                match_motifs(call_seqlets(projected), tokens, self.motifs),
                places,
                tokens,
            )
        return self._matched


def row_of(
    match: Match, places: Sequence[Interval], tokens: Sequence[np.ndarray]
) -> dict[str, str | int]:
    """The columns of a match."""
    seqlet, place = match.seqlet, places[match.seqlet.region]
    where = on_genome(seqlet, place)
    letters = DNA.decode(tokens[seqlet.region][seqlet.start : seqlet.end] & CODE)
    values = (
        *(where.contig, where.start, where.end, place.strand, place.name or "."),
        *(f"{seqlet.attribution:.6g}", f"{seqlet.p:.3g}", letters),
        *(
            match.motif.id,
            match.motif.name,
            match.orientation,
            match.offset,
            f"{match.p:.3g}",
            f"{match.q:.3g}",
        ),
    )
    return dict(zip(COLUMNS, values, strict=True))


def on_genome(seqlet: Seqlet, place: Interval) -> Interval:
    """Where a seqlet lies, on the strand of its region."""
    length = seqlet.end - seqlet.start
    start = place.end - seqlet.end if place.strand == "-" else place.start + seqlet.start
    return Interval(place.contig, start, start + length, place.strand, place.name)
