"""Journeys: a genome to all its changes, scored, calibrated and judged; and what is said when a
word is wrong.
"""

import json
import os
import threading

import numpy as np
import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence.hashing import hash_integers

GENES, CODONS = 6, 40


def run(*words, exit_code=None):
    if exit_code is None:
        main([str(word) for word in words])
        return
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A genome with six genes on both strands, its annotation, and a model."""
    folder = tmp_path_factory.mktemp("judging")
    rng = np.random.default_rng(0)
    words = [
        a + b + c
        for a in "ACGT"
        for b in "ACGT"
        for c in "ACGT"
        if a + b + c not in ("TAA", "TAG", "TGA")
    ]
    letters, rows = "", "##gff-version 3\n"
    for gene in range(GENES):
        orf = "ATG" + "".join(rng.choice(words, CODONS)) + "TAA"
        start = len(letters) + 61
        strand = "+-"[gene % 2]
        turned = orf[::-1].translate(str.maketrans("ACGT", "TGCA"))
        letters += random_letters(60, gene) + (orf if strand == "+" else turned)
        rows += f"c\tx\tCDS\t{start}\t{start + len(orf) - 1}\t.\t{strand}\t0\t"
        rows += f"Parent=g{gene};gene_id=g{gene}\n"
    genome = write_genome(
        folder / "g.fa", {"c": letters + random_letters(60), "t": random_letters(2_000, 9)}
    )
    (folder / "a.gff3").write_text(rows)
    model = letters_model()
    seen = {"t": [[0, 2_000]]}
    model.provenance = Provenance.model_validate(
        {
            "genomes": [
                {"sha256": genome.checksum(), "seen": seen, "split": {"validation": ["t"]}}
            ],
            "recipe": {"data": {"length": 64}},
        }
    )
    model.save_pretrained(folder / "model", model.provenance)
    return folder


@pytest.fixture(scope="module")
def scored(folder):
    run("mutate", folder / "g.fa", folder / "a.gff3", "-o", folder / "all.vcf.gz")
    out = folder / "scored.vcf.gz"
    run(
        "score-variants",
        folder / "model",
        folder / "g.fa",
        folder / "all.vcf.gz",
        "-o",
        out,
        "--scores",
        "llr_unmasked",
    )
    return out


def test_every_change_of_every_gene_is_written_sorted_and_indexed(folder, capsys):
    import pysam

    run(
        "mutate",
        folder / "g.fa",
        folder / "a.gff3",
        "-o",
        folder / "some.vcf.gz",
        "--genes",
        2,
        "--last",
        0,
    )
    said = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert said["genes"] == "2 of 6"
    with pysam.VariantFile(str(folder / "some.vcf.gz")) as file:
        places = [record.pos for record in file.fetch("c")]
        assert len({record.info["BCSQ"][0].split("|")[1] for record in file.fetch("c")}) == 2
    assert places == sorted(places)
    assert len(places) == 2 * (CODONS + 2) * 9
    run(
        "mutate",
        folder / "g.fa",
        folder / "a.gff3",
        "-o",
        folder / "again.vcf.gz",
        "--genes",
        2,
        "--last",
        0,
    )
    assert (folder / "again.vcf.gz").read_bytes() == (folder / "some.vcf.gz").read_bytes()


def test_from_genome_to_areas_in_strata_beside_all_baselines(folder, scored, capsys):
    words = [
        "--label",
        "BCSQ",
        "--positive",
        "stop_gained",
        "--negative",
        "synonymous",
        "--strata",
        "CONTEXT",
    ]
    extra = [
        "--genome",
        folder / "g.fa",
        "--model",
        folder / "model",
        "-o",
        folder / "out.json",
        "--samples",
        50,
    ]
    run("evaluate-variants", scored, *words, *extra)
    out = capsys.readouterr().out
    assert "BCSQ: " in out
    assert "positive (stop_gained)" in out
    assert "bootstrap of 6 clusters (gene)" in out
    assert "within CONTEXT" in out
    for name in (
        "ORCHID_LLR_UNMASKED",
        "look-up of contexts, out of fold",
        "counts, 6 on both sides",
    ):
        assert f"\n{name} " in out
    assert "\nORCHID_LLR_UNMASKED, random weights " in out
    assert "under 5 of a class, not ranked apart: synonymous (0 positive, " in out
    values = json.loads((folder / "out.json").read_text())
    assert [group["name"] for group in values["groups"]] == ["all"]
    within = values["groups"][0]["lines"][0]["within"]
    assert within["strata"] > 1
    assert 0 <= within["auroc"]["low"] <= within["auroc"]["high"] <= 1


def test_the_same_strata_by_the_genome_and_by_the_annotation(folder, scored, capsys):
    areas = []
    for strata in ("CONTEXT", "context"):
        words = [
            "--label",
            "BCSQ",
            "--positive",
            "missense",
            "--negative",
            "synonymous",
            "--strata",
            strata,
        ]
        run(
            "evaluate-variants",
            scored,
            *words,
            "--genome",
            folder / "g.fa",
            "-o",
            folder / "out.json",
            "--samples",
            2,
        )
        areas.append(
            json.loads((folder / "out.json").read_text())["groups"][0]["lines"][0]["within"][
                "auroc"
            ]["value"]
        )
    assert areas[0] == areas[1]


def labelled(folder, truth):
    """A TSV of scores and labels: class by a hash, and a score that is the class where `truth`."""
    lines = ["chrom\tpos\tref\talt\tllr\tother\tAF\tclass\tgene"]
    for row in range(200):
        draw = int(hash_integers(0, row)[0])
        bad = draw % 3 == 0
        score = -2.0 * bad if truth else (draw >> 8) % 100 / 10
        alt = "AC" if row % 5 == 0 else "C"
        label, frequency = ("bad", 0.1) if bad else ("good", 0.4)
        lines.append(
            f"c\t{row + 1}\tA\t{alt}\t{score}\t{-score}\t{frequency}\t{label}\tg{row // 20}"
        )
    (folder / "l.tsv").write_text("\n".join(lines) + "\n")
    return folder / "l.tsv"


def test_signs_types_and_clusters_of_a_table(tmp_path, capsys):
    table = labelled(tmp_path, truth=True)
    words = [
        "--label",
        "class",
        "--positive",
        "bad",
        "--negative",
        "good",
        "--frequency",
        "AF",
        "--samples",
        20,
    ]
    run(
        "evaluate-variants",
        table,
        *words,
        "--score",
        "llr",
        "--score",
        "other",
        "--score",
        "-other",
        "-o",
        tmp_path / "o",
    )
    groups = json.loads((tmp_path / "o").read_text())["groups"]
    assert [group["name"] for group in groups] == ["all", "SNV", "insertion"]
    for group in groups:
        areas = {line["score"]: line["rank"]["auroc"]["value"] for line in group["lines"]}
        assert areas == {"llr": 1, "other": 1, "-other": 0, "AF (rarer)": 1}
    assert "bootstrap of 10 clusters (gene)" in capsys.readouterr().out


def test_structural_variants_are_a_type_of_their_own(tmp_path):
    table = labelled(tmp_path, truth=True)
    head, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    alt = head.index("alt")
    structural = [
        ["<DEL>" if column == alt and number % 2 else word for column, word in enumerate(row)]
        for number, row in enumerate(rows)
    ]
    table.write_text("\n".join("\t".join(row) for row in [head, *structural]) + "\n")
    words = ["--label", "class", "--positive", "bad", "--negative", "good", "--score", "llr"]
    run("evaluate-variants", table, *words, "--samples", 20, "-o", tmp_path / "o")
    groups = json.loads((tmp_path / "o").read_text())["groups"]
    assert "structural" in [group["name"] for group in groups]
    assert "delins" not in [group["name"] for group in groups]


def test_a_variant_with_two_answers_is_left_out_whichever_comes_first(tmp_path, capsys):
    table = labelled(tmp_path, truth=True)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    once = ["\t".join([*row[:4], row[7]]) for row in rows]
    other = {"bad": "good", "good": "bad"}
    again = ["\t".join([*row[:4], other[row[7]]]) for row in rows[1:21]]
    head, *rest = once
    said = []
    for number, lines in enumerate(([head, *again, *rest], [head, *rest, *again])):
        labels = tmp_path / f"labels{number}.tsv"
        labels.write_text("\n".join(lines) + "\n")
        words = ["--label", "class", "--positive", "bad", "--negative", "good", "--samples", 5]
        run("evaluate-variants", table, *words, "--labels", labels)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "left out, for their variant is of both classes: 40 rows" in said[0]


def test_only_and_regions_keep_what_they_say(tmp_path, capsys):
    table = labelled(tmp_path, truth=False)
    (tmp_path / "r.bed").write_text("c\t20\t60\n")
    words = [
        "--label",
        "class",
        "--positive",
        "bad",
        "--negative",
        "good",
        "--samples",
        5,
        "-o",
        tmp_path / "o",
    ]
    run(
        "evaluate-variants",
        table,
        *words,
        "--only",
        "gene=g0,g1,g9",
        "--regions",
        tmp_path / "r.bed",
    )
    first = json.loads((tmp_path / "o").read_text())["groups"][0]
    assert first["positives"] + first["negatives"] == 20
    assert "largest, g1, holds 100%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--label", "class"), "error: --positive: no value of class is named; possible: good (1"),
        (
            ("--label", "klass", "--positive", "bad", "--negative", "good"),
            "error: --label: {} has no 'klass'; possible: llr, ",
        ),
        (
            ("--positive", "bad", "--negative", "best"),
            "error: --negative: no variant has class best; possible: good (1",
        ),
        (
            ("--positive", "bad", "--negative", "good", "--score", "x"),
            "error: --score: {} has no 'x'; possible: llr, other",
        ),
        (
            ("--positive", "bad", "--negative", "good", "--only", "gene"),
            "error: --only: 'gene'; KEY=VALUE",
        ),
        (
            ("--positive", "bad", "--negative", "good", "--only", "gene=x"),
            (
                "error: --only gene=x: leaves none of 200 variants; values and places that the"
                " file has"
            ),
        ),
        (
            ("--positive", "bad", "--negative", "good", "--only", "gene=g2", "--score", "gap"),
            "has no 'gap'",
        ),
        (
            ("--positive", "bad", "--negative", "good", "--strata", "context"),
            "error: --strata context: needs the letters around each variant; --genome FASTA",
        ),
        (
            ("--positive", "bad", "--negative", "good", "--baselines", "cadd"),
            "error: --baselines: unknown baseline 'cadd'; possible: look-up, counts, random, none",
        ),
    ],
)
def test_one_line_for_what_is_not_right(tmp_path, capsys, words, said):
    table = labelled(tmp_path, truth=True)
    if "--label" not in words:
        words = ("--label", "class", *words)
    run("evaluate-variants", table, *words, exit_code=1)
    error = capsys.readouterr().err
    assert said.format(table) in error
    assert error.count("\n") == 1


def test_scores_that_are_all_missing_are_said_to_be(tmp_path, capsys):
    (tmp_path / "l.tsv").write_text(
        "chrom\tpos\tref\talt\tllr\tclass\nc\t1\tA\tC\t.\tx\nc\t2\tA\tC\t.\ty\n"
    )
    words = ["--label", "class", "--positive", "x", "--negative", "y"]
    run("evaluate-variants", tmp_path / "l.tsv", *words, exit_code=1)
    assert (
        "l.tsv: llr is missing for all 2 labelled variants; another --score: "
        in capsys.readouterr().err
    )
    table = "chrom\tpos\tref\talt\tllr\tindel\tclass\nc\t1\tA\tC\t-1\t.\tx\nc\t2\tA\tC\t1\t.\ty\n"
    (tmp_path / "l.tsv").write_text(table)
    run("evaluate-variants", tmp_path / "l.tsv", *words)
    out = capsys.readouterr().out
    assert "left out, for no labelled variant has a value: indel\n" in out
    assert "\nllr " in out
    run(
        "evaluate-variants",
        tmp_path / "l.tsv",
        *words,
        "--score",
        "llr",
        "--score",
        "indel",
        exit_code=1,
    )
    assert "l.tsv: indel is missing for all 2 labelled variants" in capsys.readouterr().err
    (tmp_path / "l.tsv").write_text("chrom\tpos\tref\talt\tmine\tclass\nc\t1\tA\tC\t.\tx\n")
    run("evaluate-variants", tmp_path / "l.tsv", *words, exit_code=1)
    assert "l.tsv: has no score of orchid-genomics; --score one of: " in capsys.readouterr().err


def test_calibrate_says_what_it_learned(folder, capsys):
    run("calibrate", folder / "model", folder / "g.fa", "-o", folder / "cal.json", "--sites", 600)
    out = capsys.readouterr().out
    assert "genome background: 600 sites, three changes each, window 64" in out
    assert "llr: 96 contexts of " in out
    (folder / "n.bed").write_text("c\t0\t400\n")
    run(
        "calibrate",
        folder / "model",
        folder / "g.fa",
        "-o",
        folder / "n.json",
        "--neutral",
        folder / "n.bed",
        "--sites",
        300,
    )
    assert "neutral background (n.bed): 300 sites" in capsys.readouterr().out
    run(
        "calibrate",
        folder / "model",
        folder / "g.fa",
        "-o",
        folder / "no" / "cal.json",
        exit_code=1,
    )
    assert "its folder is not there; a folder that is" in capsys.readouterr().err


def test_calibrate_and_score_variants_fit_together_without_a_word(folder, tmp_path):
    run("calibrate", folder / "model", folder / "g.fa", "-o", tmp_path / "c", "--sites", 100)
    letter = random_letters(2_000, 9)[99]
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"t\t100\t.\t{letter}\t{'CA'[letter == 'C']}\t.\t.\t.\n"
    )
    words = ["score-variants", folder / "model", folder / "g.fa", tmp_path / "v.vcf"]
    run(*words, "-o", tmp_path / "o.vcf", "--calibration", tmp_path / "c")
    assert "ORCHID_LLR_N=" in (tmp_path / "o.vcf").read_text()


def test_a_calibrated_file_says_percentile_and_z_and_names_its_background(folder, tmp_path, capsys):
    import pysam

    run(
        "calibrate",
        folder / "model",
        folder / "g.fa",
        "-o",
        tmp_path / "cal.json",
        "--sites",
        1_000,
        "--scores",
        "llr_unmasked",
    )
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(
            f"t\t{at}\t.\t{random_letters(2_000, 9)[at - 1]}\tA,C,G,T\t.\t.\t.\n"
            for at in range(101, 141)
        )
        + f"t\t150\t.\t{random_letters(2_000, 9)[149]}\tATTT\t.\t.\t.\n"
    )
    words = [
        "score-variants",
        folder / "model",
        folder / "g.fa",
        tmp_path / "v.vcf",
        "--scores",
        "llr_unmasked",
    ]
    run(*words, "-o", tmp_path / "o.vcf.gz", "--calibration", tmp_path / "cal.json")
    with pysam.VariantFile(str(tmp_path / "o.vcf.gz")) as file:
        assert "not pathogenicity" in file.header.info["ORCHID_LLR_UNMASKED_Z"].description
        assert "genome background" in file.header.info["ORCHID_LLR_UNMASKED_N"].description
        *records, indel = list(file)
    some = [z for record in records for z in record.info["ORCHID_LLR_UNMASKED_Z"] if z is not None]
    assert len(some) > 30
    assert abs(np.mean(some)) < 1
    for record in records:
        for percentile, n in zip(
            record.info["ORCHID_LLR_UNMASKED_PERCENTILE"],
            record.info["ORCHID_LLR_UNMASKED_N"],
            strict=True,
        ):
            assert n is None or 100 / n - 1e-3 <= percentile <= 100 - 100 / n + 1e-3
    assert indel.info["ORCHID_LLR_UNMASKED_Z"] == (None,)
    run(
        *words,
        "-o",
        tmp_path / "p.vcf.gz",
        "--calibration",
        tmp_path / "cal.json",
        "--window",
        128,
        exit_code=1,
    )
    assert (
        "cal.json: is for the window 64, not 128; orchid-genomics calibrate, again"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "p.vcf.gz").exists()


def through_a_pipe(path):
    """A named pipe beside a file, through which its bytes come once."""
    pipe = path.with_name(f"{path.name}.pipe")
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(path.read_bytes(),), daemon=True).start()
    return pipe


def test_scored_variants_and_labels_come_through_pipes(tmp_path, capsys):
    table = labelled(tmp_path, truth=True)
    words = ["--label", "class", "--positive", "bad", "--negative", "good", "--samples", 5]
    said = []
    for pipe in (lambda path: path, through_a_pipe):
        run("evaluate-variants", pipe(table), *words, "--labels", pipe(labels_of(table)))
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def labels_of(table):
    """The labels of a table alone, between commas."""
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    path = table.with_name("labels.csv")
    path.write_text("".join(",".join([*row[:4], row[7]]) + "\n" for row in rows))
    return path


def test_a_background_comes_through_a_pipe(folder, tmp_path):
    run("calibrate", folder / "model", folder / "g.fa", "-o", tmp_path / "c", "--sites", 100)
    letter = random_letters(2_000, 9)[99]
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"t\t100\t.\t{letter}\t{'CA'[letter == 'C']}\t.\t.\t.\n"
    )
    words = ["score-variants", folder / "model", folder / "g.fa", tmp_path / "v.vcf", "--quiet"]
    run(*words, "-o", tmp_path / "a.vcf", "--calibration", tmp_path / "c")
    run(*words, "-o", tmp_path / "b.vcf", "--calibration", through_a_pipe(tmp_path / "c"))
    assert (tmp_path / "a.vcf").read_bytes() == (tmp_path / "b.vcf").read_bytes()
