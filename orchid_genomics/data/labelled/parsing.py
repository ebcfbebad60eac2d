"""Words become answers, and rows become a checked set.

Nothing is guessed silently: what a label column was taken for is printed, and `data.task` says
otherwise. The trap: a label that training never saw cannot be learned, so it is refused.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from orchid_genomics.answers.supervised_tasks import SupervisedTask, TaskName, task_of
from orchid_genomics.data.labelled.schema import (
    SPLITS,
    LabelledRecipe,
    LabelledSet,
    Rows,
    check_tokens,
    keys_of,
)
from orchid_genomics.data.labelled.splitting import check_splits, split_of
from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import listed

Target = tuple[SupervisedTask, np.ndarray]
"""A task, and targets (N,), (N, K) or (N, P, K)."""

_MOST_CLASSES = 100
_NEGATIVE = (
    "negative", "neg", "no", "none", "not", "false", "f", "other", "others", "rest", "background",
    "bg", "control", "random", "shuffled", "inactive", "unbound", "closed", "decoy",
)  # fmt: skip
"""Words for the class that is not asked about, of two; else the first of the alphabet is."""
_MISSING = ("", ".", "na", "nan", "none", "null")


def unsplit_set(
    rows: Rows, task: Literal["auto", TaskName] = "auto", longest: int = 131_072
) -> LabelledSet:
    """All rows, checked, in training.

    Raises
    ------
    InputError
        For rows without letters or labels, and for labels that are not those of the task.
    """
    check_tokens(rows, longest)
    parsed, target = parse_target(rows, task)
    return _set_of(rows, parsed, target, "train")


def split_set(rows: Rows, recipe: LabelledRecipe) -> LabelledSet:
    """The checked and split set of some rows.

    Raises
    ------
    InputError
        As `unsplit_set` and `splitting.check_splits` do.
    """
    data = unsplit_set(rows, recipe.task, recipe.longest)
    split = split_of(data, rows.split, recipe)
    return check_splits(replace(data, split=split), recipe)


def set_for_model(
    rows: Rows, task: SupervisedTask, split: str | None, recipe: LabelledRecipe
) -> LabelledSet:
    """Rows with the task of a trained model: its labels in their order, one split or all rows.

    `recipe` says how they are split.

    Raises
    ------
    InputError
        For a label that the model does not know, or rows of another kind than it answers.
    """
    check_tokens(rows, recipe.longest)
    if rows.bin != task.bin:
        message = f"has numbers for every {rows.bin} nt"
        raise InputError(rows.name, message, f"the model's: {task.bin} (0: one answer a row)")
    if task.has_classes:
        target = _codes_of(rows, task.labels)
    else:
        own, target = parse_target(rows, task.name)
        if len(own.labels) != len(task.labels):
            message = f"has {len(own.labels)} labels ({listed(own.labels)})"
            raise InputError(rows.name, message, f"the model's: {listed(task.labels)}")
    data = _set_of(rows, task, target, "test")
    if split is None:
        return data
    kept = np.flatnonzero(split_of(data, rows.split, recipe) == SPLITS.index(split))
    if not len(kept):
        message = f"no row is in {split}"
        raise InputError(rows.name, message, "another --split, or none for all rows")
    return data.take(kept)


def _set_of(rows: Rows, task: SupervisedTask, target: np.ndarray, split: str) -> LabelledSet:
    """The set of all rows, in one split."""
    return LabelledSet(
        name=rows.name,
        task=task,
        tokens=rows.tokens,
        target=target,
        split=np.full(len(rows.tokens), SPLITS.index(split), np.int8),
        group=_families(rows),
        where=rows.where,
        places=rows.places,
        stranded=rows.stranded,
        notes=rows.notes,
    )


def _codes_of(rows: Rows, labels: tuple[str, ...]) -> np.ndarray:
    """Classes (N,) by the model's labels; 1 and 1.0 are one label."""
    index = {label: code for code, label in enumerate(labels)}
    codes = np.empty(len(rows.tokens), np.int64)
    for row, text in enumerate(rows.label):
        word = str(text).strip()
        number = _parse_numbers([word]) if word not in index else None
        word = word if number is None else f"{number[0]:g}"
        if word not in index:
            what = "is missing" if word.lower() in _MISSING else f"{str(text).strip()!r} is unknown"
            message = f"the label {what}"
            raise InputError(rows.where[row], message, f"the model's labels: {listed(labels)}")
        codes[row] = index[word]
    return codes


def parse_target(rows: Rows, task: Literal["auto", TaskName]) -> Target:
    """The task that labels are of, as `task` says or by their form, and their targets."""
    if isinstance(rows.label, np.ndarray) and rows.label.ndim > 1:
        return _target_of_numbers(rows, rows.label.astype(np.float32), task)
    words = [str(word).strip() for word in rows.label]
    for where, word in zip(rows.where, words, strict=True):
        if word.lower() in _MISSING:
            raise InputError(where, "the label is missing", "a label on every row")
    numbers = _parse_numbers(words)
    form = _recognise(rows, words, numbers) if task == "auto" else task
    if form == "multilabel":
        return _target_of_numbers(rows, _parse_bits(rows, words), "multilabel")
    if form == "regression":
        if numbers is None:
            wrong = next(at for at, word in enumerate(words) if _parse_numbers([word]) is None)
            message = f"the label {words[wrong]!r} is no number"
            raise InputError(rows.where[wrong], message, "numbers for a regression")
        return _target_of_numbers(rows, numbers[:, None].astype(np.float32), "regression")
    return _target_of_classes(rows, words, numbers, task)


def _recognise(
    rows: Rows, words: list[str], numbers: np.ndarray | None
) -> Literal["multilabel", "regression", "classes"]:
    """What labels look like: bits where the header names several, numbers that are not whole."""
    count = len(rows.names)
    # As many bits as the header has names; with one name, 0 and 1 are two classes.
    has_bits = all(len(word) == count and set(word) <= set("01") for word in words)
    if rows.is_bits or (count > 1 and has_bits):
        return "multilabel"
    if numbers is not None and (numbers != np.round(numbers)).any():
        return "regression"
    return "classes"


def _target_of_classes(
    rows: Rows, words: list[str], numbers: np.ndarray | None, task: Literal["auto", TaskName]
) -> Target:
    names: list[str]
    if numbers is not None:
        # 1 and 1.0 are one label.
        words = [f"{number:g}" for number in numbers]
        # As numbers, so that 10 comes after 2.
        names = sorted(set(words), key=float)
    else:
        names = sorted(set(words))
    # The second of two is the positive class.
    if len(names) == 2 and numbers is None:
        names.sort(key=lambda word: word.lower() not in _NEGATIVE)
    if len(names) == 1:
        message = f"all {len(words):,} rows have the label {names[0]!r}"
        raise InputError(rows.name, message, "two classes at least")
    if len(names) > _MOST_CLASSES:
        message = f"has {len(names):,} different labels, such as {listed(names, 4)}"
        possible = f'data.task = "regression" for numbers, or up to {_MOST_CLASSES} classes'
        raise InputError(rows.name, message, possible)
    own: TaskName = "binary" if len(names) == 2 else "multiclass"
    if task not in ("auto", own):
        message = f"has {len(names)} classes ({listed(names)})"
        raise InputError(rows.name, message, f'data.task = "{own}"')
    index = {name: code for code, name in enumerate(names)}
    return task_of(own, tuple(names)), np.array([index[word] for word in words], np.int64)


def _target_of_numbers(rows: Rows, target: np.ndarray, task: Literal["auto", TaskName]) -> Target:
    """Bits or numbers (N, K) or (N, P, K); each must vary."""
    # Of tracks NaN is allowed: a bin without a number.
    if target.ndim == 2 and not np.isfinite(target).all():
        at = int(np.flatnonzero(~np.isfinite(target).all(1))[0])
        message = "the label is missing or not finite"
        raise InputError(rows.where[at], message, "a number on every row")
    is_bits = bool(np.isin(target[np.isfinite(target)], (0.0, 1.0)).all())
    own: TaskName = "multilabel" if is_bits and task != "regression" else "regression"
    if task not in ("auto", own):
        raise InputError(rows.name, "the labels are not all 0 or 1", 'data.task = "regression"')
    count = target.shape[-1]
    if rows.names and len(rows.names) != count:
        message = f"has {count} labels a row and {len(rows.names)} names ({listed(rows.names)})"
        raise InputError(rows.name, message, "a name for each")
    names = tuple(rows.names) or _names_of(count)
    for number, name in enumerate(names):
        column = target[..., number]
        column = column[np.isfinite(column)]
        if not len(column) or column.min() == column.max():
            raise InputError(rows.name, f"{name} is the same on all rows", "labels that differ")
    return task_of(own, names, rows.bin), target


def _names_of(count: int) -> tuple[str, ...]:
    """What numbers without names are called."""
    return ("label",) if count == 1 else tuple(str(number + 1) for number in range(count))


def _parse_bits(rows: Rows, words: list[str]) -> np.ndarray:
    """Bits (N, K) of words such as 0110."""
    count = len(rows.names) or len(words[0])
    for where, word in zip(rows.where, words, strict=True):
        if len(word) != count or set(word) - set("01"):
            message = f"the label {word!r} is not {count} bits"
            raise InputError(where, message, "a 0 or 1 for each name in the header")
    return np.array([list(map(float, word)) for word in words], np.float32)


def _parse_numbers(words: list[str]) -> np.ndarray | None:
    """Finite numbers (N,), or None where a word is none.

    A word such as 01 is a name, not a number: read as one, 01 and 1 would become one label.
    """
    if any(_has_leading_zero(word) for word in words):
        return None
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _has_leading_zero(word: str) -> bool:
    digits = word.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def _families(rows: Rows) -> np.ndarray:
    """Rows of one family (N,): the group column, else equal sequences on either strand."""
    keys = rows.group if rows.group is not None else keys_of(rows.tokens, "both")
    index: dict = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], np.int64)
