"""The tables of the help and of docs/variants.md are made from the scores themselves."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchid_genomics.cli import group
from orchid_genomics.evaluate.variants.benchmark import ScoreColumn, own_scores
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
    assert [row[0] for row in rows if row[6] == "yes"] == ["indel", "embedding", "delta"]
    for row in rows:
        assert any(unit in row[7] for unit in ("nats", "bits", "0:", "> 0", "units")), row


def test_the_page_has_every_reason():
    page = (ROOT / "docs/variants.md").read_text()
    assert [code for code in REASONS if f"`{code}`" not in page] == []


@pytest.mark.parametrize("command", ["score-variants", "merge"])
def test_help_waits_for_nothing_heavy(command):
    program = (
        f"import sys; from orchid_genomics.cli import group\ngroup.main([{command!r}, '--help'],"
        " standalone_mode=False)\nprint('heavy:', *[name for name in ('torch', 'numpy', 'pysam',"
        " 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy:"


OTHER = """
from orchid_genomics.evaluate.variants.benchmark import ScoreColumn, own_scores
from orchid_genomics.score.variants.scorers import KINDS, Column, Scorer

def gc(reader, events):
    return [(sum(code in (1, 2) for code in event.alt),) for event in events]

GC = Scorer(gc, (Column("gc", "G and C of the alternate letters; 0: none", lower=True),), KINDS,
            "none", "none", needs="")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of somebody else that has a score."""
    (tmp_path / "otherlib.py").write_text(OTHER)
    info = tmp_path / "otherlib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlib\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orchid_genomics.scores]\ngc = otherlib:GC\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    vars(SCORERS).pop("_outside", None)
    yield tmp_path
    vars(SCORERS).pop("_outside", None)
    if "gc" in SCORERS.present():
        del SCORERS["gc"]
    sys.modules.pop("otherlib", None)


def test_a_score_of_another_package_is_listed_given_and_judged(installed, genome, model):
    assert plain().splitlines()[-1] == "  gc            (of another package)"
    assert "otherlib" not in sys.modules  # a help page waits for nobody's libraries
    model.save_pretrained(installed / "model")
    letters = genome.letters("c1", 0, 400).decode()
    rows = [f"c1\t{i + 1}\t.\t{letters[i]}\tG\t.\t.\t." for i in range(20, 60)]
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (installed / "in.vcf").write_text(head + "\n".join(rows) + "\n")
    out = installed / "out.tsv"
    words = ["score-variants", installed / "model", genome.path, installed / "in.vcf", "-o", out]
    group.main([*map(str, words), "--scores", "gc", "--quiet"], standalone_mode=False)
    assert out.read_text().splitlines()[1].split("\t")[-2:] == ["gc", "why"]
    values = {line.split("\t")[6] for line in out.read_text().splitlines()[2:]}
    assert values == {"1", "."}
    (column,) = own_scores(["gc", "other"])
    assert (ScoreColumn.parse(column).score, ScoreColumn.parse(column).sign) == ("gc", -1)
