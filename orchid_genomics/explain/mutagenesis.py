"""In-silico mutagenesis: every substitution of a region, as the change of the target.

The trap: effects of the letter that is there are 0 by definition, so the effects of a position are
centred over its four letters before they stand beside gradients (`centre`); the raw effects are
what is stored.
"""

import torch
from torch import Tensor, nn

from orchid_genomics.errors import InputError
from orchid_genomics.terminal import within_job


def mutate(
    model: nn.Module,
    x_N4L: Tensor,
    start: int = 0,
    end: int | None = None,
    *,
    output: int = 0,
    batch: int = 32,
) -> Tensor:
    """The change of an output with every substitution of a region, one at a time.

    Parameters
    ----------
    model : nn.Module
        Maps (N, 4, L) to (N, T), as a `OneHot` does.
    x_N4L : Tensor
        One-hot sequences.
    start, end : int
        The region of R letters that are substituted, 0-based half-open.
    output : int
        The column of T.
    batch : int
        Sequences that run at once, which bounds the memory.

    Returns
    -------
    Tensor
        f(substituted) - f(sequence), (N, 4, R) on the CPU: 0 for the letter that is there; a column
        without a letter (N) is substituted by all four. Cost: three forward passes a letter.

    Raises
    ------
    InputError
        For a region outside the sequence.
    """
    start, end = region_of(x_N4L, start, end)
    effects = []
    with torch.no_grad():
        for x_4L in x_N4L:
            before = model(x_4L[None])[0, output]
            effects_4R = torch.zeros(4, end - start, dtype=before.dtype)
            letters, positions = (x_4L[:, start:end] != 1).nonzero(as_tuple=True)
            done = within_job("substitutions of a region", len(letters))
            for some, where in zip(letters.split(batch), positions.split(batch), strict=True):
                after = model(substitute(x_4L, some, where + start))[:, output]
                effects_4R[some.cpu(), where.cpu()] = (after - before).cpu()
                done(len(some))
            effects.append(effects_4R)
    return torch.stack(effects)


def region_of(x_N4L: Tensor, start: int, end: int | None) -> tuple[int, int]:
    """The ends of a region. Raises InputError when it does not lie within the sequence."""
    L = x_N4L.shape[-1]
    end = L if end is None else end
    if not 0 <= start < end <= L:
        raise InputError("region", f"{start} to {end}", f"0-based half-open, within 0 to {L}")
    return start, end


def substitute(x_4L: Tensor, letters_M: Tensor, positions_M: Tensor) -> Tensor:
    """Copies (M, 4, L) of a sequence, the m-th with letter `letters_M[m]` at `positions_M[m]`."""
    mutants = x_4L.repeat(len(letters_M), 1, 1)
    row = torch.arange(len(letters_M), device=x_4L.device)
    mutants[row, :, positions_M] = 0
    mutants[row, letters_M, positions_M] = 1
    return mutants


def centre(effects_N4R: Tensor) -> Tensor:
    """Effects less their mean over the four letters: hypothetical attributions, comparable to
    gradients.
    """
    return effects_N4R - effects_N4R.mean(1, keepdim=True)
