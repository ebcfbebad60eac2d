"""The curve of a run: what stands beside each other was measured alike."""

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


def test_a_run_without_validation_or_test_is_drawn_all_the_same():
    assert not draw.training_curve(LOG[:2], []).lines
