"""DeepLIFT/SHAP through tangermeme, over dinucleotide shuffles, with its completeness error.

The trap: captum's DeepLift has no rule for the product of two activations, of which the operator is
made; what it gives does not sum to the difference. tangermeme (>= 1.6) takes a rule for each
module; ours are exact (`rules`).
"""

import warnings

import torch
from torch import Tensor

from orchid_genomics.errors import missing_extra
from orchid_genomics.explain.gradients import Attribution
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.explain.references import shuffled
from orchid_genomics.explain.unfused import attribution_ops

REFERENCES = 10
"""Shuffles that each sequence is compared with."""


def deeplift(
    model: OneHot,
    x_N4L: Tensor,
    references_NR4L: Tensor | None = None,
    output: int = 0,
    batch: int = 16,
) -> Attribution:
    """Multipliers of every step between a sequence and its references, times the difference,
    averaged over references.

    Attributions of a sequence sum to `difference` = f(sequence) - mean f(references) up to `error`,
    which is rounding. References (N, R, 4, L) default to dinucleotide shuffles; `batch` is how many
    pairs run at once. Cost: one forward and one backward pass of the unfused form for each pair,
    two to four times those of the fused one.
    Source: Shrikumar et al. 2017; Lundberg & Lee 2017; rules for products as in tangermeme. Raises
    MachineError without the `explain` extra.
    """
    try:
        from tangermeme.deep_lift_shap import deep_lift_shap
    except ImportError:
        raise missing_extra("tangermeme", "explain") from None
    if references_NR4L is None:
        references_NR4L = shuffled(x_N4L, REFERENCES)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of N, which it would refuse, and of an error that is returned here
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
        after = torch.cat([model(some)[:, output] for some in x_N4L.split(batch)])
        pairs = references_NR4L.to(x_N4L).flatten(0, 1)
        before = (
            torch.cat([model(some)[:, output] for some in pairs.split(batch)])
            .view(len(x_N4L), -1)
            .mean(1)
        )
    return Attribution.of(x_N4L.cpu(), hypothetical, (after - before).cpu())
