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


def split_of(found: LabelledSet, given: Sequence[str] | None, recipe: LabelledRecipe) -> np.ndarray:
    """0 train, 1 validation, 2 test (N,): by the recipe's contigs, else as `given`, else by shares
    of families.
    """
    if recipe.test_contigs or recipe.validation_contigs:
        return _by_contig(found, recipe)
    if given is not None:
        split = np.full(len(found), -1, np.int8)
        for row, word in enumerate(given):
            code = SPLIT_NAMES.get(str(word).strip().lower())
            if code is None:
                raise InputError(
                    found.where[row], f"the split {word!r} is unknown", "train, validation or test"
                )
            split[row] = code
        return split
    families = found.group if found.places is None else joined(found.group, _clusters(found.places))
    place = as_fraction(hash_integers(Stream.FAMILY_SPLIT, families))
    held = recipe.test_share + recipe.validation_share
    return np.where(place < recipe.test_share, 2, np.where(place < held, 1, 0)).astype(np.int8)


def _by_contig(found: LabelledSet, recipe: LabelledRecipe) -> np.ndarray:
    if found.places is None:
        raise InputError(
            found.name, "has no coordinates", "chrom, start and end, or no test_contigs"
        )
    known = sorted({place.contig for place in found.places})
    given = {1: set(recipe.validation_contigs), 2: set(recipe.test_contigs)}
    own = shared(
        sorted(given[1] | given[2]), known, "validation_contigs and test_contigs", found.name
    )
    unknown = sorted(name for names in given.values() for name in names if name not in own)
    if unknown:
        raise InputError(
            found.name, f"no row on contig {unknown[0]!r}", f"possible: {listed(known)}"
        )
    validation, test = ({own[name] for name in names} for names in given.values())
    if validation & test:
        what = f"{min(validation & test)} is in both validation_contigs and test_contigs"
        raise InputError(found.name, what, "one split a contig")
    return np.array(
        [2 if p.contig in test else 1 if p.contig in validation else 0 for p in found.places],
        np.int8,
    )


def joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Numbers (N,) of rows that hang together: that share a number of either kind, or do so through
    other rows.
    """
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(other, return_inverse=True)
    count = int(a.max()) + int(b.max()) + 2
    links = coo_array((np.ones(len(a), bool), (a, b + int(a.max()) + 1)), (count, count))
    return connected_components(links, directed=False)[1][a]


def _clusters(places: Sequence[Interval]) -> np.ndarray:
    """Numbers (N,) of the stretches that overlapping places cover together."""
    _, contig = np.unique([place.contig for place in places], return_inverse=True)
    start, end = (
        np.array([getattr(place, side) for place in places], np.int64) for side in ("start", "end")
    )
    order = np.lexsort((start, contig))
    found, number, reach, last = np.zeros(len(places), np.int64), -1, 0, -1
    for row in order:
        if contig[row] != last or start[row] >= reach:
            number, reach, last = number + 1, int(end[row]), contig[row]
        found[row], reach = number, max(reach, int(end[row]))
    return found


def checked(found: LabelledSet, recipe: LabelledRecipe) -> LabelledSet:
    """A split set made ready: conflicts refused or dropped, every split fit to learn from, what it
    parts noted.

    Raises InputError for what the functions below name.
    """
    found = without_conflicts(found, recipe.conflicts)
    _each_split(found)
    found = replace(found, notes=(*found.notes, *_parted(found)))
    train = found.rows("train")
    if recipe.train_rows is None or recipe.train_rows >= len(train):
        return found
    order = np.argsort(hash_integers(Stream.TRAINING_ROWS, train), kind="stable")
    drawn = train[order[: recipe.train_rows]]
    kept = np.sort(np.concatenate([drawn, found.rows("validation"), found.rows("test")]))
    return found.take(kept, f"trained on {len(drawn):,} rows drawn at random from {len(train):,}")


def without_conflicts(found: LabelledSet, how: str) -> LabelledSet:
    """Refuse, or drop, training and validation rows whose sequence has another answer in a later
    split.

    Equal on its own strand counts as equal where rows are stranded, else on either. Numbers are
    never in conflict.
    """
    if found.task in ("regression",) or found.bin:
        return found
    keys = keys_of(found.tokens, "forward" if found.stranded else "both")
    answer = [np.asarray(row).tobytes() for row in found.target]
    last: dict[bytes, int] = {}
    for row in np.argsort(-found.split, kind="stable"):  # test first: its answer stands
        last.setdefault(keys[row], int(row))
    bad = [
        r
        for r, key in enumerate(keys)
        if answer[last[key]] != answer[r] and found.split[last[key]] > found.split[r]
    ]
    if not bad:
        return found
    if how == "error":
        row, other = bad[0], last[keys[bad[0]]]
        where = f"{SPLITS[found.split[row]]} row {found.where[row]}"
        same = np.array_equal(found.tokens[row] & CODE, found.tokens[other] & CODE)
        turned = "" if same else " on the other strand"
        text = f"the sequence{turned} has another label in {SPLITS[found.split[other]]} ({found.where[other]})"
        raise InputError(
            where, f"{text}; {len(bad):,} such rows", 'data.conflicts = "drop" leaves them out'
        )
    kept = np.setdiff1d(np.arange(len(found)), bad)
    return found.take(
        kept, f"dropped {len(bad):,} rows whose sequence has another label in a later split"
    )


def _each_split(found: LabelledSet) -> None:
    """Every split has rows whose answers differ; every class of validation and test is in training."""
    for split in SPLITS:
        rows = found.rows(split)
        if not len(rows):
            what = "a split column, contigs, or shares that fill all three"
            raise InputError(found.name, f"no row is in {split}", what)
        flat = found.target[rows].reshape(
            -1, found.target.shape[-1] if found.target.ndim > 1 else 1
        )
        flat = flat[np.isfinite(flat).all(1)]
        if len(np.unique(flat, axis=0)) < 2:
            is_class = found.task in ("binary", "multiclass")
            same = f"label {found.labels[int(flat[0, 0])]!r}" if is_class else "same answer"
            what = (
                "answers that differ in train, validation and test: another split, or larger shares"
            )
            raise InputError(found.name, f"all {len(rows):,} rows of {split} have the {same}", what)
    if found.task not in ("binary", "multiclass"):
        return
    known = set(found.target[found.rows("train")].tolist())
    for split in ("validation", "test"):
        for row in found.rows(split):
            if found.target[row] not in known:
                label = found.labels[found.target[row]]
                seen = listed(found.labels[code] for code in sorted(known))
                raise InputError(
                    found.where[row], f"the label {label!r} of {split} is unknown in training", seen
                )


def _parted(found: LabelledSet) -> list[str]:
    """The overlap check: held-out rows whose letters of the genome, or whose family, training has
    too.
    """
    train, held = (
        found.rows("train"),
        np.concatenate([found.rows("validation"), found.rows("test")]),
    )
    notes = []
    kin = int(np.isin(found.group[held], found.group[train]).sum())
    if kin:
        what = "validation and test rows of a family (the group column, else equal letters)"
        notes.append(f"{what} that is in training too: {kin:,}")
    if found.places is not None:
        places = Regions.from_intervals(found.places[row] for row in train)
        ours = [found.places[row] for row in held]
        touching = sum(
            bool(places.touches(p.contig, np.array([p.start]), np.array([p.end]))[0]) for p in ours
        )
        notes.append(
            f"validation and test rows that share letters of the genome with training rows: {touching:,}"
        )
    return notes


def folds_of(whole: LabelledSet, folds: int, recipe: LabelledRecipe) -> list[LabelledSet]:
    """The set divided `folds` times: every row is tested once; the next fold validates, the others
    train.

    Whole contigs stay together where there are enough of them, else stretches of 1 Mb; families
    where there are no coordinates. Any split that `whole` has is set aside. Raises InputError for
    fewer than three folds, or fewer such units than folds.
    """
    if folds < 3:
        raise InputError(
            "training.folds",
            f"{folds} folds leave none to train on",
            "3 or more, or 0 for the split",
        )
    units = whole.group
    if whole.places is not None:
        contigs = [place.contig for place in whole.places]
        few = len(set(contigs)) < folds
        keys = [(place.contig, place.start // _STRETCH if few else 0) for place in whole.places]
        index = {key: number for number, key in enumerate(sorted(set(keys)))}
        units = np.array([index[key] for key in keys])
    names, counts = np.unique(units, return_counts=True)
    if len(names) < folds:
        raise InputError(
            whole.name,
            f"has {len(names)} families for {folds} folds",
            f"at most {len(names)} folds",
        )
    # the largest first, each into the smallest fold so far
    order = np.lexsort((hash_integers(Stream.FAMILY_FOLD, names), -counts))
    sizes, of = np.zeros(folds, np.int64), np.zeros(int(names.max()) + 1, np.int64)
    for at in order:
        fold = int(sizes.argmin())
        of[names[at]], sizes[fold] = fold, sizes[fold] + counts[at]
    fold = of[units]
    splits = [
        np.where(fold == at, 2, np.where(fold == (at + 1) % folds, 1, 0)).astype(np.int8)
        for at in range(folds)
    ]
    return [checked(replace(whole, split=split), recipe) for split in splits]
