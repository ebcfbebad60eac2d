"""Chance as a hash of integers: the same draw whatever the workers, ranks or order of asking."""

import numpy as np


def mixed(*parts: int | np.ndarray) -> np.ndarray:
    """A uint64 hash of integers, broadcast together: splitmix64 folded over the parts."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = (state ^ np.atleast_1d(np.asarray(part)).astype(np.uint64)) + np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state
