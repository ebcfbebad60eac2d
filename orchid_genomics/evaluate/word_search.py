"""Weights of words for a trained head: a k-mer regression as a part of the model's own answer.

An encoder and k-mers see different things, and which of them sees more depends on the set. So the
regression is fitted on the training rows, how much of each counts on validation, and both are one
model. The trap: a network is surer of its training rows than of any other, so what the two say of
those cannot tell how to weigh them; validation rows can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize
from torch import Tensor

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.linear import Linear, search_strengths, word_table
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.words import SCALE
from orchid_genomics.sequence.kmers import every_reverse_code
from orchid_genomics.train.supervised import predict, units, validation_loss

KINDS = ((5, 0), (6, 0), (6, 1), (6, 3), (6, 5))
"""Letters and gap of the words that are tried."""
CLEAR = 2.0
"""Nats that a share of words must win on validation, in the mean over networks: chance gives it one
time in twenty."""
MOST = 3.0
"""Of a share: a few validation rows that are all told apart would ask for any."""


@dataclass(frozen=True)
class FittedWords:
    """The words, and the strength of their regression, that answer validation best."""

    letters: int
    gap: int
    strength: float
    linear: Linear
    """Of logits, or of numbers in units of the training rows' spread about their mean."""
    validation: np.ndarray
    """Its outputs (n, K) there."""

    @property
    def words(self) -> str:
        """For tables and notes."""
        half = self.letters // 2
        if self.gap:
            return f"words of {half}, any {self.gap} and {self.letters - half} letters"
        return f"words of {self.letters} letters"


class Weighed(NamedTuple):
    """What parts of an answer are multiplied by."""

    shares: np.ndarray
    """Of each part (P, K), or (P, 1) for all outputs alike."""
    loss: float
    """Of their sum, the mean over validation rows."""


class WordSearch:
    """The words of a set, fitted once, when the first model asks for them."""

    def __init__(self, data: LabelledSet, strand: str, kinds: Sequence[tuple[int, int]] = KINDS):
        self.data, self.strand, self.kinds = data, strand, kinds
        # 0 and 1 where answers are no numbers.
        self.shift, self.scale = units(data)

    @cached_property
    def fitted(self) -> FittedWords | None:
        """None where no row holds a word."""
        data, best, highest = self.data, None, -np.inf
        train, validation = data.rows("train"), data.rows("validation")
        target = data.target[train]
        if data.task.has_numbers:
            target = (target - self.shift) / self.scale
        for letters, gap in self.kinds:
            x = self._features(letters, gap)
            if not x.nnz:
                continue
            judge = partial(self._judge, x[validation])
            for strength, linear, score in search_strengths(data.task, (x[train], target), judge):
                if score > highest:
                    highest = score
                    outputs = linear.outputs(x[validation])
                    best = FittedWords(letters, gap, strength, linear, outputs)
        return best

    def added_to(
        self, models: Sequence[OrchidModel], device: torch.device
    ) -> list[OrchidModel] | None:
        """The networks of an arm, each with words beside it; None where validation is not clearly
        better for them, over all networks: a mean of answers of several makes would suit none.
        """
        fitted, gain = self.fitted, 0.0
        if fitted is None:
            return None
        made = []
        for model in models:
            outputs = self._outputs(model.eval(), device)
            alone = self._weigh([outputs])
            both = self._weigh([outputs, fitted.validation])
            gain += self._nats(alone.loss, both.loss) - CLEAR * both.shares.shape[1]
            made.append(with_words(model, fitted, *both.shares).to(device))
        return made if gain > 0 else None

    def _outputs(self, model: OrchidModel, device: torch.device) -> np.ndarray:
        """What a model makes of validation rows (n, K), numbers in units of the training rows."""
        rows = [self.data.tokens[row] for row in self.data.rows("validation")]
        return (predict(model, rows, device) - self.shift) / self.scale

    def _features(self, letters: int, gap: int) -> sparse.csr_matrix:
        """What `model.words.Words` sums weights over."""
        places = np.maximum(self.data.lengths - letters - gap + 1, 1)
        table = word_table(self.data, letters, gap, self.strand)
        return sparse.csr_matrix(sparse.diags(SCALE / np.sqrt(places)) @ table)

    def _judge(self, x: sparse.csr_matrix, linear: Linear) -> float:
        """The monitored score on validation less 1, of whose words `x` are the counts."""
        outputs = self._in_units(torch.from_numpy(linear.outputs(x)))
        answers = self.data.task.link(outputs).numpy()
        return -validation_loss(self.data, answers, self.data.rows("validation"))

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


def with_words(
    model: OrchidModel, fitted: FittedWords, own: np.ndarray, of_words: np.ndarray
) -> OrchidModel:
    """A model whose outputs are `own` times those of the given one and `of_words` times those of
    the words; a share for each output (K,), or one for all (1,).
    """
    recipe = model.recipe.head
    if not isinstance(recipe, PooledRecipe):
        raise TypeError("words are added to a pooled head")
    update = {"words": fitted.letters, "words_gap": fitted.gap}
    wider = model.recipe.model_copy(update={"head": recipe.model_copy(update=update)})
    made = OrchidModel(wider).to(next(model.parameters()).dtype)
    made.load_state_dict(model.state_dict(), strict=False)
    weight = torch.from_numpy(of_words[:, None] * fitted.linear.weight)
    bias = torch.from_numpy(of_words * fitted.linear.bias)
    own_K = torch.from_numpy(own).to(next(made.parameters()).dtype)
    if recipe.strand == "both":
        # Fitted on the smaller of a word and its reverse complement, read on both.
        every = every_reverse_code(fitted.letters)
        weight = weight[:, np.minimum(np.arange(len(every)), every)]
    with torch.no_grad():
        made.get_parameter("head.weight").mul_(own_K[:, None])
        made.get_parameter("head.bias").mul_(own_K).add_(bias)
        made.get_parameter("head.words.weight").copy_(weight)
    return made.eval()
