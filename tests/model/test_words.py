"""Weights of words: counted as k-mers are, blind to the strand as the head is, apart in a batch."""

import numpy as np
import pytest
import torch

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import Pooled, PooledRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.words import SCALE, Words, word_counts
from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import gapped_codes

KINDS = [(5, 0), (6, 0), (6, 1), (6, 3)]
LONG = "ACGTNACGTACGAACCGTTTGACTCAGGATTACA"
TEXTS = [LONG, "acgtACGTTTgacctaggtACG", "ACGT"]


def one_hot(text: str) -> torch.Tensor:
    codes = torch.from_numpy(DNA.encode(text)).long() & 0x7F
    return torch.nn.functional.one_hot(codes, DNA.size).T[None].double()


def shaken(letters: int, gap: int, both: bool) -> Words:
    torch.manual_seed(0)
    words = Words(letters, gap, 2, both).double()
    torch.nn.init.normal_(words.weight)
    return words


def model_of(**head) -> OrchidModel:
    """Every parameter moved off its start."""
    torch.manual_seed(3)
    recipe = PooledRecipe(task="multilabel", labels=("a", "b"), words=6, words_gap=1, **head)
    made = OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=8, depth=1), head=recipe))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made.eval()


@pytest.mark.parametrize(("letters", "gap"), KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_counted_as_kmers_are(text, letters, gap):
    codes, valid = gapped_codes(DNA.encode(text), letters, gap)
    expected = np.bincount(codes[valid], minlength=4**letters)
    np.testing.assert_array_equal(word_counts(one_hot(text)[:, :4], letters, gap)[0], expected)


def test_a_sum_is_that_of_its_words_over_the_root_of_the_places():
    words, text = shaken(6, 1, False), LONG
    codes, valid = gapped_codes(DNA.encode(text), 6, 1)
    expected = words.weight[:, codes[valid]].sum(1) * SCALE / np.sqrt(len(text) - 6)
    torch.testing.assert_close(words(one_hot(text))[0], expected)


@pytest.mark.parametrize(("letters", "gap"), KINDS)
def test_the_other_strand_has_the_same_sum_where_the_head_is_blind(letters, gap):
    turned = LONG[::-1].translate(str.maketrans("ACGT", "TGCA"))
    blind, seeing = shaken(letters, gap, True), shaken(letters, gap, False)
    torch.testing.assert_close(blind(one_hot(LONG)), blind(one_hot(turned)))
    assert not torch.allclose(seeing(one_hot(LONG)), seeing(one_hot(turned)))


def test_slopes_are_those_of_differences():
    words = shaken(5, 1, True)
    x = torch.rand(1, DNA.size, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(words, (x,))


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_a_row_is_its_own_in_any_batch_and_padding_holds_no_word(strand):
    model = model_of(strand=strand)
    texts = [LONG.replace("N", ""), LONG, LONG[:22], "ACGTA"]
    for text, row in zip(texts, model(texts), strict=True):
        assert torch.equal(model(text)[0], row)


def test_an_answer_is_that_of_the_head_and_that_of_the_words():
    model = model_of()
    assert isinstance(model.head, Pooled)
    assert model.head.words is not None
    whole = model(LONG)
    words = model.head.words(one_hot(LONG).float())
    with torch.no_grad():
        model.head.words.weight.zero_()
    torch.testing.assert_close(whole - model(LONG), words)
    assert words.abs().min() > 1e-3


def test_what_cannot_be_is_refused():
    recipe = PooledRecipe(words=6)
    with pytest.raises(RecipeError, match=r"head\.words.*DNA"):
        OrchidModel(
            ModelRecipe(encoder=OrchidRecipe(alphabet="symbols:20", strands="dense"), head=recipe)
        )
    model = model_of()
    with pytest.raises(InputError, match="of vectors alone"):
        model.head(model.encoder(LONG))
