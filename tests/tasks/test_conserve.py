"""Conservation among related genomes: changed letters show as themselves, on either strand."""

import numpy as np
import pytest
from random_models import random_letters, write_genome

from orchid_genomics.errors import InputError
from orchid_genomics.genome.signal import Track
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.conserve import conserve, default_size

LETTERS = {"b": random_letters(900), "a": random_letters(600, 1)}
PLACES = [120, 300, 333, 700]


def turn(letters: str) -> str:
    return DNA.decode(DNA.reverse_complement(DNA.encode(letters)))


def change(letters: str, places: list[int]) -> str:
    row = list(letters)
    for at in places:
        row[at] = "ACGT"["CGTA".index(row[at])]
    return "".join(row)


@pytest.fixture
def genomes(tmp_path):
    write_genome(tmp_path / "own.fa", LETTERS | {"b": "N" * 20 + LETTERS["b"][20:]})
    changed = change(LETTERS["b"], PLACES)
    # Cut, turned and renamed: nothing is aligned.
    write_genome(tmp_path / "near.fa", {"x": turn(changed[:500]), "y": changed[480:]})
    write_genome(tmp_path / "far.fa", {"z": random_letters(900, 7)})
    return tmp_path


@pytest.mark.parametrize("name", ["out.bw", "out.bedGraph"])
def test_changed_letters_alone_are_not_conserved(genomes, name):
    shares = conserve(
        genomes / "own.fa", [genomes / "near.fa", genomes / "far.fa"], genomes / name, k=12
    )
    track = Track(genomes / name)
    values = track.values("b", 0, 900)
    assert np.array_equal(track.values("a", 0, 600), np.zeros(600))
    assert np.isnan(values[:20]).all()
    assert sorted(np.flatnonzero(values[20:] == 0) + 20) == PLACES
    assert set(np.unique(values[20:])) == {0.0, 0.5}
    near, far = shares.values()
    assert near == pytest.approx((880 - len(PLACES)) / 1480)
    assert far == 0


def test_changes_close_together_hide_what_lies_between(genomes):
    near = {"x": change(LETTERS["b"], [400, 408])}
    write_genome(genomes / "two.fa", near)
    conserve(genomes / "own.fa", [genomes / "two.fa"], genomes / "out.bw", k=12)
    values = Track(genomes / "out.bw").values("b", 20, 900)
    hidden = np.flatnonzero(values == 0) + 20
    assert hidden.tolist() == list(range(400, 409))


def test_sizes_follow_the_largest_relative():
    assert default_size(12_000_000) == 16
    assert default_size(3_100_000_000) == 20
    assert default_size(1) == 8


@pytest.mark.parametrize(
    ("relatives", "options", "message"),
    [
        (["own.fa"], {}, "is named twice; a related genome, each once"),
        (["near.fa", "near.fa"], {}, "is named twice"),
        ([], {}, "there is none; one FASTA of a related genome, or more"),
        (["near.fa"], {"k": 40}, "k: 40; 8 to 31"),
        (["near.fa"], {"out": "out.tsv"}, "names no track"),
    ],
)
def test_what_cannot_be_meant_is_one_line(genomes, relatives, options, message):
    out = genomes / options.pop("out", "out.bw")
    with pytest.raises(InputError, match="^.*" + message):
        conserve(genomes / "own.fa", [genomes / name for name in relatives], out, **options)
    assert not out.exists()
