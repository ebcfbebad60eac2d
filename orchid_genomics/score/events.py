"""Where a change may stand, and the windows around it that a model reads.

The trap: one deletion in a run of A can be written at every A of it. A score must not see which was
written, so an event covers the whole range over which the alignment may slide, and windows are laid
around that range.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Variant


@dataclass(frozen=True)
class Event:
    """Letters `start` to `end` (0-based, half-open) of a contig, the codes `ref`, become the codes
    `alt`.

    For an insertion or deletion the range holds every place where it could be written; `alt` is the
    whole range after the change. `kind` as in `Variant.kind`, `letters` the inserted letters, or
    the deleted ones of a deletion.
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
    def size(self) -> int:
        """Letters of the range, before or after the change, whichever is more."""
        return max(len(self.ref), len(self.alt))


def event(variant: Variant, genome: Genome, most: int = 1 << 14) -> Event:
    """The event of a variant whose letters are A, C, G or T and whose REF is the genome's.

    An insertion or deletion slides `most` letters to either side, at most.
    """
    short, kind = variant.trimmed(), variant.kind
    start, end = short.start, short.end
    if kind not in ("insertion", "deletion"):
        return Event(kind, short.contig, start, end, _codes(short.ref), _codes(short.alt))
    moved = DNA.encode(short.ref or short.alt) & CODE
    k = len(moved)
    size, left, right = 16, 16, 16  # the first look is at 64 letters, which is nearly always enough
    while size in (left, right) and size < most:
        size = min(4 * size, most)
        before, after = (
            _read(genome, short.contig, *place)
            for place in ((start - size, start), (end, end + size))
        )
        left = _run(np.concatenate([before, moved])[::-1], k)
        right = _run(np.concatenate([moved, after]), k)
    ref = np.concatenate(
        [before[len(before) - left :], DNA.encode(short.ref) & CODE, after[:right]]
    )
    joined = np.concatenate(
        [before[len(before) - left :], DNA.encode(short.alt) & CODE, after[:right]]
    )
    return Event(kind, short.contig, start - left, end + right, ref.tobytes(), joined.tobytes())


def around(
    genome: Genome, contig: str, start: int, end: int, inside: bytes, length: int
) -> np.ndarray:
    """A window (length,) of codes with `inside` in place of letters start to end, and as much on
    both sides.

    One or two N fill the end. The model is circular, so they stand between the window's two ends,
    opposite its centre: the reverse complement of the window is the window of the reverse
    complement, rolled, for even lengths too.
    """
    side = (length - 1 - len(inside)) // 2
    window = np.full(length, DNA.n, np.uint8)
    window[:side] = _read(genome, contig, start - side, start)
    window[side : side + len(inside)] = np.frombuffer(inside, np.uint8)
    window[side + len(inside) : 2 * side + len(inside)] = _read(genome, contig, end, end + side)
    return window


def swapped_ends(window_L: np.ndarray, share: int = 8) -> np.ndarray:
    """The window with its first and last eighth exchanged: what that moves at the centre is an
    effect of the ends.
    """
    size = len(window_L) // share
    return np.concatenate([window_L[-size:], window_L[size:-size], window_L[:size]])


def _run(letters: np.ndarray, period: int) -> int:
    """How many letters from the beginning repeat with a period: how far an event of that length
    slides.
    """
    same = (letters[:-period] == letters[period:]) & (letters[period:] < DNA.n)
    return int(np.argmin(same)) if not same.all() else len(same)


def _codes(letters: str) -> bytes:
    return (DNA.encode(letters) & CODE).tobytes()


def _read(genome: Genome, contig: str, start: int, end: int) -> np.ndarray:
    return genome.tokens(contig, start, end) & CODE if start < end else np.empty(0, np.uint8)
