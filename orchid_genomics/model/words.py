"""What short words say by themselves: a weight for every word of so many letters, summed over a
row.

It is the k-mer regression as a part of a head, so that an answer may hold both. The trap is
attributions: counts are products of letters, so they are taken from one-hot letters and have
slopes, and their rule is in `explain.rules`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import every_reverse_code

SCALE = 10.0
"""Of counts over the root of their number: weights of any length of rows are of one size."""


def word_counts(x_B4L: Tensor, letters: int, gap: int) -> Tensor:
    """How often each word stands in one-hot letters, (B, 4**letters), the first letter most
    significant, as `sequence.kmers.gapped_codes`; a polynomial of degree `letters` of them.
    """
    B, _, L = x_B4L.shape
    left = letters // 2
    places = max(L - letters - gap + 1, 0)
    before_BWN = _words_at(x_B4L, 0, left, places)
    after_BWN = _words_at(x_B4L, left + gap, letters - left, places)
    return torch.bmm(before_BWN, after_BWN.transpose(1, 2)).reshape(B, -1)


def _words_at(x_B4L: Tensor, start: int, letters: int, places: int) -> Tensor:
    """Which word (B, 4**letters, places) stands so many letters after each place."""
    words = x_B4L.new_ones(len(x_B4L), 1, places)
    for at in range(start, start + letters):
        words = (words[:, :, None] * x_B4L[:, None, :, at : at + places]).flatten(1, 2)
    return words


class Words(nn.Module):
    """Sums (B, K) of the weights of the words of a row.

    A word is `letters` letters with a gap of `gap` others after the first half of them. Words with
    an N, MASK or padding are not counted, none runs round a row's end, and counts are divided by
    the root of the number of places that a word may stand at.

    Parameters
    ----------
    letters : int
        Letters that count, at most 8.
    gap : int
        Letters of the gap.
    outputs : int
        K.
    both : bool
        Whether a word and its reverse complement share their weight: the mean of the two.
    """

    reverse: Tensor | None

    def __init__(self, letters: int, gap: int, outputs: int, both: bool) -> None:
        super().__init__()
        self.letters, self.gap = letters, gap
        self.weight = nn.Parameter(torch.zeros(outputs, DNA.count**letters))
        reverse = torch.from_numpy(every_reverse_code(letters)) if both else None
        self.register_buffer("reverse", reverse, persistent=False)

    def forward(
        self,
        letters_BVL: Tensor,
        mask_BL: Tensor | None = None,
        counts: Callable[[Tensor, int, int], Tensor] = word_counts,
    ) -> Tensor:
        """Sums (B, K) over one-hot letters (B, V, L), A C G T first; `mask_BL` is 1 at letters.

        `counts` may be a module (`explain`).
        """
        weight: Tensor = self.weight
        if self.reverse is not None:
            weight = (weight + weight[:, self.reverse]) / 2
        B, _, L = letters_BVL.shape
        counts_BW = counts(letters_BVL[:, : DNA.count], self.letters, self.gap)
        size_B = torch.full((B,), L, device=weight.device) if mask_BL is None else mask_BL.sum(1)
        places_B = (size_B - self.letters - self.gap + 1).clamp(min=1).to(counts_BW.dtype)
        # A product of all rows may round a row by its batch (see `pooling`): a sum does not.
        sums_BK = (counts_BW[:, None] * weight.to(counts_BW.dtype)).sum(-1)
        return sums_BK * (SCALE / places_B.sqrt())[:, None]
