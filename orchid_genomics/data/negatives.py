"""Windows to tell elements from: of the same GC, repeats and N as the elements, one by one, or
their letters shuffled.

The trap: a classifier takes whatever differs. So matches are drawn from the contigs and the split
of their elements, never overlap an element or each other, and how well they match is measured
(`agreement`) and printed.
"""

from dataclasses import dataclass

import numpy as np

from orchid_genomics.data.peaks import SPLITS, Elements, SplitPlan
from orchid_genomics.data.windows import Windows
from orchid_genomics.genome.circular import landmark
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import CODE, DNA, SOFT, Interval
from orchid_genomics.sequence.hashing import Stream, hash_integers
from orchid_genomics.sequence.shuffle import dinucleotide_shuffle

FEATURES = ("GC", "soft-masked", "N")
# a share of repeats counts a quarter of one of GC: it has many more values
SCALE = np.array([1.0, 0.25, 1.0])
CLOSE = 0.02  # a match within this share of GC is called close
_CANDIDATES = 30  # windows looked at for each one wanted


def composition(tokens: np.ndarray) -> np.ndarray:
    """Shares (3,) of G and C among known letters, of soft-masked letters among them, and of N among
    all.
    """
    codes = tokens & CODE
    known = codes < DNA.count
    count = max(int(known.sum()), 1)
    gc = ((codes == 1) | (codes == 2)).sum() / count
    return np.array([gc, ((tokens >= SOFT) & known).sum() / count, 1 - known.mean()])


def candidates(
    genome: Genome, contigs: list[str], length: int, taken: Regions, plan: SplitPlan, seed: int
) -> tuple[Windows, np.ndarray]:
    """Disjoint windows inside `contigs` that touch no `taken` place, and the split of each; those
    over a border go.

    They lie on one grid a contig, its first letter drawn from the seed; round the origin of a
    contig without ends, from its landmark on.
    """
    codes, starts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for code, name in enumerate(genome.contigs):
        phase = int(hash_integers(seed, Stream.NEGATIVE_GRID, code)[0] % np.uint64(length))
        size = genome.contigs[name]
        if name in contigs:
            if name in genome.circular:
                grid = np.arange(size // length, dtype=np.int64) * length
                starts.append((grid + phase + landmark(genome, name)) % size)
            else:
                starts.append(np.arange(phase, size - length + 1, length, dtype=np.int64))
            codes.append(np.full(len(starts[-1]), code, np.int32))
    windows = Windows(genome, np.concatenate(codes), np.concatenate(starts), length).without(taken)
    split = plan.of(windows)
    return windows.select(split >= 0, "over a border"), split[split >= 0]


def match_elements(
    elements: Elements, taken: Regions, plan: SplitPlan, ratio: int, seed: int
) -> Elements:
    """`ratio` windows for each element, the closest in composition of its split, each used once;
    fewer where none is left. Strands are those of the element matched.

    `taken` are places that no match may touch: the whole peaks and what is excluded.
    """
    own = elements.windows
    contigs = [own.names[code] for code in np.unique(own.contig)]
    row, left, right = own.letters_read()
    peaks = [
        Interval(own.names[own.contig[i]], start, end)
        for i, start, end in zip(row.tolist(), left.tolist(), right.tolist(), strict=True)
    ]
    # Both: a window may reach beyond its peak, and a peak beyond its window.
    occupied = Regions.from_intervals([*taken.intervals(), *peaks])
    pool, split = candidates(own.genome, contigs, own.length, occupied, plan, seed)
    rows, of = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for code in range(len(SPLITS)):
        mine, free = np.flatnonzero(elements.split == code), np.flatnonzero(split == code)
        wanted = np.repeat(mine, ratio)
        free = _draw(pool, free, max(_CANDIDATES * len(wanted), 20_000), seed)
        if len(wanted) and len(free):
            shares = np.array([composition(elements.tokens(int(i))) for i in mine])
            others = np.array([composition(pool.tokens(int(i))) for i in free])
            chosen = nearest(shares.repeat(ratio, 0), others)
            rows.append(free[chosen[chosen >= 0]])
            of.append(wanted[chosen >= 0])
    row, like = np.concatenate(rows), np.concatenate(of)
    windows = Windows(own.genome, pool.contig[row], pool.start[row], own.length)
    names = np.full(len(row), "", object)
    return Elements(windows, elements.strand[like], elements.split[like], names)


def _draw(pool: Windows, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, drawn by place."""
    places = pool.from_landmarks()[rows]
    key = hash_integers(seed, Stream.NEGATIVE_POOL, pool.contig[rows], places)
    return rows if len(rows) <= most else np.sort(rows[np.argsort(key, kind="stable")[:most]])


def nearest(wanted_NF: np.ndarray, pool_MF: np.ndarray) -> np.ndarray:
    """The row of the pool for each wanted composition (N,), each row at most once; -1 when the pool
    is used up.

    Greedy: those with the fewest rows near them choose first. O(N log M).
    """
    from sklearn.neighbors import KDTree

    tree = KDTree(pool_MF * SCALE)
    chosen, free = np.full(len(wanted_NF), -1), np.ones(len(pool_MF), bool)
    todo, near = np.arange(len(wanted_NF)), 16
    while len(todo) and free.any():
        near = min(near, len(pool_MF))
        distance, rows = tree.query(wanted_NF[todo] * SCALE, k=near)
        # Whose last neighbour is farthest has the least choice, and comes first.
        for each in np.argsort(-distance[:, -1], kind="stable"):
            open_rows = rows[each][free[rows[each]]]
            if len(open_rows):
                chosen[todo[each]] = open_rows[0]
                free[open_rows[0]] = False
        # Those who found all of theirs used up look farther.
        todo, near = todo[chosen[todo] < 0], near * 8
    return chosen


def shuffle_elements(elements: Elements, ratio: int, seed: int) -> list[np.ndarray]:
    """`ratio` dinucleotide shuffles of each element's tokens, one element after the other; a
    function of its place.
    """
    shuffled = []
    windows = elements.windows
    places = windows.from_landmarks()
    for i in range(len(elements)):
        where = (int(windows.contig[i]), int(places[i]), ord(elements.strand[i]))
        for copy in range(ratio):
            key = int(hash_integers(seed, Stream.NEGATIVE_SHUFFLE, *where, copy)[0])
            shuffled.append(dinucleotide_shuffle(elements.tokens(i), np.random.default_rng(key)))
    return shuffled


@dataclass(frozen=True)
class Agreement:
    """How two sets agree in one share: their means, and the largest gap between their distributions
    (KS, 0 to 1).

    `chance` is the gap that two sets of these sizes, drawn alike, stay under 95 % of the time.
    """

    feature: str
    mean: float
    other: float
    gap: float
    chance: float


def agreement(shares_NF: np.ndarray, others_MF: np.ndarray) -> list[Agreement]:
    """Means and Kolmogorov-Smirnov gaps of each of FEATURES between two sets of compositions."""
    # 1.358 is the 95 % point of Kolmogorov's distribution.
    chance = 1.358 * float(np.sqrt(1 / len(shares_NF) + 1 / len(others_MF)))
    return [
        Agreement(name, float(a.mean()), float(b.mean()), _gap(a, b), chance)
        for name, a, b in zip(FEATURES, shares_NF.T, others_MF.T, strict=True)
    ]


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    both = np.unique(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(each), both, "right") / len(each) for each in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
