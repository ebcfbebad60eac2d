"""Peaks become a labelled set that `finetune` reads, and the report says how well its negatives
match.

The trap: whatever else differs between the labels is what a model learns. So GC, repeats and N of
both are printed, and rows that a later split would give away are taken out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from orchid_genomics.data import negatives as background
from orchid_genomics.data import peaks as windows
from orchid_genomics.data.labelled.duplicates import K, near_duplicates
from orchid_genomics.data.peaks import SPLITS, Elements, SplitPlan
from orchid_genomics.data.splits import read_regions
from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.bed import Bed, read_bed
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.genome.signal import Track
from orchid_genomics.jobs.output import kind_of
from orchid_genomics.sequence import DNA

HEADER = ("#chrom", "start", "end", "strand", "label", "split", "sequence", "source", "name")
Negatives = Literal["matched", "shuffled"]
_APART = 0.1  # a gap of two distributions beyond which they are said to differ


@dataclass
class Rows:
    """What is written: elements (their `windows` give places), letters read on their strand,
    labels, sources.
    """

    elements: list[Elements]
    tokens: list[np.ndarray]
    label: np.ndarray
    source: list[str]

    @property
    def split(self) -> np.ndarray:
        return np.concatenate([each.split for each in self.elements])

    def places(self) -> list[tuple[int, int, int, str, str]]:
        """Contig number, start, end (cut at the ends of the contig), strand and name of every row."""
        found = []
        for each in self.elements:
            w = each.windows
            end = np.minimum(w.start + w.length, w.sizes[w.contig]).tolist()
            start = np.maximum(w.start, 0).tolist()
            found += zip(
                w.contig.tolist(), start, end, each.strand.tolist(), each.name.tolist(), strict=True
            )
        return found


def dataset(
    peaks: str | Path,
    genome: str | Path,
    out: str | Path,
    *,
    length: int = 512,
    negatives: Negatives = "matched",
    ratio: int = 1,
    exclude: Sequence[str | Path] = (),
    validation: str = "",
    test: str = "",
    signal: str | Path | None = None,
    covered: bool = False,
    keep_duplicates: bool = False,
    seed: int = 0,
) -> list[str]:
    """Write a labelled set to `out` (.tsv or .tsv.gz) and give the lines of its report.

    Windows of `length` nt around the summits of a narrowPeak, or the middles of a BED; `ratio`
    negatives each, labels 1 and 0; with a `signal` (bigWig or bedGraph) labels are its mean over
    each window (see `Track.mean`). `validation` and `test` are comma-separated contigs, or
    stretches CONTIG:FIRST-LAST (1-based). The same inputs and seed give the same bytes. Raises
    InputError for files, contigs and options that do not fit.
    """
    out = Path(out)
    kind_of(out, ("tsv.gz", "tsv"))
    if length < K:
        raise InputError("--length", f"windows of {length} nt", f"{K} nt or more")
    if signal is not None and negatives == "shuffled" and ratio:
        raise InputError(
            "--negatives", "shuffled letters have no signal", "--negatives matched, or --ratio 0"
        )
    fasta = Genome(genome)
    bed = read_bed(peaks, fasta)
    plan = SplitPlan.parse(fasta, validation, test)
    track = None if signal is None else Track(signal, fasta)
    excluded = [place for path in exclude for place in read_regions(Path(path), fasta)]
    found = plan.into(windows.without(windows.centred(bed, fasta, length), excluded))
    _every_split(found, bed, plan)
    rows = _with_negatives(
        found, negatives, ratio, Regions.from_intervals([*bed, *excluded]), plan, seed
    )
    if track is not None:
        rows.label = _signal(rows, track, covered)
    twin = near_duplicates(rows.tokens, rows.split)
    kept = np.flatnonzero(~twin | keep_duplicates)
    _write(out, fasta, rows, kept)
    lines = [*_about_peaks(found, bed), *_about_negatives(found, rows, kept, negatives, ratio)]
    lines += _about_labels(rows, signal, covered)
    return [*lines, _about_twins(rows, twin, keep_duplicates), *_about_rows(rows, kept)]


def _every_split(found: Elements, bed: Bed, plan: SplitPlan) -> None:
    windows.require(found, bed.path)
    names = list(dict.fromkeys(place.contig for place in bed))
    for code in (1, 2):
        if plan.held_out[SPLITS[code]] and not (found.split == code).any():
            raise InputError(
                f"--{SPLITS[code]}",
                "holds no window of a peak",
                f"contigs with peaks: {listed(names)}",
            )


def _with_negatives(
    found: Elements, kind: Negatives, ratio: int, taken: Regions, plan: SplitPlan, seed: int
) -> Rows:
    tokens = [found.tokens(i) for i in range(len(found))]
    rows = Rows([found], tokens, np.ones(len(found)), ["peak"] * len(found))
    if not ratio:
        return rows
    if kind == "shuffled":
        w, of = found.windows, np.repeat(np.arange(len(found)), ratio)
        places = Windows(w.genome, w.contig[of], w.start[of], w.length)
        other = Elements(places, found.strand[of], found.split[of], np.full(len(of), "", object))
        rows.tokens = tokens + background.shuffled(found, ratio, seed)
    else:
        other = background.matched(found, taken, plan, ratio, seed)
        rows.tokens = tokens + [other.tokens(i) for i in range(len(other))]
    rows.elements.append(other)
    rows.label = np.concatenate([rows.label, np.zeros(len(other))])
    rows.source += [{"matched": "matched", "shuffled": "dinucleotide-shuffled"}[kind]] * len(other)
    return rows


def _signal(rows: Rows, track: Track, covered: bool) -> np.ndarray:
    names = tuple(rows.elements[0].windows.genome.contigs)
    found = np.array(
        [track.mean(names[contig], start, end, covered) for contig, start, end, *_ in rows.places()]
    )
    unsaid = int(np.isnan(found).sum())
    if unsaid:
        where = f"{unsaid:,} of {len(found):,} windows"
        raise InputError(
            track.path,
            f"says nothing of any letter of {where}",
            "--signal-mean mean0 (nothing is zero)",
        )
    return found


def _write(out: Path, genome: Genome, rows: Rows, kept: np.ndarray) -> None:
    names, places, split = tuple(genome.contigs), rows.places(), rows.split
    order = sorted(
        kept.tolist(), key=lambda row: (*places[row][:3], rows.source[row] != "peak", row)
    )
    with writable(out), atomic_file(out) as temporary:
        temporary.touch()
        with open_bgzip(temporary) if out.suffix == ".gz" else temporary.open("wb") as file:
            file.write(("\t".join(HEADER) + "\n").encode())
            for row in order:
                contig, start, end, strand, name = places[row]
                words = (
                    names[contig],
                    start,
                    end,
                    strand,
                    f"{rows.label[row]:.7g}",
                    SPLITS[split[row]],
                )
                words += DNA.decode(rows.tokens[row]), rows.source[row], name or "."
                file.write(("\t".join(map(str, words)) + "\n").encode())


def _about_peaks(found: Elements, bed: Bed) -> list[str]:
    around = "their summits (column 10)" if windows.has_summits(bed) else "their middles"
    lines = [
        f"peaks        {len(bed):,} records, windows of {found.windows.length:,} nt around {around}"
    ]
    if found.dropped:
        lines.append(
            "dropped      "
            + "; ".join(f"{count:,} {reason}" for reason, count in found.dropped.items())
        )
    if found.overhanging:
        lines.append(
            f"contig ends  {found.overhanging:,} windows reach beyond their contig: kept, N there"
        )
    return lines


def _about_negatives(
    found: Elements, rows: Rows, kept: np.ndarray, kind: Negatives, ratio: int
) -> list[str]:
    if not ratio:
        return ["negatives    none (--ratio 0)"]
    count, wanted = len(rows.tokens) - len(found), ratio * len(found)
    how = {
        "matched": "genome windows matched on GC, soft-masked and N, from the contigs and split of their peak",
        "shuffled": "dinucleotide-shuffled peaks (their letters in another order: no genome sequence)",
    }
    lines = [f"negatives    {count:,} {how[kind]}"]
    if count < wanted:
        lines.append(
            f"             {wanted - count:,} fewer than --ratio {ratio} asks for: no window was left to match"
        )
    shares = np.array(
        [background.composition(rows.tokens[row]) for row in kept]
    )  # of what is written
    is_peak, of = kept < len(found), rows.split[kept]
    lines.append(
        "             share of letters    peaks  negatives  largest gap of the distributions (KS)"
    )
    for code, split in enumerate(SPLITS):
        inside = of == code
        if (inside & is_peak).any() and (inside & ~is_peak).any():
            for each in background.agreement(shares[inside & is_peak], shares[inside & ~is_peak]):
                share = f"{split:<10} {each.feature:<11} {each.mean:.4f}     {each.other:.4f}  {each.gap:.4f}"
                apart = each.gap > max(_APART, 2 * each.chance)
                lines.append(f"             {share}{'  NOT MATCHED' if apart else ''}")
    if any(line.endswith("NOT MATCHED") for line in lines):
        lines.append(
            "             a classifier can tell by that share alone: a lower --ratio, a shorter --length"
        )
    return lines


def _about_labels(rows: Rows, signal: str | Path | None, covered: bool) -> list[str]:
    if signal is None:
        return []
    how = (
        "mean over the letters that it covers"
        if covered
        else "mean over each window, nothing counting as zero"
    )
    label = rows.label
    spread = f"{label.min():.4g} to {label.max():.4g}, mean {label.mean():.4g}"
    return [f"labels       {Path(signal).name}: {how}; {spread}"]


def _about_twins(rows: Rows, twin: np.ndarray, kept: bool) -> str:
    counts = ", ".join(
        f"{int((twin & (rows.split == code)).sum()):,} of {SPLITS[code]}" for code in (0, 1)
    )
    done = "kept (--keep-duplicates)" if kept else "removed"
    return f"duplicates   {counts} share {K} letters, either strand, with a later split: {done}"


def _about_rows(rows: Rows, kept: np.ndarray) -> list[str]:
    is_peak = np.array([source == "peak" for source in rows.source])
    lines = []
    for code, split in enumerate(SPLITS):
        inside = kept[rows.split[kept] == code]
        peaks = int(is_peak[inside].sum())
        lines.append(
            f"{split:<12} {len(inside):,} rows: {peaks:,} peaks, {len(inside) - peaks:,} negatives"
        )
    if not all((rows.split[kept] == code).any() for code in range(len(SPLITS))):
        lines.append(
            "             finetune wants rows in all three: --validation and --test, or its own folds"
        )
    return lines
