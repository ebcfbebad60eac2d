"""Peaks become windows of one length, each centred on its summit, in whole-chromosome splits.

The trap: an even window has no middle letter. The summit is letter length // 2 of the sequence as
it is read, on either strand, so that mirroring the genome mirrors the windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import Bed
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import Interval
from orchid_genomics.sequence.interval import shorten, whole_number

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Elements:
    """Stranded windows of one length, each in a split; arrays are over windows (W,).

    `strand` is "+", "-" or "."; `split` indexes SPLITS; `name` is that of the peak; `dropped`
    counts, by reason, the peaks that gave none.
    """

    windows: Windows
    strand: np.ndarray
    split: np.ndarray
    name: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.windows)

    def keep(self, kept: np.ndarray, reason: str) -> "Elements":
        """The windows where `kept` (W,) holds; the others are counted."""
        gone = len(self) - int(kept.sum())
        dropped = self.dropped | ({reason: self.dropped.get(reason, 0) + gone} if gone else {})
        windows = self.windows.select(kept, reason)
        return replace(
            self,
            windows=windows,
            strand=self.strand[kept],
            split=self.split[kept],
            name=self.name[kept],
            dropped=dropped,
        )

    def tokens(self, i: int) -> np.ndarray:
        """Tokens (L,) of window `i` on its strand, N beyond the ends of its contig."""
        return self.windows.tokens(i, strand=str(self.strand[i]))

    @property
    def overhanging(self) -> int:
        """Windows that reach beyond the end of their contig, and read N there."""
        w = self.windows
        beyond = (w.start < 0) | (w.start + w.length > w.sizes[w.contig])
        return int((beyond & ~w.goes_round[w.contig]).sum())


def centre_on_peaks(bed: Bed, genome: Genome, length: int) -> Elements:
    """One window for every peak: around its summit where its record has one, else around its
    middle; all in training.

    Windows that are the same twice are kept once, and those without a known letter left out; both
    are counted.
    """
    index = {name: code for code, name in enumerate(genome.contigs)}
    contig = np.fromiter((index[interval.contig] for interval in bed), np.int32, len(bed))
    strand = np.array([interval.strand for interval in bed], "U1")
    pairs = zip(bed, bed.summits(), strict=True)
    starts = (window(interval, length, summit).start for interval, summit in pairs)
    start = np.fromiter(starts, np.int64, len(bed))
    windows = Windows(genome, contig, start, length)
    # On a contig without ends a window begins at one of its letters, and has one place.
    around = windows.goes_round[contig]
    start[around] %= windows.sizes[contig][around]
    windows = Windows(genome, contig, start, length)
    names = np.array([interval.name for interval in bed], object)
    elements = Elements(windows, strand, np.zeros(len(bed), np.int8), names)
    keys = list(zip(contig.tolist(), start.tolist(), strand.tolist(), strict=True))
    seen: dict[tuple, int] = {}
    first_of = np.array([seen.setdefault(key, row) == row for row, key in enumerate(keys)], bool)
    elements = elements.keep(first_of, "the same window as another peak")
    return elements.keep(elements.windows.composition()[0] > 0, "no known letter")


def window(interval: Interval, length: int, summit: int | None = None) -> Interval:
    """The `length` letters around the summit (0-based on its contig) or the middle of an interval.

    The middle of an even interval is the later of its two letters, and the summit is letter
    length // 2 of the window, both as read on the strand: see the module.
    """
    half = len(interval) // 2
    if interval.strand == "-":
        letter = interval.end - 1 - half if summit is None else summit
        start = letter - (length - 1) // 2
    else:
        letter = interval.start + half if summit is None else summit
        start = letter - length // 2
    return replace(interval, start=start, end=start + length)


@dataclass(frozen=True)
class SplitPlan:
    """Places of validation and test (whole contigs, or stretches of one); all else is training."""

    held_out: dict[str, tuple[Interval, ...]]

    @classmethod
    def parse(cls, genome: Genome, validation: str, test: str) -> "SplitPlan":
        """From comma-separated contigs or stretches as people write them:
        ``chr8,chr20:40000001-48000000`` (1-based).

        Raises InputError for an unknown contig, a stretch off its contig, or letters in both.
        """
        held: dict[str, tuple[Interval, ...]] = {}
        for split, text in (("validation", validation), ("test", test)):
            words = filter(None, text.split(","))
            held[split] = tuple(_stretch(genome, word, split) for word in words)
        for one in held["validation"]:
            for other in held["test"]:
                if one.overlaps(other):
                    message = f"{one} (1-based) is in `test` too"
                    raise InputError("validation", message, "disjoint splits")
        return cls(held)

    def of(self, windows: Windows) -> np.ndarray:
        """The split of each window (W,), -1 where it reaches over a border between splits; contig
        ends are none.
        """
        split = np.zeros(len(windows), np.int8)
        # What hangs over the end of a contig reads N, and belongs to no split; what runs over the
        # origin of one without ends is two stretches, and both must be inside.
        row, start, end = windows.letters_read()
        for code in (1, 2):
            for held in self.held_out[SPLITS[code]]:
                here = windows.contig[row] == windows.names.index(held.contig)
                touches = here & (start < held.end) & (end > held.start)
                beyond = here & ((start < held.start) | (end > held.end))
                touching, outside = np.zeros((2, len(windows)), bool)
                touching[row[touches]], outside[row[beyond]] = True, True
                split[touching] = np.where(outside[touching], -1, code)
        return split

    def into(self, elements: Elements) -> Elements:
        """The elements with their splits; those over a border are left out and counted."""
        split = self.of(elements.windows)
        return replace(elements, split=split).keep(
            split >= 0, "reaches over a border between splits"
        )


def _stretch(genome: Genome, word: str, where: str) -> Interval:
    name, colon, range_ = word.strip(), "", ""
    if ":" in name and name not in genome.contigs:
        # a contig may have a colon in its name, as those of HLA do
        name, colon, range_ = name.rpartition(":")
    contig = genome.contig(name.strip(), where)
    size = genome.contigs[contig]
    if not colon:
        return Interval(contig, 0, size)
    words = range_.split("-")
    first, last = (whole_number(words[0]), whole_number(words[-1]))
    if len(words) != 2 or first is None or last is None or not 0 < first <= last <= size:
        message = f"{shorten(word.strip())!r} is no stretch of {contig} ({size:,} letters)"
        advice = f"a contig, or CONTIG:FIRST-LAST, 1-based, such as {contig}:1-{size // 2}"
        raise InputError(where, message, advice)
    return Interval(contig, first - 1, last)


def without(elements: Elements, excluded: Sequence[Interval]) -> Elements:
    """The elements that touch none of the excluded places."""
    kept = elements.windows.without(Regions.from_intervals(excluded), reason="")
    left = set(zip(kept.contig.tolist(), kept.start.tolist(), strict=True))
    own = zip(elements.windows.contig.tolist(), elements.windows.start.tolist(), strict=True)
    mask = np.array([window in left for window in own], bool)
    return elements.keep(mask, "touches an excluded place")


def refuse_no_training(elements: Elements, path: object) -> None:
    """Raise InputError when no training window is left, saying why."""
    if not (elements.split == 0).any():
        why = listed([f"{count:,} {reason}" for reason, count in elements.dropped.items()])
        message = f"no peak is left to train on (dropped: {why})"
        raise InputError(path, message, "peaks outside `validation` and `test`")
