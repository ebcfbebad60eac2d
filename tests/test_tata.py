"""The TATA comparison of recipes/yeast: words on both strands, and differences within strata
against counting them.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from random_models import random_letters, write_genome

from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import DNA

WORD = re.compile("(?=(TATA[AT]A[AT][AG]))")


@pytest.fixture(scope="module")
def recipe():
    folder = str(Path(__file__).parents[1] / "recipes" / "yeast")
    sys.path.insert(0, folder)
    import tata
    import tata_sites

    yield tata, tata_sites
    sys.path.remove(folder)


def test_every_word_is_found_on_its_strand(recipe, tmp_path):
    letters = (
        random_letters(300).replace("TATA", "TGTA")
        + "TATATAAATAGG"
        + random_letters(50, 1)
        + "CTATTTATACC"
    )
    write_genome(tmp_path / "genome.fa", {"c": letters})
    genome = Genome(tmp_path / "genome.fa")
    for strand, read in (
        ("+", letters),
        ("-", DNA.decode(DNA.reverse_complement(DNA.encode(letters)))),
    ):
        places = recipe[1].occurrences(genome, "c", strand)
        found = [DNA.decode(genome.tokens("c", place.start, place.end, strand)) for place in places]
        assert sorted(found) == sorted(each[1] for each in WORD.finditer(read))
        assert found, strand


def test_a_difference_is_taken_within_strata_that_hold_both(recipe):
    rng = np.random.default_rng(0)
    score, bound, stratum = rng.normal(size=60), rng.random(60) < 0.3, rng.integers(8, size=60)
    rows = []
    for each in range(8):
        inside = stratum == each
        if (inside & bound).any() and (inside & ~bound).any():
            gap = score[inside & bound].mean() - score[inside & ~bound].mean()
            rows += [gap] * (inside & bound).sum()
    assert recipe[0].difference(score, bound, stratum) == pytest.approx(np.mean(rows))
    assert np.isnan(recipe[0].difference(score, stratum == 0, stratum))


def test_shuffled_labels_say_what_is_chance(recipe):
    stratum = np.repeat([0, 1, 2], 20)
    bound = np.tile(np.arange(20) < 6, 3)
    assert recipe[0].permuted(10.0 * stratum + bound, bound, stratum, samples=200) == 1 / 201
    assert recipe[0].permuted(10.0 * stratum, bound, stratum, samples=200) == 1
