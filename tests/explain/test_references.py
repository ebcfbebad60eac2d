"""References keep every pair of letters, and know nothing of strands, batches or the order of a
file.
"""

import torch

from orchid_genomics.explain import one_hot, shuffles, tokens_of
from orchid_genomics.sequence import DNA


def pairs(tokens_L):
    return torch.bincount(tokens_L[:-1].long() * 5 + tokens_L[1:], minlength=25)


def test_pairs_of_letters_are_kept_and_the_order_is_not(letters):
    tokens = letters(2, 200)
    drawn = shuffles(one_hot(tokens), 3)
    assert drawn.shape == (2, 3, 4, 200)
    for row, drawn_rows in zip(tokens, drawn, strict=True):
        for shuffle in torch.from_numpy(tokens_of(drawn_rows)):
            assert torch.equal(pairs(shuffle), pairs(row))
            assert not torch.equal(shuffle, row)
    assert not torch.equal(drawn[0, 0], drawn[0, 1])


def test_n_stays_where_it_is(letters):
    x = one_hot(letters(1, 100, codes=5))
    assert torch.equal(shuffles(x, 2)[0].sum(1), x.sum(1).expand(2, -1))


def test_the_other_strand_has_the_mirrored_references(letters):
    x = one_hot(letters(3, 101, codes=5))
    assert torch.equal(shuffles(x.flip(1, 2), 2), shuffles(x, 2).flip(2, 3))


def test_they_depend_on_seed_and_letters_alone(letters):
    x = one_hot(letters(4, 60))
    whole = shuffles(x, 2)
    assert torch.equal(shuffles(x[2:3], 2)[0], whole[2])
    assert torch.equal(shuffles(x, 1)[:, 0], whole[:, 0])
    assert not torch.equal(shuffles(x, 2, seed=1), whole)


def test_tokens_of_one_hot_are_the_tokens(letters):
    tokens = letters(2, 50, codes=5)
    assert (tokens == DNA.n).any()
    assert (tokens_of(one_hot(tokens)) == tokens.numpy()).all()
