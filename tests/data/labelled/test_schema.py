"""Labelled data in every form, and the words for what is wrong with it."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.beds import BedRecipe, ClassBed, ClassFasta, FastaRecipe
from orchid_genomics.data.labelled.epochs import Epochs
from orchid_genomics.data.labelled.hdf5 import FORMAT, ArraysRecipe, write_arrays
from orchid_genomics.data.labelled.parsing import set_for_model
from orchid_genomics.data.labelled.schema import LabelledRecipe
from orchid_genomics.data.labelled.sets import open_folds, open_set, read_rows, recipe_of
from orchid_genomics.data.labelled.splitting import keep_share
from orchid_genomics.data.labelled.tables import TableRecipe
from orchid_genomics.errors import InputError, OrchidError
from orchid_genomics.genome.bed import read_records
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.score.elements.element_scores import read
from orchid_genomics.sequence import CODE, DNA

HEADER = "#chrom\tstart\tend\tstrand\tlabel\tsplit\tsequence"
LETTERS = "ACGTTGCAACGGTTACCAGTACGATCAGCATTACGACTAGCATCGACTTCAG"


def turned(row: int, length: int = 40) -> str:
    """A sequence of its own for every row."""
    rng = np.random.default_rng(row)
    return "".join(rng.choice(list("ACGT"), length))


def lines(
    rows: int = 12, label=lambda row: row % 2, split=lambda row: ("train", "valid", "test")[row % 3]
) -> list[str]:
    return [
        f"chr{row % 3 + 1}\t{row * 100}\t{row * 100 + 40}\t{'+-'[row // 2 % 2]}\t"
        f"{label(row)}\t{split(row)}\t{turned(row)}"
        for row in range(rows)
    ]


def table(
    tmp_path, rows: list[str], header: str = HEADER, name: str = "set.tsv", **options
) -> TableRecipe:
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    return TableRecipe(path=tmp_path / name, **options)


def fault(recipe) -> str:
    with pytest.raises(OrchidError) as caught:
        open_set(recipe)
    line = str(caught.value)
    assert "\n" not in line
    return line


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


@pytest.mark.parametrize(
    ("header", "label", "task", "labels"),
    [
        ("label", lambda r: ("b", "a", "c")[r // 3 % 3], "multiclass", ("a", "b", "c")),
        ("label", lambda r: (10, 9)[r % 2], "binary", ("9", "10")),
        ("label", lambda r: f"{r * 0.5}", "regression", ("label",)),
        ("label:CTCF,MAX", lambda r: ("10", "01", "11")[r // 3 % 3], "multilabel", ("CTCF", "MAX")),
    ],
)
def test_a_task_follows_its_labels(tmp_path, header, label, task, labels):
    found = open_set(table(tmp_path, lines(36, label), HEADER.replace("label", header)))
    assert (found.task.name, found.labels) == (task, labels)
    if task in ("binary", "multiclass"):
        assert [labels[code] for code in found.target[:4]] == [str(label(row)) for row in range(4)]
    elif task == "multilabel":
        assert found.target[:2].tolist() == [[1, 0], [1, 0]]


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


def test_names_that_begin_with_a_zero_are_no_numbers(tmp_path):
    found = open_set(table(tmp_path, lines(36, lambda r: ("01", "1", "10")[r // 3 % 3])))
    assert found.labels == ("01", "1", "10")


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


def test_whole_chromosomes_are_held_out_and_families_stay_together(tmp_path):
    found = open_set(
        table(tmp_path, lines(60), validation_contigs=("chr2",), test_contigs=("chr3",))
    )
    for split, contig in (("train", "chr1"), ("validation", "chr2"), ("test", "chr3")):
        assert {found.places[row].contig for row in found.rows(split)} == {contig}
    with pytest.warns(GenomeNote, match="contigs renamed to those of set.tsv: 2 -> chr2"):
        again = open_set(
            table(tmp_path, lines(60), validation_contigs=("2",), test_contigs=("chr3",))
        )
    assert np.array_equal(again.split, found.split)
    with pytest.raises(
        InputError, match="chr3 is in both validation_contigs and test_contigs; one split a contig"
    ):
        open_set(table(tmp_path, lines(60), validation_contigs=("chr3",), test_contigs=("chr3",)))
    rows = [f"{turned(row // 4)}\t{row // 4 % 2}" for row in range(200)]  # four copies of each
    shares = open_set(
        table(tmp_path, rows, "sequence\tlabel", validation_share=0.2, test_share=0.2)
    )
    assert all(len(set(shares.split[4 * family : 4 * family + 4])) == 1 for family in range(50))
    grouped = open_set(
        table(
            tmp_path,
            [f"{turned(r)}\t{r % 2}\tg{r // 5}" for r in range(200)],
            "sequence\tlabel\tgroup",
        )
    )
    assert all(len(set(grouped.split[5 * family : 5 * family + 5])) == 1 for family in range(40))


def test_rows_that_share_letters_of_the_genome_stay_together_where_the_split_is_ours(tmp_path):
    rows = [
        f"chr1\t{row // 3 * 100 + row % 3 * 20}\t{row // 3 * 100 + row % 3 * 20 + 30}"
        f"\t{row % 2}\t{turned(row, 30)}"
        for row in range(300)
    ]  # three windows a stretch, each over the next
    rows += [
        f"chr2\t{row * 100}\t{row * 100 + 30}\t{row % 2}\t{turned(3 * row, 30)}"
        for row in range(100)
    ]  # copies
    found = open_set(table(tmp_path, rows, "chrom\tstart\tend\tlabel\tsequence", conflicts="drop"))
    assert found.notes[-1].endswith("with training rows: 0")
    assert not any("of a family" in note for note in found.notes)
    named = {len(found.rows(split)) for split in ("train", "validation", "test")}
    assert min(named) >= 12


def test_a_family_that_a_given_split_parts_is_counted(tmp_path):
    rows = [
        f"{turned(r)}\t{r % 2}\tg{r // 5}\t{('train', 'dev', 'test')[r % 3]}" for r in range(30)
    ]
    found = open_set(table(tmp_path, rows, "sequence\tlabel\tgroup\tsplit"))
    assert found.notes == (
        (
            "validation and test rows of a family (the group column, else equal letters) that is in"
            " training too: 20"
        ),
    )


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


def test_windows_that_overlap_across_splits_are_counted(tmp_path):
    rows = [*lines(), f"chr1\t10\t50\t+\t1\ttest\t{turned(99)}"]  # over row 0, which trains
    assert open_set(table(tmp_path, rows)).notes[-1].endswith("with training rows: 1")


def test_folds_test_every_row_once_and_keep_contigs_whole(tmp_path):
    recipe = table(
        tmp_path, lines(60, split=lambda row: "train")
    )  # a split of the file is set aside
    folds = open_folds(recipe, 3)
    tested = np.concatenate([fold.rows("test") for fold in folds])
    assert sorted(tested) == list(range(60))
    for fold in folds:
        assert all(
            len({fold.split[row] for row in range(60) if row % 3 == contig}) == 1
            for contig in range(3)
        )
    with pytest.raises(InputError, match=r"training\.folds: 2 folds leave none to train on"):
        open_folds(recipe, 2)


def test_a_share_of_training_is_drawn_and_said(tmp_path):
    found = open_set(table(tmp_path, lines(90), train_rows=10))
    assert len(found.rows("train")) == 10
    assert "trained on 10 rows drawn at random from 30" in found.notes


def test_a_share_of_the_families_trains_and_a_smaller_one_lies_within_a_larger(tmp_path):
    rows = [
        f"{turned(r)}\t{r % 2}\tg{r // 4}\t{'train' if r < 160 else ('dev', 'test')[r // 4 % 2]}"
        for r in range(200)
    ]
    whole = open_set(table(tmp_path, rows, "sequence\tlabel\tgroup\tsplit"))
    parts = [keep_share(whole, share) for share in (0.2, 0.5, 1)]
    trained = [{part.where[row] for row in part.rows("train")} for part in parts]
    assert trained[0] < trained[1] < trained[2]
    assert 0.3 < len(trained[1]) / 160 < 0.7
    for part in parts:
        assert all(count == 4 for count in np.bincount(part.group[part.rows("train")]) if count)
        assert len(part.rows("test")) == len(whole.rows("test"))
    with pytest.raises(InputError, match=r"training\.shares 0\.001: no training row of set\.tsv"):
        keep_share(whole, 0.001)


def test_beds_on_a_genome_are_read_on_their_strand(tmp_path):
    letters = turned(1, 3000)
    (tmp_path / "g.fa").write_text("".join(f">chr{n}\n{letters}\n" for n in (1, 2, 3)))
    rows = [(f"chr{1 + n % 3}", 60 * n, 60 * n + 40, "+-"[n // 3 % 2]) for n in range(40)]
    for label, part in (("yes", rows[:20]), ("no", rows[20:])):
        text = "".join(f"{c}\t{s}\t{e}\t{label}\t0\t{strand}\n" for c, s, e, strand in part)
        (tmp_path / f"{label}.bed").write_text(text)
    classes = (ClassBed(bed=tmp_path / "yes.bed", label="yes"), ClassBed(bed=tmp_path / "no.bed"))
    recipe = BedRecipe(
        fasta=tmp_path / "g.fa",
        classes=classes,
        validation_contigs=("chr2",),
        test_contigs=("chr3",),
        conflicts="drop",
    )
    found = open_set(recipe)
    assert found.labels == ("no", "yes")
    for row in (0, 3):
        _, start, end, strand = rows[row]
        forward = DNA.encode(letters[start:end])
        assert np.array_equal(
            found.tokens[row], DNA.reverse_complement(forward) if strand == "-" else forward
        )
    wide = open_set(recipe.model_copy(update={"length": 60}))
    assert set(wide.lengths.tolist()) == {60}
    assert (wide.places[1].start, wide.places[1].end) == (50, 110)


def test_training_on_beds_reads_the_windows_that_scoring_reads(tmp_path):
    letters = turned(1, 3000)
    (tmp_path / "g.fa").write_text("".join(f">chr{n}\n{letters}\n" for n in (1, 2, 3)))
    genome, classes = Genome(tmp_path / "g.fa"), []
    for label, tail in (("peak", "\t1\t-1\t-1\t{summit}"), ("rest", "")):
        rows = [
            (f"chr{1 + n % 3}", 100 + 60 * n, 141 + n % 2 + 60 * n, "+-"[n // 3 % 2], 7 + n % 9)
            for n in range(30)
        ]
        text = "".join(
            f"{c}\t{s}\t{e}\t.\t0\t{d}{tail.format(summit=at)}\n" for c, s, e, d, at in rows
        )
        (tmp_path / f"{label}.bed").write_text(text)
        classes.append(ClassBed(bed=tmp_path / f"{label}.bed", label=label))
    recipe = BedRecipe(
        fasta=tmp_path / "g.fa",
        classes=tuple(classes),
        length=30,
        validation_contigs=("chr2",),
        test_contigs=("chr3",),
        conflicts="drop",
    )
    found = read_rows(recipe)
    records = [record for part in classes for record in read_records(part.bed)]
    for record, tokens in zip(records, found.tokens, strict=True):
        assert np.array_equal(tokens, read(genome, record.place, 30, record.summit("")))


def test_a_fasta_for_each_class(tmp_path):
    for label, first in (("enhancer", 0), ("other", 100)):
        text = "".join(
            f">s{n}\n{turned(first + n)[:20]}\n{turned(first + n)[20:]}\n" for n in range(90)
        )
        (tmp_path / f"{label}.fa").write_text(text)
    classes = tuple(
        ClassFasta(fasta=tmp_path / f"{label}.fa", label=label) for label in ("enhancer", "other")
    )
    found = open_set(FastaRecipe(classes=classes))
    assert (found.task.name, found.labels, len(found)) == (
        "binary",
        ("other", "enhancer"),
        180,
    )  # the second is positive
    assert DNA.decode(found.tokens[90]) == turned(100)
    (tmp_path / "other.fa").write_text("ACGT\n")
    assert "other.fa line 1: is no FASTA (no > before the letters)" in fault(
        FastaRecipe(classes=classes)
    )


def test_hdf5_gives_back_what_was_written(tmp_path):
    found = open_set(table(tmp_path, lines(36)))
    write_arrays(tmp_path / "set.h5", found)
    again = open_set(recipe_of(tmp_path / "set.h5"))
    assert all(np.array_equal(a, b) for a, b in zip(again.tokens, found.tokens, strict=True))
    for name in ("target", "split", "group"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
    assert (again.labels, again.places) == (found.labels, found.places)


def tracks(tmp_path, bins: int = 10, bin: int = 4):
    path = tmp_path / "tracks.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["bin"], file.attrs["labels"] = (
            FORMAT,
            bin,
            ["plus", "minus"],
        )
        text = h5py.string_dtype()
        file.create_dataset(
            "sequence", data=[turned(row, 40 - 8 * (row % 2)) for row in range(30)], dtype=text
        )
        file.create_dataset("label", data=np.random.default_rng(0).normal(size=(30, bins, 2)))
        file.create_dataset(
            "split",
            data=[("train", "validation", "test")[row % 3] for row in range(30)],
            dtype=text,
        )
    return ArraysRecipe(path=path)


def test_tracks_have_a_number_for_every_bin_and_none_beyond_a_row(tmp_path):
    found = open_set(tracks(tmp_path))
    assert (found.task.name, found.labels, found.task.bin, found.target.shape) == (
        "regression",
        ("plus", "minus"),
        4,
        (30, 10, 2),
    )
    assert np.isfinite(found.target[0]).all()
    assert np.isnan(found.target[1, 8:]).all()
    assert "tracks.h5 row 1: 10 bins of 4 nt, labels for 9; a number for every bin" in fault(
        tracks(tmp_path, bins=9)
    )


def test_numbers_that_begin_with_zeros_are_numbers(tmp_path):
    recipe = tracks(tmp_path)
    with h5py.File(recipe.path, "a") as file:
        del file["sequence"], file["label"], file["split"]
        split = ["train"] * 4 + ["validation", "test"]
        file.create_dataset(
            "sequence", data=[turned(row, 80_000) for row in range(6)], dtype=h5py.string_dtype()
        )
        file.create_dataset("split", data=split, dtype=h5py.string_dtype())
        label = np.zeros((6, 20_000, 2), np.float32)
        label[:, ::7], label[3:, ::5] = 1, 3  # the first three rows hold 0 and 1 alone
        file.create_dataset("label", data=label)
    assert open_set(recipe).task.name == "regression"


def test_an_hdf5_of_others_is_refused(tmp_path):
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=[1, 2])
    line = fault(ArraysRecipe(path=path))
    assert (
        f"is not a labelled set of this tool (format None; holds x); attribute format = {FORMAT!r}"
        in line
    )
    for message, data in {
        "sequence holds int64; text of IUPAC letters": {"sequence": [1, 2], "label": [0, 1]},
        "label has 1 rows, sequence 2; as many of each": {"sequence": ["AC", "GT"], "label": [0]},
        "label has no rows, sequence 2; as many of each": {"sequence": ["AC", "GT"], "label": 5},
        "start holds no whole numbers; 0-based half-open places": {
            "sequence": ["AC", "GT"],
            "label": [0, 1],
            "chrom": ["a", "a"],
            "start": ["1", "2"],
            "end": [3, 4],
        },
        "theirs.h5: has 2 labels a row and 3 names (a, b, c); a name for each": {
            "sequence": ["AC", "GT"],
            "label": [[0, 1], [1, 0]],
        },
    }.items():
        with h5py.File(path, "w") as file:
            file.attrs.update({"format": FORMAT, "labels": ["a", "b", "c"]})
            for name, values in data.items():
                file[name] = values
        assert message in fault(ArraysRecipe(path=path))
    path.write_bytes(b"no HDF5")
    assert "cannot be read (no HDF5, or damaged" in fault(ArraysRecipe(path=path))
    assert "cannot be read (no such file)" in fault(ArraysRecipe(path=tmp_path / "none.h5"))


def hdf5(path, **columns) -> ArraysRecipe:
    """A file of our format; a dataset is replaced by what `columns` says, None leaves it out."""
    values = {"sequence": ["ACGT", "GGTT"], "label": [0, 1], **columns}
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        for name, value in values.items():
            if callable(value):
                value(file, name)
            elif value is not None:
                file[name] = value
    return ArraysRecipe(path=path)


def link_loop(file, name):
    file[name] = h5py.SoftLink(f"/{name}")


def raw_elsewhere(file, name):
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(b"\x01" * 16)
    file.create_dataset(name, (2,), "i8", external=[(str(secret), 0, 16)])


def virtual(file, name):
    layout = h5py.VirtualLayout((2,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file.create_virtual_dataset(name, layout)


def many_rows(file, name):
    file.create_dataset(name, (10**12,), h5py.string_dtype(), chunks=(1000,))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sequence": lambda file, name: file.create_group(name)}, "sequence is a group; a data"),
        ({"label": lambda file, name: file.create_group(name)}, "label is a group; a dataset"),
        ({"sequence": link_loop}, "sequence is a link that leads nowhere, or in a circle"),
        ({"label": link_loop}, "label is a link that leads nowhere, or in a circle"),
        (
            {"label": lambda file, name: file.update({name: h5py.ExternalLink("o.h5", "x")})},
            "label is a link to another file (o.h5); a dataset in this file",
        ),
        ({"label": raw_elsewhere}, "label keeps its data in another file; a dataset in this"),
        ({"label": virtual}, "label keeps its data in another file; a dataset in this file"),
        ({"sequence": many_rows}, "sequence declares 1,000,000,000,000 values in a file of"),
        ({"sequence": [b"AC\xff", b"GT"]}, "holds text that is not UTF-8; UTF-8 text"),
        ({"sequence": np.array([["A"], ["C"]], object)}, "sequence has 2 axes; one text a row"),
        ({"label": [1 + 2j, 2]}, "label holds complex128; text or numbers"),
        ({"label": np.zeros((2, 2, 2, 2))}, "label has 4 axes; (N,), (N, K) or (N, P, K)"),
        (
            {"chrom": ["a", "a"], "start": [5, 0], "end": [4, 4]},
            "row 1: start 5, end 4; 0-based half-open places",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_an_hdf5_that_reads_elsewhere_or_lies_is_one_line(tmp_path, columns, message):
    recipe = hdf5(tmp_path / "odd.h5", **columns)
    assert message in fault(recipe)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bin", "ten", "bin is 'ten'; a whole number of letters"),
        ("bin", -1, "bin is "),
        ("bin", [1, 2], "bin is array"),
        ("labels", "ab", "labels is 'ab'; a list of names"),
        ("labels", [1, 2], "labels is array([1, 2]); a list of names"),
    ],
)
def test_an_attribute_of_another_kind_is_one_line(tmp_path, name, value, message):
    recipe = hdf5(tmp_path / "odd.h5")
    with h5py.File(recipe.path, "a") as file:
        file.attrs[name] = value
    assert message in fault(recipe)


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


def test_a_sequence_that_is_too_long_and_classes_that_are_numbers(tmp_path):
    line = fault(table(tmp_path, lines(), longest=30))
    assert (
        "line 2: a sequence of 40 nt is longer than 30; shorter sequences, or a larger data.longest"
        in line
    )
    many = fault(table(tmp_path, lines(240, lambda r: r)))
    assert (
        "has 240 different labels, such as 0, 1, 2, 3, ... 239 (240 in all)" in many
        or "has 240 different" in many
    )
    assert 'data.task = "regression" for numbers' in many
    assert "the label 'a' is no number; numbers for a regression" in fault(
        table(tmp_path, lines(12, lambda r: "ab"[r % 2]), task="regression")
    )
    assert "no row on contig 'chr9'; possible: chr1, chr2, chr3" in fault(
        table(tmp_path, lines(), test_contigs=("chr9",))
    )


@pytest.mark.parametrize("other_strand", [False, True])
def test_a_sequence_with_another_label_in_a_later_split_is_refused_or_dropped(
    tmp_path, other_strand
):
    again = turned(0)  # row 0 trains with label 0
    if other_strand:
        again = DNA.decode(DNA.reverse_complement(DNA.encode(again)))
    unstranded = [line.replace("\t-\t", "\t+\t") for line in lines()]
    rows = [*unstranded, f"chr3\t9000\t9040\t+\t1\ttest\t{again.lower()}"]
    line = fault(table(tmp_path, rows))
    assert "train row" in line
    turned_round = " on the other strand" if other_strand else ""
    assert f"line 2: the sequence{turned_round} has another label in test" in line
    assert 'line 14); 1 such rows; data.conflicts = "drop" leaves them out' in line
    found = open_set(table(tmp_path, rows, conflicts="drop"))
    assert len(found) == 12
    assert "dropped 1 rows whose sequence has another label in a later split" in found.notes


def test_labels_are_told_apart_as_the_model_knows_them(tmp_path):
    rows = read_rows(table(tmp_path, lines(12, lambda r: ("1.0", "0")[r % 2])))
    recipe = LabelledRecipe()
    found = set_for_model(rows, task_of("binary", ("0", "1")), "test", recipe)
    assert found.target.tolist() == [1 - row % 2 for row in range(12) if row % 3 == 2]
    with pytest.raises(
        InputError, match=r"line 2: the label '1.0' is unknown; the model's labels: no, yes"
    ):
        set_for_model(rows, task_of("binary", ("no", "yes")), None, recipe)
    tested = read_rows(table(tmp_path, lines(4, split=lambda r: "test")))
    with pytest.raises(InputError, match=r"no row is in validation"):
        set_for_model(tested, task_of("binary", ("0", "1")), "validation", recipe)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 3))
def test_every_row_is_read_once_an_epoch_beside_rows_of_its_length(lengths, batch, seed):
    tokens = [np.full(length, row % 4, np.uint8) for row, length in enumerate(lengths)]
    padded = np.array([16 * -(-length // 16) for length in lengths])
    rows = np.arange(len(lengths))
    epochs = Epochs(tokens, rows, padded, batch)
    for epoch in range(2):
        seen = []
        for step in range(epoch * epochs.steps, (epoch + 1) * epochs.steps):
            examples, weights = epochs.examples(seed, step, range(batch))
            assert len(set(padded[examples])) == 1
            seen += examples[weights > 0].tolist()
            read = epochs.batch(seed, step, range(batch))
            for example, row in zip(examples, read, strict=True):
                assert np.array_equal(row[: lengths[example]], tokens[example])
                assert (row[lengths[example] :] == DNA.pad).all()
        assert sorted(seen) == rows.tolist()


def test_a_part_of_a_step_is_the_same_part_and_epochs_differ():
    tokens = [DNA.encode(turned(row)) for row in range(50)]
    epochs = Epochs(tokens, np.arange(50), np.full(50, 40), 10, flip=True)
    assert np.array_equal(epochs.batch(0, 3, range(4, 10)), epochs.batch(0, 3, range(10))[4:])
    first, second = (epochs.examples(0, step, range(10))[0] for step in (0, epochs.steps))
    assert not np.array_equal(first, second)
    read = [
        (epochs.examples(0, 2, range(10))[0][r], row)
        for r, row in enumerate(epochs.batch(0, 2, range(10)))
    ]
    turned_over = [np.array_equal(row, DNA.reverse_complement(tokens[at])) for at, row in read]
    assert 0 < sum(turned_over) < 10
    assert all(
        flipped or np.array_equal(row & CODE, tokens[at])
        for (at, row), flipped in zip(read, turned_over, strict=True)
    )
