"""Attribution by one gradient: input x gradient, corrected for what one-hot columns have in common.

The trap: one-hot columns sum to 1, so the part of a gradient that is the same for all four letters
of a column means nothing and is subtracted (Majdandzic et al. 2023, "Correcting gradient-based
interpretations of deep neural networks for genomics"). Methods that multiply differences of columns
need no such correction.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Attribution:
    """Attributions of N sequences, on the CPU.

    Attributes
    ----------
    hypothetical : Tensor
        (N, 4, L): what each letter would contribute there.
    projected : Tensor
        (N, L): what the letter that is there contributes; 0 at N.
    difference : Tensor
        (N,): f(sequence) - f(reference); NaN for methods that promise no sum.
    error : Tensor
        (N,): how far the sum of `projected` is from `difference`; NaN as there.
    steps : int
        Gradients of an integral, or 0.
    """

    hypothetical: Tensor
    projected: Tensor
    difference: Tensor
    error: Tensor
    steps: int = 0

    @classmethod
    def of(
        cls, x_N4L: Tensor, hypothetical: Tensor, difference: Tensor | None = None, steps: int = 0
    ) -> "Attribution":
        """From hypothetical attributions, with the error when there is a difference that they must
        sum to.

        Those of a column without a letter become 0.
        """
        hypothetical = hypothetical * (x_N4L.sum(1, keepdim=True) > 0)
        projected = (hypothetical * x_N4L.to(hypothetical)).sum(1)
        if difference is None:
            difference = torch.full((len(projected),), torch.nan)
        difference = difference.to(projected)
        # In float64, for the two are nearly equal.
        error = (projected.double().sum(1) - difference.double()).abs().to(projected)
        return cls(hypothetical, projected, difference, error, steps)


def input_x_gradient(
    model: nn.Module, x_N4L: Tensor, output: int = 0, batch: int = 16
) -> Attribution:
    """The gradient of an output at the sequence, less its mean over the four letters; times the
    input.

    Parameters
    ----------
    model : nn.Module
        Maps (N, 4, L) to (N, T), as a `OneHot` does.
    x_N4L : Tensor
        One-hot sequences.
    output : int
        The column of T.
    batch : int
        Sequences that go through the model at once.

    Returns
    -------
    Attribution
        Without a difference: a gradient promises no sum. Cost: one forward and one backward pass a
        sequence.
    """
    parts = []
    for rows in x_N4L.split(batch):
        slope = gradient_of(model, rows, output)
        parts.append((slope - slope.mean(1, keepdim=True)).cpu())
    return Attribution.of(x_N4L.cpu(), torch.cat(parts))


def concatenate(parts: list[Attribution]) -> Attribution:
    """Attributions of several sequences as one batch; `steps` is the most that any took."""
    return Attribution(
        hypothetical=torch.cat([part.hypothetical for part in parts]),
        projected=torch.cat([part.projected for part in parts]),
        difference=torch.cat([part.difference for part in parts]),
        error=torch.cat([part.error for part in parts]),
        steps=max(part.steps for part in parts),
    )


def hold_pointers(model: nn.Module, x_14L: Tensor) -> AbstractContextManager[None]:
    """Inside, a model that looks copies up reads references through the pointers of one sequence.

    Without that nothing sums: pointers have no gradient, and those of a reference are others.
    """
    hold = getattr(model, "hold", None)
    return nullcontext() if hold is None else hold(x_14L)


def gradient_of(model: nn.Module, x_N4L: Tensor, output: int) -> Tensor:
    """The gradient of an output by its input, (N, 4, L)."""
    # A leaf of its own, so that the caller's tensor is left alone.
    x_N4L = x_N4L.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(model(x_N4L)[:, output].sum(), x_N4L)[0]
