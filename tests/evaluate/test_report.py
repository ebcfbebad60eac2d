"""The page of a fine-tuning run: it stands alone, and shows the verdict, the table and pictures."""

from html.parser import HTMLParser
from pathlib import Path
from shutil import which
from subprocess import run

import numpy as np
import pytest
from compared_sets import labelled, model, other

from orchid_genomics.evaluate.comparison import compare
from orchid_genomics.evaluate.comparison_text import verdict_text
from orchid_genomics.evaluate.report import Curves, page


class Outside(HTMLParser):
    """Everything that a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            inside = value is not None and value.startswith("data:image/")
            if tag == "script" or (name in ("src", "href") and not inside):
                self.found.append(value)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def report(task="binary", labels=("<no>", "yes & more")) -> str:
    data = labelled(labels if task == "binary" else ("expression",), task)
    ours, theirs = model(data, 0.5, (0, 1)), other(data, "k-mer <regression>", 1.0)
    found = compare(data, ours, [theirs], ["Trained: all <weights>."])
    return page(
        data,
        found,
        [ours.answered, theirs],
        [Curves("model", [network.log for network in ours.networks])],
        verdict_text(found),
        {"genomes": [], "version": "<1>"},
    )


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_page_stands_alone_and_escapes_what_it_shows(task):
    html = report(task)
    parser = Outside()
    parser.feed(html)
    assert parser.found == []
    assert not parser.open
    assert "url(" not in html
    for raw in ("<no>", "<regression>", "<weights>", "<1>"):
        assert raw not in html
    assert html.index("The encoder") < html.index("Beside the alternatives")
    assert html.count("<img") == {"binary": 7, "regression": 3}[task]


def chromium() -> str | None:
    return which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_a_browser_shows_the_verdict_the_table_and_the_pictures(tmp_path):
    page_path = tmp_path / "report.html"
    page_path.write_text(report(), encoding="utf-8")
    quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    words = [
        chromium(),
        "--headless",
        "--no-sandbox",
        *quiet,
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    shot = tmp_path / "page.png"
    done = run(
        [*words, f"--screenshot={shot}", "--window-size=1240,2000", f"file://{page_path}"],
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    matplotlib = pytest.importorskip("matplotlib.image")
    picture = matplotlib.imread(Path(shot))[..., :3]
    assert picture.shape == (2000, 1240, 3)
    ours = np.abs(picture - np.array([0x7B, 0x2D, 0x8B]) / 255).max(2) < 0.05
    assert ours.sum() > 500, "the model's colour is drawn"
    green = np.abs(picture - np.array([0xEE, 0xF7, 0xF1]) / 255).max(2) < 0.02
    assert green.sum() > 5_000, "the verdict stands in its box"
