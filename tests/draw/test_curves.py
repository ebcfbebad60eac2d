"""The curve of a run: what stands beside each other was measured alike."""

from itertools import pairwise

from orchid_genomics import draw

LOG = [
    {"step": 1, "bits": 1.2, "nt": 1_000_000},
    {"step": 2, "bits": 1.1, "nt": 1_000_000},
    {"step": 2, "validation_bits": 1.9},
    {"step": 3, "bits": 1.0, "nt": 2_000_000},
    {"step": 3, "validation_bits": 1.8},
]
TABLE = {
    "title": "test, all hidden",
    "scores": {"model": [{"mean": 1.85}], "counts": [{"mean": 1.95}]},
}


def test_all_that_is_drawn_is_of_hidden_letters():
    ax = draw.training_curve(LOG, [TABLE])
    validation, star, baseline = ax.lines
    assert validation.get_xydata().tolist() == [[2.0, 1.9], [4.0, 1.8]]
    assert star.get_xydata().tolist() == [[4.0, 1.85]]
    assert set(baseline.get_ydata()) == {1.95}
    assert ax.get_ylabel() == "bits per hidden letter"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["validation", "test, 1.850"]


def test_baselines_are_named_beside_the_picture_and_never_over_each_other():
    means = {"model": 1.85, "a": 1.95, "b": 1.9499, "c": 1.9498}
    scores = {name: [{"mean": mean}] for name, mean in means.items()}
    ax = draw.training_curve(LOG, [TABLE | {"scores": scores}])
    ax.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert [text.get_text() for text in ax.texts] == ["c, 1.950", "b, 1.950", "a, 1.950"]
    assert all(box.x0 > ax.bbox.x1 for box in boxes)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


def test_a_run_without_validation_or_test_is_drawn_all_the_same():
    assert not draw.training_curve(LOG[:2], []).lines
