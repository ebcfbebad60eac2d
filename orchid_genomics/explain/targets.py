"""What of a prediction is explained: one number a sequence, as a differentiable function of its
letters.

The trap: the pseudo-likelihood of a sequence depends on a letter twice, as what is predicted and as
what is seen; both count, so that mutating a letter and the gradient of a letter mean the same
thing.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchid_genomics.errors import InputError
from orchid_genomics.explain.unfused import pair
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import LabelRecipe, LettersRecipe, bin_of
from orchid_genomics.sequence import DNA

if TYPE_CHECKING:
    from orchid_genomics.explain.onehot import OneHot

PASSES = 8
"""Passes of the hidden pseudo-likelihood: each hides 12.5 % of letters, near training's 15 %."""
_LETTER = re.compile(r"([ACGT])@(\d+|center)")


@dataclass(frozen=True)
class Target(ABC):
    """What is explained, and what it is called."""

    name: str

    @property
    def unit(self) -> str:
        """What its numbers are in, as a picture says it."""
        return self.name

    @abstractmethod
    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        """The numbers to explain (N, T) of one-hot or mixed letters."""


@dataclass(frozen=True)
class AllOutputs(Target):
    """All outputs of a head over sequences, (N, T)."""

    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        return model.predictions(x_N4L)


@dataclass(frozen=True)
class Output(Target):
    """One output of a pooled head, (N, 1); `against` are the other classes of a binary one."""

    index: int
    is_score: bool = True
    against: str = ""

    @property
    def unit(self) -> str:
        if not self.is_score:
            return self.name
        return f"log-odds of {self.name}" + (f" against {self.against}" if self.against else "")

    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        return model.predictions(x_N4L)[:, self.index, None]


@dataclass(frozen=True)
class Track(Target):
    """One track, averaged over its bins of `bin` letters, or (`place`) in the one that holds a
    letter; (N, 1).
    """

    index: int
    place: str
    bin: int

    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        out_NB = model.predictions(x_N4L)[..., self.index]
        last = out_NB.shape[1] - 1
        if self.place:
            # Letters at the end that fill no bin are read in the last one.
            return out_NB[:, min(_column(self, model, x_N4L) // self.bin, last), None]
        span = model.columns(x_N4L)
        first = min(span.start // self.bin, last)
        # At least one bin, also where the span ends in letters that fill none.
        return out_NB[:, first : max(-(-span.stop // self.bin), first + 1)].mean(1, keepdim=True)


@dataclass(frozen=True)
class Likelihood(Target):
    """log p of one letter at one place, hidden there; nats, (N, 1)."""

    letter: int
    place: str

    @property
    def unit(self) -> str:
        return "nats"

    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        column = _column(self, model, x_N4L)
        hidden_L = torch.arange(x_N4L.shape[-1], device=x_N4L.device) == column
        return log_likelihoods(model, x_N4L, hidden_L)[:, column, self.letter, None]


@dataclass(frozen=True)
class PseudoLikelihood(Target):
    """The sum over letters of log p(letter); nats, (N, 1). N counts nothing."""

    passes: int | None

    @property
    def unit(self) -> str:
        return "nats"

    def of(self, model: "OneHot", x_N4L: Tensor) -> Tensor:
        span = model.columns(x_N4L)
        if self.passes is None:
            return _sum_of_logs(model, log_likelihoods(model, x_N4L)[:, span], x_N4L[..., span])
        position_L = torch.arange(x_N4L.shape[-1], device=x_N4L.device) - span.start
        inside_L = (position_L >= 0) & (position_L < span.stop - span.start)
        total = x_N4L.new_zeros(len(x_N4L), 1)
        # Never more turns than letters, or some would hide none.
        for turn in range(min(self.passes, span.stop - span.start)):
            hidden_L = inside_L & (position_L % self.passes == turn)
            logs_NLV = log_likelihoods(model, x_N4L, hidden_L)[:, hidden_L]
            total = total + _sum_of_logs(model, logs_NLV, x_N4L[..., hidden_L])
        return total


def _column(target: Likelihood | Track, model: "OneHot", x_N4L: Tensor) -> int:
    """The column of a target's letter."""
    span = model.columns(x_N4L)
    L = span.stop - span.start
    position = L // 2 if target.place == "center" else int(target.place)
    if position >= L:
        raise InputError(
            "target",
            f"{target.name} of a sequence of {L:,} letters",
            f"letters 0 to {L - 1}, 0-based",
        )
    return span.start + position


def log_likelihoods(model: "OneHot", x_N4L: Tensor, hidden_L: Tensor | None = None) -> Tensor:
    """log p of every letter at every position (N, L, 4), nats."""
    return model.unfused.log_softmax(model.predictions(x_N4L, hidden_L))


def _sum_of_logs(model: "OneHot", logs_NLV: Tensor, x_NVL: Tensor) -> Tensor:
    """The sum over positions of what the letters there are likely, (N, 1)."""
    shares_NLV = model.unfused.share(pair(logs_NLV, x_NVL.transpose(1, 2).to(logs_NLV)))
    return shares_NLV.sum((1, 2))[:, None]


def read_target(target: str | int | None, model: OrchidModel) -> Target:
    """A target by its name, see `explain.OneHot`. Raises InputError with those that it has."""
    head = model.recipe.head
    if head is None:
        raise InputError(
            "model", "has no head: it predicts nothing to explain", "a model with a head"
        )
    text = "" if target is None else str(target).strip()
    if isinstance(head, LettersRecipe):
        return _read_letters_target(text or "pll", model)
    outputs = output_names(model)
    if not text and len(outputs) == 1:
        text = outputs[0]
    if not text and not bin_of(head):
        return AllOutputs("all outputs")
    name, place = text, ""
    # The name of a track may hold an @ itself.
    if bin_of(head) and text not in outputs:
        name, _, place = text.partition("@")
    if name in outputs:
        index = outputs.index(name)
    else:
        index = int(name) if name.isdecimal() else len(outputs)
    if index >= len(outputs) or not (place in ("", "center") or place.isdecimal()):
        raise _unknown_target(text, model)
    if bin_of(head):
        return Track(text, index, place, bin_of(head))
    task = getattr(head, "task", "")
    against = ""
    if task == "binary" and isinstance(head, LabelRecipe):
        against = head.labels[0]
    return Output(outputs[index], index, task != "regression", against)


def _read_letters_target(text: str, model: OrchidModel) -> Target:
    if text == "pll":
        return PseudoLikelihood(text, None)
    if text == "pll-hidden":
        return PseudoLikelihood(text, PASSES)
    match = _LETTER.fullmatch(text)
    if not match:
        raise _unknown_target(text, model)
    letter, place = match.groups()
    return Likelihood(text, DNA.letters.index(letter), place)


def _unknown_target(text: str, model: OrchidModel) -> InputError:
    message = f"the model has no {text!r}" if text else "not given, and the model has several"
    return InputError("target", message, "it has " + ", ".join(possible(model)))


def possible(model: OrchidModel) -> Sequence[str]:
    """The targets that a model has, as a user may write them."""
    head = model.recipe.head
    if head is None:
        return ()
    if isinstance(head, LettersRecipe):
        return ("pll", "pll-hidden", "A@100 (a letter and a 0-based place)", "A@center")
    names = output_names(model)
    if bin_of(head):
        return (*names, f"{names[0]}@100 (a track and a 0-based place)")
    return names


def output_names(model: OrchidModel) -> tuple[str, ...]:
    """The names of the outputs of a head; a binary one has a single output, the logit of its
    positive class.
    """
    # A head of another package has outputs with names where its recipe has `labels`.
    labels: tuple[str, ...] = getattr(model.recipe.head, "labels", ())
    outputs: int = getattr(model.recipe.head, "outputs", len(labels))
    return labels[-outputs:] if outputs else ()
