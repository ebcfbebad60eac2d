"""The digits of recipes/digits: a run to its table, and the models that it compares."""

import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def digits():
    folder = str(Path(__file__).parents[1] / "recipes" / "digits")
    sys.path.insert(0, folder)
    import digits

    yield digits
    sys.path.remove(folder)


def test_a_run_gives_a_row_for_each_model(digits, capsys):
    whole = digits.split_images()
    parts = {name: digits.Images(*(each[:64] for each in part)) for name, part in whole.items()}
    runs = digits.compare(parts, epochs=1, seeds=2, rates=[3e-3])
    assert list(runs) == list(digits.models())
    assert all([each["seed"] for each in rows] == [0, 1] for rows in runs.values())
    assert all(0 <= each["test"] <= 1 for rows in runs.values() for each in rows)
    assert capsys.readouterr().out.count("\n") == len(runs)


def test_transformers_have_the_same_and_twice_the_parameters(digits):
    own, same, twice = (digits.parameters(build()) for build in digits.models().values())
    assert same == pytest.approx(own, rel=0.15)
    assert twice == pytest.approx(2 * own, rel=0.15)


def test_no_image_stands_in_two_splits(digits):
    parts = digits.split_images()
    assert sum(len(part.classes) for part in parts.values()) == 1797
    rows = torch.cat([part.levels for part in parts.values()])
    assert len(torch.unique(rows, dim=0)) == 1797
    assert rows.max() < digits.LEVELS
