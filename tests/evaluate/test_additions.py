"""Words and places beside a model: fitted on training rows, weighed on validation, one model."""

import numpy as np
import pytest
import torch
from labelled_rows import made as made_set
from labelled_rows import random_texts
from random_models import random_model

from orchid_genomics.evaluate.additions import MOST, SCALE, AdditionSearch, WordChoice
from orchid_genomics.evaluate.linear import one_hot, word_table
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.sequence import DNA
from orchid_genomics.train.supervised import answer, predict, units, validation_loss

CPU = torch.device("cpu")
PLANTED = "TGACTC"
TASKS = {
    "binary": ("no", "yes"),
    "multiclass": ("none", "one", "two"),
    "multilabel": ("one", "two"),
    "regression": ("height",),
}


def planted(task: str, rows: int = 120, length: int = 40):
    """Rows that hold a word once, twice or not at all, and an answer that goes with it."""
    texts, rng = random_texts(rows, length), np.random.default_rng(5)
    count = rng.integers(0, 3, rows)
    held = [PLANTED * n + text[6 * n :] for text, n in zip(texts, count, strict=True)]
    target = {
        "binary": (count > 0).astype(int),
        "multiclass": count,
        "multilabel": np.stack([count > 0, count > 1], 1).astype(np.float32),
        "regression": (200 + 30.0 * count[:, None]).astype(np.float32),
    }
    return made_set(held, target[task], task, TASKS[task])


def model_of(data, strand: str = "both", words: int = 0):
    task = data.task
    recipe = PooledRecipe(task=task.name, labels=task.labels, strand=strand, words=words)
    model = random_model(recipe)
    if task.has_numbers:
        for name, value in zip(("shift", "scale"), units(data), strict=True):
            getattr(model.head, name).copy_(torch.from_numpy(value))
    return model


def outputs_of(model, data, split: str = "test") -> np.ndarray:
    return predict(model, [data.tokens[row] for row in data.rows(split)], CPU)


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("task", TASKS)
def test_words_are_added_where_they_say_more_and_answer_as_they_were_fitted(task, strand):
    data = planted(task)
    search, alone = AdditionSearch(data, strand, [(6, 0), (6, 1)]), model_of(data, strand)
    made = search.added_to([alone], CPU)
    assert made is not None
    (both,) = made.models
    (words,) = search.fitted
    assert made.additions == (words,)
    assert words.choice == WordChoice(6, 0, strand)
    table = word_table(data, 6, 0, strand)[data.rows("test")] * (SCALE / np.sqrt(35))
    of_words, before = words.linear.outputs(table), outputs_of(alone, data)
    is_sum_of(data, before, of_words, outputs_of(both, data))


def is_sum_of(data, before: np.ndarray, of_addition: np.ndarray, after: np.ndarray) -> None:
    """Outputs after are a share of those before and a share of the addition's, that one clear."""
    if data.task.has_numbers:
        shift, scale = units(data)
        before, after = (before - shift) / scale, (after - shift) / scale
    # A sum of the two: one share of each for all classes, or for every label.
    pairs = [(before, of_addition, after)]
    if data.task.name == "multilabel":
        pairs = [(before[:, k], of_addition[:, k], after[:, k]) for k in range(2)]
    for one, other, whole in pairs:
        parts = np.stack([one.ravel(), other.ravel()], 1)
        shares, *_ = np.linalg.lstsq(parts, whole.ravel(), rcond=None)
        np.testing.assert_allclose(parts @ shares, whole.ravel(), atol=5e-4)
        assert shares[1] > 0.1


def placed(task: str, rows: int = 200, length: int = 41):
    """Rows whose answer goes with which letters stand at two places."""
    texts = random_texts(rows, length)
    first, second = ([text[at] in "AC" for text in texts] for at in (3, 30))
    count = np.array(first).astype(int) + np.array(second)
    target = {
        "binary": (count > 0).astype(int),
        "multiclass": count,
        "multilabel": np.stack([first, second], 1).astype(np.float32),
        "regression": (200 + 30.0 * count[:, None]).astype(np.float32),
    }
    return made_set(texts, target[task], task, TASKS[task])


@pytest.mark.parametrize("task", TASKS)
def test_letters_by_position_are_added_where_they_say_more(task):
    data, alone = placed(task), model_of(placed(task), "forward")
    search = AdditionSearch(data, "forward", (), places=True)
    made = search.added_to([alone], CPU)
    assert made is not None
    (places,) = made.additions
    of_places = places.linear.outputs(one_hot(data)[data.rows("test")])
    (both,) = made.models
    is_sum_of(data, outputs_of(alone, data), of_places, outputs_of(both, data))


def test_of_words_and_places_those_are_added_that_say_more_and_both_where_both_do():
    of_words, of_places = planted("binary", rows=300), placed("binary", rows=300)
    found = []
    for data in (of_words, of_places):
        search = AdditionSearch(data, "forward", [(6, 0)], places=True)
        assert [each.choice.part for each in search.fitted] == ["words", "places"]
        made = search.added_to([model_of(data, "forward")], CPU)
        assert made is not None
        found.append({each.choice.part for each in made.additions})
    # The planted word stands at the start of its rows, so that places see some of it.
    assert "words" in found[0]
    assert found[1] == {"places"}
    texts = [DNA.decode(row) for row in of_words.tokens]
    # The word at any place, or a letter at one place, and neither alone is enough.
    rng = np.random.default_rng(3)
    has_word, has_letter = rng.random((2, len(texts))) < 0.5
    held = []
    for text, word, letter in zip(random_texts(len(texts), 60), has_word, has_letter, strict=True):
        at = int(rng.integers(8, 50))
        text = text[:at] + PLANTED + text[at + 6 :] if word else text
        held.append(("A" if letter else "T") + text[1:])
    count = has_word.astype(int) + has_letter
    data = made_set(held, (200 + 30.0 * count[:, None]).astype(np.float32), "regression", ("h",))
    search = AdditionSearch(data, "forward", [(6, 0)], places=True)
    made = search.added_to([model_of(data, "forward")], CPU)
    assert made is not None
    assert [each.choice.part for each in made.additions] == ["words", "places"]


def test_the_shares_are_those_of_the_least_loss():
    data = planted("binary", rows=300)
    search = AdditionSearch(data, "both", [(6, 0)])
    (given,) = search.fitted
    rng = np.random.default_rng(1)
    rows = data.rows("validation")
    other = (data.target[rows, None] - 0.5) * 2 + rng.normal(0, 3, (len(rows), 1))
    target = torch.from_numpy(data.target[rows])

    def loss(one: float, two: float) -> float:
        outputs = torch.from_numpy(one * other + two * given.validation)
        return float(data.task.loss(outputs, target, np.ones(1)).double().mean())

    found = search._weigh([other, given.validation])
    one, two = found.shares.ravel()
    assert found.loss == pytest.approx(loss(one, two), rel=1e-5)
    for step in (-0.1, 0.1):
        assert loss(one + step, two) > found.loss
        assert loss(one, min(two + step, MOST - 0.1)) > found.loss


def test_networks_share_what_is_added_in_shares_that_suit_their_mean():
    data = planted("binary", rows=300)
    models = [model_of(data), model_of(data)]
    with torch.no_grad():
        models[1].head.weight.mul_(-3)
    search = AdditionSearch(data, "both", [(6, 0)])
    made = search.added_to(models, CPU)
    assert made is not None
    mean = np.mean([outputs_of(model, data, "validation") for model in models], axis=0)
    one, two = search._weigh([mean, made.additions[0].validation]).shares.ravel()
    of_words = two * made.additions[0].validation
    for model, both in zip(models, made.models, strict=True):
        expected = one * outputs_of(model, data, "validation") + of_words
        np.testing.assert_allclose(outputs_of(both, data, "validation"), expected, atol=1e-4)


def test_where_validation_is_no_better_or_no_row_holds_a_word_none_are_added():
    data = planted("binary")
    search, model = AdditionSearch(data, "both", [(6, 0)]), model_of(data, words=6)
    # One that answers every row right has nothing to gain.
    code = int("".join(str("ACGT".index(letter)) for letter in PLANTED), 4)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.words.weight.zero_()
        model.head.words.weight[:, code] = 5
    rows = data.rows("validation")
    assert validation_loss(data, answer(model, data, rows, CPU), rows) == 0
    assert search.added_to([model], CPU) is None
    short = made_set(["ACG"] * 9, [0, 1] * 4 + [0])
    assert AdditionSearch(short, "both").added_to([model_of(short)], CPU) is None


def test_a_model_with_words_is_a_folder_like_any_other(tmp_path):
    data = planted("binary")
    made = AdditionSearch(data, "both", [(6, 0)]).added_to([model_of(data)], CPU)
    assert made is not None
    (both,) = made.models
    both.save_pretrained(tmp_path / "model")
    again = type(both).from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(outputs_of(again, data), outputs_of(both, data))
    text = DNA.decode(data.tokens[0])
    turned = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    torch.testing.assert_close(again(text), again(turned), rtol=1e-4, atol=1e-5)
