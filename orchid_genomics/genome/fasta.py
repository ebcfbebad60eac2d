"""An open FASTA as tokens; a handle shared across a fork reads wrong bases silently, so each
process has its own.
"""

import os
import threading
from pathlib import Path

import numpy as np
import pysam

from orchid_genomics.errors import InputError
from orchid_genomics.files import checksum
from orchid_genomics.genome import fai as index
from orchid_genomics.genome.contigs import GenomeNote, listed, rename
from orchid_genomics.sequence import DNA

__all__ = ["Genome", "GenomeNote"]

KEPT = 128 << 20  # a genome of up to this many letters stays in memory, contig by contig, as tokens


class Genome:
    """A FASTA, plain or bgzipped, checked when opened; places are 0-based half-open.

    Parameters: `cache` is the folder for an index of our own, used when none beside the file is
    right (default ``$ORCHID_CACHE``, else ``~/.cache/orchid-genomics``). Attributes: `path`;
    `contigs`, name to length in letters, in file order.

    Raises InputError for a file that is missing, empty, truncated, not bgzip, no FASTA, or with two
    contigs of one name.
    """

    def __init__(self, path: str | Path, *, cache: str | Path | None = None) -> None:
        self.path = Path(path)
        self._index = index.find(self.path, None if cache is None else Path(cache))
        self.contigs: dict[str, int] = {
            contig.name: contig.length for contig in self._index.contigs
        }
        self._forget()

    def _forget(self) -> None:
        self._opened: tuple[int, pysam.FastaFile, threading.Lock] | None = None
        self._kept: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict:
        return {key: self.__dict__[key] for key in ("path", "_index", "contigs")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def __enter__(self) -> "Genome":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Genome({str(self.path)!r}: {len(self.contigs)} contigs, {sum(self.contigs.values()):,} letters)"

    def close(self) -> None:
        """Close the file and free the tokens; the next read opens it again."""
        if self._opened and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._forget()

    def letters(self, contig: str, start: int, end: int) -> bytes:
        """Letters `start` to `end` as written, case kept; N beyond the ends of the contig.

        Raises InputError for an unknown contig, start >= end, or a file that cannot be read there.
        """
        left, right = self._inside(contig, start, end)
        inner = self._read(contig, left, right) if left < right else b""
        before = min(max(-start, 0), end - start)
        return b"N" * before + inner + b"N" * (end - start - before - len(inner))

    def tokens(self, contig: str, start: int, end: int, strand: str = "+") -> np.ndarray:
        """Tokens (L,) uint8 of letters `start` to `end`; strand "-" gives the reverse complement.

        N beyond the ends of the contig. Raises InputError as `letters` does, and for a letter that
        is no IUPAC code, with its place.
        """
        left, right = self._inside(contig, start, end)
        tokens = np.full(end - start, DNA.n, np.uint8)
        if left < right:
            tokens[left - start : right - start] = self._inner(contig, left, right)
        if strand not in ("+", "-", "."):
            raise InputError(f"{self.path} {contig}", f"strand {strand!r}", "+, - or .")
        return DNA.reverse_complement(tokens) if strand == "-" else tokens

    def contig(self, name: str, where: object = "genome") -> str:
        """The contig that `name` means: itself, else chr1 <-> 1 and chrM <-> MT; see `rename`."""
        return self.rename([name], where)[name]

    def rename(self, names, where: object) -> dict[str, str]:
        """Every contig name of a file `where` to the contig here, announced once by a GenomeNote.

        Raises InputError with both lists of names when one is unknown or ambiguous.
        """
        return rename(names, self.contigs, where, self.path.name)

    def checksum(self) -> str:
        """The SHA-256 of the file as it lies on the disk, in hexadecimal."""
        return checksum(self.path)

    def _inside(self, contig: str, start: int, end: int) -> tuple[int, int]:
        if contig not in self.contigs:
            raise InputError(
                self.path, f"unknown contig {contig!r}", f"possible: {listed(self.contigs)}"
            )
        if start >= end:
            raise InputError(
                f"{self.path} {contig}",
                f"start {start} is not below end {end}",
                "0-based half-open",
            )
        length = self.contigs[contig]
        return min(max(start, 0), length), min(max(end, 0), length)

    def _inner(self, contig: str, start: int, end: int) -> np.ndarray:
        where = f"{self.path} {contig}"
        if sum(self.contigs.values()) > KEPT:
            return DNA.encode(self._read(contig, start, end), where, start)
        if contig not in self._kept:
            self._kept[contig] = DNA.encode(self._read(contig, 0, self.contigs[contig]), where)
        return self._kept[contig][start:end]

    def _read(self, contig: str, start: int, end: int) -> bytes:
        handle, lock = self._handle()
        try:
            with lock:
                letters = handle.fetch(contig, start, end)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path} {contig}:{start + 1:,}-{end:,}", f"cannot be read ({error})"
            ) from None
        if len(letters) != end - start:
            found = f"has {len(letters):,} letters where {end - start:,} should be"
            raise InputError(
                f"{self.path} {contig}:{start + 1:,}-{end:,}", found, "an undamaged file"
            )
        return letters.encode("latin-1", "replace")

    def _handle(self) -> tuple[pysam.FastaFile, threading.Lock]:
        """The handle of this process; that of a parent is let go, never read."""
        if self._opened is None or self._opened[0] != os.getpid():
            fai, gzi = self._index.fai, self._index.gzi
            try:
                handle = pysam.FastaFile(
                    str(self.path), str(fai), None if gzi is None else str(gzi)
                )
            except OSError as error:
                raise InputError(
                    self.path, f"cannot be read ({error})", "the file as it was when opened"
                ) from None
            self._opened = (os.getpid(), handle, threading.Lock())
        return self._opened[1:]
