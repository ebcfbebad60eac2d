"""The shuffle keeps every pair of letters, N and case in place, and draws evenly."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.shuffle import dinucleotide_shuffle

words = st.text(alphabet="ACGTNacgt", min_size=1, max_size=60)


def shuffled(text: str, seed: int = 0) -> str:
    return DNA.decode(dinucleotide_shuffle(DNA.encode(text), np.random.default_rng(seed)))


def pairs(text: str) -> Counter:
    text = text.upper()
    return Counter(a + b for a, b in pairwise(text))


@given(text=words, seed=st.integers(0, 9))
def test_every_pair_is_kept_and_n_and_case_stay(text, seed):
    other = shuffled(text, seed)
    assert pairs(other) == pairs(text)
    assert [letter == "N" for letter in other] == [letter == "N" for letter in text]
    assert [letter.islower() for letter in other] == [letter.islower() for letter in text]
    assert (other[0].upper(), other[-1].upper()) == (text[0].upper(), text[-1].upper())


def test_the_same_seed_gives_the_same_order_and_another_seed_another():
    text = "ACGTTGCATGCATCGATCGTAGCTAGCATCG"
    assert shuffled(text, 1) == shuffled(text, 1) != shuffled(text, 2)


def test_all_orders_with_the_same_pairs_are_drawn_about_as_often():
    text = "ACATAGAC"  # by brute force: every permutation with the same pairs
    wanted = pairs(text)
    orders = {"".join(order) for order in permutations(text) if pairs("".join(order)) == wanted}
    drawn = Counter(shuffled(text, seed) for seed in range(40 * len(orders)))
    assert len(orders) >= 6
    assert set(drawn) == orders
    assert min(drawn.values()) > 40 / 4
    assert max(drawn.values()) < 4 * 40
