"""Labelled elements: the letters of BEDs and FASTAs are those that scoring reads."""

import numpy as np
import pytest
from labelled_tables import fault, turned

from orchid_genomics.data.labelled.beds import BedRecipe, ClassBed, ClassFasta, FastaRecipe
from orchid_genomics.data.labelled.sets import open_set, read_rows
from orchid_genomics.genome.bed import read_records
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.score.elements.element_scores import read
from orchid_genomics.sequence import DNA


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


@pytest.mark.filterwarnings("ignore::orchid_genomics.errors.GenomeNote")
def test_other_names_of_contigs_come_from_a_file_of_aliases(tmp_path):
    (tmp_path / "g.fa").write_text(">one\nACGTTGCAAC\n")
    (tmp_path / "names.txt").write_text("NC_1.1\tone\n")
    (tmp_path / "a.bed").write_text("NC_1.1\t2\t6\tyes\nNC_1.1\t4\t8\tno\n")
    classes = (ClassBed(bed=tmp_path / "a.bed"),)
    names = tmp_path / "names.txt"
    rows = read_rows(BedRecipe(fasta=tmp_path / "g.fa", aliases=names, classes=classes))
    assert [place.contig for place in rows.places] == ["one", "one"]
    assert [DNA.decode(tokens) for tokens in rows.tokens] == ["GTTG", "TGCA"]
