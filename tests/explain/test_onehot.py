"""One-hot letters say what tokens say, for every head and target; captum's gradients work on them
unchanged.
"""

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency

from orchid_genomics.errors import InputError
from orchid_genomics.explain import OneHot, one_hot, possible, shuffles
from orchid_genomics.model.heads import PooledRecipe, TracksRecipe
from orchid_genomics.sequence import DNA

HEADS = {
    "one": PooledRecipe(),
    "several": PooledRecipe(task="multilabel", labels=("CTCF", "REST", "MAX"), pool="attention"),
    "center": PooledRecipe(
        task="regression", labels=("expression",), pool="center", strand="forward"
    ),
    "tracks": TracksRecipe(labels=("plus", "minus"), bin=4),
}


@pytest.mark.parametrize("L", [7, 32, 50])
def test_one_hot_letters_and_n_give_what_their_tokens_give(tiny_model, L, letters):
    tokens = letters(3, L, codes=5)
    assert (tokens == DNA.n).any()
    torch.testing.assert_close(OneHot(tiny_model).predictions(one_hot(tokens)), tiny_model(tokens))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("L", [32, 50])
def test_every_head_gives_what_it_gives_for_tokens(head, L, letters, made):
    model, tokens = made(HEADS[head]), letters(2, L)
    torch.testing.assert_close(OneHot(model, 0).predictions(one_hot(tokens)), model(tokens))


def test_lower_case_is_the_same_letter_and_n_is_no_letter():
    tokens = torch.from_numpy(DNA.encode("acGTNn").copy())[None]
    columns = one_hot(tokens)[0].T.tolist()
    assert columns == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_the_pseudo_likelihood_is_the_sum_of_the_letters_log_probabilities(tiny_model, letters):
    tokens = letters(2, 40)
    logs = tiny_model(tokens).log_softmax(-1).gather(2, tokens[..., None].long()).sum((1, 2))
    torch.testing.assert_close(OneHot(tiny_model)(one_hot(tokens))[:, 0], logs)


def test_the_hidden_pseudo_likelihood_sees_no_letter_that_it_predicts(tiny_model, letters):
    tokens, total = letters(1, 40), torch.zeros(1)
    for turn in range(8):
        shown = tokens.clone()
        shown[:, turn::8] = DNA.mask
        logs = tiny_model(shown).log_softmax(-1)[:, turn::8]
        total += logs.gather(2, tokens[:, turn::8, None].long()).sum((1, 2))
    torch.testing.assert_close(OneHot(tiny_model, "pll-hidden")(one_hot(tokens))[:, 0], total)


@pytest.mark.parametrize(("target", "place", "letter"), [("G@3", 3, 2), ("A@center", 20, 0)])
def test_a_letters_likelihood_is_read_where_it_is_hidden(
    tiny_model, target, place, letter, letters
):
    tokens = letters(2, 40)
    shown = tokens.clone()
    shown[:, place] = DNA.mask
    expected = tiny_model(shown).log_softmax(-1)[:, place, letter]
    torch.testing.assert_close(OneHot(tiny_model, target)(one_hot(tokens))[:, 0], expected)


@pytest.mark.parametrize("target", ["pll", "pll-hidden"])
def test_the_other_strand_is_as_likely(tiny_model, target, letters):
    tokens = letters(2, 41)
    other = torch.from_numpy(DNA.reverse_complement(tokens.numpy()).copy())
    model = OneHot(tiny_model, target)
    torch.testing.assert_close(model(one_hot(other)), model(one_hot(tokens)))


def test_outputs_have_names_and_numbers(letters, made):
    several, tracks = made(HEADS["several"]), made(HEADS["tracks"])
    x = one_hot(letters(2, 32))
    for index, name in enumerate(("CTCF", "REST", "MAX")):
        for target in (name, index, str(index)):
            torch.testing.assert_close(
                OneHot(several, target)(x)[:, 0], OneHot(several)(x)[:, index]
            )
    out = tracks(letters(2, 32))
    torch.testing.assert_close(OneHot(tracks, "minus")(x)[:, 0], out[..., 1].mean(1))
    torch.testing.assert_close(OneHot(tracks, "plus@10")(x)[:, 0], out[:, 2, 0])
    torch.testing.assert_close(OneHot(tracks, "minus@center")(x)[:, 0], out[:, 4, 1])


@pytest.mark.parametrize(
    ("head", "target", "message"),
    [
        (
            None,
            "CTCF",
            "target: the model has no 'CTCF'; it has pll, pll-hidden, A@100 (a letter",
        ),
        (None, "N@3", "target: the model has no 'N@3'"),
        ("several", "SPI1", "target: the model has no 'SPI1'; it has CTCF, REST, MAX"),
        ("several", 3, "target: the model has no '3'; it has CTCF, REST, MAX"),
        ("one", "pll", "target: the model has no 'pll'; it has 1"),
        (
            "tracks",
            None,
            "target: not given, and the model has several; it has plus, minus, plus@100",
        ),
        ("tracks", "plus@x", "target: the model has no 'plus@x'"),
    ],
)
def test_a_target_that_the_model_has_not_is_answered_with_those_it_has(head, target, message, made):
    with pytest.raises(InputError) as error:
        OneHot(made(HEADS.get(head)), target)
    assert str(error.value).startswith(message)


def test_a_place_beyond_the_sequence_is_one_line(tiny_model, letters):
    with pytest.raises(InputError) as error:
        OneHot(tiny_model, "A@40")(one_hot(letters(1, 40)))
    assert str(error.value) == "target: A@40 of a sequence of 40 letters; letters 0 to 39, 0-based"


def test_possible_targets_can_all_be_read(made):
    for head in (None, *HEADS):
        model = made(HEADS.get(head))
        for target in possible(model):
            assert OneHot(model, target.split()[0]).target.name == target.split()[0]


def test_captum_explains_it_unchanged(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(2, 32)).requires_grad_()
    slope = Saliency(model).attribute(x, target=0, abs=False)
    torch.testing.assert_close(InputXGradient(model).attribute(x, target=0), slope * x)
    reference = shuffles(x.detach(), 1)[:, 0]
    found = IntegratedGradients(model).attribute(
        x, reference, target=0, n_steps=8, method="gausslegendre"
    )
    assert found.shape == x.shape
