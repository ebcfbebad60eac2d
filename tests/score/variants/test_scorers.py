"""The tables of the help and of docs/variants.md are made from the scores themselves."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchid_genomics.cli import group
from orchid_genomics.score.variants.scorers import KINDS, SCORERS, markdown, plain, table
from orchid_genomics.score.variants.variant_scores import REASONS

ROOT = Path(__file__).parents[3]


def test_the_page_has_the_table():
    assert markdown() in (ROOT / "docs/variants.md").read_text()


def test_the_help_has_the_table_and_what_it_is_not():
    said = CliRunner().invoke(group, ["score-variants", "--help"], terminal_width=120).output
    lines = [line.strip() for line in said.splitlines()]
    assert [line for line in plain().splitlines() if line.strip() not in lines] == []
    assert "not pathogenicity" in " ".join(said.split())


def test_the_table_has_every_score_and_type():
    head, *rows = table()
    assert head[1:7] == (*KINDS, "symbolic")
    assert [row[0] for row in rows] == list(SCORERS)
    assert all(
        "nats" in row[7] or "bits" in row[7] or "0:" in row[7] or "> 0" in row[7] for row in rows
    )


def test_the_page_has_every_reason():
    page = (ROOT / "docs/variants.md").read_text()
    assert [code for code in REASONS if f"`{code}`" not in page] == []


@pytest.mark.parametrize("command", ["score-variants", "merge"])
def test_help_waits_for_nothing_heavy(command):
    program = (
        "import sys; from orchid_genomics.cli import group\n"
        f"group.main([{command!r}, '--help'], standalone_mode=False)\n"
        "print('heavy:', *[name for name in ('torch', 'numpy', 'pysam', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy:"
