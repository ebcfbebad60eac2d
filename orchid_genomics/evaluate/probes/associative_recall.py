"""Associative recall measured on fresh sequences, at any lengths, beside chance and the simplest
alternatives.

The trap: training counts its steps from 0, so that what is measured here, at negative steps, is
never trained on.
"""

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from orchid_genomics.data.recall import Recall, RecallRecipe, commonest, look_up
from orchid_genomics.evaluate.masked_letters import LetterModel
from orchid_genomics.evaluate.score_table import Score, ScoreTable
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import alphabet
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import nats

_TEST, _VALIDATION = -1, -2  # steps
_NORMAL_95 = 1.959964  # the 97.5th percentile of a normal distribution
_Length = Annotated[int, Field(ge=32, multiple_of=2)]


class RecallEvaluationRecipe(Strict):
    """What is measured after training: the share of right answers at the training length and at
    others.
    """

    lengths: tuple[_Length, ...] = ()
    """Further lengths, for the model as it is."""
    sequences: int = Field(default=1000, gt=0)
    """Fresh sequences of each length."""
    letters: int = Field(default=1 << 24, gt=0)
    """Letters read at each length, at most: fewer sequences where they are long."""
    batch: int = Field(default=16, gt=0)
    """Sequences at once at the training length; in proportion at others."""
    validation_sequences: int = Field(default=256, gt=0)
    """Sequences of each validation during training."""
    seed: int = 0
    """Which sequences; the same for every model that is to be compared."""


def right_answers(
    model: LetterModel,
    recipe: RecallRecipe,
    length: int,
    measured: RecallEvaluationRecipe,
    *,
    ranks: Ranks,
) -> tuple[int, dict[str, int]]:
    """Fresh sequences of one length, and how many of them are answered right.

    Returns
    -------
    count : int
        How many sequences were asked.
    right : dict
        How many of them the model and each alternative answer right.
    """
    source = Recall(recipe, length)
    count = max(1, min(measured.sequences, measured.letters // length))
    # As many letters at once at every length.
    size = max(1, measured.batch * recipe.length // length)
    right = torch.zeros(3, dtype=torch.float64)
    own = range(ranks.rank, count, ranks.world)
    for first in range(0, len(own), size):
        tokens_BL = source.batch(measured.seed, _TEST, own[first : first + size])
        model_BL = _logits(model, tokens_BL, recipe, ranks)[0].argmax(-1)
        answers = model_BL[:, -1].cpu().numpy(), commonest(tokens_BL), look_up(tokens_BL)
        right += torch.tensor([int((each == tokens_BL[:, -1]).sum()) for each in answers])
    names = "model", "commonest value", "exact matching"
    total = map(round, ranks.sum(right.to(ranks.device)).tolist())
    return count, dict(zip(names, total, strict=True))


def evaluate(
    model: LetterModel,
    recipe: RecallRecipe,
    length: int,
    measured: RecallEvaluationRecipe,
    *,
    ranks: Ranks,
    say: Callable[[str], None] = lambda _: None,
) -> list[ScoreTable]:
    """One table: the share of right answers, with a 95 % (Wilson) interval, at `length` and
    `measured.lengths`.
    """
    model.eval()
    chance = 2 / recipe.vocabulary
    names = "model", "chance", "commonest value", "exact matching"
    scores: dict[str, list[Score]] = {name: [] for name in names}
    for each in dict.fromkeys((length, *measured.lengths)):
        say(f"measuring recall at {each:,} letters")
        count, right = right_answers(model, recipe, each, measured, ranks=ranks)
        scores["chance"].append(Score(f"L {each:,}", chance, chance, chance, count))
        for name, number in right.items():
            scores[name].append(answer_share(each, number, count))
    symbols = f"{recipe.vocabulary // 2} keys and values"
    title = f"share of right answers, {symbols}, trained at {length:,}"
    return [ScoreTable(title, scores, {})] if ranks.main else []


def validation(
    model: LetterModel,
    recipe: RecallRecipe,
    length: int,
    measured: RecallEvaluationRecipe,
    *,
    ranks: Ranks,
) -> Callable[[], float]:
    """A function that gives bits per answer on fresh sequences of `length`."""
    source = Recall(recipe, length)

    def bits_per_answer() -> float:
        total = torch.zeros((), dtype=torch.float32, device=ranks.device)
        own = range(ranks.rank, measured.validation_sequences, ranks.world)
        for first in range(0, len(own), measured.batch):
            rows = own[first : first + measured.batch]
            tokens_BL = source.batch(measured.seed, _VALIDATION, rows)
            total += nats(*_logits(model, tokens_BL, recipe, ranks))[:, -1].sum()
        return float(ranks.sum(total)) / measured.validation_sequences / math.log(2)

    return bits_per_answer


@torch.inference_mode()
def _logits(
    model: LetterModel, tokens_BL: np.ndarray, recipe: RecallRecipe, ranks: Ranks
) -> tuple[Tensor, Tensor]:
    """Predictions (B, L, V) with the last answer hidden, and the true codes (B, L)."""
    codes_BL = torch.from_numpy(tokens_BL).to(ranks.device)
    shown_BL = codes_BL.clone()
    shown_BL[:, -1] = alphabet(recipe.alphabet).mask
    return model.encode(shown_BL), codes_BL.long()


def answer_share(length: int, right: int, count: int) -> Score:
    """A share with its 95 % interval (Wilson 1927), which holds at 0 and 1 too."""
    share, z = right / count, _NORMAL_95
    middle = share + z * z / (2 * count)
    width = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    low, high = ((middle + sign * width) / (1 + z * z / count) for sign in (-1, 1))
    return Score(f"L {length:,}", share, max(low, 0.0), min(high, 1.0), count)
