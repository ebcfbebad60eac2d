"""What is hidden, how it is shown, and that a loss adds up however a step is cut."""

import json
import math
import sys

import numpy as np
import pytest
import torch

from orchid_genomics.cli import main
from orchid_genomics.data.recall import Recall, RecallRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import DNA, SOFT, alphabet
from orchid_genomics.train.objectives import (
    OBJECTIVES,
    AnswersRecipe,
    HiddenLetters,
    MaskedRecipe,
    nats,
)

B, L = 64, 2048


def masked(**recipe):
    return OBJECTIVES["masked"](MaskedRecipe(**recipe), DNA)


def letters(rows=B, length=L, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 4, (rows, length)).astype(np.uint8)
    )


def hide(tokens, seed=0, step=0, rows=None, **recipe):
    return masked(**recipe).hide(
        tokens, seed, step, torch.arange(len(tokens)) if rows is None else rows
    )


def near(count, of, share):
    """Within five standard deviations of a binomial."""
    return abs(count - of * share) < 5 * math.sqrt(of * share * (1 - share))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return OrchidModel(ModelRecipe(encoder=OrchidRecipe(width=16, depth=1), head=LettersRecipe()))


def loss(model, hidden):
    return OBJECTIVES["masked"](MaskedRecipe(), DNA).loss(model.encode(hidden.shown_BL), hidden)


def test_the_shares_are_15_percent_and_80_10_10():
    tokens = letters()
    hidden = hide(tokens)
    targets = hidden.weights_BL > 0
    count = int(targets.sum())
    shown, true = hidden.shown_BL[targets], tokens[targets]
    assert near(count, B * L, 0.15)
    assert near(int((shown == DNA.mask).sum()), count, 0.8)
    assert near(int((shown == true).sum()), count, 0.1)
    assert near(int(((shown != true) & (shown < 4)).sum()), count, 0.1)
    assert torch.equal(hidden.shown_BL[~targets], tokens[~targets])


def test_the_other_letter_is_any_of_the_three_and_never_the_true_one():
    tokens = letters()
    hidden = hide(tokens, masked=0.0, other=1.0)
    targets = hidden.weights_BL > 0
    shift = (hidden.shown_BL[targets].long() - tokens[targets].long()) % 4
    counts = torch.bincount(shift, minlength=4)
    assert int(hidden.shown_BL.max()) < 4
    assert counts[0] == 0
    assert all(near(int(count), int(targets.sum()), 1 / 3) for count in counts[1:])


@pytest.mark.parametrize("code", [DNA.n, DNA.mask, DNA.pad])
@pytest.mark.parametrize("case", [0, SOFT])
@pytest.mark.parametrize("span", [1, 5])
def test_n_mask_and_pad_are_never_targets_nor_changed(code, case, span):
    tokens = letters(4, 512)
    tokens[:, ::3] = code | case
    hidden = hide(tokens, share=0.9, span=span)
    assert not hidden.weights_BL[:, ::3].any()
    assert (hidden.shown_BL[:, ::3] == code).all()
    assert hidden.weights_BL.any()


def test_soft_masked_targets_weigh_a_tenth_and_are_chosen_and_shown_alike():
    tokens = letters(8)
    soft = tokens.clone()
    soft[:, ::2] |= SOFT
    plain, half = hide(tokens), hide(soft)
    assert torch.equal(plain.shown_BL, half.shown_BL)
    assert torch.equal(plain.codes_BL, half.codes_BL)
    assert torch.equal(plain.weights_BL[:, 1::2], half.weights_BL[:, 1::2])
    assert torch.allclose(plain.weights_BL[:, ::2] * 0.1, half.weights_BL[:, ::2])
    assert half.weights_BL.unique().tolist() == pytest.approx([0.0, 0.1, 1.0])
    assert not hide(soft | SOFT, soft_weight=0.0).weights_BL.any()


@pytest.mark.parametrize("span", [2, 7])
def test_spans_are_whole_and_every_position_is_as_likely(span):
    targets = (hide(letters(), span=span).weights_BL > 0).numpy()
    assert abs(targets.mean() - 0.15) < 0.01
    edges = np.diff(np.pad(targets, ((0, 0), (1, 1))).astype(int), axis=1)
    for row in edges:
        starts, ends = np.flatnonzero(row == 1), np.flatnonzero(row == -1)
        inside = (starts > 0) & (ends < L)  # a window may cut a run
        assert (ends - starts)[inside].min() >= span
    many = (hide(letters(4096, 32), span=span).weights_BL > 0).float().mean(0)
    assert (many - 0.15).abs().max() < 5 * math.sqrt(0.15 * 0.85 / 4096)


def test_a_batch_without_a_known_letter_has_a_finite_loss_and_gradients(model):
    tokens = torch.full((2, 64), DNA.n, dtype=torch.uint8)
    total = loss(model, hide(tokens))
    total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert float(total.detach()) == 0.0
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    model.zero_grad()


def test_masks_depend_on_seed_step_row_and_position_alone():
    tokens = letters()
    whole = hide(tokens, seed=3, step=9)
    rows = torch.tensor([40, 2, 17])
    part = hide(tokens[rows], seed=3, step=9, rows=rows)
    short = hide(tokens[:, :100], seed=3, step=9)
    assert all(torch.equal(a[rows], b) for a, b in zip(whole, part, strict=True))
    assert all(torch.equal(a[:, :100], b) for a, b in zip(whole, short, strict=True))
    other_letters = hide(3 - tokens, seed=3, step=9)
    assert torch.equal(whole.weights_BL, other_letters.weights_BL)
    for changed in (
        {"seed": 4, "step": 9},
        {"seed": 3, "step": 10},
        {"seed": 3, "step": 9, "rows": torch.arange(B) + B},
    ):
        assert not torch.equal(whole.weights_BL, hide(tokens, **changed).weights_BL)


def test_two_half_batches_sum_to_the_whole(model):
    tokens = letters(4, 128)
    tokens[1] |= SOFT
    tokens[3] = DNA.n
    with torch.no_grad():
        whole = loss(model, hide(tokens))
        halves = [loss(model, hide(tokens[at], rows=torch.tensor(at))) for at in ([0, 1], [2, 3])]
    assert float(whole) == pytest.approx(float(sum(halves)), rel=1e-6)


def test_the_loss_is_the_weighted_sum_of_minus_log_p():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.125, 0.125]] * 3]))
    hidden = HiddenLetters(
        torch.zeros(1, 3), torch.tensor([[0, 1, DNA.n]]), torch.tensor([[1.0, 0.1, 0.0]])
    )
    assert float(masked().loss(logits, hidden)) == pytest.approx(math.log(2) + 0.1 * math.log(4))
    assert nats(logits, hidden.codes_BL)[0].tolist() == pytest.approx(
        [math.log(2), math.log(4), 0.0]
    )


@pytest.mark.parametrize(("answers", "places"), [("last", [7]), ("all", [5, 7])])
def test_the_answers_of_recall_are_the_values_whose_key_occurred(answers, places):
    objective = OBJECTIVES["recall"](AnswersRecipe(answers=answers), alphabet("symbols:6"))
    tokens = torch.tensor([[0, 4, 1, 3, 0, 4, 1, 3]], dtype=torch.uint8)
    hidden = objective.hide(tokens, 0, 0, torch.tensor([0]))
    assert hidden.weights_BL.nonzero()[:, 1].tolist() == places
    assert (hidden.shown_BL != tokens).nonzero()[:, 1].tolist() == places
    assert (hidden.shown_BL[0, places] == alphabet("symbols:6").mask).all()
    logits = torch.zeros(1, 8, 6)
    assert float(objective.loss(logits, hidden)) == pytest.approx(len(places) * math.log(6))


def test_some_answers_are_any_share_of_all_whatever_the_ranks():
    symbols = alphabet("symbols:20")
    tokens = torch.from_numpy(Recall(RecallRecipe(), 128).batch(0, 0, range(256)))
    rows = torch.arange(256)
    every, some = (
        OBJECTIVES["recall"](AnswersRecipe(answers=name), symbols).hide(tokens, 3, 5, rows)
        for name in ("all", "some")
    )
    assert not (some.weights_BL > every.weights_BL).any()
    share = some.weights_BL.sum(1) / every.weights_BL.sum(1)
    assert abs(float(share.mean()) - 0.5) < 0.1
    assert float(share.min()) < 0.1
    assert float(share.max()) > 0.9
    part = OBJECTIVES["recall"](AnswersRecipe(answers="some"), symbols).hide(
        tokens[8:16], 3, 5, rows[8:16]
    )
    assert torch.equal(part.shown_BL, some.shown_BL[8:16])


def test_shares_beyond_the_whole_are_refused():
    with pytest.raises(RecipeError, match=r"masked and other sum to 1\.2; at most 1"):
        validate(MaskedRecipe, {"masked": 0.9, "other": 0.3}, "recipe")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda here")
@pytest.mark.parametrize("span", [1, 4])
def test_masks_are_the_same_on_cuda(span):
    tokens, rows = letters() | (letters(seed=1) > 2).to(torch.uint8) * SOFT, torch.arange(B)
    here = hide(tokens, seed=3, step=9, span=span)
    there = hide(tokens.cuda(), seed=3, step=9, rows=rows.cuda(), span=span)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))


OTHER = """
from typing import Literal
import torch
from orchid_genomics.train.objectives import HiddenLetters, ObjectiveRecipe, weighted_nats

class EveryThirdRecipe(ObjectiveRecipe):
    kind: Literal["every_third"] = "every_third"
    first: int = 0

class EveryThird:
    Recipe, unit, validation = EveryThirdRecipe, "base", "validation_bits"

    def __init__(self, recipe, alphabet):
        self.recipe, self.alphabet = recipe, alphabet

    def hide(self, tokens_BL, seed, step, rows):
        codes = (tokens_BL & 0x7F).long()
        weights = torch.zeros(codes.shape)
        weights[:, self.recipe.first :: 3] = 1.0
        shown = torch.where(weights > 0, self.alphabet.mask, codes).to(torch.uint8)
        return HiddenLetters(shown, codes, weights)

    def loss(self, outputs, example):
        return weighted_nats(outputs, example)
"""


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """A package of somebody else that has an objective."""
    (tmp_path / "otherlib.py").write_text(OTHER)
    info = tmp_path / "otherlib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherlib\nVersion: 1.0\n")
    entry = "[orchid_genomics.objectives]\nevery_third = otherlib:EveryThird\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    vars(OBJECTIVES).pop("_outside", None)
    yield
    vars(OBJECTIVES).pop("_outside", None)
    if "every_third" in OBJECTIVES.present():
        del OBJECTIVES["every_third"]
    sys.modules.pop("otherlib", None)


def test_an_objective_of_another_package_trains(other_package, small, tmp_path, refused):
    words = ["pretrain", str(small), "-o", str(tmp_path / "run"), "--set"]
    message = refused(*words, "objective.kind=causal")
    assert "possible: 'masked', 'recall', 'every_third'" in message
    assert "first: " in refused(*words, "objective.kind=every_third", "--set", "objective.first=x")
    main([*words, "objective.kind=every_third", "--set", "objective.first=1"])
    recipe = json.loads((tmp_path / "run/recipe.json").read_text())
    assert recipe["objective"] == {"kind": "every_third", "first": 1}
    assert (tmp_path / "run/model/model.safetensors").exists()
