"""The arms of a comparison that are trained: an encoder with a head, from given or random weights,
and a CNN.

Every arm is searched alike: each candidate with the first seed, the best on validation with the
other seeds. The trap is the test split: it is read once an arm, after everything is chosen.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.candidates import (
    STRETCHES,
    Candidate,
    Reading,
    begins_at_motifs,
    cnn_candidates,
    encoder_of,
    head_of,
    is_anchored,
    model_candidates,
    strand_of,
    takes_words,
)
from orchid_genomics.evaluate.enriched import motifs_to_begin_with
from orchid_genomics.evaluate.finetune_recipe import FinetuneEncoder, FinetuneRecipe
from orchid_genomics.evaluate.word_search import WordSearch
from orchid_genomics.model.adapters import adapt, merge
from orchid_genomics.model.cnn import CNNRecipe, cnn_encoder
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LetterReader
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.supervised import (
    FitRecipe,
    SupervisedFit,
    answer,
    fit_supervised,
    padded_lengths,
    units,
    validation_loss,
)

Say = Callable[[str], None]
MODEL = "model"
RANDOM = "random weights"
CNN = "small CNN"
ALONE = "model without words"
"""The model's own answer before words were added to it, which is no alternative to it."""
MOTIFS = 24
"""The most enriched motifs that a stem of random weights begins with."""
ARMS = {"encoder": MODEL, "cnn": CNN}
"""What a recipe calls the arm that `model/` is to hold."""


@dataclass(frozen=True)
class SeedFit:
    """One seed of an arm: its model, its answers, and how it was trained."""

    seed: int
    model: OrchidModel
    loss: float
    """The lowest one minus the monitored score on validation."""
    validation: np.ndarray
    test: np.ndarray
    log: list[dict[str, Any]]
    alone: "SeedFit | None" = None
    """The same without the words that were added to its answer; None where none were."""


@dataclass(frozen=True)
class TrainedArm:
    """A trained arm: every seed of the candidate that was best on validation."""

    name: str
    fits: tuple[SeedFit, ...]
    candidate: Candidate
    tried: dict[str, float]
    """The monitored score on validation of every candidate."""
    seconds: float
    words: str = ""
    """What words were tried beside it, and what came of that, for notes."""

    @property
    def best(self) -> SeedFit:
        """The seed that is best on validation."""
        return min(self.fits, key=lambda fit: fit.loss)

    @property
    def parameters(self) -> int:
        """Numbers in the model, trained or not; of a head that reads letters, its own alone."""
        return _parameters(self.best.model)

    @property
    def answered(self) -> Answered:
        """The mean of what all seeds answer."""
        chosen = self.candidate.words
        if len(self.tried) > 1:
            chosen += f", best of {len(self.tried)}"
        if len(self.fits) > 1:
            chosen += f", mean of {len(self.fits)} seeds"
        return self._mean_of(self.fits, chosen)

    @property
    def alone(self) -> Answered | None:
        """What all seeds answer without words; None where no words were added."""
        fits = [fit.alone for fit in self.fits if fit.alone is not None]
        if not fits:
            return None
        return replace(self._mean_of(fits), name=ALONE, parameters=_parameters(fits[0].model))

    def _mean_of(self, fits: Sequence[SeedFit], chosen: str = "") -> Answered:
        validation = np.mean([fit.validation for fit in fits], 0)
        test = np.mean([fit.test for fit in fits], 0)
        return Answered(self.name, validation, test, chosen, self.parameters)


def _parameters(model: OrchidModel) -> int:
    skipped = model.encoder.parameters() if isinstance(model.head, LetterReader) else ()
    return sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in skipped)


@dataclass(frozen=True)
class Arm:
    """An arm to be trained: what it is called, what makes its model, what is tried."""

    name: str
    make: Callable[[Candidate, int], OrchidModel]
    """The untrained model of a candidate and a seed."""
    candidates: Sequence[Candidate]
    takes_words: bool = False
    """Whether weights of words may be added to what it answers."""


def arms_of(recipe: FinetuneRecipe, data: LabelledSet) -> list[Arm]:
    """The arms that a recipe asks for, the model first."""
    candidates, chosen = model_candidates(recipe, data), recipe.baselines

    @cache
    def motifs(taps: int) -> Tensor:
        log_odds = motifs_to_begin_with(data, MOTIFS, taps, strand_of(recipe, data) == "both")
        return torch.from_numpy(log_odds).float()

    def model(candidate: Candidate, seed: int) -> OrchidModel:
        own = candidate.encoder or recipe.model
        shaped = of_candidate(candidate).model_copy(update={"model": own})
        made = build_model(shaped, data, seed, candidate.reading)
        if made.encoder.stem is not None and begins_at_motifs(recipe, data):
            word = (own or FinetuneEncoder()).stem_word
            made.encoder.stem.begin_at(motifs(made.encoder.recipe.stem), word)
        return made

    def random(candidate: Candidate, seed: int) -> OrchidModel:
        return build_random(of_candidate(candidate), data, seed, candidate.reading)

    def of_candidate(candidate: Candidate) -> FinetuneRecipe:
        if candidate.tuned is None:
            return recipe
        parts = {"layers": candidate.tuned.layers, "adapter": candidate.tuned.adapter}
        training = recipe.training.model_copy(update=parts)
        return recipe.model_copy(update={"training": training})

    words = takes_words(recipe, data)
    arms = [Arm(MODEL, model, candidates, words)]
    if recipe.pretrained and chosen.random:
        arms.append(Arm(RANDOM, random, candidates, words))
    if chosen.cnn:
        cnn = cnn_candidates(recipe, data)
        arms.append(Arm(CNN, lambda _, seed: build_cnn(recipe, data, seed), cnn))
    return arms


def build_model(
    recipe: FinetuneRecipe, data: LabelledSet, seed: int, reading: Reading | None
) -> OrchidModel:
    """The untrained model of one seed: the given encoder, or a random one, with a new head.

    Raises
    ------
    RecipeError
        For an encoder of another alphabet, or more layers to train than there are.
    """
    model = _build(recipe, data, seed, encoder_of(recipe), reading)
    if recipe.pretrained is not None:
        given = OrchidModel.from_pretrained(recipe.pretrained)
        # The encoder alone: whatever the given model predicts, the head is new.
        model.encoder.load_state_dict(given.encoder.state_dict())
    adapt(model.encoder, recipe.training.adapter or 0)
    return model


def build_random(
    recipe: FinetuneRecipe, data: LabelledSet, seed: int, reading: Reading | None
) -> OrchidModel:
    """The same encoder from random weights, as a model from scratch would begin."""
    spread = {"short_spread": recipe.baselines.random_spread}
    encoder = encoder_of(recipe).model_copy(update=spread)
    model = _build(recipe, data, seed, encoder, reading)
    adapt(model.encoder, recipe.training.adapter or 0)
    return model


def _build(
    recipe: FinetuneRecipe,
    data: LabelledSet,
    seed: int,
    encoder: OrchidRecipe,
    reading: Reading | None,
) -> OrchidModel:
    """A model of random weights from one seed, with the head and the units of the data."""
    if encoder.alphabet != "dna":
        raise RecipeError("model.alphabet", f"{encoder.alphabet!r} cannot read DNA", "dna")
    # No row has farther lags, and decay lengths that nothing trains hurt (`model.filters`).
    if encoder.filter.longest is None:
        longest = float(padded_lengths(data).max())
        filter = encoder.filter.model_copy(update={"longest": longest})
        encoder = encoder.model_copy(update={"filter": filter})
    # Here, so that what was drawn before does not matter: a seed says the weights.
    torch.manual_seed(seed)
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head_of(recipe, data, reading)))
    _keep_units(model, data)
    _freeze(model, recipe.training.layers)
    return model


def _keep_units(model: OrchidModel, data: LabelledSet) -> None:
    """Give a head of numbers the units of the training rows."""
    buffers = dict(model.named_buffers())
    # A head of another package may have no units of its own.
    if data.task.has_numbers and "head.shift" in buffers:
        shift, scale = units(data)
        buffers["head.shift"].copy_(torch.from_numpy(shift))
        buffers["head.scale"].copy_(torch.from_numpy(scale))


def _freeze(model: OrchidModel, layers: int | None) -> None:
    """Keep all but the last `layers` blocks, and what is below them, as they are; the last norm
    goes with the last block.
    """
    if layers is None:
        return
    blocks = model.encoder.blocks
    if layers > len(blocks):
        message = f"{layers} of {len(blocks)} layers"
        raise RecipeError("training.layers", message, f"0 to {len(blocks)}")
    below = blocks[: len(blocks) - layers]
    frozen = [model.encoder.letters, *model.encoder.convolutions, *below]
    frozen += [part for part in (model.encoder.stem, model.encoder.narrow) if part is not None]
    if layers == 0:
        frozen.append(model.encoder.norm)
    for module in frozen:
        module.requires_grad_(False)


def build_cnn(recipe: FinetuneRecipe, data: LabelledSet, seed: int) -> OrchidModel:
    """The small convolutional network of one seed; all of it is trained."""
    torch.manual_seed(seed)
    head = CNNRecipe(
        task=data.task.name,
        labels=data.task.labels,
        strand=strand_of(recipe, data),
        stretches=STRETCHES if is_anchored(recipe, data) and not data.task.bin else 1,
        bin=data.task.bin,
    )
    model = OrchidModel(ModelRecipe(encoder=cnn_encoder(), head=head))
    # It is not run, and ranks wait for the gradient of all that asks for one.
    model.encoder.requires_grad_(False)
    _keep_units(model, data)
    return model


def train_arm(
    arm: Arm,
    recipe: FinetuneRecipe,
    data: LabelledSet,
    folder: Path,
    ranks: Ranks,
    say: Say,
    words: WordSearch,
) -> TrainedArm:
    """Train every candidate with the first seed, then the best one with the other seeds; then add
    words to each, where validation is better for it.

    What stands in `folder` is resumed.
    """
    seeds, first = recipe.training.seeds, recipe.training.seeds[0]

    def fit(candidate: Candidate, seed: int) -> SupervisedFit[OrchidModel]:
        say(f"{arm.name}: {candidate.words}, seed {seed}")
        return fit_candidate(
            arm, recipe, data, candidate=candidate, seed=seed, folder=folder, ranks=ranks
        )

    searched = {candidate: fit(candidate, first) for candidate in arm.candidates}
    # By validation and one seed alone: test rows choose nothing.
    best = min(searched, key=lambda candidate: searched[candidate].loss)
    others = [fit(best, seed) for seed in seeds[1:]]
    chosen = [searched[best], *others]
    fits = [_answer(done, data, seed, ranks) for done, seed in zip(chosen, seeds, strict=True)]
    if arm.takes_words:
        say(f"{arm.name}: fitting words beside it")
        fits = _with_words(fits, data, ranks, words)
    return TrainedArm(
        name=arm.name,
        fits=tuple(fits),
        candidate=best,
        tried={each.words: round(1 - done.loss, 4) for each, done in searched.items()},
        seconds=sum(done.seconds for done in [*searched.values(), *others]),
        words=_words_note(fits, words) if arm.takes_words else "",
    )


def fit_candidate(
    arm: Arm,
    recipe: FinetuneRecipe,
    data: LabelledSet,
    *,
    candidate: Candidate,
    seed: int,
    folder: Path,
    ranks: Ranks,
) -> SupervisedFit[OrchidModel]:
    """One model of an arm, trained in a folder of its own within `folder`, its adapters merged."""
    model = arm.make(candidate, seed)
    # An equivariant encoder with a strand-blind head answers both strands alike; a dense one has to
    # see both.
    is_dense = model.recipe.encoder.strands == "dense"
    words = re.sub(r"[^\w.]+", "-", f"{arm.name}-{candidate.words}")
    done = fit_supervised(
        model,
        data,
        candidate.training,
        optimizer=recipe.optimizer.model_copy(update={"rate": candidate.rate}),
        identity=FitRecipe(
            arm=arm.name,
            candidate=candidate.words,
            rate=candidate.rate,
            seed=seed,
            training=candidate.training,
            recipe=recipe.model_dump(mode="json"),
        ),
        flip=is_dense and strand_of(recipe, data) == "both",
        folder=folder / f"{words}-seed{seed}",
        ranks=ranks,
    )
    # Before it answers: what is measured is what its folder will hold.
    merge(done.model)
    return done


def _answer(
    done: SupervisedFit[OrchidModel], data: LabelledSet, seed: int, ranks: Ranks
) -> SeedFit:
    """A trained model with its answers on validation and test."""
    return SeedFit(
        seed=seed,
        model=done.model,
        loss=done.loss,
        validation=answer(done.model, data, data.rows("validation"), ranks.device),
        test=answer(done.model, data, data.rows("test"), ranks.device),
        log=done.log,
    )


def _with_words(
    fits: list[SeedFit], data: LabelledSet, ranks: Ranks, words: WordSearch
) -> list[SeedFit]:
    """All seeds with words added to their answers, or as they were."""
    models = words.added_to([fit.model for fit in fits], ranks.device)
    if models is None:
        return fits
    rows, made = data.rows("validation"), []
    for fit, model in zip(fits, models, strict=True):
        validation = answer(model, data, rows, ranks.device)
        test = answer(model, data, data.rows("test"), ranks.device)
        loss = validation_loss(data, validation, rows)
        made.append(SeedFit(fit.seed, model, loss, validation, test, fit.log, alone=fit))
    return made


def _words_note(fits: Sequence[SeedFit], words: WordSearch) -> str:
    """What was added, in a sentence."""
    if words.fitted is None or fits[0].alone is None:
        return "Words: none are added, validation was not clearly better for them."
    return f"Words: the answer holds weights of {words.fitted.words}, fitted on training rows."
