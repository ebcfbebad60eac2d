"""The results table is trained by one command, which goes on where it was stopped."""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from orchid_genomics.train.run import Run

SCRIPT = Path(__file__).parents[2] / "recipes/elements/table.py"
SMALL = (
    "training.budget=1",
    "training.epochs=1",
    "training.seeds=[0]",
    "training.device=cpu",
    "baselines.simple=false",
)


@pytest.fixture
def table(tmp_path):
    """The script's `main` on the peaks of a small genome, as a function of more words."""
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 120_000))
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
    peaks = [
        f"chr1\t{start}\t{start + 100}\t.\t0\t.\t1\t1\t1\t50\n"
        for start in range(500, 119_000, 1_000)
    ]
    (tmp_path / "K1.narrowPeak").write_text("".join(peaks))
    spec = importlib.util.spec_from_file_location("elements_table", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    words = ["--peaks", str(tmp_path), "--genome", str(tmp_path / "genome.fa"), "--length", "64"]
    words += ["--fewest", "50", "--validation", "chr1:60001-85000", "--test", "chr1:85001-120000"]
    words += [word for each in SMALL for word in ("--set", each)]
    words += ["-o", str(tmp_path / "out")]

    def run(*more):
        # In a process of its own: those that it starts import what they run by the script's name.
        if {"--processes", "--minutes"} & set(more):
            subprocess.run([sys.executable, SCRIPT, *words, *more], check=True)
        else:
            script.main([*words, *more])

    run.words = words
    return run


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
@pytest.mark.slow
def test_it_says_the_time_trains_and_goes_on(table, tmp_path, capsys, monkeypatch):
    only = ("--only", "K1")
    table("--plan", *only)
    out, err = capsys.readouterr()
    assert out == ""
    assert "K1: at most 0:" in err
    assert "in all, and the regressions" in err
    assert not (tmp_path / "out" / "K1").exists()

    def stop(self, name, state, save=Run.save):
        save(self, name, state)
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", stop)
        with pytest.raises(SystemExit):
            table("--run", *only)
    capsys.readouterr()
    table("--run", *only)
    row = capsys.readouterr().out.splitlines()[-1]
    verdict = json.loads((tmp_path / "out" / "K1" / "evaluation.json").read_text())["verdict"]
    assert row.startswith("| `K1` | MCC | ")
    assert f"**{verdict['lines'][0]['scores']['MCC']['value']:.3f}" in row
    table("--run", *only)
    out, err = capsys.readouterr()
    assert "K1: finished" in err
    assert out.splitlines()[-1] == row


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_side_by_side_the_answers_are_those_of_one_after_another(table, tmp_path, capfd):
    words = ("--only", "K1", "--set", "training.seeds=[0, 1]")
    table("--run", *words)
    row = capfd.readouterr().out.splitlines()[-1]
    shutil.rmtree(tmp_path / "out")
    table("--run", *words, "--processes", "2", "--minutes", "5")
    assert capfd.readouterr().out.splitlines()[-1] == row
    line = json.loads((tmp_path / "out" / "table.jsonl").read_text())
    assert line["run"] == "K1"
    # Two seeds of the only candidate of each arm.
    fits = sorted(path.name for path in (tmp_path / "out" / "K1" / "fits").iterdir())
    assert [name[-5:] for name in fits] == ["seed0", "seed1"] * (len(fits) // 2)


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_when_the_time_is_over_nothing_is_said_of_what_is_not_finished(table, tmp_path, capfd):
    table("--run", "--only", "K1", "--minutes", "0")
    out, err = capfd.readouterr()
    assert out == ""
    assert "the time is over" in err
    assert not (tmp_path / "out" / "table.jsonl").exists()


@pytest.mark.slow
def test_fits_end_with_the_process_that_began_them(table, tmp_path):
    endless = ("training.epochs=100000", "training.patience=0", "training.checks=1")
    words = [*table.words, "--run", "--only", "K1", "--processes", "2"]
    words += [word for each in endless for word in ("--set", each)]
    # Its workers hold the other end of its pipe: that closes when the last of them is gone.
    words = [sys.executable, SCRIPT, *words, "--minutes", "60"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob("out/K1/fits/*/log.jsonl")):
            assert process.poll() is None
            time.sleep(0.2)
        process.kill()
        process.communicate(timeout=120)


def test_a_set_that_is_not_there_is_one_line(table):
    with pytest.raises(SystemExit, match="only: no set K9; one of recipes/elements or of --peaks"):
        table("--run", "--only", "K9")
