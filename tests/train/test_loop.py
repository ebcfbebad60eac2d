"""Whole runs of a tiny model: killed, stopped, divided over ranks and parts, and still the same
run.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from orchid_genomics.cli import main
from orchid_genomics.train.loop import Fit

CURRICULUM = (
    "training.curriculum=[{length=64, steps=50, batch=8}, {length=128, steps=40, batch=4,"
    " accumulate=2}]"
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Runs are compared bit for bit, and threads fight where cores are few."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def words(recipe, out, *overrides, resume=False):
    sets = [part for override in overrides for part in ("--set", override)]
    return ["pretrain", str(recipe), "-o", str(out), *sets, *(["--resume"] if resume else [])]


def started(*arguments, **options):
    """The command in a process of its own, its stderr to be read."""
    program = [sys.executable, "-m", "orchid_genomics", *arguments]
    return subprocess.Popen(
        program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )


def lines(out):
    path = out / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def losses(out):
    return [line["loss"] for line in lines(out) if "loss" in line]


def wait_for(process, out, steps):
    """Until the run in `out` has logged so many steps."""
    path, deadline = out / "log.jsonl", time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b'"loss"') < steps:
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def trained(recipe, out, *overrides):
    """The losses of a run in this process."""
    main(words(recipe, out, *overrides))
    return losses(out)


def test_killed_then_stopped_at_any_step_and_resumed_a_run_ends_with_the_same_bytes(
    small, tmp_path
):
    overrides = (
        CURRICULUM,
        "training.save_every=7",
        "training.validate_every=20",
        "evaluation.sites=0",
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    killed = started(*words(small, cut, *overrides))
    wait_for(killed, cut, 24)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert 24 <= len(losses(cut)) < 90
    stopped = started(*words(small, cut, *overrides, resume=True))
    wait_for(stopped, cut, 61)
    stopped.send_signal(signal.SIGTERM)
    said = stopped.communicate(timeout=60)[1]
    steps = len(losses(cut))
    assert stopped.returncode == 143
    assert f"stopped: saved at step {steps}; --resume goes on from there" in said
    assert "Traceback" not in said
    assert 61 <= steps < 90
    assert not (cut / "model").exists()
    trained(small, whole, *overrides)
    main(words(small, cut, *overrides, resume=True))
    weights = [(out / "model/model.safetensors").read_bytes() for out in (whole, cut)]
    assert weights[0] == weights[1]
    assert losses(cut) == losses(whole)
    assert [line["step"] for line in lines(cut)] == [line["step"] for line in lines(whole)]
    assert {path.name for path in (cut / "checkpoints").iterdir()} == {"newest.pt", "best.pt"}


def kill_in_a_checkpoint(words, out):
    """Kill a run while its newest checkpoint is half written; whether the kill came in time."""
    process = started(*words)
    wait_for(process, out, 5)
    deadline = time.monotonic() + 60
    while not (half := list((out / "checkpoints").glob(".newest.pt.*.tmp"))):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
    process.kill()
    process.communicate()
    return half[0].exists()


def test_killed_while_a_checkpoint_is_written_the_older_one_goes_on(small, tmp_path):
    overrides = ("training.steps=60", "training.save_every=1", "evaluation.sites=0")
    overrides += ("model.width=128", "model.depth=2")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    attempts = (
        kill_in_a_checkpoint(words(small, cut, *overrides, resume=attempt > 0), cut)
        for attempt in range(5)
    )
    assert any(attempts), "five kills, and none while a checkpoint was written"
    main(words(small, cut, *overrides, resume=True))
    trained(small, whole, *overrides)
    weights = [(out / "model/model.safetensors").read_bytes() for out in (whole, cut)]
    assert weights[0] == weights[1]
    assert losses(cut) == losses(whole)
    assert {path.name for path in (cut / "checkpoints").iterdir()} == {"newest.pt", "best.pt"}


def test_two_ranks_train_as_one_and_only_one_writes(small, tmp_path, monkeypatch):
    overrides = ("training.steps=8", "training.accumulate=2", "evaluation.share=0.3")
    one = trained(small, tmp_path / "one", *overrides)
    launch = [
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "--rdzv-backend",
        "c10d",
    ]
    program = [
        sys.executable,
        "-m",
        *launch,
        "--rdzv-endpoint",
        "localhost:0",
        "-m",
        "orchid_genomics",
    ]
    command = [*program, *words(small, tmp_path / "two", *overrides)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(one, rel=1e-4)
    assert done.stdout.count("model: ") == 1
    found = [
        json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "two")
    ]
    means = [
        [row["scores"]["model"][0][key] for row in each for key in ("mean", "targets")]
        for each in found
    ]
    assert means[1] == pytest.approx(means[0], rel=1e-3)


@pytest.mark.parametrize("override", ["training.accumulate=4", "training.checkpointing=true"])
def test_saving_memory_gives_the_same_curve(small, tmp_path, override):
    whole = trained(small, tmp_path / "whole")
    assert len(whole) == 12
    assert trained(small, tmp_path / "parts", override) == pytest.approx(whole, rel=1e-4)


def test_a_curriculum_trains_short_and_finishes_long(small, tmp_path, capsys):
    stages = "training.curriculum=[{length=64, steps=3, batch=8}, {length=512, steps=2, batch=2}]"
    trained(small, tmp_path / "run", stages)
    assert [line["length"] for line in lines(tmp_path / "run") if "loss" in line] == [64] * 3 + [
        512
    ] * 2
    out = capsys.readouterr().out
    assert "15% masked, 512 nt" in out
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["encoder"]["filter"]["longest"] == 64, "far lags grow in"


def test_several_genomes_are_drawn_by_their_weights(small, tmp_path, capsys):
    (tmp_path / "other.fa").write_text(">x\n" + "ACGTTGCA" * 500 + "\n")
    text = small.read_text().replace(
        "[data]", '[[genomes]]\nfasta = "other.fa"\nweight = 3.0\n[data]'
    )
    small.write_text(text)
    trained(small, tmp_path / "run")
    said = capsys.readouterr().err
    assert "genome.fa: 71 training windows (25% of draws)" in said
    assert "other.fa: 32 training windows (75% of draws)" in said
    provenance = json.loads((tmp_path / "run/model/provenance.json").read_text())
    assert [genome["fasta"] for genome in provenance["genomes"]] == ["genome.fa", "other.fa"]
    assert all(genome["seen"] for genome in provenance["genomes"])


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_windows(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words(small, tmp_path / "run", "optimizer.rate=1e30", "optimizer.warmup=0"))
    *_, last = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1
    assert last.startswith("error: step 2, windows ")
    assert len(re.findall(r"[ab]:[\d,]+-[\d,]+\(\+\)", last)) == 4
    assert re.search(r"\(1-based\): .*(NaN|nan|inf).*; a lower optimizer\.rate", last)
    assert not (tmp_path / "run/model").exists()


def test_a_stop_that_comes_with_a_fault_is_not_lost(small, tmp_path, monkeypatch):
    fail = Fit._fail

    def stop_and_fail(trainer, batch, fault):
        signal.raise_signal(signal.SIGINT)
        fail(trainer, batch, fault)

    monkeypatch.setattr(Fit, "_fail", stop_and_fail)
    # A shell has what it runs in the background ignore Ctrl-C, and this test with it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stop:
            main(words(small, tmp_path / "run", "optimizer.rate=1e30", "optimizer.warmup=0"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 128 + signal.SIGINT


def test_what_recurs_is_learned(small, tmp_path):
    motif = "".join(np.random.default_rng(1).choice(list("ACGT"), 24))
    letters = motif * 400
    text = f">a\n{letters}\n>v\n{letters[:2400]}\n>t\n{letters[:2400]}\n"
    (tmp_path / "genome.fa").write_text(text)
    found = trained(
        small, tmp_path / "run", "training.steps=80", "optimizer.rate=2e-2", "optimizer.warmup=10"
    )
    bits = np.array(found) / np.log(2)
    assert bits[:3].mean() > 1.9
    assert bits[-10:].mean() < 1.2
    report = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert all(protocol["scores"]["model"][0]["mean"] < 1.2 for protocol in report)


def test_the_best_on_validation_is_what_is_kept(small, tmp_path):
    trained(small, tmp_path / "run", "training.validate_every=2")
    bits = {
        line["step"]: line["validation_bits"]
        for line in lines(tmp_path / "run")
        if "validation_bits" in line
    }
    best = torch.load(tmp_path / "run/checkpoints/best.pt", weights_only=True)
    assert best["step"] == min(bits, key=bits.get)
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "run/model/model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in best["model"].items())


@pytest.mark.parametrize(
    ("number", "count"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)]
)
def test_ctrl_c_saves_and_exits_and_twice_does_not_wait_where_a_scheduler_may_ask_twice(
    small, tmp_path, capsys, number, count
):
    out, before = tmp_path / "run", signal.getsignal(signal.SIGINT)

    def press():
        wait_for(None, out, 3)
        for _ in range(count):
            os.kill(os.getpid(), number)
            time.sleep(0.001)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(SystemExit) as stop:
        main(words(small, out, "training.steps=100000"))
    pressing.join()
    assert stop.value.code == 128 + number
    if (number, count) != (signal.SIGINT, 2):
        assert torch.load(out / "checkpoints/newest.pt", weights_only=True)["step"] == len(
            losses(out)
        )
        assert "stopped: saved at step" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
