"""Regions of a genome explained by one method: a dict of arrays for each, and where there is none
the reason.

Arrays run along the region as it is read, on its strand. The trap: what a model says of a region
depends on what it sees beside it, so a `window` is read around each region and only the region is
explained; the target speaks of the region alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.errors import InputError
from orchid_genomics.explain import integrated
from orchid_genomics.explain.deeplift import REFERENCES, deeplift
from orchid_genomics.explain.dependency import dependency_map
from orchid_genomics.explain.gradients import Attribution, input_x_gradient
from orchid_genomics.explain.mutagenesis import centred, mutate
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.explain.references import one_hot, shuffled
from orchid_genomics.explain.targets import Target, possible
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.elements.element_scores import longest
from orchid_genomics.sequence import CODE, DNA, Interval

LETTERS = 1 << 14
"""Letters of one batch, over all of its rows."""
MOST = {"dependency": 4096, "deeplift": 16_384}
"""Letters of the longest region of methods whose memory grows: 64 MiB for a map, some GB for the unfused form."""
Found = dict[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """How regions are explained.

    `method` a key of METHODS; `target` as `OneHot` takes it; `references` shuffles of each region's
    window (None: the method's own number), drawn by `seed`; `window` letters read around each
    region (None: the region itself); `tolerance` and `most_steps` of integrated gradients.
    """

    method: str = "gradient"
    target: str | None = None
    references: int | None = None
    seed: int = 0
    window: int | None = None
    tolerance: float = 1e-3
    most_steps: int = 1024


class Explaining:
    """A model and a genome made ready to explain regions. Raises InputError for a method or target
    that cannot be.
    """

    def __init__(self, model: OrchidModel, genome: Genome, options: Options | None = None) -> None:
        self.genome, self.options = genome, options or Options()
        if self.options.method not in METHODS:
            raise InputError(
                "--method", f"unknown name {self.options.method!r}", ", ".join(METHODS)
            )
        if self.options.window is not None and self.options.window < 1:
            raise InputError("--window", f"{self.options.window}", "1 letter or more")
        self.onehot = OneHot(model.eval(), self.options.target)
        if type(self.onehot.target) is Target:
            raise InputError(
                "--target",
                "not said, and the model has several",
                f"it has {', '.join(possible(model))}",
            )
        if self.options.method == "dependency":
            if self.options.target:
                raise InputError(
                    "--target",
                    "says nothing to a dependency map",
                    "--method dependency without --target",
                )
            if model.recipe.head.kind != "letters":
                raise InputError(
                    "--method", "dependency is of models that predict letters", "a pretrained model"
                )
        self.longest = min(longest(model), MOST.get(self.options.method, longest(model)))
        self.device = next(model.parameters()).device

    def fit(self, shortest: int) -> None:
        """Raises InputError when the target speaks of a letter that the shortest region does not
        have.
        """
        target = self.onehot.target
        place = getattr(target, "place", "")
        if place.isdecimal() and int(place) >= shortest:
            found = f"{target.name} of a region of {shortest:,} letters"
            raise InputError("--target", found, f"places 0 to {shortest - 1}, 0-based")

    def __call__(self, places: Sequence[Interval]) -> list[Found | str]:
        """For each place its arrays, or a key of `score.elements.element_scores.REASONS`.

        `tokens` (L,) uint8; `hypothetical` (4, L) and `projected` (L,) float32; `difference`,
        `error` and `steps` (); `effects` (4, L) of mutagenesis; `dependency` (L, L) of a map, whose
        `projected` is the mean of its rows.
        """
        answers: list[Found | str] = [self.why(place) for place in places]
        groups: dict[tuple[int, int], list[int]] = {}
        for number, place in enumerate(places):
            if not answers[number]:
                groups.setdefault((len(place), self.width(place)), []).append(number)
        for (length, width), numbers in groups.items():
            start = (width - length) // 2
            tokens_NW = np.stack([self.tokens(places[number], start, width) for number in numbers])
            self.onehot.span = (start, start + length)
            for number, found in zip(
                numbers, self.explain(tokens_NW, start, start + length), strict=True
            ):
                answers[number] = found
        return answers

    def why(self, place: Interval) -> str:
        """Why a place cannot be explained, or nothing."""
        if place.contig not in self.genome.contigs:
            return "unknown_contig"
        if place.end > self.genome.contigs[place.contig]:
            return "off_contig"
        if len(place) > self.longest:
            return "too_long"
        known = (self.genome.tokens(place.contig, place.start, place.end) & CODE) < DNA.count
        return "" if known.any() else "all_n"

    def width(self, place: Interval) -> int:
        """Letters that are read: as many beside the region on the left as on the right."""
        return len(place) + 2 * max(0, ((self.options.window or 0) - len(place) + 1) // 2)

    def tokens(self, place: Interval, before: int, width: int) -> np.ndarray:
        """The letters of a window on the strand of its region; N beyond the ends of the contig."""
        start = place.start - before
        return self.genome.tokens(
            place.contig, start, start + width, "-" if place.strand == "-" else "+"
        )

    def explain(self, tokens_NW: np.ndarray, start: int, end: int) -> list[Found]:
        """The arrays of windows of one length, whose letters `start` to `end` are explained."""
        x_N4W = one_hot(tokens_NW).to(self.device)
        batch = max(1, LETTERS // x_N4W.shape[-1])
        rows = METHODS[self.options.method](self.onehot, x_N4W, start, end, batch, self.options)
        found = []
        for number, tokens in enumerate(tokens_NW):
            arrays = {name: values[number].numpy() for name, values in rows.items()}
            found.append({"tokens": tokens[start:end].copy(), **arrays})
        return found


Rows = dict[str, Tensor]


def _gradient(model: OneHot, x: Tensor, start: int, end: int, batch: int, options: Options) -> Rows:
    return _cut(input_x_gradient(model, x, batch=batch), start, end)


def _integrated(
    model: OneHot, x: Tensor, start: int, end: int, batch: int, options: Options
) -> Rows:
    references = _references(x, options, integrated.REFERENCES)
    parts = integrated.integrated_gradients(
        model,
        x,
        references,
        batch=batch,
        tolerance=options.tolerance,
        most_steps=options.most_steps,
    )
    return _cut(parts, start, end)


def _deeplift(model: OneHot, x: Tensor, start: int, end: int, batch: int, options: Options) -> Rows:
    references = _references(x, options, REFERENCES)
    return _cut(deeplift(model, x, references, batch=max(1, batch // 4)), start, end)


def _ism(model: OneHot, x: Tensor, start: int, end: int, batch: int, options: Options) -> Rows:
    effects = mutate(model, x, start, end, batch=batch)
    return _cut(Attribution.of(x[..., start:end].cpu(), centred(effects)), 0, end - start) | {
        "effects": effects
    }


def _dependency(
    model: OneHot, x: Tensor, start: int, end: int, batch: int, options: Options
) -> Rows:
    maps = dependency_map(model, x, start, end, batch)
    weight = maps.mean(2)
    found = Attribution.of(x[..., start:end].cpu(), weight[:, None] * x[..., start:end].cpu())
    return _cut(found, 0, end - start) | {"dependency": maps}


METHODS: dict[str, Callable[[OneHot, Tensor, int, int, int, Options], Rows]] = {
    "gradient": _gradient,
    "integrated": _integrated,
    "deeplift": _deeplift,
    "ism": _ism,
    "dependency": _dependency,
}


def _references(x_N4W: Tensor, options: Options, count: int) -> Tensor:
    return shuffled(x_N4W, options.references or count, options.seed)


def _cut(found: Attribution, start: int, end: int) -> Rows:
    """The part of a region; what lies beside it stays in the sum that `error` is about."""
    steps = torch.full_like(found.difference, found.steps)
    about: dict[str, Any] = {"difference": found.difference, "error": found.error, "steps": steps}
    return {
        "hypothetical": found.hypothetical[..., start:end].float(),
        "projected": found.projected[:, start:end].float(),
        **{name: values.float() for name, values in about.items()},
    }
