"""Gains of several models in one picture: what is drawn is what was measured."""

import pytest

pytest.importorskip("matplotlib")

from orchid_genomics.draw import gains, save


def score(name, mean, targets=100):
    return {"name": name, "mean": mean, "low": mean - 0.1, "high": mean + 0.2, "targets": targets}


def tables(gain):
    near = lambda mean: [score("0.5 kb", mean), score("2 kb", mean / 2)]  # noqa: E731
    by_length = {
        "200 nt": near(gain / 4),
        "1,000 nt": [score("0.5 kb", float("nan"), 0), score("2 kb", gain / 2)],
    }
    by_rate = {"0% diverged": near(gain), "20% diverged": near(gain / 5), "other strand": near(0.0)}
    return [{"title": "by length", "scores": by_length}, {"title": "by rate", "scores": by_rate}]


def points(panel, number):
    return [container.lines[0].get_xydata().tolist() for container in panel.containers][number]


def test_every_panel_shows_what_was_measured(tmp_path):
    ax = gains({"Type II": tables(0.8), "static": tables(0.1)})
    distance, length, diverged = ax.child_axes
    assert points(distance, 0) == [[0.5, 0.8], [2.0, 0.4]]
    assert points(distance, 1) == [[0.5, 0.1], [2.0, 0.05]]
    assert points(length, 0) == [[200.0, 0.2], [1000.0, 0.4]]
    assert points(diverged, 0) == [[0.0, 0.8], [20.0, pytest.approx(0.16)]]
    crosses = [line for line in diverged.lines if line.get_marker() == "x"]
    assert [line.get_xydata().tolist() for line in crosses] == [[[0.0, 0.0]]] * 2
    assert [text.get_text() for text in distance.get_legend().get_texts()] == ["Type II", "static"]
    assert distance.get_ylabel() == "gain, bits a masked letter"
    save(ax, tmp_path / "gains.png")
    assert (tmp_path / "gains.png").stat().st_size > 5_000


def test_a_model_that_measured_nothing_draws_nothing():
    none = [{"title": "", "scores": {"200 nt": [score("1 kb", float("nan"), 0)]}}]
    none += [{"title": "", "scores": {"0% diverged": [score("1 kb", float("nan"), 0)]}}]
    ax = gains({"nothing": none})
    assert [points(panel, 0) for panel in ax.child_axes] == [[], [], []]
