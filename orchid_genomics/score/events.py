"""Where a change may stand, and the windows around it that a model reads.

The trap: one deletion in a run of A can be written at every A of it. A score must not see which was
written, so an event covers the whole range over which the alignment may slide, and windows are laid
around that range.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Variant

_FIRST_LOOK = 64  # letters on each side in which a sliding event nearly always ends
_FARTHEST = 1 << 14  # letters that an event may slide, where nobody says


@dataclass(frozen=True)
class Event:
    """Letters `start` to `end` (0-based, half-open) of a contig, the codes `ref`, become `alt`.

    For an insertion or deletion the range holds every place where it could be written; `alt` is the
    whole range after the change. `kind` is as in `Variant.kind`.
    """

    kind: str
    contig: str
    start: int
    end: int
    ref: bytes
    alt: bytes

    @cached_property
    def changed(self) -> tuple[int, ...]:
        """Offsets in the range whose letter changes, for SNV and MNV."""
        return tuple(i for i, (a, b) in enumerate(zip(self.ref, self.alt, strict=True)) if a != b)

    @property
    def is_substitution(self) -> bool:
        """Whether each letter of the range stands for one that was there."""
        return self.kind in ("SNV", "MNV")

    @property
    def haplotypes(self) -> tuple["Haplotype", "Haplotype"]:
        """What the reference and the alternate window show."""
        return (
            Haplotype(self.contig, self.start, self.end, self.ref),
            Haplotype(self.contig, self.start, self.end, self.alt),
        )

    @property
    def size(self) -> int:
        """Letters of the range, before or after the change, whichever is more."""
        return max(len(self.ref), len(self.alt))


class Haplotype(NamedTuple):
    """A contig on which the codes `inside` stand in place of letters `start` to `end`."""

    contig: str
    start: int
    end: int
    inside: bytes


def find_event(variant: Variant, genome: Genome, farthest: int = _FARTHEST) -> Event:
    """The event of a variant whose letters are A, C, G or T and whose REF is the genome's.

    An insertion or deletion slides `farthest` letters to either side, at most.
    """
    short, kind = variant.trimmed(), variant.kind
    if kind not in ("insertion", "deletion"):
        ref, alt = _codes(short.ref), _codes(short.alt)
        return Event(kind, short.contig, short.start, short.end, ref.tobytes(), alt.tobytes())
    moved = _codes(short.ref or short.alt)
    reach = min(_FIRST_LOOK, farthest)
    while True:
        before = _read(genome, short.contig, short.start - reach, short.start)
        after = _read(genome, short.contig, short.end, short.end + reach)
        left = _repeat_length(np.concatenate([before, moved])[::-1], len(moved))
        right = _repeat_length(np.concatenate([moved, after]), len(moved))
        # What slid as far as was looked may slide farther.
        if reach == farthest or reach not in (left, right):
            break
        reach = min(4 * reach, farthest)
    flanks = before[len(before) - left :], after[:right]
    ref, alt = (
        np.concatenate([flanks[0], _codes(letters), flanks[1]])
        for letters in (short.ref, short.alt)
    )
    start, end = short.start - left, short.end + right
    return Event(kind, short.contig, start, end, ref.tobytes(), alt.tobytes())


def reads_whole(genome: Genome, contig: str, length: int) -> bool:
    """Whether a window of `length` letters holds a whole circular contig.

    Such a contig is read as one window without ends: no letter twice, and none that is not there.
    """
    return contig in genome.circular and genome.contigs[contig] <= length


def sides_of(genome: Genome, haplotype: Haplotype, length: int) -> tuple[int, int]:
    """Letters of the genome that stand on the left and on the right of a haplotype in a window."""
    contig, start, end, inside = haplotype
    if reads_whole(genome, contig, length):
        rest = genome.contigs[contig] - (end - start)
        return rest // 2, rest - rest // 2
    side = (length - 1 - len(inside)) // 2
    return side, side


def window_around(genome: Genome, haplotype: Haplotype, length: int) -> np.ndarray:
    """A window (length,) of codes with a haplotype in its middle, and as much genome on both sides.

    One or two N fill the end. The model is circular, so they stand between the window's two ends,
    opposite its centre: the reverse complement of the window is the window of the reverse
    complement, rolled, for even lengths too.

    A circular contig that is no longer than the window is read whole: the window is then as long as
    the contig is with the haplotype, and nothing fills it.
    """
    contig, start, end, inside = haplotype
    left, right = sides_of(genome, haplotype, length)
    before = _read(genome, contig, start - left, start)
    own = np.frombuffer(inside, np.uint8)
    after = _read(genome, contig, end, end + right)
    letters = np.concatenate([before, own, after])
    if reads_whole(genome, contig, length):
        return letters
    window = np.full(length, DNA.n, np.uint8)
    window[: len(letters)] = letters
    return window


def swap_ends(window_L: np.ndarray, share: int = 8) -> np.ndarray:
    """The window with its first and last eighth exchanged.

    What that moves at the centre is an effect of the ends alone.
    """
    size = len(window_L) // share
    return np.concatenate([window_L[-size:], window_L[size:-size], window_L[:size]])


def _repeat_length(letters: np.ndarray, period: int) -> int:
    """How many letters after the first `period` repeat with it: how far an event of it slides."""
    # An N repeats nothing: nobody knows what it stands for.
    same = (letters[:-period] == letters[period:]) & (letters[period:] < DNA.n)
    return int(np.argmin(same)) if not same.all() else len(same)


def _codes(letters: str) -> np.ndarray:
    return DNA.encode(letters) & CODE


def _read(genome: Genome, contig: str, start: int, end: int) -> np.ndarray:
    return genome.tokens(contig, start, end) & CODE if start < end else np.empty(0, np.uint8)
