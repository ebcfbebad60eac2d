"""Count models of a letter given its neighbours: what any trained model has to beat, on the same
split.

The counts come from the training contigs, both strands; the weights of the mixture from the
validation contigs. Tune under the protocol of the evaluation (the same share of masked neighbours),
and never on the test contigs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.kmer_tables import MOST_UNSEEN, KmerCounts
from orchid_genomics.sequence import CODE
from orchid_genomics.terminal import Count

SHAPES = ((2, 0), (4, 4), (12, 0), (6, 6))  # letters on the left and on the right
# Buckets of contexts: half-powers of two of the context's count, and quarters of the share of its
# commonest letter. A context seen often and of one mind deserves another weight than a rare one.
_SIZES = 41
_SHARES = 4
_SWEEPS = 5  # over all levels; the third changes under 0.0005 bits
_BISECTIONS = 16  # of a weight in (0, 1)
_CHUNK = 1 << 17  # targets at once


class Evidence(NamedTuple):
    """What one level says of N targets: a share (N, 4) or that of the true letter (N,), the bucket
    of the context (N,), and whether the level says anything new (N,).
    """

    share: np.ndarray
    bucket: np.ndarray
    speaks: np.ndarray


@dataclass(frozen=True)
class NgramModel:
    """P(letter | `left` letters before, `right` after) as interpolated counts, growing outwards
    from the letter.

    Each level sees a letter more on both sides (three more where there is one side), and its
    relative frequencies f are mixed into the level below, p_m = w f + (1 - w) p_(m-1), with a
    weight w for every level and bucket of contexts (how often seen, how much of it one letter):
    Jelinek & Mercer (1980), with the buckets of Chen & Goodman (1999). Counts are summed over what
    an unseen neighbour (hidden, N, or beyond the contig) may be; a level that sees no letter more
    than the one below is passed over.

    Attributes
    ----------
    kmers
        Counts of k-mers of at least left + right + 1 letters.
    left, right
        Letters read on either side.
    weights
        (levels, buckets) in (0, 1).
    """

    kmers: KmerCounts
    left: int
    right: int
    weights: np.ndarray

    def __post_init__(self) -> None:
        if min(self.left, self.right) < 0 or self.left + self.right + 1 > self.kmers.k:
            raise ValueError(
                f"{self.left} letters before and {self.right} after, of {self.kmers.k}-mers"
            )

    @classmethod
    def of(cls, kmers: KmerCounts, left: int, right: int) -> "NgramModel":
        """The model of some counts; before it is tuned, n sightings weigh n / (n + 16)."""
        sightings = 2.0 ** (np.arange(_SIZES * _SHARES) // _SHARES / 2) - 1
        shape = len(levels(left, right)), _SIZES * _SHARES
        weights = np.broadcast_to(sightings / (sightings + 16), shape)
        return cls(kmers, left, right, weights)

    @classmethod
    def fit(cls, contigs: Iterable[np.ndarray], left: int, right: int) -> "NgramModel":
        """Count `contigs`, each tokens (L,) uint8; the weights are a rule of thumb until `tune`."""
        return cls.of(KmerCounts.count(contigs, left + right + 1), left, right)

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.right == 0:
            return f"counts, {self.left} on the left"
        if self.left == self.right:
            return f"counts, {self.left} on both sides"
        return f"counts, {self.left} before, {self.right} after"

    def tune(
        self,
        contigs: Sequence[np.ndarray],
        hidden: Sequence[np.ndarray] | None = None,
        inside: Sequence[np.ndarray] | None = None,
        most: int = 200_000,
    ) -> "NgramModel":
        """The same counts with the likeliest weights for (validation) contigs.

        Parameters
        ----------
        contigs
            Tokens (L,) of each.
        hidden
            Bool (L,) of each contig: the targets are the hidden letters, seen as in `bits`. Without
            it every letter is one, all neighbours visible.
        inside
            Bool (L,) of each contig: the letters that may be targets, where not the whole contig is
            held out.
        most
            Targets that are used at most, evenly spaced.

        Raises
        ------
        InputError
            No known letter is among the targets.
        """
        none: list[None] = [None] * len(contigs)
        masks, parts = hidden or none, inside or none
        targets = [_targets(*each) for each in zip(contigs, masks, parts, strict=True)]
        step = -(-sum(map(len, targets)) // most)
        if step == 0:
            raise InputError(
                "validation", "no known letter among the targets", "contigs with A C G T"
            )
        letters, true = [], []
        for tokens, mask, at in zip(contigs, masks, targets, strict=True):
            letters.append(self._letters(tokens, at[::step], mask))
            true.append(tokens[at[::step]] & CODE)
        true_N1 = np.concatenate(true).astype(np.intp)[:, None]
        evidence = []
        for share_N4, bucket, speaks in self._evidence(np.concatenate(letters)):
            # Of the true letter alone: tuning asks for no other.
            share = np.take_along_axis(share_N4, true_N1, 1)[:, 0]
            evidence.append(Evidence(share, bucket, speaks))
        return replace(self, weights=_likeliest_weights(evidence, self.weights))

    def probabilities(
        self, tokens: np.ndarray, places: np.ndarray, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """P(letter) (N, 4) float64 at some places; the letters there are not read.

        Parameters
        ----------
        tokens
            A contig (L,).
        places
            0-based (N,).
        hidden
            Bool (L,): letters that no context may see, besides N and what lies beyond the contig.
        """
        letters = self._letters(tokens, places, hidden)
        p_N4 = np.full((len(letters), 4), 0.25)
        for weights, level in zip(self.weights, self._evidence(letters), strict=True):
            weight = np.where(level.speaks, weights[level.bucket], 0)[:, None]
            p_N4 += weight * (level.share - p_N4)
        return p_N4

    def bits(
        self, tokens: np.ndarray, targets: np.ndarray, hidden: np.ndarray | None = None
    ) -> np.ndarray:
        """-log2 P(true letter), (N,) float32, at each target of one contig, in order.

        Parameters
        ----------
        tokens
            A contig (L,).
        targets
            A bool array (L,) or 0-based places (N,); each a known letter.
        hidden
            As in `probabilities`.
        """
        places = np.flatnonzero(targets) if targets.dtype == bool else targets
        true = tokens[places] & CODE
        if (true > 3).any():
            first = places[np.argmax(true > 3)]
            raise ValueError(f"place {first} (0-based) is no known letter, and so no target")
        bits = np.empty(len(places), np.float32)
        for at in range(0, len(places), _CHUNK):
            part = slice(at, at + _CHUNK)
            p_N4 = self.probabilities(tokens, places[part], hidden)
            p_N1 = np.take_along_axis(p_N4, true[part, None].astype(np.intp), 1)
            bits[part] = -np.log2(p_N1[:, 0])
        return bits

    def _letters(
        self, tokens: np.ndarray, places: np.ndarray, hidden: np.ndarray | None
    ) -> np.ndarray:
        """Codes (N, left + 1 + right) around `places`; 4 where not to be seen."""
        codes = np.full(self.left + len(tokens) + self.right, 4, np.uint8)
        inside = codes[self.left : self.left + len(tokens)]
        inside[:] = np.minimum(tokens & CODE, 4)
        if hidden is not None:
            inside[hidden] = 4
        return codes[places[:, None] + np.arange(self.left + 1 + self.right)]

    def _evidence(self, letters_NK: np.ndarray) -> Iterator[Evidence]:
        """What each level says, from the lowest; shares are of all letters (N, 4)."""
        most = np.full(len(letters_NK), -1)
        for before, after in levels(self.left, self.right):
            window = letters_NK[:, self.left - before : self.left + after + 1]
            counts_N4, unseen = self.kmers.around(window, before)
            total = counts_N4.sum(1)
            visible = before + after - unseen
            speaks = (visible > most) & (unseen <= MOST_UNSEEN) & (total > 0)
            most = visible
            share_N4 = counts_N4 / np.maximum(total, 1)[:, None]
            size = np.minimum(2 * np.log2(total + 1), _SIZES - 1).astype(np.intp)
            certainty = (share_N4.max(1) - 0.25) / 0.75 * _SHARES
            quarter = np.clip(certainty, 0, _SHARES - 1).astype(np.intp)
            yield Evidence(share_N4, size * _SHARES + quarter, speaks)


def fit_ngrams(
    train: Iterable[np.ndarray],
    validation: Sequence[np.ndarray],
    hidden: Sequence[np.ndarray] | None = None,
    inside: Sequence[np.ndarray] | None = None,
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> list[NgramModel]:
    """The count models of `shapes` (left, right) from one count of `train`, tuned on `validation`.

    Parameters are those of `NgramModel.tune`.
    """
    kmers = KmerCounts.count(train, max(left + right + 1 for left, right in shapes))
    models = [NgramModel.of(kmers, left, right) for left, right in shapes]
    tuned = []
    with Count("count models", len(models)) as progress:
        for model in models:
            tuned.append(model.tune(validation, hidden, inside))
            progress.add(1)
    return tuned


def levels(left: int, right: int) -> list[tuple[int, int]]:
    """Letters (before, after) seen by each level, from none to all: up to three more, one a side
    when both grow.
    """
    longest, step = max(left, right), 1 if min(left, right) else 3
    reach = [0, *range(longest % step or step, longest + 1, step)] if longest else [0]
    return [(min(size, left), min(size, right)) for size in reach]


def _targets(
    tokens: np.ndarray, hidden: np.ndarray | None, inside: np.ndarray | None
) -> np.ndarray:
    """Places of the known letters; of those hidden, and of those inside, where there are such."""
    known = (tokens & CODE) < 4
    for part in (hidden, inside):
        known = known if part is None else known & part
    return np.flatnonzero(known)


def _likeliest_weights(evidence: Sequence[Evidence], start: np.ndarray) -> np.ndarray:
    """The weights (levels, buckets) that make the targets likeliest; shares are of the true letter
    (N,).

    Coordinate ascent, a level at a time from the top: with the other levels held, the mixture is
    rest + tail (w f + (1 - w) below), and its log-likelihood concave in w.
    """
    weights = start.copy()
    for _ in range(_SWEEPS):
        # From below: what each level would answer with those under it.
        below = [np.full(len(evidence[0].share), 0.25)]
        for level, (share, bucket, speaks) in enumerate(evidence):
            weight = np.where(speaks, weights[level][bucket], 0)
            below.append(below[-1] + weight * (share - below[-1]))
        # From above: what the levels over it leave to it.
        tail, rest = np.ones_like(below[0]), np.zeros_like(below[0])
        for level, (share, bucket, speaks) in reversed(list(enumerate(evidence))):
            without, gain = rest + tail * below[level], tail * (share - below[level])
            weights[level] = _steepest(without[speaks], gain[speaks], bucket[speaks])
            weight = np.where(speaks, weights[level][bucket], 0)
            rest = rest + tail * weight * share
            tail = tail * (1 - weight)
    return weights


def _steepest(without: np.ndarray, gain: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    """Each bucket's w of the largest sum log(without + w gain), by bisection on its slope.

    A Beta(2, 2) prior keeps w inside (0, 1): a bucket without targets gets one half.
    """
    low, high = np.zeros(_SIZES * _SHARES), np.ones(_SIZES * _SHARES)
    for _ in range(_BISECTIONS):
        w = (low + high) / 2
        slope = np.bincount(bucket, gain / (without + w[bucket] * gain), len(w))
        rises = slope + 1 / w - 1 / (1 - w) > 0
        low, high = np.where(rises, w, low), np.where(rises, high, w)
    return (low + high) / 2
