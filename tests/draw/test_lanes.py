"""Genes and elements under a picture: read from either format, in rows, pointing the right way."""

from itertools import pairwise

import numpy as np
import pytest

from orchid_genomics import draw
from orchid_genomics.sequence import Interval

GFF = """##gff-version 3
chr1\tx\tgene\t11\t40\t.\t+\t.\tID=gene:g1;Name=ABC1
chr1\tx\tmRNA\t11\t40\t.\t+\t.\tID=t1;Parent=gene:g1
chr1\tx\tCDS\t21\t40\t.\t+\t0\tID=c1;Parent=t1
chr1\tx\tgene\t51\t90\t.\t-\t.\tID=gene:g2
"""


@pytest.fixture
def genes(tmp_path) -> draw.Lane:
    path = tmp_path / "some.gff3"
    path.write_text(GFF)
    return draw.read_lane(path)


def test_genes_bear_their_symbols_and_beds_their_file_name(genes, tmp_path):
    assert [(each.name, each.start, each.end) for each in genes.intervals] == [
        ("ABC1", 10, 40),
        ("g2", 50, 90),
    ]
    assert [(part.start, part.end) for part in genes.thick] == [(20, 40)]
    assert genes.is_genes
    (tmp_path / "peaks.bed").write_text("chr1\t5\t9\tp1\n")
    peaks = draw.read_lane(tmp_path / "peaks.bed")
    assert (peaks.name, peaks.is_genes, len(peaks.intervals)) == ("peaks", False, 1)


def test_arrows_point_along_the_strand_on_1_based_positions(genes):
    ax = draw.lane(genes, Interval("chr1", 0, 100))
    whole, coding = ax.collections
    first, second = (path.vertices for path in whole.get_paths())
    assert (first[:, 0].min(), first[:, 0].max()) == (10.5, 40.5)
    assert (first[:, 0] == 40.5).sum() == 1  # the tip is one corner
    assert (second[:-1, 0] == 50.5).sum() == 1
    assert coding.get_paths()[0].vertices[:, 0].min() == 20.5
    assert sorted(text.get_text() for text in ax.texts) == ["ABC1", "g2"]


def test_a_gene_whose_end_is_out_of_sight_says_where_it_goes(genes):
    names = [text.get_text() for text in draw.lane(genes, Interval("chr1", 15, 60)).texts]
    assert names == ["ABC1", "g2"]  # the 3' end of g2, at 51, is in sight
    assert [text.get_text() for text in draw.lane(genes, Interval("chr1", 15, 30)).texts] == [
        "ABC1 →"
    ]
    assert [text.get_text() for text in draw.lane(genes, Interval("chr1", 15, 30, "-")).texts] == [
        "ABC1 ←"
    ]
    assert [text.get_text() for text in draw.lane(genes, Interval("chr1", 60, 80)).texts] == [
        "g2 ←"
    ]


def test_places_of_one_row_never_overlap():
    rng = np.random.default_rng(1)
    starts = rng.integers(0, 900, 40)
    places = tuple(Interval("chr1", int(s), int(s) + 60) for s in starts)
    ax = draw.lane(draw.Lane("elements", places), Interval("chr1", 0, 1000))
    rows: dict[float, list[tuple[float, float]]] = {}
    for path in ax.collections[0].get_paths():
        x, y = path.vertices[:, 0], path.vertices[:, 1]
        rows.setdefault(round(y.mean(), 3), []).append((x.min(), x.max()))
    for spans in rows.values():
        spans.sort()
        assert all(left[1] <= right[0] for left, right in pairwise(spans))
    drawn = sum(map(len, rows.values()))
    assert drawn == 40 or f"{40 - drawn} more" in [text.get_text() for text in ax.texts]


def test_an_empty_place_says_so(genes):
    assert [text.get_text() for text in draw.lane(genes, Interval("chr2", 0, 50)).texts] == [
        "none here"
    ]
