"""Journeys of `dataset`: peaks in, a labelled set out, every row from the genome, everything
counted.
"""

import gzip
import os
import threading

import numpy as np
import pytest

from orchid_genomics.cli import main
from orchid_genomics.data.labelled.parsing import split_set
from orchid_genomics.data.labelled.tables import TableRecipe, read_table
from orchid_genomics.data.negatives import composition
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import write_track
from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.kmers import either_strand

SIZES = {"a": 12_000, "b": 6_000, "c": 6_000}


@pytest.fixture
def files(tmp_path):
    """A genome of three contigs and a narrowPeak of 40 peaks, the first and the last at the ends of
    a contig.
    """
    rng = np.random.default_rng(0)
    with (tmp_path / "g.fa").open("w") as file:
        for name, size in SIZES.items():
            file.write(f">{name}\n{''.join(rng.choice(list('ACGTacgt'), size))}\n")
    rows = []
    for contig, size in SIZES.items():
        starts = [0, *range(400, size - 400, 600), size - 50]
        rows += [
            f"{contig}\t{at}\t{at + 50}\tp{at}\t9\t.\t1.5\t-1\t-1\t{i % 50}\n"
            for i, at in enumerate(starts)
        ]
    (tmp_path / "p.narrowPeak").write_text("".join(rows))
    return tmp_path


def run(capsys, *words) -> list[str]:
    main([str(word) for word in words])
    return capsys.readouterr().out.splitlines()


def read(path) -> list[list[str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return [line.split("\t") for line in text.splitlines()]


def thirties(sequence: str) -> set[int]:
    return set(either_strand(DNA.encode(sequence), 30).tolist())


def base(files, out="set.tsv.gz"):
    return [
        "dataset",
        files / "p.narrowPeak",
        files / "g.fa",
        "-o",
        files / out,
        "--length",
        64,
        *SPLIT,
    ]


SPLIT = ["--validation", "b", "--test", "c"]


def test_every_row_is_its_place_read_on_the_genome(files, capsys):
    lines = run(capsys, *base(files))
    header, *rows = read(files / "set.tsv.gz")
    assert header == [
        "#chrom",
        "start",
        "end",
        "strand",
        "label",
        "split",
        "sequence",
        "source",
        "name",
    ]
    genome = Genome(files / "g.fa")
    peaks = [row for row in rows if row[7] == "peak"]
    assert len(peaks) == len((files / "p.narrowPeak").read_text().splitlines())
    assert {row[0]: row[5] for row in rows} == {"a": "train", "b": "validation", "c": "test"}
    for contig, start, end, strand, label, _, sequence, source, name in rows:
        assert genome.letters(contig, int(start), int(end)).decode() == sequence.strip("N")
        assert (strand, len(sequence), label) == (".", 64, "1" if source == "peak" else "0")
        assert (source, name == ".") in (("peak", False), ("matched", True))
    overhanging = sum("N" in row[6] for row in rows)
    assert overhanging >= 3
    assert (
        lines[0]
        == f"peaks        {len(peaks):,} records, windows of 64 nt around their summits (column 10)"
    )
    assert f"contig ends  {overhanging} windows reach beyond their contig: kept, N there" in lines
    assert (
        "duplicates   0 of train, 0 of validation share 30 letters, either strand, with a later"
        " split: removed" in lines
    )
    counts = [sum(row[5] == split for row in rows) for split in ("train", "validation", "test")]
    assert [int(line.split()[1].replace(",", "")) for line in lines[-3:]] == counts


def test_fine_tuning_reads_the_set_as_it_is(files, capsys):
    run(capsys, *base(files))
    found = split_set(
        read_table(TableRecipe(path=files / "set.tsv.gz")), TableRecipe(path=files / "set.tsv.gz")
    )
    assert (found.task.name, found.labels, found.stranded) == ("binary", ("0", "1"), False)
    assert set(found.lengths.tolist()) == {64}


def test_the_same_seed_gives_the_same_bytes_and_another_other_negatives(files, capsys):
    for name, seed in (("x.tsv.gz", 3), ("y.tsv.gz", 3), ("z.tsv.gz", 4)):
        run(capsys, *base(files, name), "--seed", seed)
    x, y, z = ((files / name).read_bytes() for name in ("x.tsv.gz", "y.tsv.gz", "z.tsv.gz"))
    assert x == y != z


def test_shuffled_negatives_are_said_to_be(files, capsys):
    lines = run(capsys, *base(files, "set.tsv"), "--negatives", "shuffled", "--ratio", 2)
    assert any(
        "dinucleotide-shuffled peaks (their letters in another order: no genome sequence)" in line
        for line in lines
    )
    rows = read(files / "set.tsv")[1:]
    shuffled = [row for row in rows if row[7] == "dinucleotide-shuffled"]
    assert len(shuffled) == 2 * (len(rows) - len(shuffled))
    by_place = {tuple(row[:3]): row[6] for row in rows if row[7] == "peak"}
    for row in shuffled:
        assert sorted(row[6].upper()) == sorted(by_place[tuple(row[:3])].upper())


def test_a_signal_becomes_the_label(files, capsys, refused):
    rng = np.random.default_rng(1)
    signal = {name: rng.random(size).astype(np.float32) for name, size in SIZES.items()}
    signal["a"][:6_000] = np.nan
    write_track(files / "s.bw", SIZES, [(name, 0, signal[name]) for name in sorted(SIZES)])
    lines = run(capsys, *base(files, "set.tsv"), "--signal", files / "s.bw")
    assert any(
        line.startswith("labels       s.bw: mean over each window, nothing counting as zero;")
        for line in lines
    )
    for contig, start, end, _, label, *_ in read(files / "set.tsv")[1:]:
        expected = np.nan_to_num(signal[contig][int(start) : int(end)]).mean()
        assert float(label) == pytest.approx(expected, abs=1e-5)
    message = refused(*base(files, "set.tsv"), "--signal", files / "s.bw", "--signal-mean", "mean")
    assert "windows; --signal-mean mean0 (nothing is zero)" in message


def test_near_duplicates_across_splits_are_removed_and_excluded_places_avoided(files, capsys):
    lines = (files / "g.fa").read_text().splitlines()
    lines[5] = (
        lines[5][:1000] + lines[1][1000:1600].lower() + lines[5][1600:]
    )  # a stretch of a stands in c
    (files / "g.fa").write_text("\n".join(lines) + "\n")
    (files / "x.bed").write_text("a\t0\t700\n")
    words = [*base(files, "set.tsv"), "--exclude", files / "x.bed"]
    said = run(capsys, *words)
    assert "dropped      2 touches an excluded place" in said
    twins = next(line for line in said if line.startswith("duplicates"))
    assert not twins.startswith("duplicates   0 of train, ")
    rows = read(files / "set.tsv")[1:]
    test, rest = (
        {*()}.union(*(thirties(row[6]) for row in rows if (row[5] == "test") == wanted))
        for wanted in (True, False)
    )
    assert not test & rest
    assert not any(row[0] == "a" and int(row[1]) < 700 for row in rows)
    for label, at in (
        ("1", 3),
        ("0", 4),
    ):  # the agreement that is printed is that of the rows that are written
        mine = [
            composition(DNA.encode(row[6]))[1]
            for row in rows
            if row[4] == label and row[5] == "train"
        ]
        line = next(line for line in said if line.split()[:2] == ["train", "soft-masked"])
        assert float(line.split()[at - 1]) == pytest.approx(np.mean(mine), abs=1e-4)
    kept = run(capsys, *words, "--keep-duplicates")
    assert any("kept (--keep-duplicates)" in line for line in kept)
    assert len(read(files / "set.tsv")) > len(rows) + 1


def test_negatives_that_do_not_match_and_splits_without_rows_are_said(files, capsys):
    at = [*range(400, 11_000, 600)]  # peaks of G and C in a genome of all four letters
    letters = (files / "g.fa").read_text().splitlines()
    for start in at:
        letters[1] = letters[1][: start - 10] + "GC" * 40 + letters[1][start + 70 :]
    (files / "g.fa").write_text("\n".join(letters) + "\n")
    (files / "gc.bed").write_text("".join(f"a\t{start}\t{start + 60}\n" for start in at))
    said = run(
        capsys, "dataset", files / "gc.bed", files / "g.fa", "-o", files / "gc.tsv", "--length", 60
    )
    assert next(line for line in said if line.split()[:2] == ["train", "GC"]).endswith(
        "NOT MATCHED"
    )
    assert not next(line for line in said if line.split()[:2] == ["train", "N"]).endswith(
        "NOT MATCHED"
    )
    assert (
        said[-1].strip()
        == "finetune wants rows in all three: --validation and --test, or its own folds"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "set.bed"], "--out: 'set.bed' names no format; .tsv.gz, .tsv"),
        (["--length", 20], "--length: windows of 20 nt; 30 nt or more"),
        (["--test", "chrZ"], "--test: unknown contig 'chrZ'; possible: a, b, c"),
        (
            ["--test", "c:3001-3002"],
            "--test: holds no window of a peak; contigs with peaks: a, b, c",
        ),
        (["--validation", "a,b,c", "--test", ""], "p.narrowPeak: no peak is left to train on"),
        (
            ["--signal", "g.fa", "--negatives", "shuffled"],
            "--negatives: shuffled letters have no signal",
        ),
        (["--signal", "g.fa"], "g.fa line 1: '>a' is no bedGraph record"),
        (["--exclude", "none.bed"], "none.bed: cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    files, refused, monkeypatch, words, message
):
    monkeypatch.chdir(files)
    assert message in refused(*base(files), *words)


def small_set(files, capsys, text, *words, name="few.bed"):
    """Lines of the report and rows of a set of a few peaks without negatives."""
    (files / name).write_bytes(text.encode() if isinstance(text, str) else text)
    out = files / "few.tsv"
    lines = run(
        capsys,
        "dataset",
        files / name,
        files / "g.fa",
        "-o",
        out,
        "--length",
        50,
        "--ratio",
        0,
        *words,
    )
    return lines, read(out)[1:]


NARROW = "a\t1000\t2000\tp1\t900\t.\t5.1\t-1\t3.2\t100\n"
IDR = NARROW.rstrip() + "\t2.46\t2.73\t1000\t2000\t620.0\t100\t1000\t2000\t213.8\t100\n"
COVERAGE = "b\t1000\t2000\tp2\t900\t+\t7\t120\t1000\t0.1200000\n"


def test_summits_are_read_record_by_record(files, capsys):
    """A file of narrowPeak, IDR and plain records, as `cat` makes them."""
    lines, rows = small_set(
        files, capsys, NARROW + COVERAGE + IDR.replace("a", "c") + "c\t0\t100\n"
    )
    assert [(row[0], int(row[1])) for row in rows] == [
        ("a", 1075),
        ("b", 1475),
        ("c", 25),
        ("c", 1075),
    ]
    assert lines[0] == (
        "peaks        4 records, windows of 50 nt around their summits (column 10) or, "
        "2 without one, their middles"
    )


def test_peaks_through_a_pipe_are_all_there(files, capsys):
    text = "".join(f"a\t{at}\t{at + 9}\n" for at in range(0, 9_000, 9)) * 30
    path = files / "fifo.bed"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(text,))
    writer.start()
    words = ("dataset", path, files / "g.fa", "-o", files / "x.tsv", "--length", 50, "--ratio", 0)
    lines = run(capsys, *words)
    writer.join()
    assert lines[0].startswith("peaks        30,000 records")


@pytest.mark.parametrize(
    "mark", ["\ufeff", "\ufeff#chrom\tstart\tend\n", "\ufeffchrom\tstart\tend\n"]
)
def test_a_byte_order_mark_loses_no_peak(files, capsys, mark):
    _, rows = small_set(files, capsys, f"{mark}a\t1000\t1100\tg1\nb\t1000\t1100\tg2\n")
    assert [row[8] for row in rows] == ["g1", "g2"]


@pytest.mark.filterwarnings("default::orchid_genomics.genome.contigs.GenomeNote")
def test_what_lies_on_contigs_that_the_genome_lacks_is_left_out_and_said(files, capsys):
    (files / "black.bed").write_text("a\t0\t2000\nchrUn_1\t10\t500\n")
    (files / "few.bed").write_text("a\t1000\t1100\nb\t1000\t1100\nGL1\t1\t9\n")
    words = ["dataset", files / "few.bed", files / "g.fa", "-o", files / "few.tsv", "--length", 50]
    words += ["--ratio", 0, "--exclude", files / "black.bed"]
    main([str(word) for word in words])
    printed = capsys.readouterr()
    assert [row[0] for row in read(files / "few.tsv")[1:]] == ["b"]
    assert "dropped      1 touches an excluded place" in printed.out.splitlines()
    assert printed.err.replace(f"{files}/", "").splitlines() == [
        "note: few.bed: 1 records left out, on contigs that g.fa lacks: GL1 (1)",
        "note: black.bed: 1 records left out, on contigs that g.fa lacks: chrUn_1 (1)",
    ]


def test_a_signal_of_another_build_matters_where_it_is_read(files, capsys):
    sizes = dict(SIZES, c=SIZES["c"] + 2)
    pieces = [
        (contig, 1000, np.full(100, value))
        for contig, value in (("a", 2.0), ("b", 4.0), ("c", 9.0))
    ]
    write_track(files / "other.bw", sizes, pieces)
    peaks = "a\t1000\t1100\nb\t1000\t1100\n"
    _, rows = small_set(files, capsys, peaks, "--signal", files / "other.bw")
    assert [row[4] for row in rows] == ["2", "4"]
    with pytest.raises(SystemExit):
        small_set(files, capsys, peaks + "c\t1000\t1100\n", "--signal", files / "other.bw")
    message = "other.bw: contig c has 6,002 letters where g.fa has 6,000; a track of the same build"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plus", "minus"), [("+", "-"), ("1", "-1"), ("plus", "minus"), ("W", "C")]
)
def test_minus_peaks_are_read_backwards_in_every_spelling(files, capsys, plus, minus):
    text = f"a\t1000\t1200\tg1\t0\t{plus}\na\t5000\t5200\tg2\t0\t{minus}\n"
    _, rows = small_set(files, capsys, text)
    assert [row[3] for row in rows] == ["+", "-"]
    genome = Genome(files / "g.fa")
    letters = DNA.decode(genome.tokens("a", int(rows[1][1]), int(rows[1][2]), "-"))
    assert rows[1][6] == letters


@pytest.mark.filterwarnings("default::orchid_genomics.errors.GenomeNote")
def test_a_file_of_aliases_names_the_contigs_of_peaks(files, capsys):
    (files / "aliases.tsv").write_text("NC_1\ta\nNC_2\tb\n")
    peaks = "NC_1\t1000\t1100\nNC_2\t1000\t1100\n"
    with pytest.raises(SystemExit):
        small_set(files, capsys, peaks)
    assert "unknown contig 'NC_1'; possible: a, b, c in g.fa" in capsys.readouterr().err
    _, rows = small_set(files, capsys, peaks, "--aliases", files / "aliases.tsv")
    assert [row[0] for row in rows] == ["a", "b"]
