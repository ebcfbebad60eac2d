import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome, GenomeNote


@pytest.mark.parametrize(
    ("name", "contig"), [("chr1", "chr1"), ("1", "chr1"), ("Chr2", "chr2"), ("MT", "chrM")]
)
def test_names_are_bridged_and_said(tiny_genome, name, contig):
    if name == contig:
        assert tiny_genome.contig(name) == contig
        return
    with pytest.warns(GenomeNote, match=f"contigs renamed to those of tiny.fa: {name} -> {contig}"):
        assert tiny_genome.contig(name) == contig


def test_ensembl_names_of_yeast_are_bridged_at_once(yeast):
    numerals = [
        "I",
        "II",
        "III",
        "IV",
        "V",
        "VI",
        "VII",
        "VIII",
        "IX",
        "X",
        "XI",
        "XII",
        "XIII",
        "XIV",
        "XV",
        "XVI",
    ]
    with pytest.warns(GenomeNote) as notes:
        names = yeast.rename([*numerals, "Mito"], "genes.gff3")
    assert len(notes) == 1
    assert names == {**{numeral: f"chr{numeral}" for numeral in numerals}, "Mito": "chrM"}


def test_an_unknown_name_is_refused_with_both_lists(tiny_genome, yeast):
    with pytest.raises(
        InputError,
        match=r"^a\.bed: unknown contig '9'; possible: chr1, chr2, chrM in .*; chr1, 9 here",
    ):
        tiny_genome.rename(["chr1", "9"], "a.bed")
    with pytest.raises(
        InputError, match=r"unknown contig 'chr10'; possible: chrI, .*, \.\.\. chrM \(17 in all\)"
    ):
        yeast.contig("chr10")


def test_two_names_of_one_contig_are_refused(tiny_genome):
    with pytest.raises(InputError, match=r"contig '1' could mean chr1, which is not the only one"):
        tiny_genome.rename(["chr1", "1"], "a.bed")


def test_a_name_that_could_mean_two_contigs_is_refused(tmp_path):
    path = tmp_path / "two.fa"
    path.write_text(">chrM\nAC\n>MT\nAC\n")
    genome = Genome(path)
    assert genome.contig("MT") == "MT"
    with pytest.raises(InputError, match="contig 'Mito' could mean chrM, MT"):
        genome.contig("Mito")
