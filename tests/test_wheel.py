"""A built wheel, in a fresh environment far from the clone, pretrains on a small FASTA."""

import os
import random
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPE = """
genomes = [{ fasta = "small.fa", validation = ["b"], test = ["c"] }]
data = { length = 128 }
model = { width = 16, depth = 1 }
training = { steps = 4, batch = 2, device = "cpu" }
evaluation = { sites = 50 }
"""


def call(*words: object, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of_other_kinds() -> set[str]:
    """What the package holds beside Python: templates and styles, from the folder above it."""
    found = (ROOT / "orchid_genomics").rglob("*")
    kept = [path for path in found if path.is_file() and path.suffix not in (".py", ".pyc")]
    return {str(path.relative_to(ROOT)) for path in kept}


def test_templates_and_styles_are_declared_as_part_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["orchid_genomics"]
    package = ROOT / "orchid_genomics"
    declared = {
        str(path.relative_to(ROOT)) for pattern in patterns for path in package.glob(pattern)
    }
    assert files_of_other_kinds() == declared


@pytest.mark.slow
def test_the_wheel_installs_in_a_fresh_environment_and_pretrains(tmp_path):
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert files_of_other_kinds() <= set(zipfile.ZipFile(wheel).namelist())
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "-c", ROOT / "constraints.txt", "torch")
    call(python, "-m", "pip", "install", "-c", ROOT / "constraints.txt", wheel)
    letters = random.Random(0)
    records = (f">{name}\n{''.join(letters.choices('ACGT', k=4000))}\n" for name in "abcd")
    (tmp_path / "small.fa").write_text("".join(records))
    (tmp_path / "small.toml").write_text(RECIPE)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ORCHID_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": "",
    }
    command = tmp_path / "venv" / "bin" / "orchid-genomics"
    printed = call(command, "pretrain", "small.toml", "-o", "run", cwd=tmp_path, env=environment)
    assert "counts, 6 on both sides" in printed
    assert "run/model" in printed
    assert "parameters" in call(command, "info", "run/model", cwd=tmp_path, env=environment)
