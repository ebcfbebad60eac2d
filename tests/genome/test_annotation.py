import gzip
import os
import threading

import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord

from orchid_genomics.errors import InputError
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import GenomeNote
from orchid_genomics.sequence import Interval

ENSEMBL = """##gff-version 3
##sequence-region chr2 1 128
#!genome-build tiny
chr2\tx\tchromosome\t1\t128\t.\t.\t.\tID=chromosome:2
chr2\tx\tgene\t21\t60\t.\t+\t.\tID=gene:G1;Name=one%3B two;gene_id=G1
chr2\tx\tmRNA\t21\t60\t.\t+\t.\tID=transcript:G1_a;Parent=gene:G1
chr2\tx\tCDS\t21\t30\t.\t+\t0\tID=CDS:G1;Parent=transcript:G1_a
chr2\tx\tCDS\t41\t60\t.\t+\t0\tID=CDS:G1;Parent=transcript:G1_a
chr2\tx\tmRNA\t21\t60\t.\t+\t.\tID=transcript:G1_b;Parent=gene:G1
chr2\tx\tCDS\t41\t60\t.\t+\t0\tID=CDS:G1b;Parent=transcript:G1_b
###
chr2\tx\tncRNA_gene\t101\t120\t.\t-\t.\tID=gene:G2
chr2\tx\tpseudogene\t5\t8\t.\t?\t.\tID=gene:G3

##FASTA
>chr2
ACGT
"""
GENES = [
    Interval("chr2", 20, 60, "+", "G1"),
    Interval("chr2", 100, 120, "-", "G2"),
    Interval("chr2", 4, 8, ".", "G3"),
]


@pytest.fixture
def gff(tmp_path):
    def write(text: str):
        path = tmp_path / "a.gff3"
        path.write_text(text)
        return path

    return write


def row(kind: str, start: int, end: int, strand: str = "+", attributes: str = "ID=x") -> str:
    return f"chr1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def test_genes_are_those_of_every_sort_zero_based(gff):
    assert read_annotation(gff(ENSEMBL)).genes() == GENES


def test_cds_parts_bear_the_name_of_their_gene_and_come_once(gff):
    parts = read_annotation(gff(ENSEMBL)).coding()
    assert parts == [Interval("chr2", 20, 30, "+", "G1"), Interval("chr2", 40, 60, "+", "G1")]


def test_promoters_lie_before_the_five_prime_end_and_are_cut_at_the_contig(gff):
    annotation = read_annotation(gff(ENSEMBL))
    assert annotation.promoters(15) == [
        Interval("chr2", 5, 20, "+", "G1"),
        Interval("chr2", 120, 128, "-", "G2"),
    ]
    assert annotation.promoters(50, 3) == [
        Interval("chr2", 0, 23, "+", "G1"),
        Interval("chr2", 117, 128, "-", "G2"),
    ]


def test_gzipped_gff_reads_the_same(gff, tmp_path):
    (tmp_path / "a.gff3.gz").write_bytes(gzip.compress(ENSEMBL.encode()))
    assert read_annotation(tmp_path / "a.gff3.gz").genes() == GENES


def test_refseq_genes_are_named_by_locus_and_cross_a_circular_origin_as_two(gff):
    text = row("region", 1, 100, attributes="ID=chr1:1..100;Is_circular=true")
    text += row("gene", 91, 110, "-", "ID=gene-b1;Name=thrA;locus_tag=b1")
    text += row("CDS", 91, 110, "-", "ID=cds-1;Parent=gene-b1")
    parts = [Interval("chr1", 90, 100, "-", "b1"), Interval("chr1", 0, 10, "-", "b1")]
    annotation = read_annotation(gff(text))
    assert annotation.genes() == annotation.coding() == parts
    assert annotation.promoters(20) == [Interval("chr1", 10, 30, "-", "b1")]


def test_transcripts_stand_for_genes_where_there_are_none(gff):
    text = row("CDS", 3, 9, attributes="Parent=mRNA:um1") + row(
        "mRNA", 1, 9, attributes="ID=mRNA:um1;Note=+x"
    )
    assert read_annotation(gff(text)).genes() == [Interval("chr1", 0, 9, "+", "um1")]


def test_a_promoter_needs_the_length_of_its_contig(gff, tiny_genome):
    path = gff(row("gene", 3, 12, "-"))
    with pytest.raises(
        InputError, match=r"the length of contig 'chr1' is not in the file; `genome`, a FASTA"
    ):
        read_annotation(path).promoters()
    assert read_annotation(path, tiny_genome).promoters() == [Interval("chr1", 12, 22, "-", "x")]


def test_contigs_are_renamed_to_those_of_the_genome_and_must_fit_it(gff, tiny_genome):
    with pytest.warns(GenomeNote, match="1 -> chr1"):
        found = read_annotation(gff(row("gene", 3, 12).replace("chr1", "1")), tiny_genome)
    assert found.genes()[0].contig == "chr1"
    with pytest.raises(
        InputError, match=r"a\.gff3 line 2: end 23 is off contig chr1; ends up to 22"
    ):
        read_annotation(gff("##gff-version 3\n" + row("gene", 3, 23)), tiny_genome)


def test_features_on_contigs_that_the_genome_lacks_are_left_out_and_said(gff, tiny_genome):
    other = row("gene", 3, 500).replace("chr1", "GL000207.1")
    note = r"a\.gff3: 1 features left out, on contigs that tiny\.fa lacks: GL000207\.1 \(1\)"
    with pytest.warns(GenomeNote, match=note):
        annotation = read_annotation(gff(row("gene", 3, 12) + other), tiny_genome)
    assert annotation.genes() == [Interval("chr1", 2, 12, "+", "x")]
    with pytest.raises(
        InputError, match=r"unknown contig 'GL000207\.1'; possible: chr1, chr2, chrM in tiny\.fa"
    ):
        read_annotation(gff(other), tiny_genome)


@pytest.mark.parametrize(
    ("strand", "upstream", "downstream", "promoter"),
    [
        ("+", 10, 5, (39980, 39995)),
        ("-", 10, 5, (25, 40)),
        ("+", 0, 20, (39990, 40000)),  # cut at the origin, on the side of the 5' end
        ("-", 10, 40, (0, 40)),
    ],
)
def test_a_gene_over_the_origin_has_one_promoter(gff, strand, upstream, downstream, promoter):
    text = row("region", 1, 40000, attributes="ID=r;Is_circular=true")
    text += row("gene", 39991, 40030, strand)
    annotation = read_annotation(gff(text))
    assert annotation.promoters(upstream, downstream) == [Interval("chr1", *promoter, strand, "x")]


def test_a_gene_at_the_origin_has_its_promoter_on_the_other_side(gff):
    text = row("region", 1, 100, attributes="ID=r;Is_circular=true")
    text += row("gene", 1, 20) + row("gene", 81, 100, "-", "ID=y")
    annotation = read_annotation(gff(text))
    assert annotation.promoters(10) == [
        Interval("chr1", 90, 100, "+", "x"),
        Interval("chr1", 0, 10, "-", "y"),
    ]


def test_genes_without_a_promoter_are_named_with_the_reason(gff):
    text = row("region", 1, 100, attributes="ID=r")
    text += row("gene", 1, 20) + row("gene", 5, 9, ".", "ID=y") + row("gene", 7, 9, "?", "ID=z")
    promoters, without = read_annotation(gff(text)).promoters_and_reasons(10)
    assert promoters == []
    assert without == {
        "at the end of their contig, with no letter before them": ["x"],
        "without a strand": ["y", "z"],
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_annotation_comes_through_a_pipe(tmp_path, pack):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    content = pack(b"\xef\xbb\xbf" + ENSEMBL.replace("\n", "\r\n").encode())
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    annotation = read_annotation(path)
    writer.join()
    assert annotation.genes() == GENES


@pytest.mark.parametrize("word", ["9" * 5000, "1" + "0" * 19, "٣", "1e3", "-1"])
def test_a_place_that_is_no_number_is_one_short_line(gff, word):
    with pytest.raises(InputError, match=r"line 2: place ") as caught:
        read_annotation(gff(row("gene", 1, 4) + row("gene", 1, 4).replace("\t4", f"\t{word}")))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; GFF3 or GenBank"),
        ("##gff-version 3\n", "has no features"),
        ("chr1\t1\t5\n", "line 1: 3 columns between tabs; the 9 columns of GFF3"),
        (row("gene", 5, 4), "line 1: place 5 to 4; 1-based, start not above end"),
        (row("gene", 0, 4), "line 1: place 0 to 4; 1-based"),
        (
            row("gene", 1, 4) + row("gene", 1, 4).replace("\t4", "\tfour"),
            "line 2: place '1' to 'four'; whole numbers",
        ),
        (row("gene", 1, 4, "x"), "line 1: strand 'x'"),
        (
            row("gene", 1, 4, attributes='gene_id "x";'),
            "line 1: is GTF or GFF2; GFF3, such as gffread",
        ),
    ],
)
def test_a_wrong_line_is_named(gff, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_annotation(gff(text))
    assert "\n" not in str(caught.value)


def test_the_yeast_beds_are_those_of_the_annotation(yeast):
    folder = yeast.path.parent
    annotation = read_annotation(folder / "sacCer3.ensembl99.gff3.gz", yeast)
    beds = (
        ("genes", annotation.genes()),
        ("CDS", annotation.coding()),
        ("promoters", annotation.promoters()),
    )
    for name, places in beds:
        assert list(read_bed(folder / f"{name}.bed", yeast)) == places


def test_coding_genes_of_yeast_begin_with_a_start_codon(yeast):
    """Coordinates and strands together: ATG opens nearly every gene that has a CDS."""
    annotation = read_annotation(yeast.path.parent / "sacCer3.ensembl99.gff3.gz", yeast)
    coding = {part.name for part in annotation.coding()}
    genes = [gene for gene in annotation.genes() if gene.name in coding and gene.contig != "chrM"]
    starts = [
        yeast.tokens(gene.contig, gene.start, gene.end, gene.strand)[:3].tolist() for gene in genes
    ]
    assert len(genes) > 6_500
    assert starts.count([0, 3, 2]) / len(starts) > 0.99


# GenBank


def record(identity: str = "plasmid.1") -> SeqRecord:
    made = SeqRecord(
        Seq("ACGTACGTAC" * 10), id=identity, name="plasmid", annotations={"molecule_type": "DNA"}
    )
    gene = {"locus_tag": ["p1"]}
    split = CompoundLocation([SimpleLocation(9, 30, 1), SimpleLocation(39, 60, 1)])
    across = CompoundLocation([SimpleLocation(0, 5, -1), SimpleLocation(90, 100, -1)])
    made.features = [
        SeqFeature(SimpleLocation(9, 60, 1), type="gene", qualifiers=gene),
        SeqFeature(split, type="CDS", qualifiers=gene),
        SeqFeature(across, type="gene", qualifiers={"gene": ["ori"]}),
    ]
    return made


def test_genbank_gives_sequence_and_features(tmp_path):
    path = tmp_path / "p.gb"
    SeqIO.write([record()], path, "genbank")
    found = read_annotation(path)
    assert found.sequences == {"plasmid.1": "ACGTACGTAC" * 10}
    assert found.coding() == [
        Interval("plasmid.1", 9, 30, "+", "p1"),
        Interval("plasmid.1", 39, 60, "+", "p1"),
    ]
    assert found.genes()[0] == Interval("plasmid.1", 9, 60, "+", "p1")
    assert set(found.genes()[1:]) == {
        Interval("plasmid.1", 0, 5, "-", "ori"),
        Interval("plasmid.1", 90, 100, "-", "ori"),
    }
    assert found.promoters(20)[0] == Interval("plasmid.1", 0, 9, "+", "p1")


def test_bad_genbank_is_one_line(tmp_path):
    path = tmp_path / "p.gb"
    SeqIO.write([record(), record()], path, "genbank")
    with pytest.raises(InputError, match=r"two records are named 'plasmid\.1'"):
        read_annotation(path)
    SeqIO.write([record()], path, "genbank")
    whole = path.read_text()
    path.write_text(whole[: whole.index("ORIGIN")] + "CONTIG      join(X.1:1..100)\n//\n")
    with pytest.raises(InputError, match="has no sequence; GenBank"):
        read_annotation(path)


GENBANK = """\
LOCUS       p                        100 bp    DNA     circular UNK 01-JAN-1980
DEFINITION  .
ACCESSION   p
VERSION     p.1
FEATURES             Location/Qualifiers
     gene            5..20
                     /locus_tag="whole"
     gene            {}
                     /locus_tag="other"
ORIGIN
        1 acgtacgtac acgtacgtac acgtacgtac acgtacgtac acgtacgtac acgtacgtac
       61 acgtacgtac acgtacgtac acgtacgtac acgtacgtac
//
"""


@pytest.mark.parametrize(
    ("location", "promoter"),
    [("join(91..100,1..5)", (80, 90, "+")), ("complement(join(91..100,1..5))", (5, 15, "-"))],
)
def test_a_genbank_gene_over_the_origin_has_one_promoter(tmp_path, location, promoter):
    path = tmp_path / "p.gb"
    path.write_text(GENBANK.format(location))
    start, end, strand = promoter
    promoters = read_annotation(path).promoters(10)
    assert promoters[1:] == [Interval("p.1", start, end, strand, "other")]


@pytest.mark.parametrize("location", ["5.12", "complement(5.12)", "?..12", "5^6", "J00194.1:5..12"])
def test_a_location_that_is_no_span_is_left_out_and_said(tmp_path, location):
    path = tmp_path / "p.gb"
    path.write_text(GENBANK.format(location))
    with pytest.warns(GenomeNote, match=r"p\.gb: 1 features left out that name no span of letters"):
        annotation = read_annotation(path)
    assert annotation.genes() == [Interval("p.1", 4, 20, "+", "whole")]


@pytest.mark.parametrize("location", ["5..999", f"{'9' * 5000}..{'9' * 5001}", "1..1" + "0" * 19])
def test_a_location_off_the_record_is_one_short_line(tmp_path, location):
    path = tmp_path / "p.gb"
    path.write_text(GENBANK.format(location))
    with pytest.raises(InputError, match=r"p\.gb: (end .* is off contig|is no GenBank)") as caught:
        read_annotation(path)
    assert len(str(caught.value)) < 400


def test_genbank_comes_through_a_pipe_with_any_line_ends(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    text = GENBANK.format("30..40").replace("\n", "\r\n")
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(text.encode()),))
    writer.start()
    annotation = read_annotation(path)
    writer.join()
    assert [gene.name for gene in annotation.genes()] == ["whole", "other"]


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("turned", [False, True])
def test_two_rows_of_one_gene_over_the_origin_have_one_promoter(tmp_path, strand, turned):
    rows = [f"p\tx\tgene\t{place}\t.\t{strand}\t.\tID=g;Name=g\n" for place in ("91\t100", "1\t30")]
    text = "p\tx\tregion\t1\t100\t.\t+\t.\tID=p;Is_circular=true\n"
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\n" + text + "".join(rows[::-1] if turned else rows))
    annotation = read_annotation(path)
    promoter = (80, 90) if strand == "+" else (30, 40)
    assert [(each.start, each.end) for each in annotation.promoters(10)] == [promoter]
    assert [(each.start, each.end) for each in annotation.genes()] == [(90, 100), (0, 30)]
