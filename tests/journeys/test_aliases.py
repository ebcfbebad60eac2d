"""A file of aliases names contigs for every command, and a job of other names is another job."""

import json
import os
import threading

import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::orchid_genomics.genome.contigs.GenomeNote")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_genome(tmp_path / "g.fa", {"one": random_letters(600), "two": random_letters(500, 1)})
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    (tmp_path / "names.txt").write_text("one\tNC_000001.1\ntwo\tNC_000002.1\n")
    (tmp_path / "e.bed").write_text("NC_000001.1\t9\t90\nNC_000002.1\t9\t80\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "out"),
    [
        ("score-elements model g.fa e.bed --background 0", "o.tsv"),
        ("embed model g.fa e.bed", "o.h5"),
        ("explain model g.fa e.bed --method gradient", "o.npz"),
    ],
)
def test_a_job_reads_the_names_of_the_file(folder, words, out):
    main([*words.split(), "-o", out, "--aliases", "names.txt", "--quiet"])
    assert json.loads((folder / f"{out}.summary.json").read_text())["reasons"] == {}


def test_variants_are_named_by_it(folder):
    letters = (folder / "g.fa").read_text().splitlines()[1]
    row = f"NC_000001.1\t100\t.\t{letters[99]}\t{'A' if letters[99] != 'A' else 'C'}\t.\t.\t.\n"
    head = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "v.vcf").write_text(head + row)
    main(
        [
            "score-variants",
            "model",
            "g.fa",
            "v.vcf",
            "-o",
            "o.tsv",
            "--quiet",
            "--aliases",
            "names.txt",
        ]
    )
    assert (folder / "o.tsv").read_text().splitlines()[-1].split("\t")[4] != "."


def test_parts_of_other_names_are_not_joined(folder, refused):
    words = [
        "score-elements",
        "model",
        "g.fa",
        "e.bed",
        "-o",
        "o.tsv",
        "--background",
        "0",
        "--quiet",
    ]
    main([*words, "--shard", "1/2", "--aliases", "names.txt"])
    main([*words, "--shard", "2/2", "--aliases", "names.txt"])
    (folder / "names.txt").write_text("one\tNC_000002.1\ntwo\tNC_000001.1\n")
    message = refused(*words, "--shard", "2/2", "--aliases", "names.txt", "--resume")
    assert "aliases" in message


def test_names_come_through_a_pipe_and_are_those_of_the_same_job(folder):
    words = ["score-elements", "model", "g.fa", "e.bed", "-o", "o.tsv", "--background", "0"]
    os.mkfifo(folder / "pipe")
    text = (folder / "names.txt").read_text()
    main([*words, "--quiet", "--shard", "1/2", "--aliases", "names.txt"])
    writer = threading.Thread(target=(folder / "pipe").write_text, args=(text,))
    writer.start()
    main([*words, "--quiet", "--shard", "2/2", "--aliases", "pipe"])
    writer.join()
    main(["merge", "o.tsv.parts", "-o", "o.tsv", "--quiet"])
    assert len((folder / "o.tsv").read_text().splitlines()) == 4
