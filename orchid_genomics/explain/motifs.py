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
from orchid_genomics.explain.explainer import Explained
from orchid_genomics.explain.motif_files import Motif
from orchid_genomics.explain.references import one_hot
from orchid_genomics.files import atomic_file
from orchid_genomics.sequence import CODE, DNA, Interval

COLUMNS = (
    *("contig", "start", "end", "strand", "region", "attribution", "p_seqlet", "letters"),
    *("motif", "motif_name", "orientation", "offset", "p", "q"),
)
NEAREST = 3
"""Matches of a seqlet that a page shows; a table holds the best."""
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
    """Runs of letters that weigh together, of both signs.

    Parameters
    ----------
    projected : sequence of ndarray
        Attributions (L,) of each region.
    threshold : float
        The highest p of a seqlet.
    shortest : int
        Letters of the shortest seqlet.

    Returns
    -------
    list of Seqlet
        The strongest first; a negative one only where no positive one is.

    Raises
    ------
    MachineError
        Without the `explain` extra.
    InputError
        For a threshold outside 0 to 1.
    """
    if not 0 < threshold <= 1:
        raise InputError("threshold", f"{threshold}", "above 0, 1 at most")
    if not sum(len(values) for values in projected):
        return []
    line, starts = _end_to_end(projected)
    runs = _call(line, threshold, shortest)
    taken = np.zeros(len(line), bool)
    for start, end, *_ in runs:
        taken[start:end] = True
    for start, end, attribution, p in _call(-line, threshold, shortest):
        if not taken[start:end].any():
            runs.append((start, end, -attribution, p))
    seqlets = []
    for start, end, attribution, p in runs:
        region = int(np.searchsorted(starts, start, "right")) - 1
        at = start - int(starts[region])
        # A run that reaches into the gap is of no region.
        if at + end - start <= len(projected[region]):
            seqlets.append(Seqlet(region, at, at + end - start, attribution, p))
    return sorted(
        seqlets, key=lambda each: (each.p, -abs(each.attribution), each.region, each.start)
    )


def _end_to_end(projected: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All regions in one line with gaps of nothing between, and where each begins."""
    parts = []
    for values in projected:
        parts += [np.nan_to_num(np.asarray(values, np.float64)), np.zeros(_GAP)]
    sizes = [len(values) + _GAP for values in projected]
    return np.concatenate(parts), np.cumsum([0, *sizes[:-1]])


def _call(line: np.ndarray, threshold: float, shortest: int) -> list[tuple[int, int, float, float]]:
    """Runs of positive attributions: start, end, sum and p."""
    try:
        from tangermeme.seqlet import recursive_seqlets
    except ImportError:
        raise missing_extra("tangermeme", "explain") from None
    # Values that are all alike have no runs, nor a spread to hold them against.
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
    """The motifs that each seqlet looks like, by TOMTOM.

    Parameters
    ----------
    seqlets : sequence of Seqlet
        What to match.
    tokens : sequence of ndarray
        The letters (L,) of each region.
    motifs : sequence of Motif
        What to compare with. With fewer than 25, TOMTOM's p-values depend much on which they are.
    flank : int
        Letters on both sides of a seqlet that are compared with it.
    nearest : int
        Matches of each seqlet.

    Returns
    -------
    list of Match
        Best first within a seqlet; q is over all pairs of seqlet and motif (Benjamini & Hochberg
        1995).

    Raises
    ------
    MachineError
        Without the `explain` extra.
    """
    if not seqlets or not motifs:
        return []
    try:
        from memelite.tomtom import tomtom
    except ImportError:
        raise missing_extra("memelite", "explain") from None
    from scipy.stats import false_discovery_control

    begins = [max(0, each.start - flank) for each in seqlets]
    queries = []
    for seqlet, begin in zip(seqlets, begins, strict=True):
        letters = tokens[seqlet.region][None, begin : seqlet.end + flank]
        queries.append(one_hot(letters)[0].double().numpy())
    with warnings.catch_warnings():
        # It warns of few motifs, which the docstring does too.
        warnings.simplefilter("ignore")
        answer = tomtom(queries, [motif.matrix for motif in motifs], n_jobs=1)
    # Rounding may carry a p past 0 or 1, which the q-values would refuse.
    p, offsets, strands = np.clip(answer[0], 0, 1), answer[2], answer[4]
    q = false_discovery_control(p, axis=None).reshape(p.shape)
    matches = []
    for row, (seqlet, begin) in enumerate(zip(seqlets, begins, strict=True)):
        for number in np.argsort(p[row], kind="stable")[:nearest].tolist():
            match = Match(
                seqlet,
                motifs[number],
                p=float(p[row, number]),
                q=float(q[row, number]),
                orientation="-" if strands[row, number] else "+",
                # TOMTOM's offset is that of the query in the motif.
                offset=-int(offsets[row, number]) - (seqlet.start - begin),
            )
            matches.append(match)
    return matches


def write_matches(
    path: str | Path,
    matches: Iterable[Match],
    intervals: Sequence[Interval],
    tokens: Sequence[np.ndarray],
) -> None:
    """A TSV of COLUMNS, a line a match; contig, start and end (0-based half-open) are those of the
    seqlet.
    """
    lines = ["#" + "\t".join(COLUMNS)]
    for match in matches:
        lines.append("\t".join(map(str, row_of(match, intervals, tokens).values())))
    with atomic_file(Path(path)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class MatchedRegions:
    """Regions that were explained, and the motifs that their seqlets look like.

    `matches` are the NEAREST of each seqlet, the best first; a seqlet's `region` is the number
    among `intervals`.
    """

    matches: list[Match]
    intervals: list[Interval]
    tokens: list[np.ndarray]

    @property
    def best(self) -> list[Match]:
        """The nearest motif of each seqlet."""
        # From the last to the first, so that a seqlet's first match, its best, is what stays.
        best = {match.seqlet: match for match in reversed(self.matches)}
        return [match for match in self.matches if best[match.seqlet] is match]


@dataclass
class MotifTable:
    """Called with a path and the regions of a run, it writes the matches of their seqlets
    (`write_matches`).

    They are looked for once: a page of the same regions asks the table.
    """

    motifs: Sequence[Motif]
    _matched: MatchedRegions | None = field(default=None, init=False)

    def __call__(self, path: Path, regions: Iterable[Explained]) -> None:
        matched = self.match(regions)
        write_matches(path, matched.best, matched.intervals, matched.tokens)

    def match(self, regions: Iterable[Explained]) -> MatchedRegions:
        """The motifs nearest to every seqlet of the regions that were explained."""
        if self._matched is None:
            explained = [region for region in regions if not region.why]
            tokens = [region.arrays["tokens"] for region in explained]
            seqlets = call_seqlets([region.arrays["projected"] for region in explained])
            matches = match_motifs(seqlets, tokens, self.motifs, nearest=NEAREST)
            intervals = [region.interval for region in explained]
            self._matched = MatchedRegions(matches, intervals, tokens)
        return self._matched


def row_of(
    match: Match, intervals: Sequence[Interval], tokens: Sequence[np.ndarray]
) -> dict[str, str | int]:
    """The columns of a match."""
    seqlet, region = match.seqlet, intervals[match.seqlet.region]
    interval = on_genome(seqlet, region)
    letters = DNA.decode(tokens[seqlet.region][seqlet.start : seqlet.end] & CODE)
    of_seqlet = (
        *(interval.contig, interval.start, interval.end, region.strand, region.name or "."),
        *(f"{seqlet.attribution:.6g}", f"{seqlet.p:.3g}", letters),
    )
    of_match = (
        *(match.motif.id, match.motif.name, match.orientation, match.offset),
        *(f"{match.p:.3g}", f"{match.q:.3g}"),
    )
    return dict(zip(COLUMNS, (*of_seqlet, *of_match), strict=True))


def on_genome(seqlet: Seqlet, region: Interval) -> Interval:
    """Where a seqlet lies, on the strand of its region."""
    length = seqlet.end - seqlet.start
    start = region.end - seqlet.end if region.strand == "-" else region.start + seqlet.start
    return Interval(region.contig, start, start + length, region.strand, region.name)
