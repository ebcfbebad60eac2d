"""DeepLIFT/SHAP through tangermeme, over dinucleotide shuffles, with its completeness error.

The trap: captum's DeepLift has no rule for the product of two activations, of which the operator is
made; what it gives does not sum to the difference. tangermeme (>= 1.6) takes a rule for each
module; ours are exact (`rules`).
"""

import warnings

import torch
from torch import Tensor

from orchid_genomics.errors import missing_extra
from orchid_genomics.explain.gradients import Attribution, concatenate
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.explain.references import shuffles
from orchid_genomics.explain.unfused import attribution_ops

REFERENCES = 10
"""Shuffles that each sequence is compared with."""


def deeplift(
    model: OneHot,
    x_N4L: Tensor,
    references_NR4L: Tensor | None = None,
    *,
    output: int = 0,
    batch: int = 16,
) -> Attribution:
    """Multipliers of every step between a sequence and its references, times the difference,
    averaged over references.

    Parameters
    ----------
    model : OneHot
        The model with its target.
    x_N4L : Tensor
        One-hot sequences.
    references_NR4L : Tensor, optional
        What each is compared with; None is dinucleotide shuffles.
    output : int
        The column of the target's outputs.
    batch : int
        Pairs of sequence and reference that run at once.

    Returns
    -------
    Attribution
        The sum of a sequence is f(sequence) - mean f(references) up to rounding, which `error`
        holds. Cost: one forward and one backward pass of the unfused form for each pair, two to
        four times those of the fused one.

    Raises
    ------
    MachineError
        Without the `explain` extra.

    References
    ----------
    Shrikumar et al. 2017; Lundberg & Lee 2017; rules for products as in tangermeme.
    """
    if references_NR4L is None:
        references_NR4L = shuffles(x_N4L, REFERENCES)
    if not any(member.encoder.looks_up for member in model.model.members):
        return _deeplift(model, x_N4L, references_NR4L, output, batch)
    # What is read of copies is read through one sequence's pointers at a time.
    parts = []
    for x_14L, some in zip(x_N4L.split(1), references_NR4L.split(1), strict=True):
        with model.hold(x_14L):
            parts.append(_deeplift(model, x_14L, some, output, batch))
    return concatenate(parts)


def _deeplift(
    model: OneHot, x_N4L: Tensor, references_NR4L: Tensor, output: int, batch: int
) -> Attribution:
    """The attributions of sequences without pointers, or of one whose pointers are held."""
    try:
        from tangermeme.deep_lift_shap import deep_lift_shap
    except ImportError:
        raise missing_extra("tangermeme", "explain") from None
    with warnings.catch_warnings():
        # It warns of N, which it would refuse, and of an error that is returned here.
        warnings.simplefilter("ignore")
        hypothetical = deep_lift_shap(
            model,
            x_N4L,
            target=output,
            references=references_NR4L,
            batch_size=batch,
            hypothetical=True,
            additional_nonlinear_ops=attribution_ops(),
            only_warn=True,
            device=x_N4L.device,
        )
    with torch.no_grad():
        after_N = _values(model, x_N4L, output, batch)
        pairs = references_NR4L.to(x_N4L).flatten(0, 1)
        before_N = _values(model, pairs, output, batch).view(len(x_N4L), -1).mean(1)
    return Attribution.of(x_N4L.cpu(), hypothetical, (after_N - before_N).cpu())


def _values(model: OneHot, x_N4L: Tensor, output: int, batch: int) -> Tensor:
    return torch.cat([model(rows)[:, output] for rows in x_N4L.split(batch)])
