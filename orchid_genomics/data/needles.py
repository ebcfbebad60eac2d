"""A key of some letters hidden in real sequence, and what follows it asked back at another place.

The trap: near-duplicates of the key stand in the window too, each with letters of its own behind
it, so that a match that is nearly right gives a wrong answer.
"""

import numpy as np
from pydantic import Field

from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import CODE, DNA


class NeedleRecipe(Strict):
    """What is planted in each window; lengths are in nt."""

    key: int = Field(default=24, ge=8)
    value: int = Field(default=24, ge=1)
    """Letters behind the key, which are asked back."""
    distractors: int = Field(default=4, ge=0)
    """Near-duplicates of the key, with other letters behind them."""
    changed: int = Field(default=3, ge=1)
    """Letters of a distractor's key that differ, 1 to this many."""


def plant_needle(tokens_L: np.ndarray, recipe: NeedleRecipe, *key: int) -> tuple[np.ndarray, slice]:
    """A window with needle, distractors and question in it, and where its answer belongs.

    What is asked back is in the returned codes (L,); hide it to ask. Needle and distractors lie at
    random places of the window's first nine tenths, the question in the rest.

    Parameters
    ----------
    tokens_L : ndarray
        Natural letters; not changed.
    key : int
        Of the draw: the same window for the same numbers.
    """
    rng = np.random.default_rng(key)
    row = tokens_L & CODE
    size = recipe.key + recipe.value
    parts = [rng.integers(0, DNA.count, size).astype(np.uint8)]
    for _ in range(recipe.distractors):
        part = rng.integers(0, DNA.count, size).astype(np.uint8)
        part[: recipe.key] = parts[0][: recipe.key]
        at = rng.choice(recipe.key, rng.integers(1, recipe.changed + 1), replace=False)
        part[at] = (part[at] + rng.integers(1, DNA.count, len(at))) % DNA.count
        parts.append(part)
    room = len(row) * 9 // 10 // size
    for slot, part in zip(rng.choice(room, len(parts), replace=False), parts, strict=True):
        row[slot * size : (slot + 1) * size] = part
    first = len(row) - int(rng.integers(size + 1, len(row) // 10))
    row[first : first + size] = parts[0]
    return row, slice(first + recipe.key, first + size)
