"""Objectives: what of a batch is hidden, and how a prediction of it is scored.

Masks are an integer hash of (seed, step, row, position): the same on every device, whatever the
ranks, workers or accumulation. The trap: a loss must divide by the weights of the whole step, over
ranks and accumulated parts, so an objective returns sums and lets the loop divide.
"""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.nn import functional

from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, SOFT, Alphabet
from orchid_genomics.sequence.hashing import Stream


class MaskedRecipe(Strict):
    """Masked letters: predict hidden letters from both sides (80 % MASK, 10 % another letter, 10 %
    unchanged).
    """

    kind: Literal["masked"] = "masked"
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of letters that are targets."""
    span: int = Field(default=1, ge=1)
    """Targets come in runs of at least so many letters."""
    masked: float = Field(default=0.8, ge=0, le=1)
    """Share of targets shown as MASK."""
    other: float = Field(default=0.1, ge=0, le=1)
    """Share of targets shown as another letter, never the true one; the rest are shown as they are."""
    soft_weight: float = Field(default=0.1, ge=0)
    """Weight of soft-masked (lower-case) targets in the loss."""

    @model_validator(mode="after")
    def _shares(self) -> "MaskedRecipe":
        if self.masked + self.other > 1 + 1e-9:
            total = f"{self.masked + self.other:g}"
            raise PydanticCustomError(
                "shares", "masked and other sum to {total}; at most 1", {"total": total}
            )
        return self


class AnswersRecipe(Strict):
    """Associative recall (`data.recall`): which values are hidden and to be given; the last always
    is.
    """

    kind: Literal["recall"] = "recall"
    answers: Literal["last", "some", "all"] = "last"
    """last: the paper's one answer a sequence; all: every value whose key occurred before; some: a share of those that
    is drawn for each sequence, evenly from none to all."""


ObjectiveRecipe = Annotated[MaskedRecipe, Field()]


class Hidden(NamedTuple):
    """A batch made ready: what the model sees, the true codes, and the weight of each as a target
    (0 for none).
    """

    shown_BL: Tensor
    codes_BL: Tensor
    weights_BL: Tensor

    @property
    def mask_BL(self) -> None:
        """No padding: windows are whole (`supervised.Examples` has some)."""


class Masked:
    """The masked-letter objective over an alphabet; N, MASK and PAD are never targets."""

    unit, validation = "base", "validation_bits"

    def __init__(self, recipe: MaskedRecipe, alphabet: Alphabet) -> None:
        self.recipe, self.alphabet = recipe, alphabet

    def hide(self, tokens_BL: Tensor, seed: int, step: int, rows: Tensor) -> Hidden:
        """Choose and hide targets; tokens (B, L) uint8 with case, rows (B,) their global numbers in
        the step.
        """
        recipe, n = self.recipe, self.alphabet.count
        codes = (tokens_BL & CODE).long()
        place = torch.arange(1 - recipe.span, tokens_BL.shape[1], device=tokens_BL.device)
        key = hash_integers(seed, step, rows[:, None], place[None, :])
        hidden = hash_integers(Stream.HIDDEN_LETTER, key)
        targets = chosen(hidden, recipe.share, recipe.span) & (codes < n)
        key = key[:, recipe.span - 1 :]
        show = fraction(hash_integers(Stream.SHOWN_AS, key))
        step_on = (hash_integers(Stream.OTHER_LETTER, key) >> 8 & 0xFFFFFF) % max(n - 1, 1)
        other = (codes + 1 + step_on) % n
        shown = torch.where(targets & (show < recipe.masked), self.alphabet.mask, codes)
        swap = targets & (show >= recipe.masked) & (show < recipe.masked + recipe.other)
        shown = torch.where(swap, other, shown).to(torch.uint8)
        weight = torch.where((tokens_BL & SOFT) > 0, recipe.soft_weight, 1.0)
        return Hidden(shown, codes, targets * weight)

    def loss(self, logits_BLV: Tensor, hidden: Hidden) -> Tensor:
        """The sum over targets of weight times -log p(true letter), nats."""
        return (nats(logits_BLV, hidden.codes_BL) * hidden.weights_BL).sum()


class Answers:
    """Answers of associative recall, shown as MASK: letters 0, 2, 4, ... are keys, the letter after
    each its value.
    """

    unit, validation = "answer", "validation_bits"

    def __init__(self, recipe: AnswersRecipe, alphabet: Alphabet) -> None:
        self.recipe, self.alphabet = recipe, alphabet

    def hide(self, tokens_BL: Tensor, seed: int, step: int, rows: Tensor) -> Hidden:
        """Hide answers of tokens (B, L) uint8, L even; rows (B,) are their global numbers in the
        step.
        """
        codes = tokens_BL.long()
        targets = torch.zeros_like(codes, dtype=torch.bool)
        if self.recipe.answers != "last":
            key_BPK = functional.one_hot(codes[:, ::2], self.alphabet.count // 2)
            targets[:, 1::2] = (key_BPK.cumsum(1) - key_BPK).gather(2, codes[:, ::2, None])[
                ..., 0
            ] > 0
        if self.recipe.answers == "some":
            place = torch.arange(codes.shape[1], device=codes.device)
            share_B1 = fraction(hash_integers(seed, step, Stream.HIDDEN_SHARE, rows[:, None]))
            key_BL = hash_integers(seed, step, Stream.HIDDEN_LETTER, rows[:, None], place)
            targets &= fraction(key_BL) < share_B1
        targets[:, -1] = True
        shown = torch.where(targets, self.alphabet.mask, codes).to(torch.uint8)
        return Hidden(shown, codes, targets.to(torch.float32))

    loss = Masked.loss


OBJECTIVES = {"masked": Masked, "recall": Answers}


def nats(logits_BLV: Tensor, codes_BL: Tensor) -> Tensor:
    """-log p(code) at every position (B, L), in float32; 0 where the code is no letter."""
    letters = logits_BLV.shape[-1]
    codes = torch.where(codes_BL < letters, codes_BL, -100)
    return functional.cross_entropy(
        logits_BLV.float().transpose(1, 2), codes, reduction="none", ignore_index=-100
    )


def hash_integers(*parts: int | Tensor) -> Tensor:
    """An int64 hash of integers, broadcast together: splitmix64 folded over the parts
    (`sequence.hashing.hash_integers`).
    """
    device = next((part.device for part in parts if isinstance(part, Tensor)), None)
    state = torch.zeros(1, dtype=torch.int64, device=device)
    for part in parts:
        state = (state ^ part) + _signed(0x9E3779B97F4A7C15)
        state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
        state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
        state = state ^ _shifted(state, 31)
    return state


def fraction(state: Tensor) -> Tensor:
    """The top 24 bits of a hash as a number in [0, 1), exact in float32."""
    return _shifted(state, 40).to(torch.float32) / (1 << 24)


def chosen(state_BL: Tensor, share: float, span: int) -> Tensor:
    """A share of the positions, in runs of at least `span`; every position is as likely.

    The state is of `span - 1` positions more, on the left, where runs may begin too.
    """
    start = fraction(state_BL) < 1 - (1 - share) ** (1 / span)
    return start if span == 1 else functional.max_pool1d(start.float()[:, None], span, 1)[:, 0] > 0


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _shifted(state: Tensor, bits: int) -> Tensor:
    return (state >> bits) & ((1 << (64 - bits)) - 1)
