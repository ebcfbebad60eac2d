"""Plain and bgzipped text by place; gzip without blocks allows no random access and is refused with
advice.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError

_BLOCK_HEADER = b"\x1f\x8b\x08\x04"
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class Text:
    """Bytes of a plain or bgzipped file by their place in the text; `blocks` is None for plain
    text.

    Opening walks the bgzip blocks (about 1 s for a human genome). Raises InputError for a file that
    is missing, empty, truncated, or gzip without blocks.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(
                path, f"cannot be read ({error.strerror})", "a FASTA, plain or bgzipped"
            ) from None
        self.path, self._memo = path, (-1, b"")
        self.blocks: np.ndarray | None = None
        self.size = path.stat().st_size
        try:
            if self._file.read(2) == b"\x1f\x8b":
                self.blocks, self.size = self._walk()
            first = self.read(0, 4096).lstrip()[:1]
            if not first and self.size < 4096:
                raise InputError(path, "is empty", "a FASTA, plain or bgzipped")
            if first != b">":
                raise InputError(
                    path,
                    f"is no FASTA: it begins with {first.decode('latin-1')!r}",
                    "a first line >name",
                )
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _walk(self) -> tuple[np.ndarray, int]:
        """Byte and text place of every block, as rows, and the length of the text."""
        total, at, text, rows = self.path.stat().st_size, 0, 0, []
        while at < total:
            self._file.seek(at)
            head = self._file.read(18)
            if head[:4] != _BLOCK_HEADER or head[12:14] != b"BC":
                plain = f"gunzip -c {self.path.name} | bgzip > new.fa.gz"
                raise InputError(
                    self.path, f"is gzip, not bgzip (byte {at:,})", f"random access needs: {plain}"
                )
            rows.append((at, text))
            at += struct.unpack("<H", head[16:18])[0] + 1 if len(head) == 18 else total
            self._file.seek(at - 4)
            tail = self._file.read(4)
            text += struct.unpack("<I", tail)[0] if len(tail) == 4 else 0
        self._file.seek(max(0, total - len(END_OF_FILE)))
        if at != total or self._file.read() != END_OF_FILE:
            raise InputError(
                self.path, "is truncated (no bgzip end-of-file block)", "copy or compress it again"
            )
        return np.array(rows, np.int64), text

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes of the text from `start`; raises InputError for a damaged block."""
        if self.blocks is None:
            self._file.seek(start)
            return self._file.read(size)
        parts, block = [], int(np.searchsorted(self.blocks[:, 1], start, "right")) - 1
        skip = start - int(self.blocks[block, 1])
        while size > 0 and block < len(self.blocks):
            part = self._block(block)[skip : skip + size]
            parts.append(part)
            size, skip, block = size - len(part), 0, block + 1
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends; raises InputError for a damaged block before any of its
        letters.
        """
        with io.BufferedReader(_Stream(self), 1 << 16) as stream:
            yield from stream

    def _block(self, number: int) -> bytes:
        if self._memo[0] != number:
            at, stop = int(self.blocks[number, 0]), self.blocks[number + 1 : number + 2, 0]
            self._file.seek(at)
            try:
                data = zlib.decompress(self._file.read(int(stop[0]) - at if len(stop) else -1), 31)
            except zlib.error as error:
                raise InputError(
                    self.path, f"has a damaged bgzip block at byte {at:,} ({error})", "copy it"
                ) from None
            self._memo = (number, data)
        return self._memo[1]


class _Stream(io.RawIOBase):
    """The text from its beginning, for a buffer to read lines of."""

    def __init__(self, text: Text) -> None:
        self._text, self._at = text, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        data = self._text.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def is_bgzf(path: Path) -> bool:
    """Whether a file begins with a block of bgzip, and is no plain gzip."""
    with path.open("rb") as file:
        start = file.read(14)
    return start[:4] == b"\x1f\x8b\x08\x04" and start[12:14] == b"BC"
