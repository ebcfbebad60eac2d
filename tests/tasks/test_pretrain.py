"""What a run leaves behind and says: provenance, a model that loads, plain lines, and what plan and
info print.
"""

import hashlib
import itertools
import json
import os
import re

import pytest
import torch
from pydantic import ValidationError

from orchid_genomics.cli import main
from orchid_genomics.errors import OrchidError, RecipeError, TrainingError
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.info import info
from orchid_genomics.tasks.plan import plan
from orchid_genomics.tasks.pretrain import build, join_genomes, pretrain
from orchid_genomics.tasks.pretraining import PretrainRecipe, open_source


@pytest.fixture
def run(small, tmp_path):
    """A run whose contig b is held out in part by a BED."""
    (tmp_path / "held.bed").write_text("b\t1000\t1400\n")
    (tmp_path / "part.bed").write_text("t\t500\t900\n")
    text = small.read_text().replace('test = ["t"]', 'test = ["t"]\ntest_bed = "held.bed"')
    small.write_text(text + 'regions = [{ name = "part", bed = "part.bed" }]\n')
    pretrain(small, tmp_path / "run")
    return tmp_path / "run"


def provenance(run):
    return json.loads((run / "model/provenance.json").read_text())


def test_provenance_holds_checksums_split_versions_recipe_and_metrics(run, tmp_path):
    found = provenance(run)
    (genome,) = found["genomes"]
    assert genome["sha256"] == hashlib.sha256((tmp_path / "genome.fa").read_bytes()).hexdigest()
    assert genome["contigs"] == {"a": 6_000, "b": 3_000, "v": 2_000, "t": 2_000}
    assert genome["split"] == {
        "train": ["a", "b"],
        "validation": ["v"],
        "test": ["t"],
        "ignore": [],
    }
    assert found["torch"] == torch.__version__
    assert found["recipe"] == json.loads((run / "recipe.json").read_text())
    assert found["evaluation"] == json.loads((run / "evaluation.json").read_text())
    assert found["report"]["overlap"] == 0
    names = [score["name"] for score in found["evaluation"][0]["scores"]["model"]]
    assert names == ["all", "part", "repeated", "unique", "soft-masked"]


def test_the_intervals_seen_never_touch_what_is_held_out(run):
    (genome,) = provenance(run)["genomes"]
    assert set(genome["seen"]) == {"a", "b"}
    for contig, places in genome["seen"].items():
        assert all(0 <= start < end <= genome["contigs"][contig] for start, end in places)
        assert all(left[1] < right[0] for left, right in itertools.pairwise(places))
    assert all(end <= 1000 or start >= 1400 for start, end in genome["seen"]["b"])
    assert (
        0
        < sum(end - start for places in genome["seen"].values() for start, end in places)
        <= 12 * 4 * 128
    )


def test_the_model_folder_loads_and_answers(run):
    model = OrchidModel.from_pretrained(run / "model")
    tokens = torch.from_numpy(DNA.encode("ACGTNacgt" * 20))[None]
    with torch.inference_mode():
        assert model(tokens).shape == (1, 180, 4)
    card = (run / "model/README.md").read_text()
    assert card.startswith("# Orchid encoder pretrained on genome.fa")
    assert "masked bits per base, 15% masked, 128 nt" in card


def test_the_saved_recipe_runs_again_from_anywhere_to_the_same_weights(run, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    pretrain(run / "recipe.json", "again")
    again = tmp_path / "elsewhere/again/model/model.safetensors"
    assert again.read_bytes() == (run / "model/model.safetensors").read_bytes()


def test_lines_are_plain_when_not_at_a_terminal(small, tmp_path, capsys):
    pretrain(small, tmp_path / "run")
    out, err = capsys.readouterr()
    assert not set("\r\x1b") & set(out + err)
    lines = err.splitlines()
    assert any(
        line.startswith("step 1/12  loss ") and "bits/base" in line and "knt/s" in line
        for line in lines
    )
    assert any(line.startswith("step 12/12  ") and line.endswith("0:00 left") for line in lines)
    assert any(line.startswith("step 6: validation ") for line in lines)
    assert out.splitlines()[-1] == f"model: {tmp_path / 'run' / 'model'}"


def test_without_a_test_split_nothing_is_claimed(small, tmp_path, capsys):
    small.write_text(small.read_text().replace('validation = ["v"]\ntest = ["t"]\n', ""))
    pretrain(small, tmp_path / "run")
    out, err = capsys.readouterr()
    assert out == f"model: {tmp_path / 'run' / 'model'}\n"
    assert "measuring" not in err
    assert (
        "no letter is held out for test, so nothing will be measured; name a test contig in" in err
    )
    assert any("nothing will be measured" in line for line in plan(small, (), steps=1))
    assert provenance(tmp_path / "run")["evaluation"] == []


def test_without_a_validation_split_the_last_weights_are_said_to_be_kept(small):
    small.write_text(small.read_text().replace('validation = ["v"]\n', ""))
    lines = open_source(load(small, PretrainRecipe)).describe(128)
    assert any("held out for validation, so the last weights are kept" in line for line in lines)


def test_the_weights_begin_from_the_seed_alone(small):
    first, second, other = (
        build(load(small, PretrainRecipe, [f"seed={seed}"])) for seed in (1, 1, 2)
    )
    assert first.hash() == second.hash() != other.hash()
    with pytest.raises(
        RecipeError, match=r"model\.alphabet: 'symbols:20' cannot read a genome; dna"
    ):
        open_source(
            load(small, PretrainRecipe, ["model.alphabet=symbols:20", "model.strands=dense"])
        )


def test_a_recipe_is_frozen(small):
    with pytest.raises(ValidationError, match="frozen"):
        load(small, PretrainRecipe).seed = 3


def test_plan_says_what_a_run_would_take_and_writes_nothing(small, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    stages = "training.curriculum=[{length=64, steps=30, batch=8}, {length=128, steps=20, batch=4}]"
    text = "\n".join(plan(small, (stages,), steps=1))
    assert "3,500 parameters; windows of 128 nt, moved by up to 64 nt" in text
    assert (
        "genome.fa: 71 training windows (100% of draws), dropped: none; 0.00 % N, 50.1 %"
        " soft-masked" in text
    )
    assert "training windows that touch held-out letters: 0" in text
    assert "letters by split: train 9,000, ignore 0, validation 2,000, test 2,000" in text
    assert "30 steps of 8 x 64 nt: " in text
    assert "few steps: 20 of 128 nt. On yeast, stages of 8 to 20 steps left long windows" in text
    assert "few steps: 30 " not in text
    assert "20 steps of 4 x 128 nt: " in text
    assert "peak memory so far: " in text
    assert "training time: about 0:" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_info_says_what_a_model_is(run):
    text = "\n".join(info(run / "model"))
    assert text.replace(f"{run / 'model'}", "") == "\n".join(info(run)).replace(
        f"{run / 'model'}", ""
    )
    model = OrchidModel.from_pretrained(run / "model")
    for words in (
        f"(hash {model.hash()})",
        "Orchid, width 16, depth 1, equivariant strands",
        "parameters   3,500",
        "genome       genome.fa (sha256 ",
        "  train      a, b",
        "  test       t",
        " letters in training",
        "masked bits per base, 15% masked, 128 nt",
        "bits per base, one masked letter, 128 nt",
    ):
        assert words in text


def table_of(run):
    return json.loads((run / "evaluation.json").read_text())[0]


def means(run):
    return {name: row[0]["mean"] for name, row in table_of(run)["scores"].items()}


def test_a_given_model_goes_on_and_stands_beside_itself_and_scratch(run, small, tmp_path, capsys):
    given = OrchidModel.from_pretrained(run / "model")
    overrides = (f"pretrained={run / 'model'}", "evaluation.scratch=true", "evaluation.sites=0")
    start = build(load(small, PretrainRecipe, overrides))
    assert start.hash() == given.hash()
    assert build(load(small, PretrainRecipe, overrides), fresh=True).hash() != given.hash()
    capsys.readouterr()
    pretrain(small, tmp_path / "on", overrides)
    out, err = capsys.readouterr()
    assert "training the same shape from scratch" in err
    assert "model - given model: " in out
    assert "model - from scratch: " in out
    once, on = means(run), means(tmp_path / "on")
    assert list(on) == ["model", "given model", "from scratch"]
    # The recipe is that of the first run, so both stand where it ended.
    assert on["given model"] == on["from scratch"] == once["model"] != on["model"]
    found = provenance(tmp_path / "on")
    assert found["pretrained"] == {"hash": given.hash()}
    assert len(found["genomes"]) == 1
    inputs = json.loads((tmp_path / "on/inputs.json").read_text())
    assert inputs[str(run / "model")] == given.hash()
    whole = (tmp_path / "on/model/model.safetensors").read_bytes()
    pretrain(small, tmp_path / "on", overrides, resume=True)
    assert (tmp_path / "on/model/model.safetensors").read_bytes() == whole


def test_an_adapter_goes_on_by_low_rank_updates_that_the_folder_does_not_show(
    run, small, tmp_path, capsys, refused
):
    overrides = (f"pretrained={run / 'model'}", "training.adapter=2", "evaluation.sites=0")
    pretrain(small, tmp_path / "on", overrides)
    assert " of them trained; " in capsys.readouterr().err
    given, on = (
        dict(OrchidModel.from_pretrained(each / "model").encoder.named_parameters())
        for each in (run, tmp_path / "on")
    )
    changed = {name for name, weight in given.items() if not torch.equal(weight, on[name])}
    assert changed == {name for name in given if name.endswith(("inside.weight", "outside.weight"))}
    whole = (tmp_path / "on/model/model.safetensors").read_bytes()
    pretrain(small, tmp_path / "on", overrides, resume=True)
    assert (tmp_path / "on/model/model.safetensors").read_bytes() == whole
    line = refused("pretrain", small, "--set", "training.adapter=2")
    assert "training.adapter updates a given model, and none is named by pretrained" in line


def test_from_names_the_given_model_as_seen_from_here(run, small, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    given = os.path.relpath(run)  # a run folder, and not relative to the recipe
    words = ["--set", "evaluation.sites=0", "--set", "training.steps=1"]
    main(["pretrain", str(small), "-o", "on", "--from", given, *words])
    recipe = json.loads((tmp_path / "elsewhere/on/recipe.json").read_text())
    assert recipe["pretrained"] == str(run)
    assert provenance(tmp_path / "elsewhere/on")["pretrained"]["hash"]


def test_letters_that_the_given_model_saw_are_no_fair_test_and_said(run, small, tmp_path, capsys):
    small.write_text(small.read_text().replace('test = ["t"]', 'test = ["a"]'))
    small.write_text(small.read_text().replace('test_bed = "held.bed"', ""))
    pretrain(small, tmp_path / "on", (f"pretrained={run / 'model'}", "evaluation.regions=[]"))
    err = capsys.readouterr().err
    assert re.search(r"\nthe given model saw [\d,]+ letters of the test split in its own", err)
    genome = provenance(tmp_path / "on")["genomes"][0]
    assert {"a", "t"} <= set(genome["seen"]), "what either of the two saw"


def test_genomes_of_the_given_model_stay_in_the_provenance():
    own = [{"sha256": "x", "seen": {"a": [[0, 10]]}}]
    given = [{"sha256": "x", "seen": {"a": [[5, 20]], "b": [[1, 2]]}}, {"sha256": "y", "seen": {}}]
    assert join_genomes(own, given) == [
        {"sha256": "x", "seen": {"a": [[0, 20]], "b": [[1, 2]]}},
        {"sha256": "y", "seen": {}},
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pretrained=none"], r"none/config\.json: "),
        (["evaluation.scratch=true"], r"evaluation\.scratch stands beside a given model, and none"),
        (
            ["pretrained=run/model", "model.width=32"],
            r"model: differs from the shape of the model that pretrained names; no \[model\]",
        ),
        (
            ["pretrained=headless"],
            r"pretrained: .*headless has no head; a model that pretrain wrote",
        ),
    ],
)
def test_a_given_model_that_does_not_fit_is_one_line(run, small, tmp_path, overrides, message):
    OrchidModel.from_pretrained(run / "model").encoder.save_pretrained(tmp_path / "headless")
    with pytest.raises(OrchidError, match=message):
        pretrain(small, tmp_path / "on", tuple(overrides))
    assert not (tmp_path / "on").exists()


def test_steps_may_be_raised_on_resume_and_not_lowered(small, tmp_path, capsys):
    pretrain(small, tmp_path / "run")
    capsys.readouterr()
    pretrain(small, tmp_path / "run", ("training.steps=20",), resume=True)
    err = capsys.readouterr().err
    assert "training.steps is raised from 12 to 20; the learning rate goes on as in a run of" in err
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == list(range(1, 21))
    assert json.loads((tmp_path / "run/recipe.json").read_text())["training"]["steps"] == 20
    with pytest.raises(TrainingError, match=r"the recipe changed .* training\.steps 20 -> 12"):
        pretrain(small, tmp_path / "run", (), resume=True)


def test_of_a_curriculum_the_last_stage_alone_may_be_longer(small, tmp_path):
    def stages(first, last):
        each = f"[{{length=64, steps={first}, batch=4}}, {{length=128, steps={last}, batch=4}}]"
        return (f"training.curriculum={each}", "evaluation.sites=0")

    pretrain(small, tmp_path / "run", stages(3, 3))
    with pytest.raises(TrainingError, match=r"training\.curriculum\.0\.steps 3 -> 4"):
        pretrain(small, tmp_path / "run", stages(4, 3), resume=True)
    pretrain(small, tmp_path / "run", stages(3, 5), resume=True)
    log = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 8


def test_windows_that_no_memory_holds_are_refused_before_any_step(small, refused, monkeypatch):
    """Also by `plan`, which would try them."""
    monkeypatch.setattr("orchid_genomics.tasks.pretrain.memory_of", lambda device: 10_000)
    for command in ("plan", "pretrain"):
        line = refused(command, small)
        assert "data.length: 4 x 128 nt need over 0 GB of 0 GB; shorter windows" in line


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("training.sequence_ranks=2",), "2 ranks a window, and 1 in all"),
        (("training.sequence_ranks=0",), "training.sequence_ranks"),
    ],
)
def test_ranks_that_are_not_there_are_one_line(small, refused, keys, words):
    for command in ("plan", "pretrain"):
        assert words in refused(command, small, "--set", *keys)
