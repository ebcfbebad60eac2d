"""Relatives: the stretch that belongs beside a window, on either strand, and none that must not
train.
"""

import numpy as np
import pytest
from random_models import write_genome

from orchid_genomics.data.corpus import Corpus, DataRecipe, GenomeRecipe
from orchid_genomics.data.relatives import (
    Beside,
    BesideRecipe,
    Relative,
    RelativeRecipe,
    Relatives,
    open_relatives,
)
from orchid_genomics.errors import RecipeError
from orchid_genomics.sequence import DNA, Interval

L = 400


@pytest.fixture
def locus():
    return np.random.default_rng(0).integers(0, 4, 4000).astype(np.uint8)


@pytest.fixture
def related(tmp_path, locus):
    """Contig a holds the locus with a letter in ten changed, and b the middle of it turned."""
    rng = np.random.default_rng(1)
    changed = np.where(rng.random(len(locus)) < 0.1, (locus + 1) % 4, locus).astype(np.uint8)
    before, far = (rng.integers(0, 4, 1000).astype(np.uint8) for _ in range(2))
    contigs = {
        "a": np.concatenate([before, changed[:2000], far]),
        "b": np.concatenate([far, DNA.reverse_complement(changed[2000:]), before]),
    }
    letters = {name: DNA.decode(tokens) for name, tokens in contigs.items()}
    return write_genome(tmp_path / "related.fa", letters)


def test_a_stretch_is_found_on_either_strand(related, locus):
    relative = Relative(related)
    assert relative.locate(locus[500 : 500 + L]) == Interval("a", 1500, 1500 + L, "+")
    assert relative.locate(locus[2500 : 2500 + L]) == Interval("b", 2500 - L, 2500, "-")
    for start in (500, 2500):
        window = locus[start : start + L]
        assert (relative.find(window) == window).mean() > 0.85


def test_the_other_strand_of_a_window_has_the_other_strand_of_its_stretch(related, locus):
    relative = Relative(related)
    for start in (300, 700, 2400, 3000):
        window = locus[start : start + L]
        turned = relative.find(DNA.reverse_complement(window))
        assert np.array_equal(turned, DNA.reverse_complement(relative.find(window)))


def test_hidden_letters_and_insertions_do_not_lose_it(related, locus):
    window = np.concatenate([locus[500:700], locus[:30], locus[700:1300]])
    window[np.random.default_rng(0).random(len(window)) < 0.15] = DNA.mask
    hit = Relative(related).locate(window)
    assert (hit.contig, hit.strand) == ("a", "+")
    assert abs(hit.start - 1500) <= 30


def test_a_foreign_window_has_none_and_a_contig_left_out_is_never_read(related, locus):
    foreign = np.random.default_rng(9).integers(0, 4, L).astype(np.uint8)
    assert Relative(related).locate(foreign) is None
    without = Relative(related, ["a"])
    assert without.locate(locus[500 : 500 + L]) is None
    assert without.locate(locus[2500 : 2500 + L]) is not None


def test_a_row_is_the_window_and_a_stretch_of_each_relative(related, locus):
    window = locus[500 : 500 + L]
    relatives = Relatives([Relative(related, ["a"]), Relative(related)])
    row = relatives.beside(window)
    assert len(row) == relatives.times * L == 3 * L
    assert np.array_equal(row[:L], window)
    assert (row[L : 2 * L] == DNA.n).all()
    assert (row[2 * L :] == window).mean() > 0.85
    assert (relatives.beside(window, alone=True)[L:] == DNA.n).all()


def test_training_windows_are_a_closed_form_and_a_share_of_them_stands_alone(small):
    recipe = GenomeRecipe(fasta=small.parent / "genome.fa", validation=("v",), test=("t",))
    corpus = Corpus((recipe,), DataRecipe(length=200))
    # The genome is its own relative here: every window finds itself.
    relatives = open_relatives([RelativeRecipe(fasta=recipe.fasta)], {"v", "t"}, training=True)
    assert relatives.relatives[0].without == {"v", "t"}
    beside = Beside(corpus.training(200, 64), relatives, BesideRecipe(alone=0.25))
    rows = beside.batch(0, 3, range(64))
    alone = (rows[:, 200:] == DNA.n).all(1)
    assert rows.shape == (64, beside.length) == (64, 400)
    assert 5 < alone.sum() < 30
    assert ((rows[:, :200] & 127) == rows[:, 200:])[~alone].mean() > 0.95
    assert np.array_equal(beside.batch(0, 3, [7, 40]), rows[[7, 40]])


def test_a_relative_of_which_nothing_would_be_held_out_is_refused(related):
    recipe = RelativeRecipe(fasta=related.path)
    with pytest.raises(RecipeError, match=r"no contig of related.fa bears the name of one that is"):
        open_relatives([recipe], {"chrV"}, training=True)
    named = RelativeRecipe(fasta=related.path, held_out=("b",))
    assert open_relatives([named], {"chrV"}, training=True).relatives[0].without == {"b"}
    assert not open_relatives([named], {"chrV"}, training=False).relatives[0].without
