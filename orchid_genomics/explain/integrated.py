"""Integrated gradients (Sundararajan et al. 2017) whose sum is checked piece by piece, and refined
where it is wrong.

The trap: on the line between a sequence and its reference letters are mixed, spectra lose their
power half way, and the model turns sharply there while it is smooth elsewhere. So the line is cut
in two wherever the gradients of a piece do not sum to what f changes over it, and the gradients go
where they are needed; what error is left is returned.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from orchid_genomics.explain.gradients import Attribution, concatenate, gradient_of, hold_pointers
from orchid_genomics.explain.references import shuffles

REFERENCES = 10
"""Shuffles to start from."""
NODES = 6
"""Gradients of one piece of a line (a Gauss-Legendre sum, exact to degree 11)."""
MOST_STEPS = 1024
# A piece this short is taken as it is: f jumps there, or float32 says no more.
_FINEST = 1 / 4096


class _Piece(NamedTuple):
    """Part of the line from a reference (its number): from `start` to `end`, where f is `low` and
    `high`.
    """

    reference: int
    start: float
    end: float
    low: float
    high: float


def integrated_gradients(
    model: nn.Module,
    x_N4L: Tensor,
    references_NR4L: Tensor | None = None,
    *,
    output: int = 0,
    batch: int = 16,
    tolerance: float = 1e-3,
    most_steps: int = MOST_STEPS,
) -> Attribution:
    """The gradient averaged on the straight lines from R references, times the difference.

    Attributions of a sequence sum to `difference` = f(sequence) - mean f(references) up to `error`;
    pieces are refined until that is within `tolerance`, or `most_steps` are spent.

    Parameters
    ----------
    model : nn.Module
        Maps (N, 4, L) to (N, T), as a `OneHot` does.
    x_N4L : Tensor
        One-hot sequences.
    references_NR4L : Tensor, optional
        What each is compared with; None is dinucleotide shuffles. See `explain.references` for why
        not something constant.
    output : int
        The column of T.
    batch : int
        Points of the lines that go through the model at once, which bounds the memory.
    tolerance : float
        How far a sum may be off, as a share of the difference.
    most_steps : int
        Gradients a sequence may take; a round that has begun is finished.

    Returns
    -------
    Attribution
        `steps` tells how many gradients were taken: 12 R at least.
    """
    if references_NR4L is None:
        references_NR4L = shuffles(x_N4L, REFERENCES)
    pairs = zip(x_N4L.split(1), references_NR4L.to(x_N4L), strict=True)
    attributions = []
    for x_14L, some in pairs:
        with hold_pointers(model, x_14L):
            line = _Line(model, x_14L, some, output, batch)
            attributions.append(line.integrate(tolerance, most_steps))
    return concatenate(attributions)


class _Line:
    """The lines from R references to one sequence."""

    def __init__(
        self, model: nn.Module, x_14L: Tensor, references_R4L: Tensor, output: int, batch: int
    ) -> None:
        self.model, self.x, self.references = model, x_14L, references_R4L
        self.output, self.batch = output, batch
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        # The rule of -1 to 1, moved to 0 to 1.
        self.nodes = (torch.as_tensor(nodes + 1) / 2).to(x_14L)
        self.weights = (torch.as_tensor(weights) / 2).to(x_14L)

    def integrate(self, tolerance: float, most_steps: int) -> Attribution:
        """Add up pieces whose gradients sum to their change of f; halve the others."""
        R = len(self.references)
        # f of the sequence (a share of 1 of it, whatever the reference), then of each reference.
        high, *low = self.values([0, *range(R)], [1.0] + [0.0] * R)
        difference = high - sum(low) / R
        pieces = self.halve([_Piece(i, 0.0, 1.0, low[i], high) for i in range(R)])
        total, spent = torch.zeros_like(self.x), 0
        while pieces:
            spent += NODES * len(pieces)
            wrong = []
            for piece, part, change in self.changes(pieces):
                length = piece.end - piece.start
                error = abs(change - (piece.high - piece.low))
                # Every piece may err by its share of the line: together they keep the tolerance.
                is_wrong = error > tolerance * abs(difference) * length
                if is_wrong and length > _FINEST and spent < most_steps:
                    wrong.append(piece)
                else:
                    total += part
            pieces = self.halve(wrong)
        return Attribution.of(self.x.cpu(), total.cpu() / R, torch.tensor([difference]), spent)

    def changes(self, pieces: list[_Piece]) -> Iterator[tuple[_Piece, Tensor, float]]:
        """Each piece with its hypothetical attributions (4, L), and the change of f that they sum
        to.
        """
        together = max(1, self.batch // NODES)
        for first in range(0, len(pieces), together):
            some = pieces[first : first + together]
            slopes_P4L = self.mean_slopes(some)
            references = self.references[[piece.reference for piece in some]]
            # In float64, for the sum is held against a small difference.
            changes = ((self.x - references) * slopes_P4L).double().sum((1, 2)).tolist()
            # What a letter adds over the reference, whose own letter adds nothing.
            hypothetical = slopes_P4L - (references * slopes_P4L).sum(1, keepdim=True)
            yield from zip(some, hypothetical, changes, strict=True)

    def mean_slopes(self, pieces: list[_Piece]) -> Tensor:
        """The integral of the gradient over each piece, (P, 4, L)."""
        starts = torch.tensor([piece.start for piece in pieces]).to(self.x)
        lengths = torch.tensor([piece.end - piece.start for piece in pieces]).to(self.x)
        alphas = starts[:, None] + self.nodes * lengths[:, None]
        rows = np.repeat([piece.reference for piece in pieces], NODES).tolist()
        points = self.points(rows, alphas.flatten())
        slopes = [gradient_of(self.model, some, self.output) for some in points.split(self.batch)]
        slopes_PK4L = torch.cat(slopes).unflatten(0, (len(pieces), NODES))
        integrals = (slopes_PK4L * self.weights[:, None, None]).sum(1)
        return integrals * lengths[:, None, None]

    def halve(self, pieces: list[_Piece]) -> list[_Piece]:
        """The two halves of each piece."""
        middles = [(piece.start + piece.end) / 2 for piece in pieces]
        values = self.values([piece.reference for piece in pieces], middles)
        halves = []
        for piece, middle, value in zip(pieces, middles, values, strict=True):
            halves.append(piece._replace(end=middle, high=value))
            halves.append(piece._replace(start=middle, low=value))
        return halves

    def values(self, references: list[int], alphas: list[float]) -> list[float]:
        """f at points of the lines."""
        values: list[float] = []
        with torch.no_grad():
            for first in range(0, len(references), self.batch):
                some = slice(first, first + self.batch)
                points = self.points(references[some], torch.tensor(alphas[some]).to(self.x))
                values += self.model(points)[:, self.output].double().tolist()
        return values

    def points(self, references: list[int], alphas: Tensor) -> Tensor:
        """Letters mixed (P, 4, L): a share `alphas` of the sequence, the rest of a reference."""
        reference = self.references[references]
        return reference + alphas[:, None, None] * (self.x - reference)
