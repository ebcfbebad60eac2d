"""Planted words are called as seqlets and matched to their motif; the table says where they lie."""

import sys

import numpy as np
import pytest

from orchid_genomics.errors import InputError, MachineError
from orchid_genomics.explain.motif_files import Motif, read_motifs
from orchid_genomics.explain.motifs import (
    COLUMNS,
    call_seqlets,
    match_motifs,
    row_of,
    write_matches,
)
from orchid_genomics.sequence import DNA, Interval

WORD = "TGACTCATGC"
PLACES = [Interval("chr1", 1000, 1200, "+", "a"), Interval("chr1", 3000, 3150, "-", "b")]


@pytest.fixture(scope="module")
def planted():
    """Two regions with the word, the second time on the other strand; both signs."""
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 4, len(place)).astype(np.uint8) for place in PLACES]
    values = [rng.normal(0, 0.02, len(place)) for place in PLACES]
    word = DNA.encode(WORD)
    tokens[0][50:60], tokens[1][20:30] = word, DNA.reverse_complement(word)
    values[0][50:60] += 1
    values[1][20:30] -= 1
    return tokens, values


@pytest.fixture(scope="module")
def motifs():
    """The word among motifs of random letters."""
    rng = np.random.default_rng(1)
    own = Motif("W", "word", np.eye(4)[DNA.encode(WORD)].T * 0.96 + 0.01)
    return [
        *(Motif(f"R{i}", f"random {i}", rng.dirichlet(np.full(4, 0.3), 10).T) for i in range(60)),
        own,
    ]


def test_planted_words_are_seqlets_of_their_sign(planted):
    seqlets = call_seqlets(planted[1])
    first, second = (next(each for each in seqlets if each.region == region) for region in (0, 1))
    assert abs(first.start - 50) <= 3
    assert abs(second.end - 30) <= 3
    assert first.attribution > 5
    assert second.attribution < -5
    assert all(0 <= each.start < each.end <= len(PLACES[each.region]) for each in seqlets)


def test_they_match_their_motif_on_the_right_strand_and_q_is_benjamini_hochberg(planted, motifs):
    tokens, values = planted
    strong = [each for each in call_seqlets(values) if abs(each.attribution) > 5]
    matches = match_motifs(strong, tokens, motifs, nearest=len(motifs))
    best = [max((m for m in matches if m.seqlet is each), key=lambda m: -m.p) for each in strong]
    assert [match.motif.id for match in best] == ["W"] * len(strong)
    assert {match.seqlet.region: match.orientation for match in best} == {0: "+", 1: "-"}
    for match in best:
        assert match.seqlet.start + match.offset == (50 if match.seqlet.region == 0 else 20)
    ordered = sorted(matches, key=lambda match: match.p)
    least = 1.0
    for rank in range(len(ordered), 0, -1):
        least = min(least, ordered[rank - 1].p * len(ordered) / rank)
        assert ordered[rank - 1].q == pytest.approx(least)


def test_the_table_says_where_on_the_genome(planted, motifs, tmp_path):
    tokens, values = planted
    matches = match_motifs(call_seqlets(values), tokens, motifs)
    write_matches(tmp_path / "m.tsv", matches, PLACES, tokens)
    head, *lines = (tmp_path / "m.tsv").read_text().splitlines()
    assert head == "#" + "\t".join(COLUMNS)
    assert len(lines) == len(matches)
    row = row_of(next(match for match in matches if match.seqlet.region == 1), PLACES, tokens)
    assert (row["contig"], row["strand"], row["region"], row["motif"]) == ("chr1", "-", "b", "W")
    assert abs(row["start"] - (3150 - 30)) <= 3
    assert row["end"] - row["start"] == len(row["letters"])


def test_nothing_is_called_where_there_is_nothing(motifs):
    assert call_seqlets([]) == []
    assert call_seqlets([np.zeros(50)]) == []
    assert match_motifs([], [], motifs) == []
    with pytest.raises(InputError, match=r"^threshold: 2; above 0, 1 at most$"):
        call_seqlets([np.ones(5)], threshold=2)


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("tangermeme.seqlet", lambda: call_seqlets([np.arange(50.0)])),
        ("pyjaspar", lambda: read_motifs("jaspar:TBP")),
    ],
)
def test_a_missing_library_is_the_line_that_installs_it(monkeypatch, library, call):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MachineError) as error:
        call()
    name = library.split(".")[0]
    assert str(error.value) == f'{name}: is not installed; pip install "orchid-genomics[explain]"'
