"""The simple alternatives find what each can find, on features that are right by hand."""

import numpy as np
import pytest
from labelled_rows import made, random_texts

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import primary_score
from orchid_genomics.evaluate.linear import baselines, fit_linear, kmer_counts
from orchid_genomics.sequence.kmers import reverse_codes


def code(kmer: str) -> int:
    return int("".join(str("ACGT".index(letter)) for letter in kmer), 4)


def turned(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def by_hand(text: str, k: int, gap: int, strand: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for at in range(len(text) - k - gap + 1):
        word = text[at : at + k // 2] + text[at + k // 2 + gap : at + k + gap]
        if set(word.upper()) <= set("ACGT"):
            word = min(word.upper(), turned(word.upper())) if strand == "both" else word.upper()
            counts[code(word)] = counts.get(code(word), 0) + 1
    return counts


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize(("k", "gap"), [(3, 0), (4, 0), (6, 2)])
def test_kmers_are_counted_within_rows_and_without_n(strand, k, gap):
    texts = [*random_texts(5, 30), "ACGTNACGTACGAaccgt", "ACG", random_texts(1, 12, 9)[0]]
    table = kmer_counts(made(texts, [0, 1] * 4), k, gap, strand).toarray()
    for text, row in zip(texts, table, strict=True):
        wanted = by_hand(text, k, gap, strand)
        expected = np.zeros(4**k)
        for kmer, count in wanted.items():
            expected[kmer] = np.sqrt(count)
        expected *= 10 / max(np.sqrt((expected**2).sum()), 1e-9)
        np.testing.assert_allclose(row, expected)


def test_codes_of_the_other_strand():
    words = ["ACGT", "AAAC", "GTCA"]
    found = reverse_codes(np.array([code(word) for word in words]), 4)
    assert found.tolist() == [code(turned(word)) for word in words]


def found_by(data: LabelledSet, strand: str = "both") -> dict[str, float]:
    return {
        each.name: primary_score(data, each.test, data.rows("test"))
        for each in baselines(data, strand, sizes=(3,))
    }


def test_each_alternative_finds_its_own_signal_and_no_other():
    low, high = random_texts(90, 60, 1, "ACGTAT"), random_texts(90, 60, 2, "ACGTGC")
    gc = found_by(made([*low, *high], np.repeat([0, 1], 90)))
    assert gc["GC content"] > 0.5
    assert gc["majority class"] == 0

    texts = random_texts(180, 60, 3)
    held = [
        text[:20] + "TGACTCA" + text[27:] if row % 2 else text for row, text in enumerate(texts)
    ]
    at_one_place = found_by(made(held, np.arange(180) % 2), "forward")
    assert at_one_place["positional regression"] > 0.9
    assert abs(at_one_place["GC content"]) < 0.5


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_answers_have_the_shape_of_the_task(task):
    texts = random_texts(60, 40)
    rng = np.random.default_rng(0)
    target, labels = {
        "multiclass": (np.arange(60) // 3 % 3, ("a", "b", "c")),
        "multilabel": (rng.integers(0, 2, (60, 2)).astype(np.float32), ("x", "y")),
        "regression": (rng.normal(size=(60, 1)).astype(np.float32), ("n",)),
    }[task]
    for each in baselines(made(texts, target, task, labels), "both", sizes=(3,)):
        assert each.validation.shape == each.test.shape == (20, len(labels)), each.name
        if each.name == "GC content":
            assert each.parameters == 3 * len(labels)
        if task == "multiclass":
            np.testing.assert_allclose(each.test.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("known", [[0], [2], [0, 2], [0, 1, 2]])
def test_classes_that_training_knows_are_those_that_are_answered(known):
    target = np.resize(known, 30)
    x = np.eye(3)[target] + np.random.default_rng(0).normal(0, 0.1, (30, 3))
    answers = fit_linear(task_of("multiclass", ("a", "b", "c")), x, target, 10.0)(x)
    np.testing.assert_allclose(answers.sum(1), 1)
    assert answers[:, known].sum() == pytest.approx(30, abs=1e-3)
    np.testing.assert_array_equal(answers.argmax(1), target)
