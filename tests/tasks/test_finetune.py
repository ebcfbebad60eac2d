"""Journeys of fine-tuning: real commands on small sets with an answer that is known."""

import gzip
import json

import numpy as np
import pytest

from orchid_genomics.cli import main
from orchid_genomics.model.pretrained import OrchidModel

RECIPE = """
[data]
kind = "table"
path = "set.tsv.gz"
[model]
width = 16
depth = 1
[head]
pool = "attention"
[optimizer]
rate = 1e-2
warmup = 5
[training]
epochs = 4
batch = 16
device = "cpu"
[baselines]
cnn = false
sizes = [3]
"""


def planted(rows: int, seed: int, motif: str = "TGACTCAG", length: int = 80) -> list[tuple[str, int]]:
    """Random sequences; half hold a motif, on either strand, anywhere."""
    rng = np.random.default_rng(seed)
    other = motif[::-1].translate(str.maketrans("ACGT", "TGCA"))
    found = []
    for row in range(rows):
        letters = "".join(rng.choice(list("ACGT"), length))
        if row % 2:
            at = int(rng.integers(5, length - 15))
            letters = letters[:at] + (motif if rng.random() < 0.5 else other) + letters[at + len(motif) :]
        found.append((letters, row % 2))
    return found


def write_set(path, rows, extra=lambda row: ("chr1", row * 20_000, "+")):
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    with gzip.open(path, "wt") as file:
        file.write("#chrom\tstart\tend\tstrand\tlabel\tsplit\tsequence\n")
        for row, (letters, label) in enumerate(rows):
            contig, start, strand = extra(row)
            split = splits[(row // 2) % 10]
            file.write(f"{contig}\t{start}\t{start + len(letters)}\t{strand}\t{label}\t{split}\t{letters}\n")


@pytest.fixture
def recipe(tmp_path):
    write_set(tmp_path / "set.tsv.gz", planted(400, 0))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def test_a_run_ends_with_an_answer_a_model_and_a_report(recipe, tmp_path, capsys):
    main(["finetune", str(recipe), "-o", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    first = out.splitlines()[0]
    assert first.startswith("The encoder ")
    assert "the best alternative on validation" in first
    for words in (
        "majority class",
        "GC content",
        "k-mer regression",
        "gapped k-mer regression",
        "positional regression",
    ):
        assert words in out
    assert "240 train, 80 validation, 80 test rows of 80 nt" in err
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["verdict"]
    assert found["lines"][0]["name"] == "model"
    page = (tmp_path / "run" / "report.html").read_text()
    assert first.split(":")[0] in page
    model = OrchidModel.from_pretrained(tmp_path / "run" / "model")
    assert model.recipe.head.labels == ("0", "1")
    assert model.provenance["labelled"]["rows"] == {"train": 240, "validation": 80, "test": 80}
