"""A finetune recipe, and the arms of its comparison: an encoder with a head, from given or random
weights, or a CNN.

Every arm is searched alike: each learning rate with the first seed, the best on validation with the
other seeds. The trap is the test split: it is read once an arm, after everything is chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import nn

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.sets import SetRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.cnn import SmallCNN
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import Pooled, PooledRecipe, Tracks, TracksRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import PoolKind
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.supervised import (
    FitRecipe,
    SupervisedFit,
    SupervisedRecipe,
    answer,
    fit_supervised,
    padded_lengths,
    units,
)

Say = Callable[[str], None]
MODEL = "model"
RANDOM = "random weights"
CNN = "small CNN"


class HeadChoice(Strict):
    """How vectors become answers; task and labels are those of the data."""

    pool: PoolKind = "mean"
    strand: Literal["auto", "both", "forward"] = "auto"
    """auto: forward where the strand column holds both + and -, else both."""
    queries: int = Field(default=4, gt=0)
    other: tuple[int, ...] = ()
    """Tracks: what each becomes on the other strand."""


class BaselinesRecipe(Strict):
    """Which alternatives stand beside the model."""

    simple: bool = True
    """Majority, GC content, k-mers, gapped k-mers, letters by position."""
    sizes: tuple[int, ...] = (4, 5, 6)
    """k of the k-mers, chosen on validation."""
    cnn: bool = True
    cnn_rates: tuple[float, ...] = Field(default=(1e-3, 3e-3), min_length=1)
    random: bool = True
    """The same encoder from random weights, where the model begins from given ones."""
    random_spread: float = Field(default=0.5, ge=0)
    """Spread of its short taps (`model.short_spread`); begun at identity they are a straw man."""


class FinetuneRecipe(Strict):
    """One fine-tuning run, whole."""

    data: SetRecipe
    pretrained: RecipePath | None = None
    """A model folder to begin from."""
    model: OrchidRecipe | None = None
    """Or an encoder from random weights."""
    head: HeadChoice = HeadChoice()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    training: SupervisedRecipe = SupervisedRecipe()
    baselines: BaselinesRecipe = BaselinesRecipe()

    @model_validator(mode="after")
    def _one(self) -> "FinetuneRecipe":
        if (self.pretrained is None) == (self.model is None):
            message = "either pretrained, a model folder, or [model], an encoder from scratch"
            raise PydanticCustomError("model", message)
        return self


@dataclass(frozen=True)
class SeedFit:
    """One seed of an arm: its model, its answers, and how it was trained."""

    seed: int
    model: nn.Module
    loss: float
    """The lowest one minus the monitored score on validation."""
    validation: np.ndarray
    test: np.ndarray
    log: list[dict[str, Any]]


@dataclass(frozen=True)
class TrainedArm:
    """A trained arm: every seed at the rate that was best on validation."""

    name: str
    fits: tuple[SeedFit, ...]
    rate: float
    tried: dict[str, float]
    """The monitored score on validation of every rate."""
    seconds: float

    @property
    def best(self) -> SeedFit:
        """The seed that is best on validation."""
        return min(self.fits, key=lambda fit: fit.loss)

    @property
    def parameters(self) -> int:
        """Numbers in the model, trained or not."""
        return sum(p.numel() for p in self.best.model.parameters())

    @property
    def answered(self) -> Answered:
        """What the best seed answers."""
        chosen = f"rate {self.rate:g}"
        if len(self.tried) > 1:
            chosen += f", best of {len(self.tried)}"
        best = self.best
        return Answered(self.name, best.validation, best.test, chosen, self.parameters)


@dataclass(frozen=True)
class Arm:
    """An arm to be trained: what it is called, what makes its model, the rates to try."""

    name: str
    make: Callable[[int], nn.Module]
    """The untrained model of a seed."""
    rates: Sequence[float]


def arms_of(recipe: FinetuneRecipe, data: LabelledSet) -> list[Arm]:
    """The arms that a recipe asks for, the model first."""
    rates = recipe.training.rates or (recipe.optimizer.rate,)
    chosen = recipe.baselines
    arms = [Arm(MODEL, lambda seed: build_model(recipe, data, seed), rates)]
    if recipe.pretrained and chosen.random:
        arms.append(Arm(RANDOM, lambda seed: build_random(recipe, data, seed), rates))
    if chosen.cnn:
        arms.append(Arm(CNN, lambda seed: build_cnn(recipe, data, seed), chosen.cnn_rates))
    return arms


def strand_of(recipe: FinetuneRecipe, data: LabelledSet) -> Literal["both", "forward"]:
    """The strand of the head: as the recipe says, else as the data's strand column does."""
    if recipe.head.strand != "auto":
        return recipe.head.strand
    return "forward" if data.stranded else "both"


def head_of(recipe: FinetuneRecipe, data: LabelledSet) -> PooledRecipe | TracksRecipe:
    """The head that the data ask for."""
    task, choice = data.task, recipe.head
    values = {"task": task.name, "labels": task.labels, "strand": strand_of(recipe, data)}
    if task.bin:
        return TracksRecipe(bin=task.bin, other=choice.other, **values)
    return PooledRecipe(pool=choice.pool, queries=choice.queries, **values)


def build_model(recipe: FinetuneRecipe, data: LabelledSet, seed: int) -> OrchidModel:
    """The untrained model of one seed: the given encoder, or a random one, with a new head.

    Raises
    ------
    RecipeError
        For an encoder of another alphabet, or more layers to train than there are.
    """
    if recipe.pretrained is None:
        return _build(recipe, data, seed, encoder_of(recipe))
    given = OrchidModel.from_pretrained(recipe.pretrained)
    model = _build(recipe, data, seed, given.recipe.encoder)
    model.encoder.load_state_dict(given.encoder.state_dict())
    return model


def build_random(recipe: FinetuneRecipe, data: LabelledSet, seed: int) -> OrchidModel:
    """The same encoder from random weights, as a model from scratch would begin."""
    spread = {"short_spread": recipe.baselines.random_spread}
    return _build(recipe, data, seed, encoder_of(recipe).model_copy(update=spread))


def encoder_of(recipe: FinetuneRecipe) -> OrchidRecipe:
    """The shape of the encoder: that of the given model, or the recipe's own."""
    if recipe.model is not None:
        return recipe.model
    return OrchidModel.from_pretrained(recipe.pretrained).recipe.encoder


def _build(
    recipe: FinetuneRecipe, data: LabelledSet, seed: int, encoder: OrchidRecipe
) -> OrchidModel:
    """A model of random weights from one seed, with the head and the units of the data."""
    if encoder.alphabet != "dna":
        raise RecipeError("model.alphabet", f"{encoder.alphabet!r} cannot read DNA", "dna")
    if encoder.filter.longest is None:
        longest = float(padded_lengths(data).max())
        filter = encoder.filter.model_copy(update={"longest": longest})
        encoder = encoder.model_copy(update={"filter": filter})
    torch.manual_seed(seed)
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head_of(recipe, data)))
    if data.task.has_numbers and isinstance(model.head, Pooled | Tracks):
        shift, scale = units(data)
        model.head.get_buffer("shift").copy_(torch.from_numpy(shift))
        model.head.get_buffer("scale").copy_(torch.from_numpy(scale))
    _freeze(model, recipe.training.layers)
    return model


def _freeze(model: OrchidModel, layers: int | None) -> None:
    """Keep all but the last `layers` blocks, and the letters, as they are; the last norm goes with
    the last block.
    """
    if layers is None:
        return
    blocks = model.encoder.blocks
    if layers > len(blocks):
        message = f"{layers} of {len(blocks)} layers"
        raise RecipeError("training.layers", message, f"0 to {len(blocks)}")
    frozen = [model.encoder.letters, *blocks[: len(blocks) - layers]]
    if layers == 0:
        frozen.append(model.encoder.norm)
    for module in frozen:
        module.requires_grad_(False)


def build_cnn(recipe: FinetuneRecipe, data: LabelledSet, seed: int) -> SmallCNN:
    """The small convolutional network of one seed; all of it is trained."""
    torch.manual_seed(seed)
    lengths = data.lengths
    shift, scale = (torch.from_numpy(value) for value in units(data))
    return SmallCNN(
        data.task.outputs,
        strand_of(recipe, data),
        anchored=bool(lengths.min() == lengths.max()),
        shift=shift,
        scale=scale,
        bin=data.task.bin,
    )


def train_arm(
    arm: Arm,
    recipe: FinetuneRecipe,
    data: LabelledSet,
    folder: Path,
    ranks: Ranks,
    say: Say,
) -> TrainedArm:
    """Search the rates with the first seed, then train the other seeds with the best.

    What stands in `folder` is resumed.
    """
    seeds, first = recipe.training.seeds, recipe.training.seeds[0]

    def fit(rate: float, seed: int) -> SupervisedFit:
        say(f"{arm.name}: rate {rate:g}, seed {seed}")
        return _fit(arm, recipe, data, rate=rate, seed=seed, folder=folder, ranks=ranks)

    searched = {rate: fit(rate, first) for rate in arm.rates}
    best = min(searched, key=lambda rate: searched[rate].loss)
    others = [fit(best, seed) for seed in seeds[1:]]
    chosen = [searched[best], *others]
    fits = [_answered(done, data, seed, ranks) for done, seed in zip(chosen, seeds, strict=True)]
    return TrainedArm(
        name=arm.name,
        fits=tuple(fits),
        rate=best,
        tried={f"{rate:g}": round(1 - done.loss, 4) for rate, done in searched.items()},
        seconds=sum(done.seconds for done in [*searched.values(), *others]),
    )


def _fit(
    arm: Arm,
    recipe: FinetuneRecipe,
    data: LabelledSet,
    *,
    rate: float,
    seed: int,
    folder: Path,
    ranks: Ranks,
) -> SupervisedFit:
    """One model of an arm, trained in a folder of its own."""
    model = arm.make(seed)
    # An equivariant encoder with a strand-blind head answers both strands alike; a dense one has to
    # see both.
    is_dense = isinstance(model, OrchidModel) and model.recipe.encoder.strands == "dense"
    return fit_supervised(
        model,
        data,
        recipe.training,
        optimizer=recipe.optimizer.model_copy(update={"rate": rate}),
        identity=FitRecipe(
            arm=arm.name, rate=rate, seed=seed, recipe=recipe.model_dump(mode="json")
        ),
        flip=is_dense and strand_of(recipe, data) == "both",
        folder=folder / f"{arm.name.replace(' ', '-')}-rate{rate:g}-seed{seed}",
        ranks=ranks,
    )


def _answered(done: SupervisedFit, data: LabelledSet, seed: int, ranks: Ranks) -> SeedFit:
    """A trained model with its answers on validation and test."""
    return SeedFit(
        seed=seed,
        model=done.model,
        loss=done.loss,
        validation=answer(done.model, data, data.rows("validation"), ranks.device),
        test=answer(done.model, data, data.rows("test"), ranks.device),
        log=done.log,
    )
