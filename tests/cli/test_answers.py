"""`--json` is one JSON value on standard output, and `--quiet` leaves stderr empty."""

import json

import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import group, main


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_answers_in_json(name):
    assert "as_json" in {each.name for each in group.commands[name].params}


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_that_says_how_far_it_is_can_be_quiet(name):
    says_nothing = name in ("plan", "info", "models")
    assert says_nothing or "quiet" in {each.name for each in group.commands[name].params}


@pytest.fixture
def ask(capsys):
    """Run a command with --json, and --quiet where it has that; what it answers."""

    def run(*words):
        capsys.readouterr()
        quiet = {each.name for each in group.commands[words[0]].params} & {"quiet"}
        main([*map(str, words), "--json", *(f"--{name}" for name in quiet)])
        printed = capsys.readouterr()
        assert printed.err == ""
        return json.loads(printed.out)

    return run


def test_a_run_and_its_plan(small, tmp_path, ask):
    plan = ask("plan", small, "--steps", "1")
    assert plan["seconds"] > 0
    assert plan["stages"][0]["seconds_a_step"] > 0
    run = tmp_path / "run"
    answer = ask("pretrain", small, "-o", run)
    assert answer["model"] == str(run / "model")
    assert answer["evaluation"] == json.loads((run / "evaluation.json").read_text())
    assert ask("info", run)["provenance"]["evaluation"] == answer["evaluation"]


def test_jobs_answer_with_their_summary(tmp_path, ask):
    letters_model().save_pretrained(tmp_path / "m", {"report": {"length": 64}})
    write_genome(tmp_path / "g.fa", {"c": random_letters(400)})
    (tmp_path / "e.bed").write_text("c\t100\t160\te\t0\t+\n")
    files = (tmp_path / "m", tmp_path / "g.fa")
    plan = ask("score-genome", *files, "-o", tmp_path / "o.vcf", "--plan")
    assert plan["letters"] == 400
    for command, more in (
        ("score-genome", ("-o", tmp_path / "o.vcf")),
        ("score-elements", (tmp_path / "e.bed", "-o", tmp_path / "o.bed")),
        ("embed", (tmp_path / "e.bed", "-o", tmp_path / "o.h5")),
    ):
        answer = ask(command, *files, *more)
        assert answer == json.loads((tmp_path / f"{more[-1]}.summary.json").read_text())


def test_files_that_are_made(tmp_path, ask, monkeypatch):
    monkeypatch.chdir(tmp_path)
    orf = "ATG" + "GCA" * 30 + "TAA"
    write_genome(tmp_path / "g.fa", {"c": "ACGT" * 25 + orf + random_letters(600)})
    rows = "##gff-version 3\n##sequence-region c 1 796\n"
    for kind, more in (("gene", "ID=g"), ("CDS", "Parent=g;gene_id=g")):
        rows += f"c\tx\t{kind}\t101\t{100 + len(orf)}\t.\t+\t0\t{more}\n"
    (tmp_path / "g.gff3").write_text(rows)
    assert ask("features", "g.gff3", "-o", "beds") == {
        "genes.bed": 1,
        "CDS.bed": 1,
        "promoters.bed": 1,
    }
    changes = ask("mutate", "g.fa", "g.gff3", "-o", "c.vcf")
    assert changes["genes"] == 1
    assert changes["changes"]["missense"] > 0


def test_a_labelled_set_says_its_numbers_and_its_lines(tmp_path, ask, capsys):
    write_genome(tmp_path / "g.fa", {name: random_letters(4000, n) for n, name in enumerate("abc")})
    peaks = [f"{name}\t{at}\t{at + 60}\n" for name in "abc" for at in (300, 1200, 2100)]
    (tmp_path / "p.bed").write_text("".join(peaks))
    words = ("dataset", tmp_path / "p.bed", tmp_path / "g.fa", "-o", tmp_path / "set.tsv")
    words = (*words, "--length", 60, "--validation", "b", "--test", "c")
    main(list(map(str, words)))
    lines = capsys.readouterr().out.splitlines()
    answer = ask(*words)
    assert answer.pop("report") == lines
    assert answer["peaks"]["windows"] == 9
    split = {"peaks": 3, "negatives": 3}
    assert answer["rows"] == {"train": split, "validation": split, "test": split}
    assert answer["duplicates"] == {"train": 0, "validation": 0}
    assert answer["negatives"]["kind"] == "matched"
    letters = answer["negatives"]["letters"]
    assert {each["feature"] for each in letters} == {"GC", "soft-masked", "N"}
    assert all(0 <= each["gap"] <= 1 for each in letters)
    assert answer["signal"] is None


def test_json_and_the_output_do_not_share_standard_output(tmp_path, refused):
    line = refused("score-variants", "m", "g.fa", "v.vcf", "-o", "-", "--json")
    assert line == "error: --json: --out is standard output already; --out a file"
