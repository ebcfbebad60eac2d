"""Rows in steps: every row once an epoch, beside rows of its length."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_tables import turned

from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.sequence import CODE, DNA


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 3))
def test_every_row_is_read_once_an_epoch_beside_rows_of_its_length(lengths, batch, seed):
    tokens = [np.full(length, row % 4, np.uint8) for row, length in enumerate(lengths)]
    padded = np.array([16 * -(-length // 16) for length in lengths])
    rows = np.arange(len(lengths))
    epochs = Epochs(tokens, rows, padded, batch)
    for epoch in range(2):
        seen = []
        for step in range(epoch * epochs.steps, (epoch + 1) * epochs.steps):
            examples, weights = epochs.examples(seed, step, range(batch))
            assert len(set(padded[examples])) == 1
            seen += examples[weights > 0].tolist()
            read = epochs.batch(seed, step, range(batch))
            for example, row in zip(examples, read, strict=True):
                assert np.array_equal(row[: lengths[example]], tokens[example])
                assert (row[lengths[example] :] == DNA.pad).all()
        assert sorted(seen) == rows.tolist()


def test_a_part_of_a_step_is_the_same_part_and_epochs_differ():
    tokens = [DNA.encode(turned(row)) for row in range(50)]
    epochs = Epochs(tokens, np.arange(50), np.full(50, 40), 10, flip=True)
    assert np.array_equal(epochs.batch(0, 3, range(4, 10)), epochs.batch(0, 3, range(10))[4:])
    first, second = (epochs.examples(0, step, range(10))[0] for step in (0, epochs.steps))
    assert not np.array_equal(first, second)
    read = [
        (epochs.examples(0, 2, range(10))[0][r], row)
        for r, row in enumerate(epochs.batch(0, 2, range(10)))
    ]
    turned_over = [np.array_equal(row, DNA.reverse_complement(tokens[at])) for at, row in read]
    assert 0 < sum(turned_over) < 10
    assert all(
        flipped or np.array_equal(row & CODE, tokens[at])
        for (at, row), flipped in zip(read, turned_over, strict=True)
    )
