"""GenBank by Biopython; places in the file are 1-based and closed, here 0-based half-open."""

import io
import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from orchid_genomics.errors import InputError, reason
from orchid_genomics.genome.feature import Feature, Records
from orchid_genomics.sequence import Interval
from orchid_genomics.sequence.interval import shorten

_NAMES = ("locus_tag", "gene", "protein_id")
# Biopython asserts, indexes and calls methods of None where a line is not what it should be.
_BIOPYTHON = (
    ValueError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


def read_genbank(path: Path, lines: Iterable[tuple[int, str]]) -> Records:
    """The features and letters of every record of numbered lines.

    Raises InputError for a file that Biopython cannot read, a record without its sequence, and two
    records of one name. A feature without a span of letters, such as the site ``5.12``, is left out
    and noted.
    """
    # Here and not at the top: a third of a second to import.
    from Bio import BiopythonWarning, SeqIO
    from Bio.Seq import UndefinedSequenceError

    records, spanless = Records(), 0
    identity = ""
    try:
        with warnings.catch_warnings():
            # Biopython warns of each feature that it cannot read; we count them and say it once.
            warnings.simplefilter("ignore", BiopythonWarning)
            for record in SeqIO.parse(_Lines(lines), "genbank"):
                identity = record.id
                if identity in records.lengths:
                    raise InputError(path, f"two records are named {identity!r}", "one name each")
                records.lengths[identity] = len(record.seq)
                records.sequences[identity] = str(record.seq)
                if record.annotations.get("topology") == "circular":
                    records.circular.add(identity)
                for part in record.features:
                    features = list(_features(part, identity, len(record.seq)))
                    if any(each.interval.end > len(record.seq) for each in features):
                        # Only a circle has an origin to run over, whatever LOCUS says.
                        records.circular.add(identity)
                    records.features += features
                    spanless += not features
    except UndefinedSequenceError:
        raise InputError(
            path, f"record {identity} has no sequence", "GenBank (full), with an ORIGIN"
        ) from None
    except _BIOPYTHON as error:
        message = f"is no GenBank file ({shorten(reason(error), 100)})"
        raise InputError(path, message, "LOCUS to //") from None
    if spanless:
        records.notes.append(f"{spanless:,} features left out that name no span of letters")
    return records


class _Lines(io.TextIOBase):
    """Numbered lines as the open text that Biopython wants; read once, so that a pipe will do."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)

    def read(self, size: int | None = -1) -> str:
        """The rest; Biopython asks for none of it, to see that it is text."""
        return "" if size == 0 else "".join(self)

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]  # whole lines alone
        numbered = next(self._lines, None)
        return "" if numbered is None else numbered[1] + "\n"


def _features(part: Any, contig: str, length: int) -> Iterator[Feature]:
    """A feature of Biopython: every piece of a CDS or of one without a strand; else its whole
    span.
    """
    if part.location is None:
        return
    attributes = {key: values[0] for key, values in part.qualifiers.items() if values}
    name = next((attributes[key] for key in _NAMES if key in attributes), "")
    whole, pieces = part.location, list(part.location.parts)
    spans = [(int(whole.start), int(whole.end), whole.strand, whole.ref)]
    # No strand for the whole means that the pieces lie on both, as in trans-splicing.
    if part.type == "CDS" or whole.strand is None:
        spans = [(int(each.start), int(each.end), each.strand, each.ref) for each in pieces]
    elif len(pieces) > 1 and int(whole.start) == 0 and int(whole.end) == length:
        # over the origin: the widest gap between its pieces is what lies outside it
        ordered = sorted((int(each.start), int(each.end)) for each in pieces)
        gaps = [after[0] - before[1] for before, after in pairwise(ordered)]
        first = gaps.index(max(gaps)) + 1
        spans = [(ordered[first][0], length + ordered[first - 1][1], whole.strand, None)]
    for start, end, strand, other in spans:
        # a piece of another record ("J00194.1:5..12") is no letter of this one
        if start < end and other in (None, contig):
            sign = {1: "+", -1: "-"}.get(strand, ".")
            interval = Interval(contig, start, end, strand=sign, name=name)
            yield Feature(part.type, interval, attributes)
