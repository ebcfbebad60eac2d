"""score-genome as a user runs it: the numbers of score-variants for every letter, in files that
other tools read, the same bytes however it was run.
"""

import gzip
import json
import re
import signal

import numpy as np
import pysam
import pysam.bcftools
import pytest
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.genome.signal import Track
from orchid_genomics.tasks import score_genome as task

pytestmark = pytest.mark.filterwarnings("always::orchid_genomics.genome.contigs.GenomeNote")

NAME = "ORCHID_LLR_UNMASKED"
SIZES = {"c2": 700, "c10": 110, "c1%d": 260}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that reads 64 letters, and a genome with a gap, lower case and an odd name."""
    letters = {name: random_letters(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    letters["c2"] = letters["c2"][:200] + "N" * 150 + letters["c2"][350:].lower()
    write_genome(tmp_path / "genome.fa", letters)
    letters_model().save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    (tmp_path / "some.bed").write_text("c10\t40\t60\nc2\t190\t210\nc2\t40\t60\nc2\t50\t71\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "BLOCK", 200)  # letters: four tiles of 48
    return tmp_path


def words(*more, out="out.vcf.gz", model="model", genome="genome.fa"):
    return ["score-genome", model, genome, "-o", out, *map(str, more)]


def run(*more, **options):
    main(words(*more, **options))


def text(path):
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def rows(path):
    lines = text(path).decode().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def letters_of(folder):
    lines = (folder / "genome.fa").read_text().splitlines()
    names = [line[1:] for line in lines[::2]]
    return dict(zip(names, [line.upper() for line in lines[1::2]], strict=True))


def scores(path):
    """(contig, position from 1, alternate) to the number as it is written."""
    numbers = {}
    for contig, position, _, _, alts, _, _, info in rows(path):
        for alt, number in zip(alts.split(","), info.split("=")[1].split(","), strict=True):
            numbers[contig, int(position), alt] = number
    return numbers


def test_every_letter_but_n_has_a_record_with_its_three_alternates(folder, capsys):
    run()
    letters = letters_of(folder)
    expected = []
    for contig, sequence in letters.items():
        for at, letter in enumerate(sequence):
            if letter != "N":
                alts = ",".join("ACGT".replace(letter, ""))
                expected.append([contig, str(at + 1), ".", letter, alts, ".", "."])
    assert [row[:7] for row in rows(folder / "out.vcf.gz")] == expected
    head = text(folder / "out.vcf.gz").decode().partition("#CHROM")[0]
    assert "##contig=<ID=c10,length=110>" in head
    assert f"##INFO=<ID={NAME},Number=A,Type=Float," in head
    assert "; window 64" in head
    assert str(folder) not in head
    said = capsys.readouterr().err
    assert "1,070 letters: 2,760 substitutions scored" in said
    assert "not scored: 150 letters N" in said


def test_the_numbers_are_those_of_score_variants(folder):
    run(out="out.vcf")
    ours = scores(folder / "out.vcf")
    rng, letters = np.random.default_rng(0), letters_of(folder)
    head = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    body, chosen = "", []
    for row in sorted(rng.choice(len(ours), 300, replace=False).tolist()):
        contig, position, alt = key = list(ours)[row]
        chosen.append(ours[key])
        body += f"{contig}\t{position}\t.\t{letters[contig][position - 1]}\t{alt}\t.\t.\t.\n"
    (folder / "in.vcf").write_text(head + body)
    scored = ["-o", "theirs.vcf", "--scores", "llr_unmasked"]
    main(["score-variants", "model", "genome.fa", "in.vcf", *scored])
    assert [row[7] for row in rows(folder / "theirs.vcf")] == [f"{NAME}={one}" for one in chosen]


def test_regions_have_the_numbers_of_the_whole_in_the_order_of_the_genome(folder):
    run()
    run("--regions", "some.bed", out="some.vcf.gz")
    some = rows(folder / "some.vcf.gz")
    places = [("c2", at) for at in (*range(41, 72), *range(191, 201))]
    places += [("c10", at) for at in range(41, 61)]
    assert [(row[0], int(row[1])) for row in some] == places
    whole = rows(folder / "out.vcf.gz")
    assert all(row in whole for row in some)


def test_regions_may_call_contigs_by_other_names(folder):
    (folder / "names.txt").write_text("c10\tNC_000010.1\n")
    (folder / "named.bed").write_text("NC_000010.1\t3\t5\n")
    run("--regions", "named.bed", "--aliases", "names.txt", out="some.vcf")
    assert [row[:2] for row in rows(folder / "some.vcf")] == [["c10", "4"], ["c10", "5"]]


@pytest.mark.parametrize("kind", ["vcf.gz", "vcf", "bw", "bedGraph"])
def test_shards_merge_to_the_bytes_of_one_run(folder, kind):
    run(out=f"one.{kind}")
    for shard in ("2/3", "1/3", "3/3"):
        run("--shard", shard, out=f"many.{kind}")
    main(["merge", f"many.{kind}.parts", "-o", f"many.{kind}"])
    assert text(folder / f"many.{kind}") == text(folder / f"one.{kind}")
    summaries = [
        json.loads((folder / f"{one}.{kind}.summary.json").read_text()) for one in ("one", "many")
    ]
    assert summaries[0] == summaries[1]


def test_a_killed_run_goes_on_to_the_same_bytes(folder, monkeypatch, refused):
    run(out="one.vcf.gz")
    answer, asked = task.Tiles.answer, []

    def stop(tiles, pieces):
        asked.append(pieces)
        if len(asked) == 5:  # two were a measurement
            signal.raise_signal(signal.SIGTERM)
        return answer(tiles, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(task.Tiles, "answer", stop)
        with pytest.raises(SystemExit, match="143"):
            run()
    assert "holds parts of this job already" in refused(*words())
    run("--resume")
    assert text(folder / "out.vcf.gz") == text(folder / "one.vcf.gz")
    assert not (folder / "out.vcf.gz.parts").exists()


def test_standard_output_is_the_same_vcf(folder, capsysbinary):
    run(out="one.vcf")
    run(out="-")
    assert capsysbinary.readouterr().out == (folder / "one.vcf").read_bytes()


def test_tabix_and_bcftools_read_it(folder):
    run()
    with pysam.TabixFile(str(folder / "out.vcf.gz")) as file:
        assert [line.split("\t")[1] for line in file.fetch("c2", 195, 352)] == (
            ["196", "197", "198", "199", "200", "351", "352"]
        )
    with pysam.VariantFile(str(folder / "out.vcf.gz")) as file:
        record = next(file.fetch("c10", 9, 10))
        assert len(record.info[NAME]) == len(record.alts) == 3


def test_bcftools_annotate_takes_the_number_of_the_right_alternate(folder):
    """One of the three alternates, two in another order, and a deletion, which has no score."""
    run()
    first, second, third = rows(folder / "out.vcf.gz")[:3]
    alts = [row[4].split(",") for row in (first, second, third)]
    head = "##fileformat=VCFv4.3\n##contig=<ID=c2>\n"
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    body = f"c2\t1\t.\t{first[3]}\t{alts[0][1]}\t.\t.\t.\n"
    body += f"c2\t2\t.\t{second[3]}\t{alts[1][2]},{alts[1][0]}\t.\t.\t.\n"
    body += f"c2\t3\t.\t{letters_of(folder)['c2'][2:5]}\t{third[3]}\t.\t.\t.\n"
    (folder / "calls.vcf").write_text(head + body)
    pysam.tabix_index("calls.vcf", preset="vcf", keep_original=True)
    options = ("-a", "out.vcf.gz", "-c", f"INFO/{NAME}", "-o", "annotated.vcf", "calls.vcf.gz")
    pysam.bcftools.annotate(*options, catch_stdout=False)
    ours = scores(folder / "out.vcf.gz")
    own = [[float(ours["c2", 1, alts[0][1]])]]
    own.append([float(ours["c2", 2, alts[1][2]]), float(ours["c2", 2, alts[1][0]])])
    infos = [row[7] for row in rows(folder / "annotated.vcf")]
    for info, numbers in zip(infos[:2], own, strict=True):
        assert list(map(float, info.split("=")[1].split(","))) == pytest.approx(numbers, rel=1e-4)
    assert infos[2] == "."


@pytest.mark.parametrize("track", ["mean", "min", "G"])
def test_a_track_says_what_the_vcf_says(folder, track):
    run(out="out.vcf")
    run("--track", track, out="out.bw")
    ours, signal_of = scores(folder / "out.vcf"), Track(folder / "out.bw")
    for contig, sequence in letters_of(folder).items():
        expected = np.full(len(sequence), np.nan)
        for at in range(len(sequence)):
            three = {alt: float(ours.get((contig, at + 1, alt), "nan")) for alt in "ACGT"}
            known = [value for value in three.values() if value == value]
            if known:
                expected[at] = {"mean": np.mean(known), "min": min(known), "G": three["G"]}[track]
        values = signal_of.values(contig, 0, len(sequence))
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)


def test_a_plan_says_how_many_how_long_and_how_large_and_writes_nothing(folder, capsys):
    before = sorted(folder.iterdir())
    run("--plan")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2,760 substitutions of 920 letters, in 24 tiles of 48 letters"
    assert lines[1].startswith("time: about 0:0")
    assert " kB in out.vcf.gz, " in lines[2]
    assert lines[2].endswith("are free")
    assert sorted(folder.iterdir()) == before


def test_a_plan_needs_no_name_and_a_job_does(folder, capsys):
    words = ["score-genome", "model", "genome.fa"]
    main([*words, "--plan"])
    assert " in genome.vcf.gz, " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("error: --out: is missing; ")


def test_a_disk_that_is_too_small_is_said_before(folder, monkeypatch, capsys):
    usage = task.shutil.disk_usage(folder)
    monkeypatch.setattr(task.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    run()
    message = r"note: out.vcf.gz: disk: .* 1.0 kB are free, which is not enough"
    assert re.match(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"out": "out.bed"}, "error: --out: 'out.bed' names no format; .vcf.gz, .vcf, "),
        ({"more": ("--track", "min")}, "error: --track: is not for .vcf.gz"),
        ({"more": ("--track", "max"), "out": "o.bw"}, "error: --track: unknown value 'max'; mean,"),
        ({"more": ("--window", 63)}, "error: --window: 63 nt; "),
        ({"model": "tuned"}, "error: model: has no letters head; a model that pretrain wrote"),
        ({"more": ("--regions", "none.bed")}, "error: --regions: none.bed has no record"),
        ({"more": ("--regions", "gap.bed")}, "error: --regions: has no letter A, C, G or T"),
        ({"more": ("--regions", "off.bed")}, "error: off.bed line 1: end 111 is off contig c10"),
        ({"more": ("--regions", "lost.bed")}, "error: lost.bed: unknown contig 'chrQ'"),
        ({"more": ("--regions", "no.bed")}, "error: no.bed: cannot be read"),
        ({"more": ("--shard", "3/2")}, "error: --shard: '3/2'"),
        ({"out": "genome.fa"}, "error: --out: genome.fa is the input"),
    ],
)
def test_what_cannot_be_is_one_line(folder, refused, more, message):
    head = {"kind": "pooled", "task": "multiclass", "labels": ["a", "b", "c"]}
    random_model(head).save_pretrained(folder / "tuned", {"labelled": {"lengths": [40, 40]}})
    beds = {"none": "", "gap": "c2\t210\t300\n", "off": "c10\t1\t111\n", "lost": "chrQ\t1\t2\n"}
    for name, rows_of_bed in beds.items():
        (folder / f"{name}.bed").write_text(rows_of_bed)
    more = dict(more)
    line = refused(*words(*more.pop("more", ()), **more))
    assert line.startswith(message)


def test_another_genome_is_said_with_both_names(folder, capsys):
    origin = {"fasta": "yeast.fa", "sha256": "0" * 64, "contigs": {"I": 5000}}
    letters_model().save_pretrained(
        folder / "other", {"report": {"length": 64}, "genomes": [origin]}
    )
    run(model="other")
    said = capsys.readouterr().err
    assert "was trained on yeast.fa, and genome.fa is another genome" in said
