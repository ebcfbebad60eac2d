"""Expected letters: probabilities of a letter that the model cannot see, the same on either
strand.
"""

import numpy as np
import pytest
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.explain.expected import expected_letters
from orchid_genomics.sequence import DNA


def test_a_letter_says_nothing_of_its_own_expectation(made):
    tokens = np.random.default_rng(0).integers(0, 4, 48).astype(np.uint8)
    model, changed = made(), tokens.copy()
    changed[20] = 3 - changed[20]
    before, after = (expected_letters(model, some, 18, 23) for some in (tokens, changed))
    np.testing.assert_array_equal(before[:, 2], after[:, 2])
    assert (before[:, [0, 1, 3, 4]] != after[:, [0, 1, 3, 4]]).any()
    np.testing.assert_allclose(before.sum(0), 1, atol=1e-6)


def test_one_letter_is_the_softmax_of_one_masked_pass_whatever_the_batch(made):
    tokens, model = np.random.default_rng(1).integers(0, 4, 40).astype(np.uint8), made()
    shown = tokens.copy()
    shown[7] = DNA.mask
    with torch.inference_mode():
        wanted = model(torch.from_numpy(shown)[None])[0, 7].softmax(-1).numpy()
    for batch in (1, 7, 64):
        np.testing.assert_allclose(
            expected_letters(model, tokens, batch=batch)[:, 7], wanted, atol=1e-6
        )


def test_the_other_strand_expects_the_complement(made):
    tokens, model = np.random.default_rng(2).integers(0, 4, 40).astype(np.uint8), made()
    other = expected_letters(model, DNA.reverse_complement(tokens))
    np.testing.assert_allclose(other[::-1, ::-1], expected_letters(model, tokens), atol=1e-5)


def test_regions_beyond_the_sequence_are_refused(made):
    with pytest.raises(
        InputError, match=r"^region: 5 to 50; 0-based half-open places within 0 to 40$"
    ):
        expected_letters(made(), np.zeros(40, np.uint8), 5, 50)
