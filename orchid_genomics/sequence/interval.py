"""Places on a genome: 0-based, half-open, on a strand."""

from dataclasses import dataclass

from orchid_genomics.errors import InputError


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """Letters `start` to `end` (0-based, half-open) of a contig, read on `strand` ("+", "-" or ".").

    The start may be negative and the end beyond the contig: such letters are read as N.
    """

    contig: str
    start: int
    end: int
    strand: str = "."
    name: str = ""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(self, f"start {self.start} is not below end {self.end}", "0-based half-open places")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        """As printed for people: 1-based, both ends included."""
        return f"{self.contig}:{self.start + 1:,}-{self.end:,}" + (f"({self.strand})" if self.strand in "+-" else "")

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two share a letter, whatever their strands."""
        return self.contig == other.contig and self.start < other.end and other.start < self.end

    def resize(self, length: int) -> "Interval":
        """The interval of `length` letters around the same centre (the left one of an even pair)."""
        start = self.start + (self.end - self.start) // 2 - length // 2
        return Interval(self.contig, start, start + length, self.strand, self.name)
