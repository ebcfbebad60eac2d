"""What `init` writes runs as it is; its split is of whole chromosomes where there are any."""

import pytest
from random_models import random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.recipe import load
from orchid_genomics.tasks.init import propose_split
from orchid_genomics.tasks.pretraining import run_recipe

YEAST = {
    "chrI": 230218, "chrII": 813184, "chrIII": 316620, "chrIV": 1531933, "chrV": 576874,
    "chrVI": 270161, "chrVII": 1090940, "chrVIII": 562643, "chrIX": 439888, "chrX": 745751,
    "chrXI": 666816, "chrXII": 1078177, "chrXIII": 924431, "chrXIV": 784333, "chrXV": 1091291,
    "chrXVI": 948066, "chrM": 85779,
}  # fmt: skip
CONTIGS = ("chr1", "chr2", "chr3", "chr4", "chr5", "chr6")


@pytest.fixture
def genome(tmp_path, monkeypatch):
    """Six contigs of 1,500 letters and a mitochondrion, in the working directory."""
    letters = {name: random_letters(1500, number) for number, name in enumerate(CONTIGS)}
    write_genome(tmp_path / "mine.fa", letters | {"chrM": random_letters(300, 9)})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    return letters


def write_table(path, letters, header="chrom\tstart\tend\tsequence\tlabel"):
    rows = [
        f"{name}\t{at}\t{at + 60}\t{text[at : at + 60]}\t{at // 60 % 2}"
        for name, text in letters.items()
        for at in range(0, 1440, 60)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_a_split_is_of_whole_chromosomes_about_a_tenth_each():
    split = propose_split(YEAST)
    assert (split.test, split.validation, split.ignore) == (("chrXV",), ("chrVII",), ("chrM",))
    assert not split.stretches


def test_no_contig_is_in_two_splits_and_the_largest_trains():
    sizes = {f"c{number}": 1000 + 37 * number for number in range(40)}
    split = propose_split(sizes)
    assert not set(split.test) & set(split.validation)
    assert "c39" not in (*split.test, *split.validation)
    for names in (split.test, split.validation):
        share = sum(sizes[name] for name in names) / sum(sizes.values())
        assert 0.08 < share < 0.12


@pytest.mark.parametrize("plasmids", [{}, {"p1": 9000, "p2": 8000}], ids=["alone", "plasmids"])
def test_of_a_bacterium_the_end_of_its_chromosome_is_held_out(plasmids):
    split = propose_split({"chromosome": 1_000_000, **plasmids})
    assert split.test == split.validation == ()
    test, validation = split.stretches["test"], split.stretches["validation"]
    assert (test.start, test.end) == (900_000, 1_000_000)
    assert (validation.start, validation.end) == (800_000, 900_000)


def test_its_recipe_pretrains_unchanged(genome, tmp_path, capsys):
    genes = "##gff-version 3\n" + "".join(
        f"{name}\tx\t{kind}\t201\t500\t.\t+\t0\tID={kind}{name}\n"
        for name in CONTIGS
        for kind in ("gene", "CDS")
    )
    (tmp_path / "genes.gff3").write_text(genes)
    main(["init", "mine.fa", "--annotation", "genes.gff3", "--minutes", "0.01"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wrote mine.toml, mine.beds/")
    text = (tmp_path / "mine.toml").read_text()
    assert "#   chr1         1,500  training\n" in text
    assert "in all (h:mm:ss or m:ss)" in text
    recipe = load("mine.toml", run_recipe)
    held = {*recipe.genomes[0].validation, *recipe.genomes[0].test}
    assert len(held) == 2 <= len(held & set(CONTIGS))
    assert recipe.genomes[0].ignore == ("chrM",)
    assert recipe.training.steps == 100
    assert {path.name for path in tmp_path.iterdir()} >= {"mine.toml", "mine.beds"}
    assert not list(tmp_path.glob(".init-*"))
    pretrain, run = lines[2].split()[1:3], lines[2].split()[-1]
    main([*pretrain, "-o", run])
    printed = capsys.readouterr().out
    assert "CDS" in printed
    assert "intergenic" in printed
    main(lines[3].split()[1:])


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_who_has_half_an_hour_gets_the_larger_shape(genome):
    main(["init", "mine.fa", "--minutes", "30", "--quiet"])
    model = load("mine.toml", run_recipe).model
    assert (model.width, model.depth, model.stem, model.convolutions) == (128, 2, 15, (1, 2, 4))
    assert model.filter.hash_length == 11


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_a_genome_of_one_contig_gets_stretches_and_its_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    write_genome(tmp_path / "coli.fa", {"NC_1": random_letters(6000)})
    main(["init", "coli.fa", "--minutes", "0.01", "--quiet"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "note: coli.fa: too few contigs to hold whole ones out" in printed.err
    assert (tmp_path / "coli.beds/test.bed").read_text().split()[:3] == ["NC_1", "5400", "6000"]
    text = (tmp_path / "coli.toml").read_text()
    assert "# coli.fa: 1 contig, 6,000 letters\n" in text
    assert "training but for its last fifth\n" in text
    assert '# circular = ["NC_1"]' in text
    main(["plan", "coli.toml"])
    assert "training windows that touch held-out letters: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "header",
    [
        "chrom\tstart\tend\tsequence\tlabel",
        "chr\tfrom\tto\tDNA\tclass",
        "chrom\tstart\tend\tsequence\tbound",
    ],
    ids=["usual names", "other names", "what was measured"],
)
def test_of_labels_it_is_a_recipe_for_finetune(genome, tmp_path, capsys, header):
    write_table(tmp_path / "set.tsv", genome, header)
    main(["init", "mine.fa", "--labels", "set.tsv"])
    text = (tmp_path / "set.toml").read_text()
    assert ("test_contigs = [" in text) == header.startswith("chrom\t")
    assert ('sequence = "DNA"' in text) == ("DNA" in header)
    label = header.split("\t")[-1]
    assert (f'label = "{label}"' in text) == (label != "label")
    assert "1,500  training" not in text  # the table splits its rows, in its own way
    assert "at most about" in text
    less = (
        "training.epochs=1",
        "training.rates=[1e-2]",
        "training.seeds=[0]",
        "baselines.cnn=false",
    )
    words = [word for each in less for word in ("--set", each)]
    main(["finetune", "set.toml", "-o", "run", *words])
    assert (tmp_path / "run/model").is_dir()


@pytest.mark.slow
def test_its_recipe_finetunes_unchanged(genome, tmp_path):
    write_table(tmp_path / "set.tsv", genome)
    main(["init", "mine.fa", "--labels", "set.tsv"])
    main(["finetune", "set.toml", "-o", "run"])
    assert (tmp_path / "run/model").is_dir()


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_a_busy_machine_is_said_and_paths_are_relative_to_the_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    write_genome(tmp_path / "mine.fa", {"c": random_letters(6000)})
    main(["init", "mine.fa", "--minutes", "0.01", "--quiet", "-o", "deep/r.toml"])
    notes = capsys.readouterr().err
    assert "other programs are at work on this machine (load 99" in notes
    text = (tmp_path / "deep/r.toml").read_text()
    assert 'fasta = "../mine.fa"' in text
    assert 'test_bed = "r.beds/test.bed"' in text


def test_what_is_wrong_is_one_line_and_nothing_is_written(genome, tmp_path, refused):
    (tmp_path / "mine.toml").write_text("mine")
    assert refused("init", "mine.fa").endswith(
        "mine.toml: is there already; another name, by --out"
    )
    assert (tmp_path / "mine.toml").read_text() == "mine"
    assert "--minutes: 0; more than 0" in refused(
        "init", "mine.fa", "--minutes", "0", "-o", "r.toml"
    )
    assert "--out: r is no recipe" in refused("init", "mine.fa", "-o", "r")
    (tmp_path / "t.tsv").write_text("place\tclass\nchr1:1-9\t1\n")
    line = refused("init", "mine.fa", "--labels", "t.tsv")
    assert "t.tsv: has 0 columns of sequences, of place, class; a column `sequence`" in line
    (tmp_path / "t.tsv").write_text("seq\tscore\tdepth\nACGTACGTACGT\t1\t2\n")
    assert "t.tsv: has no column of labels, of seq, score, depth;" in refused(
        "init", "mine.fa", "--labels", "t.tsv"
    )
    write_genome(tmp_path / "short.fa", {f"c{number}": "ACGT" * 9 for number in range(9)})
    assert "half of its letters lie on contigs shorter than 37" in refused("init", "short.fa")
    assert not list(tmp_path.glob("t.toml")) + list(tmp_path.glob("short.*s"))
