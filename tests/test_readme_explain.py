"""The README's section on explaining: its commands and its code run as they are written."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main

README = Path(__file__).parent.parent / "README.md"
SECTION = README.read_text().split("## Explain\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.S)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """What the README supposes: a genome, regions of it, and a model."""
    contigs = {f"chr{n}": random_letters(300, n) for n in (1, 2)}
    write_genome(tmp_path / "mygenome.fa.gz", contigs)
    (tmp_path / "peaks.bed").write_text("".join(f"{name}\t100\t140\tp\t0\t+\n" for name in contigs))
    letters_model(width=16).save_pretrained(tmp_path / "runs" / "mygenome" / "model", {"report": {"length": 64}})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_code_run_as_they_are_written(stranger):
    (commands,) = blocks("sh")
    written = set()
    for line in commands.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "orchid-genomics"
        main(words[1:])
        written |= {words[at + 1] for at, word in enumerate(words) if word == "-o"}
    assert {path.name for path in stranger.iterdir()} >= written
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    assert names["attributions"].shape == (1, 4, 128)
    assert torch.isfinite(names["attributions"]).all()
    assert names["attributions"].abs().max() > 0
