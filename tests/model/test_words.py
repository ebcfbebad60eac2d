"""Weights of words: counted as k-mers are, blind to the strand as the head is, apart in a batch."""

import numpy as np
import pytest
import torch
from random_models import one_hot

from orchid_genomics.model.words import SCALE, Words, word_counts
from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import gapped_codes

KINDS = [(5, 0), (6, 0), (6, 1), (6, 3)]
LONG = "ACGTNACGTACGAACCGTTTGACTCAGGATTACA"
TEXTS = [LONG, "acgtACGTTTgacctaggtACG", "ACGT"]


def shaken(letters: int, gap: int, both: bool) -> Words:
    torch.manual_seed(0)
    words = Words(letters, gap, 2, both).double()
    torch.nn.init.normal_(words.weight)
    return words


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
