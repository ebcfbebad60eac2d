"""VCF as it stands: lines keep their bytes, ALTs that are no letters have their reason, and wrong
lines are named.
"""

import gzip
import os
import threading

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchid_genomics.errors import InputError
from orchid_genomics.genome.vcf import (
    SAMPLE,
    Vcf,
    info_text,
    no_letters,
    number,
    with_contigs,
    with_lines,
)
from orchid_genomics.sequence import Variant

HEAD = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=900>\n"
HEAD += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def vcf(tmp_path, *lines, head=HEAD):
    path = tmp_path / "in.vcf"
    path.write_text(head + "".join(line + "\n" for line in lines))
    return Vcf(path)


def one(tmp_path, line, head=HEAD):
    (record,) = vcf(tmp_path, line, head=head).records()
    return record


def test_a_place_leaves_0_based(tmp_path):
    record = one(tmp_path, "chr1\t100\trs1\tacg\tA,T\t.\t.\t.")
    assert (record.start, record.name, record.ref, record.alts) == (99, "rs1", "ACG", ("A", "T"))
    assert record.alleles("1") == [Variant("1", 99, "ACG", "A"), Variant("1", 99, "ACG", "T")]
    assert record.alleles(None) == ["unknown_contig"] * 2
    assert str(record) == "chr1:100 ACG>A,T"


@pytest.mark.parametrize(
    ("alt", "why"),
    [
        ("A", ""),
        ("*", "star"),
        ("<DEL>", "symbolic"),
        ("<*>", "symbolic"),
        ("<NON_REF>", "symbolic"),
        ("G]17:198982]", "breakend"),
        ("]13:123456]T", "breakend"),
        ("[chr1:5[A", "breakend"),
        ("C[<ctg1>:7[", "breakend"),
        (".TGCA", "breakend"),
        ("G.", "breakend"),
        ("N", "not_acgt"),
        ("R", "not_acgt"),
        ("1", "not_acgt"),
    ],
)
def test_what_is_no_letters(alt, why):
    assert no_letters(alt) == why


def test_no_alternate_is_one_answer(tmp_path):
    assert one(tmp_path, "chr1\t100\t.\tA\t.\t.\t.\t.").alleles("chr1") == ["no_alt"]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("chr1\t1\t.\tA\tC\t.\t.\t.", "chr1\t1\t.\tA\tC\t.\t.\tX=1"),
        ("chr1\t1\t.\tA\tC\t.\t.\t", "chr1\t1\t.\tA\tC\t.\t.\tX=1"),
        ("chr1\t1\t.\tA\tC\t1e+01\tq;r\tA=0.10;B", "chr1\t1\t.\tA\tC\t1e+01\tq;r\tA=0.10;B;X=1"),
        ("chr1\t1\t.\tA\tC\t.\t.\tA=1;", "chr1\t1\t.\tA\tC\t.\t.\tA=1;X=1"),
        ("chr1\t1\t.\tA\tC\t.\t.\tA\r", "chr1\t1\t.\tA\tC\t.\t.\tA;X=1\r"),
        ("chr1\t1\t\u00e9\tA\tC\t.\t.\tA", "chr1\t1\t\u00e9\tA\tC\t.\t.\tA;X=1"),
    ],
)
def test_info_is_added_and_nothing_else_changes(tmp_path, line, after):
    path = tmp_path / "in.vcf"
    path.write_bytes((HEAD + line + "\n").encode())
    (record,) = Vcf(path).records()
    assert record.with_info("X=1").decode() == after + "\n"


def test_samples_are_left_as_they_are(tmp_path):
    head = HEAD.replace("INFO", "INFO\tFORMAT\ta\tb")
    record = one(tmp_path, "chr1\t1\t.\tA\tC\t.\t.\t.\tGT:PL\t0/1:.,.\t.", head=head)
    assert record.with_info("X=1") == b"chr1\t1\t.\tA\tC\t.\t.\tX=1\tGT:PL\t0/1:.,.\t.\n"


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_is_read_back(value):
    assert float(number(value)) == pytest.approx(value, rel=1e-4)
    assert not number(value).startswith("-0.0000")


def test_info_of_several_alts_and_reasons():
    assert number(float("nan")) == "."
    assert number(-0.0) == "0"
    names = ["LLR", "H", "WHY"]
    assert (
        info_text(names, [(0.5, None), (None, None)], ["", "star"]) == "LLR=0.5,.;H=.,.;WHY=.,star"
    )
    assert info_text(names, [(0.5, 2.0)], [""]) == "LLR=0.5;H=2"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t1\t.\tA\tC\t.\t.", "line 4: 7 columns; 8 between tabs, as in the header"),
        ("chr1\t1\t.\tA\tC\t.\t.\t.\tGT", "line 4: 9 columns; 8 between tabs, as in the header"),
        ("chr1\tx\t.\tA\tC\t.\t.\t.", "line 4: POS 'x'; a whole number, 1-based"),
        ("chr1\t-5\t.\tA\tC\t.\t.\t.", "line 4: POS '-5'; a whole number, 1-based"),
        ("\t1\t.\tA\tC\t.\t.\t.", "line 4: CHROM ''; the name of a contig"),
        ("chr1\t1\t.\t\tC\t.\t.\t.", "line 4: REF '' and ALT 'C'; letters, or what VCF allows"),
        ("chr1\t1\t.\tA\tC,\t.\t.\t.", "line 4: REF 'A' and ALT 'C,'; letters, or what VCF allows"),
        (
            "chr1\t1\t.\tA\tC\t.\t.\tX=2",
            "line 4: holds INFO X already; another --prefix, or bcftools annotate -x INFO/X",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError) as error:
        vcf(tmp_path, line).survey(["X"])
    assert str(error.value).endswith(message)


def test_a_name_in_the_header_is_taken_too(tmp_path):
    head = HEAD.replace("##contig", '##INFO=<ID=X,Number=1,Type=Float,Description="x">\n##contig')
    with pytest.raises(InputError, match="holds INFO X already"):
        vcf(tmp_path, head=head).survey(["X"])
    assert vcf(tmp_path, head=head).survey(["Y"]).records == 0


def test_a_survey_counts_and_samples_evenly(tmp_path):
    count = 5 * SAMPLE
    file = vcf(
        tmp_path, *(f"chr{1 + (i > count // 2)}\t{i + 1}\t.\tA\tC\t.\t.\t." for i in range(count))
    )
    found = file.survey()
    assert (found.records, found.ordered, found.farthest) == (count, True, count)
    assert found.contigs == {"chr1": count // 2 + 1, "chr2": count - count // 2 - 1}
    assert SAMPLE <= len(found.sample) <= 2 * SAMPLE
    assert {b - a for (a, _), (b, _) in zip(found.sample, found.sample[1:], strict=False)} == {
        found.step
    }


@pytest.mark.parametrize("places", [[("a", 5), ("a", 4)], [("a", 1), ("b", 1), ("a", 2)]])
def test_what_is_not_in_order(tmp_path, places):
    assert (
        not vcf(tmp_path, *(f"{name}\t{at}\t.\tA\tC\t.\t.\t." for name, at in places))
        .survey()
        .ordered
    )


def test_gzip_bgzip_and_bcf_hold_the_same(tmp_path):
    lines = [f"chr1\t{i + 1}\t.\tA\tC\t.\tPASS\t." for i in range(5)]
    plain = vcf(tmp_path, *lines)
    (tmp_path / "a.vcf.gz").write_bytes(gzip.compress(plain.path.read_bytes()))
    pysam.tabix_compress(str(plain.path), str(tmp_path / "b.vcf.gz"))
    with (
        pysam.VariantFile(str(plain.path)) as file,
        pysam.VariantFile(str(tmp_path / "c.bcf"), "wb", header=file.header) as out,
    ):
        for record in file:
            out.write(record)
    expected = [record.line for record in plain.records()]
    for name in ("a.vcf.gz", "b.vcf.gz", "c.bcf"):
        assert [record.line for record in Vcf(tmp_path / name).records()] == expected
    assert Vcf(tmp_path / "a.vcf.gz").survey().checksum == plain.survey().checksum


def test_lines_go_before_the_names_of_columns():
    header = HEAD.encode().splitlines(keepends=True)
    assert with_lines(header, ["##x"]).decode() == HEAD.replace("#CHROM", "##x\n#CHROM")
    assert with_contigs(HEAD.encode(), ["chr1", "chr2"]).decode() == HEAD.replace(
        "#CHROM", "##contig=<ID=chr2>\n#CHROM"
    )


PLAIN = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
RECORD = b"chr1\t5\t.\tA\tC\t.\t.\t.\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path, pack):
    path = tmp_path / "a.vcf"
    path.write_bytes(pack(b"\xef\xbb\xbf" + PLAIN + RECORD))
    vcf = Vcf(path)
    assert vcf.header[0] == b"##fileformat=VCFv4.2\n"
    assert list(vcf.lines()) == [(3, RECORD.rstrip())]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_as_often_as_asked(tmp_path, pack):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(pack(PLAIN + RECORD * 30_000),))
    writer.start()
    vcf = Vcf(path)
    writer.join()
    assert vcf.survey().records == sum(1 for _ in vcf.records()) == 30_000
    assert vcf.shown == str(path)


@pytest.mark.parametrize("word", [b"9" * 5000, b"1" + b"0" * 19, "٣".encode(), b"1e3", b"-1", b""])
def test_a_place_that_is_no_number_is_one_short_line(tmp_path, word):
    path = tmp_path / "a.vcf"
    path.write_bytes(PLAIN + RECORD.replace(b"5", word))
    with pytest.raises(InputError, match=r"a\.vcf line 3: POS .*; a whole number") as caught:
        list(Vcf(path).records())
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAIN + RECORD.replace(b"A", b"A\0"), r"a\.vcf line 3: a NUL byte"),
        (
            (PLAIN + RECORD).replace(b"\n", b"\r"),
            r"a\.vcf line 1: CR within a line; lines that end",
        ),
        ((PLAIN + RECORD).decode().encode("utf-16"), r"a\.vcf: is no text \(UTF-8\) but UTF-16"),
    ],
)
def test_what_is_no_text_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.vcf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(Vcf(path).records())


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "bomb.vcf.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(PLAIN)
        for _ in range(80):
            file.write(b"A" * 1_000_000)
    with pytest.raises(InputError, match=r"bomb\.vcf\.gz line 3: more than 67,108,863 characters"):
        list(Vcf(path).records())
