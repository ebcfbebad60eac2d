"""What is added to the answer of a trained head: a regression on k-mers, and one on the letters by
position, as parts of the model itself.

An encoder, k-mers and places see different things, and which of them sees more depends on the set.
So each regression is fitted on the training rows, how much of each counts on validation, and all
are one model. The trap: a network is surer of its training rows than of any other, so what the
parts say of those cannot tell how to weigh them; validation rows can.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize
from torch import Tensor

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.linear import (
    POSITIONAL_STRENGTHS,
    STRENGTHS,
    Linear,
    one_hot,
    search_strengths,
    word_table,
)
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.words import SCALE
from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import every_reverse_code
from orchid_genomics.train.supervised import predict, units, validation_loss

KINDS = ((5, 0), (6, 0), (6, 1), (6, 3), (6, 5))
"""Letters and gap of the words that are tried."""
CLEAR = 2.0
"""Nats that a share of an addition must win on validation: chance gives it one time in twenty."""
MOST = 3.0
"""Of a share: a few validation rows that are all told apart would ask for any."""


@dataclass(frozen=True)
class WordChoice:
    """Words of so many letters, with a gap of so many others after the first half of them."""

    letters: int
    gap: int
    strand: str
    """both: fitted on the smaller of a word and its reverse complement, read on both."""

    part = "words"
    """Of a pooled head: the module that holds the weights."""
    strengths = STRENGTHS

    def __str__(self) -> str:
        half = self.letters // 2
        if self.gap:
            return f"words of {half}, any {self.gap} and {self.letters - half} letters"
        return f"words of {self.letters} letters"

    @property
    def keys(self) -> dict[str, int]:
        """Of the head that reads them."""
        return {"words": self.letters, "words_gap": self.gap}

    def features(self, data: LabelledSet) -> sparse.csr_matrix:
        """What `model.words.Words` sums weights over (N, F)."""
        places = np.maximum(data.lengths - self.letters - self.gap + 1, 1)
        table = word_table(data, self.letters, self.gap, self.strand)
        return sparse.csr_matrix(sparse.diags(SCALE / np.sqrt(places)) @ table)

    def weight(self, of_features: np.ndarray) -> np.ndarray:
        """Of the module, from weights of the features (K, F)."""
        if self.strand != "both":
            return of_features
        every = every_reverse_code(self.letters)
        return of_features[:, np.minimum(np.arange(len(every)), every)]


@dataclass(frozen=True)
class PlaceChoice:
    """Every letter at every place of rows of one length."""

    length: int

    part = "places"
    strengths = POSITIONAL_STRENGTHS

    def __str__(self) -> str:
        return "letters by position"

    @property
    def keys(self) -> dict[str, int]:
        """Of the head that reads them."""
        return {"places": self.length}

    def features(self, data: LabelledSet) -> sparse.csr_matrix:
        """What `model.places.Places` sums weights over (N, 4 L)."""
        return one_hot(data)

    def weight(self, of_features: np.ndarray) -> np.ndarray:
        """Of the module, from weights of the features (K, F)."""
        return of_features.reshape(len(of_features), self.length, DNA.count).swapaxes(1, 2)


Choice = WordChoice | PlaceChoice


@dataclass(frozen=True)
class Addition:
    """The features of one kind, and the strength of their regression, that answer validation
    best.
    """

    choice: Choice
    strength: float
    linear: Linear
    """Of logits, or of numbers in units of the training rows' spread about their mean."""
    validation: np.ndarray
    """Its outputs (n, K) there."""


class Weighed(NamedTuple):
    """What parts of an answer are multiplied by."""

    shares: np.ndarray
    """Of each part (P, K), or (P, 1) for all outputs alike."""
    loss: float
    """Of their sum, the mean over validation rows."""


class Added(NamedTuple):
    """The networks of an arm with what was added to them."""

    models: list[OrchidModel]
    additions: tuple[Addition, ...]


class AdditionSearch:
    """What may be added to answers on a set, fitted once, when the first model asks for it.

    Parameters
    ----------
    data
        A split set.
    strand
        "both" or "forward", as that of the model's head.
    kinds
        Letters and gap of the words that are tried; none for no words.
    places
        Whether letters by position are tried: for rows of one length alone.
    """

    def __init__(
        self,
        data: LabelledSet,
        strand: str,
        kinds: Sequence[tuple[int, int]] = KINDS,
        places: bool = False,
    ) -> None:
        self.data = data
        words = [WordChoice(letters, gap, strand) for letters, gap in kinds]
        by_place = [PlaceChoice(int(data.lengths.max()))] if places else []
        self.choices: tuple[Sequence[Choice], ...] = (words, by_place)
        # 0 and 1 where answers are no numbers.
        self.shift, self.scale = units(data)

    @cached_property
    def fitted(self) -> tuple[Addition, ...]:
        """The best of the words, and of letters by position; nothing of a kind that no row
        holds.
        """
        each = (self._best(choices) for choices in self.choices)
        return tuple(addition for addition in each if addition is not None)

    def added_to(self, models: Sequence[OrchidModel], device: torch.device) -> Added | None:
        """The networks of an arm, each with the same additions beside it, in the shares that suit
        the mean of their answers: it knows some of what they add to one of them. None where
        validation is not clearly better for any.
        """
        own = np.mean([self._outputs(model.eval(), device) for model in models], axis=0)
        alone = self._weigh([own]).loss
        best, most = None, 0.0
        for additions in _subsets(self.fitted):
            weighed = self._weigh([own, *(addition.validation for addition in additions)])
            gain = self._nats(alone, weighed.loss) - CLEAR * weighed.shares[1:].size
            if gain > most:
                best, most = (additions, weighed.shares), gain
        if best is None:
            return None
        additions, shares = best
        made = [with_additions(model, additions, shares).to(device) for model in models]
        return Added(made, additions)

    def _best(self, choices: Sequence[Choice]) -> Addition | None:
        data, best, highest = self.data, None, -np.inf
        train, validation = data.rows("train"), data.rows("validation")
        target = data.target[train]
        if data.task.has_numbers:
            target = (target - self.shift) / self.scale
        for choice in choices:
            x = choice.features(data)
            if not x.nnz:
                continue
            rows, judge = (x[train], target), self._judge_of(x[validation])
            for fit in search_strengths(data.task, rows, judge, choice.strengths):
                strength, linear, score = fit
                if score > highest:
                    highest = score
                    best = Addition(choice, strength, linear, linear.outputs(x[validation]))
        return best

    def _judge_of(self, x: sparse.csr_matrix) -> Callable[[Linear], float]:
        """What says the monitored score on validation less 1, of whose rows `x` are features."""

        def judge(linear: Linear) -> float:
            outputs = self._in_units(torch.from_numpy(linear.outputs(x)))
            answers = self.data.task.link(outputs).numpy()
            return -validation_loss(self.data, answers, self.data.rows("validation"))

        return judge

    def _outputs(self, model: OrchidModel, device: torch.device) -> np.ndarray:
        """What a model makes of validation rows (n, K), numbers in units of the training rows."""
        rows = [self.data.tokens[row] for row in self.data.rows("validation")]
        return (predict(model, rows, device) - self.shift) / self.scale

    def _in_units(self, outputs: Tensor) -> Tensor:
        return outputs * torch.from_numpy(self.scale) + torch.from_numpy(self.shift)

    def _weigh(self, parts: Sequence[np.ndarray]) -> Weighed:
        """What to multiply each part (n, K) by, 0 to `MOST`, for the least loss of their sum."""
        task, rows = self.data.task, self.data.rows("validation")
        target = torch.from_numpy(self.data.target[rows])
        parts_PNK = torch.from_numpy(np.stack(parts).astype(np.float64))
        # Classes have one probability among them; labels and numbers each have a loss of their own.
        columns = 1 if task.has_classes else task.outputs

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            shares_PS = torch.tensor(flat.reshape(len(parts), columns), requires_grad=True)
            outputs_NK = (shares_PS[:, None] * parts_PNK).sum(0)
            mean = task.loss(self._in_units(outputs_NK), target, self.scale).double().mean()
            # Losses are float32, too coarse for a slope by differences.
            (slope_PS,) = torch.autograd.grad(mean, shares_PS)
            return mean.item(), slope_PS.numpy().ravel()

        begin = np.full(len(parts) * columns, 1 / len(parts))
        bounds = [(0.0, MOST)] * len(begin)
        found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds)
        return Weighed(found.x.reshape(len(parts), columns), found.fun)

    def _nats(self, before: float, after: float) -> float:
        """The likelihood that a lower loss stands for, over all validation rows and labels."""
        task = self.data.task
        each = len(self.data.rows("validation")) * (1 if task.has_classes else task.outputs)
        if task.has_numbers:
            return each / 2 * float(np.log(before / max(after, 1e-9)))
        return each * (before - after)


def _subsets(additions: Sequence[Addition]) -> Iterator[tuple[Addition, ...]]:
    """Every way to add some of them, fewer first."""
    for count in range(1, len(additions) + 1):
        yield from combinations(additions, count)


def with_additions(
    model: OrchidModel, additions: Sequence[Addition], shares: np.ndarray
) -> OrchidModel:
    """A model whose outputs are a sum: `shares` times those of the given one, then of each
    addition; a share for each output (P, K), or one for all (P, 1).
    """
    recipe = model.recipe.head
    if not isinstance(recipe, PooledRecipe):
        raise TypeError("additions are those of a pooled head")
    keys = {key: value for each in additions for key, value in each.choice.keys.items()}
    wider = model.recipe.model_copy(update={"head": recipe.model_copy(update=keys)})
    made = OrchidModel(wider).to(next(model.parameters()).dtype)
    made.load_state_dict(model.state_dict(), strict=False)
    own_K, *others = torch.from_numpy(shares).to(next(made.parameters()).dtype)
    with torch.no_grad():
        made.get_parameter("head.weight").mul_(own_K[:, None])
        bias = made.get_parameter("head.bias").mul_(own_K)
        for share_K, addition in zip(others, additions, strict=True):
            bias.add_(share_K * torch.tensor(addition.linear.bias, dtype=bias.dtype))
            weight = torch.from_numpy(addition.choice.weight(addition.linear.weight))
            own = made.get_parameter(f"head.{addition.choice.part}.weight")
            own.copy_(share_K.reshape(-1, *[1] * (weight.dim() - 1)) * weight)
    return made.eval()
