"""Run and model folders that are missing, changed, foreign, damaged or full: one line, exit 1."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from orchid_genomics.cli import main


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


# Runs


@pytest.mark.parametrize("out", ["genome.fa", "genome.fa/run"])
def test_a_run_folder_that_cannot_be(refused, small, out, capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", str(small), "-o", str(small.parent / out)])
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"error: {small.parent / out}: cannot be written (")
    assert last.endswith("; -o with a folder to write in")


def test_runs_that_are_there_or_not_there_or_changed(refused, small, trained, tmp_path):
    words = ["pretrain", small, "-o", trained]
    assert "run: holds a run already; --resume to go on, or another -o" in refused(*words)
    message = refused(*words, "--resume", "--set", "model.depth=2", "--set", "optimizer.rate=0.5")
    assert "the recipe changed since the run began: " in message
    for change in ("model.depth 1 -> 2", "optimizer.rate 0.002 -> 0.5", "evaluation.sites 0 -> 40"):
        assert change in message
    missing = refused("pretrain", small, "-o", tmp_path / "none", "--resume")
    assert "none: holds no run to resume; the folder of an earlier run, or no --resume" in missing


@pytest.mark.parametrize("name", ["genome.fa", "held.bed"])
def test_a_run_is_not_resumed_on_files_that_changed(refused, small, tmp_path, capsys, name):
    (tmp_path / "held.bed").write_text("b\t1000\t1400\n")
    small.write_text(
        small.read_text().replace('test = ["t"]', 'test = ["t"]\ntest_bed = "held.bed"')
    )
    words = ["pretrain", str(small), "-o", str(tmp_path / "run"), "--set", "evaluation.sites=0"]
    main(words)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole.replace(b"1400", b"1500").replace(b"A", b"C"))
    capsys.readouterr()
    message = refused(*words, "--resume")
    assert f"error: {tmp_path / name}: changed since the run began (SHA-256 " in message
    assert message.endswith(" now); the file as it was, or a new run with another -o")
    (tmp_path / name).write_bytes(whole)
    main([*words, "--resume"])


def test_a_damaged_checkpoint_is_the_last_line(trained, small, capsys):
    for name in ("newest.pt", "best.pt"):
        path = trained / "checkpoints" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:2000])
        with pytest.raises(SystemExit) as stop:
            main(
                [
                    "pretrain",
                    str(small),
                    "-o",
                    str(trained),
                    "--resume",
                    "--set",
                    "evaluation.sites=0",
                ]
            )
        *_, last = capsys.readouterr().err.splitlines()
        assert stop.value.code == 1
        assert last.startswith(f"error: {path}: is damaged (")
        path.write_bytes(whole)


def other_weights(state):
    state["model"] = {name: torch.zeros(2) for name in state["model"]}


def other_moments(state):
    for moments in state["optimizer"]["state"].values():
        moments["exp_avg"] = torch.zeros(2, 3)


def no_moments(state):
    state["optimizer"] = {}


@pytest.mark.parametrize("damage", [other_weights, other_moments, no_moments])
def test_a_checkpoint_of_another_model_is_the_last_line(trained, small, capsys, damage):
    path = trained / "checkpoints/newest.pt"
    whole = path.read_bytes()
    state = torch.load(path, weights_only=True)
    damage(state)
    torch.save(state, path)
    words = ["pretrain", str(small), "-o", str(trained), "--resume"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--set", "evaluation.sites=0"])
    *_, last = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1
    assert last.startswith(f"error: {path}: does not fit the run (")
    assert last.endswith("; best.pt in its place")
    path.write_bytes(whole)


def test_a_disk_that_fills_says_what_is_kept(small, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("may not mount a file system here")
    try:
        with pytest.raises(SystemExit) as stop:
            main(
                ["pretrain", str(small), "-o", str(disk / "run"), "--set", "training.save_every=2"]
            )
        *_, last = capsys.readouterr().err.splitlines()
        names = {path.name for path in disk.rglob("*") if path.is_file()}
    finally:
        subprocess.run(["umount", disk], check=True)
    assert stop.value.code == 1
    assert last.startswith(f"error: {disk / 'run'}")
    assert "cannot be written (No space left on device)" in last
    assert not {name for name in names if name.endswith(".tmp")}


# Model folders


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def nan(path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    tensors["head.bias"][0] = torch.nan
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "",
            shutil.rmtree,
            "config.json: cannot be read (No such file or directory); a model folder of this tool",
        ),
        ("config.json", Path.unlink, "config.json: cannot be read (No such file or directory)"),
        ("config.json", cut, "config.json: is damaged ("),
        (
            "config.json",
            lambda path: path.write_text('{"model_type": "bert"}'),
            "is not a model of this tool (format None)",
        ),
        (
            "config.json",
            lambda path: edit(path, '"width": 16', '"width": 32'),
            "does not fit its config.json (",
        ),
        (
            "config.json",
            lambda path: edit(path, '"width": 16', '"wide": 16'),
            "config.json: encoder.wide: unknown key",
        ),
        ("model.safetensors", Path.unlink, "model.safetensors: cannot be read ("),
        ("model.safetensors", cut, "model.safetensors: cannot be read ("),
        (
            "model.safetensors",
            lambda path: path.write_bytes(b"\x80\x04."),
            "model.safetensors: cannot be read (",
        ),
        ("model.safetensors", nan, "model.safetensors: holds NaN or infinite weights"),
        ("provenance.json", cut, "provenance.json: is damaged ("),
        (
            "provenance.json",
            lambda path: path.write_text('{"author": "x"}'),
            "provenance.json: is damaged or not of this",
        ),
        (
            "provenance.json",
            lambda path: path.write_text("[]"),
            "provenance.json: is damaged (not an object)",
        ),
    ],
)
def test_a_model_folder_that_is_missing_foreign_or_damaged(trained, refused, name, damage, message):
    damage(trained / "model" / name)
    assert message in refused("info", trained / "model")


def test_a_model_without_provenance_is_still_a_model(trained, capsys):
    (trained / "model" / "provenance.json").unlink()
    main(["info", str(trained / "model")])
    assert "parameters   3,500" in capsys.readouterr().out


def test_a_file_is_no_model_folder(refused, small):
    assert "config.json: cannot be read (Not a directory); a model folder" in refused("info", small)
