"""Parts and whole files of a job, by format: text (bgzip or plain, with its index), BCF, parquet.

The trap: parts hold no header and are joined without being read, so they must not know where they
stand.
"""

import gzip
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import pysam
import pysam.bcftools

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.files import (
    atomic_file,
    scratch_folder,
    temporary_name,
    utf8_name,
    writable,
)
from orchid_genomics.genome.bgzf import END_OF_FILE, write_bgzip
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.vcf import quiet, with_contigs, with_lines
from orchid_genomics.jobs.task import Format

_BATCH = 1 << 26  # bytes of records that are converted at once before the work
_LONGEST_TBI = 1 << 29  # letters of a contig that a .tbi can hold
_FARTHEST_BCF = 2**31 - 1
_VCF_COLUMNS = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
_FORMAT = 8  # the column behind which samples stand
_SAMPLE_MARKS = ":,;|/"
_MISSING = re.compile(r"\.(,\.)+")  # several missing values, which a BCF holds as one
VCF_INDEX = {"preset": "vcf"}
# 1-based places in column 2
TSV_INDEX = {"seq_col": 0, "start_col": 1, "end_col": 1, "meta_char": "#"}


@dataclass(frozen=True)
class TextFormat(Format):
    """Lines (bytes with their ends) after a header.

    Parameters: `head` the header; `packed` whether the whole is bgzipped (parts always are);
    `index` words for `pysam.tabix_index`, None for no index; `farthest` the largest place, which
    decides between .tbi and .csi.
    """

    head: bytes
    packed: bool = True
    index: dict[str, Any] | None = None
    farthest: int = 0

    def write(self, answers: Iterable[bytes], part: Path) -> None:
        write_bgzip(b"".join(answers), part)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_file(out))
            self.put_together(parts, temporary)
            if self.index is not None and self.packed:
                # .tbi holds 512 Mb, and a record may reach further by its INFO/END
                kinds = ("csi",) if self.farthest > _LONGEST_TBI else ("tbi", "csi")
                index_or_note(stack, temporary, out, kinds, **self.index)
            # The index of an older file must not outlive it.
            drop_index(out)

    def put_together(self, parts: Iterable[Path], out: Path) -> None:
        """Header and parts as one file: bgzip blocks are copied as they are."""
        if not self.packed:
            with out.open("wb") as file:
                file.write(self.head)
                for part in parts:
                    with gzip.open(part) as text:
                        shutil.copyfileobj(text, file)
            return
        out.touch()
        with pysam.BGZFile(str(out), "wb", None) as file:
            file.write(self.head)
        with out.open("r+b") as file:
            # bgzip files may stand one after another, but only the last may keep its empty block,
            # or readers would stop there.
            file.seek(-len(END_OF_FILE), 2)
            for part in parts:
                file.write(part.read_bytes()[: -len(END_OF_FILE)])
            file.write(END_OF_FILE)

    def pipe(self, answers: Iterable[Iterable[bytes]], out: BinaryIO) -> None:
        out.write(self.head)
        for lines in answers:
            out.write(b"".join(lines))
            out.flush()


@dataclass(frozen=True)
class BcfFormat(Format):
    """VCF lines that become a BCF; `contigs` are declared where the header does not.

    The trap: pysam's own writer sets INFO/END to what REF and ALT say; bcftools keeps what it read.
    """

    head: bytes
    contigs: tuple[str, ...]
    indexed: bool

    @property
    def text(self) -> TextFormat:
        """The format of the parts: they join to a VCF first."""
        return TextFormat(with_contigs(self.head, self.contigs))

    def rehearse(self, header: bytes, lines: Iterable[bytes], where: object, out: Path) -> None:
        """Convert records (without line ends) as they came in, to see before any work that none is
        lost or changed.

        Raises InputError, of the input `where`, for a record that a BCF cannot hold.
        """
        form = BcfFormat(header, self.contigs, False)
        with scratch_folder() as folder, writable(folder):
            part, text, made = (folder / name for name in ("part", "text.vcf.gz", "out.bcf"))
            for first, batch in _batches(lines):
                _require_reach(batch, where, first)
                form.write([line + b"\n" for line in batch], part)
                form._convert([part], text, made, out)
                _require_same_records(batch, made, where, first)

    def write(self, answers: Iterable[bytes], part: Path) -> None:
        self.text.write(answers, part)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        text = temporary_name(out.with_name(f"{out.name}.vcf.gz"))
        try:
            with ExitStack() as stack:
                temporary = stack.enter_context(atomic_file(out))
                self._convert(list(parts), text, temporary, out)
                if self.indexed:
                    index_or_note(stack, temporary, out, ("csi",), preset="bcf")
                drop_index(out)
        finally:
            text.unlink(missing_ok=True)

    def _convert(self, parts: Sequence[Path], text: Path, made: Path, out: Path) -> None:
        """Parts to a VCF `text`, and that to the BCF `made`."""
        self.text.put_together(parts, text)
        try:
            with quiet():
                if missing := _undeclared(text):
                    head = with_lines(self.text.head.splitlines(keepends=True), missing)
                    TextFormat(head).put_together(parts, text)
                made.touch()
                with utf8_name(made) as to, utf8_name(text) as source:
                    words = ("--no-version", "-Ob", "-o", str(to), str(source))
                    pysam.bcftools.view(*words, catch_stdout=False)
        except (ValueError, OSError, pysam.SamtoolsError) as error:
            require_room(made)
            if isinstance(error, OSError) and error.errno:
                raise
            possible = "a name that ends in .vcf.gz, which keeps records as they are"
            raise InputError(out, f"cannot be a BCF ({_last_line(error)})", possible) from None


def _undeclared(text: Path) -> list[str]:
    """Header lines for names that records use and the header forgot: htslib makes them up as it
    reads, and a BCF cannot hold a name without one.
    """
    with pysam.VariantFile(str(text)) as file:
        before = set(str(file.header).splitlines())
        for _ in file:
            pass
        return [line for line in str(file.header).splitlines() if line not in before]


def _batches(lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Lines in batches of bounded size, each with the number of its first, from 1."""
    batch: list[bytes] = []
    first = size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= _BATCH:
            yield first + 1, batch
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield first + 1, batch


def _require_reach(lines: Sequence[bytes], where: object, first: int) -> None:
    """Raise InputError at the first record that begins beyond what a BCF can hold."""
    for number, line in enumerate(lines, first):
        if int(line.split(b"\t", 2)[1]) > _FARTHEST_BCF:
            message = f"its POS is beyond {_FARTHEST_BCF:,}, which a BCF cannot hold"
            possible = "an output in .vcf.gz, which keeps records as they are"
            raise InputError(f"{where} record {number}", message, possible)


def _require_same_records(lines: Sequence[bytes], made: Path, where: object, first: int) -> None:
    """Raise InputError at the first record of which a BCF changes a column."""
    with quiet(), pysam.VariantFile(str(made)) as file:
        for number, (line, record) in enumerate(zip_longest(lines, file), first):
            column = _first_change(line or b"", record)
            if column:
                possible = "an output in .vcf.gz, which keeps records as they are"
                message = f"its {column} would not be the same in a BCF"
                raise InputError(f"{where} record {number}", message, possible)


def _first_change(line: bytes, record: Any) -> str:
    """The name of the first column that means something else; "" where all mean the same."""
    try:
        before = line.decode("utf-8").rstrip("\r\n")
        after = "" if record is None else str(record).rstrip("\n")
    except UnicodeDecodeError:
        return "text (no UTF-8)"
    if before == after:
        return ""
    old, new = before.split("\t"), after.split("\t")
    if len(old) != len(new):
        return "line"
    for at, words in enumerate(zip(old, new, strict=True)):
        if words[0] == words[1]:
            continue
        column = _VCF_COLUMNS[at] if at < len(_VCF_COLUMNS) else f"sample {at - 8}"
        if at > _FORMAT:
            words = _shorten_sample(words[0]), _shorten_sample(words[1])
        marks = {"QUAL": "", "INFO": ";,=", "FORMAT": None}.get(column, _SAMPLE_MARKS)
        is_exact = marks is None or at < _VCF_COLUMNS.index("QUAL") or column == "FILTER"
        if is_exact or not _alike(*words, marks or ""):
            return column
    return ""


def _shorten_sample(text: str) -> str:
    """A sample without what is missing at its end, which a VCF may leave out."""
    fields = [_MISSING.sub(".", field) for field in text.split(":")]
    while len(fields) > 1 and fields[-1] == ".":
        fields.pop()
    return ":".join(fields)


def _alike(old: str, new: str, marks: str) -> bool:
    """Whether words between `marks` are the same, numbers to the precision of a BCF (float32)."""
    # Without marks a pattern that matches nowhere: the text is one word.
    pattern = f"[{marks}]" if marks else "$^"
    words = [re.split(pattern, text.strip(";").replace(";;", ";")) for text in (old, new)]
    if len(words[0]) != len(words[1]):
        return False
    for one, other in zip(*words, strict=True):
        if one == other:
            continue
        try:
            numbers = float(one), float(other)
        except ValueError:
            return False
        # NaN is no missing value, and is near nothing, not even itself.
        if not (all(map(math.isnan, numbers)) or _is_near(*numbers)):
            return False
    return True


def _is_near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-37)


def _last_line(error: BaseException) -> str:
    """What bcftools said last, without its own name."""
    # pysam gives the repr of what was printed, whose closing quote would be a line of its own
    printed = str(error).replace("\\n", "\n").rstrip("'\" \n")
    lines = printed.splitlines() or [type(error).__name__]
    if "does not have valid header" in lines[-1]:
        return "htslib cannot read its header"  # pysam names a temporary file of ours
    return lines[-1].rpartition("Error: ")[2] or lines[-1]


@dataclass(frozen=True)
class ParquetFormat(Format):
    """Columns as lists. Parameters: `schema` (name, pyarrow type) of each; `about` what the file's
    metadata says.
    """

    schema: tuple[tuple[str, str], ...]
    about: dict[str, str]

    def require(self) -> None:
        _pyarrow()

    def _schema(self) -> Any:
        pa = _pyarrow()
        fields = [pa.field(name, getattr(pa, kind)()) for name, kind in self.schema]
        return pa.schema(
            fields, {key.encode(): value.encode() for key, value in self.about.items()}
        )

    def write(self, answers: dict[str, Sequence[Any]], part: Path) -> None:
        import pyarrow.parquet as pq

        # Open files, for pyarrow takes every name to be UTF-8.
        with part.open("wb") as file:
            pq.write_table(_pyarrow().table(answers, schema=self._schema()), file)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        import pyarrow.parquet as pq

        with (
            atomic_file(out) as temporary,
            temporary.open("wb") as file,
            pq.ParquetWriter(file, self._schema()) as writer,
        ):
            for part in parts:
                with part.open("rb") as source:
                    writer.write_table(pq.read_table(source, schema=self._schema()))


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("pyarrow", "parquet") from None
    return pyarrow


def index_or_note(
    stack: ExitStack, temporary: Path, out: Path, kinds: Sequence[str], **columns: Any
) -> None:
    """Index `temporary`, which will be `out`, by the first of `kinds` ("tbi", "csi") that can.

    Work that is done is not lost for an index: where none can be made, a note says so. `columns`
    say where places stand, in the words of `pysam.tabix_index`.
    """
    for kind in kinds:
        index = Path(f"{out}.{kind}")
        made = temporary_name(index.with_name(f"{index.name}.made"))
        try:
            with quiet():
                pysam.tabix_index(
                    str(temporary),
                    force=True,
                    keep_original=True,
                    csi=kind == "csi",
                    index=str(made),
                    **columns,
                )
            made.replace(stack.enter_context(atomic_file(index)))
            return
        except (OSError, ValueError):
            require_room(temporary)
        finally:
            made.unlink(missing_ok=True)
    note = "is written without an index: a place lies too far out, or not in order, for one"
    warnings.warn(f"{out}: {note}", GenomeNote, stacklevel=2)


def require_room(path: Path) -> None:
    """Raise OSError where nothing more can be written to a file; libraries do not say why they
    failed.
    """
    if not path.exists():
        return
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        try:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
        finally:
            file.truncate(size)


def drop_index(out: Path) -> None:
    """Remove the indexes of a file that is about to be replaced."""
    for suffix in ("tbi", "csi"):
        Path(f"{out}.{suffix}").unlink(missing_ok=True)
