"""Words become answers: the task that labels are of, and the labels of a trained model."""

import pytest
from labelled_tables import HEADER, fault, lines, table

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.parsing import set_for_model
from orchid_genomics.data.labelled.schema import LabelledRecipe
from orchid_genomics.data.labelled.sets import open_set, read_rows
from orchid_genomics.errors import InputError


@pytest.mark.parametrize(
    ("header", "label", "task", "labels"),
    [
        ("label", lambda r: ("b", "a", "c")[r // 3 % 3], "multiclass", ("a", "b", "c")),
        ("label", lambda r: (10, 9)[r % 2], "binary", ("9", "10")),
        ("label", lambda r: f"{r * 0.5}", "regression", ("label",)),
        ("label:CTCF,MAX", lambda r: ("10", "01", "11")[r // 3 % 3], "multilabel", ("CTCF", "MAX")),
    ],
)
def test_a_task_follows_its_labels(tmp_path, header, label, task, labels):
    found = open_set(table(tmp_path, lines(36, label), HEADER.replace("label", header)))
    assert (found.task.name, found.labels) == (task, labels)
    if task in ("binary", "multiclass"):
        assert [labels[code] for code in found.target[:4]] == [str(label(row)) for row in range(4)]
    elif task == "multilabel":
        assert found.target[:2].tolist() == [[1, 0], [1, 0]]


def test_names_that_begin_with_a_zero_are_no_numbers(tmp_path):
    found = open_set(table(tmp_path, lines(36, lambda r: ("01", "1", "10")[r // 3 % 3])))
    assert found.labels == ("01", "1", "10")


def test_a_sequence_that_is_too_long_and_classes_that_are_numbers(tmp_path):
    line = fault(table(tmp_path, lines(), longest=30))
    assert (
        "line 2: a sequence of 40 nt is longer than 30; shorter sequences, or a larger data.longest"
        in line
    )
    many = fault(table(tmp_path, lines(240, lambda r: r)))
    assert (
        "has 240 different labels, such as 0, 1, 2, 3, ... 239 (240 in all)" in many
        or "has 240 different" in many
    )
    assert 'data.task = "regression" for numbers' in many
    assert "the label 'a' is no number; numbers for a regression" in fault(
        table(tmp_path, lines(12, lambda r: "ab"[r % 2]), task="regression")
    )
    assert "no row on contig 'chr9'; possible: chr1, chr2, chr3" in fault(
        table(tmp_path, lines(), test_contigs=("chr9",))
    )


def test_labels_are_told_apart_as_the_model_knows_them(tmp_path):
    rows = read_rows(table(tmp_path, lines(12, lambda r: ("1.0", "0")[r % 2])))
    recipe = LabelledRecipe()
    found = set_for_model(rows, task_of("binary", ("0", "1")), "test", recipe)
    assert found.target.tolist() == [1 - row % 2 for row in range(12) if row % 3 == 2]
    with pytest.raises(
        InputError, match=r"line 2: the label '1.0' is unknown; the model's labels: no, yes"
    ):
        set_for_model(rows, task_of("binary", ("no", "yes")), None, recipe)
    tested = read_rows(table(tmp_path, lines(4, split=lambda r: "test")))
    with pytest.raises(InputError, match=r"no row is in validation"):
        set_for_model(tested, task_of("binary", ("0", "1")), "validation", recipe)
