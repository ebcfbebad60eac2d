"""Labelled sets of texts, split row by row, and random texts."""

import numpy as np

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.sequence import DNA


def made(texts, target, task="binary", labels=("0", "1")) -> LabelledSet:
    tokens = [DNA.encode(text) for text in texts]
    split = np.arange(len(texts)) % 3
    rows = [f"row {row}" for row in range(len(texts))]
    kind = task_of(task, labels)
    return LabelledSet("set", kind, tokens, np.asarray(target), split, np.arange(len(texts)), rows)


def random_texts(rows: int, length: int, seed: int = 0, letters: str = "ACGT") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for _ in range(rows)]
