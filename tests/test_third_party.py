"""A package of somebody else adds a head, an objective, a score, a method and a backend, and real
commands run each of them: no fork, no installer, only entry points.
"""

import json
import os
import subprocess
import sys

import pytest
from random_models import random_letters, write_genome

PACKAGE = '''
"""What somebody else wrote."""

from typing import Literal

import torch
from torch import nn

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.explain.methods import Method
from orchid_genomics.model.heads import HeadRecipe
from orchid_genomics.ops import Backend, reference
from orchid_genomics.score.variants.scorers import KINDS, Column, Scorer
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe


class LoudestRecipe(HeadRecipe):
    kind: Literal["loudest"] = "loudest"
    labels: tuple[str, ...] = ("activity",)

    @property
    def supervised(self):
        return task_of("regression", self.labels)


class Loudest(nn.Module):
    """The loudest channel of all letters."""

    Recipe, pools = LoudestRecipe, True

    def __init__(self, recipe, encoder):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(len(recipe.labels)))

    def forward(self, x_BLD, mask_BL=None):
        if mask_BL is not None:
            x_BLD = x_BLD * mask_BL[..., None]
        return x_BLD.abs().amax((1, 2))[:, None] * self.scale


class RareRecipe(MaskedRecipe):
    kind: Literal["rare"] = "rare"
    share: float = 0.05


class Rare(MaskedLetters):
    Recipe = RareRecipe


def count_gc(reader, events):
    return [(sum(code in (1, 2) for code in event.alt),) for event in events]


GC = Scorer(count_gc, (Column("gc", "G and C of the alternate letters"),), KINDS, "0", "0", "")


def double(batch):
    return batch.whole(2 * batch.x_N4L)


TWICE = Method(double, "counts to two", "Two a letter")


def long_conv(*arguments):
    with open("backend.txt", "a") as file:
        file.write("used")
    return reference.long_conv(*arguments)


PLAIN = Backend(long_conv)
'''
ENTRIES = """
[orchid_genomics.heads]
loudest = otherlib:Loudest
[orchid_genomics.objectives]
rare = otherlib:Rare
[orchid_genomics.scores]
gc = otherlib:GC
[orchid_genomics.methods]
twice = otherlib:TWICE
[orchid_genomics.backends]
plain = otherlib:PLAIN
"""
RECIPE = """
[[genomes]]
fasta = "genome.fa"
validation = ["v"]
test = ["t"]
[data]
length = 64
[model]
width = 8
depth = 1
backend = "plain"
[objective]
kind = "rare"
share = 0.2
[training]
device = "cpu"
steps = 2
batch = 2
[evaluation]
sites = 10
validation_windows = 2
baselines = false
"""
FINETUNE = """
[data]
kind = "table"
path = "rows.tsv"
[head]
kind = "loudest"
[model]
width = 8
[training]
device = "cpu"
epochs = 1
seeds = [0]
rates = [0.01]
[baselines]
cnn = false
"""
VCF = """##fileformat=VCFv4.2
##contig=<ID=a>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
a\t300\t.\t{}\t{}\t.\t.\t.
"""
PROGRAM = """
import json, sys
from orchid_genomics.cli import main
for words in json.loads(sys.argv[1]):
    main(words)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder where a genome, a model with that head, and the package lie."""
    (tmp_path / "otherlib.py").write_text(PACKAGE)
    info = tmp_path / "otherlib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlib\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    letters = {name: random_letters(1_000, seed) for seed, name in enumerate("avt")}
    write_genome(tmp_path / "genome.fa", letters)
    (tmp_path / "run.toml").write_text(RECIPE)
    ref = letters["a"][299].upper()
    (tmp_path / "in.vcf").write_text(VCF.format(ref, "G" if ref == "C" else "C"))
    (tmp_path / "in.bed").write_text("a\t300\t310\n")
    return tmp_path


@pytest.fixture
def run(folder):
    """Run Python, or commands one after the other, where the package can be found."""
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", os.getcwd())))
    environment = {**os.environ, "PYTHONPATH": path}

    def call(program: str, *words: str) -> str:
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


MODEL = """
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.recipe import validate
recipe = {"encoder": {"width": 8, "depth": 1}, "head": {"kind": "loudest"}}
OrchidModel(validate(ModelRecipe, recipe, "recipe")).save_pretrained("tuned")
"""


def test_all_five_run_through_the_commands(run, folder):
    run(MODEL)
    commands = [
        ["pretrain", "run.toml", "-o", "run"],
        ["info", "tuned"],
        ["score-variants", "tuned", "genome.fa", "in.vcf", "--scores", "delta,gc", "-o", "out.tsv"],
        ["score-elements", "tuned", "genome.fa", "in.bed", "-o", "elements.tsv"],
        ["explain", "run/model", "genome.fa", "in.bed", "--method", "twice", "-o", "out.h5"],
    ]
    said = run(PROGRAM, json.dumps(commands))
    assert "head         loudest" in said
    assert "1 regions: 1 explained by twice" in said
    saved = json.loads((folder / "run" / "recipe.json").read_text())
    assert (saved["objective"]["kind"], saved["objective"]["share"]) == ("rare", 0.2)
    assert saved["model"]["backend"] == "plain"
    assert (folder / "backend.txt").read_text().startswith("used")
    header, row = [
        line.split("\t")
        for line in (folder / "out.tsv").read_text().splitlines()
        if not line.startswith("##")
    ]
    values = dict(zip(header, row, strict=True))
    assert float(values["gc"]) == 1
    assert "delta_activity" in values
    elements = (folder / "elements.tsv").read_text()
    assert "activity" in elements


def test_finetune_trains_that_head(run, folder):
    parts = ["train"] * 20 + ["dev"] * 10 + ["test"] * 10
    rows = [f"{random_letters(40, seed)}\t{seed / 40}\t{part}" for seed, part in enumerate(parts)]
    (folder / "rows.tsv").write_text("\n".join(["sequence\tlabel\tsplit", *rows]) + "\n")
    (folder / "tune.toml").write_text(FINETUNE)
    commands = [["finetune", "tune.toml", "-o", "tuned"], ["info", "tuned/model"]]
    said = run(PROGRAM, json.dumps(commands))
    assert "head         loudest" in said
    head = json.loads((folder / "tuned" / "model" / "config.json").read_text())["head"]
    assert head == {"kind": "loudest", "labels": ["label"]}


def test_what_nobody_registered_is_one_line_with_all_choices(run, folder):
    program = (
        "from orchid_genomics.cli import main\n"
        "import sys\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: print(stop.code)"
    )
    said = run(program, "pretrain", "run.toml", "-o", "run", "--set", "model.backend=cufft")
    assert (
        "model.backend: 'cufft'; possible: 'fft', 'reference', 'triton', 'auto' or 'plain'" in said
    )
    said = run(program, "pretrain", "run.toml", "-o", "run", "--set", "objective.kind=next")
    assert "objective: unknown kind 'next'; possible: 'masked', 'recall', 'rare'" in said
    parts = ("train", "dev", "test")
    rows = [f"ACG{'ACGT' * row}\t{row + 0.5}\t{parts[row % 3]}\n" for row in range(9)]
    (folder / "rows.tsv").write_text("sequence\tlabel\tsplit\n" + "".join(rows))
    (folder / "tune.toml").write_text(FINETUNE)
    said = run(program, "finetune", "tune.toml", "-o", "tuned", "--set", "head.keys={loud=1}")
    assert "head.keys: loud: unknown key; possible: kind, labels" in said
