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

from orchid_genomics.explain.gradients import Attribution, joined, slope_of
from orchid_genomics.explain.references import shuffled

REFERENCES = 2
"""Shuffles to start from."""
NODES = 6
"""Gradients of one piece of a line (a Gauss-Legendre sum, exact to degree 11)."""
MOST_STEPS = 1024
_FINEST = 1 / 4096  # a piece this short is taken as it is: f jumps there, or float32 says no more


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
    output: int = 0,
    batch: int = 16,
    tolerance: float = 1e-3,
    most_steps: int = MOST_STEPS,
) -> Attribution:
    """The gradient averaged on the straight lines from R references, times the difference.

    Attributions of a sequence sum to `difference` = f(sequence) - mean f(references) up to `error`;
    pieces are refined until that is within `tolerance` of the difference, or `most_steps` gradients
    a sequence are spent (a round that has begun is finished). `steps` tells how many were.
    References (N, R, 4, L) default to dinucleotide shuffles; see `explain.references` for why not
    to a constant one.

    `model` maps (N, 4, L) to (N, T) (a `OneHot`), `output` is the column of T, `batch` how many
    points of the lines run at once, which bounds the memory. Cost: 12 R gradients a sequence at
    least.
    """
    if references_NR4L is None:
        references_NR4L = shuffled(x_N4L, REFERENCES)
    pairs = zip(x_N4L.split(1), references_NR4L.to(x_N4L), strict=True)
    return joined(
        [_Line(model, x, some, output, batch).integrate(tolerance, most_steps) for x, some in pairs]
    )


class _Line:
    """The lines from R references to one sequence."""

    def __init__(
        self, model: nn.Module, x_14L: Tensor, references_R4L: Tensor, output: int, batch: int
    ) -> None:
        self.model, self.x, self.references = model, x_14L, references_R4L
        self.output, self.batch = output, batch
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        self.nodes, self.weights = (
            (torch.as_tensor(part) / 2).to(x_14L) for part in (nodes + 1, weights)
        )

    def integrate(self, tolerance: float, most_steps: int) -> Attribution:
        R = len(self.references)
        high, *low = self.values([0, *range(R)], [1.0] + [0.0] * R)
        difference = high - sum(low) / R
        pieces = [_Piece(i, 0.0, 1.0, low[i], high) for i in range(R)]
        pieces, spent, total = self.halved(pieces), 0, torch.zeros_like(self.x)
        while pieces:
            spent += NODES * len(pieces)
            wrong = []
            for piece, part, change in self.changes(pieces):
                error, length = abs(change - (piece.high - piece.low)), piece.end - piece.start
                if (
                    error > tolerance * abs(difference) * length
                    and length > _FINEST
                    and spent < most_steps
                ):
                    wrong.append(piece)
                else:
                    total += part
            pieces = self.halved(wrong)
        return Attribution.of(self.x.cpu(), total.cpu() / R, torch.tensor([difference]), spent)

    def changes(self, pieces: list[_Piece]) -> Iterator[tuple[_Piece, Tensor, float]]:
        """Each piece with its hypothetical attributions (4, L), and the change of f that they sum
        to.
        """
        together = max(1, self.batch // NODES)
        for first in range(0, len(pieces), together):
            some = pieces[first : first + together]
            references = self.references[[piece.reference for piece in some]]
            starts, ends = (torch.tensor([piece[i] for piece in some]).to(self.x) for i in (1, 2))
            alphas = starts[:, None] + self.nodes * (ends - starts)[:, None]
            rows = [piece.reference for piece in some for _ in range(NODES)]
            points = self.points(rows, alphas.flatten()).split(self.batch)
            slopes = torch.cat(
                [slope_of(self.model, some_points, self.output) for some_points in points]
            )
            slopes = (
                slopes.view(len(some), NODES, *slopes.shape[1:]) * self.weights[:, None, None]
            ).sum(1)
            slopes *= (ends - starts)[:, None, None]
            changes = ((self.x - references) * slopes).double().sum((1, 2)).tolist()
            yield from zip(
                some, slopes - (references * slopes).sum(1, keepdim=True), changes, strict=True
            )

    def halved(self, pieces: list[_Piece]) -> list[_Piece]:
        middles = [(piece.start + piece.end) / 2 for piece in pieces]
        values = self.values([piece.reference for piece in pieces], middles)
        halves = []
        for (reference, start, end, low, high), middle, value in zip(
            pieces, middles, values, strict=True
        ):
            halves += [
                _Piece(reference, start, middle, low, value),
                _Piece(reference, middle, end, value, high),
            ]
        return halves

    def values(self, references: list[int], alphas: list[float]) -> list[float]:
        """f at places of the lines."""
        found = []
        with torch.no_grad():
            for first in range(0, len(references), self.batch):
                some = slice(first, first + self.batch)
                points = self.points(references[some], torch.tensor(alphas[some]).to(self.x))
                found += self.model(points)[:, self.output].double().tolist()
        return found

    def points(self, references: list[int], alphas: Tensor) -> Tensor:
        """Letters mixed (P, 4, L): a share `alphas` of the sequence, the rest of a reference."""
        reference = self.references[references]
        return reference + alphas[:, None, None] * (self.x - reference)
