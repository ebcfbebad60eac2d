"""AdamW with parameter groups, and the learning rate of every step as a closed form."""

import math
from typing import Any

import torch
from pydantic import Field
from torch import nn

from orchid_genomics.model.strands import Mix
from orchid_genomics.recipe import Strict


class OptimizerRecipe(Strict):
    """AdamW, warm-up and cosine."""

    rate: float = Field(default=2e-3, gt=0)
    """Peak learning rate."""
    final: float = Field(default=0.02, ge=0, le=1)
    """Last learning rate, as a share of the peak."""
    warmup: int = Field(default=50, ge=0)
    """Steps of linear warm-up."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """How slowly the mean of gradients follows them."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """How slowly the mean of their squares does."""
    decay: float = Field(default=0.1, ge=0)
    """Weight decay, on the matrices over channels alone (never filters, taps, norms, biases or
    letters)."""
    taps: float = Field(default=1.0, gt=0)
    """Rate of the short convolutions' taps in units of `rate`: they begin at identity, far from a
    shift by a letter."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


def build(model: nn.Module, recipe: OptimizerRecipe) -> torch.optim.AdamW:
    """AdamW over two groups: matrices over channels, which decay, and the rest; short taps apart at
    their own rate.

    A group's `scale` is its rate in units of the recipe's.
    """
    # By identity, as names do not say which parameters are matrices over channels.
    mixers = {id(module.weight) for module in model.modules() if isinstance(module, Mix)}
    matrices, taps, others = [], [], []
    for name, parameter in model.named_parameters():
        if id(parameter) in mixers:
            matrices.append(parameter)
        elif recipe.taps != 1 and name.endswith(".short"):
            taps.append(parameter)
        else:
            others.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if taps:
        groups.append({"params": taps, "weight_decay": 0.0, "scale": recipe.taps})
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(recipe.beta1, recipe.beta2))


def rate(step: int, steps: int, recipe: OptimizerRecipe) -> float:
    """The learning rate of step `step` (from 0) of `steps`."""
    # From step + 1, or the first step would have no rate.
    warm = min(1.0, (step + 1) / max(recipe.warmup, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))
    return recipe.rate * warm * (recipe.final + (1 - recipe.final) * cosine)
