"""An open FASTA as tokens.

The trap: a handle shared across a fork reads wrong bases silently, so each process has its own.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pysam

from orchid_genomics.errors import InputError
from orchid_genomics.files import checksum
from orchid_genomics.genome.contigs import ContigNames, GenomeNote, listed, read_aliases
from orchid_genomics.genome.fai import find_index
from orchid_genomics.sequence import DNA

if TYPE_CHECKING:
    import pyfaidx

__all__ = ["Genome", "GenomeNote"]

# Letters of a genome that stays in memory, contig by contig, as tokens; larger ones are read
# window by window.
KEPT = 128 << 20


class Genome:
    """A FASTA, plain or bgzipped, checked when opened; places are 0-based half-open.

    Parameters
    ----------
    path : str, Path or pyfaidx.Fasta
        The file; that of an open `pyfaidx.Fasta` is opened by us once more, so that its key
        function and filters do not count.
    cache : str or Path, optional
        The folder for an index of our own, used when none beside the file is right (default
        ``$ORCHID_CACHE``, else ``~/.cache/orchid-genomics``).
    aliases : str, Path or mapping, optional
        Other names of the contigs: a file of two columns (see `read_aliases`), or name to contig.

    Attributes
    ----------
    path : Path
    contigs : dict
        Name to length in letters, in file order.
    names : ContigNames
        What the contigs may be called in other files.
    circular : frozenset
        The contigs that are read round their origin (see `genome.circular.mark_circular`).
    landmarks : dict
        Where counting begins on a circular contig, once it is known.

    Raises
    ------
    InputError
        For a file that is missing, a pipe, empty, truncated, no FASTA, or with two contigs of one
        name; and for aliases that do not fit.
    """

    def __init__(
        self,
        path: "str | Path | pyfaidx.Fasta",
        *,
        cache: str | Path | None = None,
        aliases: str | Path | Mapping[str, str] | None = None,
    ) -> None:
        name = path if isinstance(path, str | Path) else path.filename
        self.path = Path(name)
        self._index = find_index(self.path, None if cache is None else Path(cache))
        self.contigs: dict[str, int] = {
            contig.name: contig.length for contig in self._index.contigs
        }
        if isinstance(aliases, str | Path):
            aliases = read_aliases(aliases, self.contigs)
        self.names = ContigNames(self.contigs, self.path.name, aliases or {})
        self.circular: frozenset[str] = frozenset()
        self.landmarks: dict[str, int] = {}
        self._forget()

    def _forget(self) -> None:
        self._opened: tuple[int, pysam.FastaFile, threading.Lock] | None = None
        self._kept: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict:
        kept = ("path", "_index", "contigs", "names", "circular", "landmarks")
        return {key: self.__dict__[key] for key in kept}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def __enter__(self) -> "Genome":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        letters = sum(self.contigs.values())
        return f"Genome({str(self.path)!r}: {len(self.contigs)} contigs, {letters:,} letters)"

    def close(self) -> None:
        """Close the file and free the tokens; the next read opens it again."""
        if self._opened and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._forget()

    def letters(self, contig: str, start: int, end: int) -> bytes:
        """Letters `start` to `end` as written, case kept; N beyond the ends of the contig.

        A circular contig goes on at its origin instead. Only a stretch longer than the whole of it
        has N there too, for no letter may stand twice.

        Raises InputError for an unknown contig, start >= end, or a file that cannot be read there.
        """
        self._check(contig, start, end)
        letters = bytearray(b"N" * (end - start))
        for at, left, right in self._stretches(contig, start, end):
            letters[at : at + right - left] = self._read(contig, left, right)
        return bytes(letters)

    def tokens(self, contig: str, start: int, end: int, strand: str = "+") -> np.ndarray:
        """Tokens (L,) uint8 of letters `start` to `end`; strand "-" gives the reverse complement.

        Beyond the ends of the contig as `letters`. Raises InputError as that does, and for a letter
        that is no IUPAC code, with its place.
        """
        self._check(contig, start, end)
        tokens = np.full(end - start, DNA.n, np.uint8)
        for at, left, right in self._stretches(contig, start, end):
            tokens[at : at + right - left] = self._inner(contig, left, right)
        if strand not in ("+", "-", "."):
            raise InputError(f"{self.path} {contig}", f"strand {strand!r}", "+, - or .")
        return DNA.reverse_complement(tokens) if strand == "-" else tokens

    def contig(self, name: str, where: object = "genome") -> str:
        """The contig that `name` means: itself, else chr1 <-> 1, chrM <-> MT, 13 <-> XIII; see
        `ContigNames`.
        """
        return self.rename([name], where)[name]

    def rename(self, names: Iterable[str], where: object) -> dict[str, str]:
        """Every contig name of a file `where` to the contig here, announced once by a GenomeNote.

        Raises InputError with both lists of names when one is unknown or ambiguous.
        """
        return self.names.rename(names, where)

    def shared(self, names: Iterable[str], where: object) -> dict[str, str]:
        """`rename` for those of the names that mean a contig here at all; the others are not in it.

        Raises InputError when one is ambiguous.
        """
        return self.names.shared(names, where)

    def checksum(self) -> str:
        """The SHA-256 of the file as it lies on the disk, in hexadecimal."""
        return checksum(self.path)

    def holds(self, contig: str, start: int, end: int) -> bool:
        """Whether the letters `start` to `end` lie on the contig: on a circular one they may run
        over its last letter, once round at most.
        """
        size = self.contigs[contig]
        if contig in self.circular:
            return 0 <= start < size and end - start <= size
        return start >= 0 and end <= size

    def _check(self, contig: str, start: int, end: int) -> None:
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

    def _stretches(self, contig: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What of [start, end) lies in the file: where in it, and first and last letter there."""
        size = self.contigs[contig]
        around = contig in self.circular and end - start <= size
        turns = range(start // size, (end - 1) // size + 1) if around else range(1)
        for turn in turns:
            origin = turn * size
            left, right = max(start - origin, 0), min(end - origin, size)
            if left < right:
                yield left + origin - start, left, right

    def _inner(self, contig: str, start: int, end: int) -> np.ndarray:
        where = f"{self.path} {contig}"
        if sum(self.contigs.values()) > KEPT:
            return DNA.encode(self._read(contig, start, end), where, start)
        if contig not in self._kept:
            self._kept[contig] = DNA.encode(self._read(contig, 0, self.contigs[contig]), where)
        return self._kept[contig][start:end]

    def _read(self, contig: str, start: int, end: int) -> bytes:
        handle, lock = self._handle()
        where = f"{self.path} {contig}:{start + 1:,}-{end:,}"
        try:
            # A fetch seeks and then reads: of two threads, one would read at the other's place.
            with lock:
                letters = handle.fetch(contig, start, end)
        except (OSError, ValueError) as error:
            raise InputError(where, f"cannot be read ({error})") from None
        # htslib gives fewer letters, and no error, where the file has none.
        if len(letters) != end - start:
            message = f"has {len(letters):,} letters where {end - start:,} should be"
            raise InputError(where, message, "an undamaged file")
        return letters.encode("latin-1", "replace")

    def _handle(self) -> tuple[pysam.FastaFile, threading.Lock]:
        """The handle of this process; that of a parent is let go, never read."""
        if self._opened is None or self._opened[0] != os.getpid():
            fai, gzi = self._index.fai, self._index.gzi
            try:
                handle = pysam.FastaFile(
                    str(self._index.fasta), str(fai), None if gzi is None else str(gzi)
                )
            except OSError as error:
                raise InputError(
                    self.path, f"cannot be read ({error})", "the file as it was when opened"
                ) from None
            self._opened = (os.getpid(), handle, threading.Lock())
        return self._opened[1:]
