"""VCF and BCF, read as they stand: the only 1-based file of the house, and what leaves here is
0-based.

The trap: a record that is taken apart and written anew loses what the parser did not understand.
Text records keep their line, byte for byte, and only gain INFO; pysam reads BCF alone.
"""

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pysam

from orchid_genomics.errors import InputError, reason
from orchid_genomics.files import LONGEST_LINE, open_content, regular_copy
from orchid_genomics.genome.bgzf import END_OF_FILE
from orchid_genomics.genome.structural import Rearrangement, read_rearrangement
from orchid_genomics.sequence import Variant
from orchid_genomics.sequence.interval import shorten, whole_number

COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
SAMPLE = 1024  # records of the evenly spaced sample: at least half as many where there are more
Allele = Variant | Rearrangement | str
"""An ALT as letters, as stretches of the genome, or why it is neither."""
_ACGT = re.compile("[ACGT]+")
_LETTERS = re.compile("[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Record:
    """One line: `start` is 0-based, `ref` and `alts` upper case where they are letters, `alts`
    empty for ALT `.`.
    """

    line: bytes
    contig: str
    start: int
    name: str
    ref: str
    alts: tuple[str, ...]

    def __str__(self) -> str:
        """As printed for people: 1-based."""
        return f"{self.contig}:{self.start + 1:,} {self.ref}>{','.join(self.alts) or '.'}"

    def alleles(self, contig: str | None) -> list[Allele]:
        """Every ALT on the genome's `contig`, or the reason why it is no letters to score; one
        entry for ALT `.`.
        """
        if not self.alts:
            return ["no_alt"]
        unknown = "unknown_contig" if contig is None else ""
        answers: list[Allele] = []
        for number, alt in enumerate(self.alts):
            reason = "" if _is_anchored(self.ref, alt) else no_letters(alt)
            variant: Allele = Variant(contig or "", self.start, self.ref, alt)
            if reason in ("symbolic", "breakend"):
                variant = self._rearrangement(contig or "", number) or reason
                reason = ""
            answers.append(variant if isinstance(variant, str) else reason or unknown or variant)
        return answers

    def _rearrangement(self, contig: str, number: int) -> Rearrangement | None:
        info = self.line.rstrip(b"\r").split(b"\t", 8)[7]
        return read_rearrangement(
            contig, self.start, self.ref, self.alts, number, info=info, mate_contig=self.contig
        )

    def with_info(self, text: str) -> bytes:
        """The line with more INFO; nothing else of it changes."""
        left, info, rest = _split_info(self.line)
        added = text.encode()
        if info not in (b".", b""):
            added = info + (b"" if info.endswith(b";") else b";") + added
        return left + added + rest + b"\n"


def _is_anchored(ref: str, alt: str) -> bool:
    """Whether an ALT begins with an N for the letter that REF begins with, as callers of structural
    variants write it.
    """
    if alt[:1] != "N" or (alt[1:] and not _ACGT.fullmatch(alt[1:])):
        return False
    return ref[:1] == "N" or (alt == "N" and len(ref) > 1)


def no_letters(alt: str) -> str:
    """Why an ALT is no letters: star, symbolic, breakend or not_acgt; "" for A, C, G and T."""
    if _ACGT.fullmatch(alt):
        return ""
    if alt == "*":
        return "star"
    if "[" in alt or "]" in alt or (alt[:1] == "." or alt[-1:] == "."):
        return "breakend"
    return "symbolic" if "<" in alt else "not_acgt"


@dataclass
class Survey:
    """What one pass over a file found.

    Attributes: `header` its lines; `records`; `contigs` records by contig as the file names it;
    `ordered` whether an index can be made: contigs in one piece, places ascending; `farthest` the
    largest place; `checksum` the SHA-256 of its text; `sample` evenly spaced (number, line), every
    `step` records; `ref_n` records whose REF has an N.
    """

    header: list[bytes]
    records: int = 0
    contigs: dict[str, int] = field(default_factory=dict)
    ordered: bool = True
    farthest: int = 0
    checksum: str = ""
    sample: list[tuple[int, bytes]] = field(default_factory=list)
    step: int = 1
    ref_n: int = 0


class Vcf:
    """A VCF (plain, gzip, bgzip) or BCF, read from its beginning as often as asked; nothing of it
    stays in memory.

    Raises InputError for a file that is missing, truncated, or no VCF, with the line where it is
    wrong.
    """

    def __init__(self, path: str | Path) -> None:
        self.shown = "standard input" if str(path) == "-" else str(path)
        # a pipe gives its bytes once, and a VCF is read twice
        with self._reading():
            self.path = regular_copy(path)
        with self._reading(), self.path.open("rb") as file:
            start = file.read(18)
            if start[:4] == b"\x1f\x8b\x08\x04" and start[12:14] == b"BC":
                # A copy that broke off between two blocks reads as whole: only the empty last block
                # tells.
                file.seek(max(0, self.path.stat().st_size - len(END_OF_FILE)))
                if file.read() != END_OF_FILE:
                    raise InputError(
                        self.shown, "is truncated (no bgzip end-of-file block)", "copy it again"
                    )
            with open_content(self.path) as content:
                self.binary = content.read(4) == b"BCF\x02"
        self.header = self._header()
        self.columns = self.header[-1].rstrip(b"\r\n").count(b"\t") + 1

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Every record as (its line number from 1, its line without the line break); blank lines
        are none.
        """
        if self.binary:
            yield from self._bcf_lines()
            return
        with self._reading():
            for number, line in self._text_lines():
                if number > len(self.header) and line.strip():
                    if line[:1] == b"#":
                        raise self._wrong(
                            number, "a header line among the records", "all of them before #CHROM"
                        )
                    # A CR before the break stays, for the line is to be written as it stood.
                    yield number, line[:-1] if line.endswith(b"\n") else line

    def parse(self, number: int, line: bytes) -> Record:
        """A line as a record. Raises InputError when it is none."""
        count = line.count(b"\t") + 1
        if count != self.columns:
            possible = f"{self.columns} between tabs, as in the header"
            raise self._wrong(number, f"{count} columns", possible)
        # Samples may make a line long; only what stands before them is taken apart.
        columns = line.split(b"\t", 5)[:5]
        contig, position, name = (column.decode("utf-8", "replace") for column in columns[:3])
        if not contig or " " in contig:
            raise self._wrong(number, f"CHROM {shorten(contig)!r}", "the name of a contig")
        first = whole_number(position)
        # 0 is no mistake: VCF means the telomere before the first letter.
        if first is None or position[0] == "-":
            raise self._wrong(number, f"POS {shorten(position)!r}", "a whole number, 1-based")
        # latin-1 reads any byte; what is no letter is refused below, in words of VCF.
        ref, alt = (column.decode("latin-1") for column in columns[3:])
        words = [ref, *alt.split(",")]
        if "" in words or (ref == "." and alt != "."):
            message = f"REF {shorten(ref)!r} and ALT {shorten(alt)!r}"
            raise self._wrong(number, message, "letters, or what VCF allows")
        ref, *alts = [word.upper() if _LETTERS.fullmatch(word) else word for word in words]
        return Record(line, contig, first - 1, name, ref, () if alts == ["."] else tuple(alts))

    def records(self) -> Iterator[Record]:
        for number, line in self.lines():
            yield self.parse(number, line)

    def survey(self, taken: Iterable[str] = ()) -> Survey:
        """Read the file through and check every record; `taken` are INFO names that it may not hold
        already.

        Cost: about 2 s for a million records without samples.
        """
        names = {name.encode() for name in taken}
        survey, digest = Survey(self.header), hashlib.sha256(b"".join(self.header))
        self._refuse_declared(names)
        contig, last = None, -1
        for number, line in self.lines():
            record = self.parse(number, line)
            if names and (held := names & info_keys(line)):
                raise self._held(f"{self.shown} line {number}", min(held).decode())
            # The text and not the bytes of the file: a VCF that was only packed anew is the same.
            digest.update(line + b"\n")
            if record.contig != contig:
                survey.ordered &= record.contig not in survey.contigs
                contig, last = record.contig, -1
            survey.ordered &= last <= record.start
            last = record.start
            survey.contigs[contig] = survey.contigs.get(contig, 0) + 1
            survey.ref_n += "N" in record.ref
            survey.farthest = max(survey.farthest, record.start + len(record.ref))
            if survey.records % survey.step == 0:
                survey.sample.append((number, line))
                if len(survey.sample) == 2 * SAMPLE:
                    # Every other one goes: evenly spaced, though nobody knows where the file ends.
                    del survey.sample[1::2]
                    survey.step *= 2
            survey.records += 1
        survey.checksum = digest.hexdigest()
        return survey

    def _refuse_declared(self, names: set[bytes]) -> None:
        for line in self.header:
            match = re.match(rb"##INFO=<ID=([^,>]+)", line)
            if match and match[1] in names:
                raise self._held(self.shown, match[1].decode())

    def _held(self, where: str, name: str) -> InputError:
        mend = f"another --prefix, or bcftools annotate -x INFO/{name}"
        return InputError(where, f"holds INFO {name} already", mend)

    def _header(self) -> list[bytes]:
        if self.binary:
            with self._bcf() as file:
                return str(file.header).encode().splitlines(keepends=True)
        lines: list[bytes] = []
        with self._reading():
            for number, line in self._text_lines():
                # A file whose lines end with CR alone is one endless line to us.
                if b"\r" in line.rstrip(b"\r\n"):
                    advice = "lines that end with LF, such as tr '\\r' '\\n' makes"
                    raise self._wrong(number, "CR within a line", advice)
                if number == 1 and not line.startswith(b"##fileformat=VCF"):
                    raise InputError(
                        self.shown,
                        "is no VCF: its first line is not ##fileformat=VCF",
                        "VCF or BCF",
                    )
                lines.append(line if line.endswith(b"\n") else line + b"\n")
                if not line.startswith(b"##"):
                    break
        last = lines[-1].rstrip(b"\r\n") if lines else b""
        if not lines:
            raise InputError(self.shown, "is empty", "a VCF or BCF")
        if last != COLUMNS and not last.startswith(COLUMNS + b"\tFORMAT"):
            shown = COLUMNS.decode().replace("\t", " ")
            raise self._wrong(
                len(lines),
                "no line of column names before the first record",
                f"{shown} between tabs",
            )
        return lines

    def _wrong(self, number: int, found: str, possible: str) -> InputError:
        return InputError(
            f"{self.shown} {'record' if self.binary else 'line'} {number}", found, possible
        )

    def _text_lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines, from 1, as they stand. Raises InputError for one without end."""
        with open_content(self.path, self.shown) as content:
            number = 0
            while line := content.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    message = f"more than {LONGEST_LINE - 1:,} characters"
                    raise self._wrong(number, message, "lines (is it another kind of file?)")
                if b"\0" in line:
                    raise self._wrong(number, "a NUL byte", "text; copy it again")
                yield number, line

    @contextmanager
    def _bcf(self) -> Iterator[pysam.VariantFile]:
        try:
            with quiet(), pysam.VariantFile(str(self.path), "rb") as file:
                yield file
        except (OSError, ValueError) as error:
            raise InputError(self.shown, f"cannot be read ({error})", "an undamaged BCF") from None

    def _bcf_lines(self) -> Iterator[tuple[int, bytes]]:
        with self._bcf() as file:
            for number, record in enumerate(file, 1):
                yield number, str(record).rstrip("\n").encode()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read is of the name that the user gave, not of a copy of ours."""
        try:
            yield
        except EOFError:
            raise InputError(self.shown, "is truncated gzip", "copy it again") from None
        except (OSError, zlib.error) as error:
            message = f"cannot be read ({reason(error)})"
            raise InputError(self.shown, message, "a VCF or BCF") from None
        except InputError as error:
            own = {self.shown, str(getattr(self, "path", self.shown)), "-"}
            where = self.shown if error.where in own else error.where
            raise InputError(where, error.found, error.possible or "a VCF or BCF") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without htslib's own lines on stderr: what a user must know is said by us."""
    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


def info_keys(line: bytes) -> set[bytes]:
    """The names in the INFO column of a line."""
    return {word.partition(b"=")[0] for word in line.split(b"\t", 8)[7].split(b";")}


def info_text(
    names: Sequence[str], rows: Sequence[Sequence[float | None]], why: Sequence[str]
) -> str:
    """INFO of a record: for each name its numbers, one an ALT; and the reasons last, when there are
    any.
    """
    parts = []
    for i, name in enumerate(names[:-1]):
        numbers = ",".join(number(row[i]) for row in rows)
        parts.append(f"{name}={numbers}")
    if any(why):
        parts.append(f"{names[-1]}={','.join(reason or '.' for reason in why)}")
    return ";".join(parts)


def number(value: float | None) -> str:
    """Five significant digits, `.` for none; never -0."""
    # NaN alone differs from itself.
    if value is None or value != value:
        return "."
    text = f"{value:.5g}"
    return "0" if text == "-0" else text


def with_lines(header: Sequence[bytes], lines: Sequence[str]) -> bytes:
    """A header with more lines before its last, which names the columns."""
    ending = b"\r\n" if header[-1].endswith(b"\r\n") else b"\n"
    return b"".join([*header[:-1], *(line.encode() + ending for line in lines), header[-1]])


def _split_info(line: bytes) -> tuple[bytes, bytes, bytes]:
    columns = line.split(b"\t", 8)
    left = b"\t".join(columns[:7]) + b"\t"
    if len(columns) > 8:
        return left, columns[7], b"\t" + columns[8]
    # Without samples INFO is last, and the CR of a CRLF line would end up within it.
    info = columns[7].rstrip(b"\r")
    return left, info, columns[7][len(info) :]


def with_contigs(header: bytes, contigs: Iterable[str]) -> bytes:
    """A header in which every contig is declared."""
    lines = header.splitlines(keepends=True)
    known = {
        match[1].decode() for line in lines if (match := re.match(rb"##contig=<ID=([^,>]+)", line))
    }
    return with_lines(
        lines, [f"##contig=<ID={contig}>" for contig in contigs if contig not in known]
    )
