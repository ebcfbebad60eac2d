"""The small CNN answers alike on both strands where it should, and however far rows are padded; and
its folder is read like any other.
"""

import numpy as np
import pytest
import torch
from tangermeme.deep_lift_shap import deep_lift_shap

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.explain import OneHot, attribution_ops, one_hot, shuffles
from orchid_genomics.model.cnn import CNNRecipe, cnn_encoder
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.model.sklearn import OrchidFeatures
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import DNA


def cnn_of(**head) -> OrchidModel:
    torch.manual_seed(0)
    return OrchidModel(ModelRecipe(encoder=cnn_encoder(), head=CNNRecipe(**head))).eval()


FORWARD = {"strand": "forward", "stretches": 16}
MIDDLES = {"middles": 2}
TRACKS = {"task": "regression", "labels": ("plus", "minus")}


def random_texts(rows: int, length: int, seed: int = 0, letters: str = "ACGT") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for _ in range(rows)]


def test_the_small_cnn_answers_the_same_for_both_strands_when_it_should():
    tokens = torch.from_numpy(np.stack([DNA.encode(text) for text in random_texts(3, 61)]))
    other = torch.from_numpy(np.stack([DNA.reverse_complement(row) for row in tokens.numpy()]))
    both, middles, forward = cnn_of(), cnn_of(**MIDDLES), cnn_of(**FORWARD)
    torch.testing.assert_close(both(other), both(tokens))
    torch.testing.assert_close(middles(other), middles(tokens))
    assert (forward(other) - forward(tokens)).abs().min() > 1e-4


@pytest.mark.parametrize("head", [{}, MIDDLES, FORWARD], ids=["both", "middles", "forward"])
def test_the_small_cnn_answers_the_same_however_far_a_row_is_padded(head):
    rows = [
        torch.from_numpy(DNA.encode(random_texts(1, length, seed)[0]))
        for seed, length in enumerate((61, 38))
    ]
    cnn = cnn_of(**head)
    padded = torch.full((2, 96), DNA.pad, dtype=torch.uint8)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    alone = torch.cat([cnn(tokens[None]) for tokens in rows])
    torch.testing.assert_close(cnn.encode(padded, (padded != DNA.pad).float()), alone)
    torch.testing.assert_close(cnn(padded), alone)


@pytest.mark.parametrize("bin", [1, 5])
def test_the_small_cnn_of_tracks_answers_every_bin_however_far_a_row_is_padded(bin):
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(rng.integers(0, 4, length).astype(np.uint8)) for length in (61, 38)]
    cnn = cnn_of(**TRACKS, bin=bin)
    padded = torch.full((2, 96), DNA.pad, dtype=torch.uint8)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    together = cnn.encode(padded, (padded != DNA.pad).float())
    for row, tokens in enumerate(rows):
        alone = cnn(tokens[None])
        assert alone.shape == (1, len(tokens) // bin, 2)
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone)


def features_of(cnn: OrchidModel, tokens: torch.Tensor) -> torch.Tensor:
    """What the last layer reads, (B, filters, parts)."""
    read = []
    seen = cnn.head.out.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    cnn(tokens)
    seen.remove()
    return read[0].unflatten(1, (cnn.recipe.head.filters, -1))


def test_parts_about_the_middle_read_what_stands_there():
    whole, nested = cnn_of(), cnn_of(**MIDDLES)
    nested.head.first.load_state_dict(whole.head.first.state_dict())
    nested.head.second.load_state_dict(whole.head.second.state_dict())
    tokens = torch.from_numpy(np.stack([DNA.encode(text) for text in random_texts(2, 64)]))
    before = features_of(nested, tokens)
    # A quarter of sixteen places, half of them, all.
    assert before.shape == (2, 64, 3)
    assert torch.equal(before[..., 2:], features_of(whole, tokens))
    assert (before.diff(dim=2) >= 0).all()
    # Letters that neither convolution of the inner places reads.
    tokens[:, :5] = 3 - tokens[:, :5]
    after = features_of(nested, tokens)
    assert torch.equal(after[..., 0], before[..., 0])
    assert not torch.equal(after[..., 2], before[..., 2])


@pytest.mark.parametrize(
    "head",
    [{}, MIDDLES, FORWARD, TRACKS | {"bin": 4}],
    ids=["both", "middles", "forward", "bin"],
)
def test_its_folder_is_read_and_its_letters_are_explained_exactly(tmp_path, head):
    cnn = cnn_of(**head)
    cnn.save_pretrained(tmp_path / "cnn")
    read = OrchidModel.from_pretrained(tmp_path / "cnn")
    assert read.recipe == cnn.recipe
    assert read.hash() == cnn.hash()
    x = one_hot(np.stack([DNA.encode(text) for text in random_texts(2, 61)])).double()
    model = OneHot(read.double(), "plus" if head == TRACKS | {"bin": 4} else None)
    tokens = x.argmax(1).to(torch.uint8)
    if not cnn.recipe.head.bin:
        torch.testing.assert_close(model(x), read(tokens))
    references = shuffles(x, 2)
    multipliers = deep_lift_shap(
        model,
        x,
        references=references,
        additional_nonlinear_ops=attribution_ops(),
        hypothetical=True,
        device="cpu",
    )
    difference = model(x)[:, 0] - model(references.flatten(0, 1))[:, 0].view(2, 2).mean(1)
    torch.testing.assert_close((multipliers * x).sum((1, 2)), difference, rtol=1e-6, atol=1e-8)


def test_what_asks_for_its_encoder_is_refused_in_a_line(tmp_path):
    cnn_of().save_pretrained(tmp_path / "cnn")
    with pytest.raises(InputError, match="is a cnn, which has no encoder"):
        Orchid.from_pretrained(tmp_path / "cnn")
    with pytest.raises(InputError, match="is a cnn, which has no encoder"):
        OrchidFeatures(tmp_path / "cnn").fit(["ACGT"])


def test_labels_that_do_not_fit_the_task_are_refused():
    values = {"encoder": {}, "head": {"kind": "cnn", "labels": ["a"]}}
    with pytest.raises(RecipeError, match="binary needs exactly 2 labels, found 1"):
        validate(ModelRecipe, values, "config.json")
