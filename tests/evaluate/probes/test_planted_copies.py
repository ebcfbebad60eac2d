"""Lookup as a run: a model that looks up gains what there is to gain, one that cannot gains
nothing.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from orchid_genomics.cli import main
from orchid_genomics.data.copies import CopiesRecipe
from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.probes.exchanged_context import choose_tiles, exchange_context
from orchid_genomics.evaluate.probes.planted_copies import (
    Kind,
    LookupEvaluationRecipe,
    choose_windows,
    copy_bits,
    evaluate,
    validation,
)
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretraining import open_source, run_recipe
from orchid_genomics.train.distributed import Ranks

ROOT = Path(__file__).parents[3]
ALONE = Ranks(0, 1, torch.device("cpu"))
COPIES = """
[copies]
shortest = 10
nearest = 20
longest = 40
"""
MEASURED = """
[evaluation]
distances = [30, 60, 100]
copies = [10, 40]
copy_length = 30
windows = 6
validation_windows = 4
tiles = 3
near = 40
"""


class Shift(nn.Module):
    """An encoder by hand that gives each letter the one `distance` before it, where that is
    shown.
    """

    def __init__(self, distance, turned_about=None):
        super().__init__()
        self.distance, self.about = distance, turned_about

    def encode(self, tokens_BL, mask_BL=None):
        place = torch.arange(tokens_BL.shape[1])
        source = place - self.distance if self.about is None else self.about - place
        seen = tokens_BL[:, source % tokens_BL.shape[1]].long()
        known = nn.functional.one_hot(seen.clamp(max=4), 5)[..., :4] * 40.0
        return (known[..., [3, 2, 1, 0]] if self.about is not None else known).float()


@pytest.fixture
def recipe(small, tmp_path):
    text = small.read_text().replace("[model]", COPIES + "[model]")
    text = text[: text.index("[evaluation]")] + MEASURED
    (tmp_path / "part.bed").write_text("t\t500\t900\n")
    small.write_text(
        'kind = "copies"\n' + text + 'regions = [{ name = "part", bed = "part.bed" }]\n'
    )
    return small


@pytest.fixture
def source(recipe):
    return open_source(load(recipe, run_recipe))


def test_reading_at_the_right_distance_gains_what_is_shown_and_at_another_nothing(source):
    pieces, measured = hide_letters(source.corpus, "test", 0), LookupEvaluationRecipe(windows=30)
    right, wrong = (
        copy_bits(Shift(by), pieces, 128, Kind(50, 40), measured=measured, ranks=ALONE)
        for by in (50, 51)
    )
    target = ~np.isnan(right.there)
    assert target.mean() == pytest.approx(0.15, abs=0.04)
    hidden = right.there[target] > 1  # its partner is hidden too, and the letters are a coin toss
    assert hidden.mean() == pytest.approx(0.15, abs=0.08)
    assert right.there[target][~hidden] == pytest.approx(0.0, abs=1e-5)
    assert right.without[target].mean() > 10
    assert np.array_equal(
        right.known[target][~hidden], right.there[target][~hidden].clip(min=0) * 0
    )
    assert (
        abs((wrong.without - wrong.there)[target].mean())
        < 0.2 * (right.without - right.there)[target].mean()
    )


def test_a_copy_on_the_other_strand_is_met_from_the_other_end(source):
    pieces, measured = hide_letters(source.corpus, "test", 0), LookupEvaluationRecipe(windows=30)
    first = (128 - 50 - 40) // 2
    about = first + first + 50 + 40 - 1
    found = copy_bits(
        Shift(0, about), pieces, 128, Kind(50, 40, turned=True), measured=measured, ranks=ALONE
    )
    target = ~np.isnan(found.there)
    shown = found.known[target] == 0
    assert shown.mean() == pytest.approx(0.85, abs=0.08)
    assert found.there[target][shown] == pytest.approx(0.0, abs=1e-5)


def test_the_place_known_is_the_entropy_of_the_divergence(source):
    pieces, measured = hide_letters(source.corpus, "test", 0), LookupEvaluationRecipe(windows=60)
    found = copy_bits(Shift(50), pieces, 128, Kind(50, 40, 0.2), measured=measured, ranks=ALONE)
    shown = found.known[~np.isnan(found.known)]
    values = shown[np.isclose(shown, -np.log2(0.8)) | np.isclose(shown, -np.log2(0.2 / 3))]
    assert len(values) > 0.8 * len(shown)
    assert values.mean() == pytest.approx(-0.8 * np.log2(0.8) - 0.2 * np.log2(0.2 / 3), abs=0.25)


def test_two_ranks_find_what_one_finds(source):
    pieces, measured = hide_letters(source.corpus, "test", 0), LookupEvaluationRecipe(windows=7)
    whole = copy_bits(Shift(50), pieces, 128, Kind(50, 40), measured=measured, ranks=ALONE)
    seen = []

    class Half(Ranks):
        def sum(self, values):
            seen.append(values)
            return values

    halves = [
        copy_bits(
            Shift(50),
            pieces,
            128,
            Kind(50, 40),
            measured=measured,
            ranks=Half(rank, 2, ALONE.device),
        )
        for rank in range(2)
    ]
    for each in zip(whole, *halves, strict=True):
        one, first, second = each
        assert np.array_equal(np.isnan(one), np.isnan(first) & np.isnan(second))
        assert np.array_equal(np.nan_to_num(one), np.nan_to_num(first) + np.nan_to_num(second))


def test_windows_are_held_out_whole_and_spread(source):
    pieces = hide_letters(source.corpus, "test", 0)
    found = choose_windows(pieces, 128, 5)
    assert [piece for piece, _ in found] == [0] * 5
    assert np.diff([start for _, start in found]).min() > 300
    pieces[0].inside[:1900] = False
    assert choose_windows(pieces, 128, 5) == []
    assert [start for _, start in choose_windows(pieces, 99, 5)] == [1900, 1901]


def test_what_lies_far_off_is_exchanged_and_what_is_near_is_not(source):
    pieces = hide_letters(source.corpus, "test", 0)
    pieces[0].tokens[1000:1100] = pieces[0].tokens[800:900]
    near, tile = 30, (0, 1030)
    for distance, changes in ((200, True), (20, False)):
        there, without, again = exchange_context(
            Shift(distance), pieces, [tile], 600, near=near, ranks=ALONE
        )
        target = ~np.isnan(there)
        assert (there[target] != without[target]).any() == changes
        assert again[target].all()
    assert not np.nan_to_num(
        exchange_context(Shift(200), pieces, [(0, 300)], 600, near=near, ranks=ALONE)[2]
    ).any()


def test_tiles_lie_inside_their_regions_and_elsewhere_outside_all(source):
    pieces = hide_letters(source.corpus, "test", 0)
    found = choose_tiles(source.corpus, pieces, 128, source.recipe.evaluation)
    assert set(found) == {"part", "elsewhere"}
    assert len(found["part"]) == len(found["elsewhere"]) == 3
    assert all(at >= 500 and at + 40 <= 900 for _, at in found["part"])
    assert all(at + 40 <= 500 or at >= 900 for _, at in found["elsewhere"])


def test_validation_is_of_copies_alone(source):
    check = validation(
        Shift(64),
        source.corpus,
        CopiesRecipe(shortest=40, nearest=64, farthest=64, turned=0.0, diverged=0.0),
        128,
        measured=source.recipe.evaluation,
        ranks=ALONE,
    )
    right = check()
    assert (
        right
        < 0.6
        * validation(
            Shift(63),
            source.corpus,
            source.recipe.copies,
            128,
            measured=source.recipe.evaluation,
            ranks=ALONE,
        )()
    )


def test_a_cell_that_does_not_fit_is_left_out(source):
    measured = source.recipe.evaluation
    by_length, by_rate, bits, natural = evaluate(
        Shift(30), source.corpus, 128, measured, ranks=ALONE
    )
    assert [score.targets > 0 for score in by_length.scores["40 nt"]] == [False, True, False]
    assert [score.name for score in by_length.scores["10 nt"]] == ["0.03 kb", "0.06 kb", "0.1 kb"]
    assert list(by_rate.scores) == [
        "0% diverged",
        "5% diverged",
        "10% diverged",
        "20% diverged",
        "other strand",
    ]
    assert by_rate.scores["0% diverged"][0].mean > 3 * abs(by_rate.scores["0% diverged"][1].mean)
    assert list(bits.scores) == ["first copy shuffled", "first copy there", "place known"]
    assert list(natural.scores) == ["gain", "far context exchanged", "whole window"]
    assert [score.name for score in natural.scores["gain"]] == [
        "part",
        "elsewhere",
        "standing again",
    ]


def test_without_distances_natural_sequence_alone_is_measured(source):
    measured = source.recipe.evaluation.model_copy(update={"distances": ()})
    (natural,) = evaluate(Shift(30), source.corpus, 128, measured, ranks=ALONE)
    assert natural.title.startswith("natural sequence")


def test_the_recipe_of_the_repository_reads_and_plants():
    recipe = load(ROOT / "recipes/lookup/copies.toml", run_recipe)
    source = open_source(recipe)
    for stage in recipe.stages():
        planted = source.training(stage.length, stage.batch)
        assert planted.batch(0, 1, [0]).shape == (1, stage.length)
    assert {Path(path).name for path in source.inputs()} == {
        "sacCer3.fa.gz",
        "transposons.bed",
        "subtelomeres.bed",
    }


def test_a_run_from_recipe_to_table(recipe, tmp_path, capsys):
    main(
        ["pretrain", str(recipe), "-o", str(tmp_path / "run"), "--set", "evaluation.lengths=[256]"]
    )
    out, err = capsys.readouterr()
    assert "copies of 10 to 40 nt in 100% of the windows, up to 20% diverged" in err
    assert "step 6: validation " in err
    assert "gain on the second copy by its length, bits, windows of 128 nt" in out
    assert (
        "natural sequence, what lies beyond 40 nt, bits a masked letter, windows of 256 nt" in out
    )
    found = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert len(found) == 8
    main(["info", str(tmp_path / "run/model")])
    assert "gain on the second copy by its length" in capsys.readouterr().out
    whole = (tmp_path / "run/model/model.safetensors").read_bytes()
    main(["pretrain", str(tmp_path / "run/recipe.json"), "-o", str(tmp_path / "again")])
    assert (tmp_path / "again/model/model.safetensors").read_bytes() == whole


def test_plan_says_what_is_planted(recipe, capsys):
    main(["plan", str(recipe), "--steps", "1"])
    out = capsys.readouterr().out
    assert "copies of 10 to 40 nt in 100% of the windows, up to 20% diverged" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["copies.shortest=60", "copies.longest=80"],
            (
                "copies: a window of 128 nt holds no copy of 60 nt, 20 nt away; a shorter"
                " copies.shortest"
            ),
        ),
        (
            ["evaluation.sites=3"],
            "evaluation.sites: unknown key; possible: copies, copy_length, distances, diverged, ",
        ),
        (
            ["copies.long=3"],
            "copies.long: unknown key; possible: diverged, farthest, longest, nearest, share, ",
        ),
    ],
)
def test_what_cannot_be_is_one_line(recipe, tmp_path, refused, words, message):
    sets = [part for word in words for part in ("--set", word)]
    assert message in refused("pretrain", recipe, "-o", tmp_path / "run", *sets)
