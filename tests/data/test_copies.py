"""Planted copies: what stands twice, where, how far diverged and on which strand, as a
closed form.
"""

import numpy as np
import pytest

from orchid_genomics.data.copies import (
    CopiesRecipe,
    Copy,
    Planted,
    draw_copies,
    plant,
    shuffle_segment,
)
from orchid_genomics.data.corpus import Corpus, DataRecipe, GenomeRecipe
from orchid_genomics.data.loader import batches
from orchid_genomics.errors import RecipeError
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import CODE, DNA

NEAR = CopiesRecipe(shortest=10, longest=60, nearest=30)


@pytest.fixture
def window():
    return np.random.default_rng(0).integers(0, 4, 2000).astype(np.uint8)


@pytest.fixture
def planted(small):
    genome = GenomeRecipe(fasta=small.parent / "genome.fa", validation=("v",), test=("t",))
    corpus = Corpus((genome,), DataRecipe(length=200))
    return Planted(corpus.training(200, 8), NEAR)


def test_a_copy_by_hand():
    tokens = DNA.encode("AACGtTTTTTTTTTTT")
    assert DNA.decode(plant(tokens, Copy(1, 9, 4, 0.0, False), 1)) == "AACGtTTTTACGtTTT"
    assert DNA.decode(plant(tokens, Copy(1, 9, 4, 0.0, True), 1)) == "AACGtTTTTaCGTTTT"
    assert DNA.decode(tokens) == "AACGtTTTTTTTTTTT"


def test_divergence_is_the_share_of_letters_that_differ_and_never_changes_case_or_n(window):
    window[100:110], window[200:300] = DNA.n, window[200:300] | 0x80
    copy = Copy(0, 1000, 1000, 0.2, False)
    found = plant(window, copy, 3)
    assert np.array_equal(found[:1000], window[:1000])
    assert ((found[1000:] ^ window[:1000]) & 0x80 == 0).all()
    assert (found[1100:1110] & CODE == DNA.n).all()
    differ = (found[1000:] & CODE) != (window[:1000] & CODE)
    assert differ.mean() == pytest.approx(0.2, abs=0.05)
    assert (plant(window, copy, 4) != found).any()
    assert np.array_equal(plant(window, copy, 3), found)
    changed = ((found[1000:] & CODE).astype(int) - (window[:1000] & CODE))[differ] % 4
    assert set(changed.tolist()) == {1, 2, 3}


def test_a_shuffled_segment_keeps_its_pairs_and_nothing_else(window):
    found = shuffle_segment(window, 500, 400, 7, 1)
    assert np.array_equal(np.delete(found, slice(500, 900)), np.delete(window, slice(500, 900)))
    pairs = [
        np.bincount(4 * row[500:899].astype(int) + row[501:900], minlength=16)
        for row in (found, window)
    ]
    assert np.array_equal(*pairs)
    assert (found[500:900] == window[500:900]).mean() < 0.5


@pytest.mark.parametrize("length", [100, 200, 5000])
def test_copies_lie_in_the_window_apart_and_within_what_the_recipe_says(length):
    recipe = NEAR.model_copy(update={"farthest": 900, "diverged": 0.1})
    copies = draw_copies(recipe, length, 0, 5, range(3000))
    for copy in copies:
        assert min(copy.source, copy.target) >= 0
        assert max(copy.source, copy.target) + copy.length <= length
        distance = abs(copy.target - copy.source)
        assert max(30, copy.length) <= distance <= max(900, copy.length)
        assert 10 <= copy.length <= recipe.most(length)
        assert 0 <= copy.diverged <= 0.1
    lengths = np.array([copy.length for copy in copies])
    assert (lengths.min(), lengths.max()) == (10, recipe.most(length))
    for share in ([copy.turned for copy in copies], [copy.target > copy.source for copy in copies]):
        assert np.mean(share) == pytest.approx(0.5, abs=0.05)
    assert np.median(lengths) == pytest.approx(np.sqrt(10 * recipe.most(length)), rel=0.15)


def test_some_windows_are_left_as_they_are(planted):
    recipe = NEAR.model_copy(update={"share": 0.25})
    assert np.mean(
        [copy is None for copy in draw_copies(recipe, 200, 0, 0, range(2000))]
    ) == pytest.approx(0.75, abs=0.04)
    none = Planted(planted.windows, NEAR.model_copy(update={"share": 0.0}))
    assert np.array_equal(none.batch(1, 2, range(8)), planted.windows.batch(1, 2, range(8)))


def test_a_row_is_a_closed_form_of_seed_step_and_row(planted):
    whole = planted.batch(5, 9, range(8))
    assert np.array_equal(planted.batch(5, 9, [6, 1]), whole[[6, 1]])
    plain = planted.windows.batch(5, 9, range(8))
    for row, before, copy in zip(whole, plain, planted.copies(5, 9, range(8)), strict=True):
        changed = np.flatnonzero(row != before)
        assert copy.target <= changed.min()
        assert changed.max() < copy.target + copy.length
    assert planted.places(5, 9, [3]) == planted.windows.places(5, 9, [3])
    for batch in batches(planted, 1, 3, 5, range(2, 5)):
        assert np.array_equal(batch.tokens_BL, planted.batch(1, batch.step, range(2, 5)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shortest": 300, "longest": 200}, "shortest 300 is more than longest 200"),
        ({"nearest": 300, "farthest": 200}, "nearest 300 is more than farthest 200"),
        ({"diverged": 1.0}, "diverged"),
    ],
)
def test_what_cannot_be_planted_is_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        validate(CopiesRecipe, values, "recipe")
