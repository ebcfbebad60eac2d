"""A small model with random weights, and a genome of random letters with repeats in it, on both
strands.
"""

import pytest
from random_models import REPEATS, letters_model, random_letters, write_genome

from orchid_genomics.sequence import DNA


@pytest.fixture(scope="session")
def contigs():
    """c1: 1,200 letters, repeats at 400 (0-based) and 40 N at 800, lower case at 1,000; c2: 500
    letters.
    """
    one = random_letters(1200)
    one = (
        one[:400]
        + REPEATS
        + one[400 + len(REPEATS) : 800]
        + "N" * 40
        + one[840:1000]
        + one[1000:].lower()
    )
    return {"c1": one, "c2": random_letters(500, 1)}


@pytest.fixture(scope="session")
def genome(contigs, tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa", contigs)


@pytest.fixture(scope="session")
def turned(contigs, tmp_path_factory):
    """The other strand of the genome, contig by contig."""
    other = {
        name: DNA.decode(DNA.reverse_complement(DNA.encode(letters)))
        for name, letters in contigs.items()
    }
    return write_genome(tmp_path_factory.mktemp("genome") / "turned.fa", other)


@pytest.fixture(scope="session")
def model():
    return letters_model()
