"""score-variants and merge as a user runs them: nothing lost, nothing changed, the same bytes
however it was run.
"""

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pysam
import pytest
from random_models import REPEATS, letters_model, random_letters, random_model, write_genome

from orchid_genomics.cli import main
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.variants.variant_scores import score_variants
from orchid_genomics.sequence import Variant
from orchid_genomics.tasks import score_variants as variants_task

HEADER = """##fileformat=VCFv4.2
##source=by hand
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
##FILTER=<ID=q10,Description="low">
##contig=<ID=c1>
##contig=<ID=c2>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob
"""


@pytest.fixture
def folder(tmp_path):
    """A model, a genome, and in.vcf: 60 variants of all kinds in order, with samples."""
    letters = random_letters(900)
    letters = (
        letters[:400]
        + REPEATS
        + letters[400 + len(REPEATS) : 700]
        + "N" * 20
        + letters[720:].lower()
    )
    write_genome(tmp_path / "genome.fa", {"c1": letters, "c2": random_letters(300, 1)})
    model = letters_model()
    model.save_pretrained(tmp_path / "model", {"report": {"length": 64}})
    (tmp_path / "in.vcf").write_text(HEADER + "".join(record + "\n" for record in records(letters)))
    return tmp_path


def records(letters):
    """Lines of c1: SNV, MNV, insertions, deletions, one or several ALTs, odd but legal fields."""
    rng, lines = np.random.default_rng(3), []
    for i, place in enumerate(sorted(rng.choice(680, 60, replace=False).tolist())):
        ref = letters[place : place + 1 + i % 3]
        other = "ACGT"[("ACGT".index(ref[0]) + 1) % 4] + ref[1:]
        alt = (other, ref + "TG", ref[0] if len(ref) > 1 else other, f"{other},{ref}A,*")[i % 4]
        info = (".", "AF=0.10", "AF=1e-05;X", "Y=a,b;")[i % 4]
        lines.append(
            f"c1\t{place + 1}\trs{i}\t{ref}\t{alt}\t3e+01\tPASS\t{info}\tGT:ZZ\t0|1:.\t./.:a b"
        )
    return lines


@pytest.fixture(autouse=True)
def spoken():
    """Notes and warnings are lines on stderr here, as they are for a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield


def run(folder, *words, out="out.vcf.gz", source="in.vcf"):
    main(
        [
            "score-variants",
            *(str(folder / name) for name in ("model", "genome.fa", source)),
            "-o",
            str(folder / out),
            *words,
        ]
    )
    return folder / out


def text(path):
    return gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()


def body(path):
    return [line for line in text(path).splitlines() if not line.startswith("#")]


def without_ours(line, names="ORCHID_"):
    words = line.split("\t")
    kept = re.sub(rf"(^|;){names}[A-Z_0-9]+=[^;]*", "", words[7])
    return "\t".join([*words[:7], kept or ".", *words[8:]])


def info(line):
    return dict(
        pair.split("=") for pair in line.split("\t")[7].split(";") if pair.startswith("ORCHID_")
    )


# What comes out


def test_every_record_keeps_its_line_and_gains_info(folder, capsys):
    out = run(folder)
    before, after = body(folder / "in.vcf"), body(out)
    assert [without_ours(line) for line in after] == [
        line.replace("Y=a,b;", "Y=a,b") for line in before
    ]
    head = [line for line in text(out).splitlines() if line.startswith("#")]
    own = [line for line in head if "ORCHID" in line or line.startswith("##orchid")]
    assert [line for line in head if line not in own] == HEADER.splitlines()
    model = OrchidModel.from_pretrained(folder / "model")
    assert own[0].startswith(f"##orchid-genomics=0.1.0; model {model.hash()}; genome ")
    assert own[0].endswith("; scores llr,indel; window 64; on REF mismatch skip")
    assert all("Number=A" in line for line in own[1:])
    with pysam.VariantFile(str(out)) as file:  # which also reads the index
        assert len(list(file.fetch("c1", 100, 400))) == sum(
            100 < int(line.split("\t")[1]) <= 400 for line in before
        )
    said = capsys.readouterr().err
    assert "60 records, 90 ALTs: 75 scored" in said
    assert "not scored: 15 star (ALT is * (deleted by another record))" in said
    assert json.loads((folder / "out.vcf.gz.summary.json").read_text())["reasons"] == {"star": 15}


def test_the_numbers_are_those_of_python(folder):
    after = body(run(folder))
    variants, said = [], {"LLR": [], "INDEL": [], "INDEL_LETTERS": []}
    for line in after:
        contig, place, _, ref, alts = line.split("\t")[:5]
        for i, alt in enumerate(alts.split(",")):
            if alt != "*":
                variants.append(Variant(contig, int(place) - 1, ref, alt))
                for name, numbers in said.items():
                    word = info(line)[f"ORCHID_{name}"].split(",")[i]
                    numbers.append(np.nan if word == "." else float(word))
    found = score_variants(folder / "model", folder / "genome.fa", variants)
    for name, numbers in said.items():
        assert np.allclose(found[name.lower()], numbers, rtol=1e-4, equal_nan=True)
    assert np.isfinite(found.values).any(1).all()


def test_one_answer_an_alt_with_its_reason(folder, capsys):
    letters = Genome(folder / "genome.fa").letters("c1", 0, 900).decode()
    wrong = next(base for base in "ACGT" if base != letters[9])
    rows = [
        ("c1", 0, "A", "C", "off_contig"),
        ("c1", 10, wrong, letters[9], "ref_mismatch"),
        ("c1", 20, letters[19], "<DEL>", "symbolic"),
        ("c1", 21, letters[20], f"{letters[20]}]c2:5]", "breakend"),
        ("c1", 22, letters[21], "*", "star"),
        ("c1", 23, letters[22], ".", "no_alt"),
        ("c1", 24, letters[23], f"<NON_REF>,{'C' if letters[23] != 'C' else 'A'}", "symbolic,."),
        ("c1", 25, letters[24], "R", "not_acgt"),
        ("c1", 26, letters[25], letters[25].lower(), "no_change"),
        ("c1", 710, "A", "C", "n"),
        ("c1", 711, "N", "C", "n"),
        ("c1", 740, letters[739].upper(), "C" if letters[739] != "c" else "A", None),
        ("c1", 900, letters[899:], "C" if letters[899] != "c" else "A", None),
        ("c1", 900, letters[899:] + "A", "A", "off_contig"),
        ("c2", 99999, "A", "C", "off_contig"),
        ("decoy", 5, "A", "C", "unknown_contig"),
        ("c1", 100, letters[99:140], letters[99], "too_long"),
    ]
    lines = [f"{contig}\t{place}\t.\t{ref}\t{alt}\t.\t.\t." for contig, place, ref, alt, _ in rows]
    sites = HEADER.replace("\tFORMAT\tann\tbob", "")
    (folder / "odd.vcf").write_text(sites + "\n".join(lines))  # no line break at the end
    out = run(folder, source="odd.vcf")
    assert (
        "odd.vcf: is not sorted by place; it is answered in its order, without an index"
        in capsys.readouterr().err
    )
    after = body(out)
    assert [line.split("\t")[:7] for line in after] == [line.split("\t")[:7] for line in lines]
    assert [info(line).get("ORCHID_WHY") for line in after] == [why for *_, why in rows]
    for line, (*_, alt, why) in zip(after, rows, strict=True):
        numbers = info(line)["ORCHID_LLR"].split(",")
        assert len(numbers) == len(alt.split(","))
        assert [number == "." for number in numbers] == [
            word != "." for word in (why or ".").split(",")
        ]
    assert not (folder / "out.vcf.gz.tbi").exists()


def test_every_format_says_the_same(folder):
    pq = pytest.importorskip("pyarrow.parquet")
    whole = body(run(folder))
    assert body(run(folder, out="out.vcf")) == whole
    rows = [line.split("\t") for line in body(run(folder, out="out.tsv.gz"))]
    assert (
        len(list(pysam.TabixFile(str(folder / "out.tsv.gz")).fetch("c1", 0, 900)))
        == len(rows)
        == 90
    )
    table = pq.read_table(run(folder, out="out.parquet")).to_pydict()
    assert list(table) == [
        "chrom",
        "pos",
        "id",
        "ref",
        "alt",
        "type",
        "llr",
        "indel",
        "indel_letters",
        "why",
    ]
    assert [str(place) for place in table["pos"]] == [row[1] for row in rows]
    llr = [word for line in whole for word in info(line)["ORCHID_LLR"].split(",")]
    assert [row[6] for row in rows] == llr
    assert [value for value in table["llr"] if value is not None] == pytest.approx(
        [float(w) for w in llr if w != "."], rel=1e-4
    )
    with pysam.VariantFile(str(run(folder, out="out.bcf"))) as file:
        bcf = [value for record in file.fetch("c1") for value in record.info["ORCHID_LLR"]]
    assert [value for value in bcf if value is not None] == pytest.approx(
        [float(w) for w in llr if w != "."], rel=1e-4
    )
    again = run(folder, "--prefix", "AGAIN", source="out.bcf", out="again.vcf")
    assert [info(line)["ORCHID_LLR"] for line in body(again)] == [
        info(line)["ORCHID_LLR"] for line in whole
    ]
    assert all(line.count("AGAIN_LLR=") == 1 for line in body(again))


def test_a_pipe_in_and_out(folder, monkeypatch):
    run(folder, out="out.vcf")
    out = io.BytesIO()
    given = io.TextIOWrapper(io.BytesIO((folder / "in.vcf").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    main(["score-variants", str(folder / "model"), str(folder / "genome.fa"), "-", "-o", "-"])
    assert out.getvalue() == (folder / "out.vcf").read_bytes()


def test_line_breaks_of_windows_stay(folder):
    raw = (folder / "in.vcf").read_text().replace("\tFORMAT\tann\tbob", "")
    raw = "".join(
        "\t".join(line.split("\t")[:8]).rstrip("\n") + "\r\n" for line in raw.splitlines()
    )
    (folder / "in.vcf").write_bytes(raw.encode())
    made = run(folder, out="out.vcf").read_bytes().decode().split("\n")
    assert made.pop() == ""
    assert all(line.endswith("\r") for line in made)
    assert all("\r" not in line[:-1] for line in made)


def test_a_place_beyond_512_mb_is_indexed_by_csi(folder):
    with (folder / "in.vcf").open("a") as file:
        file.write("c2\t600000000\t.\tA\tC\t.\t.\t.\tGT\t0|0\t0|0\n")
    out = run(folder)
    assert not (folder / "out.vcf.gz.tbi").exists()
    with pysam.VariantFile(str(out)) as file:
        assert [record.pos for record in file.fetch("c2", 599_999_000, 600_000_001)] == [
            600_000_000
        ]


def test_names_of_contigs_are_mapped(folder, capsys):
    text_ = (folder / "genome.fa").read_text()
    (folder / "genome.fa").write_text(text_.replace(">c1", ">chr1").replace(">c2", ">chr2"))
    (folder / "in.vcf").write_text(
        (folder / "in.vcf").read_text().replace("c1\t", "1\t").replace("ID=c", "ID=")
    )
    after = body(run(folder))
    assert "in.vcf: contigs renamed to those of genome.fa: 1 -> chr1" in capsys.readouterr().err
    assert after[0].startswith("1\t")
    assert "ORCHID_WHY" not in after[0]


def test_a_fine_tuned_model_says_delta(folder):
    random_model({"kind": "pooled", "labels": ("no", "yes")}).save_pretrained(
        folder / "model", {"report": {"length": 64}}
    )
    after = body(run(folder))
    assert all("ORCHID_DELTA_YES=" in line for line in after)


def test_a_ladder_of_windows_says_whether_context_helped(folder, capsys):
    after = body(run(folder, "--window", "64,128", "--scores", "llr"))
    assert set(info(after[0])) == {"ORCHID_LLR_64", "ORCHID_LLR_128"}
    said = capsys.readouterr().err
    assert re.search(
        r"llr_128 against llr_64: r -?\d\.\d+, mean shift [+-]\d\.\d+, mean distance \d\.\d+", said
    )
    verdict = "(more context helped|it did worse|no clear difference)"
    assert re.search(
        rf"masked REF letters: \d\.\d{{4}} bits at 64 nt, \d\.\d{{4}} at 128 nt: {verdict} \(", said
    )
    assert re.search(
        r"edge sensitivity, ends of the 64-nt window exchanged: log-odds change by", said
    )


# However it is run


def test_shards_merge_to_the_bytes_of_one_run(folder, monkeypatch):
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 7)
    whole = text(run(folder, out="whole.vcf.gz"))
    for shard in ("3/3", "1/3", "2/3"):
        run(folder, "--shard", shard)
    assert not (folder / "out.vcf.gz").exists()
    main(["merge", str(folder / "out.vcf.gz.parts"), "-o", str(folder / "out.vcf.gz")])
    assert text(folder / "out.vcf.gz") == whole
    summaries = [
        json.loads((folder / f"{name}.vcf.gz.summary.json").read_text())
        for name in ("whole", "out")
    ]
    assert summaries[0] == summaries[1]
    assert pysam.TabixFile(str(folder / "out.vcf.gz")).contigs == ["c1"]


SLOW = """
import sys, time
from orchid_genomics.score.reader import Reader
from orchid_genomics.cli import main
from orchid_genomics.tasks import score_variants
score_variants.BLOCK = 7
forget, blocks = Reader.forget, []
def slow(self):
    blocks.append(1)
    if len(blocks) > 3:
        print("busy", flush=True)
        while True:  # a signal that comes just before one long sleep is heard after it
            time.sleep(0.05)
    forget(self)
Reader.forget = slow
main(sys.argv[1:])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_killed_and_resumed(folder, number, code, monkeypatch):
    words = [
        "score-variants",
        str(folder / "model"),
        str(folder / "genome.fa"),
        str(folder / "in.vcf"),
    ]
    words += ["-o", str(folder / "out.vcf.gz")]
    killed = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], stdout=-1, stderr=-1, text=True, env=os.environ
    )
    assert killed.stdout.readline() == "busy\n"
    killed.send_signal(number)
    _, err = killed.communicate(timeout=120)
    assert killed.returncode == code
    if code == 143:
        assert (
            err.splitlines()[-1] == "stopped: 3 of 9 blocks are saved; --resume goes on from there"
        )
    assert not (folder / "out.vcf.gz").exists()
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 7)
    resumed = run(folder, "--resume")
    assert not (folder / "out.vcf.gz.parts").exists()
    assert text(resumed) == text(run(folder, out="whole.vcf.gz"))


def test_neighbours_and_order_are_nothing_to_a_record(folder):
    scores = ("--scores", "llr,llr_unmasked,indel,embedding,entropy")
    whole = dict(zip(body(folder / "in.vcf"), body(run(folder, *scores)), strict=True))
    some = list(whole)[::-7]
    (folder / "in.vcf").write_text(HEADER + "\n".join(some) + "\n")
    after = body(run(folder, *scores))
    assert after == [whole[line] for line in some]


# What is refused


def test_another_build_is_named_before_any_work(folder, refused):
    write_genome(folder / "genome.fa", {"c1": random_letters(900, 7), "c2": random_letters(300, 8)})
    message = refused(
        "score-variants",
        folder / "model",
        folder / "genome.fa",
        folder / "in.vcf",
        "-o",
        folder / "o.vcf.gz",
    )
    assert re.search(
        r"in.vcf: REF is not the genome's at \d\d of 60 sampled records \(the first: c1:\d+ ",
        message,
    )
    assert message.endswith("; wrong build? genome.fa must be its genome")


def test_swapped_alleles_are_named(folder, refused):
    rows = [line.split("\t") for line in body(folder / "in.vcf") if len(line.split("\t")[3]) == 1]
    lines = ["\t".join([*row[:3], row[4].split(",")[0], row[3], *row[5:]]) for row in rows]
    (folder / "in.vcf").write_text(HEADER + "\n".join(lines) + "\n")
    message = refused(
        "score-variants",
        folder / "model",
        folder / "genome.fa",
        folder / "in.vcf",
        "-o",
        folder / "o.vcf.gz",
    )
    assert re.search(r"the genome has ALT at \d+ of them: are REF and ALT swapped\?$", message)


def test_ref_mismatches_by_choice(folder, refused, capsys):
    lines = body(folder / "in.vcf")
    words = lines[0].split("\t")
    words[3] = next(base for base in "ACGT" if base not in words[3] + words[4])
    (folder / "in.vcf").write_text(HEADER + "\n".join(["\t".join(words), *lines[1:]]) + "\n")
    assert info(body(run(folder))[0])["ORCHID_WHY"] == "ref_mismatch"
    assert "ORCHID_WHY" not in body(run(folder, "--on-ref-mismatch", "use-genome"))[0]
    files = (folder / "model", folder / "genome.fa", folder / "in.vcf")
    capsys.readouterr()
    message = refused(
        "score-variants", *files, "-o", folder / "o.vcf.gz", "--on-ref-mismatch", "error"
    )
    assert re.search(
        r"c1:\d+ .>. \(1-based\): REF is ., the genome has .; --on-ref-mismatch skip, or"
        r" use-genome",
        message,
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda t: t.replace("c1\t", "x\t"),
            "in.vcf: unknown contig 'x'; possible: c1, c2 in genome.fa",
        ),
        (
            lambda t: t.replace("##fileformat", "##format"),
            "is no VCF: its first line is not ##fileformat=VCF",
        ),
        (
            lambda t: t.replace("#CHROM", "#CHR"),
            "in.vcf line 8: no line of column names before the first record; #CHROM",
        ),
        (
            lambda t: t.replace("\trs3\t", "\t"),
            "in.vcf line 12: 10 columns; 11 between tabs, as in the header",
        ),
        (
            lambda t: re.sub(r"c1\t\d+\trs3", "c1\t5e3\trs3", t),
            "in.vcf line 12: POS '5e3'; a whole number, 1-based",
        ),
        (
            lambda t: t + "#late\n",
            "in.vcf line 69: a header line among the records; all of them before #CHROM",
        ),
        (
            lambda t: t.replace("AF=0.10", "ORCHID_LLR=1"),
            "holds INFO ORCHID_LLR already; another --prefix, or bcftools",
        ),
        (
            lambda t: t.replace("ID=AF", "ID=ORCHID_WHY"),
            "in.vcf: holds INFO ORCHID_WHY already; another --prefix",
        ),
        (lambda t: "", "in.vcf: is empty; a VCF or BCF"),
    ],
)
def test_a_wrong_file_is_one_line(folder, refused, edit, message):
    (folder / "in.vcf").write_text(edit((folder / "in.vcf").read_text()))
    said = refused(
        "score-variants",
        folder / "model",
        folder / "genome.fa",
        folder / "in.vcf",
        "-o",
        folder / "o.vcf.gz",
    )
    assert message in said


@pytest.mark.parametrize("size", [-28, 500, -1])
def test_a_truncated_file(folder, refused, size):
    pysam.tabix_compress(str(folder / "in.vcf"), str(folder / "in.vcf.gz"))
    (folder / "in.vcf.gz").write_bytes((folder / "in.vcf.gz").read_bytes()[:size])
    files = (folder / "model", folder / "genome.fa", folder / "in.vcf.gz")
    assert "is truncated (no bgzip end-of-file block); copy it again" in refused(
        "score-variants", *files, "-o", folder / "o.vcf.gz"
    )
    (folder / "in.vcf.gz").write_bytes(gzip.compress((folder / "in.vcf").read_bytes())[:size])
    assert re.search(
        "is truncated gzip; copy it again|cannot be read",
        refused("score-variants", *files, "-o", folder / "o.vcf.gz"),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["-o", "out.txt"],
            "--out: 'out.txt' names no format; .vcf.gz, .vcf, .bcf, .tsv.gz, .tsv, .parquet, or -",
        ),
        (["-o", "-", "--resume"], "--out: - leaves no parts to resume or merge; a file"),
        (["-o", "in.vcf"], "in.vcf is the input; another name"),
        (["-o", "o.vcf", "--prefix", "2b"], "--prefix: '2b'; a letter, then letters, digits and _"),
        (["-o", "o.vcf", "--shard", "4/3"], "--shard: '4/3'; i/n with 1 <= i <= n, such as 3/10"),
        (["-o", "o.vcf", "--scores", "cadd"], "--scores: unknown score 'cadd'; possible: llr"),
        (
            ["-o", "o.vcf", "--window", "63"],
            "--window: 63 nt; an even number of letters, 64 or more",
        ),
        (["-o", "no/o.vcf"], "cannot be written (No such file or directory)"),
    ],
)
def test_wrong_words(folder, refused, words, message, monkeypatch):
    monkeypatch.chdir(folder)
    assert message in refused("score-variants", "model", "genome.fa", "in.vcf", *words)


def test_a_changed_job_is_not_resumed(folder, refused, capsys):
    run(folder, "--shard", "1/2")
    capsys.readouterr()
    files = (folder / "model", folder / "genome.fa", folder / "in.vcf")
    message = refused(
        "score-variants", *files, "-o", folder / "out.vcf.gz", "--resume", "--window", "128"
    )
    assert (
        "out.vcf.gz.parts: belongs to another job: window 64 -> 128; the same inputs and options"
        in message
    )
    message = refused("merge", folder / "out.vcf.gz", "-o", folder / "out.tsv.gz")
    assert (
        message
        == "error: --out: 'out.tsv.gz', but the parts are vcf.gz; a name that ends in .vcf.gz"
    )
    absent = folder / "absent.vcf.gz.parts"
    message = refused("merge", absent, "-o", folder / "out.vcf.gz")
    assert message.startswith(f"error: {absent}: holds no parts of a job")
    assert "holds no parts of a job" in refused(
        "merge", folder / "model", "-o", folder / "out.vcf.gz"
    )


def test_another_calibration_is_another_job(folder, refused, capsys):
    words = [
        "calibrate",
        str(folder / "model"),
        str(folder / "genome.fa"),
        "--sites",
        "100",
        "--scores",
        "llr",
    ]
    for seed in ("0", "1"):
        main([*words, "--seed", seed, "-o", str(folder / f"cal{seed}.json")])
    run(
        folder,
        "--shard",
        "1/1",
        "--scores",
        "llr",
        "--calibration",
        str(folder / "cal0.json"),
        out="whole.vcf.gz",
    )
    assert "ORCHID_LLR_Z" in text(folder / "whole.vcf.gz").upper()
    run(folder, "--shard", "1/2", "--scores", "llr", "--calibration", str(folder / "cal0.json"))
    files = (folder / "model", folder / "genome.fa", folder / "in.vcf", "-o", folder / "out.vcf.gz")
    capsys.readouterr()
    message = refused(
        "score-variants",
        *files,
        "--scores",
        "llr",
        "--shard",
        "2/2",
        "--calibration",
        folder / "cal1.json",
    )
    assert "belongs to another job: calibration " in message


# Inputs that are not what they seem

PLAIN = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def write_vcf(path, rows):
    path.write_text(PLAIN + "".join("\t".join(map(str, row)) + "\t.\t.\t.\n" for row in rows))


def test_a_pipe_is_read_as_a_file(folder):
    plain = run(folder, "--quiet")
    os.mkfifo(folder / "pipe.vcf")
    writer = threading.Thread(
        target=lambda: (folder / "pipe.vcf").write_bytes((folder / "in.vcf").read_bytes())
    )
    writer.start()
    piped = run(folder, "--quiet", out="piped.vcf.gz", source="pipe.vcf")
    writer.join()
    assert piped.read_bytes() == plain.read_bytes()


def test_ref_n_is_the_letter_of_the_genome_and_said(folder, capsys):
    letters = Genome(folder / "genome.fa").letters("c1", 0, 900).decode()
    long = letters[299:307]
    written = [(300, "N", letters[299] + "ACG"), (300, "N" * 8, "N"), (300, long, "N")]
    meant = [(300, letters[299], letters[299] + "ACG"), (300, long, long[0]), (300, long, long[0])]
    answers = []
    for name, rows in (("n.vcf", written), ("plain.vcf", meant)):
        write_vcf(folder / name, [("c1", at, ".", ref, alt) for at, ref, alt in rows])
        lines = body(run(folder, "--on-ref-mismatch", "error", out=f"{name}.out.vcf", source=name))
        answers.append([info(line) for line in lines])
        said = capsys.readouterr().err
        noted = "n.vcf: REF has N at 2 records; the genome's letters are read there" in said
        assert noted == (name == "n.vcf")
    assert answers[0] == answers[1]
    assert all("ORCHID_WHY" not in each for each in answers[0])


def test_a_vcf_of_other_contigs_is_refused_with_both_lists(folder, refused):
    write_vcf(folder / "other.vcf", [("13", 5, ".", "A", "C"), ("14", 9, ".", "A", "C")])
    words = [folder / "model", folder / "genome.fa", folder / "other.vcf", "-o", folder / "o.vcf"]
    line = refused("score-variants", *words)
    assert "13" in line
    assert "c1" in line


def test_a_vcf_that_is_rewritten_while_it_is_read_is_refused(folder, refused, monkeypatch):
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 16)
    answer = variants_task.Variants.answer

    def rewrite(self, records):
        os.utime(folder / "in.vcf", ns=(0, 1))
        return answer(self, records)

    monkeypatch.setattr(variants_task.Variants, "answer", rewrite)
    words = [folder / "model", folder / "genome.fa", folder / "in.vcf", "-o", folder / "o.vcf"]
    line = refused("score-variants", *words, "--quiet")
    assert "in.vcf: was changed while it was read; a file that nobody writes to" in line


def test_a_bcf_keeps_info_and_what_it_cannot_hold_is_refused_before_any_work(folder, refused):
    letters = Genome(folder / "genome.fa").letters("c1", 0, 900).decode()
    ends = ["END=10", "END=701", "."]
    head = PLAIN.replace("#CHROM", '##INFO=<ID=END,Number=1,Type=Integer,Description="e">\n#CHROM')
    alts = ["C" if letters[9] != "C" else "G", "<DEL>", "<NON_REF>"]
    rows = [
        f"c1\t{10 + i}\t.\t{letters[9 + i]}\t{alt}\t.\t.\t{end}"
        for i, (alt, end) in enumerate(zip(alts, ends, strict=True))
    ]
    (folder / "ends.vcf").write_text(head + "\n".join(rows) + "\n")
    out = run(folder, "--quiet", out="ends.bcf", source="ends.vcf")
    with pysam.VariantFile(str(out)) as file:
        kept = [without_ours(str(record).rstrip("\n")).split("\t")[7] for record in file]
    assert kept == ends
    (folder / "far.vcf").write_text(head + rows[0].replace("END=10", "END=99999999999") + "\n")
    words = [folder / "model", folder / "genome.fa", folder / "far.vcf", "-o", folder / "far.bcf"]
    assert "record 1: its INFO would not be the same in a BCF" in refused("score-variants", *words)


def test_merge_refuses_a_damaged_part_by_name(folder, refused, monkeypatch):
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 16)
    for i in (1, 2):
        run(folder, "--quiet", "--shard", f"{i}/2")
    (folder / "out.vcf.gz.parts" / "00000000.part").write_bytes(b"")
    line = refused("merge", folder / "out.vcf.gz.parts", "-o", folder / "out.vcf.gz")
    assert "00000000.part: has 0 bytes where" in line
    assert line.endswith("remove it, then resume its shard")


def test_structural_variants_are_scored_and_their_lines_kept(folder, monkeypatch, capsys):
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 2)
    letters = Genome(folder / "genome.fa").letters("c1", 0, 900).decode()
    alts = [
        (100, "<DEL>", "SVTYPE=DEL;END=112", None),
        (150, "<DUP>", "SVTYPE=DUP;SVLEN=9", None),
        (200, "<INV>", "SVTYPE=INV;END=220", None),
        (250, f"{letters[249]}[c1:261[", "SVTYPE=BND", None),
        (300, "<DEL>", "SVTYPE=DEL;END=500", "too_long"),
        (350, "<INS>", "SVTYPE=INS;SVLEN=50", "symbolic"),
        (360, f"{letters[359]}[c2:100[", "SVTYPE=BND", "breakend"),
    ]
    lines = [
        f"c1\t{place}\t.\t{letters[place - 1]}\t{alt}\t.\t.\t{info_}\tGT\t0|1\t1|1\n"
        for place, alt, info_, _ in alts
    ]
    (folder / "sv.vcf").write_text(HEADER + "".join(lines))
    after = body(run(folder, source="sv.vcf", out="sv.out.vcf"))
    assert [without_ours(line) for line in after] == [line.rstrip("\n") for line in lines]
    assert [info(line).get("ORCHID_WHY") for line in after] == [why for *_, why in alts]
    assert [info(line)["ORCHID_INDEL"] != "." for line in after] == [not why for *_, why in alts]
    said = capsys.readouterr().err
    assert "deletion 2 of 3, duplication 1 of 1, inversion 1 of 1" in said
    for shard in ("2/2", "1/2"):
        run(folder, "--shard", shard, source="sv.vcf", out="parts.vcf")
    main(["merge", str(folder / "parts.vcf.parts"), "-o", str(folder / "parts.vcf")])
    assert (folder / "parts.vcf").read_bytes() == (folder / "sv.out.vcf").read_bytes()
    rows = [line.split("\t") for line in body(run(folder, source="sv.vcf", out="sv.tsv"))]
    kinds = ["deletion", "duplication", "inversion", "deletion", "deletion", ".", "."]
    assert [row[5] for row in rows] == kinds


@pytest.fixture
def family(folder):
    """phased.vcf: 40 records close together, which ann and bob carry in many ways."""
    letters = Genome(folder / "genome.fa").letters("c1", 0, 900).decode()
    genotypes = ("0|1", "1|0", "1|1", "0|0", "0/1", "1|1", ".", "0|1")
    lines = []
    for number, place in enumerate(range(20, 380, 9)):
        ref = letters[place - 1]
        alt = (step(ref), ref + "GA", step(ref))[number % 3]
        sample = f"{genotypes[number % 8]}\t{genotypes[(number + 3) % 8]}"
        lines.append(f"c1\t{place}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t{sample}\n")
    (folder / "phased.vcf").write_text(HEADER + "".join(lines))
    return folder


def step(letter):
    return "ACGT"[("ACGT".index(letter) + 1) % 4]


def test_haplotypes_of_a_sample_are_scored_however_the_job_is_run(family, monkeypatch):
    whole = body(run(family, "--phased", "bob", source="phased.vcf", out="whole.vcf.gz"))
    lines = (family / "phased.vcf").read_text().splitlines()[8:]
    assert [without_ours(line) for line in whole] == lines
    assert any("haplotypes of bob" in line for line in head_of(family))
    for line in whole:
        genotype, own = line.split("\t")[-1], info(line)
        numbers = [
            any(own[f"ORCHID_{name}_HAP{haplotype}"] != "." for name in ("LLR", "INDEL"))
            for haplotype in (1, 2)
        ]
        carried = [allele == "1" for allele in genotype.split("|")] if "|" in genotype else []
        assert numbers == (carried or [False, False])
        why = "unphased" if "/" in genotype else "not_carried"
        assert own.get("ORCHID_WHY") == (None if any(numbers) else why)
    monkeypatch.setattr("orchid_genomics.tasks.score_variants.BLOCK", 7)
    monkeypatch.setattr("orchid_genomics.tasks.score_variants._LETTERS", 64 * 16)
    for shard in ("2/3", "3/3", "1/3"):
        run(family, "--phased", "bob", "--shard", shard, source="phased.vcf", out="parts.vcf.gz")
    main(["merge", str(family / "parts.vcf.gz.parts"), "-o", str(family / "parts.vcf.gz")])
    assert body(family / "parts.vcf.gz") == whole
    other = body(run(family, "--phased", "ann", source="phased.vcf", out="ann.vcf"))
    assert [info(line) for line in other] != [info(line) for line in whole]


def head_of(folder):
    return [line for line in text(folder / "whole.vcf.gz").splitlines() if line.startswith("##")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--phased", "eve"), "error: --phased: {}/phased.vcf has no sample 'eve'; ann, bob"),
        (("--phased", "bob", "--window", "64,128"), "error: --phased: windows of several lengths"),
        (("--phased", "bob", "--calibration", "x"), "error: --calibration: is of single letters"),
    ],
)
def test_haplotypes_that_cannot_be_are_one_line(family, refused, words, message):
    files = [family / name for name in ("model", "genome.fa", "phased.vcf")]
    line = refused("score-variants", *files, "-o", family / "x.vcf", *words)
    assert line.startswith(message.format(family))


def test_haplotypes_want_records_in_order(family, refused):
    lines = (family / "phased.vcf").read_text().splitlines(keepends=True)
    (family / "odd.vcf").write_text("".join([*lines[:8], *reversed(lines[8:])]))
    files = [family / name for name in ("model", "genome.fa", "odd.vcf")]
    line = refused("score-variants", *files, "-o", family / "x.vcf", "--phased", "bob")
    assert "--phased: " in line
    assert "odd.vcf is not sorted by place; a sorted file" in line
