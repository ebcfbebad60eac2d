"""Regions of a genome explained by one method: arrays for each, and where there are none the
reason.

Arrays run along the region as it is read, on its strand. The trap: what a model says of a region
depends on what it sees beside it, so a `window` is read around each region and only the region is
explained; the target speaks of the region alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.errors import InputError
from orchid_genomics.explain import integrated as integral
from orchid_genomics.explain.deeplift_shap import deeplift
from orchid_genomics.explain.dependency import dependency_map
from orchid_genomics.explain.gradients import Attribution, input_x_gradient
from orchid_genomics.explain.methods import METHODS, Options
from orchid_genomics.explain.mutagenesis import centre, mutate
from orchid_genomics.explain.onehot import OneHot
from orchid_genomics.explain.references import one_hot, shuffles
from orchid_genomics.explain.targets import AllOutputs, possible
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.elements.element_scores import REASONS as ELEMENT_REASONS
from orchid_genomics.score.elements.element_scores import longest, trained_on
from orchid_genomics.score.reader import check_memory
from orchid_genomics.score.variants.variant_scores import trained_length
from orchid_genomics.sequence import CODE, DNA, Interval

LETTERS = 1 << 14
"""Letters of one batch, over all of its rows."""
EDGE = 128
"""Letters at either end of a window that see much of its other end, for the operator is circular.

With the yeast model the log-likelihoods of the outer 64 letters change by .6 bits (mean) when
the window is moved by its own length, those of the next 64 by .35, those in the middle by .2.
"""
REASONS = {
    **ELEMENT_REASONS,
    "no_contrast": "no reference differs from it: too few letters (read a longer window), or all "
    "alike",
    "all_zero": "the method finds no effect of any letter: read a longer window",
}
"""Why a region has no arrays."""
Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]


class Explained(NamedTuple):
    """One region: its interval, `why` it has no arrays (else ""), and its arrays by name.

    `tokens` (L,) uint8; `hypothetical` (4, L) and `projected` (L,) float32; `difference`, `error`
    and `steps` (); and what the method gives beside them (`Method.extra_arrays`), such as `effects`
    (4, L) of mutagenesis or the map `dependency` (L, L), whose `projected` is the mean of its rows.
    """

    interval: Interval
    why: str
    arrays: Arrays


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one width, of which a method explains the letters `start` to `end`.

    Parameters
    ----------
    model : OneHot
        The model with its target, which speaks of the letters `start` to `end` alone.
    x_N4W : Tensor
        The windows, one-hot, on the model's device.
    start, end : int
        The region's letters in each window, 0-based half-open.
    rows : int
        How many windows may go through the model at once.
    options : Options
        How the user wants them explained.
    """

    model: OneHot
    x_N4W: Tensor
    start: int
    end: int
    rows: int
    options: Options

    @property
    def x_N4L(self) -> Tensor:
        """The regions alone, on the CPU."""
        return self.x_N4W[..., self.start : self.end].cpu()

    def references(self) -> Tensor:
        """Shuffles of the windows (N, R, 4, W)."""
        return shuffles(self.x_N4W, reference_count(self.options), self.options.seed)

    def cut(self, attribution: Attribution, references_NR4W: Tensor | None = None) -> Tensors:
        """The arrays of the regions from attributions of whole windows, and `contrasts` with the
        references.

        What lies beside a region stays in the sum that `error` is about.
        """
        start, end = self.start, self.end
        tensors = _tensors(
            attribution,
            attribution.hypothetical[..., start:end],
            attribution.projected[:, start:end],
        )
        if references_NR4W is not None:
            differ_NRW = (references_NR4W != self.x_N4W[:, None]).any(2)
            tensors["contrasts"] = differ_NRW[..., start:end].sum(1).float().cpu()
        return tensors

    def whole(self, hypothetical_N4L: Tensor) -> Tensors:
        """The arrays of the regions from hypothetical attributions of their letters alone."""
        attribution = Attribution.of(self.x_N4L, hypothetical_N4L)
        return _tensors(attribution, attribution.hypothetical, attribution.projected)


def _tensors(attribution: Attribution, hypothetical: Tensor, projected: Tensor) -> Tensors:
    steps = torch.full_like(attribution.difference, attribution.steps)
    tensors = {
        "hypothetical": hypothetical,
        "projected": projected,
        "difference": attribution.difference,
        "error": attribution.error,
        "steps": steps,
    }
    return {name: values.float() for name, values in tensors.items()}


def reference_count(options: Options) -> int:
    """Shuffles that each window is compared with: those asked for, or the method's own; 0 where it
    compares with none.
    """
    own = METHODS[options.method].references
    return (options.references or own) if own else 0


class Explainer:
    """A model and a genome made ready to explain regions.

    Attributes
    ----------
    window : int
        Letters read around each region, where it is not longer itself.
    longest : int
        Letters of the longest region that can be explained.

    Raises
    ------
    InputError
        For a method, target or window that cannot be.
    """

    def __init__(self, model: OrchidModel, genome: Genome, options: Options | None = None) -> None:
        self.genome, self.options = genome, options or Options()
        self.method = METHODS.pick(self.options.method, "method", InputError)
        self.function: Callable[[WindowBatch], Tensors] = self.method.load()
        if self.options.window is not None and self.options.window < 1:
            raise InputError("window", f"{self.options.window}", "1 letter or more")
        if self.options.window is not None:
            check_memory(self.options.window, model, "window", genome)
        self.onehot = OneHot(model.eval(), self.options.target)
        # One number is explained, and a head of several has no default.
        if isinstance(self.onehot.target, AllOutputs):
            raise InputError(
                "target",
                "not given, and the model has several",
                f"it has {', '.join(possible(model))}",
            )
        if self.method.only_letters:
            self._require_letters(model)
        # Read alone, a region would be joined end to end, and a model that was trained on longer
        # windows would be asked what it never learned.
        self.window = self.options.window or trained_on(model) or trained_length(model)
        self.longest = min(longest(model), self.method.longest or longest(model))
        self.device = next(model.parameters()).device

    def _require_letters(self, model: OrchidModel) -> None:
        """Raises InputError where a method that explains the letters head itself cannot."""
        name = self.options.method
        if self.options.target:
            raise InputError(
                "target", f"says nothing to the method {name}", f"the method {name} without target"
            )
        if model.recipe.head is None or model.recipe.head.kind != "letters":
            raise InputError(
                "method", f"{name} is of models that predict letters", "a pretrained model"
            )

    @property
    def unit(self) -> str:
        """What attributions are in, as a picture says it."""
        if self.method.only_letters:
            return "bits"
        return self.onehot.target.unit

    def check_target(self, shortest: int) -> None:
        """Raises InputError when the target speaks of a letter that the shortest region does not
        have.
        """
        target = self.onehot.target
        letter = getattr(target, "place", "")
        if letter.isdecimal() and int(letter) >= shortest:
            message = f"{target.name} of a region of {shortest:,} letters"
            raise InputError("target", message, f"letters 0 to {shortest - 1}, 0-based")

    def __call__(self, intervals: Sequence[Interval]) -> list[Explained]:
        """Each region with its arrays, or the reason why it has none (a key of REASONS)."""
        regions = [Explained(interval, self.why(interval), {}) for interval in intervals]
        # Windows of one shape go through the model together.
        groups: dict[tuple[int, int], list[int]] = {}
        for number, region in enumerate(regions):
            if not region.why:
                shape = (len(region.interval), self.width(region.interval))
                groups.setdefault(shape, []).append(number)
        for (length, width), numbers in groups.items():
            # In the middle, so that as much is read on the left as on the right.
            start = (width - length) // 2
            windows = [self.tokens(intervals[number], start, width) for number in numbers]
            explained = self.explain(np.stack(windows), start, start + length)
            for number, arrays in zip(numbers, explained, strict=True):
                why = _why_nothing(arrays)
                arrays = {} if why else arrays
                regions[number] = regions[number]._replace(why=why, arrays=arrays)
        return regions

    def why(self, interval: Interval) -> str:
        """Why an interval cannot be explained, or nothing."""
        if interval.contig not in self.genome.contigs:
            return "unknown_contig"
        if not self.genome.holds(interval.contig, max(interval.start, 0), interval.end):
            return "off_contig"
        if len(interval) > self.longest:
            return "too_long"
        tokens = self.genome.tokens(interval.contig, interval.start, interval.end)
        return "" if ((tokens & CODE) < DNA.count).any() else "all_n"

    def width(self, interval: Interval) -> int:
        """Letters that are read: as many beside the region on the left as on the right, and no more
        than a circular contig has.
        """
        width = window_width(len(interval), self.window)
        if interval.contig in self.genome.circular:
            return min(width, self.genome.contigs[interval.contig])
        return width

    def tokens(self, interval: Interval, before: int, width: int) -> np.ndarray:
        """The letters of a window on the strand of its region; N beyond the ends of the contig."""
        start = interval.start - before
        strand = "-" if interval.strand == "-" else "+"
        return self.genome.tokens(interval.contig, start, start + width, strand)

    def explain(self, tokens_NW: np.ndarray, start: int, end: int) -> list[Arrays]:
        """The arrays of windows of one length, whose letters `start` to `end` are explained."""
        self.onehot.span = (start, end)
        x_N4W = one_hot(tokens_NW).to(self.device)
        # A gradient keeps the activations of all networks of an ensemble at once.
        rows = max(1, LETTERS // (x_N4W.shape[-1] * len(self.onehot.model.members)))
        batch = WindowBatch(self.onehot, x_N4W, start, end, rows, self.options)
        tensors = self.function(batch)
        regions = []
        for number, tokens in enumerate(tokens_NW):
            arrays = {name: values[number].numpy() for name, values in tensors.items()}
            # A copy, for a slice would keep its whole window in memory.
            regions.append({"tokens": tokens[start:end].copy(), **arrays})
        return regions


def window_width(length: int, window: int) -> int:
    """Letters that are read for a region of `length`: `window` of them, or one more to have as many
    on both sides, or the region alone where it is longer.
    """
    return length + 2 * max(0, (window - length + 1) // 2)


def _why_nothing(arrays: Arrays) -> str:
    """Why the arrays of a region say nothing, if so: a row of zeros is no explanation."""
    if "contrasts" in arrays and not arrays["contrasts"].any():
        return "no_contrast"
    return "" if arrays["projected"].any() else "all_zero"


def gradient(batch: WindowBatch) -> Tensors:
    """The method of `gradients.input_x_gradient`."""
    return batch.cut(input_x_gradient(batch.model, batch.x_N4W, batch=batch.rows))


def integrated(batch: WindowBatch) -> Tensors:
    """The method of `integrated.integrated_gradients`."""
    references = batch.references()
    attribution = integral.integrated_gradients(
        batch.model,
        batch.x_N4W,
        references,
        batch=batch.rows,
        tolerance=batch.options.tolerance,
        most_steps=batch.options.most_steps,
    )
    return batch.cut(attribution, references)


def deeplift_shap(batch: WindowBatch) -> Tensors:
    """The method of `deeplift.deeplift`; its unfused form takes four times the memory."""
    references = batch.references()
    rows = max(1, batch.rows // 4)
    return batch.cut(deeplift(batch.model, batch.x_N4W, references, batch=rows), references)


def ism(batch: WindowBatch) -> Tensors:
    """The method of `mutagenesis.mutate`."""
    effects = mutate(batch.model, batch.x_N4W, batch.start, batch.end, batch=batch.rows)
    return {**batch.whole(centre(effects)), "effects": effects}


def dependency(batch: WindowBatch) -> Tensors:
    """The method of `dependency.dependency_map`."""
    maps = dependency_map(batch.model, batch.x_N4W, batch.start, batch.end, batch.rows)
    weight = maps.mean(2)
    return {**batch.whole(weight[:, None] * batch.x_N4L), "dependency": maps}
