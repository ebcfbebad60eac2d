"""Chance as a hash of integers: the same draw whatever the workers, ranks or order of asking.

The trap: two draws that hash the same numbers are one draw. So each use has a stream of its own,
and every stream stands in one list here.
"""

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """What a hash decides; the number is one part of what is hashed, and never changes.

    A new use takes a new number. An old number decides which letters a run trains on and which it
    is tested on, so a changed one would give another model from the same recipe.
    """

    # windows that train (data.sampling)
    WINDOW_ORDER = 1
    WINDOW_JITTER = 2
    WINDOW_STRAND = 3
    # letters hidden in training (train.objectives, train.supervised)
    HIDDEN_LETTER = 11
    SHOWN_AS = 12
    OTHER_LETTER = 13
    HIDDEN_SHARE = 14
    INPUT_NOISE = 15
    # letters asked for in evaluation (evaluate.masked_letters)
    ASKED_LETTER = 21
    ASKED_SITE = 22
    # coding changes and their folds (genome.coding, evaluate.variants)
    CODING_GENE = 31
    CONTEXT_FOLD = 33
    # rows of a labelled set (data.labelled)
    FAMILY_SPLIT = 41
    TRAINING_ROWS = 42
    FAMILY_FOLD = 43
    TRAINING_SHARE = 44
    ROW_ORDER = 51
    STEP_ORDER = 52
    ROW_STRAND = 53
    # windows that elements are held against (score.elements.background)
    BACKGROUND_WINDOW = 54
    # sequences of associative recall (data.recall)
    RECALL_KEY = 61
    RECALL_VALUE = 62
    RECALL_QUERY = 63
    # planted copies (data.copies)
    COPY_LENGTH = 71
    COPY_DISTANCE = 72
    COPY_PLACE = 73
    COPY_SIDE = 74
    COPY_STRAND = 75
    COPY_RATE = 76
    COPY_CHANGE = 77
    COPY_LETTER = 78
    COPY_PRESENT = 79
    # windows without relatives beside them (data.relatives)
    ALONE = 80
    # windows without a peak (data.negatives)
    NEGATIVE_GRID = 81
    NEGATIVE_POOL = 82
    NEGATIVE_SHUFFLE = 83
    # references of attributions (explain.references)
    REFERENCE_SHUFFLE = 91


def hash_integers(*parts: int | np.ndarray) -> np.ndarray:
    """Hash integers to uint64: splitmix64 (Steele et al. 2014, OOPSLA) folded over the parts.

    Parameters
    ----------
    parts : int or ndarray
        Broadcast together; the order counts. One of them is a `Stream`.

    Returns
    -------
    ndarray of uint64
        At least one-dimensional.
    """
    # An array and no scalar: the sums and products must wrap around, and numpy warns of that for
    # scalars alone.
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = state ^ np.atleast_1d(np.asarray(part)).astype(np.uint64)
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def as_fraction(state: np.ndarray) -> np.ndarray:
    """The top 53 bits of a hash as a number in [0, 1), exact in float64."""
    return (state >> np.uint64(11)) * (1.0 / (1 << 53))
