"""A time that each arm may take, as candidates and epochs: measured once, then kept.

The trap: a clock never says the same twice, so what it said when a run began stands in its folder,
and a resumed run trains what the first one would have.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.arms import Arm, arms_of
from orchid_genomics.evaluate.candidates import Candidate, steps_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe, seconds_of
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.supervised import seconds_a_step

VALIDATING = 1 / 3
"""What a row costs that is only read, as a share of one that is trained on."""


@dataclass(frozen=True)
class Pace:
    """What an epoch of an arm takes, with its validation."""

    seconds: float
    epochs: int

    @property
    def candidate(self) -> float:
        """Seconds of a whole candidate."""
        return self.seconds * self.epochs


def pace_of(
    arm: Arm, recipe: FinetuneRecipe, data: LabelledSet, ranks: Ranks, steps: int = 3
) -> Pace:
    """Time a few real steps of an arm's first candidate."""
    candidate = arm.candidates[0]
    training = candidate.training
    optimizer = recipe.optimizer.model_copy(update={"rate": candidate.rate})
    model = arm.make(candidate, recipe.training.seeds[0])
    seconds = seconds_a_step(model, data, training, optimizer, ranks, steps)
    checked = len(data.rows("validation")) * training.checks / max(len(data.rows("train")), 1)
    epoch = seconds * steps_of(data, training.batch) * (1 + VALIDATING * checked)
    return Pace(epoch, training.epochs)


def check_budget(recipe: FinetuneRecipe, data: LabelledSet, ranks: Ranks) -> None:
    """Raise RecipeError for a time that holds no epoch of some arm, before any work."""
    budget, seeds = recipe.training.budget, len(recipe.training.seeds)
    if isinstance(budget, str):
        for arm in arms_of(recipe, data):
            fit_in(arm, pace_of(arm, recipe, data, ranks, steps=1), seconds_of(budget), seeds)


def within_budget(
    arm: Arm,
    recipe: FinetuneRecipe,
    data: LabelledSet,
    folder: Path,
    *,
    ranks: Ranks,
    say: Callable[[str], None],
) -> Arm:
    """The candidates of an arm that fit in the recipe's time; all of them where it names none.

    Where not one fits, the first is trained for fewer epochs. The other seeds of the best one take
    their part of the time.

    Raises
    ------
    RecipeError
        For a time that holds no epoch.
    """
    budget = recipe.training.budget
    if not isinstance(budget, str):
        return arm
    path = folder / "budget.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if arm.name not in kept:
        pace = pace_of(arm, recipe, data, ranks)
        # The first process decides for all: every one has a clock of its own.
        seconds = torch.tensor(pace.seconds if ranks.main else 0.0, device=ranks.device)
        pace = replace(pace, seconds=float(ranks.sum(seconds)))
        seeds = len(recipe.training.seeds)
        kept[arm.name] = list(fit_in(arm, pace, seconds_of(budget), seeds))
        if ranks.main:
            with writable(path):
                folder.mkdir(parents=True, exist_ok=True)
            with writable(path), atomic_file(path) as part:
                part.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    count, epochs = kept[arm.name]
    held = (
        f"{count} candidate{'s' if count > 1 else ''} of {epochs} epoch{'s' if epochs > 1 else ''}"
    )
    say(f"{arm.name}: {budget} holds {held}")
    return replace(arm, candidates=[_shorten(each, epochs) for each in arm.candidates[:count]])


def fit_in(arm: Arm, pace: Pace, seconds: float, seeds: int = 1) -> tuple[int, int]:
    """Candidates and epochs that fit in so many seconds, beside the best one's other seeds."""
    least = pace.seconds * seeds
    if seconds < least:
        several = f", for each of {seeds} seeds" if seeds > 1 else ""
        message = f"{seconds:g} s, and an epoch of the {arm.name} takes about {pace.seconds:.0f} s"
        fewer = "one seed (training.seeds = [0]), " if seeds > 1 else ""
        possible = f'"{least * 1.2 + 1:.0f} s" or more, {fewer}or fewer rows (data.train_rows)'
        raise RecipeError("training.budget", message + several, possible)
    fits = int(seconds // pace.candidate)
    if fits >= seeds:
        return min(fits - seeds + 1, len(arm.candidates)), pace.epochs
    return 1, int(seconds // least)


def _shorten(candidate: Candidate, epochs: int) -> Candidate:
    return replace(candidate, training=candidate.training.model_copy(update={"epochs": epochs}))
