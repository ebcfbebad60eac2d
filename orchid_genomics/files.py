"""Files as every floor reads and writes them: whole or not there, checked, text line by line.

The trap: a disk that fills, or a kill, must leave what stood there before; so everything is written
under a temporary name and renamed.
"""

import gzip
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchid_genomics.errors import InputError, MachineError, reason


@contextmanager
def writable(path: object, possible: str = "a folder with room") -> Iterator[None]:
    """What fails to be written within is a MachineError: a full disk, a folder that nobody may
    write in.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error
        while not isinstance(cause, OSError) and cause.__context__ is not None:
            cause = (
                cause.__context__
            )  # torch says "unexpected pos" where the disk said that it is full
        if not isinstance(cause, OSError):
            raise
        raise MachineError(path, f"cannot be written ({reason(cause)})", possible) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place, flushed to disk, when the block ends
    well; else it goes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class replacing_folder:
    """A context: a temporary folder beside `folder` that takes its name when the block ends well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        try:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
        except OSError as error:
            raise MachineError(self.folder, f"cannot be written ({error.strerror})") from None
        return self.part

    def __exit__(self, kind, error, trace) -> None:
        try:
            if error is None:
                self._take_the_name()
                return
        except OSError as failure:
            error = failure
        shutil.rmtree(self.part, ignore_errors=True)
        if isinstance(error, OSError):
            raise MachineError(
                self.folder, f"cannot be written ({error})", "what stood there before is kept"
            ) from None

    def _take_the_name(self) -> None:
        old = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.old")
        if self.folder.exists():
            self.folder.rename(old)
        try:
            self.part.rename(self.folder)
        except OSError:
            if old.exists():
                old.rename(self.folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def checksum(path: Path) -> str:
    """The SHA-256 of a file as it lies on the disk, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, of a plain, gzip or bgzip text; raises InputError when it cannot be
    read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if packed
            else path.open(encoding="utf-8") as text
        ):
            for number, line in enumerate(text, 1):
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(path, "is no text (UTF-8)", "plain or gzipped text") from None
    except EOFError:
        raise InputError(path, "is truncated gzip", "copy it again") from None
    except (OSError, zlib.error) as error:
        raise InputError(
            path, f"cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError when it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "a model folder of this tool"
        ) from None
    except ValueError as error:
        raise InputError(path, f"is damaged ({error})", "a JSON object") from None
    if not isinstance(values, dict):
        raise InputError(path, "is damaged (not an object)", "a JSON object")
    return values


def finite(values: Any) -> Any:
    """The same values with None for every NaN or infinity, which JSON has no word for (`NaN` is
    Python's own).
    """
    if isinstance(values, Mapping):
        return {key: finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def write_json(path: Path, values: Any, indent: int = 2) -> None:
    """Write values as JSON, whole or not at all; a number that is not finite becomes null.

    Raises MachineError when it cannot be written, with what stood there before still in place.
    """
    with writable(path, "a disk with room"), replacing(path) as part:
        text = json.dumps(finite(values), indent=indent, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")
