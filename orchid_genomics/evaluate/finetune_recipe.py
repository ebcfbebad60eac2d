"""The recipe of one fine-tuning run; what it leaves out follows from the data (`candidates`)."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from orchid_genomics.data.labelled.sets import SetRecipe
from orchid_genomics.model.catalogue import ModelName
from orchid_genomics.model.heads import HEADS, MaximaKind, check_parts
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import PoolKind
from orchid_genomics.recipe import Strict, one_of
from orchid_genomics.train.optimizer import OptimizerRecipe

UNITS = {"s": 1, "min": 60, "h": 3600}


class FinetuneEncoder(OrchidRecipe):
    """An encoder from random weights: one layer above a stem of motifs.

    Peaks of a thousand rows and more were learned best so; deeper ones were starved of steps. With
    a stem that begins at enriched words, width 48 loses nothing to 96 and halves a step; the stem
    itself gains from twice as many motifs.
    """

    width: int = Field(default=48, gt=0, multiple_of=2)
    """Channels D of a position."""
    depth: int = Field(default=1, gt=0)
    """Blocks, one above the other."""
    mlp: float = Field(default=1.0, gt=0)
    """Width of the gated MLP in units of `width`."""
    short_spread: float = Field(default=0.5, ge=0)
    """Standard deviation of the short convolutions' taps around the identity at the start."""
    stem: int = Field(default=23, ge=0)
    """Letters of the motif filters beside the embedding, an odd number such as 23; 0: none."""
    stem_width: int = Field(default=96, ge=0, multiple_of=2)
    """Features of the stem, each motif on both strands; 0: `width`."""
    stem_word: int = Field(default=7, ge=0)
    """Letters in the middle of a random motif filter that it begins with; 0: all that it reads."""

    @property
    def shape(self) -> OrchidRecipe:
        """What a model folder keeps: it knows no other defaults than those of its own recipe."""
        return OrchidRecipe(**{key: getattr(self, key) for key in OrchidRecipe.model_fields})


class HeadChoice(Strict):
    """How vectors become answers; task and labels are those of the data."""

    pool: PoolKind | None = None
    """Not given: searched on validation, with the maxima beside it; given: no maxima but yours."""
    maxima: tuple[MaximaKind, ...] | None = None
    """Maxima read beside the pool: residual, before the last norm; stem, its motifs."""
    stretches: int | None = Field(default=None, gt=0)
    """Equal parts of a sequence whose maxima stand side by side."""
    middles: int | None = Field(default=None, ge=0, le=16)
    """How often a part about the middle is halved, whose maxima stand beside those of the whole;
    if not given, to 25 letters, and validation may prefer the whole alone."""
    strand: Literal["auto", "both", "forward"] = "auto"
    """auto: forward where the strand column holds both + and -, or where the rows themselves say so
    (`evaluate.orientation`), else both."""
    queries: int = Field(default=4, gt=0)
    """Of attention pooling: how many positions are asked for."""
    words: bool = True
    """Add weights of words of 5 or 6 letters, a k-mer regression, where validation is better."""
    places: bool = True
    """Add weights of letters by position where validation is better, and a place means the same in
    all rows: they are read on one strand and have one length."""
    other: tuple[int, ...] = ()
    """Tracks: what each becomes on the other strand."""
    kind: Annotated[str, one_of(HEADS)] | None = None
    """A head that another package registers, in place of ours; the keys above are not its own."""
    keys: dict[str, Any] = Field(default_factory=dict)
    """The keys of that head; `task` and `labels` are those of the data."""

    _parted = model_validator(mode="after")(check_parts)

    @model_validator(mode="after")
    def _parts_of_nothing(self) -> "HeadChoice":
        has_no_maxima = self.maxima == () or (self.pool is not None and self.maxima is None)
        if has_no_maxima and (self.middles or (self.stretches or 1) > 1):
            message = "middles and stretches are parts of maxima; and maxima is not given"
            raise PydanticCustomError("maxima", message)
        return self

    @model_validator(mode="after")
    def _outside(self) -> "HeadChoice":
        if self.kind is not None and HEADS[self.kind].__module__.startswith("orchid_genomics."):
            words = {"kind": self.kind}
            message = "{kind} is chosen by the data; kinds of other packages alone are named here"
            raise PydanticCustomError("kind", message, words)
        if self.keys and self.kind is None:
            raise PydanticCustomError("keys", "the keys of a head whose kind is not given")
        return self


class FinetuneOptimizer(OptimizerRecipe):
    """AdamW, warm-up and cosine."""

    rate: float = Field(default=0.0, ge=0)
    """Peak learning rate; 0: searched on validation."""


class FinetuneTraining(Strict):
    """How long, how wide, how often; what is searched; and what of the encoder is trained."""

    budget: int | str | None = None
    """What each arm may try: a number of candidates, or a time such as "5 min"; by size if not
    given."""
    epochs: int | None = Field(default=None, gt=0)
    """About fifteen hundred steps if not given: 6 to 30 epochs."""
    batch: int | None = Field(default=None, gt=0)
    """16 if not given, 32 from 10,000 training rows."""
    accumulate: int = Field(default=1, gt=0)
    """Parts of a batch that are run one after another."""
    rates: tuple[float, ...] = Field(default=(), max_length=8)
    """Learning rates to try in place of the search."""
    noise: float | None = Field(default=None, ge=0, lt=1)
    """Share of the letters shown as MASK in training; searched if not given."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """The first one searches, the best candidate is trained with the others too."""
    networks: int = Field(default=4, gt=0, le=32)
    """Of all that are trained, how many answer together at most: the best on validation, but for
    those that spoil their mean there; 1: the best alone, as with a head of another package."""
    folds: int = Field(default=0, ge=0, le=20)
    """Cross-validation over families or whole contigs in place of the split; 0: the split."""
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(), max_length=8)
    """Label efficiency: shares of the training rows, such as [0.01, 0.1, 1], that all arms and
    baselines are measured at as well.
    """
    layers: int | None = Field(default=None, ge=0)
    """How many of the last layers are trained: all if not given, 0 for the head alone (a probe)."""
    adapter: int | None = Field(default=None, ge=0)
    """Rank of low-rank updates of a given model's products (LoRA), trained with the head in place
    of its weights and merged into them; 0: none; not given: among the last candidates.
    """
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class, or the two answers of every label, have the same say in the loss."""
    checks: int | None = Field(default=None, gt=0)
    """Validations an epoch; 1 if not given, 4 where there are fewer than five epochs."""
    patience: int | None = Field(default=None, ge=0)
    """Stop after so many validations without a better one, half of all if not given; 0: never."""
    checkpointing: bool = False
    """Compute every block again in the backward pass rather than keep its activations."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 activations on CUDA, float32 on CPU."""

    @model_validator(mode="after")
    def _shares(self) -> "FinetuneTraining":
        if self.shares and self.folds:
            raise PydanticCustomError("shares", "either shares, or folds")
        return self

    @model_validator(mode="after")
    def _adapts(self) -> "FinetuneTraining":
        if self.adapter and self.layers is not None:
            raise PydanticCustomError("adapter", "either layers, or an adapter in place of all")
        return self

    @field_validator("budget")
    @classmethod
    def _budget(cls, budget: int | str | None) -> int | str | None:
        if isinstance(budget, str):
            seconds_of(budget)
        elif budget is not None and budget < 1:
            raise PydanticCustomError("budget", '1 candidate or more, or a time such as "5 min"')
        return budget


class BaselinesRecipe(Strict):
    """Which alternatives stand beside the model."""

    simple: bool = True
    """Majority, GC content, k-mers, gapped k-mers, letters by position."""
    sizes: tuple[int, ...] = (4, 5, 6)
    """k of the k-mers, chosen on validation."""
    cnn: bool = True
    """Whether a small CNN stands beside the model."""
    cnn_rates: tuple[float, ...] = Field(default=(), max_length=8)
    """Learning rates of the CNN; if not given, it has the model's budget."""
    random: bool = True
    """The same encoder from random weights, where the model begins from given ones."""
    random_spread: float = Field(default=0.5, ge=0)
    """Spread of its short taps (`model.short_spread`); begun at identity they are a straw man."""


class FinetuneRecipe(Strict):
    """One fine-tuning run, whole; `data` alone is enough."""

    data: SetRecipe
    """The labelled data; `kind` says in which form."""
    pretrained: ModelName | None = None
    """A model to begin from: a folder, a name such as "yeast", or the hub's OWNER/NAME."""
    model: FinetuneEncoder | None = None
    """Or the shape of an encoder from random weights, where it is not the usual one."""
    head: HeadChoice = HeadChoice()
    """How vectors become answers."""
    optimizer: FinetuneOptimizer = FinetuneOptimizer()
    """AdamW and its schedule."""
    training: FinetuneTraining = FinetuneTraining()
    """How long, what is searched, what is trained."""
    baselines: BaselinesRecipe = BaselinesRecipe()
    """Which alternatives stand beside the model."""
    licence: str | None = None
    """What may be done with the model, as SPDX has it; None: as with the one it begins from."""
    arm: Literal["encoder", "cnn"] = "encoder"
    """What model/ holds; the other trained arms are in arms/."""

    @model_validator(mode="after")
    def _has_arm(self) -> "FinetuneRecipe":
        if self.arm == "cnn" and not self.baselines.cnn:
            message = 'arm is cnn, and baselines.cnn is false; arm = "encoder", or a CNN'
            raise PydanticCustomError("arm", message)
        return self

    @model_validator(mode="after")
    def _one(self) -> "FinetuneRecipe":
        if self.pretrained is not None and self.model is not None:
            message = "either pretrained, a model folder, or [model], an encoder from scratch"
            raise PydanticCustomError("model", message)
        return self

    @model_validator(mode="after")
    def _adapts(self) -> "FinetuneRecipe":
        # Random weights that nothing trains would stay random.
        if self.training.adapter and self.pretrained is None:
            message = "training.adapter updates a given model, and none is named by pretrained"
            raise PydanticCustomError("adapter", message)
        return self


def seconds_of(budget: str) -> float:
    """The seconds of a time such as "90 s", "5 min" or "1.5 h"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *(s|min|h)", budget.strip())
    if match is None or float(match[1]) == 0:
        words = {"budget": budget}
        message = "{budget} is no time; a number and s, min or h, such as 5 min"
        raise PydanticCustomError("budget", message, words)
    return float(match[1]) * UNITS[match[2]]
