"""Peaks become a labelled set that `finetune` reads, and the report says how well its negatives
match.

The trap: whatever else differs between the labels is what a model learns. So GC, repeats and N of
both are printed, and rows that a later split would give away are taken out and counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from orchid_genomics.data.labelled.duplicates import K, near_duplicates
from orchid_genomics.data.negatives import (
    Agreement,
    agreement,
    composition,
    match_elements,
    shuffle_elements,
)
from orchid_genomics.data.peaks import (
    SPLITS,
    Elements,
    SplitPlan,
    centre_on_peaks,
    refuse_no_training,
    without,
)
from orchid_genomics.data.splits import read_regions
from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.bed import Bed, read_bed
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.circular import mark_circular
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.feature import around_origin
from orchid_genomics.genome.regions import Regions
from orchid_genomics.genome.signal import Track, mean_of
from orchid_genomics.jobs.output import kind_of, require_no_input
from orchid_genomics.jobs.summary import value_sums
from orchid_genomics.sequence import DNA, Interval

HEADER = ("#chrom", "start", "end", "strand", "label", "split", "sequence", "source", "name")
Negatives = Literal["matched", "shuffled"]
SignalMean = Literal["mean0", "mean"]
_SOURCE = {"matched": "matched", "shuffled": "dinucleotide-shuffled"}
_EARLIER = tuple(enumerate(SPLITS[:2]))  # splits that a later one may share letters with
_APART = 0.1  # a gap of two distributions beyond which they are said to differ
_INDENT = " " * 13


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
        """The split of every row, indexing SPLITS."""
        return np.concatenate([each.split for each in self.elements])

    def places(self) -> list[tuple[int, int, int, str, str]]:
        """Contig number, start, end (cut at the contig's ends, or beyond the last letter of one
        without ends), strand and name of every row.
        """
        places: list[tuple[int, int, int, str, str]] = []
        for each in self.elements:
            w = each.windows
            end = w.start + w.length
            end = np.where(w.goes_round[w.contig], end, np.minimum(end, w.sizes[w.contig]))
            start = np.maximum(w.start, 0)
            columns = (w.contig, start, end, each.strand, each.name)
            places += zip(*(column.tolist() for column in columns), strict=True)
        return places


@dataclass(frozen=True)
class SetReport:
    """What a labelled set came to: lines for a person, and the same as JSON values."""

    lines: list[str]
    values: dict[str, Any]


class Compared(NamedTuple):
    """One share of letters in peaks and negatives of a split."""

    split: str
    agreement: Agreement

    @property
    def is_matched(self) -> bool:
        """Whether its two distributions are no farther apart than small splits are by chance."""
        return self.agreement.gap <= max(_APART, 2 * self.agreement.chance)

    def values(self) -> dict[str, Any]:
        """For the report as JSON."""
        feature, peaks, negatives, gap, _ = astuple(self.agreement)
        shares = {"peaks": peaks, "negatives": negatives, "gap": gap}
        return {"split": self.split, "feature": feature, **shares, "matched": self.is_matched}


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
    signal_mean: SignalMean = "mean0",
    keep_duplicates: bool = False,
    seed: int = 0,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> SetReport:
    """Write a labelled set and give its report.

    The same inputs and seed give the same bytes.

    Parameters
    ----------
    peaks : str or Path
        BED, narrowPeak or IDR. Each window is centred on the summit of its record, or on the middle
        where the record has none.
    genome : str or Path
        A FASTA. What lies on contigs that it lacks is left out and said by a GenomeNote.
    out : str or Path
        Ends in .tsv or .tsv.gz.
    length : int
        Letters of a window.
    negatives : {"matched", "shuffled"}
        Other windows of the genome, or the peaks' own letters in another order.
    ratio : int
        Negatives for each peak; labels are 1 and 0.
    exclude : sequence of str or Path
        BEDs that no window may touch.
    validation, test : str
        Comma-separated contigs, or stretches CONTIG:FIRST-LAST (1-based).
    signal : str or Path, optional
        A bigWig or bedGraph: labels are its mean over each window.
    signal_mean : {"mean0", "mean"}
        Whether letters of which the signal says nothing count as zero or not at all.
    keep_duplicates : bool
        Whether rows stay that share letters with a later split.
    seed : int
        Decides which negatives are drawn.
    aliases : str or Path, optional
        Other names of the genome's contigs; see `genome.contigs.read_aliases`.
    circular : sequence of str or Path
        Contigs that are read round their origin, or annotations that say which are.

    Raises
    ------
    InputError
        For files, contigs and options that do not fit.
    """
    out = Path(out)
    kind_of(out, ("tsv.gz", "tsv"))
    require_no_input(out, (peaks, genome, signal, aliases, *exclude))
    if length < K:
        raise InputError("length", f"windows of {length} nt", f"{K} nt or more")
    if signal is not None and negatives == "shuffled" and ratio:
        raise InputError(
            "negatives", "shuffled letters have no signal", "`negatives` matched, or `ratio` 0"
        )
    fasta = Genome(genome, aliases=aliases)
    mark_circular(fasta, circular, "circular")
    bed = read_bed(peaks, fasta)
    plan = SplitPlan.parse(fasta, validation, test)
    track = None if signal is None else Track(signal, fasta)
    excluded = _as_they_lie(
        fasta, (place for path in exclude for place in read_regions(Path(path), fasta))
    )
    elements = plan.into(without(centre_on_peaks(bed, fasta, length), excluded))
    _refuse_empty_split(elements, bed, plan)
    # Whole peaks, also those that gave no window: no negative may lie on one.
    taken = Regions.from_intervals([*_as_they_lie(fasta, bed), *excluded])
    rows = _with_negatives(elements, negatives, ratio, taken, plan, seed)
    if track is not None:
        rows.label = _signal(rows, track, signal_mean)
    twin = near_duplicates(rows.tokens, rows.split)
    kept = np.flatnonzero(~twin | keep_duplicates)
    _write(out, fasta, rows, kept)
    compared = _compare_letters(rows, kept, len(elements)) if ratio else []
    counts = _count_rows(rows, kept)
    lines = [*_about_peaks(elements, bed)]
    lines += _about_negatives(elements, rows, compared, negatives, ratio)
    lines += _about_labels(rows, signal, signal_mean)
    lines += [_about_twins(rows, twin, keep_duplicates), *_about_rows(counts)]
    values = {
        "out": str(out),
        "length": length,
        "peaks": {
            "records": len(bed),
            "summits": sum(summit is not None for summit in bed.summits()),
            "windows": len(elements),
            "dropped": dict(elements.dropped),
            "overhanging": elements.overhanging,
        },
        "negatives": {
            "kind": negatives,
            "wanted": ratio * len(elements),
            "windows": len(rows.tokens) - len(elements),
            "letters": [each.values() for each in compared],
        },
        "signal": None if signal is None else value_sums(rows.label),
        "duplicates": {split: int((twin & (rows.split == code)).sum()) for code, split in _EARLIER},
        "duplicates_kept": keep_duplicates,
        "rows": counts,
    }
    return SetReport(lines, values)


def _as_they_lie(genome: Genome, places: Iterable[Interval]) -> list[Interval]:
    """Places in the file: those over the origin of a contig without ends are two."""
    parts = []
    for place in places:
        around = place.contig in genome.circular
        parts += around_origin(place, genome.contigs[place.contig]) if around else [place]
    return parts


def _refuse_empty_split(elements: Elements, bed: Bed, plan: SplitPlan) -> None:
    refuse_no_training(elements, bed.path)
    names = list(dict.fromkeys(interval.contig for interval in bed))
    for code in (1, 2):
        if plan.held_out[SPLITS[code]] and not (elements.split == code).any():
            message = f"contigs with peaks: {listed(names)}"
            raise InputError(SPLITS[code], "holds no window of a peak", message)


def _with_negatives(
    elements: Elements, kind: Negatives, ratio: int, taken: Regions, plan: SplitPlan, seed: int
) -> Rows:
    tokens = [elements.tokens(i) for i in range(len(elements))]
    rows = Rows([elements], tokens, np.ones(len(elements)), ["peak"] * len(elements))
    if not ratio:
        return rows
    if kind == "shuffled":
        w, of = elements.windows, np.repeat(np.arange(len(elements)), ratio)
        windows = Windows(w.genome, w.contig[of], w.start[of], w.length)
        nameless = np.full(len(of), "", object)
        other = Elements(windows, elements.strand[of], elements.split[of], nameless)
        rows.tokens = tokens + shuffle_elements(elements, ratio, seed)
    else:
        other = match_elements(elements, taken, plan, ratio, seed)
        rows.tokens = tokens + [other.tokens(i) for i in range(len(other))]
    rows.elements.append(other)
    rows.label = np.concatenate([rows.label, np.zeros(len(other))])
    rows.source += [_SOURCE[kind]] * len(other)
    return rows


def _signal(rows: Rows, track: Track, signal_mean: SignalMean) -> np.ndarray:
    genome = rows.elements[0].windows.genome
    names, covered = tuple(genome.contigs), signal_mean == "mean"
    means = np.zeros(len(rows.tokens))
    for row, (contig, start, end, *_) in enumerate(rows.places()):
        parts = _as_they_lie(genome, [Interval(names[contig], start, end)])
        values = [track.values(part.contig, part.start, part.end) for part in parts]
        means[row] = mean_of(np.concatenate(values), covered)
    unsaid = int(np.isnan(means).sum())
    if unsaid:
        message = f"says nothing of any letter of {unsaid:,} of {len(means):,} windows"
        raise InputError(track.path, message, "`signal_mean` mean0 (nothing is zero)")
    return means


def _write(out: Path, genome: Genome, rows: Rows, kept: np.ndarray) -> None:
    places = rows.places()

    def rank(row: int) -> tuple[int, int, int, bool, int]:
        contig, start, end, _, _ = places[row]
        # The row comes last: rows of one place keep their order, so the bytes are always the same.
        return contig, start, end, rows.source[row] != "peak", row

    with writable(out), atomic_file(out) as temporary:
        temporary.touch()
        packed = out.suffix == ".gz"
        with open_bgzip(temporary) if packed else temporary.open("wb") as file:
            file.write(("\t".join(HEADER) + "\n").encode())
            for words in _words(genome, rows, sorted(kept.tolist(), key=rank)):
                file.write(("\t".join(map(str, words)) + "\n").encode())


def _words(genome: Genome, rows: Rows, order: list[int]) -> Iterator[tuple[object, ...]]:
    """The columns of HEADER for these rows."""
    names, places, split = tuple(genome.contigs), rows.places(), rows.split
    for row in order:
        contig, start, end, strand, name = places[row]
        label = f"{rows.label[row]:.7g}"
        letters = DNA.decode(rows.tokens[row])
        where = (names[contig], start, end, strand)
        yield (*where, label, SPLITS[split[row]], letters, rows.source[row], name or ".")


def _about_peaks(elements: Elements, bed: Bed) -> list[str]:
    summits = sum(summit is not None for summit in bed.summits())
    around = "their middles"
    if summits:
        around = "their summits (column 10)"
    if 0 < summits < len(bed):
        middles = len(bed) - summits
        around += f" or, {middles:,} without one, their middles"
    length = elements.windows.length
    lines = [f"peaks        {len(bed):,} records, windows of {length:,} nt around {around}"]
    if elements.dropped:
        each = "; ".join(f"{count:,} {reason}" for reason, count in elements.dropped.items())
        lines.append(f"dropped      {each}")
    if elements.overhanging:
        count = f"{elements.overhanging:,}"
        lines.append(f"contig ends  {count} windows reach beyond their contig: kept, N there")
    return lines


def _about_negatives(
    elements: Elements, rows: Rows, compared: Sequence[Compared], kind: Negatives, ratio: int
) -> list[str]:
    if not ratio:
        return ["negatives    none (--ratio 0)"]
    count, wanted = len(rows.tokens) - len(elements), ratio * len(elements)
    how = {
        "matched": "genome windows matched on GC, soft-masked and N, from the contigs and split of "
        "their peak",
        "shuffled": "dinucleotide-shuffled peaks (their letters in another order: no genome "
        "sequence)",
    }
    lines = [f"negatives    {count:,} {how[kind]}"]
    if count < wanted:
        fewer = f"{wanted - count:,} fewer than --ratio {ratio} asks for"
        lines.append(f"{_INDENT}{fewer}: no window was left to match")
    lines += _about_letters(compared)
    if not all(each.is_matched for each in compared):
        advice = "a lower --ratio, a shorter --length"
        lines.append(f"{_INDENT}a classifier can tell by that share alone: {advice}")
    return lines


def _compare_letters(rows: Rows, kept: np.ndarray, peaks: int) -> list[Compared]:
    """How well negatives match what is written of the peaks, which are the first rows."""
    shares = np.array([composition(rows.tokens[row]) for row in kept])
    is_peak, of = kept < peaks, rows.split[kept]
    compared = []
    for code, split in enumerate(SPLITS):
        mine = is_peak & (of == code)
        theirs = ~is_peak & (of == code)
        if mine.any() and theirs.any():
            compared += [Compared(split, each) for each in agreement(shares[mine], shares[theirs])]
    return compared


def _about_letters(compared: Sequence[Compared]) -> list[str]:
    head = "share of letters    peaks  negatives  largest gap of the distributions (KS)"
    lines = [_INDENT + head]
    for each in compared:
        found = each.agreement
        means = f"{found.mean:.4f}     {found.other:.4f}"
        line = f"{_INDENT}{each.split:<10} {found.feature:<11} {means}  {found.gap:.4f}"
        lines.append(f"{line}{'' if each.is_matched else '  NOT MATCHED'}")
    return lines


def _about_labels(rows: Rows, signal: str | Path | None, signal_mean: SignalMean) -> list[str]:
    if signal is None:
        return []
    how = {
        "mean": "mean over the letters that it covers",
        "mean0": "mean over each window, nothing counting as zero",
    }
    label = rows.label
    spread = f"{label.min():.4g} to {label.max():.4g}, mean {label.mean():.4g}"
    return [f"labels       {Path(signal).name}: {how[signal_mean]}; {spread}"]


def _about_twins(rows: Rows, twin: np.ndarray, kept: bool) -> str:
    counts = ", ".join(
        f"{int((twin & (rows.split == code)).sum()):,} of {split}" for code, split in _EARLIER
    )
    done = "kept (--keep-duplicates)" if kept else "removed"
    return f"duplicates   {counts} share {K} letters, either strand, with a later split: {done}"


def _count_rows(rows: Rows, kept: np.ndarray) -> dict[str, dict[str, int]]:
    """Peaks and negatives that are written of each split."""
    is_peak = np.array([source == "peak" for source in rows.source])
    counts = {}
    for code, split in enumerate(SPLITS):
        inside = kept[rows.split[kept] == code]
        peaks = int(is_peak[inside].sum())
        counts[split] = {"peaks": peaks, "negatives": len(inside) - peaks}
    return counts


def _about_rows(counts: dict[str, dict[str, int]]) -> list[str]:
    lines = []
    for split, each in counts.items():
        words = f"{each['peaks']:,} peaks, {each['negatives']:,} negatives"
        lines.append(f"{split:<12} {sum(each.values()):,} rows: {words}")
    if not all(sum(each.values()) for each in counts.values()):
        advice = "--validation and --test, or its own folds"
        lines.append(f"{_INDENT}finetune wants rows in all three: {advice}")
    return lines
