"""Scores against scikit-learn and scipy, weights and all; thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from orchid_genomics.answers import metrics as scores
from orchid_genomics.answers.metrics import areas, confusion, steady_threshold
from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.evaluate.bootstrap import Estimate

SEEDS = st.integers(0, 10_000)
BINARY = task_of("binary", ("no", "yes"))


def ranked(seed: int, rows: int = 60):
    """Scores with ties, truth, and three sets of whole weights in which both classes occur."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.4
    truth[:2] = True, False
    score = np.round(rng.normal(size=rows) + truth, 1)
    weights = rng.integers(0, 4, (3, rows)).astype(float)
    weights[:, :2] = 1
    return score, truth, weights


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_ranking_scores_are_those_of_scikit_learn(seed):
    score, truth, weights = ranked(seed)
    theirs = metrics.roc_auc_score, metrics.average_precision_score
    for area, score_of in zip(areas(score, truth, weights), theirs, strict=True):
        wanted = [score_of(truth, score, sample_weight=row) for row in weights]
        np.testing.assert_allclose(area, wanted, rtol=1e-9)


def test_a_sample_of_one_class_has_no_areas_and_few_such_samples_leave_an_interval():
    weights = np.array([[1.0, 1, 1], [0, 1, 1], [1, 0, 0], [1, 1, 1]])
    found = areas(np.array([0.1, 0.7, 0.4]), np.array([False, True, True]), weights)
    np.testing.assert_array_equal(found, [[1, np.nan, np.nan, 1]] * 2)
    assert Estimate.of(found[0][0], found[0][1:3]).value == 1
    assert np.isnan(Estimate.of(1.0, found[0][1:]).low)
    assert Estimate.of(1.0, found[0]) == Estimate(1.0, 1.0, 1.0)
    assert np.isnan(Estimate.of(1.0, np.zeros(0)).high)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_scores_of_calls_are_those_of_scikit_learn(seed, classes):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, 80)
    truth[:classes] = range(classes)
    called = np.where(rng.random(80) < 0.6, truth, rng.integers(0, classes, 80))
    weights = rng.integers(1, 4, (2, 80)).astype(float)
    table = confusion(called, truth, classes, weights)
    average = "binary" if classes == 2 else "macro"
    for at, row in enumerate(weights):
        options = {"sample_weight": row}
        assert scores.mcc(table)[at] == pytest.approx(
            metrics.matthews_corrcoef(truth, called, **options)
        )
        assert scores.accuracy(table)[at] == pytest.approx(
            metrics.accuracy_score(truth, called, **options)
        )
        assert scores.f1(table)[at] == pytest.approx(
            metrics.f1_score(truth, called, average=average, **options)
        )


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_scores_of_numbers_are_those_of_scipy_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth = np.round(rng.normal(size=50), 1)
    found, one = truth + rng.normal(size=50), np.ones((1, 50))
    assert scores.pearson(found, truth, one)[0] == pytest.approx(stats.pearsonr(found, truth)[0])
    assert scores.spearman(found, truth, one)[0] == pytest.approx(stats.spearmanr(found, truth)[0])
    assert scores.r2(found, truth, one)[0] == pytest.approx(metrics.r2_score(truth, found))
    assert scores.squared_error(found, truth, one)[0] == pytest.approx(
        metrics.mean_squared_error(truth, found)
    )
    twice = np.concatenate([truth, truth[:20]]), np.concatenate([found, found[:20]])
    weights = np.r_[np.full(20, 2.0), np.ones(30)][None]
    assert scores.pearson(found, truth, weights)[0] == pytest.approx(stats.pearsonr(*twice)[0])


def called_by_hand(score, truth):
    """The mean, over bootstrap samples, of how many distinct scores the best cut calls negative."""
    values, places = np.unique(score), []
    draws = np.random.default_rng(0).multinomial(
        len(score), np.full(len(score), 1 / len(score)), 100
    )
    for weights in draws:
        if not weights[truth].sum() or not weights[~truth].sum():
            continue
        found = []
        for cut in [*values, np.inf]:
            scores = (metrics.matthews_corrcoef, metrics.accuracy_score)
            found.append(
                [score_of(truth, score >= cut, sample_weight=weights) for score_of in scores]
            )
        mcc, accuracy = np.array(found).T
        equal = np.flatnonzero(mcc > mcc.max() - 1e-9)
        places.append(equal[accuracy[equal] > accuracy[equal].max() - 1e-9].mean())
    return round(np.mean(places))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_threshold_is_the_middle_of_those_of_bootstrap_samples(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(25) < 0.4
    score = np.round(truth + rng.normal(0, 1, 25), 1)
    below = (np.unique(score) < steady_threshold(score, truth)).sum()
    assert below == called_by_hand(score, truth)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_no_scale_of_the_scores_counts(seed):
    score, truth, _ = ranked(seed)
    called, stretched = (
        each >= steady_threshold(each, truth) for each in (score, np.exp(score / 3))
    )
    np.testing.assert_array_equal(called, stretched)


def test_what_is_told_apart_is_called_right():
    truth = np.arange(60) % 3 == 0
    score = np.where(truth, 0.6, 0.2) + np.linspace(0, 0.1, 60)
    assert metrics.matthews_corrcoef(truth, score >= steady_threshold(score, truth)) == 1


def test_on_new_rows_it_is_better_than_the_threshold_that_happened_to_be_best():
    rng, gain = np.random.default_rng(0), []
    truth = rng.random(20_000) < 0.3
    score = truth + rng.normal(0, 1, len(truth))
    for few in np.array_split(np.arange(6000), 40):
        cuts = np.unique(score[few])
        found = [metrics.matthews_corrcoef(truth[few], score[few] >= cut) for cut in cuts]
        luck, steady = cuts[np.argmax(found)], steady_threshold(score[few], truth[few])
        new = slice(6000, None)
        of_luck, of_steady = (
            metrics.matthews_corrcoef(truth[new], score[new] >= cut) for cut in (luck, steady)
        )
        gain.append(of_steady - of_luck)
    assert np.mean(gain) > 3 * np.std(gain) / np.sqrt(len(gain)) > 0


@pytest.mark.parametrize("positive", [0.2, 0.8])
def test_a_constant_answer_is_the_commoner_class(positive):
    truth = np.arange(100) < 100 * positive
    constant = np.full((100, 1), positive, np.float32)
    cut = np.array([steady_threshold(constant[:, 0], truth)])
    scored = BINARY.score(constant, truth.astype(int), cut, np.ones((1, 100)))
    assert scored["accuracy"] == 0.8


def test_what_never_varies_scores_nothing_rather_than_nan():
    constant, truth, one = np.full(20, 0.3), np.arange(20) % 2, np.ones((1, 20))
    found = BINARY.score(constant[:, None], truth, np.array([0.5]), one)
    assert (found["MCC"][0], found["AUROC"][0]) == (0.0, 0.5)
    numbers = task_of("regression", ("n",))
    nothing = np.array([np.nan])
    scored = numbers.score(constant[:, None], truth[:, None].astype(float), nothing, one)
    assert scored["Pearson"] == 0
