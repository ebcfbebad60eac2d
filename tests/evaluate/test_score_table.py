"""Scores of regions, and the table that people read."""

import numpy as np
import pytest

from orchid_genomics.evaluate.score_table import Score, scores_by_region, table_text


def test_regions_are_scored_apart():
    rng = np.random.default_rng(0)
    bits, contig = rng.normal(2, 1, 1000), np.repeat([0, 1], 500)
    position = rng.integers(0, 100_000, 1000)
    inside = position % 2 == 0
    weights = np.ones(len(bits))
    scores = scores_by_region(
        bits,
        contig,
        position,
        {"CDS": inside, "soft": inside & ~inside},
        weights=weights,
        samples=50,
    )
    assert [(score.name, score.targets) for score in scores] == [
        ("all", 1000),
        ("CDS", inside.sum()),
        ("soft", 0),
    ]
    assert scores[1].mean == pytest.approx(bits[inside].mean())
    assert scores[0] == scores_by_region(bits, contig, position, {}, samples=50)[0]
    assert np.isnan(scores[2].mean)


def test_the_table_is_aligned():
    first = [
        Score("all", 1.9, 1.89, 1.91, 12_000),
        Score("CDS", 1.95, 1.9, 2.0, 8000),
        Score("soft", np.nan, 0, 0, 0),
    ]
    second = [Score("all", 1.85, 1.84, 1.86, 12_000), Score("CDS", 1.9, 1.85, 1.95, 8000)]
    assert table_text(
        {"counts, 4 on both sides": first, "model": second}, "masked bits per base"
    ).splitlines() == [
        "masked bits per base        all  95 % interval     CDS  soft",
        "counts, 4 on both sides  1.9000  1.8900-1.9100  1.9500     -",
        "model                    1.8500  1.8400-1.8600  1.9000     -",
        "targets                  12,000                  8,000     0",
    ]
