"""explain --html, --session and --motifs as a user runs them: files beside the numbers, or one
clear line.
"""

import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.explain import motifs
from orchid_genomics.explain.motifs import match_motifs


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The command's first words, in a folder with a model, a genome, regions and genes."""
    monkeypatch.chdir(tmp_path)
    write_genome(tmp_path / "genome.fa", {"c1": random_letters(900), "c2": random_letters(300, 1)})
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    (tmp_path / "in.bed").write_text("c1\t100\t160\tone\t0\t-\nc2\t250\t400\ttoo far\n")
    (tmp_path / "genes.bed").write_text("c1\t90\t150\tABC1\t0\t+\n")
    return ["explain", "model", "genome.fa", "in.bed"]


def test_a_page_and_a_session_lie_beside_the_track(words, tmp_path, capsys):
    more = ["--method", "dependency", "--html", "--session", "--annotation", "genes.bed"]
    main([*words, "-o", "out.bw", *more])
    text = (tmp_path / "out.html").read_text()
    assert "c1:101-160(-)" in text
    assert "not explained" in text
    assert text.count('src="data:image/') >= 2  # a logo and a map
    assert 'renderer="DYNSEQ"' in (tmp_path / "out.igv.xml").read_text()
    assert "genes.bed" in (tmp_path / "out.igv.xml").read_text()
    assert "bigDataUrl=https://YOUR.SERVER/out.bw" in (tmp_path / "out.ucsc.txt").read_text()
    assert "also written: out.html, out.igv.xml, out.ucsc.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "more"),
    [("out.html", ["--html"]), ("out.igv.xml", ["--session"]), ("out.ucsc.txt", ["--session"])],
)
def test_no_file_beside_the_track_takes_the_place_of_an_annotation(
    words, tmp_path, refused, name, more
):
    genes = (tmp_path / "genes.bed").rename(tmp_path / name).read_text()
    message = refused(*words, "-o", "out.bw", *more, "--annotation", name)
    assert message == f"error: --out: {name} is the input; another name"
    assert (tmp_path / name).read_text() == genes


def test_matches_of_motifs_are_a_table_of_their_own_and_the_page_names_their_file(
    words, tmp_path, monkeypatch
):
    looked = []
    monkeypatch.setattr(
        motifs,
        "match_motifs",
        lambda *given, **more: looked.append(given) or match_motifs(*given, **more),
    )
    (tmp_path / "in.bed").write_text("c1\t100\t250\tone\t0\t-\n")
    matrix = "".join("0.91 0.03 0.03 0.03\n0.03 0.03 0.03 0.91\n" for _ in range(4))
    (tmp_path / "TA.meme").write_text(
        "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF M1 TATA\nletter-probability matrix: alength="
        f" 4\n{matrix}"
    )
    main([*words, "-o", "out.npz", "--html", "--motifs", "TA.meme"])
    header, *lines = (tmp_path / "out.motifs.tsv").read_text().splitlines()
    assert header.split("\t")[:3] == ["#contig", "start", "end"]
    rows = [dict(zip(header[1:].split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert {row["motif"] for row in rows} == {"M1"}
    assert all(
        100 <= int(row["start"]) < int(row["end"]) <= 250 and row["strand"] == "-" for row in rows
    )
    assert "TA.meme" in (tmp_path / "out.html").read_text()
    assert len(looked) == 1, "what takes seconds is done once for both files"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["-o", "out.h5", "--session"],
            "--session: out.h5 is no bigWig, which browsers draw as letters; -o OUT.bw",
        ),
        (
            ["-o", "out.bw", "--html", "--shard", "1/2"],
            "--shard: makes one part of one file; one --out, without",
        ),
        (["-o", "out.bw", "--motifs", "in.bed"], "in.bed: holds no motif; a motif file (MEME"),
        (["-o", "out.bw", "--html", "--annotation", "none.bed"], "none.bed: cannot be read"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(words, more, message, refused):
    assert f"error: {message}" in refused(*words, *more)
