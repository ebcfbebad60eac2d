"""A summary adds up: whatever the blocks, it says the same, and it says what was there."""

import numpy as np
import pytest
from random_models import letters_model

from orchid_genomics.jobs.summary import total
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.score.variants.variant_summary import block_stats, summary_lines
from orchid_genomics.sequence import Variant


def block(scoring, variants):
    return block_stats(scoring, scoring(variants), len(variants))


@pytest.fixture
def variants(genome):
    bases = [(i, genome.letters("c1", i, i + 1).decode()) for i in range(20, 380, 9)]
    return [Variant("c1", i, base, "A" if base != "A" else "C") for i, base in bases]


def test_sums_of_blocks_are_those_of_the_whole(genome, variants):
    scoring = Scoring(letters_model(), genome, ["llr", "entropy"], [64, 128])
    values = np.concatenate([scoring(variants[:13]).values, scoring(variants[13:]).values])
    whole = total(
        [block(scoring, variants[:13]), block(scoring, [*variants[13:], "star", "symbolic"])]
    )
    assert (whole["alts"], whole["scored"], whole["reasons"]) == (
        42,
        40,
        {"star": 1, "symbolic": 1},
    )
    assert whole["types"] == {"SNV": {"alts": 40, "scored": 40}}
    said = list(summary_lines(whole))
    assert said[0] == "42 records, 42 ALTs: 40 scored"
    x, y = values[:, 0], values[:, 2]
    assert (
        f"  llr_64: mean {x.mean():.4g}, sd {x.std():.4g}, {x.min():.4g} to {x.max():.4g}" in said
    )
    r = np.corrcoef(x, y)[0, 1]
    shift, apart = (y - x).mean(), np.abs(y - x).mean()
    assert (
        f"  llr_128 against llr_64: r {r:.4f}, mean shift {shift:+.4f}, mean distance {apart:.4f}"
        in said
    )


def test_whether_context_helped_is_said_of_the_reference_letters(genome, variants):
    scoring = Scoring(letters_model(), genome, ["llr"], [64, 128])
    found = scoring(variants)
    bits = [
        np.array(
            [
                -log[0, e.ref[0]]
                for log, e in zip(reader.masked(found.events), found.events, strict=True)
            ]
        )
        / np.log(2)
        for reader in scoring.readers
    ]
    (line,) = [
        line for line in summary_lines(block_stats(scoring, found, 40)) if "masked REF" in line
    ]
    gain = bits[0] - bits[1]
    assert f"{bits[0].mean():.4f} bits at 64 nt, {bits[1].mean():.4f} at 128 nt: " in line
    assert f"({gain.mean():+.4f} +- {1.96 * gain.std() / np.sqrt(40):.4f})" in line


def test_one_window_says_nothing_of_context(genome, variants):
    said = "\n".join(
        summary_lines(block(Scoring(letters_model(), genome, ["llr"], [64]), variants))
    )
    assert "context" not in said
    assert "edge sensitivity, ends of the 64-nt window exchanged: log-odds change by" in said


def test_no_records_at_all(genome):
    assert list(summary_lines(total([]))) == ["no records"]
    scoring = Scoring(letters_model(), genome, ["llr"], [64])
    assert list(summary_lines(total([block(scoring, [])]))) == ["0 records, 0 ALTs: 0 scored"]
