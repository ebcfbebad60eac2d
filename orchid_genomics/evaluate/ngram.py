"""Count models of a letter given its neighbours: what any trained model has to beat, on the same
split.

The counts come from the training contigs, both strands; the weights of the mixture from the
validation contigs. Tune under the protocol of the evaluation (the same share of masked neighbours),
and never on the test contigs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.kmer_tables import MOST_UNSEEN, Kmers

SHAPES = ((2, 0), (4, 4), (12, 0), (6, 6))  # letters on the left and on the right
_SIZES, _SHARES = (
    41,
    4,
)  # buckets: half-powers of two of the context's count, quarters of its commonest letter's share
_SWEEPS = 5  # over all levels; the third changes under 0.0005 bits
_CHUNK = 1 << 17  # targets at once


@dataclass(frozen=True)
class Counts:
    """P(letter | `left` letters before, `right` after) as interpolated counts, growing outwards
    from the letter.

    Each level sees a letter more on both sides (three more where there is one side), and its
    relative frequencies f are mixed into the level below, p_m = w f + (1 - w) p_(m-1), with a
    weight w for every level and bucket of contexts (how often seen, how much of it one letter):
    Jelinek & Mercer (1980), with the buckets of Chen & Goodman (1999). Counts are summed over what
    an unseen neighbour (hidden, N, or beyond the contig) may be; a level that sees no letter more
    than the one below is passed over.

    Attributes: `kmers` at least left + right + 1 letters long; `weights` (levels, buckets).
    """

    kmers: Kmers
    left: int
    right: int
    weights: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if min(self.left, self.right) < 0 or self.left + self.right + 1 > self.kmers.k:
            raise ValueError(
                f"{self.left} letters before and {self.right} after, of {self.kmers.k}-mers"
            )
        if self.weights is None:  # before tuning: n sightings weigh n / (n + 16)
            sightings = 2.0 ** (np.arange(_SIZES * _SHARES) // _SHARES / 2) - 1
            weights = np.broadcast_to(
                sightings / (sightings + 16), (len(self.levels), _SIZES * _SHARES)
            )
            object.__setattr__(self, "weights", weights)

    @classmethod
    def fit(cls, contigs: Iterable[np.ndarray], left: int, right: int) -> "Counts":
        """Count `contigs`, each tokens (L,) uint8; the weights are a rule of thumb until `tuned`."""
        return cls(Kmers.count(contigs, left + right + 1), left, right)

    @property
    def name(self) -> str:
        if self.right == 0:
            return f"counts, {self.left} on the left"
        if self.left == self.right:
            return f"counts, {self.left} on both sides"
        return f"counts, {self.left} before, {self.right} after"

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Letters (before, after) seen by each level, from none to all: up to three more, one a
        side when both grow.
        """
        longest, step = max(self.left, self.right), 1 if min(self.left, self.right) else 3
        reach = [0, *range(longest % step or step, longest + 1, step)] if longest else [0]
        return [(min(m, self.left), min(m, self.right)) for m in reach]

    def tuned(
        self,
        contigs: Sequence[np.ndarray],
        hidden: Sequence[np.ndarray] | None = None,
        inside: Sequence[np.ndarray] | None = None,
        most: int = 200_000,
    ) -> "Counts":
        """The same counts with the likeliest weights for (validation) `contigs`.

        With `hidden` (a bool array (L,) a contig) the targets are the hidden letters, seen as in
        `bits`; without, every letter, all neighbours visible. `inside` (the same) are the letters
        that may be targets, where not the whole contig is held out. At most `most` targets are
        used, evenly spaced.
        """
        none: list[None] = [None] * len(contigs)
        masks, parts = hidden or none, inside or none
        targets = [_targets(*each) for each in zip(contigs, masks, parts, strict=True)]
        step = -(-sum(map(len, targets)) // most)
        if step == 0:
            raise InputError(
                "validation", "no known letter among the targets", "contigs with A C G T"
            )
        places = [each[::step] for each in targets]
        letters = np.concatenate(
            [self._letters(*each) for each in zip(contigs, places, masks, strict=True)]
        )
        true = np.concatenate(
            [tokens[at] & 0x7F for tokens, at in zip(contigs, places, strict=True)]
        ).astype(np.intp)
        evidence = [
            (np.take_along_axis(share_N4, true[:, None], 1)[:, 0], bucket, seen)
            for share_N4, bucket, seen in self._evidence(letters)
        ]
        return replace(self, weights=_likeliest(evidence, self.weights))

    def probabilities(
        self, tokens: np.ndarray, places: np.ndarray, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """P(letter) (N, 4) float64 at `places` (0-based, (N,)) of `tokens`; the letters there are
        not read.
        """
        letters = self._letters(tokens, places, hidden)
        p_N4 = np.full((len(letters), 4), 0.25)
        for weights, (share_N4, bucket, seen) in zip(
            self.weights, self._evidence(letters), strict=True
        ):
            p_N4 += np.where(seen, weights[bucket], 0)[:, None] * (share_N4 - p_N4)
        return p_N4

    def bits(
        self, tokens: np.ndarray, targets: np.ndarray, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """-log2 P(true letter), (N,) float32, at each target of one contig, in order.

        `targets` is a bool array (L,) or 0-based places (N,); `hidden` a bool array (L,) of the
        letters that no context may see (masked ones), besides N and what lies beyond the contig. A
        target must be a known letter.
        """
        places = np.flatnonzero(targets) if targets.dtype == bool else targets
        true = tokens[places] & 0x7F
        if (true > 3).any():
            raise ValueError(
                f"place {places[np.argmax(true > 3)]} (0-based) is no known letter, and so no target"
            )
        bits = np.empty(len(places), np.float32)
        for at in range(0, len(places), _CHUNK):
            part = slice(at, at + _CHUNK)
            p_N4 = self.probabilities(tokens, places[part], hidden)
            bits[part] = -np.log2(
                np.take_along_axis(p_N4, true[part, None].astype(np.intp), 1)[:, 0]
            )
        return bits

    def _letters(
        self, tokens: np.ndarray, places: np.ndarray, hidden: np.ndarray | None
    ) -> np.ndarray:
        """Codes (N, left + 1 + right) around `places`; 4 where not to be seen."""
        codes = np.full(self.left + len(tokens) + self.right, 4, np.uint8)
        inside = codes[self.left : self.left + len(tokens)]
        inside[:] = np.minimum(tokens & 0x7F, 4)
        if hidden is not None:
            inside[hidden] = 4
        return codes[places[:, None] + np.arange(self.left + 1 + self.right)]

    def _evidence(
        self, letters_NK: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Each level's relative frequencies (N, 4), bucket (N,), and whether it says anything new
        (N,).
        """
        most = np.full(len(letters_NK), -1)
        for before, after in self.levels:
            window = letters_NK[:, self.left - before : self.left + after + 1]
            counts_N4, unseen = self.kmers.around(window, before)
            total = counts_N4.sum(1)
            visible = before + after - unseen
            seen = (visible > most) & (unseen <= MOST_UNSEEN) & (total > 0)
            most = visible
            share_N4 = counts_N4 / np.maximum(total, 1)[:, None]
            size = np.minimum(2 * np.log2(total + 1), _SIZES - 1).astype(np.intp)
            quarter = np.clip((share_N4.max(1) - 0.25) / 0.75 * _SHARES, 0, _SHARES - 1).astype(
                np.intp
            )
            yield share_N4, size * _SHARES + quarter, seen


def _targets(
    tokens: np.ndarray, hidden: np.ndarray | None, inside: np.ndarray | None
) -> np.ndarray:
    """Places of the known letters; of those hidden, and of those inside, where there are such."""
    known = (tokens & 0x7F) < 4
    for part in (hidden, inside):
        known = known if part is None else known & part
    return np.flatnonzero(known)


def _likeliest(evidence: list[tuple[np.ndarray, ...]], weights: np.ndarray) -> np.ndarray:
    """The weights (levels, buckets) that make the targets likeliest, starting from `weights`.

    `evidence` is, for each level, f of the true letter, the bucket, and whether the level says
    anything (N,). Coordinate ascent, a level at a time from the top: with the other levels held,
    the mixture is rest + tail (w f + (1 - w) below), and its log-likelihood concave in w.
    """
    weights = weights.copy()
    for _ in range(_SWEEPS):
        below, used = [np.full(len(evidence[0][0]), 0.25)], []
        for level, (share, bucket, seen) in enumerate(evidence):
            used.append(np.where(seen, weights[level][bucket], 0))
            below.append(below[-1] + used[-1] * (share - below[-1]))
        tail, rest = np.ones_like(below[0]), np.zeros_like(below[0])
        for level, (share, bucket, seen) in reversed(list(enumerate(evidence))):
            without, gain = rest + tail * below[level], tail * (share - below[level])
            weights[level] = _steepest(without[seen], gain[seen], bucket[seen])
            w = np.where(seen, weights[level][bucket], 0)
            rest, tail = rest + tail * w * share, tail * (1 - w)
    return weights


def _steepest(without: np.ndarray, gain: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    """Each bucket's w of the largest sum log(without + w gain), by bisection on its slope.

    A Beta(2, 2) prior keeps w inside (0, 1): a bucket without targets gets one half.
    """
    low, high = np.zeros(_SIZES * _SHARES), np.ones(_SIZES * _SHARES)
    for _ in range(16):
        w = (low + high) / 2
        slope = np.bincount(bucket, gain / (without + w[bucket] * gain), len(w))
        rises = slope + 1 / w - 1 / (1 - w) > 0
        low, high = np.where(rises, w, low), np.where(rises, high, w)
    return (low + high) / 2


def baselines(
    train: Iterable[np.ndarray],
    validation: Sequence[np.ndarray],
    hidden: Sequence[np.ndarray] | None = None,
    inside: Sequence[np.ndarray] | None = None,
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> list[Counts]:
    """The count models of `shapes` from one count of `train`, tuned on `validation`: see
    `Counts.tuned`.
    """
    kmers = Kmers.count(train, max(left + right + 1 for left, right in shapes))
    return [Counts(kmers, left, right).tuned(validation, hidden, inside) for left, right in shapes]
