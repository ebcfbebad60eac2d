"""AdamW with parameter groups, and the learning rate of every step as a closed form."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from orchid_genomics.model.strands import Mix
from orchid_genomics.recipe import Strict

_WAYS = "foreach", "fused", "capturable"


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
    # One kernel for all updates on a GPU. Not on a CPU, where a resumed run would round otherwise.
    fused = True if next(model.parameters()).is_cuda else None
    betas = recipe.beta1, recipe.beta2
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=betas, fused=fused)


def load(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Take the moments of a checkpoint, which may be of another kind of device.

    Raises
    ------
    ValueError
        Where the moments of a parameter are not of its shape: torch takes any, and fails at the
        next step.
    """
    ways = [{name: group[name] for name in _WAYS} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(state))
    for group, way in zip(optimizer.param_groups, ways, strict=True):
        # How a step is computed is this machine's affair.
        group.update(way)
        for parameter in group["params"]:
            moments = optimizer.state.get(parameter, {})
            _require_shape(parameter, moments)
            if isinstance(moments.get("step"), Tensor):
                place = parameter.device if group["fused"] else torch.device("cpu")
                moments["step"] = moments["step"].to(place)


def _require_shape(parameter: Tensor, moments: Mapping[str, Any]) -> None:
    for name, value in moments.items():
        moment = isinstance(value, Tensor) and value.dim() > 0
        if moment and value.shape != parameter.shape:
            message = f"{name} of {tuple(value.shape)} for weights of {tuple(parameter.shape)}"
            raise ValueError(message)


def rate(step: int, steps: int, recipe: OptimizerRecipe) -> float:
    """The learning rate of step `step` (from 0) of `steps`."""
    # From step + 1, or the first step would have no rate.
    warm = min(1.0, (step + 1) / max(recipe.warmup, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))
    return recipe.rate * warm * (recipe.final + (1 - recipe.final) * cosine)
