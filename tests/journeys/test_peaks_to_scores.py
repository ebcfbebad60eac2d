"""From peaks to scored peaks: dataset, finetune, score-elements, one after the other."""

import numpy as np
import pytest
from random_models import write_genome

from orchid_genomics.cli import main

RECIPE = """
[data]
kind = "table"
path = "set.tsv.gz"
[model]
width = 8
depth = 1
[training]
epochs = 1
batch = 16
seeds = [0]
device = "cpu"
[baselines]
simple = false
cnn = false
random = false
"""


@pytest.fixture
def peaks(tmp_path, monkeypatch):
    """Three contigs with GGGCGGGGC planted at every peak, and nowhere else."""
    rng = np.random.default_rng(0)
    contigs, rows = {}, []
    for name, size in (("a", 6_000), ("b", 3_000), ("c", 3_000)):
        letters = rng.choice(list("ACGT"), size, p=[0.35, 0.15, 0.15, 0.35])
        for at in range(150, size - 150, 150):
            letters[at : at + 9] = list("GGGCGGGGC")
            rows.append(f"{name}\t{at - 20}\t{at + 30}\tp\t0\t.\t1\t-1\t-1\t24\n")
        contigs[name] = "".join(letters)
    write_genome(tmp_path / "g.fa", contigs)
    (tmp_path / "p.narrowPeak").write_text("".join(rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_peaks_become_a_model_that_scores_peaks(peaks, capsys):
    main(
        [
            "dataset",
            "p.narrowPeak",
            "g.fa",
            "-o",
            "set.tsv.gz",
            "--length",
            "40",
            "--validation",
            "b",
            "--test",
            "c",
        ]
    )
    main(["finetune", "recipe.toml", "-o", "run"])
    main(["score-elements", "run/model", "g.fa", "p.narrowPeak", "-o", "out.tsv", "--quiet"])
    line, header, *rows = (peaks / "out.tsv").read_text().splitlines()
    assert "length 40" in line  # as it was trained, though the peaks have 50 letters
    assert header.split("\t")[-2:] == ["p_1", "why"]
    assert len(rows) == len((peaks / "p.narrowPeak").read_text().splitlines())
    values = np.array([float(row.split("\t")[-2]) for row in rows])
    assert ((values > 0) & (values < 1)).all()
