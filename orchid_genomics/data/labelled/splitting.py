"""Which rows train and which are held out: by contigs, as given, by shares of families, or in
folds.

The trap: rows are not independent. Rows of one family, and rows that share letters of the genome,
are held out together where the split is ours; where it is given, those that it parts are counted
and said.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orchid_genomics.data.labelled.schema import (
    SPLIT_NAMES,
    SPLITS,
    LabelledRecipe,
    LabelledSet,
    keys_of,
)
from orchid_genomics.errors import InputError
from orchid_genomics.genome.contigs import listed, shared
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import CODE, Interval
from orchid_genomics.sequence.hashing import Stream, as_fraction, hash_integers

_STRETCH = 1_000_000  # letters of a contig that stay in one fold where contigs are few


def split_of(data: LabelledSet, given: Sequence[str] | None, recipe: LabelledRecipe) -> np.ndarray:
    """0 train, 1 validation, 2 test (N,): by the recipe's contigs, else as `given`, else by shares
    of families.
    """
    if recipe.test_contigs or recipe.validation_contigs:
        return _split_by_contig(data, recipe)
    if given is not None:
        split = np.full(len(data), -1, np.int8)
        for row, word in enumerate(given):
            code = SPLIT_NAMES.get(str(word).strip().lower())
            if code is None:
                message = f"the split {word!r} is unknown"
                raise InputError(data.where[row], message, "train, validation or test")
            split[row] = code
        return split
    families = data.group
    if data.places is not None:
        families = join_groups(data.group, _clusters(data.places))
    # Without a seed: the same data are split alike in every run.
    fraction = as_fraction(hash_integers(Stream.FAMILY_SPLIT, families))
    held = recipe.test_share + recipe.validation_share
    split = np.zeros(len(data), np.int8)
    split[fraction < held] = SPLITS.index("validation")
    split[fraction < recipe.test_share] = SPLITS.index("test")
    return split


def _split_by_contig(data: LabelledSet, recipe: LabelledRecipe) -> np.ndarray:
    if data.places is None:
        message = "has no coordinates"
        raise InputError(data.name, message, "chrom, start and end, or no test_contigs")
    known = sorted({place.contig for place in data.places})
    given = {*recipe.validation_contigs, *recipe.test_contigs}
    own = shared(sorted(given), known, "validation_contigs and test_contigs", data.name)
    unknown = sorted(given - own.keys())
    if unknown:
        message = f"no row on contig {unknown[0]!r}"
        raise InputError(data.name, message, f"possible: {listed(known)}")
    validation = {own[name] for name in recipe.validation_contigs}
    test = {own[name] for name in recipe.test_contigs}
    if validation & test:
        message = f"{min(validation & test)} is in both validation_contigs and test_contigs"
        raise InputError(data.name, message, "one split a contig")
    split = np.zeros(len(data), np.int8)
    for row, place in enumerate(data.places):
        if place.contig in test:
            split[row] = SPLITS.index("test")
        elif place.contig in validation:
            split[row] = SPLITS.index("validation")
    return split


def join_groups(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Numbers (N,) of rows that hang together: that share a number of either kind, or do so through
    other rows.
    """
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(other, return_inverse=True)
    count = int(a.max()) + int(b.max()) + 2
    # A graph of the numbers of both kinds, in which each row links its two.
    links = coo_array((np.ones(len(a), bool), (a, b + int(a.max()) + 1)), (count, count))
    return connected_components(links, directed=False)[1][a]


def _clusters(places: Sequence[Interval]) -> np.ndarray:
    """Numbers (N,) of the stretches that overlapping places cover together."""
    _, contig = np.unique([place.contig for place in places], return_inverse=True)
    start = np.array([place.start for place in places], np.int64)
    end = np.array([place.end for place in places], np.int64)
    cluster = np.zeros(len(places), np.int64)
    number, reach, last = -1, 0, -1
    for row in np.lexsort((start, contig)):
        if contig[row] != last or start[row] >= reach:
            number += 1
            reach = int(end[row])
            last = contig[row]
        cluster[row] = number
        reach = max(reach, int(end[row]))
    return cluster


def check_splits(data: LabelledSet, recipe: LabelledRecipe) -> LabelledSet:
    """A split set made ready: conflicts refused or dropped, every split fit to learn from.

    Raises
    ------
    InputError
        For rows in conflict, a split without rows or whose answers are all the same, and a class
        that training does not know.
    """
    data = without_conflicts(data, recipe.conflicts)
    _check_answers_differ(data)
    if data.task.has_classes:
        _check_classes_are_trained(data)
    data = replace(data, notes=(*data.notes, *_overlaps(data)))
    train = data.rows("train")
    if recipe.train_rows is None or recipe.train_rows >= len(train):
        return data
    order = np.argsort(hash_integers(Stream.TRAINING_ROWS, train), kind="stable")
    chosen = train[order[: recipe.train_rows]]
    kept = np.sort(np.concatenate([chosen, data.rows("validation"), data.rows("test")]))
    return data.take(kept, f"trained on {len(chosen):,} rows drawn at random from {len(train):,}")


def keep_share(data: LabelledSet, share: float) -> LabelledSet:
    """A set that trains on a share of the families of its training rows; a smaller share lies
    within a larger one.

    Raises
    ------
    InputError
        Where the share has rows of one answer alone, or lacks a class.
    """
    fraction = as_fraction(hash_integers(Stream.TRAINING_SHARE, data.group))
    is_train = data.split == SPLITS.index("train")
    part = data.take(np.flatnonzero(~is_train | (fraction < share)))
    where = f"training.shares {share:g}"
    count = len(part.rows("train"))
    possible = "a larger share, or more rows"
    if not count:
        raise InputError(where, f"no training row of {data.name} is in it", possible)
    target = part.target[part.rows("train")]
    if data.task.has_classes:
        for code in np.setdiff1d(data.target[is_train], target):
            message = f"no training row of {data.labels[code]!r} is among its {count:,}"
            raise InputError(where, message, possible)
    elif (target == target[0]).all():
        raise InputError(where, f"all of its {count:,} training rows are alike", possible)
    return part


def without_conflicts(data: LabelledSet, how: str) -> LabelledSet:
    """Refuse, or drop, training and validation rows whose sequence has another answer in a later
    split.

    Equal on its own strand counts as equal where rows are stranded, else on either. Numbers are
    never in conflict.
    """
    if data.task.has_numbers or data.task.bin:
        return data
    keys = keys_of(data.tokens, "forward" if data.stranded else "both")
    answer = [np.asarray(row).tobytes() for row in data.target]
    last: dict[bytes, int] = {}
    # Test rows first: their answers stand.
    for row in np.argsort(-data.split, kind="stable"):
        last.setdefault(keys[row], int(row))
    bad = []
    for row, key in enumerate(keys):
        if answer[last[key]] != answer[row] and data.split[last[key]] > data.split[row]:
            bad.append(row)
    if not bad:
        return data
    if how == "error":
        row, other = bad[0], last[keys[bad[0]]]
        where = f"{SPLITS[data.split[row]]} row {data.where[row]}"
        same = np.array_equal(data.tokens[row] & CODE, data.tokens[other] & CODE)
        sequence = "the sequence" if same else "the sequence on the other strand"
        later = f"{SPLITS[data.split[other]]} ({data.where[other]})"
        message = f"{sequence} has another label in {later}; {len(bad):,} such rows"
        raise InputError(where, message, 'data.conflicts = "drop" leaves them out')
    kept = np.setdiff1d(np.arange(len(data)), bad)
    note = f"dropped {len(bad):,} rows whose sequence has another label in a later split"
    return data.take(kept, note)


def _check_answers_differ(data: LabelledSet) -> None:
    """Every split has rows, and rows whose answers differ."""
    for split in SPLITS:
        rows = data.rows(split)
        if not len(rows):
            possible = "a split column, contigs, or shares that fill all three"
            raise InputError(data.name, f"no row is in {split}", possible)
        columns = data.target.shape[-1] if data.target.ndim > 1 else 1
        flat = data.target[rows].reshape(-1, columns)
        flat = flat[np.isfinite(flat).all(1)]
        if len(np.unique(flat, axis=0)) < 2:
            same = "same answer"
            if data.task.has_classes:
                same = f"label {data.labels[int(flat[0, 0])]!r}"
            message = f"all {len(rows):,} rows of {split} have the {same}"
            differ = "answers that differ in train, validation and test"
            ways = "another split, larger shares, or training.folds"
            raise InputError(data.name, message, f"{differ}: {ways}")


def _check_classes_are_trained(data: LabelledSet) -> None:
    """Every class of validation and test is in training."""
    known = set(data.target[data.rows("train")].tolist())
    for split in ("validation", "test"):
        for row in data.rows(split):
            if data.target[row] not in known:
                label = data.labels[data.target[row]]
                message = f"the label {label!r} of {split} is unknown in training"
                seen = listed(data.labels[code] for code in sorted(known))
                raise InputError(data.where[row], message, seen)


def _overlaps(data: LabelledSet) -> list[str]:
    """The overlap check: held-out rows whose letters of the genome, or whose family, training has
    too.
    """
    train = data.rows("train")
    held = np.concatenate([data.rows("validation"), data.rows("test")])
    notes = []
    kin = int(np.isin(data.group[held], data.group[train]).sum())
    if kin:
        what = "validation and test rows of a family (the group column, else equal letters)"
        notes.append(f"{what} that is in training too: {kin:,}")
    if data.places is not None:
        trained = Regions.from_intervals(data.places[row] for row in train)
        touching = 0
        for row in held:
            place = data.places[row]
            start, end = np.array([place.start]), np.array([place.end])
            touching += bool(trained.touches(place.contig, start, end)[0])
        what = "validation and test rows that share letters of the genome with training rows"
        notes.append(f"{what}: {touching:,}")
    return notes


def folds_of(data: LabelledSet, folds: int, recipe: LabelledRecipe) -> list[LabelledSet]:
    """The set divided `folds` times: every row is tested once; the next fold validates, the others
    train.

    Whole contigs stay together where there are enough of them, else stretches of 1 Mb; families
    where there are no coordinates. Any split that `data` has is set aside.

    Raises
    ------
    InputError
        For fewer than three folds, or fewer such units than folds.
    """
    if folds < 3:
        message = f"{folds} folds leave none to train on"
        raise InputError("training.folds", message, "3 or more, or 0 for the split")
    units = data.group
    if data.places is not None:
        few = len({place.contig for place in data.places}) < folds
        keys = [(place.contig, place.start // _STRETCH if few else 0) for place in data.places]
        index = {key: number for number, key in enumerate(sorted(set(keys)))}
        units = np.array([index[key] for key in keys])
    names, counts = np.unique(units, return_counts=True)
    if len(names) < folds:
        message = f"has {len(names)} families for {folds} folds"
        raise InputError(data.name, message, f"at most {len(names)} folds")
    # The largest first, each into the smallest fold so far.
    order = np.lexsort((hash_integers(Stream.FAMILY_FOLD, names), -counts))
    sizes = np.zeros(folds, np.int64)
    fold_of_unit = np.zeros(int(names.max()) + 1, np.int64)
    for at in order:
        fold = int(sizes.argmin())
        fold_of_unit[names[at]] = fold
        sizes[fold] += counts[at]
    fold_of_row = fold_of_unit[units]
    sets = []
    for fold in range(folds):
        split = np.zeros(len(data), np.int8)
        split[fold_of_row == (fold + 1) % folds] = SPLITS.index("validation")
        split[fold_of_row == fold] = SPLITS.index("test")
        sets.append(check_splits(replace(data, split=split), recipe))
    return sets
