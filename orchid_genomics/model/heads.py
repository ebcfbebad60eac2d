"""Heads: vectors (B, L, D) -> predictions."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.strands import LetterTable
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import alphabet


class LettersRecipe(Strict):
    """Scores for every letter at every position."""

    kind: Literal["letters"] = "letters"


HeadRecipe = Annotated[LettersRecipe, Field()]


class Letters(nn.Module):
    """Logits (B, L, letters); strand-exact: logit(token) = <x_c, w(token)> + <x_c', w(complement(token))>."""

    def __init__(self, recipe: LettersRecipe, encoder: OrchidRecipe) -> None:
        super().__init__()
        letters = alphabet(encoder.alphabet)
        complement = letters.complement_codes if encoder.strands == "equivariant" else None
        self.table = LetterTable(
            letters.count, encoder.width, encoder.strands, complement, 1 / math.sqrt(encoder.width)
        )
        self.bias = nn.Parameter(torch.zeros(letters.count))

    def forward(self, x_BLD: Tensor) -> Tensor:
        bias = self.bias
        if self.table.paired:
            bias = (bias + bias[self.table.complement]) / 2
        logits_BVL = torch.matmul(self.table.vectors().to(x_BLD.dtype), x_BLD.transpose(1, 2))
        return (logits_BVL + bias[:, None]).transpose(1, 2)


HEADS = {"letters": Letters}
