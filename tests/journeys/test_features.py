import subprocess
import sys

import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord

from orchid_genomics.cli import main
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import Interval

GFF = """##sequence-region chr1 1 22
chr1\tx\tgene\t11\t20\t.\t-\t.\tID=gene:G1
chr1\tx\tCDS\t11\t20\t.\t-\t0\tParent=gene:G1
"""


SAID = pytest.mark.filterwarnings("default::orchid_genomics.genome.contigs.GenomeNote")


@pytest.fixture
def gff(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text(GFF)
    return path


def run(*words: object) -> None:
    main([str(word) for word in words])


def test_an_annotation_becomes_three_beds(gff, tmp_path, capsys):
    out = tmp_path / "deep" / "beds"
    run("features", gff, "-o", out, "--upstream", 10, "--downstream", 2)
    assert capsys.readouterr().out == "genes.bed\t1 rows\nCDS.bed\t1 rows\npromoters.bed\t1 rows\n"
    assert list(read_bed(out / "promoters.bed")) == [Interval("chr1", 18, 22, "-", "G1")]
    assert [path.name for path in out.parent.iterdir()] == ["beds"]


def test_the_folder_may_hold_the_annotation_but_not_by_the_name_of_a_bed(gff, tmp_path, refused):
    source = gff.rename(tmp_path / "genes.bed")
    message = refused("features", source, "-o", tmp_path)
    assert message == f"error: --out: {source} is the input; another name"
    assert source.read_text() == GFF


@SAID
def test_genes_without_a_promoter_are_said_with_the_reason(gff, tmp_path, capsys):
    gff.write_text(
        GFF + "chr1\tx\tgene\t1\t9\t.\t+\t.\tID=G2\nchr1\tx\tgene\t1\t9\t.\t.\t.\tID=G3\n"
    )
    run("features", gff, "-o", tmp_path / "beds")
    printed = capsys.readouterr()
    assert printed.out == "genes.bed\t3 rows\nCDS.bed\t1 rows\npromoters.bed\t1 rows\n"
    start = f"note: {gff}: no promoter for 1 genes"
    assert printed.err.splitlines() == [
        f"{start} at the end of their contig, with no letter before them: G2",
        f"{start} without a strand: G3",
    ]


@SAID
def test_contigs_that_the_genome_lacks_are_left_out_and_said(gff, tmp_path, capsys):
    gff.write_text(GFF + "GL000207.1\tx\tgene\t1\t9\t.\t+\t.\tID=G2\n")
    (tmp_path / "g.fa").write_text(">1\n" + "ACGTACGTACGTACGTACGTAC\n")
    run("features", gff, "-o", tmp_path / "beds", "--genome", tmp_path / "g.fa")
    printed = capsys.readouterr()
    assert printed.out.startswith("genes.bed\t1 rows\n")
    note = f"note: {gff}: 1 features left out, on contigs that g.fa lacks: GL000207.1 (1)"
    assert note in printed.err.splitlines()
    assert [place.contig for place in read_bed(tmp_path / "beds" / "genes.bed")] == ["1"]


def test_genbank_gives_the_genome_too(tmp_path):
    record = SeqRecord(
        Seq("ACGTACGTAC" * 20), id="p.1", name="p", annotations={"molecule_type": "DNA"}
    )
    record.features = [
        SeqFeature(SimpleLocation(50, 90, 1), type="gene", qualifiers={"locus_tag": ["p1"]})
    ]
    SeqIO.write([record], tmp_path / "p.gb", "genbank")
    out = tmp_path / "out"
    run("features", tmp_path / "p.gb", "-o", out)
    names = {
        "genes.bed",
        "CDS.bed",
        "promoters.bed",
        "genome.fa.gz",
        "genome.fa.gz.fai",
        "genome.fa.gz.gzi",
    }
    assert {path.name for path in out.iterdir()} == names
    with Genome(out / "genome.fa.gz") as genome:
        assert genome.letters("p.1", 0, 200) == b"ACGTACGTAC" * 20
        assert list(read_bed(out / "promoters.bed", genome)) == [Interval("p.1", 0, 50, "+", "p1")]
    run("features", tmp_path / "p.gb", "-o", tmp_path / "fitted", "--genome", out / "genome.fa.gz")
    assert len(list((tmp_path / "fitted").iterdir())) == 3


def test_genbank_that_does_not_fit_the_genome_is_refused(tmp_path, capsys):
    record = SeqRecord(Seq("ACGT" * 10), id="p.1", name="p", annotations={"molecule_type": "DNA"})
    record.features = [
        SeqFeature(SimpleLocation(5, 30, 1), type="gene", qualifiers={"locus_tag": ["p1"]})
    ]
    SeqIO.write([record], tmp_path / "p.gb", "genbank")
    (tmp_path / "short.fa").write_text(">p.1\nACGT\n")
    with pytest.raises(SystemExit):
        run(
            "features", tmp_path / "p.gb", "-o", tmp_path / "out", "--genome", tmp_path / "short.fa"
        )
    assert "p.gb: end 30 is off contig p.1; ends up to 4 in short.fa" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.write_text(GFF.replace("20", "ten")), "line 2: place '11' to 'ten'"),
        (lambda path: path.write_text(GFF.replace("chr1 1 22", "chr2 1 22")), "--genome, a FASTA"),
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_text("chr1\tx\tSNP\t1\t2\t.\t.\t.\tID=x\n"), "has no genes"),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_folder_as_it_was(
    gff, tmp_path, capsys, refused, break_it, message
):
    run("features", gff, "-o", tmp_path / "beds")
    capsys.readouterr()
    break_it(gff)
    assert message in refused("features", gff, "-o", tmp_path / "beds")


def test_a_file_in_the_place_of_the_folder_and_no_promoter_at_all_are_refused(gff, capsys):
    (gff.parent / "file").write_text("kept")
    for words, message in (
        ((gff, "-o", gff.parent / "file"), "is a file; a folder"),
        (
            (gff, "-o", "x", "--upstream", 0),
            "--upstream: 0 letters, --downstream 0; 0 or more, not both 0",
        ),
    ):
        with pytest.raises(SystemExit):
            run("features", *words)
        assert message in capsys.readouterr().err


def test_the_command_runs_as_a_program_and_its_help_states_coordinates(gff, tmp_path):
    program = [sys.executable, "-m", "orchid_genomics", "features"]
    subprocess.run([*program, str(gff), "-o", str(tmp_path / "o")], check=True, capture_output=True)
    text = subprocess.run([*program, "--help"], check=True, capture_output=True, text=True).stdout
    words = " ".join(text.split())
    assert "1-based and closed; the BEDs are 0-based half-open" in words
    assert "[default: 500]" in words
