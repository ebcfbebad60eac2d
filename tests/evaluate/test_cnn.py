"""The small CNN answers alike on both strands where it should, and however far rows are padded."""

import numpy as np
import pytest
import torch

from orchid_genomics.evaluate.cnn import SmallCNN
from orchid_genomics.sequence import DNA


def random_texts(rows: int, length: int, seed: int = 0, letters: str = "ACGT") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for _ in range(rows)]


def test_the_small_cnn_answers_the_same_for_both_strands_when_it_should():
    torch.manual_seed(0)
    one = torch.zeros(1), torch.ones(1)
    tokens = torch.from_numpy(np.stack([DNA.encode(text) for text in random_texts(3, 61)]))
    other = torch.from_numpy(np.stack([DNA.reverse_complement(row) for row in tokens.numpy()]))
    both, forward = (
        SmallCNN(1, "both", False, *one).eval(),
        SmallCNN(1, "forward", True, *one).eval(),
    )
    torch.testing.assert_close(both(other), both(tokens))
    assert (forward(other) - forward(tokens)).abs().min() > 1e-4


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_the_small_cnn_answers_the_same_however_far_a_row_is_padded(strand):
    torch.manual_seed(0)
    whole, lengths = torch.zeros(1), (61, 61) if strand == "forward" else (61, 38)
    rows = [
        torch.from_numpy(DNA.encode(random_texts(1, length, seed)[0]))
        for seed, length in enumerate(lengths)
    ]
    cnn = SmallCNN(1, strand, strand == "forward", whole, torch.ones(1)).eval()
    padded = torch.full((2, 96), DNA.pad, dtype=torch.uint8)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    alone = torch.cat([cnn(tokens[None]) for tokens in rows])
    torch.testing.assert_close(cnn.encode(padded, (padded != DNA.pad).float()), alone)


@pytest.mark.parametrize("bin", [1, 5])
def test_the_small_cnn_of_tracks_answers_every_bin_however_far_a_row_is_padded(bin):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(rng.integers(0, 4, length).astype(np.uint8)) for length in (61, 38)]
    cnn = SmallCNN(2, "both", False, torch.zeros(2), torch.ones(2), bin).eval()
    padded = torch.full((2, 96), DNA.pad, dtype=torch.uint8)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    together = cnn.encode(padded, (padded != DNA.pad).float())
    for row, tokens in enumerate(rows):
        alone = cnn(tokens[None])
        assert alone.shape == (1, len(tokens) // bin, 2)
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone)
