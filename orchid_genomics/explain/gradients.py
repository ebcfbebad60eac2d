"""Attribution by gradients: input x gradient, and integrated gradients with the error that is left.

The trap: one-hot columns sum to 1, so the part of a gradient that is the same for all four letters of a column means
nothing and is subtracted (Majdandzic et al. 2023, "Correcting gradient-based interpretations of deep neural networks
for genomics"); integrated gradients need no correction, for they multiply differences of columns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from orchid_genomics.explain.references import shuffled

STEPS, MOST_STEPS = 16, 256
REFERENCES = 4
"""Shuffles that integrated gradients start from."""


@dataclass(frozen=True)
class Attribution:
    """Attributions of N sequences, on the CPU.

    Attributes: `hypothetical` (N, 4, L), what each letter would contribute there; `projected` (N, L), what the letter
    that is there contributes (0 at N); `difference` (N,), f(sequence) - f(reference), and `error` (N,), how far the
    sum of `projected` is from it - both NaN for methods that promise no sum; `steps`, of the integral (0: none).
    """

    hypothetical: Tensor
    projected: Tensor
    difference: Tensor
    error: Tensor
    steps: int = 0

    @classmethod
    def of(cls, x_N4L: Tensor, hypothetical: Tensor, difference: Tensor | None = None, steps: int = 0) -> "Attribution":
        """From hypothetical attributions, with the error when there is a difference that they must sum to."""
        projected = (hypothetical * x_N4L.to(hypothetical)).sum(1)
        if difference is None:
            difference = torch.full((len(projected),), torch.nan)
        error = (projected.double().sum(1) - difference.double()).abs().to(projected.dtype)
        return cls(hypothetical, projected, difference, error, steps)


def input_x_gradient(model: nn.Module, x_N4L: Tensor, output: int = 0, batch: int = 16) -> Attribution:
    """The gradient of an output at the sequence, less its mean over the four letters; times the input.

    `model` maps (N, 4, L) to (N, T) (a `OneHot`), `output` is the column of T, `batch` how many sequences run at
    once. Cost: one forward and one backward pass a sequence.
    """
    parts = []
    for rows in x_N4L.split(batch):
        slope = _slope(model, rows, output)
        parts.append((slope - slope.mean(1, keepdim=True)).cpu())
    return Attribution.of(x_N4L.cpu(), torch.cat(parts))


def integrated_gradients(
    model: nn.Module,
    x_N4L: Tensor,
    references_NR4L: Tensor | None = None,
    output: int = 0,
    batch: int = 16,
    steps: int = STEPS,
    tolerance: float = 1e-3,
    most_steps: int = MOST_STEPS,
) -> Attribution:
    """The gradient averaged on the straight lines from references, times the difference (Sundararajan et al. 2017).

    Each integral is a Gauss-Legendre sum of `steps` gradients, doubled up to `most_steps` until the attributions of a
    sequence sum to f(sequence) - mean f(references) within `tolerance` of that; `error` holds what is left. The
    references default to dinucleotide shuffles; see `explain.references` for why not to a constant one.

    `model`, `output`, `batch` as in `input_x_gradient`; `batch` bounds the points of the lines that run at once.
    Cost: R x `steps` forward and backward passes a sequence (less than twice that in all when they are doubled).
    """
    if references_NR4L is None:
        references_NR4L = shuffled(x_N4L, REFERENCES)
    parts = []
    for x, references in zip(x_N4L.split(1), references_NR4L.to(x_N4L), strict=True):
        count = steps
        found = _integrated(model, x, references, output, batch, count)
        while (found.error > tolerance * found.difference.abs()).any() and 2 * count <= most_steps:
            count *= 2
            found = _integrated(model, x, references, output, batch, count)
        parts.append(found)
    return joined(parts)


def joined(parts: list[Attribution]) -> Attribution:
    """Attributions of several sequences as those of one batch; `steps` is the most that any took."""
    fields = ("hypothetical", "projected", "difference", "error")
    whole = (torch.cat([getattr(part, field) for part in parts]) for field in fields)
    return Attribution(*whole, steps=max(part.steps for part in parts))


def _integrated(
    model: nn.Module, x: Tensor, references_R4L: Tensor, output: int, batch: int, steps: int
) -> Attribution:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alphas = torch.as_tensor((nodes + 1) / 2).to(x).repeat(len(references_R4L))
    shares = torch.as_tensor(weights / 2 / len(references_R4L)).to(x).repeat(len(references_R4L))
    which = torch.arange(len(references_R4L), device=x.device).repeat_interleave(steps)
    hypothetical, before = torch.zeros_like(x), []
    with torch.no_grad():
        after = model(x)[:, output]
        for some in references_R4L.split(batch):
            before.append(model(some)[:, output])
    for alpha, share, rows in zip(*(part.split(batch) for part in (alphas, shares, which)), strict=True):
        reference = references_R4L[rows]
        slope = _slope(model, reference + alpha[:, None, None] * (x - reference), output) * share[:, None, None]
        hypothetical += (slope - (reference * slope).sum(1, keepdim=True)).sum(0)
    hypothetical = hypothetical * (x.sum(1, keepdim=True) > 0)  # an N stays N in the references
    return Attribution.of(x.cpu(), hypothetical.cpu(), (after - torch.cat(before).mean()).cpu(), steps)


def _slope(model: nn.Module, x_N4L: Tensor, output: int) -> Tensor:
    """The gradient of an output by its input, (N, 4, L)."""
    x_N4L = x_N4L.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(model(x_N4L)[:, output].sum(), x_N4L)[0]
