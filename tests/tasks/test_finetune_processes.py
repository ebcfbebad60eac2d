"""Fits side by side: the answers of one after another, and a stop that loses nothing."""

import json
import multiprocessing
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from labelled_rows import made, random_texts

from orchid_genomics.cli import main
from orchid_genomics.evaluate import side_by_side
from orchid_genomics.evaluate.arms import arms_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.side_by_side import FitsOf, processes_for, train_side_by_side
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.train import distributed

RECIPE = """
[data]
kind = "table"
path = "set.tsv"
[model]
width = 8
depth = 1
[training]
rates = [1e-2, 3e-3]
epochs = 1
seeds = [0, 1]
device = "cpu"
[baselines]
simple = false
"""


@pytest.fixture
def recipe(tmp_path):
    splits = np.resize(["train", "train", "validation", "test"], 160)
    rows = [
        f"{text}\t{row % 2 if row % 3 else int(text[5] in 'AC')}\t{split}\n"
        for row, (text, split) in enumerate(zip(random_texts(160, 60), splits, strict=True))
    ]
    (tmp_path / "set.tsv").write_text("sequence\tlabel\tsplit\n" + "".join(rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def words_of(recipe, out, *more: str) -> list[str]:
    return ["finetune", str(recipe), "-o", str(out), *more]


@pytest.mark.parametrize(
    "more", [(), ("--set", "training.shares=[0.5]", "--set", "baselines.cnn=false")]
)
def test_side_by_side_the_answers_are_those_of_one_after_another(recipe, tmp_path, capsys, more):
    found = {}
    for name, processes in (("alone", "1"), ("beside", "2")):
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            main(words_of(recipe, tmp_path / name, "--processes", processes, *more))
        finally:
            torch.set_num_threads(before)
        values = json.loads((tmp_path / name / "evaluation.json").read_text())
        found[name] = values["verdict"], values.get("shares")
        err = capsys.readouterr().err
        assert ("training in 2 processes of one thread each" in err) == (processes == "2")
        assert err.count("seed 1") == err.count("seed 0") // 2 > 0
    assert found["alone"] == found["beside"]
    hashes = {
        OrchidModel.from_pretrained(tmp_path / name / "model").hash()
        for name in ("alone", "beside")
    }
    assert len(hashes) == 1


def test_a_fault_in_a_process_is_one_line(recipe, tmp_path, capsys):
    more = ("--processes", "2", "--set", "training.rates=[1e30]", "--quiet")
    with pytest.raises(SystemExit) as stop:
        main(words_of(recipe, tmp_path / "run", *more))
    assert stop.value.code == 1
    assert capsys.readouterr().err == (
        "error: long_conv: z: holds NaN or infinity; finite numbers\n"
    )
    assert not (tmp_path / "run" / "model").exists()


def stay_or_fail(number: int) -> None:
    """A set's end: of one it never comes, whatever the process is told; of the other a fault."""
    if number:
        raise ValueError("a fault")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def test_a_process_that_does_not_end_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "SAVING", 1)
    sets = [FitsOf('{"data": {"kind": "table", "path": "set.tsv"}}', tmp_path)] * 2
    others = multiprocessing.active_children()
    with pytest.raises(ValueError, match="a fault"):
        train_side_by_side(sets, 2, lambda _: [], end=stay_or_fail)
    # The pool's own thread may be the one that hears of its end, a moment later.
    for _ in range(100):
        left = set(multiprocessing.active_children()) - set(others)
        if not left:
            break
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_a_stop_saves_the_fits_and_the_next_run_goes_on(recipe, tmp_path):
    words = [sys.executable, "-m", "orchid_genomics"]
    words += words_of(recipe, tmp_path / "run", "--processes", "2")
    words += ["--set", "training.epochs=60", "--set", "training.patience=0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("run/fits/*/log.jsonl")):
            assert process.poll() is None
            time.sleep(0.2)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.splitlines()[-1].startswith("stopped: what is trained is saved; --resume")
    assert "Traceback" not in err
    assert list(tmp_path.glob("run/fits/*/checkpoints/newest.pt"))
    subprocess.run([*words, "--resume", "--quiet"], check=True, timeout=300)
    assert (tmp_path / "run" / "model" / "config.json").exists()


def test_how_many_follows_from_threads_fits_and_rows(monkeypatch):
    data = made(random_texts(40, 60), np.arange(40) % 2)
    recipe = FinetuneRecipe.model_validate_json(
        '{"data": {"kind": "table", "path": "set.tsv"}, "training": {"budget": 3}}'
    )
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    ranks = distributed.start("cpu")

    def count(data, recipe, asked=None):
        return processes_for(arms_of(recipe, data), recipe, data, ranks, asked)

    assert count(data, recipe) == 4
    assert count(data, recipe, asked=2) == 2
    # Three candidates of the encoder and three of the CNN.
    assert count(data, recipe, asked=64) == 6
    long = made(random_texts(40, 9000), np.arange(40) % 2)
    assert count(long, recipe) == 1
    assert count(long, recipe, asked=2) == 2
