"""One step of training as a function of tensors: what is hidden, the gradients, the clipping.

The trap: on a GPU nothing between tokens and gradients may ask the device for a number, move
numbers to it or have a shape that depends on the data, or the step could not be recorded
(`train.replay`).
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from orchid_genomics.data.loader import Batch
from orchid_genomics.model.orchid import Orchid, Pointers
from orchid_genomics.train import optimizer as adamw
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import (
    Arrays,
    Given,
    LooksUp,
    Objective,
    Ready,
    cut_letters,
)
from orchid_genomics.train.optimizer import OptimizerRecipe


class Encodes(Protocol):
    """What a step asks of a model."""

    def encode(
        self,
        tokens_BL: Tensor,
        mask_BL: Tensor | None = None,
        pointers: Pointers | None = None,
    ) -> Any:
        """Outputs for codes (B, L) uint8; `mask_BL` is 1 at letters and 0 at padding. Pointers are
        given to an encoder that reads through them.
        """


class Part(NamedTuple, Generic[Ready]):
    """Rows made ready, with their pointers where the encoder reads through those."""

    example: Ready
    pointers: Pointers | None


class Step(Generic[Ready]):
    """A model, an objective and an optimizer, as the parts of one step.

    Parameters
    ----------
    model
        What is trained, on its device.
    objective
        A batch -> a loss.
    optimizer, seed
        How to train; chance is a function of the seed, the step and the row.
    ranks
        This process among those that train together.
    """

    def __init__(
        self,
        model: Encodes,
        objective: Objective[Ready],
        optimizer: OptimizerRecipe,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.objective, self.seed, self.ranks = objective, seed, ranks
        encoder = getattr(model, "encoder", None)
        self.searcher = encoder if isinstance(encoder, Orchid) and encoder.looks_up else None
        loss = _Loss(model, objective)
        self.largest_norm = optimizer.clip
        self.parameters = list(loss.parameters())
        self.optimizer = adamw.build(loss, optimizer)
        self.module = ranks.wrap(loss)

    def look_up(self, batch: Batch, parts: Sequence[Sequence[int]]) -> list[Arrays | None]:
        """What of each part's rows the tokens do not say, on the host; None where they say all.

        The objective's arrays, and then the pointers' if the encoder reads through them.
        """
        if isinstance(batch.prepared, list):
            return batch.prepared
        size, found = len(parts[0]), []
        for part, rows in enumerate(parts):
            tokens_BL = batch.tokens_BL[part * size : (part + 1) * size]
            arrays = None
            if isinstance(self.objective, LooksUp):
                arrays = self.objective.look_up(tokens_BL, self.seed, batch.step, rows)
            if self.searcher is not None:
                pointers = self._find_pointers(tokens_BL, batch.step, rows, arrays)
                arrays = (*(arrays or ()), *pointers)
            found.append(arrays)
        return found

    def ahead(
        self, parts: Sequence[Sequence[int]]
    ) -> Callable[[Batch], list[Arrays | None]] | None:
        """`look_up` for threads beside the loader, where it takes long; None where it does not.

        The search for pointers takes about as long on one core as the rest of a step on a GPU.
        """
        return None if self.searcher is None else lambda batch: self.look_up(batch, parts)

    @property
    def threads(self) -> int:
        """How many threads keep up with the steps."""
        return 4 if self.ranks.device.type == "cuda" else 1

    def _find_pointers(
        self, tokens_BL: np.ndarray, step: int, rows: Sequence[int], arrays: Arrays | None
    ) -> Arrays:
        """The pointers of what is shown of rows, which is hidden here as it is on the device."""
        if self.searcher is None:
            return ()
        host = torch.device("cpu")
        more = () if arrays is None else (tuple(on_device(each, host) for each in arrays),)
        tokens = torch.from_numpy(np.ascontiguousarray(tokens_BL))
        example = self.objective.hide(tokens, self.seed, step, torch.tensor(rows), *more)
        pointers = self.searcher.find_pointers(example.shown_BL, self.ranks.device)
        return tuple(None if each is None else each.numpy() for each in pointers)

    def examples(
        self,
        tokens_BL: Tensor,
        step: int | Tensor,
        parts: Sequence[Tensor],
        given: Sequence[Given | None],
    ) -> list[Part[Ready]]:
        """The parts of a batch, made ready.

        Parameters
        ----------
        tokens_BL
            Tokens of all parts, one after another.
        step
            The step's number from 0, or a tensor that holds it.
        parts
            The global numbers of each part's rows.
        given
            What `look_up` found for each part, on the device.
        """
        size, examples = len(parts[0]), []
        for part, rows in enumerate(parts):
            inside = tokens_BL[part * size : (part + 1) * size]
            own, pointers = given[part], None
            if own is not None and self.searcher is not None:
                split = len(own) - len(Pointers._fields)
                found: list[Any] = list(own[split:])
                own, pointers = own[:split], Pointers(*found)
            more = (own,) if isinstance(self.objective, LooksUp) else ()
            # Hidden in the whole window, of which a rank that shares it then takes its stretch.
            example = self.objective.hide(inside, self.seed, step, rows, *more)
            if self.ranks.shards is not None:
                example = cut_letters(example, self.ranks.shards.stretch(tokens_BL.shape[1]))
            examples.append(Part(example, pointers))
        return examples

    def gradients(self, examples: Sequence[Part[Ready]]) -> Tensor:
        """Leave the gradients of the mean over the targets of all rows, ranks and parts; that mean,
        nats.
        """
        # A batch may hold no target at all (N everywhere).
        weight = self.ranks.sum(_weight(examples)).clamp(min=1e-9)
        total = torch.zeros((), device=weight.device)
        for part, (example, pointers) in enumerate(examples):
            # Ranks average their gradients once a step, in the backward pass of the last part.
            last = part == len(examples) - 1
            with nullcontext() if last else self.ranks.alone(self.module):
                loss = self.module(example, pointers)
                # Ranks' gradients are averaged, while the loss is a sum: hence the factor `world`.
                (loss * (self.ranks.world / weight)).backward()
            # Summed on the device: to ask for the number would make the GPU wait at every part.
            total += loss.detach()
        return self.ranks.sum(total) / weight

    def clip(self) -> Tensor:
        """The norm of all gradients, which are scaled down to the largest that is allowed."""
        return nn.utils.clip_grad_norm_(self.parameters, self.largest_norm)


def on_device(array: np.ndarray | None, device: torch.device) -> Tensor | None:
    """An array as a tensor; None where there is none."""
    if array is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


class _Loss(nn.Module, Generic[Ready]):
    """Model and objective as one module, so that its forward is what is wrapped for many ranks."""

    def __init__(self, model: Encodes, objective: Objective[Ready]) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, example: Ready, pointers: Pointers | None) -> Tensor:
        # A model that is no encoder knows of none.
        given = () if pointers is None else (pointers,)
        outputs = self.model.encode(example.shown_BL, example.mask_BL, *given)
        return self.objective.loss(outputs, example)


def _weight(examples: Sequence[Part[Any]]) -> Tensor:
    """The weights of all targets, summed."""
    first, *others = (example.weights_BL.sum() for example, _ in examples)
    return sum(others, first)
