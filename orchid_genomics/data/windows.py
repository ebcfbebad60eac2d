"""Equal intervals of one genome as a dataset; beyond the ends of its contig a window reads N, and
on a circular contig what stands round its origin.

A genome of any size is two arrays (contig index, int64 start): letters are read only when asked
for.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.circular import landmark
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import DNA, SOFT, Interval

_BLOCK = 1 << 20  # letters counted at a time, so that a human chromosome never stands in memory


class Windows:
    """Intervals of `length` letters of a genome, 0-based half-open; filters return new Windows.

    Attributes: `contig` (W,) index into `names`; `start` (W,) int64, negative before the contig;
    `dropped` what the filters took away, by reason.
    """

    def __init__(
        self,
        genome: Genome,
        contig: np.ndarray,
        start: np.ndarray,
        length: int,
        region: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        if length < 1:
            raise InputError("length", f"{length} is no window length", "1 nt or more")
        self.genome, self.length = genome, int(length)
        self.contig, self.start = np.asarray(contig, np.int32), np.asarray(start, np.int64)
        self.names = tuple(genome.contigs)
        self.sizes = np.fromiter(genome.contigs.values(), np.int64, len(self.names))
        # A contig shorter than the window has N beside it, for no letter may stand twice.
        goes_round = np.zeros(len(self.names), bool)
        if genome.circular:
            goes_round[:] = [name in genome.circular for name in self.names]
        self.goes_round = goes_round & (self.sizes >= self.length)
        self.region = region or (np.zeros(len(self), np.int64), self.sizes[self.contig])
        self.dropped: dict[str, int] = {}
        self._composition: np.ndarray | None = None

    @classmethod
    def tiles(
        cls,
        genome: Genome,
        contigs: Iterable[str],
        length: int,
        stride: int | None = None,
        inside: bool = False,
    ) -> "Windows":
        """Tiles of whole contigs, one every `stride` letters (default: `length`, every letter
        once).

        The last tile hangs over the end of its contig, or with `inside` is moved back to end there.
        """
        stride = stride or length
        contig, start = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        index = {name: code for code, name in enumerate(genome.contigs)}
        for name in contigs:
            size = genome.contigs[name]
            # `-(-a // b)` is a / b rounded up, in whole numbers of any size.
            count = 1 + -(-max(0, size - length) // stride) if size else 0
            starts = np.arange(count, dtype=np.int64) * stride
            start.append(np.minimum(starts, max(0, size - length)) if inside else starts)
            contig.append(np.full(count, index[name], np.int32))
        return cls(genome, np.concatenate(contig), np.concatenate(start), length)

    @classmethod
    def around(cls, genome: Genome, intervals: Sequence[Interval], length: int) -> "Windows":
        """The fewest windows that cover each region, in the order given.

        A region shorter than the window is extended around its centre (`Interval.resize`); a longer
        one is tiled from its start, the last tile hanging over its end.
        """
        index = {name: code for code, name in enumerate(genome.contigs)}
        size = len(intervals)
        codes = np.fromiter((index[each.contig] for each in intervals), np.int32, size)
        first = np.fromiter((each.start for each in intervals), np.int64, size)
        last = np.fromiter((each.end for each in intervals), np.int64, size)
        count = -(-(last - first) // length)
        row = np.repeat(np.arange(len(codes)), count)
        tile = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        centred = first + (last - first) // 2 - length // 2
        start = np.where(count == 1, centred, first)[row] + tile * length
        return cls(genome, codes[row], start, length, (first[row], last[row]))

    def __len__(self) -> int:
        return len(self.start)

    def from_landmarks(self) -> np.ndarray:
        """Starts (W,) as they are, or counted from the landmark of a contig that goes round: what
        chance may be drawn by, for where such a contig begins in its file is an accident.
        """
        origin = np.zeros(len(self.names), np.int64)
        for code in np.unique(self.contig[self.goes_round[self.contig]]):
            origin[code] = landmark(self.genome, self.names[code])
        sizes = np.where(self.goes_round, self.sizes, np.iinfo(np.int64).max)[self.contig]
        around = self.goes_round[self.contig]
        return np.where(around, (self.start - origin[self.contig]) % sizes, self.start)

    def interval(self, i: int, shift: int = 0) -> Interval:
        """The place of window `i`, moved `shift` letters to the right."""
        start = int(self.start[i]) + shift
        return Interval(self.names[self.contig[i]], start, start + self.length)

    def tokens(self, i: int, shift: int = 0, strand: str = "+") -> np.ndarray:
        """Tokens (L,) uint8 of window `i`, case kept; "-" reads the reverse complement."""
        start = int(self.start[i]) + shift
        return self.genome.tokens(self.names[self.contig[i]], start, start + self.length, strand)

    __getitem__ = tokens

    def own(self, i: int) -> slice:
        """The letters of window `i` inside its contig and the region that it was laid over.

        Over all windows of stride `length`, these parts hold every letter of the regions once.
        """
        start = int(self.start[i])
        first, last = int(self.region[0][i]), int(self.region[1][i])
        return slice(max(first - start, 0), min(last - start, self.length))

    @property
    def overhang(self) -> int:
        """Letters of all windows that lie beyond the ends of their contigs."""
        _, starts, ends = self.letters_read()
        return len(self) * self.length - int((ends - starts).sum())

    def letters_read(self, jitter: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What windows read of the file, moved by up to `jitter`: row (N,), first and last letter.

        A window over the origin of a circular contig reads two stretches, or more.
        """
        starts, ends = self.start - jitter, self.start + self.length + jitter
        size = self.sizes[self.contig]
        around = self.goes_round[self.contig]
        first, last = 0, 0
        if around.any():
            first = int((starts[around] // size[around]).min())
            last = int(((ends[around] - 1) // size[around]).max())
        rows, parts = [], []
        for turn in range(min(first, 0), max(last, 0) + 1):
            origin = turn * size
            left, right = np.maximum(starts - origin, 0), np.minimum(ends - origin, size)
            # What has ends is read in the file alone.
            inside = (left < right) & (around | (turn == 0))
            rows.append(np.flatnonzero(inside))
            parts.append(np.stack([left[inside], right[inside]]))
        row = np.concatenate(rows)
        left, right = np.concatenate(parts, 1)
        order = np.argsort(row, kind="stable")
        return row[order], left[order], right[order]

    def composition(self) -> np.ndarray:
        """Letters ACGT and soft-masked ACGT of every window, (2, W) int64; one pass over their
        contigs.
        """
        if self._composition is None:
            self._composition = np.zeros((2, len(self)), np.int64)
            row, starts, ends = self.letters_read()
            for name, at in self._by_contig(self.contig[row]):
                edges = np.stack([starts[at], ends[at]])
                # Windows may overlap by far, so letters are counted up to each edge, once, and a
                # window is the difference of two.
                points, rank = np.unique(edges, return_inverse=True)
                # Versions of numpy differ in the shape of the inverse.
                rank = rank.reshape(edges.shape)
                before = self._counts_before(name, points, edges)
                counts = before[:, rank[1]] - before[:, rank[0]]
                for which in range(2):
                    # A window over an origin is the sum of its stretches.
                    np.add.at(self._composition[which], row[at], counts[which])
        return self._composition

    def on(self, contigs: Iterable[str], reason: str = "other contigs") -> "Windows":
        """The windows on these contigs; the others are counted under `reason`."""
        wanted = set(contigs)
        chosen = np.array([name in wanted for name in self.names], bool)
        return self.select(chosen[self.contig], reason)

    def without(self, places: Regions, jitter: int = 0, reason: str = "held out") -> "Windows":
        """The windows that touch none of `places`, even when moved by up to `jitter` letters."""
        touching = np.zeros(len(self), bool)
        row, starts, ends = self.letters_read(jitter)
        for name, at in self._by_contig(self.contig[row]):
            touching[row[at[places.touches(name, starts[at], ends[at])]]] = True
        return self.select(~touching, reason)

    def mostly_acgt(self, share: float = 0.9) -> "Windows":
        """The windows with at least this share of A, C, G or T; N and overhang are neither."""
        kept = self.composition()[0] >= share * self.length
        return self.select(kept, f"under {share * 100:g} % ACGT")

    def select(self, keep: np.ndarray, reason: str) -> "Windows":
        """The windows where `keep` (W,) holds; the count of the others is added to
        `dropped[reason]`.
        """
        chosen = self._take(np.flatnonzero(keep))
        chosen.dropped[reason] = chosen.dropped.get(reason, 0) + len(self) - len(chosen)
        return chosen

    def _take(self, rows: np.ndarray) -> "Windows":
        region = (self.region[0][rows], self.region[1][rows])
        taken = Windows(self.genome, self.contig[rows], self.start[rows], self.length, region)
        taken.dropped = dict(self.dropped)
        if self._composition is not None:
            # What was counted goes along, for it took a pass over the genome.
            taken._composition = self._composition[:, rows]
        return taken

    def _by_contig(self, contig: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each contig of some stretches (N,), and which of them lie on it."""
        order = np.argsort(contig, kind="stable")
        codes, firsts = np.unique(contig[order], return_index=True)
        # Not strict: without any window `split` still gives one piece, an empty one.
        for code, rows in zip(codes, np.split(order, firsts[1:]), strict=False):
            yield self.names[code], rows

    def _counts_before(self, contig: str, points: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """ACGT and soft-masked ACGT before each sorted point, (2, P), skipping blocks that no
        window reads.
        """
        counts, total = np.zeros((2, len(points)), np.int64), np.zeros(2, np.int64)
        size = self.genome.contigs[contig]
        blocks = -(-size // _BLOCK)
        change = np.bincount(edges[0] // _BLOCK, minlength=blocks + 1)
        change -= np.bincount((edges[1] - 1) // _BLOCK + 1, minlength=blocks + 1)
        read = np.cumsum(change) > 0
        # Before the first letter there is nothing to count.
        done = int(np.searchsorted(points, 0, side="right"))
        for block in range(blocks):
            start, end = block * _BLOCK, min((block + 1) * _BLOCK, size)
            upto = int(np.searchsorted(points, end, side="right"))
            counts[:, done:upto] = total[:, None]
            if read[block]:
                tokens = self.genome.tokens(contig, start, end)
                known = (tokens & 0x7F) < DNA.n
                for row, hits in enumerate((known, known & (tokens >= SOFT))):
                    sums = np.cumsum(hits, dtype=np.int32)
                    counts[row, done:upto] += sums[points[done:upto] - start - 1]
                    total[row] += sums[-1]
            done = upto
        return counts
