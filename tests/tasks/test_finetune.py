"""Journeys of fine-tuning: real commands on small sets with an answer that is known."""

import gzip
import json
import os
import re
import threading

import h5py
import numpy as np
import pytest
import torch

from orchid_genomics.cli import main
from orchid_genomics.data.labelled.sets import open_set
from orchid_genomics.evaluate.arms import build_model, build_random
from orchid_genomics.evaluate.candidates import readings_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.tasks.plan import plan
from orchid_genomics.train.run import Run

RECIPE = """
[data]
kind = "table"
path = "set.tsv.gz"
[model]
width = 16
depth = 1
[head]
pool = "attention"
[optimizer]
rate = 1e-2
warmup = 5
[training]
epochs = 4
batch = 16
seeds = [0]
device = "cpu"
[baselines]
cnn = false
sizes = [3]
"""


def planted(
    rows: int, seed: int, motif: str = "TGACTCAG", length: int = 80
) -> list[tuple[str, int]]:
    """Random sequences; half hold a motif, on either strand, anywhere."""
    rng = np.random.default_rng(seed)
    other = motif[::-1].translate(str.maketrans("ACGT", "TGCA"))
    found = []
    for row in range(rows):
        letters = "".join(rng.choice(list("ACGT"), length))
        if row % 2:
            at = int(rng.integers(5, length - 15))
            letters = (
                letters[:at] + (motif if rng.random() < 0.5 else other) + letters[at + len(motif) :]
            )
        found.append((letters, row % 2))
    return found


def write_set(path, rows, extra=lambda row: ("chr1", row * 20_000, "+")):
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    with gzip.open(path, "wt") as file:
        file.write("#chrom\tstart\tend\tstrand\tlabel\tsplit\tsequence\n")
        for row, (letters, label) in enumerate(rows):
            contig, start, strand = extra(row)
            split = splits[(row // 2) % 10]
            file.write(
                f"{contig}\t{start}\t{start + len(letters)}\t"
                f"{strand}\t{label}\t{split}\t{letters}\n"
            )


@pytest.fixture
def recipe(tmp_path):
    write_set(tmp_path / "set.tsv.gz", planted(400, 0))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def test_a_run_ends_with_an_answer_a_model_and_a_report(recipe, tmp_path, capsys):
    main(["finetune", str(recipe), "-o", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    first = out.splitlines()[0]
    assert first.startswith("The encoder ")
    assert "the best alternative on validation" in first
    for words in (
        "majority class",
        "GC content",
        "k-mer regression",
        "gapped k-mer regression",
        "positional regression",
    ):
        assert words in out
    assert "240 train, 80 validation, 80 test rows of 80 nt" in err
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["verdict"]
    assert found["lines"][0]["name"] == "model"
    page = (tmp_path / "run" / "report.html").read_text()
    assert first.split(":")[0] in page
    model = OrchidModel.from_pretrained(tmp_path / "run" / "model")
    assert model.recipe.head.labels == ("0", "1")
    assert model.provenance.labelled.rows == {"train": 240, "validation": 80, "test": 80}
    main(["info", str(tmp_path / "run" / "model")])
    out = capsys.readouterr().out
    assert "fine-tuned   set.tsv.gz: binary, 0, 1" in out
    assert first in out


def run(recipe, out, *overrides):
    main(
        [
            "finetune",
            str(recipe),
            "-o",
            str(out),
            *(word for each in overrides for word in ("--set", each)),
        ]
    )


QUICK = ("training.epochs=1", "baselines.simple=false")


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_weights(
    recipe, tmp_path, capsys, monkeypatch, refused
):
    words = (
        "training.epochs=2",
        "training.rates=[1e-2, 3e-3]",
        "training.seeds=[0, 1]",
        "baselines.simple=false",
    )
    run(recipe, tmp_path / "whole", *words)
    saved = []

    def once(self, name, state, save=Run.save):
        save(self, name, state)
        saved.append(name)
        if len(saved) == 3:
            raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", once)
        with pytest.raises(SystemExit):
            run(recipe, tmp_path / "killed", *words)
    assert not (tmp_path / "killed" / "model").exists()
    overrides = [word for each in words for word in ("--set", each)]
    main(["finetune", str(recipe), "-o", str(tmp_path / "killed"), "--resume", *overrides])
    hashes = {
        OrchidModel.from_pretrained(tmp_path / name / "model").hash()
        for name in ("whole", "killed")
    }
    assert len(hashes) == 1
    found = [
        json.loads((tmp_path / name / "evaluation.json").read_text())
        for name in ("whole", "killed")
    ]
    assert found[0] == found[1]
    # Two rates, and another seed of the better one.
    assert len(list((tmp_path / "killed" / "fits").glob("model-*"))) == 3
    capsys.readouterr()
    write_set(tmp_path / "set.tsv.gz", planted(400, 1))
    line = refused("finetune", recipe, "-o", tmp_path / "killed", "--resume", *overrides)
    assert "set.tsv.gz: changed since the run began (SHA-256 " in line


def test_a_recipe_of_its_data_alone_is_planned_and_nothing_is_written(tmp_path):
    write_set(tmp_path / "set.tsv.gz", planted(400, 0))
    recipe = tmp_path / "alone.toml"
    recipe.write_text('[data]\nkind = "table"\npath = "set.tsv.gz"\n')
    before = sorted(tmp_path.iterdir())
    lines = list(plan(recipe, ("training.device=cpu", "training.folds=3"), steps=1))
    text = "\n".join(lines)
    shape = "width 48, 1 layer, a stem of 48 motifs of 23 letters that begins at enriched words"
    assert f"Training: {shape}; up to 30 epochs of" in text
    first = "rate 0.004, 10% hidden, attention and maxima of stem"
    # Of 80 letters the half about the middle, and all.
    assert f"Tried on validation: {first} in 2 parts about the middle; {first};" in text
    for arm in ("model", "small CNN"):
        assert re.search(
            rf"^{arm}: \d+:\d\d an epoch, 6 fits of up to 30 epochs in each", text, re.M
        )
    assert sorted(tmp_path.iterdir()) == before


def test_a_time_is_kept_as_candidates_and_epochs_and_one_without_an_epoch_is_one_line(
    recipe, tmp_path, capsys, refused
):
    folder = tmp_path / "run"
    run(recipe, folder, *QUICK, "training.budget=1 h")
    assert json.loads((folder / "fits" / "budget.json").read_text()) == {"model": [1, 1]}
    out, err = capsys.readouterr()
    assert "model: 1 h holds 1 candidate of 1 epoch" in err
    assert out.startswith("No alternative was run, so there is no verdict: MCC ")
    assert "took: model 1 candidate in 0:" in out
    line = refused("finetune", recipe, "-o", tmp_path / "no", "--set", "training.budget=0.001 s")
    assert "training.budget: 0.001 s, and an epoch of the model takes about" in line
    assert "or fewer rows (data.train_rows)" in line


@pytest.fixture
def pretrained(small, tmp_path, capsys):
    """An encoder pretrained for a moment; its folder."""
    main(["pretrain", str(small), "-o", str(tmp_path / "pre"), "--set", "evaluation.sites=0"])
    capsys.readouterr()
    return tmp_path / "pre" / "model"


def from_pretrained(recipe, pretrained):
    words = RECIPE.replace("[model]\nwidth = 16\ndepth = 1\n", "").strip()
    recipe.write_text(f'pretrained = "{pretrained}"\n{words}\n')


@pytest.mark.parametrize("layers", [None, 0, 1])
@pytest.mark.slow
def test_what_is_frozen_stays_as_pretraining_left_it(recipe, tmp_path, capsys, pretrained, layers):
    from_pretrained(recipe, pretrained)
    run(
        recipe, tmp_path / "run", *QUICK, *([] if layers is None else [f"training.layers={layers}"])
    )
    out = capsys.readouterr().out
    trained = {None: "all weights", 0: "the head alone", 1: "the head and the last 1 layer"}[layers]
    assert f"Trained: {trained}." in out
    assert ("Random weights: no more of them is trained" in out) == (layers is not None)
    assert "random weights" in out
    before, after = (
        OrchidModel.from_pretrained(pretrained),
        OrchidModel.from_pretrained(tmp_path / "run" / "model"),
    )
    ours = dict(after.encoder.named_parameters())
    changed = {
        name for name, p in before.encoder.named_parameters() if not torch.equal(p, ours[name])
    }
    if layers == 0:
        assert not changed
    elif layers == 1:  # of one
        assert "letters.free" not in changed
        assert any(name.startswith("blocks.0") for name in changed)
    else:
        assert "letters.free" in changed


@pytest.mark.slow
def test_adapters_leave_a_folder_as_any_and_go_on_after_a_kill(
    recipe, tmp_path, capsys, pretrained, monkeypatch, refused
):
    from_pretrained(recipe, pretrained)
    words = ("training.epochs=2", "baselines.simple=false", "training.adapter=2")
    run(recipe, tmp_path / "run", *words)
    out = capsys.readouterr().out
    assert "Trained: the head and adapters of rank 2." in out
    assert "Random weights: no more of them is trained" in out
    before, after = (
        dict(OrchidModel.from_pretrained(folder).encoder.named_parameters())
        for folder in (pretrained, tmp_path / "run" / "model")
    )
    assert before.keys() == after.keys()
    for name, given in before.items():
        is_product = name.endswith(("inside.weight", "outside.weight"))
        assert torch.equal(given, after[name]) == (not is_product), name
        if is_product:
            ranks = torch.linalg.matrix_rank(after[name] - given, atol=1e-5)
            assert ranks.tolist() == [2, 2]

    def once(self, name, state, save=Run.save):
        save(self, name, state)
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", once)
        with pytest.raises(SystemExit):
            run(recipe, tmp_path / "killed", *words)
    overrides = [word for each in words for word in ("--set", each)]
    main(["finetune", str(recipe), "-o", str(tmp_path / "killed"), "--resume", *overrides])
    hashes = {
        OrchidModel.from_pretrained(tmp_path / name / "model").hash() for name in ("run", "killed")
    }
    assert len(hashes) == 1
    capsys.readouterr()
    line = refused("finetune", recipe, "-o", tmp_path / "no", "--set", "training.adapter=100")
    assert "training.adapter: 100, and the smallest matrix has 8 rows or columns" in line
    words = ("--set", "training.adapter=2", "--set", "training.layers=1")
    assert "either layers, or an adapter" in refused("finetune", recipe, *words)


def test_an_adapter_of_random_weights_is_refused(recipe, refused):
    line = refused("finetune", recipe, "--set", "training.adapter=2")
    assert "training.adapter updates a given model, and none is named by pretrained" in line


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_random_weights_beside_given_ones_begin_as_a_model_from_scratch_would(
    recipe, pretrained, spread
):
    from_pretrained(recipe, pretrained)
    read = load(recipe, FinetuneRecipe, (f"baselines.random_spread={spread}",))
    data = open_set(read.data)
    reading = readings_of(read, data)[0]
    given, fresh = (build(read, data, 0, reading) for build in (build_model, build_random))
    taps = fresh.encoder.blocks[0].mixer.short.detach()
    centre = torch.zeros_like(taps)
    centre[..., taps.shape[-1] // 2] = 1
    assert torch.equal(taps, centre) == (spread == 0)
    assert 0.8 * spread <= float((taps - centre).std()) <= 1.2 * spread
    source = OrchidModel.from_pretrained(pretrained)
    assert torch.equal(given.encoder.blocks[0].mixer.short, source.encoder.blocks[0].mixer.short)
    assert not torch.equal(given.encoder.letters.free, fresh.encoder.letters.free)


@pytest.mark.slow
def test_the_report_says_how_many_test_loci_pretraining_saw(recipe, tmp_path, capsys, pretrained):
    write_set(
        tmp_path / "set.tsv.gz",
        planted(400, 0),
        lambda row: ("a" if row % 2 else "t", row * 10, "+"),
    )
    from_pretrained(recipe, pretrained)
    run(recipe, tmp_path / "run", *QUICK)
    out = capsys.readouterr().out
    seen = int(re.search(r"Pretraining on genome.fa saw (\d+) of 80 test loci", out)[1])
    assert 0 < seen <= 40, "half of the rows lie on the contig that pretraining tested"
    assert (
        "Strand: both (the same answer on both strands; neither a strand column nor the rows say"
        " one)." in out
    )


@pytest.mark.slow
def test_stranded_rows_get_a_forward_head_and_the_report_says_so(recipe, tmp_path, capsys):
    write_set(
        tmp_path / "set.tsv.gz", planted(400, 0), lambda row: ("c", row * 500, "+-"[row // 2 % 2])
    )
    run(recipe, tmp_path / "run", *QUICK)
    words = (
        "Strand: forward (sequences are read on their own strand; following the strand column of"
        " the data)."
    )
    assert words in capsys.readouterr().out
    assert OrchidModel.from_pretrained(tmp_path / "run" / "model").recipe.head.strand == "forward"
    run(recipe, tmp_path / "blind", *QUICK, "head.strand=both")
    assert (
        "Strand: both (the same answer on both strands; as the recipe says)."
        in capsys.readouterr().out
    )


@pytest.mark.slow
def test_shares_of_the_training_rows_are_measured_and_drawn(
    recipe, tmp_path, capsys, refused, pretrained
):
    from_pretrained(recipe, pretrained)
    words = ("training.epochs=1", "baselines.cnn=false", "training.shares=[0.2, 0.6, 1]")
    run(recipe, tmp_path / "run", *words)
    out = capsys.readouterr().out
    head = next(line for line in out.splitlines() if line.startswith("MCC on test, by training"))
    values = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    rows = [each["rows"] for each in values["shares"]]
    assert [each["share"] for each in values["shares"]] == [0.2, 0.6, 1]
    assert 25 < rows[0] < 75
    assert rows[0] < rows[1] < rows[2] == 240
    assert re.findall(r"(\d+) \(", head) == [str(count) for count in rows]
    assert values["shares"][2]["verdict"] == values["verdict"]
    names = {line["name"] for line in values["shares"][0]["verdict"]["lines"]}
    assert {"model", "random weights", "k-mer regression", "majority class"} <= names
    assert "Label efficiency" in (tmp_path / "run" / "report.html").read_text()
    line = refused("finetune", recipe, "-o", tmp_path / "few", "--set", "training.shares=[0.0001]")
    assert "training.shares 0.0001: no training row of " in line
    assert "a larger share, or more rows" in line
    both = ("--set", "training.shares=[0.5]", "--set", "training.folds=3")
    assert "either shares, or folds" in refused("finetune", recipe, "-o", tmp_path / "few", *both)


@pytest.mark.slow
def test_folds_give_a_mean_and_its_interval(recipe, tmp_path, capsys):
    run(recipe, tmp_path / "run", *QUICK, "training.folds=3", "data.train_rows=100")
    out = capsys.readouterr().out
    assert "over 3 folds" in out.splitlines()[0]
    assert "95 % intervals by Student's t" in out
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert len(found["folds"]) == 3


@pytest.mark.parametrize("form", ["multilabel", "regression", "multiclass", "tracks"])
def test_every_kind_of_answer_runs_whole_and_is_evaluated_again(recipe, tmp_path, capsys, form):
    write_form(tmp_path, form)
    kind, name = ("hdf5", "form.h5") if form == "tracks" else ("table", "form.tsv")
    recipe.write_text(
        RECIPE.replace('kind = "table"', f'kind = "{kind}"').replace("set.tsv.gz", name)
    )
    cnn = ("baselines.cnn=true", "baselines.cnn_rates=[1e-3]") if form == "regression" else ()
    run(recipe, tmp_path / "run", "training.epochs=1", *cnn)
    first = capsys.readouterr().out.splitlines()[0]
    model = tmp_path / "run" / "model"
    main(["evaluate", str(model), str(tmp_path / name), "-o", str(tmp_path / "scores.json")])
    out = capsys.readouterr().out
    scores = strict(tmp_path / "scores.json")["scores"]["model"]
    told = strict(tmp_path / "run" / "evaluation.json")["verdict"]
    strict(model / "provenance.json")
    for score, value in told["lines"][0]["scores"].items():
        assert scores[score]["value"] == pytest.approx(value["value"], abs=1e-6), score
    assert f"{told['first']} {told['lines'][0]['scores'][told['first']]['value']:.3f}" in first
    assert "split test" in out


def strict(path):
    """JSON as other languages read it: they know no NaN."""

    def refuse(word):
        raise AssertionError(f"{path.name} holds {word}")

    return json.loads(path.read_text(), parse_constant=refuse)


def write_form(tmp_path, form):
    rng = np.random.default_rng(0)
    rows = [
        ("".join(rng.choice(list("ACGT"), 40 + 20 * (n % 2))), ("train", "dev", "test")[n % 3])
        for n in range(90)
    ]
    if form == "tracks":
        with h5py.File(tmp_path / "form.h5", "w") as file:
            file.attrs["format"], file.attrs["bin"], file.attrs["labels"] = (
                "orchid-genomics/labelled/1",
                5,
                ["gc"],
            )
            file.create_dataset(
                "sequence", data=[row[0] for row in rows], dtype=h5py.string_dtype()
            )
            file.create_dataset("split", data=[row[1] for row in rows], dtype=h5py.string_dtype())
            counts = np.zeros((90, 12, 1))
            for n, (letters, _) in enumerate(rows):
                for bin in range(len(letters) // 5):
                    counts[n, bin] = sum(
                        letter in "GC" for letter in letters[5 * bin : 5 * bin + 5]
                    )
            file.create_dataset("label", data=counts)
        return
    label = {
        "multilabel": lambda n, letters: f"{n // 3 % 2}{n // 6 % 2}",
        "regression": lambda n, letters: letters.count("G") / len(letters),
        "multiclass": lambda n, letters: "abc"[n // 3 % 3],
    }[form]
    header = "label:x,y" if form == "multilabel" else "label"
    lines = [f"{letters}\t{label(n, letters)}\t{split}" for n, (letters, split) in enumerate(rows)]
    (tmp_path / "form.tsv").write_text("\n".join([f"sequence\t{header}\tsplit", *lines]) + "\n")


def test_a_wrong_recipe_is_one_line_and_writes_nothing(recipe, tmp_path, refused):
    def wrong(override):
        return refused("finetune", recipe, "-o", tmp_path / "run", "--set", override)

    assert "either pretrained, a model folder, or [model], an encoder from scratch" in wrong(
        "pretrained=x"
    )
    assert "training.layers: 3 of 1 layers; 0 to 1" in wrong("training.layers=3")
    assert "head: either middles, or stretches" in wrong("head={middles = 2, stretches = 4}")
    for parts in ('pool = "mean", middles = 2', "maxima = [], stretches = 4"):
        line = wrong(f"head={{{parts}}}")
        assert "head: middles and stretches are parts of maxima; and maxima is not given" in line
    assert "training.folds: 2 folds leave none to train on" in wrong("training.folds=2")
    assert (
        "set.tsv.gz: has no column 'seq'; its columns: chrom, start, end, strand, label, split,"
        " sequence" in wrong("data.sequence=seq")
    )
    assert "head.kinds: unknown key; possible: keys, kind, maxima, middles, other" in wrong(
        "head.kinds=pooled"
    )
    assert "head: pooled is chosen by the data" in wrong("head.kind=pooled")
    known = "'letters', 'pooled', 'tracks' or 'cnn'"
    assert f"head.kind: 'none'; possible: {known}" in wrong("head.kind=none")
    assert "head: cnn is chosen by the data" in wrong("head.kind=cnn")
    assert "head: the keys of a head whose kind is not given" in wrong("head.keys={x=1}")
    assert "either path, or train, validation and test" in wrong("data.train=x.tsv")
    assert "none.tsv: cannot be read (No such file or directory)" in wrong("data.path=none.tsv")


def test_evaluate_holds_out_what_fine_tuning_held_out(recipe, tmp_path, capsys):
    write_set(
        tmp_path / "set.tsv.gz", planted(400, 0), lambda row: (f"chr{row // 2 % 5}", row * 500, "+")
    )
    contigs = (
        'data.validation_contigs=["chr3"]',
        'data.test_contigs=["chr4"]',
    )  # another split than the column's
    run(recipe, tmp_path / "run", *QUICK, *contigs)
    told = json.loads((tmp_path / "run" / "evaluation.json").read_text())["verdict"]["lines"][0][
        "scores"
    ]
    capsys.readouterr()
    for data in (tmp_path / "run" / "recipe.json", tmp_path / "set.tsv.gz"):
        main(
            [
                "evaluate",
                str(tmp_path / "run" / "model"),
                str(data),
                "-o",
                str(tmp_path / "scores.json"),
            ]
        )
        assert "80 rows, split test" in capsys.readouterr().out
        found = json.loads((tmp_path / "scores.json").read_text())["scores"]["model"]
        assert found["AUROC"]["value"] == pytest.approx(told["AUROC"]["value"], abs=1e-6)
    # Through a pipe it is the same file, and the rows of training are no test.
    os.mkfifo(tmp_path / "pipe")
    content = (tmp_path / "set.tsv.gz").read_bytes()
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    main(["evaluate", str(tmp_path / "run" / "model"), str(tmp_path / "pipe")])
    writer.join()
    assert "data   pipe: 80 rows, split test" in capsys.readouterr().out
    main(
        [
            "evaluate",
            str(tmp_path / "run" / "model"),
            str(tmp_path / "set.tsv.gz"),
            "--split",
            "all",
        ]
    )
    assert "the model was fine-tuned on this very file" in capsys.readouterr().out
    (tmp_path / "other.csv").write_text(
        "".join(["sequence,label\n", *(f"{s},{y}\n" for s, y in planted(40, 9))])
    )
    main(["evaluate", str(tmp_path / "run" / "model"), str(tmp_path / "other.csv")])
    assert "40 rows, all rows" in capsys.readouterr().out


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_evaluate_scores_rna_as_it_scores_dna(recipe, tmp_path, capsys):
    run(recipe, tmp_path / "run", *QUICK)
    capsys.readouterr()
    scores = []
    for name, letter in (("dna", "T"), ("rna", "U")):
        rows = [f"{text.replace('T', letter)},{label}\n" for text, label in planted(60, 9)]
        (tmp_path / f"{name}.csv").write_text("".join(["sequence,label\n", *rows]))
        main(["evaluate", str(tmp_path / "run" / "model"), str(tmp_path / f"{name}.csv")])
        scores.append([line for line in capsys.readouterr().out.splitlines() if "model " in line])
    assert scores[0] == scores[1]


def test_evaluate_refuses_what_the_model_cannot_answer(
    recipe, tmp_path, capsys, refused, pretrained
):
    run(recipe, tmp_path / "run", *QUICK)
    capsys.readouterr()
    model = tmp_path / "run" / "model"
    (tmp_path / "other.csv").write_text("sequence,label\nACGTACGTAC,0\nACGTACGTAA,enhancer\n")
    line = refused("evaluate", model, tmp_path / "other.csv")
    assert line.endswith(
        "other.csv line 3: the label 'enhancer' is unknown; the model's labels: 0, 1"
    )
    (tmp_path / "one.csv").write_text("sequence,label\nACGTACGTAC,0\nACGTACGTAA,0\n")
    assert "one.csv: all rows have one label; rows that differ" in refused(
        "evaluate", model, tmp_path / "one.csv"
    )
    line = refused("evaluate", model, tmp_path / "one.csv", "--split", "test")
    assert "one.csv: has no split column; no --split, for all rows" in line
    line = refused("evaluate", pretrained, tmp_path / "one.csv")
    assert (
        "has a head of letters, and answers no labels; a fine-tuned model: orchid-genomics finetune"
        in line
    )
    main(["evaluate", str(model), str(recipe)])
    assert "80 rows, split test" in capsys.readouterr().out


def test_another_arm_is_a_model_folder_that_every_command_reads(recipe, tmp_path, capsys, refused):
    run(recipe, tmp_path / "run", *QUICK, "baselines.cnn=true", "training.seeds=[0, 1]")
    out = capsys.readouterr().out
    cnn = tmp_path / "run" / "arms" / "small-cnn"
    assert OrchidModel.from_pretrained(cnn).recipe.head.kind == "cnn"
    scores = json.loads((tmp_path / "run" / "evaluation.json").read_text())["verdict"]["lines"]
    encoder, other = (scores[at]["validation"] for at in (0, 1))
    assert ("better on validation than what model/ holds: small CNN" in out) == (other > encoder)
    letters = planted(1, 5, length=400)[0][0]
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
    (tmp_path / "peaks.bed").write_text("chr1\t100\t180\ta\n")
    alternate = "A" if letters[150] != "A" else "C"
    (tmp_path / "some.vcf").write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"chr1\t151\t.\t{letters[150]}\t{alternate}\t.\t.\t.\n"
    )
    genome, bed = str(tmp_path / "genome.fa"), str(tmp_path / "peaks.bed")
    main(["evaluate", str(cnn), str(tmp_path / "set.tsv.gz")])
    main(["score-elements", str(cnn), genome, bed, "-o", str(tmp_path / "scored.bed")])
    variants = str(tmp_path / "some.vcf")
    main(["score-variants", str(cnn), genome, variants, "-o", str(tmp_path / "scored.tsv")])
    main(["explain", str(cnn), genome, bed, "-o", str(tmp_path / "explained.h5")])
    main(["info", str(cnn)])
    assert "head         cnn" in capsys.readouterr().out
    with h5py.File(tmp_path / "explained.h5") as file:
        assert np.abs(file["projected"][:]).sum() > 0
    line = refused("embed", cnn, genome, bed, "-o", tmp_path / "vectors.h5")
    assert "small-cnn: is a cnn, which has no encoder; a model of pretrain" in line


def test_model_holds_the_arm_that_was_asked_for(recipe, tmp_path, capsys, refused):
    words = [word for each in (*QUICK, "baselines.cnn=true") for word in ("--set", each)]
    main(["finetune", str(recipe), "-o", str(tmp_path / "run"), "--arm", "cnn", *words])
    assert "model/ holds the small CNN" in capsys.readouterr().out
    model = OrchidModel.from_pretrained(tmp_path / "run" / "model")
    assert model.recipe.head.kind == "cnn"
    assert (tmp_path / "run" / "arms" / "encoder").is_dir()
    line = refused("finetune", recipe, "-o", tmp_path / "none", "--arm", "cnn")
    assert "arm is cnn, and baselines.cnn is false" in line
