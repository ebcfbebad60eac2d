"""A small convolutional network, the alternative that most papers compare with, trained by the same loop.

Two convolutions with pooling, then the maximum over places; where sequences are read on their own strand and are of one
length, sixteen stretches side by side in place of one maximum. Strand-blind sets: the better of both strands' maxima.
"""

import torch
from torch import Tensor, nn

from orchid_genomics.sequence import CODE, DNA

STRETCHES = 16


class _Plain(nn.Module):
    """What the loop asks of an encoder."""

    def prepare(self, checkpointing: bool, activations: torch.dtype) -> None:
        """Nothing to prepare."""


class SmallCNN(nn.Module):
    """Tokens (B, L) -> outputs (B, K), logits or numbers in units of the training labels."""

    def __init__(self, outputs: int, strand: str, anchored: bool, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.encoder, self.strand, self.anchored = _Plain(), strand, anchored and strand == "forward"
        self.first = nn.Conv1d(4, 64, 15, padding=7)
        self.second = nn.Conv1d(64, 64, 7, padding=3)
        self.out = nn.Linear(64 * (STRETCHES if self.anchored else 1), outputs)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        codes = (tokens_BL & CODE).long()
        table = torch.zeros(DNA.size, 4, device=codes.device)
        table[:4] = torch.eye(4, device=codes.device)
        x_BCL = table[codes].transpose(1, 2)
        found = self._features(x_BCL)
        if self.strand == "both":
            found = torch.maximum(found, self._features(x_BCL.flip(1, 2)))  # A C G T reversed is T G C A
        return self.out(found) * self.scale + self.shift

    def encode(self, tokens_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """The same; padding is no letter, and reads as zeros."""
        return self.forward(tokens_BL)

    def _features(self, x_BCL: Tensor) -> Tensor:
        h = nn.functional.max_pool1d(self.first(x_BCL).relu(), 4, ceil_mode=True)
        h = self.second(h).relu()
        pooled = nn.functional.adaptive_max_pool1d(h, STRETCHES) if self.anchored else h.amax(2, keepdim=True)
        return pooled.flatten(1)
