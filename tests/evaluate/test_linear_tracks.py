"""What stands beside a model of tracks: shares around bins by hand, and regressions that are those
of scikit-learn.
"""

from itertools import product

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.linear_tracks import (
    K,
    around,
    ridge_sums,
    solve_ridge,
    track_baselines,
)
from orchid_genomics.sequence import DNA


def tracks(task: str = "regression", rows: int = 60) -> LabelledSet:
    """GC of every bin of five letters, and how much TATA stands within 40 letters of it."""
    rng = np.random.default_rng(0)
    tokens, target = [], np.full((rows, 16, 2), np.nan, np.float32)
    for row in range(rows):
        letters = "".join(rng.choice(list("ACGT"), 80 - 22 * (row % 2)))
        for _ in range(3):
            at = int(rng.integers(0, len(letters) - 4))
            letters = letters[:at] + "TATA" + letters[at + 4 :]
        tokens.append(DNA.encode(letters))
        for bin in range(len(letters) // 5):
            near = letters[max(5 * bin - 40, 0) : 5 * bin + 45]
            target[row, bin] = (
                sum(letter in "GC" for letter in letters[5 * bin : 5 * bin + 5]),
                near.count("TATA"),
            )
    if task == "multilabel":
        target = np.where(np.isnan(target), np.nan, target > 1).astype(np.float32)
    split = np.arange(rows) % 3
    where = [f"row {row}" for row in range(rows)]
    kind = task_of(task, ("gc", "tata"), bin=5)
    return LabelledSet("set", kind, tokens, target, split, np.arange(rows), where)


def test_shares_are_of_the_kmers_within_the_flank_by_hand():
    letters = "ACGTNACGTTTGCA" * 3
    found = around(DNA.encode(letters), 6, 2, 4)
    assert found.shape == (7, 33)
    for bin, side in product(range(7), (0, 4)):
        near = letters[max(6 * bin - side, 0) : 6 * bin + 6 + side]
        pairs = [near[at : at + 2] for at in range(len(near) - 1) if "N" not in near[at : at + 2]]
        for code, pair in enumerate(a + b for a in "ACGT" for b in "ACGT"):
            assert found[bin, 4 * side + code] == pytest.approx(pairs.count(pair) / len(pairs))
    gc = around(DNA.encode("GGNNAC"), 2, 1, 0)
    assert gc.tolist() == [[1, 1], [0, 1], [0.5, 1]]


def test_the_sums_are_a_ridge_regression():
    data, rng = tracks(), np.random.default_rng(1)
    data.target[0, 3, 1] = np.nan  # a bin without a number of one track counts for none
    rows = data.rows("train")
    x = np.concatenate([around(data.tokens[row], 5, K, 32) for row in rows])[:, :-1]
    y = np.concatenate([data.target[row][: len(data.tokens[row]) // 5] for row in rows])
    known = np.isfinite(y).all(1)
    scale = x[known].std(0)
    ours = solve_ridge(*ridge_sums(data, rows, K, 32), 0.01)
    theirs = Ridge(alpha=0.01 * known.sum()).fit(x[known] / scale, y[known])
    some = rng.random((5, x.shape[1]))
    np.testing.assert_allclose(some @ ours[:-1] + ours[-1], theirs.predict(some / scale), rtol=1e-5)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_each_finds_its_own_track(task):
    data = tracks(task, 300)
    test = data.rows("test")
    found = {each.name: each for each in track_baselines(data)}
    for name, track in (("GC content", 0), ("k-mer regression", 1)):
        answer, truth, _ = data.task.flatten(found[name].test, data.target[test], test)
        assert np.corrcoef(answer[:, track], truth[:, track])[0, 1] > 0.3
        lengths = data.lengths[test] // 5
        assert np.isfinite(found[name].test).all(2).sum(1).tolist() == lengths.tolist()
    assert "nt on either side" in found["k-mer regression"].chosen
