"""Sessions and track lines: what IGV and UCSC read, with paths that survive moving the folder."""

from xml.etree import ElementTree

import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.explain.browsers import write_browser_files
from orchid_genomics.sequence import Interval

PLACES = [Interval("chr1", 10, 40, "+", "p1"), Interval("chr2", 90, 100)]


@pytest.fixture
def written(tmp_path):
    (tmp_path / "out").mkdir()
    tracks = {'input x gradient, "pll"': tmp_path / "out" / "saliency.bw"}
    return write_browser_files(
        tracks, tmp_path / "genome.fa", PLACES, [tmp_path / "genes.bed"], {"chr1": 50}
    )


def test_a_session_draws_letters_and_its_paths_are_relative(written):
    session, _ = written
    root = ElementTree.parse(session).getroot()
    assert session.name == "saliency.igv.xml"
    assert (root.get("genome"), root.get("locus")) == ("../genome.fa", "chr1:1-50")
    paths = [each.get("path") for each in root.iter("Resource")]
    assert paths == ["saliency.bw", "../genes.bed"]
    (letters,) = (track for track in root.iter("Track") if track.get("renderer") == "DYNSEQ")
    assert letters.get("id") == "saliency.bw"
    regions = [
        (each.get("chromosome"), each.get("start"), each.get("end")) for each in root.iter("Region")
    ]
    assert regions == [("chr1", "10", "40"), ("chr2", "90", "100")]


def test_the_track_line_of_ucsc_is_one_line_with_letters_on(written):
    _, lines = written
    text = lines.read_text().splitlines()
    (line,) = (line for line in text if line.startswith("track"))
    assert lines.name == "saliency.ucsc.txt"
    assert "browser position chr1:1-50" in text
    assert "type=bigWig" in line
    assert "logo=on" in line
    assert line.count('"') == 4
    assert line.endswith("/saliency.bw")


def test_only_a_bigwig_is_drawn_as_letters(tmp_path):
    with pytest.raises(
        InputError, match=r"s\.bedgraph\.gz: is no bigWig, .*; an output that ends in \.bw$"
    ):
        write_browser_files({"s": tmp_path / "s.bedgraph.gz"}, tmp_path / "g.fa", PLACES)
    assert list(tmp_path.iterdir()) == []
