"""Files as every floor reads and writes them: whole or not there, checked, text line by line.

The trap: a disk that fills, or a kill, must leave what stood there before; so everything is written
under a temporary name and renamed.
"""

import atexit
import codecs
import contextlib
import ctypes
import fcntl
import functools
import gzip
import hashlib
import io
import json
import math
import os
import shutil
import socket
import stat
import sys
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from orchid_genomics.errors import InputError, MachineError, reason

LONGEST_LINE = 1 << 26  # characters; a gzip of 3 MB can open to a line of 3 GB
JSON_BYTES = 1 << 28  # the provenance of a model of many genomes has some millions
_GZIP = b"\x1f\x8b"
_HEAP = b"GCOL\x01\x00\x00\x00"  # of text in an HDF5: signature, version, padding
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def writable(path: object, possible: str = "a folder with room") -> Iterator[None]:
    """What fails to be written within, as on a full disk, is a MachineError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch says "unexpected pos" where the disk said that it is full: the OSError lies beneath
        cause: BaseException = error
        while not isinstance(cause, OSError) and cause.__context__ is not None:
            cause = cause.__context__
        if not isinstance(cause, OSError):
            raise
        raise MachineError(path, f"cannot be written ({reason(cause)})", possible) from None


def temporary_name(path: Path) -> Path:
    """A name beside `path` that is this process's own; what a killed process of this machine left
    under such a name of the same `path` is removed.
    """
    before = f".{path.name}.{_machine()}-"
    for left in _left_behind(path.parent, before, ".tmp"):
        _remove(left)
    return path.with_name(f"{before}{os.getpid()}.tmp")


def _left_behind(folder: Path, before: str, after: str) -> list[Path]:
    """Files and folders named `before`, the number of a process that has ended, and what begins
    with `after`.
    """
    left = []
    for name in _names_in(folder):
        pid, dot, rest = name.removeprefix(before).partition(".")
        ours = name.startswith(before) and (dot + rest).startswith(after)
        if ours and pid.isdecimal() and not _lives(int(pid)):
            left.append(folder / name)
    return left


def _remove(path: Path) -> None:
    """Remove a file or a whole folder, as far as that may be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # whoever writes there says what is wrong with it
        return []


@functools.cache
def _machine() -> str:
    """This machine, or container, in 8 letters.

    The number of a process says nothing of one on another machine, which may share the folder.
    """
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""  # no Linux, and no containers with numbers of their own
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, for what is made before it takes its name; it goes as the block
    ends, or with the next one of its name after a kill.
    """
    folder = temporary_name(path)
    _remove(folder)
    try:
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the system's temporary one, which goes as the block ends; what a killed process
    of this machine left there goes now.
    """
    folder = Path(tempfile.mkdtemp(prefix=_scratch_name()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scratch_name() -> str:
    """How names of this process begin in the system's temporary folder, swept of older ones."""
    before = f"orchid-genomics.{_machine()}-"
    for left in _left_behind(Path(tempfile.gettempdir()), before, "."):
        _remove(left)
    return f"{before}{os.getpid()}."


@contextmanager
def utf8_name(path: Path) -> Iterator[Path]:
    """The path, or a link to it, for a library that takes every name to be UTF-8; the file need not
    be there yet.

    A name may hold any bytes, and in a locale such as latin-1 the text of a good one is another.
    """
    if _is_utf8(str(path)):
        yield path
        return
    with scratch_folder() as folder:
        link = folder / "link"
        # To the folder where that will do: what a library renames into place replaces no link then.
        if _is_utf8(path.name):
            link.symlink_to(path.parent.absolute())
            yield link / path.name
            return
        link.symlink_to(path.absolute())
        yield link


def _is_utf8(name: str) -> bool:
    try:
        return os.fsencode(name) == name.encode("utf-8")
    except UnicodeEncodeError:
        return False


def require_no_device(out: str | Path, possible: str) -> None:
    """Raise InputError where an output is a device or a pipe: what is renamed into its place would
    put a file where it stood.
    """
    path = Path(os.path.abspath(out))
    # /dev/stdout may be a link to the file that a shell opened.
    in_system = path.parts[1:2] in (("dev",), ("proc",)) and path.parts[2:3] != ("shm",)
    if path.exists() and not path.is_dir() and (in_system or not path.is_file()):
        raise InputError("out", f"{out} is no file but a device or pipe", possible)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place, flushed to disk, when the block ends
    well; else it goes. Raises InputError where `path` is a device or pipe.
    """
    require_no_device(path, "another name")
    temporary = temporary_name(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            # The new name may reach the disk before the bytes do: a power cut would leave it empty.
            os.fsync(file.fileno())
        _share(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class atomic_folder:
    """A temporary folder beside `folder` that takes its name when the block ends well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = temporary_name(folder)

    def __enter__(self) -> Path:
        if self.folder.exists() and not self.folder.is_dir():
            raise MachineError(self.folder, "cannot be written (it is a file)", "a folder")
        try:
            self._put_back()
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
        except OSError as error:
            raise MachineError(self.folder, f"cannot be written ({error.strerror})") from None
        return self.part

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        for file in self.part.rglob("*"):
            if file.is_file():
                _share(file)
        if not self.folder.exists():
            self.part.rename(self.folder)
            return
        if _exchange(self.part, self.folder):
            shutil.rmtree(self.part, ignore_errors=True)
            return
        # A folder cannot take the name of one that holds files: the old one steps aside first, and
        # back again when that fails.
        old = self._aside(os.getpid())
        self.folder.rename(old)
        try:
            self.part.rename(self.folder)
        except OSError:
            old.rename(self.folder)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _aside(self, pid: object) -> Path:
        return self.folder.with_name(f".{self.folder.name}.{_machine()}-{pid}.old")

    def _put_back(self) -> None:
        """Give a folder its name again that a killed process had put aside."""
        for old in _left_behind(self.folder.parent, self._aside("").name[: -len(".old")], ".old"):
            if self.folder.exists():
                _remove(old)
            else:
                old.rename(self.folder)


def _exchange(one: Path, other: Path) -> bool:
    """Give two paths each other's name in one step, so that no kill finds neither; False where the
    system cannot.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    rename.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    here = -100  # AT_FDCWD: relative paths begin in the working folder
    exchange = 2  # RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _share(path: Path) -> None:
    """Give a file the permissions of the user's umask.

    Some writers (safetensors, temporary files) leave it to its owner alone, and a group that shares
    a folder of models could not read them.
    """
    # The umask can be read only by setting another.
    umask = os.umask(0o077)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


class Lock:
    """A file or folder for one process at a time, held until `release`, or until this is collected.

    The system lets go of it when the process ends in any way, so that a kill leaves nothing behind,
    neither a lock nor a file.

    Parameters
    ----------
    path
        A file or folder that is there.
    possible
        What to do while another process holds it.
    shared
        Whether others may hold it so too.

    Raises
    ------
    MachineError
        Another process, or another part of this one, holds it.
    """

    def __init__(
        self, path: Path, possible: str = "wait for it, or another `out`", shared: bool = False
    ) -> None:
        handle = os.open(path, os.O_RDONLY)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise MachineError(path, "is in use by another run", possible) from None
        except OSError:
            # Some network file systems have no locks. A run there is as safe as it was without.
            pass
        self._close = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        """Let go of it; more than once does nothing."""
        self._close()


def cache_folder() -> Path:
    """Where files of our own are kept between runs: $ORCHID_CACHE, else ~/.cache/orchid-genomics.

    A container may have no home and no entry in passwd; then it is a folder of this user's in the
    system's temporary one.
    """
    named = os.environ.get("ORCHID_CACHE")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "orchid-genomics"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"orchid-genomics-{os.getuid()}"


def checksum(path: Path) -> str:
    """The SHA-256 of a file as it lies on the disk, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_regular(path: str | Path) -> bool:
    """Whether a path is a file on a disk, which can be opened twice: no pipe, device, folder or
    ``-``; False too where there is nothing.
    """
    try:
        return str(path) != "-" and stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def regular_copy(path: str | Path) -> Path:
    """The path itself, or for a pipe or ``-`` (standard input) a temporary copy of what came
    through it, which goes when the process ends.

    A pipe gives its bytes once. Whoever must read a file twice reads this in its place.
    Raises InputError when it cannot be read, MachineError when there is no room for the copy.
    """
    if is_regular(path) or (str(path) != "-" and not os.path.exists(path)):
        # What is not there is left to whoever opens it, who says so.
        return Path(path)
    if str(path) != "-" and Path(path).is_char_device():
        # /dev/zero has no end, and would fill the disk.
        raise InputError(path, "is a device", "a file, a pipe, or -")
    with open_bytes(path) as source:
        handle, name = tempfile.mkstemp(prefix=_scratch_name())
        copy = Path(name)
        atexit.register(copy.unlink, missing_ok=True)
        with writable(copy.parent), os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return copy


@contextmanager
def name_errors(copy: str | Path | None, given: str | Path | None) -> Iterator[None]:
    """What is wrong with a `regular_copy` is said of what the user gave; None is no file."""
    try:
        yield
    except InputError as error:
        if copy is None or str(copy) == str(given):
            raise
        shown = "standard input" if str(given) == "-" else str(given)
        where, found = (text.replace(str(copy), shown) for text in (error.where, error.found))
        raise type(error)(where, found, error.possible) from None


@contextmanager
def open_bytes(path: str | Path, shown: object = None) -> Iterator[BinaryIO]:
    """The bytes of a file, ``-`` or pipe, opened once. Raises InputError when they cannot be read,
    also within the block; it calls the file `shown`, if that is given.
    """
    # Python has no stdin at all where the shell closed it (`<&-`).
    if str(path) == "-" and (sys.stdin is None or sys.stdin.closed):
        raise InputError("standard input", "is closed", "the name of a file, or text piped in")
    # `open` would raise ValueError, which is not caught below.
    if "\0" in str(path):
        raise InputError(repr(str(path)), "is no name of a file", "one without NUL bytes")
    try:
        if str(path) == "-":
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                yield file
    # gzip's word for a file cut short; it is no OSError.
    except EOFError:
        raise InputError(shown or path, "is truncated gzip", "copy it again") from None
    except (OSError, zlib.error) as error:
        raise InputError(shown or path, f"cannot be read ({reason(error)})") from None


@contextmanager
def open_content(path: str | Path, shown: object = None) -> Iterator[BinaryIO]:
    """The content of a file, ``-`` or pipe: decompressed where it is gzip or bgzip, without a byte
    order mark. Raises InputError as `open_bytes`, and for UTF-16.
    """
    with open_bytes(path, shown) as raw:
        content: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
        # by its first bytes and not its name: gzip is often called .txt, and text .gz
        if content.peek(2)[:2] == _GZIP:
            content = gzip.GzipFile(fileobj=content)
        head = content.peek(3)[:3]
        if head[:2] in _UTF16:
            raise InputError(
                shown or path, "is no text (UTF-8) but UTF-16", "plain or gzipped UTF-8 text"
            )
        if head == codecs.BOM_UTF8:
            content.read(3)
        yield content


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, of a plain, gzip or bgzip text, ``-`` or pipe, without their ends.

    Lines end with LF, CRLF or CR. The file is opened once and read once, in constant memory.

    Raises
    ------
    InputError
        When it cannot be read, is cut short, is no text (UTF-8), holds a NUL byte, or has a line of
        more than 67 million characters.
    """
    number = 0
    try:
        with open_content(path) as content:
            text = io.TextIOWrapper(content, encoding="utf-8")
            try:
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    if len(line) == LONGEST_LINE and not line.endswith("\n"):
                        raise InputError(
                            f"{path} line {number}",
                            f"more than {LONGEST_LINE - 1:,} characters",
                            "text in lines (is it another kind of file?)",
                        )
                    if "\0" in line:
                        raise InputError(
                            f"{path} line {number}", "a NUL byte", "text; copy it again"
                        )
                    yield number, line.removesuffix("\n")
            finally:
                # The wrapper would close standard input when it goes.
                text.detach()
    except UnicodeDecodeError:
        raise InputError(path, "is no text (UTF-8)", "plain or gzipped text") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises InputError when it is missing, damaged, endless or no file."""
    if path.exists() and not is_regular(path):
        raise InputError(path, "is no regular file", "a model folder of this tool")
    try:
        size = path.stat().st_size
        if size > JSON_BYTES:
            message = f"has {size:,} bytes"
            raise InputError(path, message, f"JSON of at most {JSON_BYTES:,}")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "a model folder of this tool"
        ) from None
    # JSON nested without end exhausts the stack: that is no ValueError.
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is damaged ({reason(error)})", "a JSON object") from None
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
    with writable(path, "a disk with room"), atomic_file(path) as part:
        text = json.dumps(finite(values), indent=indent, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


class _Sink(io.RawIOBase):
    """A file that takes whatever is written to it, and keeps the error of a disk that does not.

    Reads of what was lost give zeros.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = path.open("w+b", buffering=0)
        self._at = self._size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        self._try(lambda: self._file.truncate(self._size))
        return self._size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._file.fileno(), len(view), self._at)
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        self._at += len(view)
        return len(view)

    def write(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._try(lambda: self._write_all(view, self._at))
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _write_all(self, view: memoryview, at: int) -> None:
        while view:
            # A disk that is nearly full takes a part of what it is given.
            count = os.pwrite(self._file.fileno(), view, at)
            view, at = view[count:], at + count

    def _try(self, write: Callable[[], object]) -> None:
        # After the first failure the file is lost, and only that failure says why.
        if self.error is None:
            try:
                write()
            except OSError as error:
                self.error = error


@contextmanager
def create_hdf5(path: Path) -> Iterator[Any]:
    """A new HDF5 file, open for writing; raises OSError where the disk is full.

    HDF5 ends the process by a segmentation fault when it cannot write what it still holds as it
    closes. So it writes through Python, is never told of a failure, and the failure is raised here.
    """
    import h5py

    with contextlib.closing(_Sink(path)) as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        except Exception:
            if sink.error is None:
                raise
            # what cannot be written cannot be read again: all that follows is of the same cause
        if sink.error is not None:
            raise sink.error


def open_hdf5(path: Path) -> Any:
    """An HDF5 file (`h5py.File`), open for reading; whoever opens it closes it.

    Raises
    ------
    InputError
        A heap of text in it has no end, over which the HDF5 library would turn for ever.
    OSError
        It cannot be read, or is no HDF5.
    """
    import h5py

    _check_heaps(path)
    return h5py.File(path, "r")


def _check_heaps(path: Path) -> None:
    """Refuse a file whose heaps of text never end: the HDF5 library would read them for ever.

    A heap is a collection of objects, each with its size. One of no size is never passed by, and
    one of nearly 2^64 bytes leads back (the file format's level 1E, "global heap").
    """
    damaged = InputError(path, "is damaged (a heap of text that has no end)", "copy it again")
    if not is_regular(path) or path.stat().st_size == 0:
        # A pipe or an empty file cannot be mapped, and is no HDF5 either.
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        at = content.find(_HEAP)
        while at >= 0:
            header = content[at : at + 16]
            end = at + int.from_bytes(header[8:], "little")
            at_object = at + 16
            while at_object + 16 <= min(end, len(content)):
                index = int.from_bytes(content[at_object : at_object + 2], "little")
                size = int.from_bytes(content[at_object + 8 : at_object + 16], "little")
                # Object 0 is what is free, its own header counted in.
                if index == 0:
                    if size < 16 or at_object + size > end:
                        raise damaged
                    break
                at_object += 16 + -(-size // 8) * 8
                if at_object > end:
                    raise damaged
            at = content.find(_HEAP, at + len(_HEAP))
