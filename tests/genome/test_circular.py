"""Contigs without ends: letters go on at the origin, and counting begins at a landmark."""

import numpy as np
import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.genome.circular import landmark, least_rotation, mark_circular
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA

CHR2 = "GGGGCCCCAAAATTTT" * 8  # 128 letters


@pytest.fixture
def genome(tiny_fasta) -> Genome:
    genome = Genome(tiny_fasta)
    mark_circular(genome, ["chrM"], "circular")
    return genome


@pytest.mark.parametrize(
    ("start", "end", "letters"),
    [
        (0, 10, b"acgtACGTAC"),
        (-3, 4, b"TACacgt"),
        (8, 14, b"ACacgt"),
        (13, 20, b"tACGTAC"),
        (-10, 0, b"acgtACGTAC"),
        (7, 17, b"TACacgtACG"),
        (-23, -18, b"TACac"),
    ],
)
def test_letters_go_on_at_the_origin(genome, start, end, letters):
    assert genome.letters("chrM", start, end) == letters
    tokens = genome.tokens("chrM", start, end)
    assert np.array_equal(tokens, DNA.encode(letters.decode()))
    assert np.array_equal(genome.tokens("chrM", start, end, "-"), DNA.reverse_complement(tokens))


def test_no_letter_stands_twice(genome):
    """A stretch longer than the contig has N beyond its ends, as one of a contig that has ends."""
    assert genome.letters("chrM", -1, 12) == b"NacgtACGTACNN"


def test_other_contigs_keep_their_ends(genome):
    assert genome.letters("chr1", -2, 2) == b"NNAC"
    assert not genome.holds("chr1", 20, 23)
    assert genome.holds("chrM", 8, 18)
    assert not genome.holds("chrM", 8, 19)
    assert not genome.holds("chrM", 10, 12)


def test_least_rotation_moves_with_the_letters():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, 1000).astype(np.uint8)
    first = least_rotation(codes)
    for shift in (1, 27, 500, 999):
        assert least_rotation(np.roll(codes, shift)) == (first + shift) % 1000
    brute = min(range(1000), key=lambda place: np.roll(codes, -place).tolist())
    assert first == brute


@pytest.mark.parametrize("letters", ["A", "ACAC", "ACGT" * 30, "A" * 60 + "C"])
def test_least_rotation_of_what_repeats_itself(letters):
    codes = DNA.encode(letters) & CODE
    first = least_rotation(codes)
    rotations = [np.roll(codes, -place).tolist() for place in range(len(codes))]
    assert rotations[first] == min(rotations)


def test_a_contig_with_ends_is_counted_from_its_first_letter(genome):
    assert landmark(genome, "chr2") == 0
    assert landmark(genome, "chrM") == 8  # ACacgtACGT


def test_an_annotation_says_which_contigs_are_circular(genome, tmp_path):
    gff = tmp_path / "a.gff3"
    gff.write_text(
        "##gff-version 3\n"
        "2\tx\tregion\t1\t128\t.\t+\t.\tID=r;Is_circular=true\n"
        "2\tx\tgene\t120\t140\t.\t+\t.\tID=g\n"
    )
    with pytest.warns(UserWarning, match="2 -> chr2"):
        mark_circular(genome, [gff], "circular")
    assert genome.circular == {"chrM", "chr2"}
    assert genome.letters("chr2", 126, 130) == b"TTGG"


def test_what_is_neither_contig_nor_file_is_said(genome, tmp_path):
    with pytest.raises(InputError, match=r"'plasmid' is neither a contig of tiny.fa nor a file"):
        mark_circular(genome, ["plasmid"], "circular")
    linear = tmp_path / "linear.gff3"
    linear.write_text("##gff-version 3\nchr2\tx\tgene\t1\t9\t.\t+\t.\tID=g\n")
    with pytest.raises(InputError, match=r"calls no contig of tiny.fa circular"):
        mark_circular(genome, [linear], "circular")
