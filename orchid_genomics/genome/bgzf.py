"""Plain and bgzipped text by place; gzip without blocks allows no random access."""

import codecs
import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pysam

from orchid_genomics.errors import InputError
from orchid_genomics.files import open_bytes

_GZIP, _BLOCK_HEADER = b"\x1f\x8b", b"\x1f\x8b\x08\x04"
_LONGEST_HEADER = 1 << 18  # bytes; indexes and messages repeat what stands there
_LEAST_BLOCK = 26  # bytes of a block around its deflated text
_BLOCK_HEAD = bytes.fromhex("1f8b08040000000000ff060042430200")
_BLOCK_TEXT = 0xFF00  # bytes of text a block, which fit 64 kB also where nothing can be deflated
_LEVEL = 6  # as htslib's
_FEWEST_CHUNKS, _MOST_THREADS = 8, 16  # blocks a thread is worth; threads, at most
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def no_random_access(path: Path) -> str:
    """Why a FASTA cannot be read at any place as it is; "" when it can, as far as its beginning
    tells.
    """
    with open_bytes(path) as file:
        head = file.read(1 << 16)
    if head[:2] == _GZIP:
        if not _is_block(head[:18]):
            return "is gzip, not bgzip"
        try:
            # 31: a gzip header and the largest window. An object, for the head ends within a block.
            head = zlib.decompressobj(31).decompress(head)
        except zlib.error:
            # A damaged block is named by its byte when the file is opened.
            return ""
    if head.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark"
    if b"\r" in head and b"\n" not in head:
        return "has lines that end with CR alone"
    return ""


def _is_block(head: bytes) -> bool:
    # "BC" is the extra field by which bgzip marks its blocks; plain gzip has none.
    return head[:4] == _BLOCK_HEADER and head[12:14] == b"BC"


class Text:
    """Bytes of a plain or bgzipped FASTA by their place in the text.

    Opening walks the bgzip blocks (about 1 s for a human genome).

    Parameters
    ----------
    path : Path
    shown : Path, optional
        What messages call the file, where `path` is a copy of ours.

    Attributes
    ----------
    blocks : ndarray (blocks, 2) or None
        Byte of each bgzip block in the file, and the byte of the text that it begins with; None for
        plain text.
    size : int
        Bytes of the text.

    Raises
    ------
    InputError
        For a file that is missing, empty, truncated, no FASTA, or gzip without blocks.
    """

    def __init__(self, path: Path, shown: Path | None = None) -> None:
        self.shown = shown or path
        try:
            self._file = path.open("rb")
        except OSError as error:
            message = f"cannot be read ({error.strerror})"
            raise InputError(self.shown, message, "a FASTA, plain or bgzipped") from None
        self.path = path
        self._memo = (-1, b"")
        self.blocks: np.ndarray | None = None
        self.size = path.stat().st_size
        try:
            if self._file.read(2) == b"\x1f\x8b":
                self.blocks, self.size = self._walk()
            first = self.read(0, 4096).lstrip()[:1]
            if not first and self.size < 4096:
                raise InputError(self.shown, "is empty", "a FASTA, plain or bgzipped")
            if first != b">":
                raise InputError(
                    self.shown,
                    f"is no FASTA: it begins with {first.decode('latin-1')!r}",
                    "a first line >name",
                )
            head = self.read(0, _LONGEST_HEADER).lstrip()
            if not re.search(b"[\r\n]", head) and len(head) > _LONGEST_HEADER // 2:
                message = f"is no FASTA: its first line has over {len(head) - 1:,} letters"
                raise InputError(self.shown, message, "a first line >name, and letters below it")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _walk(self) -> tuple[np.ndarray, int]:
        """Byte and text place of every block, as rows, and the length of the text."""
        total = self.path.stat().st_size
        at, text = 0, 0
        rows: list[tuple[int, int]] = []
        while at < total:
            self._file.seek(at)
            head = self._file.read(18)
            if len(head) < 18:
                break
            # The header holds the size of the block less one.
            size = struct.unpack("<H", head[16:18])[0] + 1
            if not _is_block(head) or size < _LEAST_BLOCK:
                raise InputError(
                    self.shown, f"has a damaged bgzip block at byte {at:,}", "copy it again"
                )
            rows.append((at, text))
            at += size
            # A block ends with the length of its text, so that nothing need be inflated here.
            self._file.seek(at - 4)
            tail = self._file.read(4)
            text += struct.unpack("<I", tail)[0] if len(tail) == 4 else 0
        self._file.seek(max(0, total - len(END_OF_FILE)))
        if at != total or self._file.read() != END_OF_FILE:
            raise InputError(
                self.shown, "is truncated (no bgzip end-of-file block)", "copy or compress it again"
            )
        return np.array(rows, np.int64), text

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes of the text from `start`; raises InputError for a damaged block."""
        if self.blocks is None:
            self._file.seek(start)
            return self._file.read(size)
        parts = []
        # An empty block begins where the next one does: "right" takes the one that holds text.
        block = int(np.searchsorted(self.blocks[:, 1], start, "right")) - 1
        skip = start - int(self.blocks[block, 1])
        while size > 0 and block < len(self.blocks):
            part = self._block(self.blocks, block)[skip : skip + size]
            parts.append(part)
            size, skip, block = size - len(part), 0, block + 1
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends; raises InputError for a damaged block before any of its
        letters.
        """
        with io.BufferedReader(_Stream(self), 1 << 16) as stream:
            yield from stream

    def _block(self, blocks: np.ndarray, number: int) -> bytes:
        # Reads mostly follow each other within a block of 64 KB; one block is kept.
        if self._memo[0] != number:
            at, stop = int(blocks[number, 0]), blocks[number + 1 : number + 2, 0]
            self._file.seek(at)
            try:
                data = zlib.decompress(self._file.read(int(stop[0]) - at if len(stop) else -1), 31)
            except zlib.error as error:
                raise InputError(
                    self.shown, f"has a damaged bgzip block at byte {at:,} ({error})", "copy it"
                ) from None
            self._memo = (number, data)
        return self._memo[1]


class _Stream(io.RawIOBase):
    """The text from its beginning, for a buffer to read lines of."""

    def __init__(self, text: Text) -> None:
        self._text, self._at = text, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._text.read(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def is_bgzf(path: Path) -> bool:
    """Whether a file begins with a block of bgzip, and is no plain gzip."""
    with path.open("rb") as file:
        return _is_block(file.read(18))


def write_bgzip(text: bytes, path: Path) -> None:
    """Write a text as bgzip, on all cores where it is long: one packs 30 MB of text a second, and a
    GPU makes more.

    The bytes do not depend on how many cores there are.
    """
    chunks = [text[at : at + _BLOCK_TEXT] for at in range(0, len(text), _BLOCK_TEXT)]
    # zlib lets go of Python's lock. A few blocks are done before threads are there.
    threads = min(len(chunks) // _FEWEST_CHUNKS, os.cpu_count() or 1, _MOST_THREADS)
    with ThreadPoolExecutor(max(threads, 1)) as pool, path.open("wb") as file:
        spread = pool.map if threads > 1 else map
        for block in spread(_deflate, chunks):
            file.write(block)
        file.write(END_OF_FILE)


def _deflate(text: bytes) -> bytes:
    """One block of bgzip."""
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflater.compress(text) + deflater.flush()
    # Of a block the whole size less one, in the extra field BC.
    size = len(_BLOCK_HEAD) + 2 + len(packed) + 8 - 1
    tail = struct.pack("<II", zlib.crc32(text), len(text))
    return b"".join((_BLOCK_HEAD, struct.pack("<H", size), packed, tail))


def open_bgzip(path: Path) -> pysam.BGZFile:
    """A bgzip file to write bytes to.

    The trap: pysam ends the process where it cannot write, so the file is best there already
    (`Path.touch`).
    """
    return pysam.BGZFile(str(path), "wb", None)
