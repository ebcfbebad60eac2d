"""Which TATA boxes are compared: bound ones, and the same words elsewhere before a transcript's
start (see `tata.py`).

Distances run from the middle of a word to the start, along the strand; places are 0-based
half-open.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchid_genomics.evaluate.held_out import contig_tokens
from orchid_genomics.evaluate.repeats import recurs
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import CODE, DNA, Interval

HERE = Path(__file__).parent
TEST, VALIDATION, NEITHER = ("chrVII", "chrXIII"), ("chrV", "chrXI"), ("chrM",)
WORD, UPSTREAM, BIN = 8, 200, 25


def training(genome: Genome):
    """The tokens of every contig that the model was trained on."""
    return (
        contig_tokens(genome, contig)
        for contig in genome.contigs
        if contig not in TEST + VALIDATION + NEITHER
    )


@dataclass(frozen=True)
class Site:
    """One occurrence of a word before a transcript's start; `distance` is letters from its middle
    to the start.
    """

    place: Interval
    word: str
    promoter: str
    distance: int
    bound: bool

    @property
    def stratum(self) -> str:
        return f"{self.word} {self.distance // BIN * BIN}"


def matches(tokens: np.ndarray) -> np.ndarray:
    """Starts of TATAWAWR in tokens (L,)."""
    codes = tokens & CODE
    wanted = [(3,), (0,), (3,), (0,), (0, 3), (0,), (0, 3), (0, 2)]
    fits = [
        np.isin(codes[i : len(codes) - WORD + 1 + i], letters) for i, letters in enumerate(wanted)
    ]
    return np.flatnonzero(np.logical_and.reduce(fits))


def occurrences(genome: Genome, contig: str, strand: str) -> list[Interval]:
    """Every TATAWAWR of one strand of a contig."""
    size = genome.contigs[contig]
    starts = matches(genome.tokens(contig, 0, size, strand))
    if strand == "-":
        starts = size - WORD - starts
    return [Interval(contig, int(start), int(start) + WORD, strand) for start in np.sort(starts)]


def sites(genome: Genome, tata: Path, tss: Path) -> tuple[list[Site], list[str]]:
    """The sites of both classes, and what was left out, in words."""
    known = {(each.contig, each.start, each.end, each.strand) for each in read_bed(tata, genome)}
    taken = Regions.from_intervals(Interval(*each) for each in known)
    coding = Regions.from_intervals(read_bed(HERE / "CDS.bed", genome))
    copies = dict(
        zip(TEST, recurs(training(genome), [contig_tokens(genome, c) for c in TEST]), strict=True)
    )
    starts: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for each in read_bed(tss, genome):
        start = each.start if each.strand == "+" else each.end - 1
        starts.setdefault((each.contig, each.strand), []).append((start, f"{each.name} {each}"))
    found, left = [], Counter()
    for contig in TEST:
        for strand in "+-":
            where = np.array([start for start, _ in starts[contig, strand]])
            for place in occurrences(genome, contig, strand):
                bound = (contig, place.start, place.end, strand) in known
                middle = place.start + WORD // 2 - (strand == "-")
                distances = (where - middle) * (1 if strand == "+" else -1)
                near = np.where(distances > 0, distances, 1 << 30)
                best = int(near.argmin())
                reason = ""
                if near[best] > UPSTREAM:
                    reason = f"not within {UPSTREAM} letters before a start"
                elif coding.touches(contig, [place.start], [place.end])[0]:
                    reason = "in coding sequence"
                elif copies[contig][place.start : place.end].any():
                    reason = "in sequence that recurs in training"
                elif not bound and taken.touches(contig, *_span(where[best], strand))[0]:
                    reason = "in a promoter with a bound site"
                if reason:
                    left[not bound, reason] += 1
                    continue
                word = DNA.decode(genome.tokens(contig, place.start, place.end, strand))
                found.append(
                    Site(place, word, starts[contig, strand][best][1], int(near[best]), bound)
                )
    named = sorted(left.items())
    return found, [
        f"{'other' if o else 'bound'} TATAWAWR left out, {reason}: {n:,}"
        for (o, reason), n in named
    ]


def _span(start: int, strand: str) -> tuple[list[int], list[int]]:
    first, last = (start - UPSTREAM, start) if strand == "+" else (start + 1, start + 1 + UPSTREAM)
    return [max(first, 0)], [last]


def windows(genome: Genome, found: list[Site], length: int) -> np.ndarray:
    """Tokens (N, length) read on each site's strand, the word in the middle (at `length` //
    2 - 4).
    """
    rows = []
    for site in found:
        shift = length // 2 - WORD // 2
        start = (
            site.place.start - shift
            if site.place.strand == "+"
            else site.place.end - length + shift
        )
        rows.append(genome.tokens(site.place.contig, start, start + length, site.place.strand))
    return np.stack(rows) & CODE
