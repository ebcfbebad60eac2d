"""Associative recall: key value key value ..., a key that occurred before, and its value to be
given.

The first half of the symbols are keys, the second half values; which value a key has is drawn anew
for every sequence (Fu et al. 2023, arXiv:2212.14052; Karami & Ghodsi 2024, arXiv:2402.18508). The
trap: two keys may share a value, so the commonest value of a sequence is right more often than
chance.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from orchid_genomics.recipe import Strict
from orchid_genomics.sequence.hashing import Stream, hash_integers


class RecallRecipe(Strict):
    """The `[recall]` block: sequences made up on the spot, in place of genomes."""

    vocabulary: int = Field(default=20, ge=4, le=100, multiple_of=2)
    """Symbols: half are keys, half values."""
    length: int = Field(default=128, ge=32, multiple_of=2)
    """Letters of a sequence, the query and its answer among them."""

    @property
    def alphabet(self) -> str:
        """The name of the alphabet that a model of these sequences needs."""
        return f"symbols:{self.vocabulary}"


class Recall:
    """Sequences of one length, in steps of `batch` rows: a closed form of (seed, step, row).

    Letters 0, 2, 4, ... are keys and the letter after each its value; the last key is the query,
    drawn evenly from the keys that occurred before it, and the last letter is the answer.
    """

    def __init__(self, recipe: RecallRecipe, length: int, batch: int = 1) -> None:
        self.keys, self.length, self.rows = recipe.vocabulary // 2, length, batch

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, L) uint8 of these rows of a step."""
        row_B1 = np.asarray(rows, np.int64)[:, None]
        pairs, each = np.arange(self.length // 2 - 1), np.arange(self.keys)
        count = np.uint64(self.keys)
        key_hash = hash_integers(seed, Stream.RECALL_KEY, step, row_B1, pairs)
        key_BP = (key_hash % count).astype(np.intp)
        value_hash = hash_integers(seed, Stream.RECALL_VALUE, step, row_B1, each)
        # Values follow keys among the symbols.
        value_BK = (value_hash % count).astype(np.uint8) + np.uint8(self.keys)
        seen_BK = np.zeros(value_BK.shape, bool)
        np.put_along_axis(seen_BK, key_BP, True, 1)
        # A bit is dropped so that adding one cannot wrap to 0, which stands for keys never seen.
        drawn_BK = hash_integers(seed, Stream.RECALL_QUERY, step, row_B1, each) >> np.uint64(1)
        query_B1 = np.where(seen_BK, drawn_BK + np.uint64(1), np.uint64(0)).argmax(1)[:, None]
        key_BP = np.concatenate([key_BP, query_B1], 1)
        return np.stack(
            [key_BP.astype(np.uint8), np.take_along_axis(value_BK, key_BP, 1)], 2
        ).reshape(len(row_B1), -1)

    def places(self, seed: int, step: int, rows: Sequence[int]) -> list[str]:
        """What to call these rows of a step in a message, from 1."""
        return [f"row {row + 1}" for row in rows]


def commonest(tokens_BL: np.ndarray) -> np.ndarray:
    """The value that a sequence shows most often (B,), the lowest of several: what counting alone
    can answer.
    """
    shown_BP = tokens_BL[:, 1:-1:2].astype(np.intp)
    row_B1 = np.arange(len(shown_BP))[:, None]
    count_BV = np.zeros((len(shown_BP), 256), np.int64)
    np.add.at(count_BV, (row_B1, shown_BP), 1)
    return count_BV.argmax(1).astype(np.uint8)


def look_up(tokens_BL: np.ndarray) -> np.ndarray:
    """The value after the last earlier query (B,): exact matching, right always."""
    matches_BP = tokens_BL[:, :-2:2] == tokens_BL[:, -2:-1]
    # `argmax` finds the first, so the last is sought from the end.
    last_B1 = matches_BP.shape[1] - 1 - matches_BP[:, ::-1].argmax(1)[:, None]
    return np.take_along_axis(tokens_BL[:, 1:-1:2], last_B1, 1)[:, 0]
