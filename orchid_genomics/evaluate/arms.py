"""The arms of a comparison that are trained: an encoder with a head, from given or random weights,
and a CNN.

Every arm is searched alike: each candidate with the first seed, the best on validation with the
other seeds; the best of all these networks answer together. The trap is the test split: it is read
once an arm, after everything is chosen.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.additions import Added, AdditionSearch
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.candidates import (
    Candidate,
    Reading,
    begins_at_motifs,
    cnn_candidates,
    encoder_of,
    head_of,
    model_candidates,
    strand_of,
)
from orchid_genomics.evaluate.enriched import motifs_to_begin_with
from orchid_genomics.evaluate.finetune_recipe import FinetuneEncoder, FinetuneRecipe
from orchid_genomics.model.adapters import adapt, merge
from orchid_genomics.model.cnn import CNNRecipe, cnn_encoder
from orchid_genomics.model.folder import ModelRecipe, OrchidModel, mean_of
from orchid_genomics.model.heads import LetterReader
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.supervised import (
    FitRecipe,
    SupervisedFit,
    answer,
    fit_supervised,
    padded_lengths,
    predict,
    units,
    validation_loss,
)

Say = Callable[[str], None]
MODEL = "model"
RANDOM = "random weights"
CNN = "small CNN"
ALONE = "network alone"
"""The model's own answer before anything was added to it, which is no alternative to it."""
MOTIFS = 24
"""The most enriched motifs that a stem of random weights begins with."""
LEVEL = 1.1
"""How many times the least loss on validation a mean of more networks may have: the rows that
stopped each network flatter it, and a mean of few."""
ARMS = {"encoder": MODEL, "cnn": CNN}
"""What a recipe calls the arm that `model/` is to hold."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network of an arm: its answers, and how it was trained."""

    words: str
    """Its candidate and its seed."""
    model: OrchidModel
    validation: np.ndarray
    test: np.ndarray
    log: list[dict[str, Any]]


@dataclass(frozen=True)
class TrainedArm:
    """A trained arm: the networks that answer together, the best on validation first."""

    name: str
    networks: tuple[TrainedNetwork, ...]
    together: TrainedNetwork
    """Their ensemble: what is scored, and what a model folder holds."""
    candidate: Candidate
    """The best on validation."""
    tried: dict[str, float]
    """The monitored score on validation of every candidate."""
    trained: int
    """Networks that were trained, in the mean or not."""
    seconds: float
    additions: str = ""
    """What was tried beside it, and what came of that, for notes."""
    alone: Answered | None = None
    """What the same networks answer alone; None where nothing was added."""

    @property
    def model(self) -> OrchidModel:
        """What a model folder holds."""
        return self.together.model

    @property
    def parameters(self) -> int:
        """Numbers in the model, trained or not; of a head that reads letters, its own alone."""
        return _parameters(self.model)

    @property
    def answered(self) -> Answered:
        """What the networks answer together."""
        chosen = self.candidate.words
        if len(self.tried) > 1:
            chosen += f", best of {len(self.tried)}"
        if len(self.networks) > 1:
            chosen += f", mean of the best {len(self.networks)} of {self.trained} networks"
        own = self.together
        return Answered(self.name, own.validation, own.test, chosen, self.parameters)


def _parameters(model: OrchidModel) -> int:
    skipped = [
        parameter
        for member in model.members
        if isinstance(member.head, LetterReader)
        for parameter in member.encoder.parameters()
    ]
    return sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in skipped)


@dataclass(frozen=True)
class Arm:
    """An arm to be trained: what it is called, what makes its model, what is tried."""

    name: str
    make: Callable[[Candidate, int], OrchidModel]
    """The untrained model of a candidate and a seed."""
    candidates: Sequence[Candidate]
    takes_additions: bool = False
    """Whether something may be added to what it answers."""


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

    arms = [Arm(MODEL, model, candidates, takes_additions=True)]
    if recipe.pretrained and chosen.random:
        arms.append(Arm(RANDOM, random, candidates, takes_additions=True))
    if chosen.cnn:
        cnn = cnn_candidates(recipe, data)
        arms.append(Arm(CNN, lambda each, seed: build_cnn(recipe, data, seed, each.reading), cnn))
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


def build_cnn(
    recipe: FinetuneRecipe, data: LabelledSet, seed: int, reading: Reading | None
) -> OrchidModel:
    """The small convolutional network of one seed; all of it is trained."""
    torch.manual_seed(seed)
    reading = reading or Reading()
    head = CNNRecipe(
        task=data.task.name,
        labels=data.task.labels,
        strand=strand_of(recipe, data),
        stretches=reading.stretches,
        middles=reading.middles,
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
    search: AdditionSearch | None,
) -> TrainedArm:
    """Train every candidate with the first seed, then the best one with the other seeds; then add
    what `search` finds to the networks that answer together, where validation is better for it.

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
    trained = {f"{each.words}, seed {first}": done for each, done in searched.items()}
    for seed in seeds[1:]:
        trained[f"{best.words}, seed {seed}"] = fit(best, seed)
    # What outputs of a head of another package mean is not known, so they are not averaged.
    most = recipe.training.networks if recipe.head.kind is None else 1
    names, every = list(trained), [done.model for done in trained.values()]
    chosen = [names[place] for place in choose_networks(every, data, most, ranks.device)]
    bare = [trained[name].model for name in chosen]
    added, note = None, ""
    if arm.takes_additions and search is not None:
        say(f"{arm.name}: fitting what may be added to it")
        added = search.added_to(bare, ranks.device)
        note = _additions_note(added)
    models = added.models if added else bare

    def network(name: str, model: OrchidModel, log: list[dict[str, Any]]) -> TrainedNetwork:
        validation, test = (
            answer(model, data, data.rows(split), ranks.device) for split in ("validation", "test")
        )
        return TrainedNetwork(name, model, validation, test, log)

    networks = [
        network(name, model, trained[name].log) for name, model in zip(chosen, models, strict=True)
    ]
    together, alone = networks[0], None
    if len(networks) > 1:
        together = network(arm.name, OrchidModel.together(models), [])
    if added:
        without = network(ALONE, OrchidModel.together(bare), [])
        count = _parameters(without.model)
        alone = Answered(ALONE, without.validation, without.test, "", count)
    return TrainedArm(
        name=arm.name,
        networks=tuple(networks),
        together=together,
        candidate=best,
        tried={each.words: round(1 - done.loss, 4) for each, done in searched.items()},
        trained=len(trained),
        seconds=sum(done.seconds for done in trained.values()),
        additions=note,
        alone=alone,
    )


def choose_networks(
    models: Sequence[OrchidModel], data: LabelledSet, most: int, device: torch.device
) -> list[int]:
    """Which of an arm's networks answer together: the best on validation, and as many of the next
    ones as leave their mean level with the best mean there.

    A mean of networks that err differently is better than the best of them, and one that failed
    must not spoil it. Ensemble selection from libraries of models (Caruana et al. 2004), along the
    order of their scores alone, for validation rows are few.

    Parameters
    ----------
    models
        Trained networks that answer the same labels.
    data
        Its validation rows choose.
    most
        Networks, at most.
    device
        Where they are run.

    Returns
    -------
    list of int
        Places in `models`, the best first.
    """
    rows = data.rows("validation")
    tokens = [data.tokens[row] for row in rows]
    outputs = [torch.from_numpy(predict(model.eval(), tokens, device)) for model in models]

    def loss(some: Sequence[int]) -> float:
        mean = mean_of([outputs[at] for at in some])
        return validation_loss(data, data.task.link(mean).numpy(), rows)

    order = sorted(range(len(models)), key=lambda at: loss([at]))[:most]
    losses = [loss(order[: size + 1]) for size in range(len(order))]
    level = max(at for at, value in enumerate(losses) if value <= LEVEL * min(losses))
    return order[: level + 1]


def fit_folder(arm: Arm, candidate: Candidate, seed: int, folder: Path) -> Path:
    """The folder of a fit within that of all of them."""
    words = re.sub(r"[^\w.]+", "-", f"{arm.name}-{candidate.words}")
    return folder / f"{words}-seed{seed}"


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
        folder=fit_folder(arm, candidate, seed, folder),
        ranks=ranks,
    )
    # Before it answers: what is measured is what its folder will hold.
    merge(done.model)
    return done


def _additions_note(added: Added | None) -> str:
    """What was added, in a sentence."""
    if added is None:
        return "Additions: none, validation was not clearly better for any."
    names = " and ".join(str(each.choice) for each in added.additions)
    return f"Additions: the answer holds weights of {names}, fitted on training rows."
