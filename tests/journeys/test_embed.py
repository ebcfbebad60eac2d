"""embed as a user runs it, and what reads its file back."""

import json

import h5py
import numpy as np
import pytest
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.data.embeddings import FORMAT, Embeddings
from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.sklearn import OrchidFeatures
from orchid_genomics.score.elements.vectors import ElementVectors
from orchid_genomics.tasks import embed as task


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model of width 8, a genome, and in.bed: 20 elements on both strands, two of which have no
    vector.
    """
    write_genome(
        tmp_path / "genome.fa", {"c1": random_letters(800), "c2": "N" * 50 + random_letters(60, 1)}
    )
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    rows = [
        f"c1\t{at}\t{at + 12 + i}\te{i}\t0\t{'+-'[i % 2]}\n"
        for i, at in enumerate(range(5, 700, 40))
    ]
    (tmp_path / "in.bed").write_text(
        "".join([*rows[:9], "c2\t0\t50\tgap\t0\t+\n", *rows[9:], "c2\t60\t111\toff\t0\t-\n"])
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "BLOCK", 6)
    return tmp_path


def run(*words, out="out.h5"):
    main(["embed", "model", "genome.fa", "in.bed", "-o", out, *map(str, words)])


def test_every_element_has_its_row_and_the_file_says_what_it_is(folder, capsys):
    run()
    bed = read_bed(folder / "in.bed")
    with Embeddings("out.h5") as found:
        assert found.intervals == list(bed)
        assert [why for why in found.why if why] == ["all_n", "off_contig"]
        assert np.isnan(found.matrix()).all(1).tolist() == [bool(why) for why in found.why]
        model = OrchidModel.from_pretrained("model")
        vectors = ElementVectors(model.encoder, Genome("genome.fa"), 64, "mean", "forward")
        np.testing.assert_array_equal(found[3], vectors([bed[3]])[0][0])
        assert {
            name: found.about[name]
            for name in ("format", "model", "genome", "pool", "strand", "window")
        } == {
            "format": FORMAT,
            "model": model.hash(),
            "genome": Genome("genome.fa").checksum(),
            "pool": "mean",
            "strand": "forward",
            "window": 64,
        }
        assert len(found) == 20
    said = capsys.readouterr().err
    assert "20 elements: 18 embedded, one vector each, seen in windows of 64 nt" in said
    assert "not embedded: 1 all_n (every letter is N)" in said


def test_any_library_reads_it_chunked_and_compressed(folder):
    run("--strand", "both", "--dtype", "float16")
    with h5py.File("out.h5") as file:
        vectors = file["vectors"]
        assert (vectors.shape, vectors.dtype, vectors.compression) == ((20, 4), np.float16, "gzip")
        assert vectors.chunks is not None
        assert file["chrom"].asstr()[0] == "c1"
        assert file["strand"].asstr()[:2].tolist() == ["+", "-"]


def test_one_vector_a_letter(folder):
    run("--pool", "none")
    run(out="mean.h5")
    with Embeddings("out.h5") as found, Embeddings("mean.h5") as means:
        sizes = [
            0 if why else len(place) for place, why in zip(found.intervals, found.why, strict=True)
        ]
        assert [len(letters) for letters in found] == sizes
        assert len(found.matrix()) == sum(sizes)
        for letters, mean in zip(found, means, strict=True):
            if len(letters):
                np.testing.assert_allclose(letters.mean(0), mean, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_shards_and_kills_give_the_bytes_of_one_run(folder, monkeypatch, pool):
    run("--pool", pool, out="one.h5")
    for shard in ("2/2", "1/2"):
        run("--pool", pool, "--shard", shard, out="many.h5")
    main(["merge", "many.h5.parts", "-o", "many.h5"])
    assert (folder / "many.h5").read_bytes() == (folder / "one.h5").read_bytes()
    assert (folder / "many.h5.summary.json").read_bytes() == (
        folder / "one.h5.summary.json"
    ).read_bytes()
    real, calls = task.ElementVectors.__call__, []

    def dies(self, places):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, places)

    monkeypatch.setattr(task.ElementVectors, "__call__", dies)
    with pytest.raises(SystemExit):
        run("--pool", pool, out="two.h5")
    assert not (folder / "two.h5").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert json.loads((folder / "two.h5.parts" / "manifest.json").read_text())["task"] == "embed"
    monkeypatch.setattr(task, "BLOCK", 6)
    run("--pool", pool, "--resume", out="two.h5")
    assert (folder / "two.h5").read_bytes() == (folder / "one.h5").read_bytes()


def test_the_element_alone_is_what_scikit_learn_gets(folder):
    run("--window", 0, "--strand", "forward")
    genome, bed = Genome("genome.fa"), read_bed("in.bed")
    known = [i for i, place in enumerate(bed) if place.contig == "c1"]
    tokens = [genome.tokens(bed[i].contig, bed[i].start, bed[i].end, bed[i].strand) for i in known]
    with Embeddings("out.h5") as found:
        np.testing.assert_array_equal(
            found.matrix()[known], OrchidFeatures("model", strand="forward").fit_transform(tokens)
        )


def test_strand_and_window_follow_the_bed_and_the_model(folder):
    (folder / "in.bed").write_text("c1\t5\t25\nc1\t50\t90\n")
    head = {"kind": "pooled", "task": "binary", "labels": ["no", "yes"]}
    random_model(head).save_pretrained(folder / "model")
    run()
    with Embeddings("out.h5") as found:
        assert (found.about["strand"], found.about["window"], found.matrix().shape) == (
            "both",
            0,
            (2, 4),
        )


@pytest.mark.parametrize(
    ("words", "out", "message"),
    [
        ((), "out.npz", "--out: 'out.npz' names no format; .h5, .hdf5"),
        (
            ("--window", 63),
            "o.h5",
            "--window: 63 nt; 0 (the element alone), or an even number, 64 or more",
        ),
        ((), "none/o.h5", "none/o.h5: cannot be written (No such file or directory)"),
    ],
)
def test_what_cannot_be_is_one_line(folder, refused, words, out, message):
    assert message in refused("embed", "model", "genome.fa", "in.bed", "-o", out, *words)


def test_a_file_that_is_not_ours_is_one_line(folder):
    with h5py.File("other.h5", "w") as file:
        file["x"] = [1]
    for name, message in (
        (
            "other.h5",
            r"other.h5: is not an HDF5 of ours \(format None\); one of orchid-genomics embed",
        ),
        ("genome.fa", "genome.fa: cannot be read"),
        ("none.h5", r"none.h5: cannot be read \(No such file\)"),
    ):
        with pytest.raises(InputError, match=message):
            Embeddings(name)
