"""Heads: vectors (B, L, D) -> predictions.

The trap is the strand. Vectors stand in the even/odd basis of strand pairs (`model.strands`):
reading the other strand reverses positions and negates the odd half. A head that must not know the
strand reads the even half alone, which is x_c + x_c'; one whose sequences are read on their own
strand (splice sites, TSS, MPRA) reads both halves, untied.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.answers.supervised_tasks import TASKS, SupervisedTask, TaskName, task_of
from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.orchid import Encoding, OrchidRecipe
from orchid_genomics.model.places import Places
from orchid_genomics.model.pooling import POOLING, Maxima, Pool, PoolKind, PoolParts
from orchid_genomics.model.strands import LetterTable, butterfly, halves
from orchid_genomics.model.words import Words
from orchid_genomics.ops.products import read_table
from orchid_genomics.recipe import Choice
from orchid_genomics.registry import Registry
from orchid_genomics.sequence import DNA, alphabet

Strand = Literal["both", "forward"]
MaximaKind = Literal["residual", "stem"]
HEADS: Registry[type["Head"]] = Registry("head")


class HeadRecipe(Choice):
    """What a head is; each kind has its own keys."""

    choices = HEADS


class Head(Protocol):
    """Vectors -> predictions: a module made of its recipe and the encoder's.

    A head that pools (one answer a sequence) sets `pools`: it is never given rows of padding alone,
    and rows of one transform length at a time, so that a row's answer is its own in any batch.
    """

    Recipe: ClassVar[type[HeadRecipe]]
    pools: ClassVar[bool]

    def __init__(self, recipe: Any, encoder: OrchidRecipe) -> None: ...

    def __call__(self, x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """Predictions of vectors (B, L, D); `mask_BL` is 1 at letters, 0 at padding, or None."""
        ...


class LettersRecipe(HeadRecipe):
    """Scores for every letter at every position."""

    kind: Literal["letters"] = "letters"
    tracks: tuple[str, ...] = Field(default=(), max_length=64)
    """Signals along the genome whose mean and log-variance are predicted beside the letters."""


@runtime_checkable
class LabelRecipe(Protocol):
    """What the recipe of a head says that answers labels, whatever its kind."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def strand(self) -> Strand: ...

    @property
    def supervised(self) -> SupervisedTask: ...


class _Labelled(Protocol):
    @property
    def task(self) -> TaskName: ...

    @property
    def labels(self) -> tuple[str, ...]: ...


Labelled = TypeVar("Labelled", bound=_Labelled)


def check_labels(recipe: Labelled) -> Labelled:
    """Raise pydantic's error for a number of labels that the task does not have."""
    count = len(recipe.labels)
    wanted = TASKS[recipe.task].label_fault(count)
    if wanted:
        words = {"task": recipe.task, "wanted": wanted, "found": count}
        message = "{task} needs {wanted} labels, found {found}"
        raise PydanticCustomError("labels", message, words)
    return recipe


class _Parted(Protocol):
    @property
    def stretches(self) -> int | None: ...

    @property
    def middles(self) -> int | None: ...


Parted = TypeVar("Parted", bound=_Parted)


def check_parts(recipe: Parted) -> Parted:
    """Raise pydantic's error for parts of a row that are of two kinds."""
    if recipe.middles and (recipe.stretches or 1) > 1:
        raise PydanticCustomError("middles", "either middles, or stretches")
    return recipe


class PooledRecipe(HeadRecipe):
    """One answer a sequence: pooled over its real letters, then linear."""

    kind: Literal["pooled"] = "pooled"
    task: TaskName = "binary"
    labels: tuple[str, ...] = Field(default=("0", "1"), min_length=1)
    """Classes (binary: the second is the positive one), or what each bit or number is."""
    pool: PoolKind = "mean"
    strand: Strand = "both"
    """both: the same answer for the other strand; forward: sequences are read on their own."""
    queries: int = Field(default=4, gt=0, le=1024)
    """Learned averages of the attention pool."""
    maxima: tuple[MaximaKind, ...] = ()
    """Read beside the pool: maxima over positions, residual: before the last norm; stem: motifs."""
    stretches: int = Field(default=1, gt=0, le=1024)
    """Equal parts of a sequence whose maxima stand side by side; 1: the whole sequence."""
    middles: int = Field(default=0, ge=0, le=16)
    """How often a part about the middle is halved, whose maxima stand beside those of the whole."""
    words: int = Field(default=0, ge=0, le=8)
    """Letters of the words whose weights are added to the answer, of DNA alone; 0: none."""
    words_gap: int = Field(default=0, ge=0, le=64)
    """Letters of any kind after the first half of a word."""
    places: int = Field(default=0, ge=0, le=1 << 17)
    """Letters of rows whose every place has weights that are added to the answer, of DNA and of
    strand forward alone; 0: none."""

    _counted = model_validator(mode="after")(check_labels)

    _parted = model_validator(mode="after")(check_parts)

    @model_validator(mode="after")
    def _placed(self) -> "PooledRecipe":
        if self.places and self.strand == "both":
            message = "weights by place are of one strand, and strand is both"
            raise PydanticCustomError("places", message)
        return self

    @property
    def supervised(self) -> SupervisedTask:
        """What the answers are, and how they are learned and scored."""
        return task_of(self.task, self.labels)

    @property
    def outputs(self) -> int:
        """Numbers a sequence: one logit for a binary task, else one a label."""
        return self.supervised.outputs


class TracksRecipe(HeadRecipe):
    """Numbers along the sequence: one a track for every bin of letters."""

    kind: Literal["tracks"] = "tracks"
    task: Literal["regression", "multilabel"] = "regression"
    labels: tuple[str, ...] = Field(default=("signal",), min_length=1)
    """The tracks."""
    bin: int = Field(default=1, gt=0, le=1 << 24)
    """Letters of one number; a rest at the end that fills no bin gets none."""
    strand: Strand = "both"
    """both: the other strand gives the same tracks, reversed and swapped as `other` says; forward:
    no such law."""
    other: tuple[int, ...] = ()
    """The track that each becomes on the other strand, such as [1, 0] for plus and minus; empty:
    itself."""

    @model_validator(mode="after")
    def _pairs(self) -> "TracksRecipe":
        other = self.other or tuple(range(len(self.labels)))
        tracks = range(len(self.labels))
        if sorted(other) != list(tracks) or any(other[other[track]] != track for track in tracks):
            words = {"other": list(self.other), "count": len(tracks)}
            message = "{other} does not pair the {count} tracks among themselves"
            raise PydanticCustomError("other", message, words)
        return self

    @property
    def supervised(self) -> SupervisedTask:
        """What the answers are, and how they are learned and scored."""
        return task_of(self.task, self.labels, self.bin)

    @property
    def outputs(self) -> int:
        return len(self.labels)


class Vectors(nn.Module):
    """No head: the vectors themselves."""

    pools = False

    def forward(self, x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        return x_BLD


class Rates(nn.Module):
    """Mean and log-variance of tracks at every letter, (B, L, D) -> two of (B, L, T).

    Both strands give the same, reversed: the even half of the vectors alone is read.

    Parameters
    ----------
    tracks : int
        T.
    encoder : OrchidRecipe
        Its `width` is D.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, tracks: int, encoder: OrchidRecipe) -> None:
        super().__init__()
        self.channels = _channels("both", encoder)
        std = 1 / math.sqrt(self.channels)
        self.weight = nn.Parameter(torch.randn(2 * tracks, self.channels) * std)
        self.bias = nn.Parameter(torch.zeros(2 * tracks))
        # Those of the training letters, kept with the weights: means are in the track's own units.
        self.register_buffer("shift", torch.zeros(tracks))
        self.register_buffer("scale", torch.ones(tracks))

    def set_units(self, shift: np.ndarray, scale: np.ndarray) -> None:
        """Take the mean and spread (T,) of the training letters' tracks."""
        self.shift.copy_(torch.from_numpy(shift))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, x_BLD: Tensor) -> tuple[Tensor, Tensor]:
        even_BLC = x_BLD[..., : self.channels]
        out_BLK = functional.linear(even_BLC, self.weight.to(x_BLD.dtype), self.bias)
        mean_BLT, log_variance_BLT = out_BLK.float().chunk(2, -1)
        # Bounded: where a track is constant its variance would run to 0 and the loss with it.
        spread_BLT = log_variance_BLT.clamp(-7, 7) + 2 * self.scale.log()
        return mean_BLT * self.scale + self.shift, spread_BLT


@HEADS.register("letters")
class Letters(nn.Module):
    """Logits (B, L, letters) of vectors (B, L, D), exact on both strands.

    logit(token) = <x_c, w(token)> + <x_c', w(complement(token))>.

    Parameters
    ----------
    recipe : LettersRecipe
        Names the tracks that are predicted beside the letters (`rates`), if any.
    encoder : OrchidRecipe
        Its alphabet says which letters, its `width` is D.
    """

    Recipe = LettersRecipe
    pools = False

    def __init__(self, recipe: LettersRecipe, encoder: OrchidRecipe) -> None:
        super().__init__()
        letters = alphabet(encoder.alphabet)
        complement = letters.complement_codes if encoder.strands == "equivariant" else None
        # Vectors leave the last norm at about 1, so that logits begin at a spread of about 1.
        std = 1 / math.sqrt(encoder.width)
        self.table = LetterTable(letters.count, encoder.width, complement, std)
        self.bias = nn.Parameter(torch.zeros(letters.count))
        # No draw without tracks: the other weights of a seed stay what they were.
        self.rates = Rates(len(recipe.tracks), encoder) if recipe.tracks else None

    def forward(self, x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        bias: Tensor = self.bias
        # A letter and its complement share a bias, or the other strand would read it otherwise.
        if self.table.paired:
            bias = (bias + bias[self.table.complement]) / 2
        logits_BVL = read_table(self.table.vectors().to(x_BLD.dtype), x_BLD.transpose(1, 2))
        return (logits_BVL + bias[:, None]).transpose(1, 2)


@HEADS.register("pooled")
class Pooled(nn.Module):
    """Outputs (B, K): logits, or numbers in the labels' own units (`shift` and `scale` are those of
    the training set).

    A dense encoder has no even half: both kinds of `strand` read all of it, and no law holds for
    "both".

    Parameters
    ----------
    recipe : PooledRecipe
        Its labels say how many outputs K.
    encoder : OrchidRecipe
        Its `width` is the D of the vectors (B, L, D).

    Raises
    ------
    RecipeError
        For maxima of a stem that the encoder does not have.
    """

    Recipe = PooledRecipe
    pools = True
    shift: Tensor
    scale: Tensor

    def __init__(self, recipe: PooledRecipe, encoder: OrchidRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.channels = _channels(recipe.strand, encoder)
        self.pool = Pool(recipe.pool, self.channels, recipe.queries)
        if "stem" in recipe.maxima and not encoder.stem:
            raise RecipeError("head.maxima", "reads a stem, and the encoder has none", "residual")
        self.halves = halves(encoder.strands)
        both = recipe.strand == "both" and self.halves == 2
        self.largest = Maxima(self.halves, both, recipe.stretches, recipe.middles)
        read = {"residual": encoder.width, "stem": encoder.motifs}
        peaks = sum(self.largest.width(read[kind]) for kind in recipe.maxima)
        inside = self.pool.width + peaks
        self.weight = nn.Parameter(torch.randn(recipe.outputs, inside) / math.sqrt(inside))
        self.bias = nn.Parameter(torch.zeros(recipe.outputs))
        for key in ("words", "places"):
            if getattr(recipe, key) and encoder.alphabet != DNA.name:
                raise RecipeError(f"head.{key}", f"are of DNA, not {encoder.alphabet}", "0")
        blind = recipe.strand == "both"
        self.words = (
            Words(recipe.words, recipe.words_gap, recipe.outputs, blind) if recipe.words else None
        )
        self.places = Places(recipe.places, recipe.outputs) if recipe.places else None
        add_units(self, recipe.task, recipe.outputs)

    def forward(
        self,
        x_BLD: Tensor,
        mask_BL: Tensor | None = None,
        encoding: Encoding | None = None,
        parts: PoolParts | None = None,
    ) -> Tensor:
        """Outputs (B, K).

        Parameters
        ----------
        x_BLD : Tensor
            Vectors.
        mask_BL : Tensor, optional
            1 at letters and 0 at the padding that may end a row.
        encoding : Encoding, optional
            Where the vectors come from; a head of maxima, words or places reads it.
        parts : PoolParts, optional
            Modules in place of what is not linear.
        """
        # The even half stands first, so that these are what both strands share.
        vectors_BCL = x_BLD[..., : self.channels].transpose(1, 2)
        pooled = [self.pool(vectors_BCL, mask_BL, parts)]
        for kind in self.recipe.maxima:
            pooled.append(self.largest(self._peaks(kind, encoding), mask_BL, parts))
        pooled_BC = torch.cat(pooled, 1)
        # A product of all rows may round a row by its batch (see `pooling`): a sum does not.
        out_BK = (pooled_BC[:, None] * self.weight).sum(-1) + self.bias
        if self.words is not None:
            letters_BVL = self._read("words", "words", encoding).letters_BVL
            counts = (parts or POOLING).word_counts
            out_BK = out_BK + self.words(letters_BVL, mask_BL, counts).to(out_BK.dtype)
        if self.places is not None:
            letters_BVL = self._read("places", "letters", encoding).letters_BVL
            out_BK = out_BK + self.places(letters_BVL, mask_BL).to(out_BK.dtype)
        return in_units(self, out_BK)

    def _peaks(self, kind: MaximaKind, encoding: Encoding | None) -> Tensor:
        """Channels (B, D, L) in the paired basis."""
        read = self._read("maxima", kind, encoding)
        if kind == "residual":
            return butterfly(read.residual_BDL, self.halves)
        if read.motifs_BDL is None:
            raise InputError("head.maxima", f"{kind}, of vectors alone", "one with a stem")
        return read.motifs_BDL

    def _read(self, key: str, what: str, encoding: Encoding | None) -> Encoding:
        """The encoding; raises InputError where vectors alone are given."""
        if encoding is None:
            raise InputError(f"head.{key}", f"{what}, of vectors alone", "the encoding they are of")
        return encoding


@HEADS.register("tracks")
class Tracks(nn.Module):
    """Outputs (B, L // bin, T): logits, or numbers in the labels' own units; 0 where a bin holds
    padding alone.

    On the other strand track t becomes track other(t): its even weights are those of other(t), its
    odd weights the opposite ones.

    Parameters
    ----------
    recipe : TracksRecipe
        Its labels are the T tracks, `bin` the letters of one number.
    encoder : OrchidRecipe
        Its `width` is the D of the vectors (B, L, D).
    """

    Recipe = TracksRecipe
    pools = False
    shift: Tensor
    scale: Tensor
    other: Tensor

    def __init__(self, recipe: TracksRecipe, encoder: OrchidRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.weight = nn.Parameter(
            torch.randn(recipe.outputs, encoder.width) / math.sqrt(encoder.width)
        )
        self.bias = nn.Parameter(torch.zeros(recipe.outputs))
        self.tied = recipe.strand == "both" and encoder.strands == "equivariant"
        self.register_buffer(
            "other", torch.tensor(recipe.other or range(recipe.outputs)), persistent=False
        )
        add_units(self, recipe.task, recipe.outputs)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.tied:
            even, odd = weight.chunk(2, 1)
            weight = torch.cat((even + even[self.other], odd - odd[self.other]), 1) / 2
            bias = (bias + bias[self.other]) / 2
        letters_BL = torch.ones_like(x_BLD[..., 0]) if mask_BL is None else mask_BL.to(x_BLD.dtype)
        letters_BN = self._sum_bins(letters_BL[..., None])[..., 0]
        x_BND = self._sum_bins(x_BLD * letters_BL[..., None])
        # A bin of padding alone is 0, not 0 / 0.
        x_BND = x_BND / letters_BN.clamp(min=1)[..., None]
        out_BTN = torch.matmul(weight.to(x_BND.dtype), x_BND.transpose(1, 2))
        out_BNT = out_BTN.transpose(1, 2) + bias
        out_BNT = in_units(self, out_BNT)
        return out_BNT * (letters_BN > 0)[..., None]

    def _sum_bins(self, x_BLC: Tensor) -> Tensor:
        """Sums over bins (B, L // bin, C)."""
        if self.recipe.bin == 1:
            return x_BLC
        B, L, C = x_BLC.shape
        count = L // self.recipe.bin
        return x_BLC[:, : count * self.recipe.bin].reshape(B, count, self.recipe.bin, C).sum(2)


@runtime_checkable
class LetterReader(Protocol):
    """A head that reads the letters themselves: its encoder has no layers, and is never run."""

    reads_letters: ClassVar[bool]

    def __call__(
        self, letters_BVL: Tensor, mask_BL: Tensor | None = None, parts: PoolParts | None = None
    ) -> Tensor: ...


def apply_head(
    head: Head | Vectors,
    encode: Callable[[Tensor, Tensor | None], Encoding],
    letters_BVL: Tensor,
    mask_BL: Tensor | None,
    parts: PoolParts | None = None,
) -> Tensor:
    """What a head makes of one-hot letters (B, V, L) of one length, through `encode` or without."""
    if isinstance(head, LetterReader):
        return head(letters_BVL, mask_BL, parts)
    encoding = encode(letters_BVL, mask_BL)
    if isinstance(head, Pooled):
        return head(encoding.vectors_BLD, mask_BL, encoding, parts)
    return head(encoding.vectors_BLD, mask_BL)


def bin_of(recipe: HeadRecipe | None) -> int:
    """Letters of one number of a head that answers along the sequence; 0 for any other head."""
    task = getattr(recipe, "supervised", None)
    return task.bin if isinstance(task, SupervisedTask) else 0


def answers(recipe: Any, outputs: Tensor) -> Tensor:
    """What a head's outputs say: probabilities (the positive class alone where binary), or numbers
    as they are.
    """
    if isinstance(recipe, LettersRecipe):
        return outputs.softmax(-1)
    return recipe.supervised.link(outputs)


def _channels(strand: Strand, encoder: OrchidRecipe) -> int:
    """Leading channels that a pooled head may read."""
    return (
        encoder.width // 2
        if strand == "both" and encoder.strands == "equivariant"
        else encoder.width
    )


def add_units(head: nn.Module, task: TaskName, outputs: int) -> None:
    """Add the buffers `shift` and `scale` to a head of numbers.

    Mean and spread of the training labels, kept with the weights: numbers leave a head in the
    labels' units.
    """
    if TASKS[task].has_numbers:
        head.register_buffer("shift", torch.zeros(outputs))
        head.register_buffer("scale", torch.ones(outputs))


def in_units(head: Any, outputs: Tensor) -> Tensor:
    """The outputs (..., K) of such a head in the labels' units; logits as they are."""
    return outputs * head.scale + head.shift if head.recipe.supervised.has_numbers else outputs
