"""A run folder: every file whole or not there, whatever the disk does; the log and the recipe of a
resumed run.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from orchid_genomics.errors import InputError, MachineError, TrainingError
from orchid_genomics.recipe import Strict
from orchid_genomics.train.run import BEST, NEWEST, Run, atomic_file

CPU = torch.device("cpu")


class Inner(Strict):
    depth: int = 4


class Whole(Strict):
    seed: int = 0
    model: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    names: tuple[str, ...] = ("a", "b")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run", Whole(), resume=False).begin()


def state(step, size=1000):
    weights = {"weight": torch.full((size,), float(step))}
    return {"step": step, "best": 1.0, "seconds": 2.0, "model": weights, "optimizer": {}}


def test_json_holds_null_for_what_is_no_number(run):
    values = {"a": [1.5, float("nan")], "b": ({"c": float("-inf")}, "NaN", 3, True, None)}
    run.write(run.folder / "found.json", values)
    text = (run.folder / "found.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [1.5, None],
        "b": [{"c": None}, "NaN", 3, True, None],
    }
    assert values["b"][0]["c"] == float("-inf")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_checkpoint_comes_back_as_it_was_and_replaces_the_older(run):
    assert run.load(NEWEST, CPU) is None
    for step in (1, 2):
        run.save(NEWEST, state(step))
    assert run.load(NEWEST, CPU)["step"] == 2
    assert torch.equal(run.load(NEWEST, CPU)["model"]["weight"], torch.full((1000,), 2.0))
    assert files(run.folder) == ["checkpoints/newest.pt", "recipe.json"]


@contextmanager
def small_disk(folder, size):
    """A file system of `size` bytes on `folder`: a real one where we may mount, else a limit on the
    size of files.
    """
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_nothing_but_the_newest_steps(tmp_path):
    with small_disk(tmp_path / "disk", 400 << 10):
        run = Run(tmp_path / "disk" / "run", Whole(), resume=False).begin()
        run.save(NEWEST, state(7, 50_000))
        run.log(step=7)
        with pytest.raises(
            MachineError,
            match=r"newest\.pt: cannot be written \(No space left on device\); the older",
        ):
            run.save(NEWEST, state(8, 60_000))
        assert run.load(NEWEST, CPU)["step"] == 7
        assert files(run.folder) == ["checkpoints/newest.pt", "log.jsonl", "recipe.json"]
        with pytest.raises(
            MachineError, match=r"log\.jsonl: cannot be written \(No space left on device\)"
        ):
            run.log(step=8, padding="x" * 500_000)
        run.close()
        again = Run(run.folder, Whole(), resume=True).begin()
        again.log_path.write_text('{"step": 7}\n')
        again.save(BEST, state(7, 1000))
        assert again.load(NEWEST, CPU)["step"] == 7
        again.close()


def test_a_limit_on_files_is_as_clear_as_a_full_disk(tmp_path):
    program = f"""
import resource, signal, sys
sys.path[:0] = [{os.path.dirname(__file__)!r}]
from test_run import CPU, NEWEST, MachineError, Run, Whole, files, state
run = Run({str(tmp_path / "run")!r}, Whole(), resume=False).begin()
run.save(NEWEST, state(7))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    run.save(NEWEST, state(8, 100_000))
except MachineError as error:
    print(error)
print(run.load(NEWEST, CPU)["step"], files(run.folder))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.endswith(
        "newest.pt: cannot be written (File too large); the older one is kept, and --resume goes on"
        " from it"
    )
    assert second == "7 ['checkpoints/newest.pt', 'recipe.json']"


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:500], lambda raw: b"", lambda raw: b"\x80\x04not torch"]
)
def test_a_damaged_checkpoint_is_named_with_what_may_stand_in(run, damage):
    run.save(NEWEST, state(1))
    path = run.checkpoints / NEWEST
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"newest\.pt: is damaged \(.+\); best\.pt in its place"
    ) as caught:
        run.load(NEWEST, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ([1, 2], "it holds a single value"),
        ({"state_dict": {}}, "without 'step', or with one of another kind"),
        (state(1) | {"model": None}, "without 'model'"),
        (state(1) | {"model": {"weight": "x"}}, "its weights are no tensors"),
        (state(1) | {"optimizer": []}, "without 'optimizer'"),
        (state(-1), "its numbers are impossible"),
        (state(1) | {"seconds": float("inf")}, "its numbers are impossible"),
    ],
    ids=["list", "lightning", "no-model", "text", "list-optimizer", "negative", "endless"],
)
def test_a_foreign_checkpoint_is_one_line(run, foreign, message):
    torch.save(foreign, run.checkpoints / NEWEST)
    pattern = rf"newest\.pt: is no checkpoint of a run \({message}.*\); best\.pt in its place"
    with pytest.raises(InputError, match=pattern):
        run.load(NEWEST, CPU)


def test_a_pipe_is_no_checkpoint(run):
    os.mkfifo(run.checkpoints / BEST)
    with pytest.raises(InputError, match=r"best\.pt: is no regular file; newest\.pt in its place"):
        run.load(BEST, CPU)


def test_a_checkpoint_that_would_run_code_is_not_run(run, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"step": Trap()}, run.checkpoints / NEWEST)
    with pytest.raises(InputError, match="is damaged"):
        run.load(NEWEST, CPU)
    assert not (tmp_path / "sprung").exists()


def test_the_log_is_rewound_to_the_checkpoint_and_a_torn_line_dropped(run):
    for step in range(1, 6):
        run.log(step=step, loss=1.0 / step)
        if step % 2 == 0:
            run.log(step=step, validation_bits=1.9)
    with run.log_path.open("a") as log:
        log.write('{"step": 6, "lo')
    assert [line["step"] for line in run.lines()] == [1, 2, 2, 3, 4, 4, 5]
    run.rewind(4)
    assert [json.loads(line)["step"] for line in run.log_path.read_text().splitlines()] == [
        1,
        2,
        2,
        3,
        4,
        4,
    ]


def test_a_run_is_never_written_over(run):
    with pytest.raises(
        TrainingError, match=r"run: holds a run already; --resume to go on, or another -o"
    ):
        Run(run.folder, Whole(), resume=False)
    run.recipe_path.unlink()
    run.save(NEWEST, state(1))
    with pytest.raises(TrainingError, match="holds a run already"):
        Run(run.folder, Whole(), resume=False)


def test_resume_needs_a_run(tmp_path):
    with pytest.raises(
        TrainingError, match="holds no run to resume; the folder of an earlier run, or no --resume"
    ):
        Run(tmp_path / "none", Whole(), resume=True)
    assert not (tmp_path / "none").exists()


def test_a_changed_recipe_lists_what_changed(run):
    Run(run.folder, Whole(), resume=True)
    now = Whole(seed=3, model=Inner(depth=5), parts=(Inner(),), names=("a",))
    with pytest.raises(TrainingError) as caught:
        Run(run.folder, now, resume=True)
    message = str(caught.value)
    for change in (
        "seed 0 -> 3",
        "model.depth 4 -> 5",
        "names ['a', 'b'] -> ['a']",
        "parts.0.depth None -> 4",
    ):
        assert change in message
    assert "the same recipe, or a new run with another -o" in message


def test_what_a_kill_left_half_written_is_swept_away(run):
    run.save(NEWEST, state(1))
    (run.checkpoints / ".newest.pt.123.tmp").write_bytes(b"half")
    (run.folder / ".log.jsonl.123.tmp").write_bytes(b"half")
    run.close()
    Run(run.folder, Whole(), resume=True).begin()
    assert files(run.folder) == ["checkpoints/newest.pt", "recipe.json"]


def test_a_living_run_is_left_alone(run):
    half = run.checkpoints / ".newest.pt.123.tmp"
    half.write_bytes(b"half")
    other = Run(run.folder, Whole(), resume=True)
    with pytest.raises(MachineError, match=r"run: is in use by another run; wait for it"):
        other.begin()
    assert half.exists()
    run.close()
    other.begin()
    assert not half.exists()


def test_ranks_that_only_read_write_nothing(tmp_path):
    other = Run(tmp_path / "run", Whole(), resume=False, writes=False).begin()
    other.log(step=1)
    other.rewind(0)
    assert not other.folder.exists()


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_file(path) as part:  # noqa: PT012
        part.write_text("new")
        raise OSError("full")
    assert path.read_text() == "old"
    assert files(tmp_path) == ["file"]
    with atomic_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_a_run_resumes_only_with_the_inputs_that_it_began_with(tmp_path):
    folder, then, now = (
        tmp_path / "run",
        {"/genome.fa": "a" * 64, "/b.bed": "b" * 64},
        {"/genome.fa": "c" * 64},
    )
    Run(folder, Whole(), resume=False).begin(then)
    assert json.loads((folder / "inputs.json").read_text()) == then
    Run(folder, Whole(), resume=True).begin(then)
    message = (
        rf"^/genome\.fa: changed since the run began \(SHA-256 {'a' * 12} then, {'c' * 12} now\);"
        r" the file as it was"
    )
    with pytest.raises(TrainingError, match=message):
        Run(folder, Whole(), resume=True).begin(now)
    (folder / "inputs.json").write_text("{")
    with pytest.raises(
        InputError,
        match=r"inputs\.json: cannot be read .*; the checksums that the run wrote when it",
    ):
        Run(folder, Whole(), resume=True).begin(then)
