"""Which of an arm's trained networks answer together."""

import numpy as np
import torch
from labelled_rows import made as made_set
from labelled_rows import random_texts
from random_models import random_model

from orchid_genomics.evaluate.arms import build_model, choose_networks
from orchid_genomics.evaluate.candidates import readings_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.words import word_counts
from orchid_genomics.recipe import validate
from orchid_genomics.train.supervised import answer, validation_loss

CPU = torch.device("cpu")
LENGTH = 40


def set_of(weights):
    """Rows that are positive where a sum of dinucleotides is high."""
    texts = random_texts(300, LENGTH)
    data = made_set(texts, np.arange(300) % 2, "binary", ("no", "yes"))
    x = torch.stack(
        [torch.nn.functional.one_hot(torch.from_numpy(row).long(), 4).T for row in data.tokens]
    )
    height = (word_counts(x.double(), 2, 0) @ weights).numpy()
    return made_set(texts, (height > np.median(height)).astype(int), "binary", ("no", "yes"))


def network(weights, noise: float, seed: int) -> OrchidModel:
    """A network that reads dinucleotides, each with an error of its own."""
    model = random_model(PooledRecipe(strand="forward", words=2))
    error = torch.randn(len(weights), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.fill_(-10 * float(weights.mean()) * (LENGTH - 1) ** 0.5)
        model.head.words.weight[0] = (weights + noise * error.double()).float()
    return model


def test_networks_that_err_differently_answer_together_and_one_that_failed_does_not():
    weights = torch.randn(16, generator=torch.Generator().manual_seed(9)).double()
    data = set_of(weights)
    good = [network(weights, 0.6, seed) for seed in range(3)]
    failed = network(-weights, 0.0, 7)
    models = [failed, *good]
    chosen = choose_networks(models, data, 4, CPU)
    assert 0 not in chosen
    assert len(chosen) > 1
    rows = data.rows("validation")

    def loss(model):
        return validation_loss(data, answer(model, data, rows, CPU), rows)

    alone = [loss(model) for model in models]
    assert alone[chosen[0]] == min(alone)
    together = OrchidModel.together([models[at] for at in chosen])
    assert loss(together) < min(alone)
    assert choose_networks(models, data, 1, CPU) == chosen[:1]


def test_one_that_failed_leaves_the_best_alone_and_of_level_means_the_longest_is_taken():
    weights = torch.randn(16, generator=torch.Generator().manual_seed(9)).double()
    data = set_of(weights)
    exact, failed = network(weights, 0.0, 0), network(-weights, 0.0, 1)
    assert choose_networks([failed, exact], data, 4, CPU) == [1]
    assert choose_networks([exact, exact, exact], data, 4, CPU) == [0, 1, 2]


def test_a_run_that_begins_from_an_ensemble_takes_the_encoder_of_its_first_network(tmp_path):
    whole = OrchidModel.together([random_model(PooledRecipe(), seed=seed) for seed in (0, 1)])
    whole.save_pretrained(tmp_path / "model")
    values = {"data": {"kind": "table", "path": "set.tsv"}, "pretrained": str(tmp_path / "model")}
    recipe = validate(FinetuneRecipe, values, "recipe")
    data = set_of(torch.randn(16).double())
    made = build_model(recipe, data, 0, readings_of(recipe, data)[0])
    assert not made.recipe.others
    given = whole.encoder.state_dict()
    assert all(
        torch.equal(tensor, given[name]) for name, tensor in made.encoder.state_dict().items()
    )
