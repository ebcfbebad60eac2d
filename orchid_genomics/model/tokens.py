"""What a model is given becomes tokens: text as people have it, or tokens as they are.

The trap: rows of many lengths end in PAD, which is a code of its own and never N; an encoder cuts
it off again.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.errors import InputError
from orchid_genomics.sequence import CODE, Alphabet

Sequences = Tensor | str | Sequence[str]
"""Tokens (B, L) uint8 whose rows may end in PAD, one text, or several of any lengths."""


def as_tokens(sequences: Sequences, alphabet: Alphabet, device: torch.device) -> Tensor:
    """Tokens (B, L) of what a model is given.

    Parameters
    ----------
    sequences : tokens (B, L), taken as they are; one text, a row; or several, PAD at their ends.
    device : where the tokens of texts go.

    Raises
    ------
    InputError : names the sequence (from 1) that is no text, or holds what is no nucleotide code.
    """
    if isinstance(sequences, Tensor):
        return sequences
    texts = [sequences] if isinstance(sequences, str) else list(sequences)
    if texts and not alphabet.letters:
        message = f"text, and the symbols of {alphabet.name} have no letters"
        raise InputError("sequences", message, "tokens (B, L) of uint8")
    rows = []
    for number, text in enumerate(texts, 1):
        where = f"sequence {number:,}"
        if not isinstance(text, str):
            message = f"is a {type(text).__name__}"
            raise InputError(where, message, "text of IUPAC letters, or one tensor of tokens")
        rows.append(alphabet.encode(text, where))
    return pad_rows(rows, alphabet.pad).to(device)


def pad_rows(rows: Sequence[np.ndarray], code: int) -> Tensor:
    """Codes (B, L) uint8, on the CPU, of tokens of any lengths; `code` at their ends."""
    codes = np.full((len(rows), max(map(len, rows), default=0)), code, np.uint8)
    for number, row in enumerate(rows):
        codes[number, : len(row)] = row & CODE
    return torch.from_numpy(codes)
