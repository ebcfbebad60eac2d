"""A method of another package: in help, on the page, and through the command, without a fork."""

import os
import subprocess
import sys

import pytest
from random_models import letters_model, random_letters, write_genome

OTHER = """
from orchid_genomics.explain.methods import Method

def weigh(batch):
    from torch import ones
    N, _, L = batch.x_N4L.shape
    twice = ones(N, 2, L)
    return {**batch.whole(2 * batch.x_N4L), "twice": twice}

COUNT = Method(weigh, "counts to two", "Two a letter", extra_arrays={"twice": (2, "L")})
"""
ENTRY = "[orchid_genomics.methods]\ncount = otherlib:COUNT\n"


@pytest.fixture
def run(tmp_path):
    """The command, where a package of somebody else is installed."""
    (tmp_path / "otherlib.py").write_text(OTHER)
    info = tmp_path / "otherlib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlib\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', os.getcwd())}"
    environment = {**os.environ, "PYTHONPATH": path}

    def call(*words: object) -> str:
        command = [sys.executable, "-m", "orchid_genomics", "explain", *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


def test_help_lists_it_and_the_command_runs_it(run, tmp_path):
    assert "count        (of another package)" in run("--help")
    write_genome(tmp_path / "genome.fa", {"c1": random_letters(300)})
    letters_model().save_pretrained(tmp_path / "model")
    (tmp_path / "in.bed").write_text("c1\t100\t110\nc1\t100\t104\n")
    words = ["model", "genome.fa", "in.bed", "-o", "out.h5", "--method", "count", "--html"]
    assert "2 regions: 2 explained by count" in run(*words)
    assert "Two a letter" in (tmp_path / "out.html").read_text()
    from orchid_genomics.explain.arrays import read_explained

    first, second = read_explained(tmp_path / "out.h5")
    assert first.arrays["projected"].tolist() == [2.0] * 10
    assert second.arrays["twice"].shape == (2, 4)
