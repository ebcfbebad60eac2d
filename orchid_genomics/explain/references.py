"""References that a sequence is compared with: dinucleotide shuffles of itself.

The trap: a reference whose columns are all alike (all N, a quarter of each letter) has spectra
without power, and the data-dependent filter, scaled by its mean power, jumps there: no sum over a
path to it converges. Shuffles have no such fault. They are a function of (seed, letters, number)
alone, drawn on the lesser strand and mirrored, so that neither the strand, the batch nor the place
in a file changes them.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.hashing import Stream, hash_integers
from orchid_genomics.sequence.shuffle import dinucleotide_shuffle


def shuffles(x_N4L: Tensor, count: int, seed: int = 0) -> Tensor:
    """`count` dinucleotide shuffles of one-hot sequences, (N, count, 4, L); N stays where it is."""
    rows = []
    for tokens_L in tokens_of(x_N4L):
        rows += [_shuffle(tokens_L, seed, number) for number in range(count)]
    return one_hot(np.stack(rows)).unflatten(0, (len(x_N4L), count)).to(x_N4L)


def _shuffle(tokens_L: np.ndarray, seed: int, number: int) -> np.ndarray:
    other_L = DNA.reverse_complement(tokens_L)
    # The lesser of both strands, so that either has the same references.
    turned = other_L.tobytes() < tokens_L.tobytes()
    read_L = other_L if turned else tokens_L
    letters = zlib.crc32(read_L.tobytes())
    key = int(hash_integers(seed, Stream.REFERENCE_SHUFFLE, letters, len(read_L), number)[0])
    shuffle_L = dinucleotide_shuffle(read_L, np.random.default_rng(key))
    return DNA.reverse_complement(shuffle_L) if turned else shuffle_L


def one_hot(tokens_BL: Tensor | np.ndarray) -> Tensor:
    """Tokens (B, L) uint8 (case ignored) as float32 (B, 4, L); a column is zero where there is no
    letter.
    """
    codes_B1L = (torch.as_tensor(tokens_BL) & CODE)[:, None]
    return (codes_B1L == torch.arange(DNA.count, device=codes_B1L.device)[:, None]).to(
        torch.float32
    )


def tokens_of(x_N4L: Tensor) -> np.ndarray:
    """The tokens (N, L) of one-hot columns; N where a column is no single letter."""
    most_NL, codes_NL = x_N4L.max(1)
    return torch.where(most_NL == 1, codes_NL, DNA.n).to(torch.uint8).cpu().numpy()
