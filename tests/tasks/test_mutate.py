"""Changes of coding sequences, each read in the genetic code of its contig."""

import warnings

import pytest

from orchid_genomics.errors import GenomeNote, InputError
from orchid_genomics.tasks.mutate import mutate

# TGA is a tryptophan of every mitochondrion and a stop codon elsewhere; ATA, here a first codon, is
# a methionine of both mitochondria.
MITOCHONDRIAL = "ATGTCATGACATGGTTGGCTAGTTTAA"
NUCLEAR = MITOCHONDRIAL.replace("TGA", "TGG")


@pytest.fixture
def files(tmp_path):
    """A genome of chrM and chr1 with a gene each, and its annotation."""

    def write(contig="chrM", letters=MITOCHONDRIAL):
        genes = {contig: letters, "chr1": NUCLEAR}
        text = "".join(f">{name}\n{gene}\n" for name, gene in genes.items())
        (tmp_path / "g.fa").write_text(text)
        rows = [
            f"{name}\tx\tCDS\t1\t{len(gene)}\t.\t+\t0\tID=c{name};gene_id={name}\n"
            for name, gene in genes.items()
        ]
        (tmp_path / "a.gff3").write_text("##gff-version 3\n" + "".join(rows))
        return tmp_path / "g.fa", tmp_path / "a.gff3", tmp_path / "o.vcf"

    return write


def consequences(path) -> dict[tuple[str, int, str], str]:
    """Contig, position (1-based) and letter to the consequence."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]
    return {(row[0], int(row[1]), row[4]): row[7].split("BCSQ=")[1].split("|")[0] for row in rows}


@pytest.mark.parametrize("contig", ["chrM", "MT", "Mito"])
def test_a_mitochondrion_is_read_in_its_own_code_and_that_is_said(files, contig):
    note = rf"contig {contig} is read in genetic code 3 \(Yeast Mitochondrial\): 1 genes in 3, 1 "
    with pytest.warns(GenomeNote, match=note):
        made = mutate(*files(contig), last=0)
    assert (made.readable, made.genes, made.dropped) == (2, 2, {})
    found = consequences(files(contig)[2])
    assert found[contig, 9, "G"] == "synonymous"  # TGA to TGG
    assert found["chr1", 9, "A"] == "stop_gained"  # TGG to TGA
    assert found[contig, 8, "A"] == "stop_gained"  # TGA to TAA


def test_the_code_in_which_more_genes_can_be_read_is_taken(files):
    """AGA ends a gene of vertebrates and is an arginine of yeast."""
    with pytest.warns(GenomeNote, match=r"genetic code 2 \(Vertebrate .*: 0 genes in 3, 1 genes"):
        made = mutate(*files(letters=MITOCHONDRIAL[:-3] + "AGA"), last=0)
    assert made.readable == 2


@pytest.mark.parametrize("options", [{"table": 3, "contigs": ["chrM"]}, {"mitochondrial": 3}])
def test_a_code_that_is_given_is_taken_without_a_word(files, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mutate(*files(), last=0, **options)
    assert consequences(files()[2])["chrM", 9, "G"] == "synonymous"


def test_one_code_for_all_contigs_is_as_it_says(files):
    """In the standard code, TGA stands inside the mitochondrial gene."""
    made = mutate(*files(), last=0, table=1)
    assert (made.readable, made.dropped) == (1, {"stop codon inside": 1})


def test_an_unknown_code_names_its_parameter(files):
    with pytest.raises(InputError, match=r"^mitochondrial: no genetic code 99; possible: 1, 2"):
        mutate(*files(), mitochondrial=99)
    with pytest.raises(InputError, match=r"^table: no genetic code 99"):
        mutate(*files(), table=99)


def test_a_coding_sequence_over_the_origin_is_read_through_it(tmp_path):
    """The gene begins 10 letters before the end of a circular contig, and ends behind its start."""
    gene = NUCLEAR
    (tmp_path / "g.fa").write_text(f">p\n{gene[10:]}CCCCC{gene[:10]}\n")
    size = len(gene) + 5
    for name, rows in {
        "one": [(size - 9, size + len(gene) - 10)],
        "two": [(size - 9, size), (1, len(gene) - 10)],
    }.items():
        text = f"##gff-version 3\np\tx\tregion\t1\t{size}\t.\t+\t.\tID=p;Is_circular=true\n"
        for start, end in rows:
            text += f"p\tx\tCDS\t{start}\t{end}\t.\t+\t0\tID=c;Parent=t;gene_id=g\n"
        (tmp_path / f"{name}.gff3").write_text(text)
        out = tmp_path / f"{name}.vcf"
        assert mutate(tmp_path / "g.fa", tmp_path / f"{name}.gff3", out, last=0).readable == 1
        found = consequences(out)
        assert len(found) == 3 * len(gene)
        assert found["p", size - 9, "C"] == "start_lost"
        contexts = [line.split("CONTEXT=")[1][:7] for line in out.read_text().splitlines()[8:]]
        assert not any("N" in context for context in contexts)


@pytest.mark.parametrize("strand", "+-")
def test_where_a_circular_contig_begins_changes_nothing_of_a_gene(tmp_path, strand):
    """Consequence, context, stop word and frame of each letter are those of the gene elsewhere."""
    turned = NUCLEAR[::-1].translate(str.maketrans("ACGT", "TGCA"))
    gene = NUCLEAR if strand == "+" else turned
    answers = []
    for name, first in (("whole", 2), ("over", -10)):
        letters = gene + "CCCCCGGG"
        letters = letters[-first:] + letters[:-first]
        (tmp_path / f"{name}.fa").write_text(f">p\n{letters}\n")
        size = len(letters)
        start = first % size + 1
        text = f"##gff-version 3\np\tx\tregion\t1\t{size}\t.\t+\t.\tID=p;Is_circular=true\n"
        text += f"p\tx\tCDS\t{start}\t{start + len(gene) - 1}\t.\t{strand}\t0\tID=c;gene_id=g\n"
        (tmp_path / f"{name}.gff3").write_text(text)
        out = tmp_path / f"{name}.vcf"
        mutate(tmp_path / f"{name}.fa", tmp_path / f"{name}.gff3", out, last=0)
        rows = [line.split("\t") for line in out.read_text().splitlines() if line[0] != "#"]
        said = {}
        for row in rows:
            at = (int(row[1]) - start) % size
            info = [word for word in row[7].split(";") if not word.startswith("BCSQ")]
            said[at, row[3], row[4]] = (row[7].split("|")[0], info)
        answers.append(said)
    assert answers[0] == answers[1]


def test_genes_on_contigs_that_the_genome_lacks_are_left_out_and_said(files):
    genome, annotation, out = files()
    annotation.write_text(annotation.read_text() + "KI27\tx\tCDS\t1\t9\t.\t+\t0\tID=z;gene_id=z\n")
    with pytest.warns(GenomeNote, match=r"1 features left out, on contigs that g\.fa lacks: KI27"):
        made = mutate(genome, annotation, out, contigs=["chr1"])
    assert made.readable == 1


def test_what_its_cds_say_is_the_code_of_a_contig(files):
    """RefSeq writes transl_table on each CDS; its contigs bear no names that say what they are."""
    genome, annotation, out = files("NC_001224.1")
    said = annotation.read_text().replace("gene_id=NC", "transl_table=3;gene_id=NC")
    annotation.write_text(said)
    note = r"contig NC_001224\.1 is read in genetic code 3 \(Yeast Mitochondrial\), as its CDS say"
    with pytest.warns(GenomeNote, match=note):
        assert mutate(genome, annotation, out, last=0).readable == 2
    assert consequences(out)["NC_001224.1", 9, "G"] == "synonymous"
    annotation.write_text(said + "NC_001224.1\tx\tCDS\t1\t3\t.\t+\t0\tID=z;transl_table=4\n")
    with pytest.raises(InputError, match=r"NC_001224\.1 has CDS in several genetic codes \(3, 4\)"):
        mutate(genome, annotation, out)


@pytest.mark.parametrize(
    ("contig", "region"),
    [("MtDNA", ""), ("mitochondrion_genome", ""), ("NC_012920.1", "genome=mitochondrion")],
)
def test_a_mitochondrion_may_be_named_or_said(files, contig, region):
    genome, annotation, out = files(contig)
    row = f"{contig}\tx\tregion\t1\t27\t.\t+\t.\tID=r;{region}\n" if region else ""
    annotation.write_text(annotation.read_text() + row)
    with pytest.warns(GenomeNote, match=f"contig {contig} is read in genetic code 3"):
        assert mutate(genome, annotation, out, last=0).readable == 2
