"""Chance on the device: the hash of `sequence.hashing`, integer by integer, on tensors.

The trap: torch has no unsigned 64-bit arithmetic, so words are signed and wrap; a shift to the
right must clear the bits that the sign would bring in.
"""

from itertools import takewhile

import torch
from torch import Tensor

from orchid_genomics.sequence.hashing import hash_integers


def hash_tensors(*parts: int | Tensor) -> Tensor:
    """An int64 hash of integers, broadcast together: splitmix64 folded over the parts.

    Bit for bit `sequence.hashing.hash_integers`, so that masks are the same on every device.

    Parameters
    ----------
    *parts
        Integers, or int64 tensors of shapes that broadcast.

    Returns
    -------
    torch.Tensor
        int64, at least one-dimensional; the bits are those of the uint64 hash.
    """
    device = next((part.device for part in parts if isinstance(part, Tensor)), None)
    # What comes before the first tensor is folded here: a GPU would be asked ten times a part.
    before = list(takewhile(lambda part: not isinstance(part, Tensor), parts))
    start = int(hash_integers(*(int(part) for part in before))[0]) if before else 0
    state = torch.full((1,), _signed(start), dtype=torch.int64, device=device)
    for part in parts[len(before) :]:
        state = (state ^ part) + _signed(0x9E3779B97F4A7C15)
        state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
        state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
        state = state ^ _shift_right(state, 31)
    return state


def fraction(state: Tensor) -> Tensor:
    """The top 24 bits of a hash as a number in [0, 1), exact in float32."""
    return _shift_right(state, 40).to(torch.float32) / (1 << 24)


def below(state: Tensor, count: int) -> Tensor:
    """A whole number from 0 to `count` - 1, from 24 bits of a hash."""
    # Bits that `fraction` does not take.
    return (state >> 8 & 0xFFFFFF) % count


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _shift_right(state: Tensor, bits: int) -> Tensor:
    return (state >> bits) & ((1 << (64 - bits)) - 1)
