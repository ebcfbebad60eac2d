"""The law of circular contigs: where a file begins is no property of a genome, so a FASTA that
begins elsewhere has the same scores, elsewhere.

Windows have the same letters in the same places then, hence bit-equal numbers. Only tiles of a
contig that is read whole begin at its landmark in both, and are bit-equal too.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_models import REPEATS, letters_model, random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.errors import InputError
from orchid_genomics.explain.explainer import Explainer
from orchid_genomics.explain.methods import Options as ExplainOptions
from orchid_genomics.genome.circular import mark_circular
from orchid_genomics.model import channel_groups
from orchid_genomics.score import reader as reader_module
from orchid_genomics.score.elements.background import draw_windows
from orchid_genomics.score.elements.element_scores import ElementScoring, Options
from orchid_genomics.score.elements.vectors import ElementVectors
from orchid_genomics.score.events import find_event
from orchid_genomics.score.reader import Reader
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import CODE, DNA, Interval, Variant
from orchid_genomics.tasks.score_elements import Tiles
from orchid_genomics.tasks.score_genome import Tiles as GenomeTiles

SIZE = 501
LETTERS = random_letters(200) + REPEATS + random_letters(SIZE - 200 - len(REPEATS), 1)
SHIFT = 217  # the origin of the other file lies within the repeats
WINDOWS = {"in parts": 128, "whole": 1024}
SCORES = ("llr", "llr_unmasked", "entropy", "indel", "embedding")


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    """One circle in two files, the second from letter SHIFT of the first on; one linear."""
    folder = tmp_path_factory.mktemp("rotation")
    rotated = LETTERS[SHIFT:] + LETTERS[:SHIFT]
    pair = []
    for name, letters in (("one", LETTERS), ("other", rotated)):
        genome = write_genome(folder / f"{name}.fa", {"p": letters, "q": random_letters(700, 2)})
        mark_circular(genome, ["p"], "circular")
        pair.append(genome)
    return pair


def moved(start):
    """A letter of the first file, in the second."""
    return (start - SHIFT) % SIZE


def interval_moved(interval):
    start = moved(interval.start)
    return replace(interval, start=start, end=start + len(interval))


def variants(genome, move=lambda start: start):
    """Changes of every kind at places of the first file, over its origin and that of the second."""
    letters = LETTERS + LETTERS
    changes = []
    for start in (0, 1, 40, SHIFT - 1, SHIFT, 230, 322, 450, SIZE - 1):
        ref = letters[start]
        changes.append((start, ref, "ACGT"[("ACGT".index(ref) + 1) % 4]))
        changes.append((start, letters[start : start + 3], ""))
        changes.append((start, "", "GATT"))
        changes.append((start, letters[start : start + 2], "TTACG"))
    return [Variant("p", move(start), ref, alt) for start, ref, alt in changes if ref != alt]


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_scores_of_variants_rotate(genomes, window):
    model = letters_model()
    one, other = (Scoring(model, genome, SCORES, (window,)) for genome in genomes)
    here = one(variants(genomes[0]))
    there = other(variants(genomes[1], moved))
    assert here.why == there.why
    assert np.isfinite(here.values).any(1).all()
    assert np.array_equal(here.values, there.values, equal_nan=True)


@pytest.mark.parametrize("scores", [("llr",), ("llr_unmasked",), ("indel", "embedding")])
def test_a_whole_contig_in_groups_of_channels_has_its_scores(genomes, monkeypatch, scores):
    """Where a window is too long for all of its activations: rotated, and as in one piece."""
    model, (one, other) = letters_model(), genomes
    at_once = Scoring(model, one, scores, (WINDOWS["whole"],))(variants(one))
    monkeypatch.setattr(channel_groups, "LONG", 0)
    here = Scoring(model, one, scores, (WINDOWS["whole"],))(variants(one))
    there = Scoring(model, other, scores, (WINDOWS["whole"],))(variants(other, moved))
    assert np.isfinite(here.values).any(0).all()
    assert np.array_equal(here.values, there.values, equal_nan=True)
    np.testing.assert_allclose(here.values, at_once.values, rtol=0, atol=1e-4)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_tiles_rotate(genomes, window):
    """The scores of every letter: those of score-genome, and of score-elements --tile."""
    model = letters_model()
    rows = []
    for genome in genomes:
        reader = Reader(model, genome, window)
        pieces = list(reader.tiles.pieces(Interval("p", 0, SIZE)))
        assert len(pieces) == reader.tiles.count(Interval("p", 0, SIZE))
        assert [piece.interval.end for piece in pieces[:-1]] == [
            piece.interval.start for piece in pieces[1:]
        ]
        logs = dict(reader.central(sorted({("p", piece.tile) for piece in pieces})))
        whole = np.concatenate([logs["p", piece.tile][piece.inside] for piece in pieces])
        scoring = ElementScoring(model, genome, Options(window=window, background=0))
        tiles = Tiles(scoring, genome, ["p"], 0, "loglik")
        assert len(list(tiles)) == len(tiles)
        along = np.concatenate([values for *_, values in tiles.answer(list(tiles))[0]])
        rows.append(np.column_stack([whole, along]))
    assert len(rows[0]) == SIZE
    assert np.array_equal(np.roll(rows[0], -SHIFT, 0), rows[1])


def test_tiles_of_a_head_rotate(genomes):
    model = random_model({"kind": "pooled", "task": "binary", "labels": ["no", "yes"]})
    rows = []
    for genome in genomes:
        scoring = ElementScoring(model, genome, Options(length=64))
        tiles = Tiles(scoring, genome, ["p"], 40, "p_yes")
        rows.append(np.concatenate([values for *_, values in tiles.answer(list(tiles))[0]]))
    assert np.array_equal(np.roll(rows[0], -SHIFT), rows[1])


ELEMENTS = [
    Interval("p", 5, 25),
    Interval("p", SHIFT - 10, SHIFT + 30, "+"),
    Interval("p", SIZE - 20, SIZE + 33, "-"),
    Interval("p", 100, 100 + SIZE),
]


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_scores_and_vectors_of_elements_rotate(genomes, window):
    model = letters_model()
    rows = []
    for genome, places in zip(
        genomes, (ELEMENTS, list(map(interval_moved, ELEMENTS))), strict=True
    ):
        scores = ElementScoring(model, genome, Options(window=window, background=40))(places)
        assert scores.why == [""] * len(places)
        vectors = ElementVectors(model.encoder, genome, window, "mean", "forward")(places)
        rows.append(np.concatenate([scores.values, np.concatenate(vectors)], 1))
    assert np.array_equal(rows[0], rows[1])


def test_drawn_windows_rotate(genomes):
    one, other = (draw_windows(genome, 100, 50, 0) for genome in genomes)
    assert [interval_moved(each) if each.contig == "p" else each for each in one] == other


@pytest.mark.parametrize("method", ["gradient", "integrated", "ism"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_attributions_rotate(genomes, window, method):
    model = letters_model()
    options = ExplainOptions(method=method, window=window, references=2)
    rows = []
    for genome, places in zip(
        genomes, (ELEMENTS[:3], list(map(interval_moved, ELEMENTS[:3]))), strict=True
    ):
        explained = Explainer(model, genome, options)(places)
        assert [each.why for each in explained] == [""] * 3
        rows.append([each.arrays for each in explained])
    for one, other in zip(*rows, strict=True):
        assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_a_whole_contig_is_one_window_without_ends(genomes):
    """A window beyond the contig holds its letters once, and nothing that is not there."""
    reader = Reader(letters_model(), genomes[0], 1024)
    row = reader._tile("p", 0)
    assert len(row) == SIZE
    assert sorted(row) == sorted(DNA.encode(LETTERS) & CODE)
    # What has ends is read as before: with N beside it.
    assert len(reader._tile("q", 0)) == 1024


def test_a_whole_contig_is_read_once(genomes):
    """A pass may take minutes: none is spent on ends that are not there, and both pieces of
    score-genome, on either side of the landmark, are of one.
    """
    reader = Reader(letters_model(), genomes[0], 1024)
    ref = LETTERS[40]
    event = find_event(Variant("p", 40, ref, "A" if ref != "A" else "C"), genomes[0])
    reader.shown([event])
    spent = reader.seconds
    assert spent > 0
    moved, stand = reader.edge(event, tiled=True)
    assert moved == 0
    assert stand > 0
    assert reader.seconds == spent
    work = GenomeTiles(reader, [Interval("p", 0, SIZE)], None, None)
    pieces = list(work)
    assert len(pieces) == 2
    work.answer(pieces[:1])
    spent = reader.seconds
    work.answer(pieces[1:])
    assert reader.seconds == spent
    work.forget()
    work.answer(pieces[1:])
    assert reader.seconds > spent


def test_whole_contigs_give_what_their_rotation_gives(genomes):
    """Read from another letter on, a whole contig is the same to the encoder but for rounding."""
    model = letters_model().double()
    codes = genomes[0].tokens("p", 0, SIZE)[None] & CODE
    here = model.encode(torch.from_numpy(codes))
    there = model.encode(torch.from_numpy(np.roll(codes, -SHIFT, 1)))
    assert torch.allclose(here.roll(-SHIFT, 1), there, rtol=0, atol=1e-11)


def test_a_linear_contig_has_its_ends(genomes):
    place = [Interval("q", 690, 710)]
    model = letters_model()
    assert ElementScoring(model, genomes[0], Options(window=128))(place).why == ["off_contig"]
    around = [Interval("p", 0, SIZE + 1)]
    assert ElementScoring(model, genomes[0], Options(window=128))(around).why == ["off_contig"]


def test_a_contig_that_no_memory_holds_is_refused(genomes, monkeypatch, tmp_path):
    monkeypatch.setattr(reader_module, "memory_of", lambda device: 10_000)
    with pytest.raises(InputError, match=r"window: 1,024 nt need over"):
        Reader(letters_model(), genomes[0], 1024)
    alone = write_genome(tmp_path / "p.fa", {"p": LETTERS})
    mark_circular(alone, ["p"], "circular")
    with pytest.raises(InputError, match=r"window: 501 nt of p round its origin need over"):
        Reader(letters_model(), alone, 1024)


# Commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_genome(tmp_path / "g.fa", {"p": LETTERS, "q": random_letters(700, 2)})
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    region = "p\tx\tregion\t1\t501\t.\t+\t.\tID=p;Is_circular=true\n"
    gene = "p\tx\tgene\t490\t520\t.\t+\t.\tID=g\n"
    (tmp_path / "g.gff3").write_text("##gff-version 3\n" + region + gene)
    (tmp_path / "e.bed").write_text("p\t489\t520\tg\t0\t+\nq\t9\t80\th\t0\t+\n")
    return tmp_path


COMMANDS = {
    "score-elements": "score-elements model g.fa e.bed --background 0 -o o.tsv",
    "embed": "embed model g.fa e.bed -o o.h5",
    "explain": "explain model g.fa e.bed --method gradient -o o.npz",
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_reads_a_gene_over_the_origin(folder, words):
    out = words.split()[-1]
    main([*words.split(), "--quiet"])
    assert json.loads((folder / f"{out}.summary.json").read_text())["reasons"] == {"off_contig": 1}
    for circular in ("p", "g.gff3"):
        main([*words.split(), "--quiet", "--circular", circular])
        assert json.loads((folder / f"{out}.summary.json").read_text())["reasons"] == {}


def test_a_track_goes_on_at_the_origin(folder):
    words = "score-elements model g.fa e.bed --background 0 --quiet --circular p -o o.bedGraph"
    main(words.split())
    rows = [line.split("\t") for line in (folder / "o.bedGraph").read_text().splitlines()]
    values = {(row[0], int(row[1]), int(row[2])): row[3] for row in rows if row[0] == "p"}
    assert list(values) == [("p", 0, 19), ("p", 489, 501)]
    assert len(set(values.values())) == 1


def test_score_genome_is_score_variants_around_the_origin(folder):
    """Both read the tiles that are counted from the landmark."""
    main(["score-genome", "model", "g.fa", "--quiet", "--circular", "p", "-o", "g.vcf"])
    main(["score-genome", "model", "g.fa", "--quiet", "-o", "linear.vcf"])
    rows = [line for line in (folder / "g.vcf").read_text().splitlines() if line[0] != "#"]
    assert [line.split("\t")[1] for line in rows[:SIZE]] == [str(i + 1) for i in range(SIZE)]
    ends = [row for row in (folder / "linear.vcf").read_text().splitlines() if row[0] != "#"]
    assert rows[:SIZE] != ends[:SIZE]
    assert rows[SIZE:] == ends[SIZE:]
    head = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    bare = ["\t".join([*row.split("\t")[:7], "."]) for row in rows[:SIZE:50]]
    (folder / "v.vcf").write_text(head + "\n".join(bare) + "\n")
    scores = "score-variants model g.fa v.vcf --scores llr_unmasked --quiet --circular g.gff3"
    main([*scores.split(), "-o", "v.scored.vcf"])
    scored = [row for row in (folder / "v.scored.vcf").read_text().splitlines() if row[0] != "#"]
    assert [row.split("LLR_UNMASKED=")[1] for row in scored] == [
        row.split("LLR_UNMASKED=")[1] for row in rows[:SIZE:50]
    ]


def test_a_job_of_other_circles_is_another_job(folder, refused):
    words = [
        "score-elements",
        "model",
        "g.fa",
        "e.bed",
        "--background",
        "0",
        "--quiet",
        "-o",
        "o.tsv",
    ]
    main([*words, "--shard", "1/2", "--circular", "p"])
    line = refused(*words, "--shard", "1/2", "--resume")
    assert "circular" in line


def test_what_no_contig_is_called_is_said_in_a_line(folder, refused):
    words = [
        "score-elements",
        "model",
        "g.fa",
        "e.bed",
        "--quiet",
        "-o",
        "o.tsv",
        "--circular",
        "plasmid",
    ]
    line = refused(*words)
    assert "--circular: 'plasmid' is neither a contig of g.fa nor a file" in line
