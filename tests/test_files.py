"""One reader for all text, and files that are whole or not there."""

import gzip
import os
import resource
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from orchid_genomics import files
from orchid_genomics.data.embeddings import Embeddings
from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.explain.arrays import read_explained
from orchid_genomics.files import (
    Lock,
    atomic_file,
    atomic_folder,
    create_hdf5,
    name_errors,
    open_hdf5,
    read_lines,
    regular_copy,
)

LINES = [(1, "a\tb"), (2, ""), (3, "ü")]

# Text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("last", [True, False])
def test_marks_line_ends_and_compression_do_not_matter(tmp_path, end, mark, pack, last):
    path = tmp_path / "a.txt"
    text = end.join(["a\tb", "", "ü"]) + (end if last else "")
    path.write_bytes(pack(mark + text.encode()))
    assert list(read_lines(path)) == LINES


def test_a_mark_between_members_of_a_gzip_is_text(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfa\n") + gzip.compress(b"b\n"))
    assert list(read_lines(path)) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_once_and_whole(tmp_path, pack):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    text = b"".join(b"line %d\n" % number for number in range(50_000))
    writer = threading.Thread(target=path.write_bytes, args=(pack(text),))
    writer.start()
    lines = list(read_lines(path))
    writer.join()
    assert len(lines) == 50_000
    assert lines[-1] == (50_000, "line 49999")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_dash_is_standard_input(pack):
    program = "from orchid_genomics.files import read_lines; print(list(read_lines('-')))"
    run = subprocess.run(
        [sys.executable, "-c", program], input=pack(b"\xef\xbb\xbfa\r\nb"), capture_output=True
    )
    assert run.stdout.decode().strip() == "[(1, 'a'), (2, 'b')]"


def test_what_is_wrong_with_a_copy_is_said_of_what_was_given():
    for copy, given, said in (
        ("/tmp/x", "-", "standard input line 2: standard input is short; more"),
        ("/tmp/x", "pipe", "pipe line 2: pipe is short; more"),
        ("/tmp/x", "/tmp/x", "/tmp/x line 2: /tmp/x is short; more"),
        (None, None, "/tmp/x line 2: /tmp/x is short; more"),
    ):
        with pytest.raises(InputError) as error, name_errors(copy, given):
            raise InputError("/tmp/x line 2", "/tmp/x is short", "more")
        assert str(error.value) == said


def test_a_closed_standard_input_is_one_line():
    program = (
        "import sys; from orchid_genomics.errors import InputError\n"
        "from orchid_genomics.files import read_lines\n"
        "try: list(read_lines('-'))\nexcept InputError as error: print(error)"
    )
    run = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$1" <&-', "sh", program],
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith("standard input: is closed")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\xff\xfeb\n", r"a\.txt: is no text \(UTF-8\)"),
        ("a\n".encode("utf-16"), r"a\.txt: is no text \(UTF-8\) but UTF-16; plain or gzipped"),
        (b"a\nb\0c\n", r"a\.txt line 2: a NUL byte"),
        (gzip.compress(b"a\n" * 9999)[:-12], r"a\.txt: is truncated gzip; copy it again"),
        (gzip.compress(b"a\n") + b"tail", r"a\.txt: cannot be read \(Not a gzipped file"),
        (b"\x1f\x8b\x08\x00" + bytes(40), r"a\.txt: cannot be read"),
    ],
    # Names of the bytes would hold the time that gzip writes, another in each worker.
    ids=["no UTF-8", "UTF-16", "NUL", "cut gzip", "a tail after gzip", "no gzip"],
)
def test_what_is_no_text_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(read_lines(path))
    assert "\n" not in str(caught.value)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "bomb.bed.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"chr1\t0\t5\n")
        for _ in range(80):
            file.write(b"A" * 1_000_000)
    assert path.stat().st_size < 500_000
    lines = read_lines(path)
    assert next(lines) == (1, "chr1\t0\t5")
    with pytest.raises(InputError, match=r"bomb\.bed\.gz line 2: more than 67,108,863 characters"):
        next(lines)


def test_a_line_up_to_the_bound_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 10)
    path = tmp_path / "a.txt"
    path.write_text("123456789\n12345678\n123456789")
    assert [len(line) for _, line in read_lines(path)] == [9, 8, 9]


@pytest.mark.parametrize("name", ["none.txt", ".", "\0"])
def test_what_cannot_be_opened_is_one_line(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be read|is no name of a file"):
        list(read_lines(tmp_path / name if name != "\0" else "a\0b"))


# Copies of pipes


def test_a_regular_file_is_its_own_copy(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\n")
    assert regular_copy(path) == path


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_copied_for_it_may_have_no_end(device):
    with pytest.raises(InputError, match=f"^{device}: is a device; a file, a pipe, or -$"):
        regular_copy(device)


def test_a_pipe_is_copied_and_the_copy_goes_with_the_process(tmp_path):
    program = (
        "import sys; from orchid_genomics.files import regular_copy\n"
        "copy = regular_copy('/dev/stdin'); print(copy, copy.read_bytes(), copy.read_bytes())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input=b"twice", capture_output=True, check=True
    )
    name, *twice = run.stdout.decode().split()
    assert twice == ["b'twice'", "b'twice'"]
    assert not Path(name).exists()


def test_a_cache_needs_no_home():
    program = "from orchid_genomics.files import cache_folder; print(cache_folder())"
    patched = (
        "import pathlib\ndef none(): raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.home = none\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "ORCHID_CACHE"}
    run = subprocess.run(
        [sys.executable, "-c", patched + program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert run.stdout.strip().endswith(f"orchid-genomics-{os.getuid()}")


# Writing


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with suppress(KeyError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_a_file_has_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_folder_takes_the_place_of_the_old_one_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "run"
    with atomic_folder(folder) as part:
        (part / "a").write_text("1")
    with suppress(KeyError), atomic_folder(folder) as part:
        (part / "b").write_text("2")
        raise KeyError
    assert [each.name for each in folder.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [folder]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(MachineError, match="cannot be written"), atomic_folder(blocked / "run"):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
from orchid_genomics.files import atomic_file, atomic_folder
with atomic_file(Path("a.txt")) as part, atomic_folder(Path("run")) as folder:
    part.write_text("half")
    (folder / "b").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_run_and_a_living_one_s_stays(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path)
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    living = files.temporary_name(tmp_path / "a.txt").name.replace(
        f"-{os.getpid()}.", f"-{os.getppid()}."
    )
    others = {living, ".a.txt.00000000-999999999.tmp", ".a.txt.tmp", ".b.txt.1.tmp"}
    for name in others:
        (tmp_path / name).write_text("of a living process, another machine, or not ours")
    with atomic_file(tmp_path / "a.txt") as part:
        part.write_text("whole")
    with atomic_folder(tmp_path / "run") as folder:
        (folder / "b").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == others | {"a.txt", "run"}


def test_a_folder_put_aside_by_a_killed_process_has_its_name_again(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    folder = tmp_path / "model"
    aside = files.atomic_folder(folder)._aside(999_999_999)
    aside.mkdir()
    (aside / "weights").write_text("old")
    with suppress(KeyError), atomic_folder(folder):
        assert (folder / "weights").read_text() == "old"
        raise KeyError
    aside.mkdir()
    with atomic_folder(folder) as part:
        (part / "weights").write_text("new")
    assert (folder / "weights").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_changes_places_with_the_old_one_in_one_step(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not files._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this system cannot")
    assert (tmp_path / "one" / "other").exists()
    assert (tmp_path / "other" / "one").exists()


def test_a_folder_takes_no_file_s_place(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(MachineError, match=r"notes\.txt: cannot be written"), atomic_folder(path):
        pass
    assert path.read_text() == "mine"


SCRATCH = """
import os, signal, sys
from orchid_genomics.files import regular_copy, scratch_folder
with scratch_folder() as folder:
    (folder / "part").write_text("half")
    regular_copy("-")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_in_the_temporary_folder_goes_with_the_next(
    tmp_path, monkeypatch
):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SCRATCH], env=environment, input=b"x", check=False)
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "orchid-genomics.00000000-999999999.x").mkdir()
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    with files.scratch_folder() as folder:
        assert {path.name for path in tmp_path.iterdir()} == {
            folder.name,
            "orchid-genomics.00000000-999999999.x",
        }
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_no_file_takes_the_place_of_a_device_or_pipe(tmp_path, kind):
    path = Path(os.devnull)
    if kind == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)
    if kind == "link":
        # What the shell of `> file` makes of /dev/stdout: a link to a file, in the system's folder.
        path = Path("/proc/self/exe")
    before = path.lstat().st_mode
    with (
        pytest.raises(InputError, match=r"^out: .* is no file but a device or pipe; another name$"),
        atomic_file(path) as part,
    ):
        part.write_text("x")
    assert path.lstat().st_mode == before


def test_a_name_of_any_bytes_has_another_of_utf8(tmp_path):
    with files.utf8_name(tmp_path / "gène") as name:
        assert name == tmp_path / "gène"
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/g\xe8ne"))
    with files.utf8_name(path) as name:
        str(name).encode("utf-8")
        name.write_text("x")
    assert path.read_text() == "x"
    assert not name.exists()
    (path.parent / path.name[:1]).touch()
    folder = path.with_name(path.name + "2")
    folder.mkdir()
    with files.utf8_name(folder / "weights") as name:
        (path.parent / path.name[:1]).replace(name)
    assert [each.name for each in folder.iterdir()] == ["weights"]


# Permissions and locks


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_permissions_of_the_umask_whoever_wrote_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_file(tmp_path / "a") as part:
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
        with atomic_folder(tmp_path / "folder") as part:
            os.close(os.open(part / "b", os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    for name in ("a", "folder/b"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


HOLD = """
import sys, time
from pathlib import Path
from orchid_genomics.files import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_of_one_process_and_a_kill_leaves_none_behind(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(MachineError, match=r"is in use by another run; wait for it, or another `o"):
        Lock(tmp_path)
    holder.kill()
    holder.communicate()
    lock = Lock(tmp_path)
    with pytest.raises(MachineError, match="is in use"):
        Lock(tmp_path)
    lock.release()
    lock.release()
    Lock(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk():
    """No file may grow beyond 64 kB: what a full disk does, on any machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(file, rows):
    data = file.create_dataset("x", (rows, 64), "f4", chunks=(50, 64), compression="gzip")
    names = file.create_dataset("name", (rows,), h5py.string_dtype())
    for at in range(0, rows, 50):
        data[at : at + 50] = np.random.default_rng(at).random((50, 64))
        names[at : at + 50] = np.array([f"n{i}" for i in range(50)], object)


def test_an_hdf5_that_no_disk_takes_is_an_error_and_no_crash(tmp_path, small_disk):
    with pytest.raises(OSError, match="File too large"), create_hdf5(tmp_path / "a.h5") as file:
        fill(file, 2_000)


def test_an_hdf5_holds_what_was_written_and_the_same_bytes_each_time(tmp_path):
    for name in "ab":
        with create_hdf5(tmp_path / f"{name}.h5") as file:
            fill(file, 500)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "c.h5", "w") as plain:
        fill(plain, 500)
        with h5py.File(tmp_path / "a.h5") as file:
            for name in ("x", "name"):
                np.testing.assert_array_equal(file[name][()], plain[name][()])


@pytest.mark.parametrize(
    "size", [bytes(8), (2**64 - 16).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little")]
)
@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("read", [open_hdf5, Embeddings, lambda path: list(read_explained(path))])
def test_a_heap_without_an_end_is_refused_by_every_reader_of_hdf5(tmp_path, size, free, read):
    """The HDF5 library turns over it for ever: an object of no size, or of one that wraps."""
    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("chrom", data=["chrI", "chrII"], dtype=h5py.string_dtype())
    open_hdf5(path).close()
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL") + 16
    while free and int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = size
    path.write_bytes(content)
    if not free and not any(size):  # an empty text, which has an end
        return
    with pytest.raises(InputError, match=r"odd.h5: is damaged \(a heap of text that has no end\)"):
        read(path)
