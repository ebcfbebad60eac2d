"""Codes of k-mers: those of a plain loop, the same on either strand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import either_strand


@given(text=st.text(alphabet="ACGTNacgt", max_size=50), k=st.integers(1, 8))
def test_codes_are_those_of_a_plain_loop_over_both_strands(text, k):
    tokens = DNA.encode(text)
    other = DNA.decode(DNA.reverse_complement(tokens)).upper()
    found = set()
    for at in range(len(text) - k + 1):
        word, back = text[at : at + k].upper(), other[len(text) - at - k : len(text) - at]
        if "N" not in word:
            found.add(
                min(
                    sum("ACGT".index(c) * 4 ** (k - 1 - i) for i, c in enumerate(w))
                    for w in (word, back)
                )
            )
    assert either_strand(tokens, k).tolist() == sorted(found)
    assert either_strand(DNA.reverse_complement(tokens), k).tolist() == sorted(found)


@pytest.mark.parametrize("length", [0, 29, 30, 500])
def test_thirty_letters_fit_a_code(length):
    tokens = np.full(length, 3, np.uint8)
    assert (
        either_strand(tokens, 30).tolist() == [0][: length // 30]
    )  # all T is all A on the other strand
