"""Words become answers, and rows become a checked set; a label that training never saw cannot be
learned.

Nothing is guessed silently: what a label column was taken for is printed, and `data.task` says
otherwise.
"""

from dataclasses import replace

import numpy as np

from orchid_genomics.data.labelled.schema import (
    SPLITS,
    LabelledRecipe,
    LabelledSet,
    Rows,
    check_tokens,
    keys_of,
)
from orchid_genomics.data.labelled.splitting import checked, split_of
from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import listed

_MOST_CLASSES = 100
_NEGATIVE = (
    "negative", "neg", "no", "none", "not", "false", "f", "other", "others", "rest", "background", "bg", "control",
    "random", "shuffled", "inactive", "unbound", "closed", "decoy",
)  # fmt: skip
"""Words for the class that is not asked about, of two; else the first of the alphabet is."""
_MISSING = ("", ".", "na", "nan", "none", "null")


def whole(rows: Rows, task: str = "auto", longest: int = 131_072) -> LabelledSet:
    """The checked rows, all of them in training. Raises InputError for what the module and
    `LabelledRecipe` name.
    """
    check_tokens(rows, longest)
    task, labels, target = answers_of(rows, task)
    split = np.zeros(len(rows.tokens), np.int8)
    return LabelledSet(
        rows.name, task, labels, rows.tokens, target, split, _families(rows), rows.where, rows.places, rows.stranded,
        rows.bin,
    )  # fmt: skip


def build(rows: Rows, recipe: LabelledRecipe) -> LabelledSet:
    """The checked and split set of some rows. Raises InputError as `whole` and `holdout.checked`
    do.
    """
    found = whole(rows, recipe.task, recipe.longest)
    return checked(replace(found, split=split_of(found, rows.split, recipe)), recipe)


def for_model(
    rows: Rows,
    task: str,
    labels: tuple[str, ...],
    bin: int,
    split: str | None,
    recipe: LabelledRecipe,
) -> LabelledSet:
    """Rows as a trained model's answers are told apart: its task, its labels in their order, one
    split or all rows.

    `recipe` says how they are split. Raises InputError for a label that the model does not know, or
    rows of another kind than it answers.
    """
    check_tokens(rows, recipe.longest)
    if rows.bin != bin:
        raise InputError(
            rows.name,
            f"has numbers for every {rows.bin} nt",
            f"the model's: {bin} (0: one answer a row)",
        )
    if task in ("binary", "multiclass"):
        target = _known(rows, labels)
    else:
        _, names, target = answers_of(rows, task)
        if len(names) != len(labels):
            raise InputError(
                rows.name,
                f"has {len(names)} labels ({listed(names)})",
                f"the model's: {listed(labels)}",
            )
    found = LabelledSet(
        rows.name, task, labels, rows.tokens, target, np.full(len(rows.tokens), SPLITS.index("test"), np.int8),
        _families(rows), rows.where, rows.places, rows.stranded, bin,
    )  # fmt: skip
    if split is None:
        return found
    kept = np.flatnonzero(split_of(found, rows.split, recipe) == SPLITS.index(split))
    if not len(kept):
        raise InputError(
            rows.name, f"no row is in {split}", "another --split, or none for all rows"
        )
    return found.take(kept)


def _known(rows: Rows, labels: tuple[str, ...]) -> np.ndarray:
    """Classes (N,) by the model's labels; 1 and 1.0 are one label."""
    index = {label: code for code, label in enumerate(labels)}
    found = np.empty(len(rows.tokens), np.int64)
    for row, text in enumerate(rows.label):
        word = str(text).strip()
        number = _parsed([word]) if word not in index else None
        word = word if number is None else f"{number[0]:g}"
        if word not in index:
            what = "is missing" if word.lower() in _MISSING else f"{str(text).strip()!r} is unknown"
            raise InputError(
                rows.where[row], f"the label {what}", f"the model's labels: {listed(labels)}"
            )
        found[row] = index[word]
    return found


def answers_of(rows: Rows, task: str) -> tuple[str, tuple[str, ...], np.ndarray]:
    """The task, the labels' names and the targets (N,), (N, K) or (N, P, K)."""
    if isinstance(rows.label, np.ndarray) and rows.label.ndim > 1:
        return _numbers(rows, rows.label.astype(np.float32), task)
    text = [str(word).strip() for word in rows.label]
    for where, word in zip(rows.where, text, strict=True):
        if word.lower() in _MISSING:
            raise InputError(where, "the label is missing", "a label on every row")
    is_bits = len(rows.names) > 1 and all(
        len(word) == len(rows.names) and set(word) <= set("01") for word in text
    )
    if task == "multilabel" or (task == "auto" and is_bits):
        return _numbers(rows, _bits(rows, text), "multilabel")
    numbers = _parsed(text)
    if task == "regression" or (
        task == "auto" and numbers is not None and (numbers != np.round(numbers)).any()
    ):
        if numbers is None:
            wrong = next(at for at, word in enumerate(text) if _parsed([word]) is None)
            raise InputError(
                rows.where[wrong],
                f"the label {text[wrong]!r} is no number",
                "numbers for a regression",
            )
        return _numbers(rows, numbers[:, None].astype(np.float32), "regression")
    return _classes(rows, text, numbers, task)


def _classes(rows: Rows, text: list[str], numbers: np.ndarray | None, task: str) -> tuple:
    if numbers is not None:
        text = [f"{number:g}" for number in numbers]
    names = sorted(set(text), key=(lambda word: float(word)) if numbers is not None else str)
    if len(names) == 2 and numbers is None:  # the second is the positive one
        names.sort(key=lambda word: word.lower() not in _NEGATIVE)
    if len(names) == 1:
        raise InputError(
            rows.name, f"all {len(text):,} rows have the label {names[0]!r}", "two classes at least"
        )
    if len(names) > _MOST_CLASSES:
        found = f"has {len(names):,} different labels, such as {listed(names, 4)}"
        raise InputError(
            rows.name,
            found,
            f'data.task = "regression" for numbers, or up to {_MOST_CLASSES} classes',
        )
    own = "binary" if len(names) == 2 else "multiclass"
    if task not in ("auto", own):
        raise InputError(
            rows.name, f"has {len(names)} classes ({listed(names)})", f'data.task = "{own}"'
        )
    index = {name: code for code, name in enumerate(names)}
    return own, tuple(names), np.array([index[word] for word in text], np.int64)


def _numbers(rows: Rows, target: np.ndarray, task: str) -> tuple:
    """Bits or numbers (N, K) or (N, P, K); each must vary."""
    if target.ndim == 2 and not np.isfinite(target).all():
        at = int(np.flatnonzero(~np.isfinite(target).all(1))[0])
        raise InputError(
            rows.where[at], "the label is missing or not finite", "a number on every row"
        )
    is_bits = bool(np.isin(target[np.isfinite(target)], (0.0, 1.0)).all())
    own = "multilabel" if is_bits and task != "regression" else "regression"
    if task not in ("auto", own):
        raise InputError(rows.name, "the labels are not all 0 or 1", 'data.task = "regression"')
    if rows.names and len(rows.names) != target.shape[-1]:
        found = f"has {target.shape[-1]} labels a row and {len(rows.names)} names ({listed(rows.names)})"
        raise InputError(rows.name, found, "a name for each")
    names = (
        rows.names
        or ("label",) * (target.shape[-1] == 1)
        or tuple(f"{n + 1}" for n in range(target.shape[-1]))
    )
    for number, name in enumerate(names):
        column = target[..., number]
        column = column[np.isfinite(column)]
        if not len(column) or column.min() == column.max():
            raise InputError(rows.name, f"{name} is the same on all rows", "labels that differ")
    return own, tuple(names), target


def _bits(rows: Rows, text: list[str]) -> np.ndarray:
    count = len(rows.names) or len(text[0])
    for where, word in zip(rows.where, text, strict=True):
        if len(word) != count or set(word) - set("01"):
            raise InputError(
                where,
                f"the label {word!r} is not {count} bits",
                "a 0 or 1 for each name in the header",
            )
    return np.array([[float(bit) for bit in word] for word in text], np.float32)


def _parsed(text: list[str]) -> np.ndarray | None:
    try:
        numbers = np.array([float(word) for word in text])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _families(rows: Rows) -> np.ndarray:
    """Rows of one family: the group column, else equal sequences on either strand."""
    keys = rows.group if rows.group is not None else keys_of(rows.tokens, "both")
    index: dict = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], np.int64)
