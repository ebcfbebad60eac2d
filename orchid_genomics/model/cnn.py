"""A small convolutional network as a head over letters: the alternative that most papers compare
with.

Two convolutions with pooling, then the maximum over places, or those of parts of a row side by
side, as an encoder's head has them. Strand-blind sets: the better of both strands' maxima. The
trap: rows are padded in training and not in prediction, so padding is cut or masked, and a row
answers the same.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.answers.supervised_tasks import SupervisedTask, TaskName, task_of
from orchid_genomics.model.heads import (
    HEADS,
    HeadRecipe,
    Strand,
    add_units,
    check_labels,
    check_parts,
    in_units,
)
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import POOLING, Maxima, PoolParts
from orchid_genomics.sequence import DNA

POOLED = 4
"""Places of which the first maximum is taken."""


class CNNRecipe(HeadRecipe):
    """A small CNN: it reads the letters themselves, and no encoder."""

    kind: Literal["cnn"] = "cnn"
    task: TaskName = "binary"
    labels: tuple[str, ...] = Field(default=("0", "1"), min_length=1)
    """As those of a pooled head; with a `bin` the tracks."""
    strand: Strand = "both"
    """both: the same answer for the other strand; forward: sequences are read on their own."""
    filters: int = Field(default=64, gt=0, le=1 << 12)
    taps: int = Field(default=15, gt=0, le=1024)
    """Letters that a filter of the first layer reads."""
    stretches: int = Field(default=1, gt=0, le=1024)
    """Equal parts of a sequence whose maxima stand side by side; 1: the whole sequence."""
    middles: int = Field(default=0, ge=0, le=16)
    """How often a part about the middle is halved, whose maxima stand beside those of the whole."""
    bin: int = Field(default=0, ge=0, le=1 << 24)
    """Letters of one number of a track, on the strand as read; 0: one answer a sequence."""

    _counted = model_validator(mode="after")(check_labels)

    _parted = model_validator(mode="after")(check_parts)

    @property
    def supervised(self) -> SupervisedTask:
        """What the answers are, and how they are learned and scored."""
        return task_of(self.task, self.labels, self.bin)

    @property
    def outputs(self) -> int:
        """Numbers a sequence, or a bin."""
        return len(self.labels) if self.bin else self.supervised.outputs


def cnn_encoder() -> OrchidRecipe:
    """The encoder beside a CNN in its folder: no layers, and never run."""
    return OrchidRecipe(width=2, depth=0)


@HEADS.register("cnn")
class CNN(nn.Module):
    """Letters (B, V, L) -> outputs (B, K), logits or numbers in the labels' own units.

    With a `bin`, outputs (B, L // bin, K) of the strand as read: the maxima of bins, then seven of
    them side by side.

    Parameters
    ----------
    recipe : CNNRecipe
        Its labels say how many outputs K.
    encoder : OrchidRecipe
        Of the folder; the letters alone are read.
    """

    Recipe = CNNRecipe
    reads_letters: ClassVar[bool] = True
    shift: Tensor
    scale: Tensor

    def __init__(self, recipe: CNNRecipe, encoder: OrchidRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        # A row of PAD alone has no maxima.
        self.pools = not recipe.bin
        width, taps = recipe.filters, recipe.taps
        self.first = nn.Conv1d(DNA.count, width, taps, padding=taps // 2)
        self.second = nn.Conv1d(width, width, 7, padding=3)
        # Of one strand at a time: its features are no strand pairs.
        self.largest = Maxima(1, False, recipe.stretches, recipe.middles)
        self.out = nn.Linear(self.largest.width(width), recipe.outputs)
        add_units(self, recipe.task, recipe.outputs)

    def forward(
        self, letters_BVL: Tensor, mask_BL: Tensor | None = None, parts: PoolParts | None = None
    ) -> Tensor:
        """Outputs of rows that may end in padding: they are the same however far a row is padded.

        Parameters
        ----------
        letters_BVL : Tensor
            One-hot or mixed letters, V as in the alphabet's codes.
        mask_BL : Tensor, optional
            1 at letters and 0 at the padding that may end a row.
        parts : PoolParts, optional
            Modules in place of what is not linear.
        """
        parts = parts or POOLING
        if mask_BL is None:
            mask_BL = letters_BVL.new_ones(len(letters_BVL), letters_BVL.shape[-1])
        letters_B = mask_BL.sum(1).long()
        longest = letters_BVL.shape[-1]
        # Bins are of the width: padding that all rows have must not take part. Maxima are the same
        # without, and a GPU need not be asked for a number.
        if self.recipe.bin or not letters_BVL.is_cuda:
            longest = int(letters_B.max()) if len(letters_B) else 0
        x_BCL, real_BL = letters_BVL[:, : DNA.count, :longest], mask_BL[:, :longest]
        if self.recipe.bin:
            out_BNK = self.out(self._along(x_BCL, real_BL, parts).transpose(1, 2))
            return in_units(self, out_BNK)
        features_BC = self._features(x_BCL, real_BL, parts)
        if self.recipe.strand == "both":
            other_BCL = _other_strand(x_BCL, letters_B)
            both_BC2 = torch.stack((features_BC, self._features(other_BCL, real_BL, parts)), -1)
            features_BC = parts.largest(both_BC2)
        return in_units(self, self.out(features_BC))

    def _along(self, x_BCL: Tensor, real_BL: Tensor, parts: PoolParts) -> Tensor:
        """(B, filters, bins); bins that are not full of letters are none."""
        bin, real_B1L = self.recipe.bin, real_BL[:, None]
        # The minimum over a bin: 1 where all of it is letters.
        full_B1N = -functional.max_pool1d(-real_B1L, bin)
        # Zero in the padding again, which the bias has filled.
        h = parts.largest_of(parts.relu(self.first(x_BCL)) * real_B1L, bin) * full_B1N
        return parts.relu(self.second(h)) * full_B1N

    def _features(self, x_BCL: Tensor, real_BL: Tensor, parts: PoolParts) -> Tensor:
        """(B, C) of one strand: filters, and parts of the row."""
        beyond = -x_BCL.shape[-1] % POOLED
        # Zeros are as good as nothing to the maximum of what is never below them.
        real_B1L = functional.pad(real_BL[:, None], (0, beyond))
        h = functional.pad(parts.relu(self.first(x_BCL)), (0, beyond)) * real_B1L
        h = parts.relu(self.second(parts.largest_of(h, POOLED)))
        real_B1M = functional.max_pool1d(real_B1L, POOLED)
        return self.largest(h, real_B1M[:, 0], parts)


def _other_strand(x_BCL: Tensor, letters_B: Tensor) -> Tensor:
    """The other strand of every row, padded at its end as before."""
    B, C, L = x_BCL.shape
    at_BL = letters_B[:, None] - 1 - torch.arange(L, device=x_BCL.device)
    # A letter's complement stands as far from the end of the alphabet as it from the beginning.
    turned_BCL = x_BCL.flip(1).gather(2, at_BL.clamp(min=0)[:, None].expand(B, C, L))
    return turned_BCL * (at_BL >= 0)[:, None]
