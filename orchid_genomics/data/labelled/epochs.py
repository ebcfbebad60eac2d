"""Rows of a labelled set in steps: every row once an epoch, and all rows of a step of one transform
length.

A closed form of (seed, step, row), so that a resumed run reads the same rows. The trap: a length
that few rows have does not fill its batch; what is missing is filled with rows of weight 0, so that
nothing counts twice.
"""

from collections.abc import Sequence

import numpy as np

from orchid_genomics.sequence import DNA
from orchid_genomics.sequence.hashing import Stream, hash_integers


class Epochs:
    """The rows `rows` of `tokens`, in steps of `batch`; `lengths` (of all tokens) are what a row is
    padded to.

    With `flip`, half of the rows of an epoch are read on the other strand.
    """

    def __init__(
        self,
        tokens: Sequence[np.ndarray],
        rows: np.ndarray,
        lengths: np.ndarray,
        batch: int,
        flip: bool = False,
    ) -> None:
        self.tokens, self.rows, self.flip = tokens, batch, flip
        self.lengths = np.asarray(lengths)
        self.groups = [
            rows[self.lengths[rows] == length] for length in np.unique(self.lengths[rows])
        ]
        counts = [-(-len(group) // batch) for group in self.groups]
        self.steps = sum(counts)
        self._step_group = np.repeat(np.arange(len(counts)), counts)
        self._step_part = (
            np.concatenate([np.arange(count) for count in counts]) if counts else np.empty(0, int)
        )
        self._orders: tuple[tuple[int, int], list[np.ndarray], np.ndarray] | None = None

    def examples(self, seed: int, step: int, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Which row of the set each row of a step reads (B,), and its weight (B,): 0 for what only
        fills the batch.
        """
        epoch, at = divmod(step, self.steps)
        orders, steps = self._order(seed, epoch)
        at = steps[at]
        group, part = orders[self._step_group[at]], self._step_part[at]
        index = part * self.rows + np.asarray(rows)
        # What fills the last batch of a group are its first rows again, of no weight.
        return group[index % len(group)], (index < len(group)).astype(np.float32)

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, N) uint8 of these rows of a step, padded at the end."""
        examples, _ = self.examples(seed, step, rows)
        # Rows of a step are of one length as padded, so that of the first is that of all.
        tokens_BN = np.full((len(examples), self.lengths[examples[0]]), DNA.pad, np.uint8)
        coin = hash_integers(seed, Stream.ROW_STRAND, step, np.asarray(rows))
        turned = coin >> np.uint64(63) == 1
        for row, example in enumerate(examples):
            letters = self.tokens[example]
            if self.flip and turned[row]:
                letters = DNA.reverse_complement(letters)
            tokens_BN[row, : len(letters)] = letters
        return tokens_BN

    def places(self, seed: int, step: int, rows: Sequence[int]) -> list[str]:
        """What to call these rows of a step in a message, from 1."""
        return [f"row {example + 1}" for example in self.examples(seed, step, rows)[0]]

    def _order(self, seed: int, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Every group, and the steps, in the order of one epoch; the newest is kept."""
        if self._orders is None or self._orders[0] != (seed, epoch):
            orders = [
                group[
                    np.argsort(hash_integers(seed, Stream.ROW_ORDER, epoch, group), kind="stable")
                ]
                for group in self.groups
            ]
            draw = hash_integers(seed, Stream.STEP_ORDER, epoch, np.arange(self.steps))
            steps = np.argsort(draw, kind="stable")
            self._orders = (seed, epoch), orders, steps
        return self._orders[1:]
