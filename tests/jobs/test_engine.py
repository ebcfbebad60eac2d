"""A job in blocks: killed anywhere, resumed, or split and merged, it writes the bytes of one quiet
run.
"""

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.files import atomic_file
from orchid_genomics.jobs.engine import Job, Manifest, join_parts, stream
from orchid_genomics.jobs.output import Destination, parse_shard, parts_folder
from orchid_genomics.jobs.task import Format, Identity, Task


class Lines(Format):
    """The simplest format: text with a header."""

    def write(self, answers, part):
        part.write_text("".join(answers))

    def join(self, parts, out):
        with atomic_file(out) as temporary:
            temporary.write_text("head\n" + "".join(part.read_text() for part in parts))

    def pipe(self, answers, out):
        out.write(b"head\n")
        for some in answers:
            out.write("".join(some).encode())


class Options(Identity):
    summary_fields = ("window",)
    input: str = "abc"
    window: int = 8
    kind: str = "txt"


class Counting(Task[Options]):
    name, unit, identity = "test", "records", Options

    def format(self, identity):
        return Lines()

    def lines(self, identity, summary):
        yield f"{summary['records']} records"


class Work:
    """Numbers from 0; `score` may stand in for the answer of a block."""

    def __init__(self, count, score=None):
        self.numbers, self.score = range(count), score

    def __len__(self):
        return len(self.numbers)

    def __iter__(self):
        return iter(self.numbers)

    def answer(self, records):
        return (self.score or answer)(records)

    def check_inputs(self):
        pass


def answer(some):
    """A block's answer knows its own records alone."""
    return [f"{value} of {len(some)}\n" for value in some], {"records": len(some), "sum": sum(some)}


def job(out, records=10, shard=(1, 1), resume=False, window=8):
    where = Destination(Path(out), shard, resume)
    return Job(Counting(), Options(window=window), where, records, 3)


def run(job, records=10, score=None, quiet=True):
    return stream(job, Work(records, score), Lines(), quiet)


def whole(tmp_path, records=10):
    run(job(tmp_path / "whole", records), records)
    return (tmp_path / "whole").read_text()


class Killed(Exception):
    pass


def dying(after):
    calls = []

    def score(some):
        calls.append(some)
        if len(calls) > after:
            raise Killed
        return answer(some)

    return score, calls


@pytest.mark.parametrize("records", [0, 1, 3, 10])
def test_every_record_is_answered_once_in_order(tmp_path, records):
    lines = whole(tmp_path, records).splitlines()
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(records))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole"]


def test_stats_of_all_blocks_come_back(tmp_path):
    stats = run(job(tmp_path / "out"), 10)
    assert [block["records"] for block in stats] == [3, 3, 3, 1]
    assert sum(block["sum"] for block in stats) == 45


@pytest.mark.parametrize("after", range(4))
def test_killed_after_any_block_and_resumed(tmp_path, after):
    score, _ = dying(after)
    with pytest.raises(Killed):
        run(job(tmp_path / "out"), 10, score)
    assert not (tmp_path / "out").exists()
    again, calls = dying(99)
    stats = run(job(tmp_path / "out", resume=True), 10, again)
    assert len(calls) == 4 - after
    assert (tmp_path / "out").read_text() == whole(tmp_path)
    assert sum(block["sum"] for block in stats) == 45


@settings(max_examples=25, deadline=None)
@given(records=st.integers(0, 23), shards=st.integers(1, 9), shared=st.booleans())
def test_shards_in_any_number_merge_to_one_run(tmp_path_factory, records, shards, shared):
    folder = tmp_path_factory.mktemp("shards")
    outs = []
    for i in range(shards, 0, -1):  # in any order, into one folder or several
        outs.append(folder / ("out" if shared else f"out{i}"))
        made = run(job(outs[-1], records, shard=(i, shards)), records)
        assert (made is None) == (shards > 1)
    if shards > 1:
        folders = sorted({parts_folder(out) for out in outs})
        join_parts(folders, Manifest.read(folders[0]), folder / "out", Lines())
    else:
        (folder / "out").write_text(outs[0].read_text())
    assert (folder / "out").read_text() == whole(folder, records)


def test_a_missing_shard_is_named(tmp_path):
    run(job(tmp_path / "out", shard=(1, 2)), 10)
    folder = tmp_path / "out.parts"
    with pytest.raises(
        InputError,
        match=r"2 of 4 blocks are missing, the first from record 7 \(1-based\); every shard",
    ):
        join_parts([folder], Manifest.read(folder), tmp_path / "out", Lines())
    assert not (tmp_path / "out").exists()


def test_another_job_in_the_same_place_is_refused(tmp_path):
    score, _ = dying(1)
    with pytest.raises(Killed):
        run(job(tmp_path / "out"), 10, score)
    with pytest.raises(
        InputError, match="holds parts of this job already; `resume` to go on, or remove the folder"
    ):
        run(job(tmp_path / "out"), 10)
    other = job(tmp_path / "out", window=16, resume=True)
    with pytest.raises(
        InputError, match="belongs to another job: window 8 -> 16; the same inputs and options"
    ):
        run(other)
    with pytest.raises(InputError, match="elsewhere: holds no parts of a job"):
        Manifest.read(tmp_path / "elsewhere")


def test_shards_of_two_jobs_do_not_merge(tmp_path):
    run(job(tmp_path / "a", shard=(1, 2)), 10)
    run(job(tmp_path / "b", 11, shard=(2, 2)), 11)
    with pytest.raises(InputError, match=r"b.parts: belongs to another job: records 11 -> 10"):
        join_parts(
            [tmp_path / "a.parts", tmp_path / "b.parts"],
            Manifest.read(tmp_path / "a.parts"),
            tmp_path / "c",
            Lines(),
        )


# Damage


def damage_nothing(part):
    part.write_bytes(b"")


def damage_half(part):
    part.write_bytes(part.read_bytes()[:5])


def damage_letter(part):
    part.write_bytes(b"?" + part.read_bytes()[1:])


def damage_receipt(part):
    part.with_suffix(".json").unlink()


def damage_receipt_text(part):
    part.with_suffix(".json").write_text('{"records": 3')


def damage_count(part):
    receipt = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(receipt | {"records": 2}))


def damage_stats(part):
    receipt = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(receipt | {"stats": {"odd": 1}}))


def damage_place(part):
    """The part and its receipt are those of the block behind it."""
    for ending in (".part", ".json"):
        other = part.with_name("00000001.part").with_suffix(ending)
        part.with_suffix(ending).write_bytes(other.read_bytes())


def damage_job(part):
    """The part is whole, and of a job of the same records with another option."""
    out = part.parent.with_name("other")
    run(job(out, shard=(1, 2), window=16))
    for ending in (".part", ".json"):
        other = out.with_name("other.parts") / part.name
        part.with_suffix(ending).write_bytes(other.with_suffix(ending).read_bytes())


DAMAGES = [
    (damage_place, "holds the answers of block 1"),
    (damage_job, "holds the answers of another job"),
    (damage_nothing, "has 0 bytes where 21 were written"),
    (damage_half, "has 5 bytes where 21 were written"),
    (damage_letter, r"is not what was written \(its checksum differs\)"),
    (damage_receipt, r"has no record of what it holds \(00000000.json\)"),
    (damage_receipt_text, r"has no record of what it holds \(00000000.json\)"),
    (damage_count, "has 2 records where 3 belong"),
    (damage_stats, r"has a record \(00000000.json\) that is not what was written"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_part_is_refused_by_name_and_never_joined(tmp_path, damage, message):
    for i in (1, 2):
        run(job(tmp_path / "out", shard=(i, 2)))
    folder = tmp_path / "out.parts"
    damage(folder / "00000000.part")
    pattern = rf"00000000.part: {message}; remove it, then resume its shard"
    with pytest.raises(InputError, match=pattern):
        join_parts([folder], Manifest.read(folder), tmp_path / "out", Lines())
    with pytest.raises(InputError, match=pattern):
        run(job(tmp_path / "out", shard=(1, 2), resume=True))
    assert not (tmp_path / "out").exists()
    (folder / "00000000.part").unlink()
    run(job(tmp_path / "out", shard=(1, 2), resume=True))
    join_parts([folder], Manifest.read(folder), tmp_path / "out", Lines())
    assert (tmp_path / "out").read_text() == whole(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": None},
        {"identity": "abc"},
        {"block": 0},
        {"block": "3"},
        {"records": None},
        {"task": ["test"]},
    ],
)
def test_a_manifest_that_is_none_is_one_line(tmp_path, change):
    run(job(tmp_path / "out", shard=(1, 2)))
    path = tmp_path / "out.parts" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"out.parts: holds no parts of a job; the OUT.parts"):
        Manifest.read(tmp_path / "out.parts")


@pytest.mark.parametrize(
    "change", [{"identity": {"kind": "other"}}, {"records": 6}, {"block": 4}, {"seal": "0"}]
)
def test_a_manifest_that_was_changed_is_refused_and_never_merged(tmp_path, change):
    """A letter in a header that it holds would come out in the joined file."""
    for i in (1, 2):
        run(job(tmp_path / "out", shard=(i, 2)))
    folder = tmp_path / "out.parts"
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    assert values != values | change
    path.write_text(json.dumps(values | change))
    message = r"manifest.json: is not what was written \(its checksum differs\); copy it again"
    with pytest.raises(InputError, match=message):
        join_parts([folder], Manifest.read(folder), tmp_path / "out", Lines())
    with pytest.raises(InputError, match=message):
        run(job(tmp_path / "out", shard=(1, 2), resume=True))
    assert not (tmp_path / "out").exists()


def test_a_manifest_without_identity_is_one_line(tmp_path):
    run(job(tmp_path / "out", shard=(1, 2)))
    path = tmp_path / "out.parts" / "manifest.json"
    values = json.loads(path.read_text())
    del values["identity"]
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"out.parts: holds no parts of a job; the OUT.parts"):
        run(job(tmp_path / "out", shard=(1, 2), resume=True))


def refuse(some):
    raise InputError("in.txt", "is no number")


def test_a_refused_job_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="is no number"):
        run(job(tmp_path / "out"), score=refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_refused_later_keeps_what_is_whole(tmp_path):
    calls = []

    def score(some):
        calls.append(some)
        return answer(some) if len(calls) == 1 else refuse(some)

    with pytest.raises(InputError, match="is no number"):
        run(job(tmp_path / "out"), score=score)
    assert (tmp_path / "out.parts" / "00000000.part").exists()


def test_parts_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        run(job(tmp_path / "out", shard=(1, 2)))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.parts").stat().st_mode) == 0o750
    for path in (tmp_path / "out.parts").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_two_processes_do_not_work_on_one_output(tmp_path):
    """The second is refused while the first is at work, whether parts are there or not, and is not
    told to go on from them; a lock goes with its process.
    """

    def score(some):
        for resume in (True, False):
            wait = "is in use by another run; wait for it, or another"
            with pytest.raises(MachineError, match=wait):
                run(job(tmp_path / "out", resume=resume))
        return answer(some)

    run(job(tmp_path / "out"), score=score)
    assert (tmp_path / "out").read_text() == whole(tmp_path)


def test_shards_of_one_job_may_be_at_work_together(tmp_path):
    def score(some):
        if not (tmp_path / "out.parts" / "00000003.part").exists():
            run(job(tmp_path / "out", shard=(2, 2)))
        with pytest.raises(MachineError, match="is in use by another run"):
            run(job(tmp_path / "out", shard=(1, 2), resume=True))
        return answer(some)

    run(job(tmp_path / "out", shard=(1, 2)), score=score)
    join_parts(
        [tmp_path / "out.parts"], Manifest.read(tmp_path / "out.parts"), tmp_path / "out", Lines()
    )
    assert (tmp_path / "out").read_text() == whole(tmp_path)


def test_a_library_that_is_missing_is_named_before_any_work(tmp_path):
    class Needy(Lines):
        def require(self):
            raise MachineError("pyarrow", "is not installed")

    calls = []
    with pytest.raises(MachineError, match="is not installed"):
        stream(job(tmp_path / "out"), Work(10, calls.append), Needy(), True)
    assert (calls, list(tmp_path.iterdir())) == ([], [])


def test_an_input_that_shrinks_is_no_silent_end(tmp_path):
    with pytest.raises(InputError, match="has fewer records than when it was counted"):
        run(job(tmp_path / "out"), 8)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MachineError, match=r"cannot be written \(No such file or directory\)"):
        run(job(tmp_path / "no" / "out"), 10)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"])
def test_a_wrong_shard(text):
    with pytest.raises(InputError, match="i/n with 1 <= i <= n, such as 3/10"):
        parse_shard(text)


def test_progress_says_what_is_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("orchid_genomics.terminal.PLAIN_SECONDS", 0.0)
    run(job(tmp_path / "out", shard=(2, 2)), 10, quiet=False)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "this shard: 4 of 10 records"
    assert said[1].startswith("3/4 records  ")
    assert said[1].endswith(" left")
    assert said[-1] == f"shard 2/2 is done: 2 of 4 blocks, in {tmp_path / 'out.parts'}"


def test_answers_are_piped_as_they_come(tmp_path, monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": out}))
    stats = run(job("-"), 10)
    assert len(stats) == 4
    assert out.getvalue().decode() == whole(tmp_path)


PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
from test_engine import answer, job, run
def slow(some):
    if some[0] == 6:
        print("busy", flush=True)
        while True:  # a signal that comes just before one long sleep is heard after it
            time.sleep(0.05)
    return answer(some)
run(job({out!r}), 10, slow, quiet=False)
"""


@pytest.mark.parametrize("removed", range(4))
def test_a_kill_while_the_parts_are_removed_leaves_no_half_of_them(tmp_path, monkeypatch, removed):
    class Killed(BaseException):
        pass

    def half(folder, **_):
        # Of the folder that is made before the first part, nothing is there.
        for path in sorted(folder.glob("*"), reverse=True)[: 3 * removed]:
            path.unlink()
        if folder.exists():
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("orchid_genomics.jobs.engine.shutil.rmtree", half)
        with pytest.raises(Killed):
            run(job(tmp_path / "out"), 10)
    assert (tmp_path / "out").read_text() == whole(tmp_path)
    (tmp_path / "out").unlink()
    run(job(tmp_path / "out"), 10)
    assert (tmp_path / "out").read_text() == whole(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_keeps_what_is_whole(tmp_path, number):
    program = PROGRAM.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=-1, stderr=-1, text=True, env=os.environ
    )
    assert process.stdout.readline() == "busy\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    if number == signal.SIGTERM:
        assert (
            err.splitlines()[-1] == "stopped: 2 of 4 blocks are saved; --resume goes on from there"
        )
    score, calls = dying(99)
    run(job(tmp_path / "out", resume=True), 10, score)
    # A kill that nobody hears may come before the last answered block is written.
    assert len(calls) in ((2,) if number == signal.SIGTERM else (2, 3))
    assert (tmp_path / "out").read_text() == whole(tmp_path)


def test_a_block_is_written_on_another_thread_while_the_next_is_answered(tmp_path):
    writing, answered, threads = threading.Event(), threading.Event(), set()

    class Slow(Lines):
        def write(self, answers, part):
            threads.add(threading.current_thread())
            if not writing.is_set():
                writing.set()
                assert answered.wait(60)
            super().write(answers, part)

    def score(some):
        if some[0] == 3:
            assert writing.wait(60)
            answered.set()
        return answer(some)

    stream(job(tmp_path / "out"), Work(10, score), Slow(), True)
    assert (tmp_path / "out").read_text() == whole(tmp_path)
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_what_cannot_be_written_ends_the_job_with_what_was_wrong(tmp_path, bad):
    class Full(Lines):
        def write(self, answers, part):
            if answers[0].startswith(f"{3 * bad} "):
                raise OSError(28, "No space left on device")
            super().write(answers, part)

    with pytest.raises(MachineError, match="No space left on device"):
        stream(job(tmp_path / "out"), Work(10), Full(), True)
    done = len(list(parts_folder(tmp_path / "out").glob("*.part")))
    assert done == bad


def test_a_job_says_how_fast_it_was_in_what_its_task_counts(tmp_path, capsys):
    class Sums(Counting):
        counts = "sum"

    whole_job = replace(job(tmp_path / "out"), task=Sums())
    stream(whole_job, Work(10), Lines())
    assert re.search(r"45 sum in 0:0\d: [\d,]+ sum a second, all told", capsys.readouterr().err)
    stream(replace(whole_job, where=Destination(tmp_path / "more")), Work(10), Lines(), True)
    assert capsys.readouterr().err == ""
