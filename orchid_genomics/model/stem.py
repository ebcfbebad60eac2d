"""The motif stem: filters of many letters, read on both strands, that stand beside the embedding.

The trap is the strand: channel c reads a window by its weights and c' by their reverse complement,
so taps are odd in number (a window has a middle) and GELU comes before the butterfly.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.model.strands import Strands, halves
from orchid_genomics.ops.products import read_table
from orchid_genomics.sequence.alphabet import Alphabet


class Stem(nn.Module):
    """Motif features, (B, V, L) one-hot letters -> (B, D, L) in the paired basis.

    A feature is GELU(<weights, the window around a letter> + bias). N, MASK and padding hold no
    evidence for any letter: they count 0, and a window that they fill gives GELU(bias).

    Parameters
    ----------
    taps : int
        Letters of a window, odd.
    width : int
        Features; with strand pairs half as many filters, each read on both strands.
    strands : str
        Of the encoder, see `model.strands`.
    letters : Alphabet
        With a complement where `strands` is "equivariant".
    """

    complement: Tensor | None

    def __init__(self, taps: int, width: int, strands: Strands, letters: Alphabet) -> None:
        super().__init__()
        filters = width // halves(strands)
        # A letter a tap is 1 and the others are 0, so features begin at a spread of 1.
        self.weight = nn.Parameter(torch.randn(filters, letters.count, taps) / math.sqrt(taps))
        self.bias = nn.Parameter(torch.zeros(filters))
        complement = None
        if width > filters:
            complement = torch.tensor(letters.complement_codes[: letters.count])
        # Beside the weights: a list would be moved to their device at every call.
        self.register_buffer("complement", complement, persistent=False)

    @torch.no_grad()
    def begin_at(self, motifs_NVK: Tensor, word: int = 0) -> None:
        """Put motifs in place of the first random filters, half of them at most, as long as those.

        The others may begin as words, within the letters in the middle alone: a random filter of
        many letters tells short words apart badly, and is what finds a long motif.

        Parameters
        ----------
        motifs_NVK : Tensor
            Weights (N, V, taps), such as log-odds, of which only the shape counts.
        word : int
            Letters of the others, odd; 0: all.
        """
        _, V, K = self.weight.shape
        motifs_NVK = motifs_NVK[: len(self.weight) // 2]
        norm = motifs_NVK.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-9)
        beside = max(0, (K - word) // 2) if word else 0
        # As long as before, so that features still begin at a spread of 1.
        self.weight.mul_(math.sqrt(K / (K - 2 * beside)))
        self.weight[..., :beside] = 0
        self.weight[..., K - beside :] = 0
        self.weight[: len(motifs_NVK)] = motifs_NVK * (math.sqrt(V) / norm)

    def forward(
        self, letters_BVL: Tensor, gelu: Callable[[Tensor], Tensor] = functional.gelu
    ) -> Tensor:
        """Features (B, D, L), circular over exactly L; `gelu` may be a module (`explain`)."""
        windows_BWL, weight_DW, bias_D = self.products(letters_BVL)
        if windows_BWL.is_cuda:
            # Its gradient is a float32 sum over all letters, which a GPU must take in pieces.
            return gelu(read_table(weight_DW, windows_BWL) + bias_D[:, None])
        weight_BDW = weight_DW.expand(len(windows_BWL), -1, -1)
        return gelu(torch.baddbmm(bias_D[:, None], weight_BDW, windows_BWL))

    def products(self, letters_BVL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Windows (B, W, L), and the filters (D, W) and biases (D,) of both strands.

        One product over the windows written out takes half the time of a convolution (fifteen taps,
        16 to 32 rows of 240 letters, forward and backward on one core).
        """
        windows_BWL = self._windows(letters_BVL)
        filters: list[Tensor] = [self.weight]
        bias_D: Tensor = self.bias
        if self.complement is not None:
            filters.append(self.weight.flip(-1)[:, self.complement])
            bias_D = self.bias.repeat(2)
        return windows_BWL, torch.cat(filters).reshape(-1, windows_BWL.shape[1]), bias_D

    def _windows(self, letters_BVL: Tensor) -> Tensor:
        """The letters around each letter, (B, V * taps, L)."""
        B, _, L = letters_BVL.shape
        _, V, K = self.weight.shape
        around = (torch.arange(L + K - 1, device=letters_BVL.device) - K // 2) % L
        wrapped = letters_BVL[:, :V].index_select(2, around)
        return wrapped.unfold(2, K, 1).transpose(2, 3).reshape(B, V * K, L)
