"""Contexts of single-letter changes, and the two strands of one."""

import numpy as np
import pytest

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.score.variants.context import context_name, contexts, fold, on_strand
from orchid_genomics.sequence import DNA, Variant


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "g.fa").write_text(">c\nACGTTGCANacgg\n")
    return Genome(tmp_path / "g.fa")


def test_a_context_is_what_stands_around_the_letter(genome):
    variants = [
        Variant("c", 1, "C", "T"),
        Variant("c", 1, "CG", "TG"),  # padded
        Variant("c", 10, "C", "A"),  # lower case
        Variant("c", 0, "A", "C"),  # at the end
        Variant("c", 7, "A", "C"),  # beside an N
        Variant("c", 1, "G", "T"),  # not the genome's letter
        Variant("c", 1, "CG", "TA"),
        Variant("c", 1, "C", "CA"),
        Variant("c", 99, "C", "A"),
        Variant("d", 1, "C", "A"),
        None,
    ]
    names = [context_name(code) if code >= 0 else "" for code in contexts(variants, genome)]
    assert names == ["A[C>T]G", "A[C>T]G", "A[C>A]G", *[""] * 8]


def test_folding_joins_each_context_with_that_of_the_other_strand():
    codes = np.array([c for c in range(256) if c // 16 % 4 != c % 4])
    assert len(codes) == 192
    other = {
        context_name(c): context_name(d)
        for c, d in zip(codes, on_strand(codes, np.full(192, "-")), strict=True)
    }
    assert other["A[C>T]G"] == "C[G>A]T"
    complement = dict(zip("ACGT", "TGCA", strict=True))
    for name, turned in other.items():
        assert turned == "".join(
            complement.get(x, x) for x in (name[6], "[", name[2], ">", name[4], "]", name[0])
        )
    assert len(np.unique(fold(codes))) == 96
    np.testing.assert_array_equal(fold(codes), fold(on_strand(codes, np.full(192, "-"))))
    np.testing.assert_array_equal(on_strand(codes, np.full(192, "+")), codes)
    np.testing.assert_array_equal(on_strand(codes, np.full(192, "")), fold(codes))
    assert (fold(np.array([-1])), on_strand(np.array([-1]), np.array(["-"]))) == (-1, -1)


def test_letters_are_those_of_the_alphabet():
    assert DNA.letters == "ACGT"
