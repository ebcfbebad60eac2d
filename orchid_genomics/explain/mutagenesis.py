"""In-silico mutagenesis: every substitution of a region, as the change of the target.

The trap: effects of the letter that is there are 0 by definition, so the effects of a position are
centred over its four letters before they stand beside gradients (`centred`); the raw effects are
what is stored.
"""

import torch
from torch import Tensor, nn

from orchid_genomics.errors import InputError


def mutate(
    model: nn.Module,
    x_N4L: Tensor,
    start: int = 0,
    end: int | None = None,
    output: int = 0,
    batch: int = 32,
) -> Tensor:
    """f(sequence with one letter substituted) - f(sequence), for letters `start` to `end` (0-based
    half-open).

    Returns (N, 4, end - start) on the CPU: 0 for the letter that is there; a column without a
    letter (N) is substituted by all four. `model` maps (N, 4, L) to (N, T) (a `OneHot`), `output`
    is the column of T, `batch` how many sequences run at once, which bounds the memory. Cost: three
    forward passes a position.

    Raises InputError for a region that does not lie within the sequence.
    """
    start, end = region_of(x_N4L, start, end)
    with torch.no_grad():
        return torch.stack([_effects(model, x_4L, start, end, output, batch) for x_4L in x_N4L])


def _effects(
    model: nn.Module, x_4L: Tensor, start: int, end: int, output: int, batch: int
) -> Tensor:
    before = model(x_4L[None])[0, output]
    letters, places = (x_4L[:, start:end] != 1).nonzero(as_tuple=True)
    effects = torch.zeros(4, end - start, dtype=before.dtype)
    for some, where in zip(letters.split(batch), places.split(batch), strict=True):
        mutants = substituted(x_4L, some, where + start)
        effects[some.cpu(), where.cpu()] = (model(mutants)[:, output] - before).cpu()
    return effects


def region_of(x_N4L: Tensor, start: int, end: int | None) -> tuple[int, int]:
    """The places of a region. Raises InputError when it does not lie within the sequence."""
    L = x_N4L.shape[-1]
    end = L if end is None else end
    if not 0 <= start < end <= L:
        raise InputError("region", f"{start} to {end}", f"0-based half-open places within 0 to {L}")
    return start, end


def substituted(x_4L: Tensor, letters_M: Tensor, places_M: Tensor) -> Tensor:
    """Copies (M, 4, L) of a sequence, the m-th with letter `letters_M[m]` at place `places_M[m]`."""
    mutants = x_4L.repeat(len(letters_M), 1, 1)
    row = torch.arange(len(letters_M), device=x_4L.device)
    mutants[row, :, places_M] = 0
    mutants[row, letters_M, places_M] = 1
    return mutants


def centred(effects_N4R: Tensor) -> Tensor:
    """Effects less their mean over the four letters: hypothetical attributions, comparable to
    gradients.
    """
    return effects_N4R - effects_N4R.mean(1, keepdim=True)
