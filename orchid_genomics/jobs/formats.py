"""Parts and whole files of a job, by format: text (bgzip or plain, with its index), BCF, parquet.

The trap: parts hold no header and are joined without being read, so they must not know where they
stand.
"""

import gzip
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pysam

from orchid_genomics.errors import InputError, missing_extra
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.bed import tabix
from orchid_genomics.genome.bgzf import END_OF_FILE
from orchid_genomics.genome.vcf import quiet, with_contigs, with_lines
from orchid_genomics.jobs.task import Format

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
        part.touch()  # an OSError that says why, where pysam would end the process
        with pysam.BGZFile(str(part), "wb", None) as file:
            file.write(b"".join(answers))

    def join(self, parts: Iterable[Path], out: Path) -> None:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_file(out))
            self.whole(parts, temporary)
            if self.index is not None and self.packed:
                with quiet():
                    tabix(stack, temporary, out, self.farthest, **self.index)
            drop_index(out)  # one of an older file must not outlive it

    def whole(self, parts: Iterable[Path], out: Path) -> None:
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
    """VCF lines that become a BCF by pysam; `contigs` are declared where the header does not."""

    head: bytes
    contigs: tuple[str, ...]
    indexed: bool

    @property
    def text(self) -> TextFormat:
        return TextFormat(with_contigs(self.head, self.contigs))

    def write(self, answers: Iterable[bytes], part: Path) -> None:
        self.text.write(answers, part)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        text, parts = out.with_name(f".{out.name}.vcf.gz"), list(parts)
        try:
            self.text.whole(parts, text)
            with quiet(), ExitStack() as stack:
                if missing := _missing(
                    text
                ):  # a record with a name that is not declared cannot be written
                    head = with_lines(self.text.head.splitlines(keepends=True), missing)
                    TextFormat(head).whole(parts, text)
                temporary = stack.enter_context(atomic_file(out))
                _to_bcf(text, temporary)
                if self.indexed:
                    index = stack.enter_context(atomic_file(Path(f"{out}.csi")))
                    pysam.tabix_index(
                        str(temporary),
                        preset="bcf",  # type: ignore[arg-type]  # its stub lacks it
                        force=True,
                        keep_original=True,
                        csi=True,
                        index=str(index),
                    )
                drop_index(out)
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise InputError(
                out, f"cannot be a BCF ({error})", "-o OUT.vcf.gz, which keeps records as they are"
            ) from None
        finally:
            text.unlink(missing_ok=True)


def _missing(text: Path) -> list[str]:
    """Header lines for the names that records use and the header forgot: htslib makes them up as it
    reads.
    """
    with pysam.VariantFile(str(text)) as file:
        before = set(str(file.header).splitlines())
        for _ in file:
            pass
        return [line for line in str(file.header).splitlines() if line not in before]


def _to_bcf(text: Path, out: Path) -> None:
    with (
        pysam.VariantFile(str(text)) as file,
        pysam.VariantFile(str(out), "wb", header=file.header) as made,
    ):
        for record in file:
            made.write(record)


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

        pq.write_table(_pyarrow().table(answers, schema=self._schema()), part)

    def join(self, parts: Iterable[Path], out: Path) -> None:
        import pyarrow.parquet as pq

        with atomic_file(out) as temporary, pq.ParquetWriter(temporary, self._schema()) as writer:
            for part in parts:
                writer.write_table(pq.read_table(part, schema=self._schema()))


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("pyarrow", "parquet") from None
    return pyarrow


def drop_index(out: Path) -> None:
    """Remove the indexes of a file that is about to be replaced."""
    for suffix in ("tbi", "csi"):
        Path(f"{out}.{suffix}").unlink(missing_ok=True)
