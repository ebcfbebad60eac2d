"""The Slurm example: it is bash, and where Slurm would stop it, it saves, queues again and
goes on.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "recipes/cluster/pretrain.sbatch"
COMMANDS = {  # a cluster of one node, which runs what it is told here
    "srun": 'shift; exec "$@"',  # --kill-on-bad-exit
    "scontrol": 'case $1 in show) echo localhost ;; requeue) echo "$2" >> requeued ;; esac',
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
}


def test_it_is_bash_that_slurm_reads():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    text = SCRIPT.read_text()
    head = text[: text.index("set -euo pipefail")].splitlines()
    assert head[0] == "#!/bin/bash"
    options = {line.split()[1].partition("=")[0] for line in head if line.startswith("#SBATCH ")}
    assert {"--nodes", "--ntasks-per-node", "--signal", "--requeue"} <= options


def test_without_a_run_folder_it_says_what_it_needs():
    done = subprocess.run(["bash", SCRIPT, "recipe.toml"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "usage: sbatch pretrain.sbatch RECIPE.toml RUN" in done.stderr


@pytest.mark.slow
def test_a_job_whose_time_is_up_saves_asks_for_the_queue_and_goes_on(small, tmp_path):
    (tmp_path / "bin").mkdir()
    for name, body in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    slurm = {
        "JOB_ID": "7",
        "NNODES": "1",
        "JOB_NODELIST": "localhost",
        "GPUS_ON_NODE": "2",
        "CPUS_PER_TASK": "2",
    }
    environment = {**os.environ, **{f"SLURM_{name}": value for name, value in slurm.items()}}
    environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    run, log = tmp_path / "run", tmp_path / "run/log.jsonl"
    words = [
        "bash",
        SCRIPT,
        small,
        run,
        "training.steps=400",
        "training.save_every=1000",
        "evaluation.sites=0",
    ]
    job = subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (log.exists() and log.read_text().count("\n") > 20):
        assert job.poll() is None, job.stderr.read()
    job.terminate()
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 0, said
    assert (tmp_path / "requeued").read_text() == "7\n"
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert f"stopped: saved at step {steps[-1]}; --resume goes on from there" in said
    assert not (run / "model").exists()
    done = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (run / "model/model.safetensors").exists()
    losses = [line for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
    assert [line["step"] for line in losses] == list(range(1, 401))
    assert (tmp_path / "requeued").read_text() == "7\n"
