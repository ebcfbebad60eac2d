"""Weights of words for a trained head: a k-mer regression as a part of the model's own answer.

An encoder and k-mers see different things, and which of them sees more depends on the set. So the
regression is fitted on the training rows, how much of each counts on validation, and both are one
model. The trap: a network is surer of its training rows than of any other, so what the two say of
those cannot tell how to weigh them; validation rows can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import OptimizeResult, minimize

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.linear import STRENGTHS, Linear, fit_linear, word_table
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.words import SCALE
from orchid_genomics.sequence.kmers import every_reverse_code
from orchid_genomics.train.supervised import predict, units, validation_loss

KINDS = ((5, 0), (6, 0), (6, 1), (6, 3), (6, 5))
"""Letters and gap of the words that are tried."""
CLEAR = 2.0
"""Nats that words must win on validation: what chance gives one weight in twenty trials."""
_WORSE = 2  # strengths in a row that are no better, and end the search


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


class WordSearch:
    """The words of a set, fitted once, when the first model asks for them."""

    def __init__(self, data: LabelledSet, strand: str, kinds: Sequence[tuple[int, int]] = KINDS):
        self.data, self.strand, self.kinds = data, strand, kinds

    @cached_property
    def fitted(self) -> FittedWords | None:
        """None where no row holds a word."""
        data, best, lowest = self.data, None, np.inf
        train, validation = data.rows("train"), data.rows("validation")
        shift, scale = units(data)
        target = data.target[train]
        if data.task.has_numbers:
            target = (target - shift) / scale
        for letters, gap in self.kinds:
            x = self._features(letters, gap)
            if not x.nnz:
                continue
            least, worse = np.inf, 0
            for strength in STRENGTHS:
                linear = fit_linear(data.task, x[train], target, strength)
                outputs = linear.outputs(x[validation])
                loss = self._loss(outputs)
                if loss < lowest:
                    lowest = loss
                    best = FittedWords(letters, gap, strength, linear, outputs)
                worse = 0 if loss < least else worse + 1
                least = min(least, loss)
                if worse == _WORSE:
                    break
        return best

    def added_to(self, model: OrchidModel, device: torch.device) -> OrchidModel | None:
        """The model with the words beside it; None where validation is no better for them."""
        fitted, rows = self.fitted, self.data.rows("validation")
        if fitted is None:
            return None
        model.eval()
        shift, scale = units(self.data)
        outputs = predict(model, [self.data.tokens[row] for row in rows], device)
        outputs = (outputs - shift) / scale if self.data.task.has_numbers else outputs
        alone = self._weigh([outputs])
        both = self._weigh([outputs, fitted.validation])
        if self._gain(alone.fun, both.fun) < CLEAR:
            return None
        own, of_words = both.x
        return with_words(model, fitted, own, of_words).to(device)

    def _features(self, letters: int, gap: int) -> sparse.csr_matrix:
        """What `model.words.Words` sums weights over."""
        places = np.maximum(self.data.lengths - letters - gap + 1, 1)
        table = word_table(self.data, letters, gap, self.strand)
        return sparse.csr_matrix(sparse.diags(SCALE / np.sqrt(places)) @ table)

    def _loss(self, outputs: np.ndarray) -> float:
        """One minus the monitored score on validation."""
        rows = self.data.rows("validation")
        answers = self.data.task.link(torch.from_numpy(self._in_units(outputs))).numpy()
        return validation_loss(self.data, answers, rows)

    def _in_units(self, outputs: np.ndarray) -> np.ndarray:
        if not self.data.task.has_numbers:
            return outputs
        shift, scale = units(self.data)
        return outputs * scale + shift

    def _weigh(self, parts: Sequence[np.ndarray]) -> OptimizeResult:
        """What each part (n, K) is multiplied by, none below 0, for the least mean loss (`fun`) of
        their sum on validation.
        """
        _, scale = units(self.data)
        target = torch.from_numpy(self.data.target[self.data.rows("validation")])

        def loss(shares: np.ndarray) -> float:
            outputs = self._in_units(np.tensordot(shares, np.stack(parts), 1))
            losses = self.data.task.loss(torch.from_numpy(outputs).double(), target, scale)
            return float(losses.mean())

        begin = np.full(len(parts), 1 / len(parts))
        return minimize(loss, begin, method="L-BFGS-B", bounds=[(0, None)] * len(parts))

    def _gain(self, before: float, after: float) -> float:
        """Nats of likelihood over all validation rows."""
        rows = len(self.data.rows("validation"))
        if self.data.task.has_numbers:
            return rows / 2 * float(np.log(before / after))
        return rows * (before - after)


def with_words(model: OrchidModel, fitted: FittedWords, own: float, of_words: float) -> OrchidModel:
    """A model whose outputs are `own` times those of the given one and `of_words` times those of
    the words.
    """
    recipe = model.recipe.head
    if not isinstance(recipe, PooledRecipe):
        raise TypeError("words are added to a pooled head")
    update = {"words": fitted.letters, "words_gap": fitted.gap}
    wider = model.recipe.model_copy(update={"head": recipe.model_copy(update=update)})
    made = OrchidModel(wider).to(next(model.parameters()).dtype)
    made.load_state_dict(model.state_dict(), strict=False)
    weight = torch.from_numpy(np.array(fitted.linear.weight))
    if recipe.strand == "both":
        # Fitted on the smaller of a word and its reverse complement, read on both.
        every = every_reverse_code(fitted.letters)
        weight = weight[:, np.minimum(np.arange(len(every)), every)]
    bias = torch.from_numpy(np.array(fitted.linear.bias))
    with torch.no_grad():
        made.get_parameter("head.weight").mul_(own)
        made.get_parameter("head.bias").mul_(own).add_(of_words * bias)
        made.get_parameter("head.words.weight").copy_(of_words * weight)
    return made.eval()
