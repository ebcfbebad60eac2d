"""Which rows train: whole contigs, families, folds and shares; rows in conflict."""

import numpy as np
import pytest
from labelled_tables import fault, lines, table, turned

from orchid_genomics.data.labelled.sets import open_folds, open_set
from orchid_genomics.data.labelled.splitting import keep_share
from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.sequence import DNA


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
