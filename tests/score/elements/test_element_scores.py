"""Scores of elements: those of the definition, exact on both strands, and of nothing but the
element.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.score.elements.background import Background, draw_windows, gc_share, step
from orchid_genomics.score.elements.element_scores import (
    ElementScoring,
    Options,
    predict,
    read,
    score_elements,
)
from orchid_genomics.score.elements.likelihood import Likelihood, pieces
from orchid_genomics.score.reader import Reader
from orchid_genomics.sequence import CODE, DNA, Interval

WINDOW = 64
PLACES = [
    Interval("c1", 5, 25),
    Interval("c1", 100, 131, "+"),
    Interval("c1", 100, 200, "-"),
    Interval("c1", 790, 845),
    Interval("c1", 990, 1190),
    Interval("c2", 0, 500),
    Interval("c2", 480, 500),
]
HEADS = {
    "binary": {"kind": "pooled", "task": "binary", "labels": ["no", "yes"]},
    "classes": {
        "kind": "pooled",
        "task": "multiclass",
        "labels": ["a", "b", "c"],
        "pool": "attention",
    },
    "numbers": {"kind": "pooled", "task": "regression", "labels": ["mpra"], "strand": "forward"},
    "tracks": {"kind": "tracks", "labels": ["plus", "minus"], "bin": 4, "other": [1, 0]},
}


def mirrored(place, genome):
    size = genome.contigs[place.contig]
    return Interval(
        place.contig,
        size - place.end,
        size - place.start,
        {"+": "-", "-": "+"}.get(place.strand, "-"),
    )


@given(length=st.integers(1, 300), core=st.integers(1, 64))
def test_pieces_cover_every_letter_once_and_look_the_same_from_both_ends(length, core):
    found = pieces(length, core)
    assert [at for first, last in found for at in range(first, last)] == list(range(length))
    assert all(last - first <= core for first, last in found)
    assert [(length - last, length - first) for first, last in reversed(found)] == found


def test_masked_passes_are_those_of_the_definition(model, genome):
    """By hand: the window around an element, every third letter masked, the model's log-probability
    of each.
    """
    place, passes = Interval("c1", 100, 120), 3
    (letters,) = Likelihood(Reader(model, genome, WINDOW), passes).letters([place])
    side = (WINDOW - 1 - 20) // 2
    window = np.full(WINDOW, DNA.n, np.uint8)
    window[: 2 * side + 20] = genome.tokens("c1", 100 - side, 120 + side) & CODE
    for at in range(20):
        shown = window.copy()
        same = [other for other in range(20) if other % passes == at % passes]
        shown[[side + other for other in same]] = DNA.mask
        with torch.inference_mode():
            logs = (
                model.encode(torch.from_numpy(shown)[None])[0, side + at]
                .double()
                .log_softmax(0)
                .numpy()
            )
        assert letters[0, at] == pytest.approx(logs[window[side + at]], abs=1e-6)
        assert letters[1, at] == pytest.approx(-(np.exp(logs) * logs).sum() / math.log(2), abs=1e-6)


def test_one_pass_shows_all_letters_and_takes_off_what_training_showed_of_them(model, genome):
    place = Interval("c1", 100, 120)
    (letters,) = Likelihood(Reader(model, genome, WINDOW)).letters([place])
    side = (WINDOW - 1 - 20) // 2
    window = np.full(WINDOW, DNA.n, np.uint8)
    window[: 2 * side + 20] = genome.tokens("c1", 100 - side, 120 + side) & CODE
    with torch.inference_mode():
        logits = model.encode(torch.from_numpy(window)[None])[0, side : side + 20].double().numpy()
    codes = window[side : side + 20]
    logits[np.arange(20), codes] -= math.log(3)  # 80/10/10
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(letters[0], logs[np.arange(20), codes], atol=1e-5)


@pytest.mark.parametrize("passes", [1, 3])
def test_a_score_is_of_its_element_alone(model, genome, passes):
    options = Options(WINDOW, passes, background=0)
    together = ElementScoring(model, genome, options)(PLACES).values
    backwards = ElementScoring(model, genome, options)(PLACES[::-1]).values[::-1]
    np.testing.assert_array_equal(together, backwards)
    for place, row in zip(PLACES, together, strict=True):
        np.testing.assert_array_equal(
            ElementScoring(model, genome, options)([place]).values[0], row
        )
    assert np.isfinite(together).all()


def test_a_z_is_of_its_element_alone(model, genome):
    options = Options(WINDOW, background=40)
    few = PLACES[1:3]
    together = ElementScoring(model, genome, options)(few).values
    np.testing.assert_array_equal(
        ElementScoring(model, genome, options)(few[::-1]).values[::-1], together
    )
    np.testing.assert_array_equal(
        ElementScoring(model, genome, options)(few[:1]).values, together[:1]
    )
    assert np.isfinite(together).all()
    other = ElementScoring(model, genome, Options(WINDOW, background=40, seed=1))(few).values
    assert (other[:, 2:4] != together[:, 2:4]).all()


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_the_mirrored_element_of_the_mirrored_genome_has_the_same_likelihood(
    genome, turned, passes, strands
):
    model = letters_model(strands=strands)
    options = {"window": WINDOW, "passes": passes, "background": 0}
    here = score_elements(model, genome, PLACES, **options).values
    there = score_elements(
        model, turned, [mirrored(place, genome) for place in PLACES], **options
    ).values
    np.testing.assert_allclose(here, there, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_the_mirrored_element_of_the_mirrored_genome_has_the_same_prediction(genome, turned, name):
    """Whatever the head: the element is read on its own strand. An even window stays
    centred on it.
    """
    model = random_model(HEADS[name])
    for length in (0, 40, 41):
        stranded = [Interval(place.contig, place.start, place.end, "+") for place in PLACES]
        here = score_elements(model, genome, stranded, length=length).values
        there = score_elements(
            model, turned, [mirrored(place, genome) for place in stranded], length=length
        ).values
        np.testing.assert_allclose(here, there, atol=1e-5)
    summits = ElementScoring(model, genome, Options(length=40))([PLACES[2]], [110]).values
    around = score_elements(model, genome, [Interval("c1", 91, 131, "-")], length=0).values
    np.testing.assert_allclose(
        summits, around, atol=1e-5
    )  # letter 20 of the window as read is the summit


@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_the_models_own_whatever_stands_beside_them(genome, name):
    model = random_model(HEADS[name])
    rows = [read(genome, place) for place in PLACES]
    together = predict(model, rows)
    for row, tokens in zip(together, rows, strict=True):
        np.testing.assert_array_equal(predict(model, [tokens])[0], row)
        out = model(torch.from_numpy(tokens & CODE)[None])[0].detach().double().numpy()
        if name == "tracks":
            out = out[: len(tokens) // 4].mean(0)
        elif name == "binary":
            out = 1 / (1 + np.exp(-out))
        elif name == "classes":
            out = np.exp(out) / np.exp(out).sum()
        np.testing.assert_allclose(row, out, atol=1e-5)


def test_columns_are_named_by_what_the_model_was_trained_for(model, genome):
    names = {
        name: [column.name for column in ElementScoring(random_model(HEADS[name]), genome).columns]
        for name in HEADS
    }
    assert names == {
        "binary": ["p_yes"],
        "classes": ["p_a", "p_b", "p_c"],
        "numbers": ["mpra"],
        "tracks": ["plus", "minus"],
    }
    own = [column.name for column in ElementScoring(model, genome, Options(WINDOW)).columns]
    assert own == ["loglik", "entropy", "loglik_z", "entropy_z", "n"]


def test_a_fine_tuned_model_reads_the_length_that_it_was_trained_on(genome):
    model = random_model(HEADS["binary"])
    model.provenance = Provenance.model_validate({"labelled": {"lengths": [40, 40]}})
    assert ElementScoring(model, genome).settings == {"length": 40}
    as_trained = score_elements(model, genome, PLACES).values
    np.testing.assert_array_equal(
        as_trained, score_elements(model, genome, PLACES, length=40).values
    )
    model.provenance = Provenance.model_validate({"labelled": {"lengths": [40, 60]}})
    assert ElementScoring(model, genome).settings == {"length": 0}


def test_every_element_without_a_number_has_its_reason(model, genome):
    odd = [
        Interval("c9", 0, 10),
        Interval("c2", 490, 501),
        Interval("c1", 800, 840),
        Interval("c1", 795, 805),
    ]
    found = score_elements(model, genome, odd, window=WINDOW, background=0)
    assert found.why == ["unknown_contig", "off_contig", "all_n", ""]
    assert np.isfinite(found.values).all(1).tolist() == [False, False, False, True]
    scoring = ElementScoring(model, genome, Options(WINDOW, background=0))
    scoring.longest = 9
    assert scoring(odd).why == ["unknown_contig", "off_contig", "too_long", "too_long"]


def test_n_is_no_letter_of_the_mean(model, genome):
    place = Interval("c1", 795, 805)
    letters = Likelihood(Reader(model, genome, WINDOW)).letters([place])[0]
    assert np.isnan(letters[0]).tolist() == [False] * 5 + [True] * 5
    found = score_elements(model, genome, [place], window=WINDOW, background=0)
    assert found["loglik"][0] == letters[0, :5].mean()


def test_z_is_the_distance_from_windows_alike_in_length_and_gc(model, tmp_path):
    letters = "".join(random_letters(400, i, "ACGT" if i % 2 else "AT") for i in range(12))
    genome = write_genome(tmp_path / "g.fa", {"c": letters})
    scoring = ElementScoring(model, genome, Options(WINDOW, background=150))
    place = Interval("c", 410, 430)
    row = scoring([place]).values[0]
    windows = draw_windows(genome, step(20), 150, 0)
    assert {len(window) for window in windows} == {step(20)}
    nearest = sorted(
        windows, key=lambda window: abs(gc_share(genome, window) - gc_share(genome, place))
    )[:30]
    scores = scoring.likelihood.means(nearest)
    np.testing.assert_allclose(
        row[2:4], (row[:2] - scores.mean(0)) / scores.std(0, ddof=1), rtol=1e-6
    )
    assert row[4] == 30


def test_more_windows_are_more_that_are_close_in_gc(model, tmp_path):
    genome = write_genome(tmp_path / "g.fa", {"c": random_letters(30_000, 1)})
    place = Interval("c", 400, 500)
    for count in (200, 600):
        background = Background(
            genome, lambda places: np.array([[gc_share(genome, each)] for each in places]), count, 0
        )
        gc, _ = background.of(step(100))
        close = np.abs(gc - gc_share(genome, place)) <= 0.02
        assert close.sum() >= 30
        z, n = background.z(place, np.array([gc_share(genome, place)]))
        assert n == close.sum()
        assert z == pytest.approx(
            (gc_share(genome, place) - gc[close].mean()) / gc[close].std(ddof=1)
        )


def test_a_genome_too_small_for_a_background_gives_no_z(model, tmp_path):
    genome = write_genome(tmp_path / "g.fa", {"c": random_letters(70), "gap": "N" * 300})
    row = score_elements(model, genome, [Interval("c", 0, 70)], window=WINDOW, background=5).values[
        0
    ]
    assert np.isfinite(row[:2]).all()
    assert np.isnan(row[2:4]).all()


def test_steps_of_length_are_within_a_fifth():
    assert all(0.83 < step(length) / length < 1.21 for length in range(6, 5000))


def test_a_model_that_cannot_is_refused(genome, model):
    with pytest.raises(
        InputError, match="model: has no head: it gives vectors; orchid-genomics embed"
    ):
        ElementScoring(random_model(), genome)
    with pytest.raises(InputError, match=r"passes: 0; 1 \(letters in sight"):
        ElementScoring(model, genome, Options(WINDOW, passes=0))
    only_masks = letters_model()
    only_masks.provenance = Provenance.model_validate(
        {"recipe": {"objective": {"masked": 1.0, "other": 0.0}}}
    )
    with pytest.raises(RecipeError, match="shown as another letter"):
        ElementScoring(only_masks, genome, Options(WINDOW))
    assert ElementScoring(only_masks, genome, Options(WINDOW, passes=2)).columns
