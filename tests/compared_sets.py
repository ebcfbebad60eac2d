"""Labelled sets of random rows, and arms that answer them as well as they are told to."""

import numpy as np

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.arms import TrainedArm, TrainedNetwork
from orchid_genomics.evaluate.candidates import Candidate
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.sequence import Interval
from orchid_genomics.train.supervised import SupervisedRecipe

ROWS = 400  # a quarter trains, a quarter validates, half is tested


def small_model() -> OrchidModel:
    """The smallest model there is, whose answers nobody asks for."""
    return OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=2, depth=0), head=PooledRecipe()))


def labelled(labels=("no", "yes"), task="binary", places=False) -> LabelledSet:
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 4, 60).astype(np.uint8) for _ in range(ROWS)]
    target = (
        rng.integers(0, 2, ROWS)
        if task == "binary"
        else rng.normal(size=(ROWS, 1)).astype(np.float32)
    )
    split = np.repeat([0, 1, 2, 2], ROWS // 4)
    where = [f"row {row}" for row in range(ROWS)]
    at = [Interval("chr1", 1000 * row, 1000 * row + 60) for row in range(ROWS)] if places else None
    kind = task_of(task, labels)
    return LabelledSet("set.tsv", kind, tokens, target, split, np.arange(ROWS), where, at)


def answers(data: LabelledSet, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth with noise, on validation and test."""
    rng = np.random.default_rng(seed)
    target = data.target.reshape(ROWS, -1).astype(float)
    found = target + rng.normal(size=target.shape) * noise
    if data.task.has_classes:
        found = 1 / (1 + np.exp(-4 * (found - 0.5)))
    return found[data.rows("validation")], found[data.rows("test")]


def model(data: LabelledSet, noise: float, seeds=(0,)) -> TrainedArm:
    log = [{"step": step, "loss": 1 / (step + 1)} for step in range(40)]
    log += [{"step": step, "validation_1-AUROC": 0.5 / step} for step in (10, 20)]
    networks = []
    for seed in seeds:
        validation, test = answers(data, noise, 10 + seed)
        networks.append(TrainedNetwork(f"seed {seed}", small_model(), validation, test, log))
    together = networks[0]
    if len(networks) > 1:
        validation, test = (
            np.mean([getattr(each, split) for each in networks], 0)
            for split in ("validation", "test")
        )
        whole = OrchidModel.together([network.model for network in networks])
        together = TrainedNetwork("model", whole, validation, test, [])
    return TrainedArm(
        "model",
        tuple(networks),
        together,
        Candidate(1e-3, SupervisedRecipe()),
        tried={},
        trained=len(networks),
        seconds=1.0,
    )


def other(data: LabelledSet, name: str, noise: float, seed: int = 1) -> Answered:
    return Answered(name, *answers(data, noise, seed), "C = 1", 7)
