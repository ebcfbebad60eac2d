"""The Snakemake workflow shards a genome and joins it to the bytes of one run."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from random_models import letters_model, random_letters, write_genome

NAMES = ("sharded.vcf.gz", "whole.vcf.gz")
SNAKEFILE = Path(__file__).parents[1] / "recipes" / "cluster" / "Snakefile"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")
def test_two_shards_here_are_one_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    letters_model().save_pretrained("m", {"report": {"length": 64}})
    letters = {name: random_letters(2000, number) for number, name in enumerate("ab")}
    write_genome(tmp_path / "g.fa", letters)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "orchid-genomics"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchid_genomics "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"
    config = ("model=m", "genome=g.fa", "out=sharded.vcf.gz", "shards=2", "options=--window 64")
    words = ["snakemake", "-s", SNAKEFILE, "--cores", "2", "--config", *config]
    subprocess.run(words, env=os.environ | {"PATH": path}, check=True)
    # With as many threads as the workflow gives a shard: torch sums in another order with others.
    words = [command, "score-genome", "m", "g.fa", "-o", "whole.vcf.gz", "--window", "64"]
    subprocess.run([*words, "--quiet"], env=os.environ | {"OMP_NUM_THREADS": "2"}, check=True)
    one, other = (gzip.decompress(Path(name).read_bytes()) for name in NAMES)
    assert one == other
    assert Path("sharded.vcf.gz.tbi").exists()
