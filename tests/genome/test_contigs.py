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
        InputError, match=r"unknown contig 'chr17'; possible: chrI, .*, \.\.\. chrM \(17 in all\)"
    ):
        yeast.contig("chr17")


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


def contigs(tmp_path, *names, **options):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\nACGT\n" for name in names))
    return Genome(path, **options)


ROMAN = ("chrI", "chrII", "chrIII", "chrIV", "chrV", "chrIX", "chrX", "chrXIII", "chrM")


@pytest.mark.parametrize(
    ("name", "contig"),
    [("13", "chrXIII"), ("XIII", "chrXIII"), ("chr4", "chrIV"), ("10", "chrX"), ("MT", "chrM")],
)
def test_roman_and_arabic_numbers_are_one_and_said(tmp_path, name, contig):
    genome = contigs(tmp_path, *ROMAN)
    with pytest.warns(GenomeNote, match=f"{name} -> {contig}"):
        assert genome.contig(name) == contig


@pytest.mark.parametrize("name", ["XIII", "chrXIII", "chr13"])
def test_a_roman_name_means_an_arabic_contig(tmp_path, name):
    genome = contigs(tmp_path, "1", "10", "13", "MT")
    with pytest.warns(GenomeNote, match=f"{name} -> 13"):
        assert genome.contig(name) == "13"


def test_x_is_ten_only_beside_nine(tmp_path):
    """The worm's X is a sex chromosome beside I to V, and so is that of a human file."""
    worm = contigs(tmp_path, "I", "II", "III", "IV", "V", "X")
    with pytest.raises(InputError, match="unknown contig '10'"):
        worm.contig("10")
    human = contigs(tmp_path, "1", "9", "10")
    with pytest.raises(InputError, match="unknown contig 'X'"):
        human.contig("X")
    with pytest.warns(GenomeNote):
        assert human.rename(["IX", "X"], "a.bed") == {"IX": "9", "X": "10"}


def test_a_number_that_two_contigs_say_is_refused(tmp_path):
    genome = contigs(tmp_path, "3", "III")
    assert genome.rename(["3", "III"], "a.bed") == {"3": "3", "III": "III"}
    genome = contigs(tmp_path, "chr03", "chrIII")
    with pytest.raises(InputError, match="contig '3' could mean chr03, chrIII"):
        genome.contig("3")


def test_names_that_are_no_numbers_mean_themselves_alone(tmp_path):
    genome = contigs(tmp_path, "chr1", "chr5", "chr50", "chr100")
    for name in ("L", "C", "IL", "VX", "IIII", "XXXX", "i", "", "1_random", "2-micron"):
        assert genome.shared([name], "a.bed") == {}


def test_a_file_of_aliases_settles_the_rest(tmp_path):
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text("# names\nNC_000001.11\tchr1\nchr2\tCM000664.2\textra\nother\tnone\n")
    genome = contigs(tmp_path, "chr1", "chr2", aliases=aliases)
    with pytest.warns(GenomeNote, match=r"NC_000001\.11 -> chr1, CM000664\.2 -> chr2"):
        names = genome.rename(["NC_000001.11", "CM000664.2"], "a.vcf")
    assert names == {"NC_000001.11": "chr1", "CM000664.2": "chr2"}
    with pytest.warns(GenomeNote):
        assert contigs(tmp_path, "chr1", aliases={"one": "chr1"}).contig("one") == "chr1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\n", r"aliases\.tsv line 1: one column; two names of a contig"),
        ("chr1\ta\nchr2\ta\n", r"aliases\.tsv line 2: 'a' is chr2 here and chr1 above"),
        ("x\ty\n", r"aliases\.tsv: no line names a contig; possible: "),
        ("", r"aliases\.tsv: no line names a contig"),
    ],
)
def test_aliases_that_do_not_fit_are_one_line(tmp_path, text, message):
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text(text)
    with pytest.raises(InputError, match=message):
        contigs(tmp_path, "chr1", "chr2", aliases=aliases)
