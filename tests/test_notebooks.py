"""The notebooks, from top to bottom on a CPU, as a reader runs them; they carry small figures."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text())["cells"]


def test_both_are_here():
    assert [path.stem for path in NOTEBOOKS] == ["1-saliency", "2-variants"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_its_question_and_carries_small_figures(path):
    first, *others = cells(path)
    assert first["cell_type"] == "markdown"
    assert first["source"][0].startswith(f"# {path.stem[0]}. ")
    code = [cell for cell in others if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not any(output["output_type"] == "error" for output in outputs)
    figures = [
        output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    assert figures
    assert max(map(len, figures)) < 60_000
    assert path.stat().st_size < 300_000
    assert str(ROOT) not in path.read_text()


LONG = {"1-saliency"}  # half a minute and more


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in LONG)) for p in NOTEBOOKS],
    ids=lambda path: path.stem,
)
# Warnings of the notebook's client; the kernel's own are shown in the notebook.
@pytest.mark.filterwarnings("default")
def test_a_notebook_runs_from_top_to_bottom(path, monkeypatch, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources=folder
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    said = "".join(output.get("text", "") for output in outputs if output.get("name") == "stderr")
    assert "Warning" not in said
    assert "SystemExit" not in said
