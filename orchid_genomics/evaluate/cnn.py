"""A small convolutional network, the alternative that most papers compare with, trained by the same
loop.

Two convolutions with pooling, then the maximum over places; where sequences are read on their own
strand and are of one length, sixteen stretches side by side in place of one maximum. Strand-blind
sets: the better of both strands' maxima. The trap: rows are padded in training and not in
prediction, so padding is cut or masked, and a row answers the same.
"""

import torch
from torch import Tensor, nn

from orchid_genomics.model.sequence_parallel import Shards
from orchid_genomics.sequence import CODE, DNA

STRETCHES = 16


class _Plain(nn.Module):
    """What the loop asks of an encoder."""

    def prepare(
        self, checkpointing: bool, activations: torch.dtype, shards: Shards | None = None
    ) -> None:
        """Nothing to prepare."""


class SmallCNN(nn.Module):
    """Tokens (B, L) -> outputs (B, K), logits or numbers in units of the training labels.

    With a `bin`, outputs (B, L // bin, K) of the strand as read: the maxima of bins, then seven of
    them side by side.
    """

    def __init__(
        self, outputs: int, strand: str, anchored: bool, shift: Tensor, scale: Tensor, bin: int = 0
    ) -> None:
        super().__init__()
        self.encoder = _Plain()
        self.strand = strand
        # Where rows are read alike and of one length, a place means something; else it does not.
        self.anchored = anchored and strand == "forward"
        self.bin = bin
        self.first = nn.Conv1d(4, 64, 15, padding=7)
        self.second = nn.Conv1d(64, 64, 7, padding=3)
        self.out = nn.Linear(64 * (STRETCHES if self.anchored else 1), outputs)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Outputs of rows that may end in PAD, which is no letter: they are the same however far a
        row is padded.
        """
        codes_BL = (tokens_BL & CODE).long()
        letters_B = (codes_BL != DNA.pad).sum(1)
        # Stretches are shares of the width: padding that all rows have must not take part.
        codes_BL = codes_BL[:, : int(letters_B.max())]
        if self.bin:
            return self.out(self._along(codes_BL).transpose(1, 2)) * self.scale + self.shift
        features_BC = self._features(codes_BL)
        if self.strand == "both":
            other_BC = self._features(_other_strand(codes_BL, letters_B))
            features_BC = torch.maximum(features_BC, other_BC)
        return self.out(features_BC) * self.scale + self.shift

    def encode(self, tokens_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """The same; the mask says nothing that the tokens do not."""
        return self.forward(tokens_BL)

    def _along(self, codes_BL: Tensor) -> Tensor:
        """(B, 64, bins); bins that are not full of letters are none."""
        real_BCL = (codes_BL != DNA.pad)[:, None].float()
        x_BCL = nn.functional.one_hot(codes_BL, DNA.size)[..., :4].float().transpose(1, 2)
        # The minimum over a bin: 1 where all of it is letters.
        full = -nn.functional.max_pool1d(-real_BCL, self.bin)
        # Zero in the padding again, which the bias has filled.
        h = nn.functional.max_pool1d(self.first(x_BCL).relu() * real_BCL, self.bin) * full
        return self.second(h).relu() * full

    def _features(self, codes_BL: Tensor) -> Tensor:
        real_BCL = (codes_BL != DNA.pad)[:, None].float()
        x_BCL = nn.functional.one_hot(codes_BL, DNA.size)[..., :4].float().transpose(1, 2)
        # Zero in the padding again, which the bias has filled.
        h = nn.functional.max_pool1d(self.first(x_BCL).relu() * real_BCL, 4, ceil_mode=True)
        h = self.second(h).relu() * nn.functional.max_pool1d(real_BCL, 4, ceil_mode=True)
        if self.anchored:
            return nn.functional.adaptive_max_pool1d(h, STRETCHES).flatten(1)
        return h.amax(2)


def _other_strand(codes_BL: Tensor, letters_B: Tensor) -> Tensor:
    """The other strand of every row, padded at its end as before."""
    at_BL = letters_B[:, None] - 1 - torch.arange(codes_BL.shape[1], device=codes_BL.device)
    complement = torch.tensor(DNA.complement_codes, device=codes_BL.device)
    letters_BL = complement[codes_BL.gather(1, at_BL.clamp(min=0))]
    return torch.where(at_BL >= 0, letters_BL, DNA.pad)
