"""What is not independent is resampled whole: blocks of a genome, families of rows."""

import numpy as np
import pytest

from orchid_genomics.evaluate.bootstrap import (
    block_bootstrap,
    paired_bootstrap,
    resampled_weights,
)


def genome(blocks=200, each=50, within=0.1, between=1.0, seed=0):
    """Bits that a block shares: (N,) bits, contig and position, `each` targets in each of `blocks`
    10-kb blocks.
    """
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks), each)
    bits = (
        2 + between * rng.standard_normal(blocks)[block] + within * rng.standard_normal(len(block))
    )
    half = blocks // 2
    return (
        bits,
        (block >= half).astype(int),
        (block % half) * 10_000 + rng.integers(0, 10_000, len(block)),
    )


def test_the_interval_counts_blocks_not_letters():
    bits, contig, position = genome()
    mean, low, high = block_bootstrap(bits, contig, position)
    assert mean == pytest.approx(bits.mean())
    assert low < mean < high
    assert high - low == pytest.approx(
        2 * 1.96 / np.sqrt(200), rel=0.2
    )  # 200 blocks of deviation 1, not 10,000 letters


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = [
        low < 2 < high
        for _, low, high in (block_bootstrap(*genome(seed=s), samples=200) for s in range(200))
    ]
    assert 0.88 < np.mean(held) < 0.99


def test_blocks_end_with_their_contig():
    bits = np.array([1.0, 1.0, 3.0, 3.0])
    _, low, high = block_bootstrap(bits, np.array([0, 0, 1, 1]), np.array([5, 6, 5, 6]))
    assert (low, high) == (1, 3)
    assert block_bootstrap(bits, np.zeros(4, int), np.array([5, 6, 5, 6])) == (2, 2, 2)
    _, low, high = block_bootstrap(bits, np.zeros(4, int), np.array([0, 9, 10, 19]), block=10)
    assert (low, high) == (1, 3)


def test_the_order_of_the_targets_does_not_matter_and_the_seed_does():
    bits, contig, position = genome(50)
    order = np.random.default_rng(1).permutation(len(bits))
    first = block_bootstrap(bits, contig, position)
    assert block_bootstrap(bits[order], contig[order], position[order]) == pytest.approx(first)
    assert block_bootstrap(bits, contig, position) == first
    assert block_bootstrap(bits, contig, position, seed=1)[1:] != first[1:]


def test_weights_are_letters_counted_more_than_once():
    bits, contig, position = genome(20)
    weights = np.random.default_rng(2).integers(0, 3, len(bits))
    repeats = [np.repeat(each, weights) for each in (bits, contig, position)]
    assert block_bootstrap(bits, contig, position, weights) == pytest.approx(
        block_bootstrap(*repeats)
    )


def test_no_target_is_not_a_number_and_no_warning():
    none = np.zeros(0)
    assert np.isnan(block_bootstrap(none, none.astype(int), none.astype(int))).all()
    assert np.isnan(block_bootstrap(np.ones(3), np.zeros(3, int), np.arange(3), np.zeros(3))).all()


def test_a_pair_is_told_apart_where_two_intervals_overlap():
    baseline, contig, position = genome()
    model = baseline - 0.05 + 0.01 * np.random.default_rng(3).standard_normal(len(baseline))
    _, low, _ = block_bootstrap(baseline, contig, position)
    assert low < model.mean()
    mean, low, high = paired_bootstrap(
        model.astype(np.float32), baseline.astype(np.float32), contig, position
    )
    assert mean == pytest.approx(-0.05, abs=0.001)
    assert -0.06 < low < mean < high < -0.04


def test_families_are_drawn_whole():
    group = np.array([5, 5, 9, 9, 9, 2])
    draws = resampled_weights(group, samples=200)
    assert (draws[:, 0] == draws[:, 1]).all()
    assert (draws[:, 2] == draws[:, 4]).all()
    assert (draws[:, [0, 2, 5]].sum(1) == 3).all(), "as many families as there are, some twice"
    assert np.array_equal(draws, resampled_weights(group, samples=200))
