"""Pictures of predictions: curves are those of scikit-learn, and nothing leaves its picture."""

from io import BytesIO

import numpy as np
from sklearn import metrics

from orchid_genomics.draw import predictions as draw


def drawn_values(seed: int = 0, rows: int = 300):
    """Scores with ties, and which rows are positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(rows) < 0.3
    return np.round(rng.normal(size=rows) + positive, 1), positive


def test_curves_are_those_of_scikit_learn():
    score, positive = drawn_values()
    false_share, true_share = draw.roc_curve(score, positive)
    theirs = metrics.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(false_share, theirs[0])
    np.testing.assert_allclose(true_share, theirs[1])
    recall, precision = draw.precision_recall_curve(score, positive)
    theirs_precision, theirs_recall, _ = metrics.precision_recall_curve(positive, score)
    np.testing.assert_allclose(recall, theirs_recall[-2::-1])
    np.testing.assert_allclose(precision, theirs_precision[-2::-1])


def test_reliability_of_a_calibrated_answer_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    score = rng.random(20_000)
    predicted, seen = draw.reliability(score, rng.random(20_000) < score)
    np.testing.assert_allclose(predicted, seen, atol=0.04)


LONG = "a very long name of an alternative that nobody can read"


def pictures():
    score, positive = drawn_values()
    two = [draw.Prediction(name, score, positive) for name in ("model", LONG)]
    many = [draw.Prediction(f"{LONG} {n}", score, positive) for n in range(20)]
    for predictions in (two, many):
        yield draw.roc(predictions)
        yield draw.precision_recall(predictions)
        yield draw.calibration(predictions)
    yield draw.lines("Loss", [draw.Line(LONG, range(9000), np.arange(9000.0))], ("step", "loss"))
    for count in (2, 12):
        points = [(10, 0.5, 0.3, 0.7), (1000, 0.9, np.nan, np.nan)]
        yield draw.label_efficiency(
            [draw.Learned(f"{LONG} {n}", points) for n in range(count)], "MCC"
        )
    yield draw.scatter("Predicted and actual", score, score + 1)
    for count in (2, 5, 20):
        table = np.full((count, count), 123_456)
        yield draw.confusion(
            "Confusion, gapped k-mer", table, [f"{LONG} {n}" for n in range(count)]
        )


def test_every_word_stands_inside_its_picture():
    for ax in pictures():
        ax.figure.savefig(BytesIO())  # what lays a figure out
        drawn, paper = ax.figure.get_tightbbox(), ax.figure.bbox_inches
        assert drawn.x0 >= -0.01, ax.get_title()
        assert drawn.y0 >= -0.01, ax.get_title()
        assert drawn.x1 <= paper.x1 + 0.01, ax.get_title()
        assert drawn.y1 <= paper.y1 + 0.01, ax.get_title()


def test_a_line_of_many_points_keeps_its_ends():
    x = np.arange(9000)
    (line,) = draw.lines("t", [draw.Line("a", x, x)], ("x", "y")).get_lines()
    shown = line.get_xdata()
    assert len(shown) <= 400
    assert (shown[0], shown[-1]) == (0, 8999)


def test_a_confusion_matrix_names_what_is_actual_and_what_is_called():
    ax = draw.confusion("m", np.array([[1234, 0], [3, 4]]), ("a", "b"))
    assert [text.get_text() for text in ax.texts] == ["1,234", "0", "3", "4"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("actual", "called")
