"""The README's section on elements: its commands and its code run as they are written."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main

README = Path(__file__).parent.parent / "README.md"
SECTION = README.read_text().split("## Score and embed elements\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.S)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """What the README supposes: a genome, peaks on five contigs, and a model."""
    contigs = {f"chr{n}": random_letters(1500, n) for n in (1, 2, 8, 9, 10)}
    write_genome(tmp_path / "mygenome.fa.gz", contigs)
    peaks = [f"{name}\t{at}\t{at + 60}\tp\t0\t.\t1\t-1\t-1\t30\n" for name in contigs for at in (300, 700)]
    (tmp_path / "peaks.narrowPeak").write_text("".join(peaks))
    letters_model(width=16).save_pretrained(tmp_path / "runs" / "mygenome" / "model", {"report": {"length": 64}})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_code_run_as_they_are_written(stranger):
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "orchid-genomics"
        main([*words[1:], *(["--length", "64"] if words[1] == "dataset" else [])])
    assert {path.name for path in stranger.iterdir()} >= {
        "set.tsv.gz",
        "scored.bed.gz",
        "scored.bed.gz.tbi",
        "chr8.bw",
        "peaks.h5",
    }
    scores, embeddings, pipeline = blocks("python")
    names: dict = {}
    exec(scores, names)
    assert np.isfinite(names["z"]).all()
    assert set(names["why"]) == {""}
    exec(embeddings, names)
    assert names["X"].shape == (10, 8)
    assert len(names["places"]) == 10
    exec(pipeline, names)
