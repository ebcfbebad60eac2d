"""Words become answers, and rows become a checked set; a label that training never saw cannot be learned.

Nothing is guessed silently: what a label column was taken for is printed, and `data.task` says otherwise.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orchid_genomics.data.labelled import SPLIT_NAMES, SPLITS, LabelledRecipe, LabelledSet, Rows, check_tokens, keys_of
from orchid_genomics.data.sampling import mixed
from orchid_genomics.errors import InputError
from orchid_genomics.genome.bed import Places
from orchid_genomics.genome.names import listed

_FAMILY, _DRAWN, _FOLD = 41, 42, 43  # streams of the hash
_STRETCH = 1_000_000  # letters of a contig that stay in one fold where contigs are few
_MOST_CLASSES = 100
_MISSING = ("", ".", "na", "nan", "none", "null")


def build(rows: Rows, recipe: LabelledRecipe) -> LabelledSet:
    """The checked set of some rows. Raises InputError for what the module and `LabelledRecipe` name."""
    check_tokens(rows, recipe.longest)
    task, labels, target = answers_of(rows, recipe.task)
    group = _families(rows)
    split = split_of(rows, recipe, group)
    strands = {place.strand for place in rows.places or ()}
    found = LabelledSet(
        rows.name, task, labels, rows.tokens, target, split, group, rows.where, rows.places, {"+", "-"} <= strands,
        rows.bin,
    )  # fmt: skip
    found = without_conflicts(found, recipe.conflicts)
    _each_split(found)
    found = _noted(found)
    train = found.rows("train")
    if recipe.train_rows is not None and recipe.train_rows < len(train):
        drawn = train[np.argsort(mixed(_DRAWN, train), kind="stable")[: recipe.train_rows]]
        kept = np.sort(np.concatenate([drawn, found.rows("validation"), found.rows("test")]))
        found = found.take(kept, f"trained on {len(drawn):,} rows drawn at random from {len(train):,}")
    return found


def for_model(rows: Rows, task: str, labels: tuple[str, ...], bin: int, split: str | None, longest: int) -> LabelledSet:
    """Rows as a trained model's answers are told apart: its task, its labels in their order, one split or all rows.

    Raises InputError for a label that the model does not know, or rows of another kind than it answers.
    """
    check_tokens(rows, longest)
    if rows.bin != bin:
        raise InputError(rows.name, f"has numbers for every {rows.bin} nt", f"the model's: {bin} (0: one answer a row)")
    if task in ("binary", "multiclass"):
        target = _known(rows, labels)
    else:
        _, names, target = answers_of(rows, task)
        if len(names) != len(labels):
            raise InputError(rows.name, f"has {len(names)} labels ({listed(names)})", f"the model's: {listed(labels)}")
    group = _families(rows)
    whole = np.full(len(rows.tokens), SPLITS.index("test"), np.int8)
    found = LabelledSet(
        rows.name, task, labels, rows.tokens, target, whole, group, rows.where, rows.places,
        {"+", "-"} <= {place.strand for place in rows.places or ()}, bin,
    )  # fmt: skip
    if split is None:
        return found
    if rows.split is None:
        raise InputError(rows.name, "has no split column", "no --split, for all rows")
    kept = np.flatnonzero(split_of(rows, LabelledRecipe(), group) == SPLITS.index(split))
    if not len(kept):
        raise InputError(rows.name, f"no row is in {split}", "another --split, or none for all rows")
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
            raise InputError(rows.where[row], f"the label {what}", f"the model's labels: {listed(labels)}")
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
    is_bits = len(rows.names) > 1 and all(len(word) == len(rows.names) and set(word) <= set("01") for word in text)
    if task == "multilabel" or (task == "auto" and is_bits):
        return _numbers(rows, _bits(rows, text), "multilabel")
    numbers = _parsed(text)
    if task == "regression" or (task == "auto" and numbers is not None and (numbers != np.round(numbers)).any()):
        if numbers is None:
            wrong = next(at for at, word in enumerate(text) if _parsed([word]) is None)
            raise InputError(rows.where[wrong], f"the label {text[wrong]!r} is no number", "numbers for a regression")
        return _numbers(rows, numbers[:, None].astype(np.float32), "regression")
    return _classes(rows, text, numbers, task)


def _classes(rows: Rows, text: list[str], numbers: np.ndarray | None, task: str) -> tuple:
    if numbers is not None:
        text = [f"{number:g}" for number in numbers]
    names = sorted(set(text), key=(lambda word: float(word)) if numbers is not None else str)
    if len(names) == 1:
        raise InputError(rows.name, f"all {len(text):,} rows have the label {names[0]!r}", "two classes at least")
    if len(names) > _MOST_CLASSES:
        found = f"has {len(names):,} different labels, such as {listed(names, 4)}"
        raise InputError(rows.name, found, f'data.task = "regression" for numbers, or up to {_MOST_CLASSES} classes')
    own = "binary" if len(names) == 2 else "multiclass"
    if task not in ("auto", own):
        raise InputError(rows.name, f"has {len(names)} classes ({listed(names)})", f'data.task = "{own}"')
    index = {name: code for code, name in enumerate(names)}
    return own, tuple(names), np.array([index[word] for word in text], np.int64)


def _numbers(rows: Rows, target: np.ndarray, task: str) -> tuple:
    """Bits or numbers (N, K) or (N, P, K); each must vary."""
    if target.ndim == 2 and not np.isfinite(target).all():
        at = int(np.flatnonzero(~np.isfinite(target).all(1))[0])
        raise InputError(rows.where[at], "the label is missing or not finite", "a number on every row")
    values = set(np.unique(target[np.isfinite(target)][:100_000]).tolist())
    is_bits = values <= {0.0, 1.0}
    own = "multilabel" if is_bits and task != "regression" else "regression"
    if task not in ("auto", own):
        raise InputError(rows.name, "the labels are not all 0 or 1", 'data.task = "regression"')
    names = rows.names or ("label",) * (target.shape[-1] == 1) or tuple(f"{n + 1}" for n in range(target.shape[-1]))
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
            raise InputError(where, f"the label {word!r} is not {count} bits", "a 0 or 1 for each name in the header")
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


def split_of(rows: Rows, recipe: LabelledRecipe, group: np.ndarray) -> np.ndarray:
    """0 train, 1 validation, 2 test, by contigs, as given, or by shares of families."""
    if recipe.test_contigs or recipe.validation_contigs:
        return _by_contig(rows, recipe)
    if rows.split is not None:
        found = np.full(len(rows.tokens), -1, np.int8)
        for row, word in enumerate(rows.split):
            code = SPLIT_NAMES.get(str(word).strip().lower())
            if code is None:
                raise InputError(rows.where[row], f"the split {word!r} is unknown", "train, validation or test")
            found[row] = code
        return found
    place = (mixed(_FAMILY, group) >> np.uint64(11)).astype(float) / (1 << 53)
    return np.where(place < recipe.test_share, 2, np.where(place < recipe.test_share + recipe.validation_share, 1, 0))


def _by_contig(rows: Rows, recipe: LabelledRecipe) -> np.ndarray:
    if rows.places is None:
        raise InputError(rows.name, "has no coordinates", "chrom, start and end, or no test_contigs")
    known = {place.contig for place in rows.places}
    wanted = dict.fromkeys(recipe.validation_contigs, 1) | dict.fromkeys(recipe.test_contigs, 2)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(rows.name, f"no row on contig {unknown[0]!r}", f"possible: {listed(sorted(known))}")
    both = set(recipe.validation_contigs) & set(recipe.test_contigs)
    if both:
        raise InputError(rows.name, f"{min(both)} is in both validation_contigs and test_contigs", "one split a contig")
    return np.array([wanted.get(place.contig, 0) for place in rows.places], np.int8)


def without_conflicts(found: LabelledSet, how: str) -> LabelledSet:
    """Refuse, or drop, training and validation rows whose sequence has another answer in a later split.

    Equal on its own strand counts as equal where rows are stranded, else on either. Numbers are never in conflict.
    """
    if found.task in ("regression",) or found.bin:
        return found
    keys = keys_of(found.tokens, "forward" if found.stranded else "both")
    answer = [np.asarray(row).tobytes() for row in found.target]
    last: dict[bytes, int] = {}
    for row in np.argsort(-found.split, kind="stable"):  # test first: its answer stands
        last.setdefault(keys[row], int(row))
    bad = [
        r for r, key in enumerate(keys) if answer[last[key]] != answer[r] and found.split[last[key]] > found.split[r]
    ]
    if not bad:
        return found
    if how == "error":
        row, other = bad[0], last[keys[bad[0]]]
        where = f"{SPLITS[found.split[row]]} row {found.where[row]}"
        text = f"the sequence has another label in {SPLITS[found.split[other]]} ({found.where[other]})"
        raise InputError(where, f"{text}; {len(bad):,} such rows", 'data.conflicts = "drop" leaves them out')
    kept = np.setdiff1d(np.arange(len(found)), bad)
    return found.take(kept, f"dropped {len(bad):,} rows whose sequence has another label in a later split")


def _each_split(found: LabelledSet) -> None:
    """Every split has rows; every class of validation and test is in training, and training has two."""
    for split in SPLITS:
        if not len(found.rows(split)):
            raise InputError(
                found.name, f"no row is in {split}", "a split column, contigs, or shares that fill all three"
            )
    if found.task not in ("binary", "multiclass"):
        return
    known = set(found.target[found.rows("train")].tolist())
    for split in ("validation", "test"):
        for row in found.rows(split):
            if found.target[row] not in known:
                label = found.labels[found.target[row]]
                seen = listed(found.labels[code] for code in sorted(known))
                raise InputError(found.where[row], f"the label {label!r} of {split} is unknown in training", seen)


def _noted(found: LabelledSet) -> LabelledSet:
    """The overlap check: rows of validation and test whose letters training reads."""
    if found.places is None:
        return found
    train = Places.from_intervals(found.places[row] for row in found.rows("train"))
    held = np.concatenate([found.rows("validation"), found.rows("test")])
    touching = sum(
        bool(train.touches(p.contig, np.array([p.start]), np.array([p.end]))[0]) for p in _places(found, held)
    )
    note = f"validation and test rows that share letters of the genome with training rows: {touching:,}"
    return found.take(np.arange(len(found)), note)


def _places(found: LabelledSet, rows: np.ndarray) -> Sequence:
    return [found.places[row] for row in rows]


def folds_of(data: LabelledSet, folds: int) -> list[LabelledSet]:
    """The set divided `folds` times: every row is tested once; the next fold validates, the others train.

    Whole contigs stay together where there are enough of them, else stretches of 1 Mb; families where there are no
    coordinates. Raises InputError for fewer than three folds, or fewer such units than folds.
    """
    if folds < 3:
        raise InputError("training.folds", f"{folds} folds leave none to train on", "3 or more, or 0 for the split")
    units = data.group
    if data.places is not None:
        contigs = [place.contig for place in data.places]
        few = len(set(contigs)) < folds
        keys = [(place.contig, place.start // _STRETCH if few else 0) for place in data.places]
        index = {key: number for number, key in enumerate(sorted(set(keys)))}
        units = np.array([index[key] for key in keys])
    names, counts = np.unique(units, return_counts=True)
    if len(names) < folds:
        raise InputError(data.name, f"has {len(names)} families for {folds} folds", f"at most {len(names)} folds")
    order = np.lexsort((mixed(_FOLD, names), -counts))  # the largest first, each into the smallest fold so far
    sizes, of = np.zeros(folds, np.int64), np.zeros(int(names.max()) + 1, np.int64)
    for at in order:
        fold = int(sizes.argmin())
        of[names[at]], sizes[fold] = fold, sizes[fold] + counts[at]
    fold = of[units]
    found = []
    for test in range(folds):
        split = np.where(fold == test, 2, np.where(fold == (test + 1) % folds, 1, 0)).astype(np.int8)
        part = replace(data, split=split)
        _each_split(part)
        found.append(part)
    return found
