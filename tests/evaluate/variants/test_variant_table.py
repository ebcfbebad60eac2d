"""Variants with their labels from every kind of file, and the words said about those that are not
right.
"""

import gzip
from pathlib import Path

import numpy as np
import pysam
import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.variants.variant_table import (
    VariantTable,
    classify,
    join,
    one_answer,
    read_names,
    read_table,
)
from orchid_genomics.sequence import Variant

VCF = """##fileformat=VCFv4.2
##contig=<ID=20,length=1000>
##INFO=<ID=S,Number=A,Type=Float,Description="a score">
##INFO=<ID=R,Number=R,Type=Float,Description="by allele">
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="class">
##INFO=<ID=F,Number=0,Type=Flag,Description="flag">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
20\t11\t.\tA\tC,G\t.\t.\tS=0.5,.;R=1,2,3;CLNSIG=Pathogenic,drug;F
20\t20\t.\tca\tC\t.\t.\tS=-2
20\t30\t.\tA\t.\t.\t.\tS=.
"""


def test_what_has_no_ending_is_known_by_its_first_bytes(tmp_path):
    (tmp_path / "pipe").write_bytes(gzip.compress(VCF.encode()))
    assert read_names(tmp_path / "pipe") == ("S", "R", "CLNSIG", "F")
    assert read_table(tmp_path / "pipe", ["S"]).values == {"S": ["0.5", "", "-2"]}


def test_a_table_between_commas_is_read_as_one_between_tabs(tmp_path):
    rows = [
        ["chrom", "pos", "ref", "alt", "class"],
        ["1", "5", "a", "C", "x"],
        ["2", "7", "G", "T", "."],
    ]
    tables = []
    for mark in "\t,":
        (tmp_path / "t").write_text("".join(mark.join(row) + "\n" for row in rows))
        tables.append(read_table(tmp_path / "t", ["class"]))
        assert read_names(tmp_path / "t") == tuple(rows[0])
    assert (
        tables[0].variants
        == tables[1].variants
        == [Variant("1", 4, "A", "C"), Variant("2", 6, "G", "T")]
    )
    assert tables[0].values == tables[1].values == {"class": ["x", ""]}
    (tmp_path / "t").write_text('chrom,pos,ref,alt,class\n1,5,A,C,"x,y"\n')
    assert read_table(tmp_path / "t", ["class"]).values == {"class": ["x,y"]}


@pytest.fixture(params=["vcf", "vcf.gz", "bcf"])
def scored(request, tmp_path):
    path = tmp_path / f"x.{request.param}"
    if request.param == "bcf":
        (tmp_path / "x.vcf").write_text(VCF.replace("ca\t", "CA\t"))
        with (
            pysam.VariantFile(str(tmp_path / "x.vcf")) as text,
            pysam.VariantFile(str(path), "wb", header=text.header) as file,
        ):
            for record in text:
                file.write(record)
    elif request.param == "vcf.gz":
        path.write_bytes(gzip.compress(VCF.encode()))
    else:
        path.write_text(VCF)
    return path


@pytest.mark.parametrize("size", [0, 2, 25])
def test_a_bgzip_block_of_impossible_size_is_one_line(tmp_path, size):
    path = tmp_path / "x.vcf.gz"
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(VCF.encode())
    data = bytearray(path.read_bytes())
    data[16:18] = size.to_bytes(2, "little")
    path.write_bytes(data)
    for read in (read_names, lambda damaged: read_table(damaged, {"S"})):
        with pytest.raises(InputError, match=r"x\.vcf\.gz: cannot be read \(damaged"):
            read(path)


def test_a_row_an_alt_with_its_own_value(scored):
    assert read_names(scored) == ("S", "R", "CLNSIG", "F")
    table = read_table(scored, {"S", "R", "CLNSIG", "F", "absent"})
    assert table.variants == [
        Variant("20", 10, "A", "C"),
        Variant("20", 10, "A", "G"),
        Variant("20", 19, "CA", "C"),
    ]
    np.testing.assert_array_equal(table.numbers("S", "scores"), [0.5, np.nan, -2])
    np.testing.assert_array_equal(table.numbers("R", "scores"), [2, 3, np.nan])
    assert table.values["CLNSIG"] == ["Pathogenic,drug", "Pathogenic,drug", ""]
    assert table.values["F"] == ["true", "true", ""]
    assert table.about["S"] == "a score"


def test_a_name_that_is_not_there_is_told_those_that_are(scored):
    with pytest.raises(InputError, match=r"scores: .* has no 'T'; possible: S, R, CLNSIG, F"):
        read_table(scored, {"T"}).numbers("T", "scores")
    with pytest.raises(
        InputError,
        match=r"scores: 'CLNSIG' of .* is no number \(could not convert .*\); a column of numb",
    ):
        read_table(scored, {"CLNSIG"}).numbers("CLNSIG", "scores")


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "parquet"])
def test_tables_with_places_from_one(tmp_path, form):
    path = tmp_path / f"x.{form}"
    rows = {
        "#chrom": ["chr20", "chr20"],
        "pos": [11, 20],
        "ref": ["a", "CA"],
        "alt": ["C", "C"],
        "llr": ["-1.5", ""],
    }
    if form == "parquet":
        import pyarrow
        from pyarrow import parquet

        rows["llr"] = [-1.5, None]
        parquet.write_table(
            pyarrow.table({key.lstrip("#"): value for key, value in rows.items()}), path
        )
    else:
        lines = [
            "## a note",
            "\t".join(rows),
            *("\t".join(map(str, row)) for row in zip(*rows.values(), strict=True)),
        ]
        text = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(text) if form == "tsv.gz" else text)
    table = read_table(path, {"llr"})
    assert table.variants == [Variant("chr20", 10, "A", "C"), Variant("chr20", 19, "CA", "C")]
    np.testing.assert_array_equal(table.numbers("llr", "scores"), [-1.5, np.nan])
    assert "llr" in read_names(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; a line of column names"),
        (
            "chrom\tstart\tref\talt\n",
            "has no column for the position; one named pos; there are: chrom, start, ref, alt",
        ),
        ("chrom\tpos\tref\talt\nc\t0\tA\tC\n", "line 2: position '0'; a whole number, 1-based"),
        ("chrom\tpos\tref\talt\nc\t1\tA\n", "line 2: 3 columns; 4, as its first line names"),
        ("chrom\tpos\tref\talt\tx\tx\n", "two columns are named 'x'; one name each"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, words):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "x.tsv", set())


def test_labels_join_by_change_whatever_the_padding_and_the_contig_name(scored, tmp_path):
    labels = tmp_path / "labels.tsv"
    labels.write_text(
        "chrom\tpos\tref\talt\tlabel\nchr20\t21\tA\t\tbad\nchr20\t9\tGCAT\tGCGT\tgood\nchr20\t11\tA\tG\tfine\nchr7\t1\tA\tC\tbad\n"
    )
    with pytest.warns(UserWarning, match="contigs renamed"):
        table = join(read_table(scored, {"S"}), read_table(labels, {"label"}))
    assert table.values["label"] == ["", "good", "bad"]
    assert table.names[-1] == "label"


def test_labels_of_other_variants_are_no_labels(scored, tmp_path):
    (tmp_path / "labels.tsv").write_text("chrom\tpos\tref\talt\tlabel\n20\t999\tA\tC\tbad\n")
    with pytest.raises(
        InputError, match=r"labels.tsv: none of its 1 variants is among the 3 of .*; the same build"
    ):
        join(read_table(scored, {"S"}), read_table(tmp_path / "labels.tsv", {"label"}))


def test_classes_are_whole_values_or_all_of_their_words():
    texts = [
        "Pathogenic",
        "Pathogenic|Likely_pathogenic",
        "Pathogenic|Uncertain",
        "Benign/Likely_benign",
        "Benign",
        "",
    ]
    found = classify(
        texts, ["Pathogenic", "Likely_pathogenic"], ["Benign", "Likely_benign"], "CLNSIG"
    )
    assert found.tolist() == [1, 1, -1, 0, 0, -1]
    whole = classify(texts, ["Pathogenic|Uncertain"], ["Benign"], "CLNSIG")
    assert whole.tolist() == [-1, -1, 1, -1, 0, -1]


@pytest.mark.parametrize(
    ("positive", "negative", "words"),
    [
        ((), ("b",), r"positive: no value of K is named; possible: a \(2\), b \(1\)"),
        (("a",), (), r"negative: no value of K is named; possible: a \(2\), b \(1\)"),
        (("a",), ("c", "d"), r"negative: no variant has K c or d; possible: a \(2\), b \(1\)"),
    ],
)
def test_a_class_without_a_row_is_told_the_values(positive, negative, words):
    with pytest.raises(InputError, match=words):
        classify(["a", "a", "b", ""], positive, negative, "K")


def test_a_variant_of_both_classes_has_no_answer_and_one_said_twice_has_one():
    variants = [Variant("c", at, "A", "C") for at in (1, 1, 2, 2, 3, 3, 4)]
    variants[3] = Variant("c", 1, "GA", "GC")  # the change at 2, with a letter more
    values = {"class": ["x", "y", "x", "x", "", "x", "y"]}
    table = VariantTable(Path("t"), variants, values, ("class",))
    keep, contradictory = one_answer(table, np.array([1, 0, 1, 1, -1, 1, 0]))
    assert contradictory.tolist() == [True, True, False, False, False, False, False]
    assert keep.tolist() == [False, False, True, False, False, True, True]
