"""Learning answers: which rows a step reads, how an answer is scored, and what a model says of many
rows.

The trap: rows of unequal length are padded to their transform length and masked, in training and
prediction alike; a model never sees a row padded further than the row's own length asks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.model.orchid import transform_length
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.sequence.hashing import Stream
from orchid_genomics.train.objectives import fraction, hash_integers


class Examples(NamedTuple):
    """A batch made ready: what the model sees, its answers, the weight of each row (0: only fills
    the batch).
    """

    shown_BL: Tensor
    target: Tensor
    weights_BL: Tensor
    mask_BL: Tensor | None


class Supervised:
    """The objective over a labelled set; `hide` looks up the answers of the rows that `Epochs`
    reads.
    """

    unit = "row"

    def __init__(
        self,
        data: LabelledSet,
        epochs: Epochs,
        class_weights: np.ndarray | None = None,
        noise: float = 0.0,
        validation: str = "validation_loss",
    ) -> None:
        self.data, self.epochs, self.noise, self.validation = data, epochs, noise, validation
        self.shift, self.scale = units(data)
        self.class_weights = class_weights

    def hide(self, tokens_BL: Tensor, seed: int, step: int, rows: Tensor) -> Examples:
        """Tokens (B, L) uint8 of some rows of a step, with `noise` of their letters shown as MASK."""
        examples, weights = self.epochs.examples(seed, step, rows.cpu().numpy())
        device = tokens_BL.device
        codes = tokens_BL & CODE
        if self.noise:
            place = torch.arange(codes.shape[1], device=device)
            key_BL = hash_integers(Stream.INPUT_NOISE, seed, step, rows[:, None], place[None])
            hidden = fraction(key_BL) < self.noise
            codes = torch.where(hidden & (codes < DNA.count), DNA.mask, codes)
        real = codes != DNA.pad
        target = self.data.target[examples]
        if self.class_weights is not None and target.ndim == 1:
            weights = weights * self.class_weights[target]
        if self.data.bin:
            weights = weights * np.isfinite(target).any(2).sum(1)
        mask = None if bool(real.all()) else real.to(torch.float32)
        return Examples(
            codes.to(torch.uint8),
            torch.from_numpy(np.ascontiguousarray(target)).to(device),
            torch.from_numpy(weights.astype(np.float32)).to(device),
            mask,
        )

    def loss(self, outputs: Tensor, batch: Examples) -> Tensor:
        """The sum over rows (tracks: bins) of weight times nats, or times squared error in units of
        the spread.
        """
        each = row_losses(self.data, outputs.float(), batch.target, self.scale, self.class_weights)
        if self.data.bin:
            return (each * (batch.weights_BL > 0)[:, None]).sum()
        return (each * batch.weights_BL).sum()


def row_losses(
    data: LabelledSet,
    outputs: Tensor,
    target: Tensor,
    scale: np.ndarray,
    weights: np.ndarray | None = None,
) -> Tensor:
    """The loss of every row (B,), or of every bin (B, P); 0 where a track has no number.

    `weights` (2, K) of 0 and 1 of every label: of a multi-label set alone, the others' are those of
    rows.
    """
    if data.task == "binary":
        return functional.binary_cross_entropy_with_logits(
            outputs[:, 0], target.float(), reduction="none"
        )
    if data.task == "multiclass":
        return functional.cross_entropy(outputs, target, reduction="none")
    if data.bin:
        target = target[:, : outputs.shape[1]]
        outputs = outputs[:, : target.shape[1]]
    known = torch.isfinite(target)
    target = torch.where(known, target, 0.0)
    if data.task == "multilabel":
        each = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        if weights is not None:
            zero, one = torch.from_numpy(weights).to(each)
            each = each * torch.where(target > 0, one, zero)
    else:
        each = ((outputs - target) / torch.from_numpy(scale).to(outputs)).square()
    return (each * known).sum(-1) / known.sum(-1).clamp(min=1)


def units(data: LabelledSet) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (K,) of the training numbers; 0 and 1 where answers are no numbers."""
    if data.task != "regression":
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    train = data.target[data.rows("train")].reshape(-1, data.target.shape[-1])
    return np.nanmean(train, 0).astype(np.float32), np.maximum(np.nanstd(train, 0), 1e-6).astype(
        np.float32
    )


def balanced(data: LabelledSet) -> np.ndarray:
    """Weights that give every class the same say in the loss, (classes,), or 0 and 1 of every
    label, (2, K).

    They average 1 over training rows. Raises RecipeError for answers that are no classes.
    """
    if data.bin or data.task == "regression":
        found = "balanced, for numbers" if data.task == "regression" else "balanced, for tracks"
        raise RecipeError("training.class_weights", found, '"none", or a set of classes or labels')
    target = data.target[data.rows("train")]
    if data.task == "multilabel":
        counts = np.stack([(target == 0).sum(0), (target > 0).sum(0)])
    else:
        counts = np.bincount(target, minlength=len(data.labels))
    return (len(target) / (np.maximum((counts > 0).sum(0), 1) * np.maximum(counts, 1))).astype(
        np.float32
    )


def padded_lengths(data: LabelledSet) -> np.ndarray:
    """The transform length of every row (N,)."""
    return np.array([transform_length(int(length)) for length in data.lengths], np.int64)


@torch.inference_mode()
def predict(
    model: nn.Module, tokens: Sequence[np.ndarray], device: torch.device, letters: int = 1 << 15
) -> np.ndarray:
    """A model's outputs for every sequence, in order: (n, K), or tracks (n, P, T) with NaN beyond a
    row's end.

    Batches of one length hold about `letters` letters; outputs do not depend on them.
    """
    lengths = np.fromiter((len(row) for row in tokens), np.int64, len(tokens))
    found: list[np.ndarray | None] = [None] * len(tokens)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        size = max(1, letters // int(length))
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            batch = torch.from_numpy(np.stack([tokens[row] for row in some])).to(device)
            for row, out in zip(some, model(batch).float().cpu().numpy(), strict=True):
                found[row] = out
    if found and found[0].ndim == 2:
        longest = max(out.shape[0] for out in found)
        return np.stack(
            [
                np.pad(out, ((0, longest - len(out)), (0, 0)), constant_values=np.nan)
                for out in found
            ]
        )
    return np.stack(found) if found else np.zeros((0, 1), np.float32)
