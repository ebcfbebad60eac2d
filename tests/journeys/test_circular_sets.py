"""Labelled sets of circular contigs: windows over the origin, wherever the file begins."""

import csv

import numpy as np
import pytest
from random_models import random_letters, write_genome

from orchid_genomics.cli import main
from orchid_genomics.data.labelled.beds import BedRecipe, ClassBed, read_beds
from orchid_genomics.sequence import CODE
from orchid_genomics.tasks.dataset import dataset

SIZE, SHIFT, LENGTH = 9_001, 4_321, 100
LETTERS = random_letters(SIZE, 3)
# The window of the first begins before the file.
PEAKS = [(900 * number + 5, 900 * number + 35) for number in range(10)]
CIRCLES = {"one": 0, "other": SHIFT}


@pytest.fixture
def files(tmp_path):
    """One circle in two files, the second from letter SHIFT of the first on, and peaks on both."""
    for name, shift in CIRCLES.items():
        letters = LETTERS[shift:] + LETTERS[:shift]
        write_genome(tmp_path / f"{name}.fa", {"p": letters, "q": random_letters(2_000, 4)})
        places = [((start - shift) % SIZE, end - start) for start, end in PEAKS]
        lines = [f"p\t{start}\t{start + size}\tpeak{start}\n" for start, size in places]
        (tmp_path / f"{name}.bed").write_text("".join(lines))
        values = np.arange(SIZE) % 97
        rolled = np.roll(values, -shift)
        track = [f"p\t{at}\t{at + 1}\t{value}\n" for at, value in enumerate(rolled)]
        (tmp_path / f"{name}.bedGraph").write_text("".join(track))
    return tmp_path


def rows_of(path, shift):
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        start = (int(row["start"]) + shift) % SIZE
        assert int(row["end"]) - int(row["start"]) == LENGTH
        yield row["label"], row["split"], row["sequence"], row["source"], start


@pytest.mark.parametrize("negatives", ["matched", "shuffled"])
def test_a_circle_gives_the_same_set_wherever_its_file_begins(files, negatives):
    sets = []
    for name, shift in CIRCLES.items():
        report = dataset(
            files / f"{name}.bed",
            files / f"{name}.fa",
            files / f"{name}.tsv",
            length=LENGTH,
            negatives=negatives,
            ratio=2,
            circular=["p"],
        )
        assert report.values["peaks"]["overhanging"] == 0
        sets.append(sorted(rows_of(files / f"{name}.tsv", shift)))
    assert sets[0] == sets[1]
    assert len(sets[0]) == 30
    assert all(set(sequence) <= set("ACGT") for _, _, sequence, _, _ in sets[0])
    assert any(start + LENGTH > SIZE for *_, start in sets[0])


def test_labels_of_a_signal_are_read_round_the_origin(files):
    sets = []
    for name, shift in CIRCLES.items():
        words = f"dataset {name}.bed {name}.fa -o {name}.tsv --length {LENGTH} --ratio 0"
        words += f" --signal {name}.bedGraph --circular p --quiet"
        main([str(files / word) if "." in word else word for word in words.split()])
        sets.append(sorted(rows_of(files / f"{name}.tsv", shift)))
    assert sets[0] == sets[1]


def test_a_window_over_the_origin_is_held_out_whole_or_left_out(files):
    words = f"dataset one.bed one.fa -o one.tsv --length {LENGTH} --ratio 0 --circular p --quiet"
    words = [str(files / word) if "." in word else word for word in words.split()]
    main([*words, "--test", "p:8001-9001"])
    found = list(rows_of(files / "one.tsv", 0))
    assert {split: start for _, split, _, _, start in found}["test"] == PEAKS[9][0] - 35
    assert len(found) == 9
    assert not [start for *_, start in found if start + LENGTH > SIZE]


def test_a_set_of_beds_is_read_round_the_origin(files):
    read = []
    for name in CIRCLES:
        recipe = BedRecipe(
            fasta=files / f"{name}.fa",
            classes=(ClassBed(bed=files / f"{name}.bed", label="x"),),
            length=LENGTH,
            circular=("p",),
        )
        rows = read_beds(recipe)
        read.append([tokens & CODE for tokens in rows.tokens])
        assert all(0 <= place.start < SIZE for place in rows.places)
    for one, other in zip(*read, strict=True):
        assert np.array_equal(one, other)
        assert one.max() < 4
