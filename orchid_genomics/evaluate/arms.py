"""A finetune recipe, and the training of one arm of it: an encoder with a head, from given or
random weights, or a CNN.

Every arm is searched alike: each learning rate with the first seed, the best on validation with the
other seeds. The trap is the test split: nothing here reads it.
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

from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.sets import SetRecipe
from orchid_genomics.data.loader import batches
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.cnn import SmallCNN
from orchid_genomics.evaluate.metrics import NAMES, scored, thresholds_of
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe, TracksRecipe, answers
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import PoolKind
from orchid_genomics.recipe import RecipePath, Strict
from orchid_genomics.train.distributed import Ranks, check_batch
from orchid_genomics.train.loop import Fit, Stage, TrainingRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe
from orchid_genomics.train.run import BEST, Run
from orchid_genomics.train.supervised import Supervised, balanced, padded_lengths, predict, units


class HeadChoice(Strict):
    """How vectors become answers; task and labels are those of the data."""

    pool: PoolKind = "mean"
    strand: Literal["auto", "both", "forward"] = "auto"
    """auto: forward where the strand column holds both + and -, else both."""
    queries: int = Field(default=4, gt=0)
    other: tuple[int, ...] = ()
    """Tracks: what each becomes on the other strand."""


class SupervisedRecipe(Strict):
    """How long, how wide, how often; and what of the encoder is trained."""

    epochs: int = Field(default=10, gt=0)
    batch: int = Field(default=32, gt=0)
    accumulate: int = Field(default=1, gt=0)
    rates: tuple[float, ...] = Field(default=(), max_length=8)
    """Learning rates to try, every arm the same; empty: optimizer.rate."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    folds: int = Field(default=0, ge=0, le=20)
    """Cross-validation over families or whole contigs in place of the split; 0: the split."""
    layers: int | None = Field(default=None, ge=0)
    """How many of the last layers are trained; all when not given, 0 for the head alone (a probe)."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class, or the two answers of every label, have the same say in the loss."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Share of the letters shown as MASK in training."""
    checks: int = Field(default=1, gt=0)
    """Validations an epoch."""
    patience: int = Field(default=4, ge=0)
    """Stop after so many validations without a better one; 0: never."""
    checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


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
    """Spread of its short taps (`model.short_spread`): begun at identity they stand on a plateau, a straw man."""


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
            raise PydanticCustomError(
                "model", "either pretrained, a model folder, or [model], an encoder from scratch"
            )
        return self


class _FitRecipe(Strict):
    """What one fit is, so that a resumed one is the same."""

    arm: str
    rate: float
    seed: int
    recipe: dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A trained arm: answers on validation and test a seed, the model of the best seed, and what
    was chosen.
    """

    name: str
    model: nn.Module
    rate: float
    seeds: tuple[int, ...]
    validation: list[np.ndarray]
    test: list[np.ndarray]
    best: int
    """Which seed is best on validation."""
    tried: dict[str, float]
    """Validation of every rate."""
    seconds: float
    logs: list[list[dict[str, Any]]]

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


def strand_of(recipe: FinetuneRecipe, data: LabelledSet) -> Literal["both", "forward"]:
    """The strand of the head: as the recipe says, else as the data's strand column does."""
    if recipe.head.strand != "auto":
        return recipe.head.strand
    return "forward" if data.stranded else "both"


def head_of(recipe: FinetuneRecipe, data: LabelledSet) -> PooledRecipe | TracksRecipe:
    """The head that the data ask for."""
    strand = strand_of(recipe, data)
    if data.bin:
        return TracksRecipe(
            task=data.task, labels=data.labels, bin=data.bin, strand=strand, other=recipe.head.other
        )
    choice = recipe.head
    return PooledRecipe(
        task=data.task, labels=data.labels, pool=choice.pool, strand=strand, queries=choice.queries
    )


def build(recipe: FinetuneRecipe, data: LabelledSet, seed: int, fresh: bool = False) -> OrchidModel:
    """The untrained model of one seed; `fresh` leaves the pretrained weights out, and spreads the
    short taps.
    """
    given = OrchidModel.from_pretrained(recipe.pretrained) if recipe.pretrained else None
    encoder = given.recipe.encoder if given else recipe.model
    if encoder.alphabet != "dna":
        raise RecipeError("model.alphabet", f"{encoder.alphabet!r} cannot read DNA", "dna")
    if encoder.filter.longest is None:
        longest = float(padded_lengths(data).max())
        encoder = encoder.model_copy(
            update={"filter": encoder.filter.model_copy(update={"longest": longest})}
        )
    if fresh:
        encoder = encoder.model_copy(update={"short_spread": recipe.baselines.random_spread})
    torch.manual_seed(seed)
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head_of(recipe, data)))
    if given and not fresh:
        model.encoder.load_state_dict(given.encoder.state_dict())
    if data.task == "regression":
        shift, scale = units(data)
        model.head.shift.copy_(torch.from_numpy(shift))
        model.head.scale.copy_(torch.from_numpy(scale))
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
        raise RecipeError(
            "training.layers", f"{layers} of {len(blocks)} layers", f"0 to {len(blocks)}"
        )
    frozen = [
        model.encoder.letters,
        *blocks[: len(blocks) - layers],
        *([] if layers else [model.encoder.norm]),
    ]
    for module in frozen:
        module.requires_grad_(False)


def cnn(recipe: FinetuneRecipe, data: LabelledSet, seed: int) -> SmallCNN:
    """The small convolutional network of one seed."""
    torch.manual_seed(seed)
    lengths = data.lengths
    outputs = 1 if data.task == "binary" else len(data.labels)
    shift, scale = (torch.from_numpy(value) for value in units(data))
    return SmallCNN(
        outputs,
        strand_of(recipe, data),
        bool(lengths.min() == lengths.max()),
        shift,
        scale,
        data.bin,
    )


def answers_on(
    model: nn.Module, data: LabelledSet, rows: np.ndarray, head: Any, device: torch.device
) -> np.ndarray:
    """Probabilities or numbers (n, K), or tracks (n, P, K)."""
    model.eval()
    outputs = predict(model, [data.tokens[row] for row in rows], device)
    return answers(head, torch.from_numpy(outputs)).numpy()


def flat(
    data: LabelledSet, rows: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, targets and families over rows, or over the bins of tracks that have a number for
    every track.
    """
    target = data.target[rows]
    if not data.bin:
        return found, target, data.group[rows]
    target = target[:, : found.shape[1]]
    known = np.isfinite(target).all(2) & np.isfinite(found).all(2)
    return (
        found[known],
        target[known],
        np.repeat(data.group[rows][:, None], known.shape[1], 1)[known],
    )


def monitored(data: LabelledSet, found: np.ndarray, rows: np.ndarray) -> float:
    """1 - AUROC (over classes: their mean) or 1 - Pearson's correlation: what early stopping is by."""
    answer, target, _ = flat(data, rows, found)
    thresholds = thresholds_of(data.task, answer, target)
    score = scored(data.task, answer, target, thresholds, np.ones((1, len(answer))))[
        monitor(data.task)
    ][0]
    return 1.0 - float(score) if np.isfinite(score) else 1.0


def monitor(task: str) -> str:
    return "AUROC" if "AUROC" in NAMES[task] else "Pearson"


def train_arm(
    name: str,
    make: Callable[[int], nn.Module],
    recipe: FinetuneRecipe,
    data: LabelledSet,
    rates: Sequence[float],
    folder: Path,
    ranks: Ranks,
    say: Callable[[str], None],
) -> Fitted:
    """Search the rates with the first seed, then train the other seeds with the best; resumes what
    is there.
    """
    seeds, head = recipe.training.seeds, head_of(recipe, data)
    validation, test = data.rows("validation"), data.rows("test")
    trained = {}
    for rate in rates:
        say(f"{name}: rate {rate:g}, seed {seeds[0]}")
        trained[rate] = _fit(name, make, recipe, data, rate, seeds[0], folder, ranks)
    best = min(trained, key=lambda rate: trained[rate][1])
    runs = [trained[best]]
    for seed in seeds[1:]:
        say(f"{name}: rate {best:g}, seed {seed}")
        runs.append(_fit(name, make, recipe, data, best, seed, folder, ranks))
    which = min(range(len(runs)), key=lambda at: runs[at][1])
    tried = {f"{rate:g}": round(1 - run[1], 4) for rate, run in trained.items()}
    both = [
        [answers_on(run[0], data, rows, head, ranks.device) for run in runs]
        for rows in (validation, test)
    ]
    seconds = sum(run[2] for run in [*trained.values(), *runs[1:]])
    return Fitted(
        name, runs[which][0], best, seeds, *both, which, tried, seconds, [run[3] for run in runs]
    )


def _fit(
    name: str,
    make: Callable[[int], nn.Module],
    recipe: FinetuneRecipe,
    data: LabelledSet,
    rate: float,
    seed: int,
    folder: Path,
    ranks: Ranks,
) -> tuple[nn.Module, float, float, list[dict[str, Any]]]:
    """One fit: the model with its best weights on validation, that validation, seconds, and the
    log.
    """
    training, model, validation = recipe.training, make(seed), data.rows("validation")
    check_batch(training.batch, training.accumulate, ranks.world, "training.batch")
    flip = strand_of(recipe, data) == "both" and isinstance(model, OrchidModel)
    flip = flip and model.recipe.encoder.strands == "dense"
    epochs = Epochs(data.tokens, data.rows("train"), padded_lengths(data), training.batch, flip)
    weights = balanced(data) if training.class_weights == "balanced" else None
    words = f"validation_1-{monitor(data.task)}"
    objective = Supervised(data, epochs, weights, training.noise, words)
    every = max(1, epochs.steps // training.checks)
    loop = TrainingRecipe(
        steps=epochs.steps * training.epochs, batch=training.batch, accumulate=training.accumulate,
        checkpointing=training.checkpointing, precision=training.precision, save_every=every, validate_every=every,
        patience=training.patience,
    )  # fmt: skip
    place = folder / f"{name.replace(' ', '-')}-rate{rate:g}-seed{seed}"
    told = _FitRecipe(arm=name, rate=rate, seed=seed, recipe=recipe.model_dump(mode="json"))
    run = Run(place, told, resume=(place / "recipe.json").exists(), writes=ranks.main).begin()
    head = head_of(recipe, data)

    def check() -> float:
        return monitored(data, answers_on(model, data, validation, head, ranks.device), validation)

    def read(first: int, last: int, rows: Sequence[int]) -> Any:
        return batches(epochs, seed, first, last, rows)

    stage = Stage(int(data.lengths.mean()), loop.steps, loop.batch, loop.accumulate, read)
    optimizer = recipe.optimizer.model_copy(update={"rate": rate})
    progress = Fit(model, objective, [stage], loop, optimizer, seed, run, ranks, check).run()
    state = run.load(BEST, ranks.device)
    if state is not None:
        model.load_state_dict(state["model"])
    return model.eval(), progress.best, progress.seconds, run.lines()
