"""score-elements as a user runs it: every element answered in order, the same bytes however it was
run.
"""

import gzip
import json
import signal
import subprocess
import sys

import numpy as np
import pysam
import pytest
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import Track
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.elements import element_files
from orchid_genomics.score.elements.element_scores import score_elements
from orchid_genomics.score.reader import Reader
from orchid_genomics.sequence import Interval
from orchid_genomics.tasks import score_elements as task

SIZES = {"c1": 900, "c10": 300, "c2": 260}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two models, a genome, and in.bed: 30 elements in order, four of which cannot be scored."""
    letters = {name: random_letters(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    letters["c2"] = "N" * 100 + letters["c2"][100:]
    write_genome(tmp_path / "genome.fa", letters)
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    head = {"kind": "pooled", "task": "multiclass", "labels": ["decoy", "donor", "acceptor"]}
    random_model(head).save_pretrained(tmp_path / "tuned", {"labelled": {"lengths": [40, 40]}})
    rows = [
        f"c1\t{at}\t{at + 10 + i}\te{i}\t{i}\t{'+-.'[i % 3]}\n"
        for i, at in enumerate(range(5, 850, 33))
    ]
    rows += [
        "c2\t10\t30\tgap\t0\t+\n",
        "c2\t90\t120\tedge\t0\t-\n",
        "c2\t250\t261\toff\t0\t+\n",
        "chrQ\t1\t2\tlost\n",
    ]
    (tmp_path / "in.bed").write_text("".join(rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "BLOCK", 8)
    return tmp_path


def command(*words, model="model", out="out.bed.gz", source=("in.bed",), more=("--background", 0)):
    return [
        "score-elements",
        model,
        "genome.fa",
        *source,
        "-o",
        out,
        *map(str, more),
        *map(str, words),
    ]


def run(*words, **options):
    main(command(*words, **options))


def summary(path):
    return json.loads(path.with_name(f"{path.name}.summary.json").read_text())


def rows_of(path):
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [line.split("\t") for line in text.splitlines()]


def test_every_element_is_answered_in_its_order(folder, capsys):
    run()
    _, header, *rows = rows_of(folder / "out.bed.gz")
    assert header == [
        "#chrom",
        "start",
        "end",
        "name",
        "score",
        "strand",
        "loglik",
        "entropy",
        "why",
    ]
    given = [line.split("\t") for line in (folder / "in.bed").read_text().splitlines()]
    assert [row[:6] for row in rows] == [
        [*words, *["0", "."][len(words) - 4 :]][:6] for words in given
    ]
    assert [row[8] for row in rows] == ["."] * 26 + ["all_n", ".", "off_contig", "unknown_contig"]
    assert [row[6] == row[7] == "." for row in rows] == [row[8] != "." for row in rows]
    places = read_bed(folder / "in.bed").intervals[:26]
    expected = score_elements("model", "genome.fa", places, background=0).values
    np.testing.assert_allclose(
        np.array([row[6:8] for row in rows[:26]], float), expected, rtol=1e-5
    )
    said = capsys.readouterr().err
    assert "30 elements: 27 scored" in said
    assert "not scored: 1 off_contig (reaches beyond the end of its contig)" in said


def test_the_header_names_model_and_genome_and_a_tabix_index_stands_beside(folder):
    run()
    first = rows_of(folder / "out.bed.gz")[0][0]
    assert first.startswith("#orchid-genomics=")
    assert "; window 64; passes 1; background 0" in first
    assert str(folder) not in first
    with pysam.TabixFile(str(folder / "out.bed.gz")) as file:
        assert [line.split("\t")[3] for line in file.fetch("c1", 40, 60)] == ["e1"]


@pytest.mark.parametrize("kind", ["bed.gz", "tsv.gz", "tsv", "parquet", "bw", "bedGraph"])
def test_shards_merge_to_the_bytes_of_one_run(folder, kind):
    def whole(name):
        raw = (folder / name).read_bytes()
        return gzip.decompress(raw) if name.endswith(".gz") else raw

    run(out=f"one.{kind}")
    for shard in ("2/3", "1/3", "3/3"):
        run("--shard", shard, out=f"many.{kind}")
    assert not (folder / f"many.{kind}.summary.json").exists()
    main(["merge", f"many.{kind}.parts", "-o", f"many.{kind}"])
    assert whole(f"many.{kind}") == whole(f"one.{kind}")
    assert summary(folder / f"many.{kind}") == summary(folder / f"one.{kind}")


def test_a_summary_says_what_was_asked_and_what_came(folder, capsys):
    run(out="out.tsv")
    found = summary(folder / "out.tsv")
    assert (found["window"], found["passes"], found["elements"], found["scored"]) == (64, 1, 30, 27)
    assert found["model"] == OrchidModel.from_pretrained("model").hash()
    assert found["reasons"] == {"all_n": 1, "off_contig": 1, "unknown_contig": 1}
    column = [float(row[6]) for row in rows_of(folder / "out.tsv")[2:] if row[6] != "."]
    assert found["columns"]["loglik"]["n"] == len(column) == 27
    assert found["columns"]["loglik"]["sum"] == pytest.approx(sum(column), rel=1e-4)
    run("--tile", "c2", out="t.bw", source=(), more=())
    assert (
        summary(folder / "t.bw")["tile"],
        summary(folder / "t.bw")["columns"]["letters"]["n"],
    ) == ("c2", 160)


def test_killed_and_resumed_the_bytes_are_those_of_one_run(folder, monkeypatch):
    run(out="one.tsv")
    calls = []
    real = task.render

    def dies(*words):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(*words)

    monkeypatch.setattr(task, "render", dies)
    with pytest.raises(SystemExit) as stop:
        run(out="two.tsv")
    assert stop.value.code == 128 + signal.SIGTERM
    assert not (folder / "two.tsv").exists()
    run("--resume", out="two.tsv")
    assert len(calls) == 5  # two blocks were kept
    assert (folder / "two.tsv").read_bytes() == (folder / "one.tsv").read_bytes()
    assert summary(folder / "two.tsv") == summary(folder / "one.tsv")


def test_another_model_or_option_does_not_resume(folder, capsys, refused):
    run("--shard", "1/2", out="x.tsv")
    capsys.readouterr()
    words = command("--passes", 2, "--resume", out="x.tsv")
    assert "x.tsv.parts: belongs to another job: passes 1 -> 2" in refused(*words)


def test_neighbours_and_order_do_not_matter(folder):
    run(out="one.tsv")
    lines = (folder / "in.bed").read_text().splitlines()[:27]
    (folder / "few.bed").write_text("\n".join(lines[::-2]) + "\n")
    run(out="two.tsv", source=("few.bed",))
    by_name = {row[3]: row for row in rows_of(folder / "one.tsv")[2:]}
    rows = rows_of(folder / "two.tsv")[2:]
    assert [row[3] for row in rows] == [line.split("\t")[3] for line in lines[::-2]]
    assert all(row == by_name[row[3]] for row in rows)


@pytest.mark.filterwarnings("default::orchid_genomics.genome.contigs.GenomeNote")
def test_an_unsorted_bed_has_no_index_and_it_is_said(folder, capsys):
    (folder / "odd.bed").write_text("c1\t50\t60\nc1\t10\t20\n")
    run(source=("odd.bed",))
    assert (
        "note: odd.bed: is not sorted by place; answered in its order, without index\n"
        in capsys.readouterr().err
    )
    assert [row[1] for row in rows_of(folder / "out.bed.gz")[2:]] == ["50", "10"]
    assert not (folder / "out.bed.gz.tbi").exists()


def test_a_fine_tuned_model_gives_probabilities_around_summits(folder):
    peaks = "".join(
        f"c1\t{at}\t{at + 60}\tp{at}\t0\t.\t1\t-1\t-1\t{at % 50}\n" for at in (100, 220, 405)
    )
    (folder / "in.narrowPeak").write_text(peaks)
    run(model="tuned", out="out.tsv", source=("in.narrowPeak",))
    header, *rows = rows_of(folder / "out.tsv")[1:]
    assert header[6:] == [
        "signalValue",
        "pValue",
        "qValue",
        "peak",
        "p_decoy",
        "p_donor",
        "p_acceptor",
        "why",
    ]
    values = np.array([row[10:13] for row in rows], float)
    np.testing.assert_allclose(values.sum(1), 1, atol=1e-5)
    windows = [f"c1\t{at + at % 50 - 20}\t{at + at % 50 + 20}\n" for at in (100, 220, 405)]
    (folder / "windows.bed").write_text("".join(windows))
    expected = score_elements(
        "tuned", "genome.fa", read_bed(folder / "windows.bed"), length=0
    ).values
    np.testing.assert_allclose(values, expected, atol=1e-5)


@pytest.mark.parametrize("stretch", [1 << 22, 7])
def test_a_track_of_elements_is_their_mean_where_they_overlap(folder, monkeypatch, stretch):
    monkeypatch.setattr(element_files, "_STRETCH", stretch)
    (folder / "two.bed").write_text("c1\t10\t30\nc1\t20\t40\nc10\t5\t15\n")
    run(out="out.tsv", source=("two.bed",))
    first, second, third = (float(row[7]) for row in rows_of(folder / "out.tsv")[2:])
    run("--track", "entropy", out="out.bw", source=("two.bed",))
    track = Track(folder / "out.bw", Genome("genome.fa"))
    expected = [*[first] * 10, *[(first + second) / 2] * 10, *[second] * 10, np.nan]
    np.testing.assert_allclose(track.values("c1", 10, 41), expected, rtol=1e-5)
    np.testing.assert_allclose(track.values("c10", 5, 15), third, rtol=1e-5)


def test_tiles_give_every_letter_a_value_whatever_the_contigs_asked_for(folder):
    run("--tile", "all", out="all.bw", source=(), more=())
    run("--tile", "c1,c2", out="two.bw", source=(), more=())
    track, other = Track(folder / "all.bw"), Track(folder / "two.bw")
    assert list(track.contigs) == sorted(SIZES)
    np.testing.assert_array_equal(track.values("c1", 0, 900), other.values("c1", 0, 900))
    assert np.isnan(other.values("c10", 0, 300)).all()
    values = track.values("c2", 0, 260)
    assert np.isnan(values[:100]).all()
    assert not np.isnan(values[100:]).any()
    core = Reader(OrchidModel.from_pretrained("model"), Genome("genome.fa"), 64).core
    found = score_elements("model", "genome.fa", [Interval("c1", core, 2 * core)], background=0)
    np.testing.assert_allclose(track.mean("c1", core, 2 * core), found["loglik"][0], rtol=1e-5)


def test_tiles_of_a_fine_tuned_model_share_a_value_a_stride(folder):
    run(
        "--tile",
        "c10",
        "--stride",
        20,
        "--track",
        "p_donor",
        model="tuned",
        out="t.bedGraph",
        source=(),
        more=(),
    )
    values = Track(folder / "t.bedGraph").values("c10", 0, 300)
    assert (values.reshape(15, 20) == values[::20, None]).all()
    found = score_elements("tuned", "genome.fa", [Interval("c10", 100, 120)])
    np.testing.assert_allclose(values[105], found["p_donor"][0], rtol=1e-5)


def test_tsv_goes_to_a_pipe(folder):
    words = [
        sys.executable,
        "-m",
        "orchid_genomics",
        "score-elements",
        "tuned",
        "genome.fa",
        "in.bed",
        "-o",
        "-",
    ]
    done = subprocess.run([*words, "--quiet"], capture_output=True, check=True)
    run(model="tuned", out="out.tsv", more=())
    assert done.stdout == (folder / "out.tsv").read_bytes()
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ((), {"out": "out.vcf"}, "--out: 'out.vcf' names no format; .bed.gz, .bed, .tsv.gz"),
        ((), {"source": ()}, "elements: is missing; one of the two"),
        (("--tile", "c1"), {"out": "o.bw"}, "elements: and --tile are both given; one of the two"),
        (("--tile", "c1"), {"source": ()}, "--out: 'out.bed.gz' names no format; .bw, .bigWig"),
        (
            ("--tile", "c7"),
            {"out": "o.bw", "source": ()},
            "--tile: unknown contig 'c7'; possible: c1, c2, c10",
        ),
        (
            ("--track", "x"),
            {"out": "o.bw"},
            "--track: unknown score 'x'; possible: loglik, entropy",
        ),
        ((), {"out": "in.bed"}, "--out: in.bed is the input; another name"),
        (("--passes", 65), {}, "--passes: 65; 1 (letters in sight, corrected) to 64 (masked)"),
        (("--window", 33), {}, "--window: 33 nt; an even number of letters, 64 or more"),
        ((), {"source": ("none.bed",)}, "none.bed: cannot be read (No such file or directory)"),
        ((), {"model": "none"}, "none: is no folder, and no model of that name comes along"),
        (("--shard", "4/3"), {}, "--shard: '4/3'; i/n with 1 <= i <= n"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(folder, refused, words, options, message):
    found = refused(*command(*words, **options))
    assert message in found.replace("c1, c10, c2", "c1, c2, c10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no record; a BED with at least one element"),
        ("chrQ\t1\t2\n", "no contig of genome.fa: chrQ; possible: c1, c10, c2"),
        ("c1\t5\t5\n", "line 1: start 5 is not below end 5"),
        ("c1\t5\n", "line 1: 2 columns"),
    ],
)
def test_a_bed_that_is_none_is_one_line(folder, refused, text, message):
    (folder / "odd.bed").write_text(text)
    assert message in refused(*command(source=("odd.bed",)))
