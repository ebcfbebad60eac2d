"""Areas against pairs counted one by one, and intervals against resampling the rows themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from orchid_genomics.evaluate.variants import ranking
from orchid_genomics.evaluate.variants.ranking import difference, rank


def pairs(score, positive, strata):
    """The AUROC within strata by looking at every pair."""
    score, strata = np.asarray(score), np.asarray(strata)
    same = strata[positive][:, None] == strata[~positive]
    ahead = score[positive][:, None] - score[~positive]
    return ((ahead > 0) + (ahead == 0) / 2)[same].mean() if same.any() else np.nan


def drawn(seed, rows=60, values=6, strata=3, clusters=8):
    rng = np.random.default_rng(seed)
    score = rng.integers(values, size=rows).astype(float)
    return (
        score,
        rng.random(rows) < 0.4,
        rng.integers(clusters, size=rows),
        rng.integers(strata, size=rows),
    )


@given(st.integers(0, 10_000))
def test_auroc_within_strata_is_the_share_of_ordered_pairs(seed):
    score, positive, cluster, strata = drawn(seed, rows=25)
    expected = pairs(score, positive, strata)
    np.testing.assert_allclose(
        rank(score, positive, cluster, strata, samples=2).auroc.value, expected
    )


@given(st.integers(0, 10_000))
def test_without_strata_both_areas_are_those_of_scikit_learn(seed):
    score, positive, cluster, _ = drawn(seed)
    found = rank(score, positive, cluster, samples=2)
    np.testing.assert_allclose(found.auroc.value, roc_auc_score(positive, score))
    np.testing.assert_allclose(found.auprc.value, average_precision_score(positive, score))
    assert found.base_rate == positive.mean()


def test_strata_remove_what_the_stratum_alone_explains():
    rng = np.random.default_rng(0)
    strata = rng.integers(10, size=2_000)
    positive = rng.random(2_000) < strata / 10
    cluster = np.arange(2_000) // 10
    assert rank(strata.astype(float), positive, cluster).auroc.value > 0.8
    assert rank(strata.astype(float), positive, cluster, strata).auroc.value == 0.5


def test_rows_without_a_partner_in_their_stratum_do_not_count():
    score, positive = np.array([1.0, 2, 3, 4]), np.array([False, True, True, True])
    found = rank(score, positive, np.arange(4), np.array(["a", "a", "b", "b"]), samples=10)
    assert (found.positives, found.negatives, found.strata, found.clusters, found.pairs) == (
        1,
        1,
        1,
        2,
        1,
    )
    assert found.auroc.value == 1
    assert found.auprc is None


@pytest.mark.parametrize("stratified", [False, True])
def test_the_interval_is_that_of_resampling_whole_clusters(stratified):
    score, positive, cluster, strata = drawn(3, rows=300, values=50, clusters=20)
    score += 8 * positive + np.random.default_rng(1).normal(size=20)[cluster] * 10
    by = strata if stratified else np.zeros(300, int)
    rng, members, areas = (
        np.random.default_rng(7),
        [np.flatnonzero(cluster == c) for c in range(20)],
        [],
    )
    for _ in range(400):
        rows = np.concatenate([members[c] for c in rng.integers(20, size=20)])
        areas.append(pairs(score[rows], positive[rows], by[rows]))
    found = rank(score, positive, cluster, strata if stratified else None, samples=4_000)
    np.testing.assert_allclose(
        [found.auroc.low, found.auroc.high], np.quantile(areas, [0.025, 0.975]), atol=0.02
    )
    alone = rank(score, positive, np.arange(300), strata if stratified else None)
    assert found.auroc.high - found.auroc.low > 1.2 * (alone.auroc.high - alone.auroc.low)


@given(st.integers(0, 10_000))
def test_a_resample_of_the_table_is_a_resample_of_the_rows(seed):
    score, positive, cluster, strata = drawn(seed, rows=40)
    rows = ranking._Rows.of([score], positive, cluster, strata)
    if rows is None or rows.clusters < 5:
        return
    (areas, _), *_ = rows.resample(0, 5, seed)
    rng = np.random.default_rng(seed)
    group = rng.permutation(rows.clusters)[rows.cluster]
    weights = rng.multinomial(rows.clusters, np.full(rows.clusters, 1 / rows.clusters), size=5)
    for area, weight in zip(areas, weights, strict=True):
        again = np.repeat(np.arange(len(group)), weight[group])
        expected = pairs(rows.scores[0][again], rows.positive[again], rows.stratum[again])
        np.testing.assert_allclose(area, expected)


def test_many_distinct_scores_are_cut_for_the_interval_alone(monkeypatch):
    rng = np.random.default_rng(0)
    positive = rng.random(5_000) < 0.3
    score, cluster = rng.normal(size=5_000) + positive, rng.integers(40, size=5_000)
    fine = rank(score, positive, cluster)
    monkeypatch.setattr(ranking, "_ROWS", 200)
    coarse = rank(score, positive, cluster)
    assert coarse.auroc.value == fine.auroc.value
    assert coarse.auprc.value == fine.auprc.value
    np.testing.assert_allclose(
        [coarse.auroc.low, coarse.auroc.high], [fine.auroc.low, fine.auroc.high], atol=2e-3
    )
    np.testing.assert_allclose(
        [coarse.auprc.low, coarse.auprc.high], [fine.auprc.low, fine.auprc.high], atol=2e-2
    )


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    positive, cluster = rng.random(3_000) < 0.5, rng.integers(100, size=3_000)
    good = rng.normal(size=3_000) + positive
    worse = good + rng.normal(size=3_000) * 0.3
    found = difference(good, worse, positive, cluster)
    apart = [rank(each, positive, cluster).auroc for each in (good, worse)]
    np.testing.assert_allclose(found.value, apart[0].value - apart[1].value)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < (apart[0].high - apart[0].low)
    same = difference(good, good, positive, cluster)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_nothing_to_rank_is_nan_and_a_handful_of_clusters_has_no_interval():
    one_class = rank(np.arange(3.0), np.ones(3, bool), np.arange(3))
    assert np.isnan(one_class.auroc.value)
    assert (one_class.positives, one_class.negatives) == (3, 0)
    for clusters in (1, 4, 5):
        found = rank(np.arange(10.0), np.arange(10) % 2 == 1, np.arange(10) % clusters)
        assert found.auroc.value == 0.6
        assert np.isnan(found.auroc.low) == (clusters < 5)


def test_the_order_of_rows_is_nothing():
    score, positive, cluster, strata = drawn(5, rows=200)
    order = np.random.default_rng(0).permutation(200)
    assert rank(score, positive, cluster, strata) == rank(
        score[order], positive[order], cluster[order], strata[order]
    )
