"""Labelled tables: what stands in which column, and the words for what is wrong with a row."""

import gzip

import numpy as np
import pytest
from labelled_tables import HEADER, fault, lines, table, turned

from orchid_genomics.data.labelled.sets import open_set
from orchid_genomics.data.labelled.tables import TableRecipe
from orchid_genomics.errors import GenomeNote
from orchid_genomics.sequence import DNA


def test_a_table_of_a_spreadsheet_begins_with_a_mark_and_a_column_stands_once(tmp_path):
    recipe = table(tmp_path, lines())
    recipe.path.write_text(recipe.path.read_text().lstrip("#"), encoding="utf-8-sig")
    assert open_set(recipe).places is not None
    double = fault(table(tmp_path, [f"{line}\t5" for line in lines()], f"{HEADER}\tlabel"))
    assert (
        "has 2 columns 'label'; its columns: chrom, start, end, strand, label, split, sequence,"
        " label" in double
    )


def test_a_table_gives_sequences_answers_splits_and_places(tmp_path):
    found = open_set(table(tmp_path, lines()))
    assert (found.task.name, found.labels, found.stranded) == ("binary", ("0", "1"), True)
    assert [len(found.rows(split)) for split in ("train", "validation", "test")] == [4, 4, 4]
    assert found.target.tolist() == [row % 2 for row in range(12)]
    assert DNA.decode(found.tokens[5]) == turned(5)
    assert (found.places[5].contig, found.places[5].start, found.places[5].strand) == (
        "chr3",
        500,
        "+",
    )
    assert "share letters of the genome with training rows: 0" in found.notes[-1]


def test_gzip_csv_and_a_file_for_each_split_read_the_same(tmp_path):
    whole = open_set(table(tmp_path, lines()))
    packed = tmp_path / "set.tsv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "set.tsv").read_bytes()))
    again = open_set(TableRecipe(path=packed))
    paths = {}
    for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
        paths[split] = tmp_path / f"{split}.csv"
        rows = [line.split("\t") for line in lines() if line.split("\t")[5] == word]
        paths[split].write_text(
            "\n".join(["sequence,label", *(f"{row[6]},{row[4]}" for row in rows)]) + "\n"
        )
    parts = open_set(TableRecipe(**paths))
    order = np.argsort(whole.split, kind="stable")
    for other, rows in ((again, np.arange(12)), (parts, order)):
        assert all(
            np.array_equal(a, whole.tokens[row]) for a, row in zip(other.tokens, rows, strict=True)
        )
        assert np.array_equal(other.target, whole.target[rows])
        assert np.array_equal(other.split, whole.split[rows])


def test_several_columns_are_several_numbers_or_bits(tmp_path):
    rows = [f"{turned(row)},{row % 2},{row // 2 % 2},{row / 3:.3f}" for row in range(90)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["sequence,a,b,x", *rows]) + "\n")
    assert open_set(TableRecipe(path=path, label=("a", "b"))).task.name == "multilabel"
    found = open_set(TableRecipe(path=path, label=("a", "x")))
    assert (found.task.name, found.labels, found.target.shape) == (
        "regression",
        ("a", "x"),
        (90, 2),
    )


@pytest.mark.parametrize("files", ["one table", "a table a split"])
def test_bits_whose_leading_zeros_a_spreadsheet_ate_are_restored_and_said(tmp_path, files):
    bits = ["010", "001", "110", "000", "100", "011"]
    header = HEADER.replace("label", "label:CTCF,MAX,SP1")
    eaten = lines(36, lambda r: int(bits[r // 3 % 6]))
    whole = open_set(table(tmp_path, lines(36, lambda r: bits[r // 3 % 6]), header))
    if files == "one table":
        found = open_set(table(tmp_path, eaten, header))
    else:
        paths = {}
        for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
            rows = [line for line in eaten if line.split("\t")[5] == word]
            paths[split] = table(tmp_path, rows, header, f"{split}.tsv").path
        found = open_set(TableRecipe(**paths))
    assert found.task.name == "multilabel"
    assert found.labels == ("CTCF", "MAX", "SP1")
    order = np.argsort(whole.split, kind="stable") if files != "one table" else np.arange(36)
    assert np.array_equal(found.target, whole.target[order])
    counts = [int(note.rpartition(": ")[2]) for note in found.notes if "zeros restored" in note]
    assert sum(counts) == 24
    assert not any("zeros restored" in note for note in whole.notes)


@pytest.mark.parametrize("word", ["0101", "012", "1.0"])
def test_a_label_that_is_no_word_of_bits_is_refused(tmp_path, word):
    rows = lines(36, lambda r: word if r == 4 else ("010", "101")[r // 3 % 2])
    line = fault(table(tmp_path, rows, HEADER.replace("label", "label:CTCF,MAX,SP1")))
    assert f"line 6: the label '{word}' is not 3 bits; a 0 or 1 for each name" in line


def test_a_strand_column_counts_without_coordinates(tmp_path):
    rows = [
        f"{turned(r)}\t{r % 2}\t{'+-'[r // 2 % 2]}\t{('train', 'dev', 'test')[r % 3]}"
        for r in range(24)
    ]
    recipe = table(tmp_path, rows, "sequence\tlabel\tstrand\tsplit")
    assert open_set(recipe).stranded
    assert open_set(
        table(
            tmp_path,
            [row.replace("\t-\t", "\t-1\t").replace("\t+\t", "\t1\t") for row in rows],
            "sequence\tlabel\tstrand\tsplit",
        )
    ).stranded
    assert not open_set(
        table(
            tmp_path,
            [row.replace("\t-\t", "\t+\t") for row in rows],
            "sequence\tlabel\tstrand\tsplit",
        )
    ).stranded
    words = [row.replace("\t-\t", "\tminus\t").replace("\t+\t", "\tplus\t") for row in rows]
    assert open_set(table(tmp_path, words, "sequence\tlabel\tstrand\tsplit")).stranded
    odd = [rows[0].replace("+", "sideways")]
    line = fault(table(tmp_path, odd, "sequence\tlabel\tstrand\tsplit"))
    assert "line 2: strand 'sideways'; +, - or ., or words such as 1, -1, plus, minus" in line


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("50", "40", "line 2: start 50 is not below end 40; 0-based half-open"),
        ("9" * 5000, "40", "line 2: start '9999999999999999999999999999999999999... and end '40'"),
        ("\u0663", "40", "line 2: start '\u0663' and end '40' are not whole numbers"),
    ],
    ids=["backwards", "5,000 digits", "Arabic digits"],
)
def test_a_place_that_is_none_is_one_line(tmp_path, start, end, message):
    row = lines(1)[0].split("\t")
    row[1:3] = start, end
    line = fault(table(tmp_path, ["\t".join(row)]))
    assert message.replace("...", "...'") in line
    assert len(line) < 300


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (
            [*lines(), "chr1\t1\t41\t+\t\ttrain\t" + turned(50)],
            HEADER,
            "line 14: the label is missing; a label on every",
        ),
        (lines(12, lambda r: 1), HEADER, "all 12 rows have the label '1'; two classes at least"),
        (
            [*lines(), "chr1\t1\t41\t+\t2\ttest\t" + turned(50)],
            HEADER,
            "line 14: the label '2' of test is unknown in train",
        ),
        (
            [*lines(), "chr1\t1\t41\t+\t1\ttest\t"],
            HEADER,
            "line 14: the sequence is empty; letters",
        ),
        (
            [*lines(), "chr1\t1\t41\t+\t1\ttest\tNNNNnnnn"],
            HEADER,
            "line 14: all 8 letters are N; a sequence with letters",
        ),
        (
            [*lines(), "chr1\t1\t41\t+\t1\ttest\tAC*T"],
            HEADER,
            "line 14: '*' at letter 3 is no nucleotide code",
        ),
        (
            [*lines(), "chr1\t1\t41\t+\t1\tlater\t" + turned(50)],
            HEADER,
            "the split 'later' is unknown; train, validation",
        ),
        ([*lines(), "chr1\t1\t41"], HEADER, "line 14: 3 columns; 7 as in the header"),
        (
            [*lines(), "chr1\tone\t41\t+\t1\ttest\t" + turned(5)],
            HEADER,
            "line 14: start 'one' and end '41' are not whole",
        ),
        (
            lines(),
            HEADER.replace("sequence", "seq"),
            "has no column 'sequence'; its columns: chrom, start, end, strand",
        ),
        (
            lines(),
            HEADER.replace("label", "y"),
            "has no column 'label'; its columns: chrom, start, end, strand, y, split",
        ),
        (
            lines(12, split=lambda r: "train"),
            HEADER,
            "no row is in validation; a split column, contigs, or shares",
        ),
        (
            lines(12, label=lambda r: 1 if r % 3 == 2 else r // 3 % 2),
            HEADER,
            (
                "all 4 rows of test have the label '1'; answers that differ in train, validation"
                " and test"
            ),
        ),
        ([], HEADER, "has no row; one labelled sequence at least"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and value != HEADER else "",
)
def test_bad_rows_are_one_line_with_what_was_possible(tmp_path, rows, header, message):
    assert message in fault(table(tmp_path, rows, header))


def test_a_table_of_rna_reads_as_dna_and_says_so(tmp_path):
    rows = [line.rsplit("\t", 1) for line in lines()]
    rna = ["\t".join([start, letters.replace("T", "U")]) for start, letters in rows]
    with pytest.warns(GenomeNote, match="letters U are read as T"):
        found = open_set(table(tmp_path, rna))
    whole = open_set(table(tmp_path, lines(), name="dna.tsv"))
    assert all(np.array_equal(a, b) for a, b in zip(found.tokens, whole.tokens, strict=True))
