"""Tracks along the genome, such as rates of evolution, learned beside masked letters.

The model gives a mean and a log-variance at every letter, hidden or not, and is scored by the
Gaussian likelihood, so that letters whose rate nobody could tell weigh little. The trap: the loss
of a step is a sum that the loop divides by the weight of its hidden letters; the tracks' mean is
multiplied by that weight, so that their share does not depend on how many letters are hidden.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import Rates
from orchid_genomics.model.orchid import Pointers
from orchid_genomics.train.objectives import HiddenLetters, Objective

Signal = Callable[[int, int, Sequence[int]], np.ndarray]
"""Values (B, L, T) of the rows of a step, from seed, step and rows; NaN where nothing is known."""


class LettersAndTracks(NamedTuple):
    """Hidden letters, and the tracks (B, L, T) of the same windows."""

    letters: HiddenLetters
    signal_BLT: Tensor

    @property
    def shown_BL(self) -> Tensor:
        return self.letters.shown_BL

    @property
    def mask_BL(self) -> Tensor | None:
        return self.letters.mask_BL

    @property
    def weights_BL(self) -> Tensor:
        return self.letters.weights_BL


class TrackedLetters:
    """An objective over letters, and tracks beside it.

    Parameters
    ----------
    letters : Objective
        What is predicted of the letters.
    signal : Signal
        The tracks of a step's rows, on the strand that they are read on.
    weights : sequence of float
        What a nat of each track counts in units of a nat of the letters.
    """

    def __init__(self, letters: Objective[Any], signal: Signal, weights: Sequence[float]) -> None:
        self.letters, self.signal = letters, signal
        self.weights = torch.tensor(weights)
        self.unit, self.validation = letters.unit, letters.validation

    def look_up(
        self, tokens_BL: np.ndarray, seed: int, step: int, rows: Sequence[int]
    ) -> tuple[np.ndarray]:
        """The tracks (B, L, T) of these rows."""
        return (self.signal(seed, step, rows),)

    def hide(
        self,
        tokens_BL: Tensor,
        seed: int,
        step: int | Tensor,
        rows: Tensor,
        given: Sequence[Tensor] = (),
    ) -> LettersAndTracks:
        """See `Objective.hide`; `given` is what `look_up` finds."""
        letters = self.letters.hide(tokens_BL, seed, step, rows)
        return LettersAndTracks(letters, given[0])

    def loss(self, outputs: Any, example: LettersAndTracks) -> Tensor:
        """The letters' loss, and weight times the mean nats a letter of each track times the weight
        of the hidden letters.
        """
        logits_BLV, (mean_BLT, log_variance_BLT) = outputs
        each_T = gaussian_nats(example.signal_BLT, mean_BLT, log_variance_BLT)
        # Moved once: a graph of a step may copy nothing from the host.
        self.weights = self.weights.to(each_T.device)
        tracks = (each_T * self.weights).sum()
        return self.letters.loss(logits_BLV, example.letters) + tracks * example.weights_BL.sum()


def gaussian_nats(signal_BLT: Tensor, mean_BLT: Tensor, log_variance_BLT: Tensor) -> Tensor:
    """Mean -log density of each track (T,) over letters with a value, less the constant."""
    known_BLT = ~signal_BLT.isnan()
    # In place of NaN, whose product with 0 would be NaN too.
    error_BLT = torch.where(known_BLT, signal_BLT, mean_BLT) - mean_BLT
    nats_BLT = (log_variance_BLT + error_BLT.square() * (-log_variance_BLT).exp()) / 2
    total_T = (nats_BLT * known_BLT).sum((0, 1))
    return total_T / known_BLT.sum((0, 1)).clamp(min=1)


class WithTracks(nn.Module):
    """A model as the loop trains it: letters and tracks from one pass; its state is the model's."""

    def __init__(self, model: OrchidModel) -> None:
        super().__init__()
        self.model = model

    @property
    def rates(self) -> Rates:
        """What predicts the tracks. Raises InputError for a model without any."""
        return self.model.rates()

    @property
    def encoder(self) -> Any:
        return self.model.encoder

    def encode(
        self,
        tokens_BL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Any:
        return self.model.encode_with_rates(tokens_BL, pointers)

    def state_dict(self, *words: Any, **more: Any) -> Any:
        return self.model.state_dict(*words, **more)

    def load_state_dict(self, *words: Any, **more: Any) -> Any:
        return self.model.load_state_dict(*words, **more)
