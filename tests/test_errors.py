"""A user's fault is one line; of many ranks that met it, one says it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from orchid_genomics.errors import InputError, MachineError, say
from orchid_genomics.files import writable

LAUNCH = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "--no-python",
]
ALONE = """
import os, sys
if os.environ["RANK"] == "1":
    sys.argv[sys.argv.index("training.steps=40")] = "data.length=7"
from orchid_genomics import errors
errors.PATIENCE = 1.0
errors.say.__defaults__ = (1.0,)
from orchid_genomics.cli import main
main(sys.argv[1:])
"""


def as_rank(monkeypatch, rank, local):
    for name, value in {"RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))


def test_alone_it_is_one_line(capsys):
    say(InputError("genome.fa", "cannot be read", "a FASTA"))
    assert capsys.readouterr().err == "error: genome.fa: cannot be read; a FASTA\n"


def test_what_a_terminal_would_obey_is_escaped(capsys):
    say(InputError("a\nb.bed", "the key '\x1b[31m'", "gène"))
    assert capsys.readouterr().err == "error: a\\nb.bed: the key '\\x1b[31m'; gène\n"


def test_rank_0_speaks_at_once_and_the_others_say_who_they_are_and_in_turn(capsys, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for rank, local in ((0, 0), (1, 1), (2, 0)):
        as_rank(monkeypatch, rank, local)
        say(InputError("genome.fa", "cannot be read"), patience=3.0)
    assert waited == [6.0, 3.0]
    own = "genome.fa: cannot be read"
    lines = [f"error: {own}", f"error: rank 1 of 4: {own}", f"error: rank 2 of 4: {own}"]
    assert capsys.readouterr().err.splitlines() == lines


def test_a_rank_that_is_ended_while_it_waits_says_nothing(tmp_path):
    program = (
        "from orchid_genomics.errors import *; print('now', flush=True); say(InputError('x', 'y'),"
        " 600.0)"
    )
    env = {**os.environ, "RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    waiting = subprocess.Popen(
        [sys.executable, "-c", program],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout.readline() == "now\n"
    waiting.send_signal(signal.SIGTERM)
    assert waiting.communicate(timeout=120)[1] == ""


def test_torchrun_says_what_all_ranks_met_once(small):
    override = "data.length=9000"
    program = [
        *LAUNCH,
        sys.executable,
        "-m",
        "orchid_genomics",
        "pretrain",
        str(small),
        "--set",
        override,
    ]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, cwd=small.parent)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "is longer than every training contig (the longest, a: 6,000 nt)" in line
    assert not (small.parent / "runs").exists()


def test_torchrun_says_what_one_rank_alone_met(small, tmp_path):
    (tmp_path / "alone.py").write_text(ALONE)
    words = ["pretrain", str(small), "-o", str(tmp_path / "run"), "--set", "training.steps=40"]
    program = [*LAUNCH, sys.executable, str(tmp_path / "alone.py"), *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: rank 1 of 2: {small}: data.length: ")


def full(path):
    """As torch does of a disk that is full."""
    try:
        path.write_text("")
    except OSError:
        raise RuntimeError("unexpected pos") from None


def test_what_cannot_be_written_is_the_machines_fault_in_the_systems_words(tmp_path):
    with (
        pytest.raises(
            MachineError, match=r"^out: cannot be written \(Is a directory\); a folder .*$"
        ),
        writable("out"),
    ):
        tmp_path.write_text("")
    with (
        pytest.raises(MachineError, match=r"\(No such file or directory\); -o x$"),
        writable("out", "-o x"),
    ):
        full(tmp_path / "none" / "x")
    with pytest.raises(RuntimeError, match="a bug"), writable("out"):
        raise RuntimeError("a bug")
