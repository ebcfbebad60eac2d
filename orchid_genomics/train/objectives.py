"""Objectives: what of a batch is hidden, and how a prediction of it is scored.

Masks are an integer hash of (seed, step, row, position): the same on every device, whatever the
ranks, workers or accumulation. The trap: a loss must divide by the weights of the whole step, over
ranks and accumulated parts, so an objective returns sums and lets the loop divide.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.nn import functional

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.masking import Masking
from orchid_genomics.recipe import Choice
from orchid_genomics.registry import Registry
from orchid_genomics.sequence import CODE, SOFT, Alphabet
from orchid_genomics.sequence.hashing import Stream
from orchid_genomics.train.tensor_hash import below, fraction, hash_tensors


class Example(Protocol):
    """Rows made ready for one pass: what the model sees, and how much each target weighs."""

    @property
    def shown_BL(self) -> Tensor:
        """Codes (B, L) uint8 that the model sees."""

    @property
    def mask_BL(self) -> Tensor | None:
        """1 at letters and 0 at padding (B, L); None where no row is padded."""

    @property
    def weights_BL(self) -> Tensor:
        """The weight of every target, of any shape; 0 where there is none."""


Ready = TypeVar("Ready", bound=Example)
Arrays = tuple[np.ndarray | None, ...]
"""What an objective looks up for some rows, on the host."""
Given = tuple[Tensor | None, ...]
"""The same on the device."""


class Objective(Protocol[Ready]):
    """A batch -> a loss: hides what is to be predicted, then scores the prediction.

    Attributes
    ----------
    unit
        What a loss is for, in messages: base, answer, row.
    validation
        The name of the validation's number in the log; lower is better.
    """

    unit: str
    validation: str

    def hide(self, tokens_BL: Tensor, seed: int, step: int | Tensor, rows: Tensor) -> Ready:
        """The example of some rows of a step.

        Where nothing in it asks the device for a number or has a shape that depends on the data, a
        whole step is replayed as one CUDA graph; else steps are run call by call.

        Parameters
        ----------
        tokens_BL
            Tokens (B, L) uint8 with case, on the device.
        seed, step
            Of the run; chance is a hash of them, the row and the position. In a graph the step is a
            tensor (1,) int64.
        rows
            The rows' (B,) global numbers in the step.
        """

    def loss(self, outputs: Tensor, example: Ready) -> Tensor:
        """The sum (scalar) over targets of weight times loss."""


@runtime_checkable
class LooksUp(Protocol):
    """An objective whose examples hold what tokens do not say, such as answers or tracks.

    Its `hide` takes that, moved to the device, as one more argument.
    """

    def look_up(self, tokens_BL: np.ndarray, seed: int, step: int, rows: Sequence[int]) -> Arrays:
        """Arrays for these rows of a step, on the host; parameters as of `Objective.hide`."""


class LetterObjective(Objective[Any], Protocol):
    """An objective that needs no labels: made of its recipe and the alphabet of the sequences."""

    Recipe: ClassVar[type["ObjectiveRecipe"]]

    def __init__(self, recipe: Any, alphabet: Alphabet) -> None: ...


OBJECTIVES: Registry[type[LetterObjective]] = Registry("objective")


class ObjectiveRecipe(Choice):
    """What pretraining predicts; each kind has its own keys."""

    choices = OBJECTIVES


class MaskedRecipe(ObjectiveRecipe):
    """Masked letters: predict hidden letters from both sides.

    As in BERT (Devlin et al. 2019), 80 % of the targets are shown as MASK, 10 % as another letter
    and 10 % unchanged, so that a model must not rely on seeing MASK.
    """

    kind: Literal["masked"] = "masked"
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of letters that are targets."""
    span: int = Field(default=1, ge=1)
    """Targets come in runs of at least so many letters."""
    masked: float = Field(default=Masking.masked, ge=0, le=1)
    """Share of targets shown as MASK."""
    other: float = Field(default=Masking.other, ge=0, le=1)
    """Share of targets shown as another letter, never the true one; the rest are shown as they
    are."""
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


class AnswersRecipe(ObjectiveRecipe):
    """Associative recall (`data.recall`): which values are hidden and to be given."""

    kind: Literal["recall"] = "recall"
    answers: Literal["last", "some", "all"] = "last"
    """last: the paper's one answer a sequence; all: every value whose key occurred before; some: a
    share of those that is drawn for each sequence, evenly from none to all. The last always is."""


class HiddenLetters(NamedTuple):
    """Letters made ready: codes (B, L) uint8 as shown, the true codes (B, L) int64, and the weight
    of each as a target (B, L), 0 for none.
    """

    shown_BL: Tensor
    codes_BL: Tensor
    weights_BL: Tensor

    @property
    def mask_BL(self) -> None:
        """No padding: windows are whole."""


def cut_letters(example: Ready, stretch: slice) -> Ready:
    """The targets of a stretch of every window; raises RecipeError for other than letters."""
    if not isinstance(example, HiddenLetters):
        message = "ranks share windows of hidden letters alone"
        raise RecipeError("training.sequence_ranks", message, "1")
    return type(example)(*(each[:, stretch] for each in example))


@OBJECTIVES.register("masked")
class MaskedLetters:
    """The masked-letter objective over an alphabet; N, MASK and PAD are never targets."""

    Recipe = MaskedRecipe
    unit = "base"
    validation = "validation_bits"

    def __init__(self, recipe: MaskedRecipe, alphabet: Alphabet) -> None:
        self.recipe, self.alphabet = recipe, alphabet

    def hide(self, tokens_BL: Tensor, seed: int, step: int | Tensor, rows: Tensor) -> HiddenLetters:
        """Choose and hide targets; see `Objective.hide`."""
        recipe, letters = self.recipe, self.alphabet.count
        codes = (tokens_BL & CODE).long()
        # Runs may begin left of the window, else its first letters would be hidden too rarely.
        position = torch.arange(1 - recipe.span, tokens_BL.shape[1], device=tokens_BL.device)
        key = hash_tensors(seed, step, rows[:, None], position[None, :])
        # Streams of their own, so that what is hidden does not say how it is shown.
        start = hash_tensors(Stream.HIDDEN_LETTER, key)
        targets = choose_runs(start, recipe.share, recipe.span) & (codes < letters)
        key = key[:, recipe.span - 1 :]
        way = fraction(hash_tensors(Stream.SHOWN_AS, key))
        step_to_other = below(hash_tensors(Stream.OTHER_LETTER, key), max(letters - 1, 1))
        # One to letters - 1 steps around the alphabet never end at the true letter.
        other = (codes + 1 + step_to_other) % letters
        shown = torch.where(targets & (way < recipe.masked), self.alphabet.mask, codes)
        swap = targets & (way >= recipe.masked) & (way < recipe.masked + recipe.other)
        shown = torch.where(swap, other, shown).to(torch.uint8)
        weight = torch.where((tokens_BL & SOFT) > 0, recipe.soft_weight, 1.0)
        return HiddenLetters(shown, codes, targets * weight)

    def loss(self, outputs: Tensor, example: HiddenLetters) -> Tensor:
        """The sum over targets of weight times -log p(true letter), nats; outputs are logits
        (B, L, letters).
        """
        return weighted_nats(outputs, example)


@OBJECTIVES.register("recall")
class RecallAnswers:
    """Answers of associative recall, shown as MASK.

    Letters 0, 2, 4, ... are keys, the letter after each its value. Raises RecipeError for letters
    that are no such symbols.
    """

    Recipe = AnswersRecipe
    unit = "answer"
    validation = "validation_bits"

    def __init__(self, recipe: AnswersRecipe, alphabet: Alphabet) -> None:
        if not alphabet.name.startswith("symbols:"):
            message = f"{recipe.kind!r} asks for keys and values, the letters are {alphabet.name}"
            raise RecipeError("objective.kind", message, "masked")
        self.recipe, self.alphabet = recipe, alphabet

    def hide(self, tokens_BL: Tensor, seed: int, step: int | Tensor, rows: Tensor) -> HiddenLetters:
        """Hide answers of tokens (B, L) uint8, L even; see `Objective.hide`."""
        codes = tokens_BL.long()
        targets = torch.zeros_like(codes, dtype=torch.bool)
        if self.recipe.answers != "last":
            targets[:, 1::2] = self._key_occurred(codes)
        if self.recipe.answers == "some":
            position = torch.arange(codes.shape[1], device=codes.device)
            share_B1 = fraction(hash_tensors(seed, step, Stream.HIDDEN_SHARE, rows[:, None]))
            drawn_BL = hash_tensors(seed, step, Stream.HIDDEN_LETTER, rows[:, None], position)
            targets &= fraction(drawn_BL) < share_B1
        targets[:, -1] = True
        shown = torch.where(targets, self.alphabet.mask, codes).to(torch.uint8)
        return HiddenLetters(shown, codes, targets.to(torch.float32))

    def _key_occurred(self, codes_BL: Tensor) -> Tensor:
        """Whether the key of each pair (B, P) stands in an earlier pair."""
        keys_BP = codes_BL[:, ::2]
        # Not `one_hot`, which asks the device for the largest key.
        each_K = torch.arange(self.alphabet.count // 2, device=codes_BL.device)
        key_BPK = (keys_BP[..., None] == each_K).long()
        # Less its own, so that a key counts from the next pair on.
        before_BPK = key_BPK.cumsum(1) - key_BPK
        return before_BPK.gather(2, keys_BP[..., None])[..., 0] > 0

    def loss(self, outputs: Tensor, example: HiddenLetters) -> Tensor:
        """The sum over answers of -log p(true value), nats; outputs are logits (B, L, symbols)."""
        return weighted_nats(outputs, example)


def weighted_nats(logits_BLV: Tensor, example: HiddenLetters) -> Tensor:
    """The sum over letters of weight times -log p(true letter), nats."""
    return (nats(logits_BLV, example.codes_BL) * example.weights_BL).sum()


def nats(logits_BLV: Tensor, codes_BL: Tensor) -> Tensor:
    """-log p(code) at every position (B, L), in float32; 0 where the code is no letter."""
    letters = logits_BLV.shape[-1]
    codes = torch.where(codes_BL < letters, codes_BL, -100)
    return functional.cross_entropy(
        logits_BLV.float().transpose(1, 2), codes, reduction="none", ignore_index=-100
    )


def choose_runs(state_BL: Tensor, share: float, span: int) -> Tensor:
    """A share of the positions, in runs of at least `span`; every position is as likely.

    Parameters
    ----------
    state_BL
        A hash of every position, and of `span - 1` more on the left, where runs may begin too.
    share
        The share of positions to choose.
    span
        Letters of a run.

    Returns
    -------
    torch.Tensor
        Bool (B, L - span + 1).
    """
    # A position is left out when none of the `span` places begins a run that would cover it.
    start = fraction(state_BL) < 1 - (1 - share) ** (1 / span)
    if span == 1:
        return start
    return functional.max_pool1d(start.float()[:, None], span, 1)[:, 0] > 0
