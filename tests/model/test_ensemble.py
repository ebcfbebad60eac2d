"""An ensemble answers the mean of its networks, in every form a model is used in."""

import json

import pytest
import torch

from orchid_genomics.errors import RecipeError
from orchid_genomics.explain import OneHot, one_hot, shuffles
from orchid_genomics.explain.deeplift_shap import deeplift
from orchid_genomics.model.cnn import CNNRecipe, cnn_encoder
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe, TracksRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.sequence import DNA
from tests.random_models import random_model

HEADS = {
    "pooled": [
        PooledRecipe(),
        PooledRecipe(pool="attention", maxima=("residual",)),
        PooledRecipe(),
    ],
    "tracks": [TracksRecipe(bin=5)] * 2,
    "numbers": [PooledRecipe(task="regression", labels=("a", "b"))] * 2,
}
TEXTS = ("GATTACA" * 9, "ACGTTN" * 8)
ROWS = tuple(DNA.encode(text.encode()) for text in TEXTS)


def models(kind: str) -> list[OrchidModel]:
    return [random_model(head, seed=seed) for seed, head in enumerate(HEADS[kind])]


@pytest.mark.parametrize("kind", HEADS)
def test_its_answer_is_the_mean_of_its_networks(kind):
    parts = models(kind)
    whole = OrchidModel.together(parts)
    assert len(whole.members) == len(parts)
    for tokens in ("GATTACA" * 9, list(TEXTS)):
        mean = torch.stack([part(tokens) for part in parts]).mean(0)
        torch.testing.assert_close(whole(tokens), mean, rtol=0, atol=0)
    codes = torch.from_numpy(DNA.encode(b"GATC" * 16)[None].copy())
    mean = torch.stack([part.encode(codes) for part in parts]).mean(0)
    torch.testing.assert_close(whole.encode(codes), mean, rtol=0, atol=0)


def test_networks_of_the_cnn_too():
    parts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        parts.append(OrchidModel(ModelRecipe(encoder=cnn_encoder(), head=CNNRecipe())).eval())
    mean = (parts[0](list(TEXTS)) + parts[1](list(TEXTS))) / 2
    torch.testing.assert_close(OrchidModel.together(parts)(list(TEXTS)), mean, rtol=0, atol=0)


def test_both_strands_are_answered_alike_and_a_row_is_its_own_in_any_batch():
    whole = OrchidModel.together(models("pooled")).double()
    turned = [DNA.decode(DNA.reverse_complement(row)) for row in ROWS]
    together = whole(list(TEXTS))
    torch.testing.assert_close(whole(turned), together, rtol=0, atol=1e-12)
    alone = torch.cat([whole(text) for text in TEXTS])
    torch.testing.assert_close(alone, together, rtol=0, atol=0)


@pytest.mark.parametrize("kind", HEADS)
def test_a_folder_holds_all_of_it(kind, tmp_path):
    whole = OrchidModel.together(models(kind))
    whole.save_pretrained(tmp_path / "model")
    read = OrchidModel.from_pretrained(tmp_path / "model")
    assert read.hash() == whole.hash()
    assert read.hash() != whole.members[1].hash()
    torch.testing.assert_close(read(TEXTS[0]), whole(TEXTS[0]), rtol=0, atol=0)
    first = random_model(HEADS[kind][0], seed=0)
    torch.testing.assert_close(read.encoder(TEXTS[0]), first.encoder(TEXTS[0]), rtol=0, atol=0)


def test_one_network_is_the_model_that_it_was():
    (one, *_) = models("pooled")
    assert OrchidModel.together([one]).hash() == one.hash()
    assert '"others":[]' in one.recipe.model_dump_json()


def test_an_ensemble_joins_another_model_with_every_network():
    first, second, third = (part.double() for part in models("pooled"))
    whole = OrchidModel.together([OrchidModel.together([first, second]), third])
    assert whole.hash() == OrchidModel.together([first, second, third]).hash()
    # In the numbers of its networks, not rounded to those of a new model.
    mean = (first(TEXTS[0]) + second(TEXTS[0]) + third(TEXTS[0])) / 3
    torch.testing.assert_close(whole(TEXTS[0]), mean, rtol=0, atol=1e-15)


def test_networks_that_answer_other_labels_are_refused(tmp_path):
    others = (PooledRecipe(labels=("no", "yes")), PooledRecipe(strand="forward"), None)
    for head in others:
        with pytest.raises(RecipeError, match="networks that answer the same labels"):
            OrchidModel.together([random_model(PooledRecipe()), random_model(head)])
    folder = tmp_path / "model"
    OrchidModel.together(models("pooled")).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["others"][0]["head"]["labels"] = ["a", "b"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match="networks that answer the same labels"):
        OrchidModel.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["pooled", "tracks"])
def test_attributions_are_means_and_their_sums_exact(kind):
    parts = [part.double() for part in models(kind)]
    whole = OneHot(OrchidModel.together(parts).double())
    singles = [OneHot(part) for part in parts]
    x_N4L = one_hot(DNA.encode(b"GATTACACCGT" * 4)[None].copy()).double()
    mean = torch.stack([single(x_N4L) for single in singles]).mean(0)
    torch.testing.assert_close(whole(x_N4L), mean, rtol=0, atol=1e-12)
    references = shuffles(x_N4L, 2)
    found = deeplift(whole, x_N4L, references)
    assert float(found.error.abs().max()) < 1e-8
    each = [deeplift(single, x_N4L, references).projected for single in singles]
    mean = torch.stack(each).mean(0)
    torch.testing.assert_close(found.projected, mean, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lengths", [(5, 5), (0, 5)])
def test_pointers_are_held_for_every_network(lengths):
    parts = []
    for seed, length in enumerate(lengths):
        torch.manual_seed(seed)
        filter = {"kind": "correlation", "hash_length": length, "agreement": 0.3}
        encoder = OrchidRecipe(width=8, depth=1, filter=filter)
        parts.append(OrchidModel(ModelRecipe(encoder=encoder, head=PooledRecipe())).double().eval())
    whole = OneHot(OrchidModel.together(parts).double())
    x_N4L = one_hot(DNA.encode(b"GATTACACCGTAGGCTTAACCGATCA" * 3)[None].copy()).double()
    with whole.hold(x_N4L):
        assert all(member.encoder._held is not None for member in whole.model.members)
    assert all(member.encoder._held is None for member in whole.model.members)
    found = deeplift(whole, x_N4L, shuffles(x_N4L, 2))
    assert float(found.error.abs().max()) < 1e-8
