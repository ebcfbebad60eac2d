"""Nucleotide dependency maps: how the prediction of each letter changes when another letter is
substituted.

da Silva et al. 2025 (Nature Genetics, "Nucleotide dependency analysis of genomic language models
detects functional elements"): e[i, j] = max over substitutions at i and letters k at j of |log2 of
the ratio of the odds of k at j|, all letters shown. The trap: the map is directed (row i is
substituted, column j is read), and its diagonal says nothing.
"""

import math

import torch
from torch import Tensor

from orchid_genomics.errors import InputError
from orchid_genomics.explain.mutagenesis import region_of, substitute
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.terminal import within_job


def dependency_map(
    model: OneHot, x_N4L: Tensor, start: int = 0, end: int | None = None, batch: int = 32
) -> Tensor:
    """How the prediction of each letter changes when another is substituted.

    Parameters
    ----------
    model : OneHot
        A model with a letters head.
    x_N4L : Tensor
        One-hot sequences.
    start, end : int
        The region of R letters whose map is made, 0-based half-open; all of the sequence is read.
    batch : int
        Sequences that run at once, which bounds the memory beside the map itself.

    Returns
    -------
    Tensor
        e[i, j] in bits, (N, R, R) float32 on the CPU: row i is substituted, column j is read; 0 on
        the diagonal and where either is N. Cost: three forward passes a letter of the region.

    Raises
    ------
    InputError
        For a model that does not predict letters, or a region outside the sequence.
    """
    if model.model.recipe.head is None or model.model.recipe.head.kind != "letters":
        raise InputError(
            "method", "dependency is of models that predict letters", "a pretrained model"
        )
    start, end = region_of(x_N4L, start, end)
    with torch.no_grad():
        return torch.stack([_map(model, x_4L, start, end, batch) for x_4L in x_N4L])


def _map(model: OneHot, x_4L: Tensor, start: int, end: int, batch: int) -> Tensor:
    # N has no letter to substitute, and none to predict.
    known = x_4L[:, start:end].sum(0) == 1
    before = log_odds(model.predictions(x_4L[None])[0, start:end])
    letters, positions = ((x_4L[:, start:end] == 0) & known).nonzero(as_tuple=True)
    map_RR = torch.zeros(end - start, end - start)
    done = within_job("substitutions of a region", len(letters))
    for some, where in zip(letters.split(batch), positions.split(batch), strict=True):
        after = log_odds(model.predictions(substitute(x_4L, some, where + start))[:, start:end])
        change_MR = ((after - before).abs().amax(-1) / math.log(2)).float().cpu()
        rows = where.cpu()[:, None].expand_as(change_MR)
        map_RR.scatter_reduce_(0, rows, change_MR, "amax")
        done(len(some))
    map_RR[:, ~known.cpu()] = 0
    return map_RR.fill_diagonal_(0)


def log_odds(logits: Tensor) -> Tensor:
    """ln p / (1 - p) of every letter (..., 4), from its logit and those of the three others."""
    others = logits[..., None, :].expand(*logits.shape, logits.shape[-1])
    # From logits alone: 1 - p of a letter that is sure would round to 0.
    itself = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits - others.masked_fill(itself, -math.inf).logsumexp(-1)
