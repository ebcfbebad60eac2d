"""Bad input: one line on stderr that begins with error:, exit 1, no traceback, and nothing
half-written.
"""

import gzip
import os
import time
import warnings

import pysam
import pytest
import torch
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def both(refused, small, *words):
    """The message of plan and pretrain, which must be the same."""
    first = refused("plan", small, *words)
    assert refused("pretrain", small, "-o", small.parent / "run", *words) == first
    return first


# The genome


def bgzipped(path, keep):
    pysam.tabix_compress(str(path), str(path.with_suffix(".gz")))
    path.write_bytes(path.with_suffix(".gz").read_bytes()[:keep])
    path.with_suffix(".gz").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: path.unlink(),
            "genome.fa: cannot be read (No such file or directory); a FASTA",
        ),
        (lambda path: path.write_bytes(b""), "genome.fa: is empty; a FASTA, plain or bgzipped"),
        (
            lambda path: path.write_text("hello\n"),
            "genome.fa: is no FASTA: it begins with 'h'; a first line >name",
        ),
        (
            lambda path: bgzipped(path, -28),
            "genome.fa: is truncated (no bgzip end-of-file block); copy or compress",
        ),
        (lambda path: bgzipped(path, 900), "genome.fa: is truncated"),
        (
            lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-20]),
            "genome.fa: is truncated gzip; copy it again",
        ),
        (
            lambda path: path.write_text(path.read_text() + ">a\nACGT\n"),
            "line 9: two contigs are named 'a'; one name each",
        ),
        (lambda path: edit(path, ">b\n", ">b\nAC!GT\n>b2\n"), "genome.fa b:"),
    ],
)
def test_a_bad_genome(refused, small, damage, message):
    damage(small.parent / "genome.fa")
    if message.endswith("b:"):
        message = (
            "genome.fa b: '!' at letter 3 is no nucleotide code; A C G T N and the other IUPAC"
            " codes"
        )
    assert message in both(refused, small)


def test_a_plain_file_shorter_than_its_index(refused, small):
    genome = small.parent / "genome.fa"
    pysam.faidx(str(genome))
    genome.write_bytes(genome.read_bytes()[:-500])
    message = both(refused, small)
    assert (
        "is truncated: it ends before contig t has its 2,000 letters of genome.fa.fai; copy it"
        " again" in message
    )


def test_an_unknown_contig_with_both_lists(refused, small):
    edit(small, 'test = ["t"]', 'test = ["t", "chr9"]')
    message = both(refused, small)
    assert (
        "genomes.0.test: unknown contig 'chr9'; possible: a, b, v, t in genome.fa; t, chr9 here"
        in message
    )


def test_a_window_longer_than_every_contig(refused, small):
    message = both(refused, small, "--set", "data.length=8192")
    assert (
        "a window of 8,192 nt is longer than every training contig (the longest, a: 6,000 nt); a"
        " shorter" in message
    )
    curriculum = (
        "training.curriculum=[{length=64, steps=2, batch=4}, {length=6001, steps=2, batch=4}]"
    )
    assert "a window of 6,001 nt is longer than every training contig" in both(
        refused, small, "--set", curriculum
    )


def test_a_genome_held_out_whole(refused, small):
    edit(small, 'test = ["t"]', 'test = ["t", "a", "b"]')
    assert "every contig is held out or ignored; at least one to train on" in both(refused, small)


def test_a_contig_in_two_splits(refused, small):
    edit(small, 'test = ["t"]', 'test = ["v"]')
    assert "genomes.0: v is in both validation and test; one split a contig" in both(refused, small)


# Its index


@pytest.mark.parametrize("stale", ["older", "newer"])
def test_a_stale_index_is_said_and_left_alone(small, tmp_path, index_cache, capsys, stale):
    genome = tmp_path / "genome.fa"
    pysam.faidx(str(genome))
    fai = tmp_path / "genome.fa.fai"
    genome.write_text(">new\nACGTACGTAC\n" + genome.read_text())
    now = time.time()
    os.utime(fai, (now + (-3600 if stale == "older" else 3600),) * 2)
    before = fai.read_bytes(), fai.stat().st_mtime_ns, genome.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main(["plan", str(small), "--steps", "1"])
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith(
        f"note: {fai}: contig a is not where it says (an older version of the file?); it is left"
        " alone"
    )
    assert str(index_cache) in err
    assert "train 9,010," in out
    assert (fai.read_bytes(), fai.stat().st_mtime_ns, genome.read_bytes()) == before
    assert [path.suffix for path in index_cache.iterdir()] == [".fai"]


# BED files


@pytest.mark.parametrize("key", ["test_bed", "exclude", "regions", "functional", "evaluation"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "b\t2900\t3001",
            "part.bed line 2: end 3,001 is off contig b; ends up to 3,000 in genome.fa",
        ),
        ("b\t20\t20", "part.bed line 2: start 20 is not below end 20; 0-based half-open"),
        ("b\t30\t20", "part.bed line 2: start 30 is not below end 20"),
        ("b\tten\t20", "part.bed line 2: "),
        (None, "part.bed: unknown contig 'y'; possible: a, b, v, t in genome.fa; y, z here"),
        ("b\t10", "part.bed line 2: "),
    ],
)
def test_a_bad_bed_is_refused_before_any_step(refused, small, key, line, message):
    text = "y\t0\t9\nz\t10\t20\n" if line is None else f"a\t0\t500\n{line}\n"
    (small.parent / "part.bed").write_text(text)
    if key == "evaluation":
        small.write_text(small.read_text() + 'regions = [{ name = "part", bed = "part.bed" }]\n')
    else:
        value = {
            "exclude": '["part.bed"]',
            "functional": '[{ bed = "part.bed", share = 0.5 }]',
        }.get(key, '"part.bed"')
        edit(small, "[data]", f"{key} = {value}\n[data]")
    assert message in refused("pretrain", small, "-o", small.parent / "run")


def test_a_missing_and_an_empty_bed(refused, small):
    edit(small, "[data]", 'test_bed = "part.bed"\n[data]')
    assert "part.bed: cannot be read (No such file or directory)" in both(refused, small)
    (small.parent / "part.bed").write_text("# nothing\n")
    assert "part.bed: has no record; regions to hold out for test, or no test_bed" in both(
        refused, small
    )


# Recipes


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.dept=3",
            "model.dept: unknown key; possible: alphabet, backend, convolution_taps, ",
        ),
        (
            "sed=3",
            (
                "sed: unknown key; possible: beside, data, evaluation, genomes, kind, licence,"
                " model, objective, optimizer, pretrained, relatives, seed, track"
            ),
        ),
        (
            "genomes.0.fast=x",
            "genomes.0.fast: unknown key; possible: aliases, annotation, ",
        ),
        ("training.steps=many", "training.steps: Input should be a valid integer"),
        ('model.depth="3"', "model.depth: Input should be a valid integer (found '3')"),
        ("data.length=16", "data.length: Input should be greater than or equal to 32 (found 16)"),
        ("model.width=33", "model.width: Input should be a multiple of 2 (found 33)"),
        (
            "model.filter.kind=gaussian",
            "model.filter: unknown kind 'gaussian'; possible: 'correlation', 'magnitude', 'static'",
        ),
        (
            'model.filter={kind="static", threshold=0.7}',
            "model.filter.static: threshold 0.7 is of a data-dependent filter, which static is not",
        ),
        ('model.filter={kind="correlation", hash_length=40}', "hash_length: Input should be less"),
        ("objective.kind=causal", "objective: unknown kind 'causal'; possible: 'masked', 'recall'"),
        ("model.backend=tpu", "model.backend: 'tpu'; possible: "),
        ("training.device=gpu", "training.device: 'gpu'; possible: 'auto', 'cpu' or 'cuda'"),
        (
            "training.precision=half",
            "training.precision: 'half'; possible: 'auto', 'float32' or 'bfloat16'",
        ),
        ("model.alphabet=symbols:20", "model.alphabet: 'symbols:20' cannot read a genome; dna"),
        (
            "training.batch=3",
            "training.batch: 3 rows do not divide into 1 rank x 2 parts; a multiple of 2",
        ),
        (
            "training.curriculum=[{length=64, steps=2, batch=5, accumulate=2}]",
            "training.curriculum.0.batch: 5 rows do not",
        ),
        ("training", "--set: 'training' is not KEY=VALUE; such as model.depth=12"),
        (
            "evaluation.regions=[{name='x', bed='genome.fa', genome=1}]",
            "evaluation.regions.0.genome: no genome 1; 0 to 0",
        ),
    ],
)
def test_a_wrong_recipe_names_the_key_and_what_was_possible(refused, small, override, message):
    assert message in both(refused, small, "--set", "training.accumulate=2", "--set", override)


def test_a_recipe_that_is_no_toml_or_not_there(refused, small, tmp_path):
    small.write_text("[model\nwidth = 3\n")
    assert (
        "small.toml: is no TOML: Expected ']' at the end of a table declaration (at line 1"
        in both(refused, small)
    )
    small.write_bytes(b"\xff\xfe\x00")
    assert "small.toml: is no TOML: " in both(refused, small)
    assert "none.toml: cannot be read (No such file or directory)" in refused(
        "plan", tmp_path / "none.toml"
    )
    assert f"{tmp_path}: cannot be read (Is a directory); the path of a recipe" in refused(
        "pretrain", tmp_path
    )
    small.write_text("seed = 1\n")
    assert "small.toml: names nothing to train on; either [[genomes]] or [recall]" in both(
        refused, small
    )
    (tmp_path / "r.json").write_text("[1]")
    assert "r.json: names nothing to train on" in refused(
        "plan", tmp_path / "r.json", "--set", "seed=2"
    )


def test_cuda_on_a_machine_without(refused, small):
    if torch.cuda.is_available():
        pytest.skip("this machine has cuda")
    message = both(refused, small, "--set", "training.device=cuda")
    assert message == "error: training.device: no CUDA device was found; cpu, or auto"


@pytest.mark.parametrize(
    "words",
    [
        ("score-variants", "MODEL", "FASTA", "x", "-o", "OUT.vcf"),
        ("score-elements", "MODEL", "FASTA", "x", "-o", "OUT.bed"),
        ("embed", "MODEL", "FASTA", "x", "-o", "OUT.h5"),
        ("explain", "MODEL", "FASTA", "x", "-o", "OUT.h5"),
        ("calibrate", "MODEL", "FASTA", "-o", "OUT.json"),
        ("evaluate", "MODEL", "x"),
        ("evaluate-variants", "x", "--label", "class", "--model", "MODEL", "--genome", "FASTA"),
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_runs_a_model_has_the_device_of_one_option(refused, tmp_path, words):
    if torch.cuda.is_available():
        pytest.skip("this machine has cuda")
    write_genome(tmp_path / "genome.fa", {"c1": random_letters(200)})
    (tmp_path / "x").write_text(
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    letters_model().save_pretrained(tmp_path / "model")
    places = {"MODEL": tmp_path / "model", "FASTA": tmp_path / "genome.fa", "x": tmp_path / "x"}
    found = [
        places.get(word, tmp_path / word if word.startswith("OUT") else word) for word in words
    ]
    assert (
        refused(*found, "--device", "cuda")
        == "error: --device: no CUDA device was found; cpu, or auto"
    )
