"""Places on a genome: 0-based, half-open, on a strand."""

from dataclasses import dataclass, replace

from orchid_genomics.errors import InputError

_STRANDS = {
    **dict.fromkeys(("+", "1", "+1", "plus", "forward", "fwd", "f", "w", "watson", "sense"), "+"),
    # what word processors put for a minus is one, too
    **dict.fromkeys(
        ("-", "-1", "minus", "reverse", "rev", "r", "c", "crick", "antisense", "\u2212", "\u2013"),
        "-",
    ),
    **dict.fromkeys((".", "*", "", "0", "none", "na"), "."),
}
_DIGITS = 18  # of a number that fits an int64, whatever is added to it


def read_strand(word: str) -> str | None:
    """A strand as files write it (+, 1, plus, W; -, -1, minus, C; . and * for none), or None."""
    return _STRANDS.get(word.strip().lower())


def whole_number(word: str) -> int | None:
    """A whole number of at most 18 digits, with a minus or none; None for other text.

    Python's `int` takes digits of every script, and raises for more than 4,300.
    """
    text = word.strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits.lstrip("0")) > _DIGITS:
        return None
    return int(text) if len(digits) <= _DIGITS else int(digits.lstrip("0") or "0")


def shorten(word: str, most: int = 40) -> str:
    """A word as a message shows it, cut where it is longer."""
    return word if len(word) <= most else f"{word[: most - 3]}..."


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """Letters `start` to `end` (0-based, half-open) of a contig, read on `strand` ("+", "-" or
    ".").

    The start may be negative and the end beyond the contig: such letters are read as N.
    """

    contig: str
    start: int
    end: int
    strand: str = "."
    name: str = ""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(
                self, f"start {self.start} is not below end {self.end}", "0-based half-open places"
            )

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        """As printed for people: 1-based, both ends included."""
        return f"{self.contig}:{self.start + 1:,}-{self.end:,}" + (
            f"({self.strand})" if self.strand in "+-" else ""
        )

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two share a letter, whatever their strands."""
        return self.contig == other.contig and self.start < other.end and other.start < self.end

    def resize(self, length: int) -> "Interval":
        """The interval of `length` letters around the same centre (of two, the left one)."""
        start = self.start + (self.end - self.start) // 2 - length // 2
        return replace(self, start=start, end=start + length)


@dataclass(frozen=True, order=True, slots=True)
class Variant:
    """Letters `ref` from `start` (0-based) of a contig become `alt`; both upper case on the forward
    strand.

    Either may be empty; letters that both share at an end are allowed, as VCF writes them, and mean
    nothing.
    """

    contig: str
    start: int
    ref: str
    alt: str

    def __str__(self) -> str:
        """As printed for people: the place 1-based."""
        return f"{self.contig}:{self.start + 1:,} {self.ref or '-'}>{self.alt or '-'}"

    @property
    def end(self) -> int:
        """The letter after the last of `ref`, 0-based."""
        return self.start + len(self.ref)

    @property
    def kind(self) -> str:
        """SNV, MNV, insertion, deletion, delins (letters for others in another number), or none (no
        change).
        """
        short = self.trimmed()
        if len(short.ref) == len(short.alt):
            return ("none", "SNV")[len(short.ref)] if len(short.ref) < 2 else "MNV"
        return "insertion" if not short.ref else "deletion" if not short.alt else "delins"

    def trimmed(self) -> "Variant":
        """The same change without the letters that both share: first at the end, then at the
        beginning.
        """
        # The end first: within a repeat the change then stands at its left, as VCF wants it.
        ref, alt, start = self.ref, self.alt, self.start
        shared = 0
        while shared < min(len(ref), len(alt)) and ref[-1 - shared] == alt[-1 - shared]:
            shared += 1
        ref, alt = ref[: len(ref) - shared], alt[: len(alt) - shared]
        shared = 0
        while shared < min(len(ref), len(alt)) and ref[shared] == alt[shared]:
            shared += 1
        return Variant(self.contig, start + shared, ref[shared:], alt[shared:])
