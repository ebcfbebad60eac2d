"""Structural variants as VCF writes them, as letters of the genome that go, stand twice or turn.

<DEL>, <DUP> and <INV> with END or SVLEN, and breakends whose mate lies on the same contig. The
trap: POS of a symbolic ALT is the letter *before* the event, and that of a breakend is part of what
is joined. A breakend says one adjacency alone: read here is the least change that makes it, so that
those of an inversion are each read as the whole of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Variant
from orchid_genomics.sequence.interval import whole_number

_SYMBOLIC = re.compile(r"<(DEL|DUP|INV)(:[^<>]*)?>")
_ONE_AFTER_ANOTHER = ("", ":TANDEM")  # other duplications stand nobody says where
_BREAKEND = re.compile(r"([ACGTN]*)([\[\]])([^\[\]]+):(\d+)([\[\]])([ACGTN]*)", re.I)
_KINDS = {"DEL": "deletion", "DUP": "duplication", "INV": "inversion"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Letters `start` to `end` (0-based, half-open) of the contig; `turned`: of the other
    strand.
    """

    start: int
    end: int
    turned: bool = False

    def __len__(self) -> int:
        return self.end - self.start


Pieces = tuple[str | Stretch, ...]


@dataclass(frozen=True, slots=True)
class Rearrangement:
    """Letters `start` to `end` (0-based, half-open) of a contig become `pieces`, one after another.

    Attributes: `kind` deletion, duplication or inversion; `place` and `ref` the record's own
    (0-based), which the genome must have; `pieces` letters, or stretches of the same contig.
    """

    kind: str
    contig: str
    place: int
    ref: str
    start: int
    end: int
    pieces: Pieces

    def __str__(self) -> str:
        """As printed for people: 1-based, both ends included."""
        return f"{self.contig}:{self.start + 1:,}-{self.end:,} {self.kind}"

    @property
    def size(self) -> int:
        """Letters of the range, before or after the change, whichever is more."""
        return max(self.end - self.start, sum(map(len, self.pieces)))

    @property
    def recorded(self) -> Variant:
        """REF where the record has it, as a deletion: what the genome must agree to."""
        return Variant(self.contig, self.place, self.ref, "")

    def spell(self, genome: Genome) -> Variant:
        """The same change in letters, those before it the genome's."""
        after = "".join(
            each if isinstance(each, str) else _read(genome, self.contig, each)
            for each in self.pieces
        )
        before = _read(genome, self.contig, Stretch(self.start, self.end))
        return Variant(self.contig, self.start, before, after)


def read_rearrangement(
    contig: str,
    place: int,
    ref: str,
    alts: Sequence[str],
    number: int,
    *,
    info: bytes,
    mate_contig: str,
) -> Rearrangement | None:
    """ALT `number` of a record as letters of the genome; None where it does not say which.

    Parameters
    ----------
    contig : the genome's name of the record's contig.
    place : of the record, 0-based.
    ref, alts, info : as the record has them.
    mate_contig : the contig as the file calls it, which a breakend's mate must be on.
    """
    alt = alts[number]
    symbolic = _SYMBOLIC.fullmatch(alt)
    if symbolic is None:
        return _read_breakend(contig, place, ref, alt, mate_contig)
    word, subtype = symbolic[1], (symbolic[2] or "").upper()
    if word == "DUP" and subtype not in _ONE_AFTER_ANOTHER:
        return None
    start, end = place + 1, _end_of(place, info, number, len(alts))
    if end is None:
        return None
    own = Stretch(start, end, turned=word == "INV")
    pieces: Pieces = () if word == "DEL" else (own,)
    # A copy stands beside the letters that it is of, which stay.
    last = start if word == "DUP" else end
    return Rearrangement(_KINDS[word], contig, place, ref, start, last, pieces)


def _end_of(place: int, info: bytes, number: int, count: int) -> int | None:
    """The letter after the last one of a symbolic ALT, 0-based; None where nothing says it.

    END is of the whole record, so of several ALTs each has its SVLEN.
    """
    fields = dict(word.partition("=")[::2] for word in info.decode("latin-1").split(";"))
    end = whole_number(fields.get("END", ""))
    lengths = fields.get("SVLEN", "").split(",")
    length = whole_number(lengths[number]) if len(lengths) == count else None
    # Deletions are written with a minus in older versions.
    by_length = place + 1 + abs(length) if length else None
    # END is 1-based and included, which is the same number.
    by_end = end if end is not None and end > place + 1 else None
    return (by_end or by_length) if count == 1 else by_length


def _read_breakend(
    contig: str, place: int, ref: str, alt: str, mate_contig: str
) -> Rearrangement | None:
    """A breakend with its mate on the same contig; None for others."""
    match = _BREAKEND.fullmatch(alt)
    # Letters stand on one side of the brackets, which are alike.
    if match is None or match[2] != match[5] or bool(match[1]) == bool(match[6]):
        return None
    mate, after = int(match[4]) - 1, place + len(ref)
    if match[3] != mate_contig or place <= mate < after:
        return None
    begins = bool(match[1])
    own = _own_letters(match[1] or match[6], place if begins else after - 1, begins)
    if begins == (match[2] == "["):
        kind, start, end, pieces = _joined(place, after, mate, own, begins)
    else:
        kind = "inversion"
        start, end, pieces = _turned(place, after, mate, own, begins)
    full = tuple(piece for piece in pieces if len(piece))
    return Rearrangement(kind, contig, place, ref, start, end, full)


def _own_letters(letters: str, anchor: int, begins: bool) -> Pieces:
    """The letters of a breakend; an N where REF's own letter stands is the genome's."""
    text = letters.upper()
    known = Stretch(anchor, anchor + 1)
    if begins:
        return (known, text[1:]) if text[0] == "N" else (text,)
    return (text[:-1], known) if text[-1] == "N" else (text,)


def _joined(
    place: int, after: int, mate: int, own: Pieces, begins: bool
) -> tuple[str, int, int, Pieces]:
    """t[p[ (`begins`) and ]p]t, of one strand: what lies between goes, or stands twice."""
    if begins and mate > place:
        return "deletion", place, mate, own
    if begins:
        return "duplication", place, after, (*own, Stretch(mate, after))
    if mate < place:
        return "deletion", mate + 1, after, own
    return "duplication", mate + 1, mate + 1, (*own, Stretch(after, mate + 1))


def _turned(
    place: int, after: int, mate: int, own: Pieces, begins: bool
) -> tuple[int, int, Pieces]:
    """t]p] (`begins`) and [p[t, of both strands: what lies between is turned, up to the two ends
    that are joined.
    """
    if begins and mate > place:
        return place, mate + 1, (*own, Stretch(after, mate + 1, turned=True))
    if begins:
        return mate + 1, after, _turn((Stretch(mate + 1, place), *own))
    if mate > place:
        return place, mate, _turn((*own, Stretch(after, mate)))
    return mate, after, (Stretch(mate, place, turned=True), *own)


def _turn(pieces: Pieces) -> Pieces:
    """The same on the other strand."""
    turned: list[str | Stretch] = []
    for piece in reversed(pieces):
        if isinstance(piece, str):
            turned.append(DNA.decode(DNA.reverse_complement(DNA.encode(piece) & CODE)))
        else:
            turned.append(replace(piece, turned=not piece.turned))
    return tuple(turned)


def _read(genome: Genome, contig: str, stretch: Stretch) -> str:
    if not len(stretch):
        return ""
    tokens = genome.tokens(contig, stretch.start, stretch.end) & CODE
    if stretch.turned:
        tokens = DNA.reverse_complement(tokens)
    return DNA.decode(tokens)
