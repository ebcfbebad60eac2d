"""Tables of scores beside each other, and the signs of their columns."""

import json

import numpy as np
import pytest

from orchid_genomics.evaluate.variants.benchmark import Benchmark, ScoreColumn, own_scores
from orchid_genomics.evaluate.variants.ranking import difference, rank


@pytest.mark.parametrize(
    ("text", "column", "sign", "score", "window"),
    [
        ("ORCHID_LLR", "ORCHID_LLR", -1, "llr", 0),
        ("llr_unmasked_8192", "llr_unmasked_8192", -1, "llr_unmasked", 8192),
        ("ORCHID_INDEL_LETTERS_1024", "ORCHID_INDEL_LETTERS_1024", -1, "indel_letters", 1024),
        ("cosine", "cosine", 1, "cosine", 0),
        ("CADD", "CADD", 1, "", 0),
        ("-CADD", "CADD", -1, "", 0),
        ("+llr", "llr", 1, "llr", 0),
        ("ORCHID_LLR_Z", "ORCHID_LLR_Z", -1, "llr", 0),
    ],
)
def test_what_a_name_means(text, column, sign, score, window):
    found = ScoreColumn.parse(text)
    assert (found.column, found.sign, found.score, found.window) == (column, sign, score, window)


def test_scores_of_ours_among_the_columns_of_a_file():
    names = [
        "ORCHID_LLR",
        "ORCHID_LLR_PERCENTILE",
        "ORCHID_LLR_N",
        "ORCHID_WHY",
        "AF",
        "CSQ",
        "delta_H3",
        "ORCHID_L2_64",
    ]
    assert own_scores(names) == ["ORCHID_LLR", "ORCHID_LLR_PERCENTILE", "delta_H3", "ORCHID_L2_64"]
    assert ScoreColumn.parse("ORCHID_LLR").plain
    assert not ScoreColumn.parse("ORCHID_LLR_PERCENTILE").plain
    assert not ScoreColumn("AF", "AF").plain


@pytest.fixture
def benchmark():
    rng = np.random.default_rng(0)
    positive, cluster = rng.random(400) < 0.3, rng.integers(20, size=400)
    first = rng.normal(size=400) + positive
    other = np.where(np.arange(400) % 4 == 0, np.nan, first + rng.normal(size=400))
    strata = np.where(np.arange(400) < 40, "", np.where(np.arange(400) % 2, "a", "b"))
    groups = {"odd": np.arange(400) % 2 == 1, "lost": ~positive}
    return Benchmark(
        positive, cluster, {"first": first, "other": other}, strata, groups, samples=50
    )


def test_each_score_over_its_rows_and_a_lead_over_those_of_both(benchmark):
    result = benchmark.run("S", ["a note"])
    assert [group.name for group in result.groups] == ["all", "odd"]
    assert result.alone == (("lost", 0, int((~benchmark.positive).sum())),)
    first, other = result.groups[0].lines
    here = np.isfinite(benchmark.scores["other"])
    whole = rank(
        benchmark.scores["other"][here],
        benchmark.positive[here],
        benchmark.cluster[here],
        samples=50,
    )
    assert other.rank == whole
    inner = here & (benchmark.strata != "")
    parts = (benchmark.positive[inner], benchmark.cluster[inner], benchmark.strata[inner], 50)
    assert other.within == rank(benchmark.scores["other"][inner], *parts)
    assert other.lead == difference(
        benchmark.scores["first"][inner], benchmark.scores["other"][inner], *parts
    )
    assert first.lead is None


def test_the_table_and_its_values_say_the_same(benchmark):
    result = benchmark.run("S", ["a note"])
    text, values = result.text(), json.loads(json.dumps(result.values()))
    assert text.startswith("a note\n\nall ")
    assert "within S" in text
    assert f"lost (0 positive, {result.alone[0][2]:,} negative)" in text
    line = values["groups"][0]["lines"][0]
    row = next(row for row in text.splitlines() if row.startswith("first "))
    area = line["rank"]["auroc"]
    words = row.split()
    assert words[3:5] == [f"{area['value']:.3f}", f"{area['low']:.3f}-{area['high']:.3f}"]
    assert words[7] == f"{line['within']['auroc']['value']:.3f}"


def test_one_cluster_has_no_interval_and_json_no_nan(benchmark):
    alone = Benchmark(benchmark.positive, np.zeros(400), {"first": benchmark.scores["first"]})
    result = alone.run()
    assert result.values()["groups"][0]["lines"][0]["rank"]["auroc"]["low"] is None
    assert " - " in result.text()


def test_a_baseline_worse_than_chance_does_not_flatter(benchmark):
    first = benchmark.scores["first"]
    question = Benchmark(
        benchmark.positive, benchmark.cluster, {"first": first, "worse": -first}, samples=50
    )
    lead = question.run().groups[0].lines[1]
    whole = question.run().groups[0].lines[0].rank.auroc
    assert lead.rank.auroc.value < 0.5
    assert lead.over_chance
    assert lead.lead.value == pytest.approx(whole.value - 0.5)
    assert (lead.lead.low, lead.lead.high) == pytest.approx((whole.low - 0.5, whole.high - 0.5))
    text = question.run().text()
    assert text.splitlines()[-2].endswith(") *")
    assert text.endswith("* worse than chance, so the difference is from chance (0.500)")
    assert "*" not in benchmark.run("S").text()
