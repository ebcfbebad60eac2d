"""The page about a run: whole in one file, the right letters named, nothing fetched; and it opens
in a browser.
"""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from orchid_genomics import draw
from orchid_genomics.explain.explainer import Explained
from orchid_genomics.explain.motif_files import Motif
from orchid_genomics.explain.motifs import Match, Seqlet
from orchid_genomics.explain.page import (
    MOST,
    Look,
    MotifRow,
    _shade,
    heaviest,
    motif_rows,
    write_page,
)
from orchid_genomics.sequence import DNA, Interval


def region(
    start: int, text: str, strand: str = "+", name: str = "", error: float = np.nan
) -> Explained:
    values = np.zeros(len(text))
    values[2] = -0.5
    found = {
        "tokens": DNA.encode(text),
        "projected": values,
        "difference": np.array(error * 1e4),
        "error": np.array(error),
    }
    return Explained(Interval("chr1", start, start + len(text), strand, name), "", found)


class Tags(HTMLParser):
    """What a page is made of: open tags that were never closed, and every address in it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def page(tmp_path):
    long = {**region(1000, "A" * 300).arrays, "dependency": np.ones((300, 300))}
    regions = [
        region(99, "ACGTACGTAC", name="first <promoter>", error=1e-4),
        region(199, "ACGTACGTAC", "-"),
        Explained(Interval("chr1", 1000, 1300), "", long),
        Explained(Interval("chr9", 5, 8), "unknown_contig", {}),
    ]
    motifs = [
        MotifRow(np.array([[9, 1], [1, 9], [1, 1], [1, 1]]), {"motif": "TBP & co", "q": "0.01"})
    ]
    lanes = [draw.Lane("genes", (Interval("chr1", 100, 150, "+", "ABC1"),), (), True)]
    path = tmp_path / "page.html"
    facts = {"model": "d5dafde6d240"}
    write_page(
        path,
        "A run",
        "What it is.",
        regions,
        look=Look("nats", lanes),
        motifs=motifs,
        provenance=facts,
    )
    return path


def test_a_page_is_whole_closed_and_fetches_nothing(page):
    tags = Tags()
    tags.feed(page.read_text())
    assert tags.open == []
    assert tags.addresses
    assert all(address.startswith("data:image/") for address in tags.addresses)
    assert not re.search(r"<script|@import|url\(", page.read_text())


def test_a_page_names_regions_letters_motifs_and_provenance(page):
    tags = Tags()
    tags.feed(page.read_text())
    words = " | ".join(word for word in tags.words if word.strip())
    for expected in (
        "chr1:100-109(+) | first <promoter> | 10 | -0.5 | G at 102 (-0.5) | 1 | 0.0001",
        "chr9:6-8 | 3 | not explained: ",
        "chr1:200-209(-) |",
        "G at 207 (-0.5)",  # the third letter of the other strand
        "TBP & co | 0.01",
        "model | d5dafde6d240",
        "120 that weigh most together",
    ):
        assert expected in words
    assert page.read_text().count("<img") == 5  # two logos, a zoom, its map, a motif


def test_many_regions_are_all_listed_and_the_first_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("orchid_genomics.explain.page.MOST", 2)
    write_page(tmp_path / "page.html", "t", "l", [region(100 * i, "ACGTAC") for i in range(4)])
    text = (tmp_path / "page.html").read_text()
    assert "The first 2 of 4 regions are drawn." in text
    assert text.count("<img") == 2
    assert text.count("<tr>") == 1 + 4
    assert "Motifs" not in text
    assert MOST > 2


def test_no_motif_found_is_said(tmp_path):
    write_page(tmp_path / "page.html", "t", "l", [region(0, "ACGTAC")], motifs=[])
    assert (
        "No stretch of letters matched a motif of the file" in (tmp_path / "page.html").read_text()
    )


def test_motifs_are_listed_by_how_often_they_are_met_and_unlikely_ones_left_out():
    common, rare = Motif("M1", "one", np.ones((4, 5)) / 4), Motif("M2", "two", np.ones((4, 5)) / 4)
    hits = ((rare, 1e-9, 0), (common, 0.01, 1), (common, 0.001, 0), (rare, 0.5, 1))
    matches = [Match(Seqlet(r, 2, 6, 1.0, 0.01), motif, q, q, "+", 0) for motif, q, r in hits]
    places = [Interval("chr1", 100, 120, "-"), Interval("chr2", 0, 20, "+")]
    found = [each.facts for each in motif_rows(matches, places)]
    assert [(each["motif"], each["seqlets"], each["best q"]) for each in found] == [
        ("M1", 2, "1.0e-03"),
        ("M2", 1, "1.0e-09"),
    ]
    assert found[0]["best match (1-based)"] == "chr1:115-118(-)"


@pytest.mark.parametrize(("strand", "start"), [("+", 1060), ("-", 1036)])
def test_the_heaviest_letters_are_found_on_either_strand(strand, start):
    values = np.zeros(100)
    values[60:64] = -3.0
    found = heaviest(Interval("chr1", 1000, 1100, strand), values, 4)
    assert (found.start, found.end, found.strand) == (start, start + 4, strand)


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_the_page_opens_in_a_browser(page, tmp_path):
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    user, shot = f"--user-data-dir={tmp_path / 'user'}", tmp_path / "page.png"
    command = [
        "chromium",
        *words,
        user,
        f"--screenshot={shot}",
        "--window-size=1200,2000",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    from matplotlib.image import imread

    assert (imread(shot)[..., :3].min(-1) < 0.5).mean() > 0.005  # ink


def test_seqlets_are_numbered_along_the_region_with_the_three_nearest_motifs(tmp_path):
    motifs = [Motif(f"M{k}", f"name {k}", np.ones((4, 5)) / 4) for k in range(3)]
    seqlets = {}
    for start in (2, 6):
        seqlet = Seqlet(0, start, start + 4, 1.5, 0.01)
        seqlets[seqlet] = [Match(seqlet, m, 0.1, 0.2 * k, "+", 0) for k, m in enumerate(motifs)]
    write_page(
        tmp_path / "page.html",
        "t",
        "l",
        [region(100, "ACGTACGTACGT")],
        look=Look(seqlets={0: seqlets}),
    )
    text = (tmp_path / "page.html").read_text()
    assert "name 0 (q 0), name 1 (q 0.2), name 2 (q 0.4)" in text
    (logo,) = re.findall('data:image/svg[^,]+base64,([^"]+)', text)
    assert "<!-- 1 name 0 q 0 -->" in base64.b64decode(logo).decode()
    assert text.index("chr1:103-106(+)") < text.index("chr1:107-110(+)")


@pytest.mark.parametrize(
    ("window", "told"),
    [(1024, False), (24, True), (0, False)],
    ids=["far from the ends", "near the ends", "not known"],
)
def test_letters_within_reach_of_the_ends_of_what_was_read_stand_on_grey(tmp_path, window, told):
    write_page(
        tmp_path / "page.html", "t", "l", [region(100, "ACGTACGTAC")], look=Look(window=window)
    )
    text = (tmp_path / "page.html").read_text()
    assert ("nearer than 128 letters to an end of what was read" in text) == told


def test_letters_that_no_reference_changes_stand_on_grey():
    explained = region(100, "ACGTACGTAC", "-")
    explained.arrays["contrasts"] = np.array([0, 0, 3, 3, 3, 3, 3, 3, 3, 0.0])
    shaded, words = _shade(explained, 1024)
    assert [(each.start, each.end) for each in shaded] == [(100, 101), (108, 110)]
    assert "the same in every reference (3)" in words
