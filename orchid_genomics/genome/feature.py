"""What GFF3 and GenBank have in common: features with places, names and attributes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchid_genomics.sequence import Interval


@dataclass(frozen=True)
class Feature:
    """One line of an annotation.

    Attributes
    ----------
    kind : str
        Such as "gene", "mRNA" or "CDS".
    interval : Interval
        Where, 0-based half-open, named by its gene. On a circular contig it may reach beyond the
        last letter, and goes on at the first.
    attributes : mapping
        The first value of each.
    line : int
        Its line in the file, from 1; 0 where it is not known.
    """

    kind: str
    interval: Interval
    attributes: Mapping[str, str]
    line: int = 0


def around_origin(interval: Interval, length: int) -> list[Interval]:
    """An interval of a circular contig of `length` letters as it lies: itself, or its two parts
    where it runs over the last letter.
    """
    if interval.end <= length:
        return [interval]
    # A feature may also lie wholly beyond the last letter; then it is one part.
    start = max(0, interval.start - length)
    after = replace(interval, start=start, end=interval.end - length)
    return [after] if interval.start >= length else [replace(interval, end=length), after]


@dataclass
class Records:
    """What a reader of one format gives.

    Attributes
    ----------
    features : list of Feature
        In file order.
    lengths : dict
        Letters of the contigs whose length the file says.
    circular : set
        The contigs that it says are circular.
    sequences : dict
        The letters of the contigs, where the file carries them.
    notes : list of str
        What the user should hear.
    """

    features: list[Feature] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)
    circular: set[str] = field(default_factory=set)
    sequences: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
