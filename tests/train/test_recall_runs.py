"""Recall as a run: a model that looks up is always right, and a run goes from its recipe to a
table.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from orchid_genomics.cli import main
from orchid_genomics.data.recall import Recall, RecallRecipe
from orchid_genomics.evaluate.probes.associative_recall import (
    RecallEvaluationRecipe,
    evaluate,
    right_answers,
    validation,
)
from orchid_genomics.recipe import load, validate
from orchid_genomics.tasks.pretraining import open_source, run_recipe
from orchid_genomics.train.distributed import Ranks

RECIPES = sorted((Path(__file__).parents[2] / "recipes/recall").glob("*.toml"))
ALONE = Ranks(0, 1, torch.device("cpu"))

TINY = """
kind = "recall"
[recall]
vocabulary = 4
length = 32
[model]
alphabet = "symbols:4"
strands = "dense"
width = 16
depth = 1
[training]
device = "cpu"
steps = 6
batch = 4
save_every = 3
validate_every = 3
[evaluation]
lengths = [64, 128]
sequences = 40
"""


class Lookup(nn.Module):
    """An encoder by hand: the value after the last earlier occurrence of the query."""

    def __init__(self, symbols):
        super().__init__()
        self.symbols, self.lengths = symbols, []

    def encode(self, tokens_BL):
        self.lengths.append(tokens_BL.shape)
        assert (tokens_BL[:, -1] == self.symbols + 1).all()
        logits = torch.zeros(*tokens_BL.shape, self.symbols)
        for row, tokens in enumerate(tokens_BL):
            last = (tokens[:-2:2] == tokens[-2]).nonzero()[-1, 0]
            logits[row, -1, int(tokens[2 * last + 1])] = 50.0
        return logits


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "tiny.toml"


def test_a_model_that_looks_up_is_always_right():
    recipe, measured = (
        RecallRecipe(),
        RecallEvaluationRecipe(lengths=(64,), sequences=50, validation_sequences=20),
    )
    (table,) = evaluate(Lookup(20), recipe, 128, measured, ranks=ALONE)
    assert [(score.name, score.mean, score.targets) for score in table.scores["model"]] == [
        ("L 128", 1.0, 50),
        ("L 64", 1.0, 50),
    ]
    score = table.scores["model"][0]
    assert 0.9 < score.low < score.high == pytest.approx(1.0)
    assert [score.mean for score in table.scores["exact matching"]] == [1.0, 1.0]
    assert {score.mean for score in table.scores["chance"]} == {0.1}
    assert 0.05 < table.scores["commonest value"][0].mean < 0.5
    assert validation(Lookup(20), recipe, 128, measured, ranks=ALONE)() == pytest.approx(
        0.0, abs=1e-6
    )


def test_two_ranks_count_what_one_counts():
    recipe, measured = RecallRecipe(), RecallEvaluationRecipe(sequences=33, batch=4)
    whole = right_answers(Lookup(20), recipe, 64, measured, ranks=ALONE)
    halves = [
        right_answers(Lookup(20), recipe, 64, measured, ranks=_Half(rank, 2, ALONE.device))
        for rank in range(2)
    ]
    assert whole[1] == {name: sum(right[name] for _, right in halves) for name in whole[1]}


class _Half(Ranks):
    def sum(self, values):
        return values


def test_long_sequences_are_fewer_and_come_one_by_one():
    model, measured = Lookup(20), RecallEvaluationRecipe(letters=4096, batch=2)
    assert right_answers(model, RecallRecipe(length=64), 1024, measured, ranks=ALONE)[0] == 4
    assert model.lengths == [(1, 1024)] * 4


def test_what_is_measured_was_never_trained_on():
    source = Recall(RecallRecipe(), 64, 32)
    trained = {row.tobytes() for step in range(50) for row in source.batch(0, step, range(32))}
    assert not trained & {
        row.tobytes() for step in (-1, -2) for row in source.batch(0, step, range(32))
    }


def test_a_run_from_recipe_to_table(tiny, tmp_path, capsys):
    main(["pretrain", str(tiny), "-o", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    assert "parameters; sequences of 32 letters: 2 keys, 2 values, answers: last" in err
    assert " bits/answer " in err
    assert "share of right answers, 2 keys and values, trained at 32" in out
    assert all(
        name in out
        for name in ("L 32", "L 64", "L 128", "chance", "commonest value", "exact matching")
    )
    found = json.loads((tmp_path / "run/evaluation.json").read_text())
    provenance = json.loads((tmp_path / "run/model/provenance.json").read_text())
    assert provenance["evaluation"] == found
    assert provenance["recall"] == {"symbols": 4, "seen": [{"length": 32, "sequences": 24}]}
    assert provenance["recipe"] == json.loads((tmp_path / "run/recipe.json").read_text())
    assert [score["targets"] for score in found[0]["scores"]["model"]] == [40, 40, 40]
    main(["info", str(tmp_path / "run/model")])
    said = capsys.readouterr().out
    assert "recall       4 symbols; sequences seen: 24 of 32 letters" in said
    assert "share of right answers" in said


def test_a_run_resumed_is_the_run(tiny, tmp_path, capsys):
    words = ["pretrain", str(tiny), "-o", str(tmp_path / "run"), "--set", "evaluation.lengths=[]"]
    main(words)
    log, whole = tmp_path / "run/log.jsonl", (tmp_path / "run/model/model.safetensors").read_bytes()
    lines = log.read_text()
    state = torch.load(tmp_path / "run/checkpoints/newest.pt", weights_only=True)
    assert state["step"] == 6
    main([*words, "--resume"])
    assert (tmp_path / "run/model/model.safetensors").read_bytes() == whole
    assert log.read_text() == lines
    main(["pretrain", str(tmp_path / "run/recipe.json"), "-o", str(tmp_path / "again")])
    assert (tmp_path / "again/model/model.safetensors").read_bytes() == whole


def test_two_symbols_are_learned(tiny, tmp_path):
    # A third more than it takes where it takes longest: rounding differs between processors.
    sets = (
        "training.steps=300",
        "training.batch=32",
        "optimizer.rate=2e-2",
        "objective.answers=all",
    )
    words = [part for each in sets for part in ("--set", each)]
    main(["pretrain", str(tiny), "-o", str(tmp_path / "run"), *words])
    found = json.loads((tmp_path / "run/evaluation.json").read_text())[0]["scores"]
    assert found["model"][0]["mean"] > found["chance"][0]["mean"] + 0.3


def test_plan_says_what_it_would_take(tiny, capsys):
    main(["plan", str(tiny), "--steps", "1"])
    out = capsys.readouterr().out
    assert "sequences of 32 letters: 2 keys, 2 values" in out
    assert "6 steps of 4 x 32 nt: " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["genomes=[]"], "names two sources, genomes and recall; either [[genomes]] or [recall]"),
        (["recall.vocabulary=5"], "recall.vocabulary: "),
        (
            ["recall.vocabulary=30"],
            "model.alphabet: 'symbols:4' cannot read these symbols; symbols:30",
        ),
        (["model.strands=equivariant"], 'alphabet symbols:4: has no complement; strands = "dense"'),
        (
            ["evaluation.sites=3"],
            "evaluation.sites: unknown key; possible: batch, lengths, letters, seed, sequences, ",
        ),
        (["evaluation.lengths=[63]"], "evaluation.lengths.0: "),
        (["objective.kind=masked"], "objective.kind: 'masked'; possible: 'recall'"),
        (
            ["training.curriculum=[{length=33, steps=2, batch=4}]"],
            "curriculum.0.length: 33 letters are no pairs of",
        ),
        (
            ["data.length=64"],
            "data: unknown key; possible: evaluation, kind, licence, model, objective, optimizer, ",
        ),
    ],
)
def test_what_cannot_be_is_one_line(tiny, tmp_path, refused, words, message):
    sets = [part for word in words for part in ("--set", word)]
    assert message in refused("pretrain", tiny, "-o", tmp_path / "run", *sets)
    assert not (tmp_path / "run").exists()


def test_the_recipe_of_what_is_measured_is_strict():
    assert validate(RecallEvaluationRecipe, {"lengths": [512]}, "recipe").lengths == (512,)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_recall_trains_to_the_length_that_it_is_named_by(path):
    recipe = load(path, run_recipe)
    open_source(recipe)
    assert (
        recipe.length
        == recipe.stages()[-1].length
        == recipe.longest
        == int(path.stem.split("-")[0])
    )
    assert recipe.length not in recipe.evaluation.lengths
