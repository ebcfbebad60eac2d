"""Whether rows stand on their own strand, where no column says it: promoters along their gene,
exons before their introns.

The trap: a table of sequences alone looks alike either way. Read on both strands an oriented set
loses what its orientation says, and read on one any other loses half of its examples. So the rows
are asked: words and places fitted on training rows as they stand answer validation rows as they
stand, and turned to the other strand. Where the strand means nothing both are answered alike.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.sets import open_folds, open_set
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.linear import has_places, kmer_counts, one_hot
from orchid_genomics.sequence import DNA

CLEAR = 4.0
"""Standard errors by which rows as they stand must be answered better. Of 37 sets the 30 without a
strand are within 2, the seven on their own strand beyond 6."""
ROWS, LETTERS = 2_000, 8_000_000
"""Of a split that are read, at most."""
FEWEST = 20
"""Families of validation rows below which nothing is said."""
PENALTIES = np.logspace(1, 6, 11)
K = 4
"""Letters of the words."""


@dataclass(frozen=True)
class Orientation:
    """How validation rows are answered as they stand and from the other strand: squared errors in
    units of the training labels' variance, means over families."""

    own: float
    other: float
    errors: float
    """The difference, in standard errors."""

    @property
    def is_clear(self) -> bool:
        """Whether rows stand on their own strand."""
        return self.errors >= CLEAR

    @property
    def words(self) -> str:
        """For notes."""
        return (
            f"words and places of rows as they stand have an error of {self.own:.3f} on validation,"
            f" from the other strand {self.other:.3f}, {self.errors:.1f} standard errors apart"
        )


def sets_of(recipe: FinetuneRecipe) -> list[LabelledSet]:
    """The split set of a recipe, or that of each fold, `oriented` where neither recipe nor
    data say the strand and its rows do.

    Raises
    ------
    InputError
        As `data.labelled.sets.open_set` and `open_folds` do.
    """
    folds = recipe.training.folds
    sets = open_folds(recipe.data, folds) if folds else [open_set(recipe.data)]
    if recipe.head.strand != "auto" or recipe.head.kind is not None:
        return sets
    return [_settled(data) for data in sets]


def _settled(data: LabelledSet) -> LabelledSet:
    found = orientation_of(data)
    if found is None or not found.is_clear:
        return data
    return replace(data, oriented=True, notes=(*data.notes, found.words))


def orientation_of(data: LabelledSet) -> Orientation | None:
    """What training and validation rows say; None where the data name the strand, answer along
    rows, or have too few families of validation rows.
    """
    if data.stranded or data.task.bin:
        return None
    count = min(ROWS, LETTERS // int(np.median(data.lengths)))
    draw = np.random.default_rng(0)
    train, validation = (
        draw.permutation(data.rows(split))[:count] for split in ("train", "validation")
    )
    families, family = np.unique(data.group[validation], return_inverse=True)
    if len(families) < FEWEST:
        return None
    taught, truth = data.numbers(train), data.numbers(validation)
    mean, spread = taught.mean(0), taught.std(0)
    spread[spread == 0] = 1
    taught, truth = (taught - mean) / spread, (truth - mean) / spread
    placed = has_places(data)
    fitted = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    fitted.fit(_features(data.take(train), placed), taught)
    held_out = data.take(validation)
    turned = replace(held_out, tokens=[DNA.reverse_complement(row) for row in held_out.tokens])

    def squares(rows: LabelledSet) -> np.ndarray:
        """Of every family, for its rows are alike."""
        # One number a row comes without a column of its own.
        said = fitted.predict(_features(rows, placed)).reshape(truth.shape)
        return np.bincount(family, ((said - truth) ** 2).mean(1)) / np.bincount(family)

    own, other = squares(held_out), squares(turned)
    worse = other - own
    error = worse.std(ddof=1) / np.sqrt(len(worse))
    # Rows that are their own reverse complements differ by nothing.
    errors = float(worse.mean() / error) if error > 0 else 0.0
    return Orientation(float(own.mean()), float(other.mean()), errors)


def _features(data: LabelledSet, placed: bool) -> np.ndarray:
    """Words of one strand, and letters by position where `placed` (N, F)."""
    words = kmer_counts(data, K, 0, "forward").toarray()
    return np.hstack([words, one_hot(data).toarray()]) if placed else words
