"""Where each letter of a window stands again, on either strand, and reading what stands there.

Two places belong together where a k-mer of one is that of the other (a seed) and the letters
around agree far better than by chance, place by place; which other place a letter points to follows
from the letters alone, has no parameter, and serves every layer. It is the limit of infinitely many
sign hashes of k-mers, whose mean autocorrelation counts equal pairs, taken place by place. The
trap: nothing here may depend on where the window begins or which strand is read, so ties never
decide: what more partners share than there is room for is dropped.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from orchid_genomics.ops import triton

LETTERS = 4
# Partners that a letter may have; a k-mer that stands more often than that points nowhere, or the
# pairs of a microsatellite would grow as its square.
PARTNERS = 8
# Letters on either side of a place among which the stretch that agrees best is looked for: it
# begins at the place and ends where it likes, for copies are short and letters may be hidden.
REACH = 64
# Of them those that are looked at first, and whose sums may not dip.
CLOSE = 16
# How far from a seed a letter may use its diagonal. With 15 % hidden and 10 % changed, 9-mers that
# survive in both copies lie 140 letters apart.
SPREAD = 256
# What a pair of unknown, of equal and of other letters counts, in eighths of a nat so that sums are
# exact: log odds of copies that differ by a tenth or so, and of copies that hardly differ; the
# kind of copy that says more counts. By the first alone a copy with one letter changed stood
# above an exact one wherever three letters beyond its end agreed by chance.
EIGHTHS = 8
ODDS = ((-1, 8, -12), (-1, 9, -40))
UNKNOWN, EQUAL, OTHER = range(3)
# Nearer than this the static filter reads, and microsatellites would point at themselves.
NEAR = 16
# A seed that is no better than this with what is close to it is chance (nats).
FIRST_LOOK = 13
# A side counts only where the letters next to the place do not begin by disagreeing this much
# (nats): else a copy would go on for thirty letters beyond its end.
DIP = 4
# Temperatures, in nats, of the two ways to share a letter's attention among its partners: the best
# one alone (one letter more that differs is 2.5 nats), and all good ones.
TEMPERATURES = (0.25, 8.0)
# Seeds looked at together.
PART = 1 << 14


class Pointers(NamedTuple):
    """The partners of every letter.

    `partner_BJL` int64: the place, plus L where it stands on the other strand. `weight_BSJL`
    float64: how much it counts, one set for each of `TEMPERATURES`; 0 where there is no partner,
    and below 1 in sum, for a letter may have none after all. `first` and `reader` stand where a GPU
    reads them, see `index_readers`.
    """

    partner_BJL: Tensor
    weight_BSJL: Tensor
    first: Tensor | None = None
    reader: Tensor | None = None

    def to(self, device: torch.device) -> "Pointers":
        """The same on a device."""
        first = None if self.first is None else self.first.to(device)
        reader = None if self.reader is None else self.reader.to(device)
        return Pointers(self.partner_BJL.to(device), self.weight_BSJL.to(device), first, reader)


def find_pointers(
    codes_BL: Tensor, length: int, threshold: float = 0.95, both_strands: bool = True
) -> Pointers:
    """The pointers of windows, circular over L.

    Parameters
    ----------
    codes_BL : integers (B, L): 0..3 are A, C, G, T, all others no letter.
    length : of the k-mers that seed, 1 to 24.
    threshold : agreement that a pair needs, as a share of 2 ln L nats, which is what the best of
        all pairs of places of a random window reaches.
    both_strands : whether copies on the other strand count.

    Returns
    -------
    Pointers, with `PARTNERS` partners at most; O(L log L) and what the copies cost.
    """
    partner, weight = _find(codes_BL.long(), length, threshold, both_strands)
    return Pointers(partner, weight)


def read_pointers(z_BDL: Tensor, pointers: Pointers, gain_SD: Tensor, paired: bool) -> Tensor:
    """y[d, t] = sum over partners p of gain[s, d] weight[s, p] z[d, p]; (B, D, L), as z.

    Of a partner on the other strand the other channel of the pair is read: channels c and c' =
    c + D / 2, where `paired`. Linear in z; no gradient reaches the weights.
    """
    if pointers.first is not None and pointers.reader is not None:
        partner_BJL, weight_BSJL, first, reader = pointers
        return triton.read(z_BDL, partner_BJL, weight_BSJL, first, reader, gain_SD, paired)
    gain_SD = gain_SD.to(z_BDL.dtype)
    return _read(z_BDL, pointers.partner_BJL, pointers.weight_BSJL, gain_SD, paired)


def index_readers(pointers: Pointers) -> Pointers:
    """Pointers as `ops.triton` reads them: tensors of sizes that depend on B and L alone.

    Partners are int32, -1 for none, and weights float32. The readers of letter t of row b, which
    the gradient goes back by, are `reader[first[b L + t]]` to `reader[first[b L + t + 1]]` (not
    included), each as j L + its place, in order; what lies behind the last one is 0.
    """
    partner_BJL, weight_BSJL = pointers[:2]
    B, J, L = partner_BJL.shape
    some_BJL = weight_BSJL[:, 0] > 0
    flat = some_BJL.flatten().nonzero()[:, 0]
    row, entry = flat // (J * L), flat % (J * L)
    read = row * L + partner_BJL.flatten()[flat] % L
    order = read.argsort(stable=True)
    first = torch.zeros(B * L + 1, dtype=torch.int32, device=flat.device)
    first[1:] = torch.bincount(read, minlength=B * L).cumsum(0)
    reader = torch.zeros(B * J * L, dtype=torch.int32, device=flat.device)
    reader[: len(flat)] = entry[order]
    partner = torch.where(some_BJL, partner_BJL, -1).to(torch.int32)
    return Pointers(partner, weight_BSJL.to(torch.float32), first, reader)


@torch.library.custom_op("orchid::find_pointers", mutates_args=())
def _find(codes_BL: Tensor, length: int, threshold: float, both_strands: bool) -> list[Tensor]:
    B, L = codes_BL.shape
    partner_BJL, weight_BSJL = _empty(codes_BL)
    if length > L or not B:
        return [partner_BJL, weight_BSJL]
    search = _Search(codes_BL, length, threshold * 2 * math.log(max(L, 2)))
    seeds = search.mirror(search.check(search.seeds(both_strands)))
    if len(seeds.place):
        search.fill(search.pairs(seeds), partner_BJL, weight_BSJL)
    return [partner_BJL, weight_BSJL]


@_find.register_fake
def _(codes_BL: Tensor, *rest: Any) -> list[Tensor]:
    return list(_empty(codes_BL))


def _empty(codes_BL: Tensor) -> tuple[Tensor, Tensor]:
    B, L = codes_BL.shape
    partner = codes_BL.new_zeros(B, PARTNERS, L)
    weight = torch.zeros(
        B, len(TEMPERATURES), PARTNERS, L, dtype=torch.float64, device=codes_BL.device
    )
    return partner, weight


class _Seeds(NamedTuple):
    """Pairs of k-mers (N,): row, first letter, and the diagonal on which their letters meet.

    The partner of letter t is diagonal + t, or diagonal - t where `turned`, modulo L.
    """

    row: Tensor
    place: Tensor
    diagonal: Tensor
    turned: Tensor

    def pick(self, some: Tensor) -> "_Seeds":
        return _Seeds(*(values[some] for values in self))


class _Pairs(NamedTuple):
    """Letters with a partner (N,): row, letter, partner (+ L if turned), agreement in eighths."""

    row: Tensor
    letter: Tensor
    partner: Tensor
    score: Tensor


class _Search:
    """The letters of windows, and what is asked of them."""

    def __init__(self, codes_BL: Tensor, length: int, cut: float) -> None:
        self.B, self.L = codes_BL.shape
        self.length, self.cut = length, cut
        self.odds = torch.tensor(ODDS, dtype=torch.int32, device=codes_BL.device)
        # What is no letter is equal to nothing and differs from nothing.
        self.codes = torch.where((codes_BL >= 0) & (codes_BL < LETTERS), codes_BL, -1)

    def seeds(self, both_strands: bool) -> _Seeds:
        """Every pair of equal k-mers: once on one strand, from both of its ends across strands."""
        K = self.length
        known = self.codes >= 0
        letters = self.codes.clamp(min=0)
        here, there = torch.zeros_like(letters), torch.zeros_like(letters)
        whole = torch.ones_like(known)
        for j in range(K):
            letter = letters.roll(-j, 1)
            here = here * LETTERS + letter
            # The k-mer as the other strand has it: its last letter first.
            there = there + (LETTERS - 1 - letter) * LETTERS**j
            whole &= known.roll(-j, 1)
        row = torch.arange(self.B, device=here.device)[:, None] * LETTERS**K
        flat = whole.flatten().nonzero()[:, 0]
        keys = [(row + here).flatten()[flat]]
        if both_strands:
            keys.append((row + there).flatten()[flat])
        key = torch.cat(keys)
        # Odd numbers are k-mers of the other strand.
        place = torch.cat([flat * 2 + strand for strand in range(len(keys))])
        _, group, size = torch.unique(key, return_inverse=True, return_counts=True)
        some = (size[group] > 1) & (size[group] <= PARTNERS)
        order = group[some].argsort(stable=True)
        group, place = group[some][order], place[some][order]
        one, other = [], []
        for step in range(1, PARTNERS):
            same = (group[step:] == group[:-step]).nonzero()[:, 0]
            one.append(place[same])
            other.append(place[same + step])
        return self._seeds(torch.cat(one), torch.cat(other))

    def _seeds(self, one: Tensor, other: Tensor) -> _Seeds:
        """Pairs of places, twice the position and odd on the other strand, as seeds."""
        L = self.L
        # Two k-mers of the other strand are two of this one in another group.
        use = (one % 2 == 0) | (other % 2 == 0)
        one, other = one[use], other[use]
        turned = (one + other) % 2 == 1
        flip = one % 2 == 1
        one, other = torch.where(flip, other, one), torch.where(flip, one, other)
        row, first, second = one // 2 // L, one // 2 % L, other // 2 % L
        lag = (second - first) % L
        near = ~turned & (torch.minimum(lag, L - lag) < NEAR)
        diagonal = torch.where(turned, first + second + self.length - 1, lag) % L
        return _Seeds(row, first, diagonal, turned).pick(~near)

    def mirror(self, seeds: _Seeds) -> _Seeds:
        """The seeds, and of those on one strand the second k-mer, which points back.

        A turned pair comes from both ends already, by the two groups that it is in.
        """
        plain, L = seeds.pick(~seeds.turned), self.L
        back = plain._replace(
            place=(plain.place + plain.diagonal) % L, diagonal=(L - plain.diagonal) % L
        )
        return _Seeds(*(torch.cat(both) for both in zip(seeds, back, strict=True)))

    def odds_of(self, row: Tensor, letter: Tensor, diagonal: Tensor, turned: Tensor) -> Tensor:
        """What letters and their partners say for the pair by each of `ODDS`, (2, ...)."""
        flat = self.codes.flatten()
        here = flat[row * self.L + letter % self.L]
        partner = torch.where(turned, diagonal - letter, diagonal + letter) % self.L
        there = flat[row * self.L + partner]
        there = torch.where(turned & (there >= 0), LETTERS - 1 - there, there)
        known = (here >= 0) & (there >= 0)
        return self.odds[:, torch.where(known, torch.where(here == there, EQUAL, OTHER), UNKNOWN)]

    def check(self, seeds: _Seeds) -> _Seeds:
        """The seeds whose neighbourhood agrees enough."""
        seeds = self._passing(seeds, CLOSE, min(FIRST_LOOK, self.cut))
        return self._passing(seeds, REACH, self.cut)

    def _passing(self, seeds: _Seeds, reach: int, least: float) -> _Seeds:
        width = torch.arange(-reach, self.length + reach, device=seeds.place.device)
        keep = []
        for first in range(0, len(seeds.place), PART):
            some = _Seeds(*(values[first : first + PART, None] for values in seeds))
            values = self.odds_of(some.row, some.place + width, some.diagonal, some.turned)
            before, inside, after = values.tensor_split((reach, reach + self.length), -1)
            best = inside.sum(-1)
            for side in (before.flip(-1), after):
                best = best + side.cumsum(-1, dtype=torch.int32).amax(-1).clamp(min=0)
            keep.append(best.amax(0) > EIGHTHS * least)
        return seeds.pick(torch.cat(keep)) if keep else seeds

    def pairs(self, seeds: _Seeds) -> _Pairs:
        """Every letter near a seed with its partner on that diagonal, where the two agree."""
        L, margin = self.L, SPREAD + REACH
        stretch = (seeds.row * 2 + seeds.turned) * L + seeds.diagonal
        order = torch.unique(stretch * L + seeds.place)
        stretch, place = order // L, order % L
        # Stretches of one diagonal whose margins touch are one, unrolled: they may begin before 0
        # or end beyond L, and then hold letters twice, with the same answer.
        first, last = place - margin, place + self.length - 1 + margin
        begins = torch.ones_like(place, dtype=torch.bool)
        begins[1:] = (stretch[1:] != stretch[:-1]) | (first[1:] > last[:-1] + 1)
        number = begins.cumsum(0) - 1
        starts = first[begins]
        ends = last[torch.cat((begins[1:], begins.new_ones(1)))]
        sizes = ends - starts + 1
        offset = sizes.cumsum(0) - sizes
        of = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        at = torch.arange(len(of), device=of.device) - offset[of]
        letter = starts[of] + at
        diagonal, side = stretch[begins] % L, stretch[begins] // L
        row, turned = side // 2, side % 2 == 1
        score = _agreement(self.odds_of(row[of], letter, diagonal[of], turned[of]))
        # Within reach of a seed: one step up where that begins, one down behind its end.
        steps = torch.zeros(len(of) + 1, dtype=torch.long, device=of.device)
        base = offset[number] - starts[number]
        ones = torch.ones_like(place)
        steps.index_add_(0, base + place - SPREAD, ones)
        steps.index_add_(0, base + place + self.length + SPREAD, -ones)
        reached = steps.cumsum(0)[:-1] > 0
        partner = torch.where(turned[of], diagonal[of] - letter, diagonal[of] + letter) % L
        letter = letter % L
        lag = (partner - letter) % L
        far = torch.minimum(lag, L - lag) >= min(NEAR, (L + 1) // 2)
        known = self.codes.flatten()[row[of] * L + partner] >= 0
        good = reached & far & known & (score > EIGHTHS * self.cut)
        of, letter, score = of[good], letter[good], score[good]
        partner = partner[good] + L * turned[of]
        key = (row[of] * L + letter) * 2 * L + partner
        key, inverse = torch.unique(key, return_inverse=True)
        best = torch.zeros_like(key).scatter_reduce_(0, inverse, score, "amax", include_self=False)
        return _Pairs(key // (2 * L * L), key // (2 * L) % L, key % (2 * L), best)

    def fill(self, pairs: _Pairs, partner_BJL: Tensor, weight_BSJL: Tensor) -> None:
        """Write the best partners of each letter, and their weights."""
        B, L = self.B, self.L
        letter = pairs.row * L + pairs.letter
        # By letter, best first.
        order = pairs.score.argsort(descending=True, stable=True)
        order = order[letter[order].argsort(stable=True)]
        letter, partner, score = letter[order], pairs.partner[order], pairs.score[order]
        count = torch.bincount(letter, minlength=B * L)
        rank = torch.arange(len(letter), device=letter.device) - (count.cumsum(0) - count)[letter]
        # The first for whom there is no room: those that are no better have none either.
        refused = torch.full((B * L,), -1, device=letter.device, dtype=score.dtype)
        late = rank == PARTNERS
        refused[letter[late]] = score[late]
        keep = (rank < PARTNERS) & (score > refused[letter])
        letter, partner = letter[keep], partner[keep]
        rank, score = rank[keep], score[keep]
        row, place = letter // L, letter % L
        partner_BJL[row, rank, place] = partner
        nats = score.double() / EIGHTHS
        for number, temperature in enumerate(TEMPERATURES):
            # Against no partner at all, which counts as one that agrees just enough.
            odds = ((nats - self.cut) / temperature).clamp(max=500).exp()
            whole = torch.ones(B * L, dtype=torch.float64, device=odds.device)
            whole.index_add_(0, letter, odds)
            weight_BSJL[row, number, rank, place] = odds / whole[letter]


def _agreement(values_RN: Tensor) -> Tensor:
    """The agreement (N,) of each place with the best stretches that end before and begin behind it,
    by the odds that say most.

    Wrong within REACH of the ends, which are no places of a pair.
    """
    total = torch.cat((values_RN.new_zeros(len(values_RN), 1), values_RN.cumsum(1)), 1)
    score = values_RN
    for sums, turned in ((total, False), (-total.flip(1), True)):
        here = sums[:, 1:]
        dips = -_highest(-sums, CLOSE) - here < -EIGHTHS * DIP
        best = (_highest(sums, REACH) - here).clamp(min=0) * ~dips
        score = score + (best.flip(1) if turned else best)
    return score.amax(0)


def _highest(total_RN: Tensor, side: int) -> Tensor:
    """The highest sums (R, N) up to 1 to `side` letters behind each of N letters, from N + 1 sums.

    In float64, in which these whole numbers are exact; at the end of all fewer letters count.
    """
    last = total_RN[:, -1:].expand(-1, side)
    behind = torch.cat((total_RN[:, 2:], last), 1)
    high = functional.max_pool1d(behind.double(), side, 1)
    return high.to(total_RN.dtype)[:, : total_RN.shape[1] - 1]


def _entries(partner_BJL: Tensor, weight_BSJL: Tensor, row: int, paired: bool) -> list[Any]:
    """Letters, partners and weights (S, N) of one row, on this strand and, if paired, the other."""
    L = partner_BJL.shape[-1]
    slot, letter = (weight_BSJL[row, 0] > 0).nonzero(as_tuple=True)
    partner, weight = partner_BJL[row, slot, letter], weight_BSJL[row][:, slot, letter]
    parts = []
    for turned in (False, True) if paired else (False,):
        some = (partner >= L) == turned
        parts.append((letter[some], partner[some] - L * turned, weight[:, some]))
    return parts


def _swap(x_DN: Tensor, turned: int) -> Tensor:
    """The channels as the other strand has them."""
    return torch.cat(x_DN.chunk(2, 0)[::-1]) if turned else x_DN


@torch.library.custom_op("orchid::read_pointers", mutates_args=())
def _read(
    z_BDL: Tensor, partner_BJL: Tensor, weight_BSJL: Tensor, gain_SD: Tensor, paired: bool
) -> Tensor:
    y_BDL = torch.zeros_like(z_BDL, memory_format=torch.contiguous_format)
    # Row by row: a row's sums are added up in the same order in every batch.
    for row in range(len(z_BDL)):
        parts = _entries(partner_BJL, weight_BSJL, row, paired)
        for turned, (letter, partner, weight) in enumerate(parts):
            read = _swap(z_BDL[row].index_select(1, partner), turned)
            share = gain_SD.T @ weight.to(gain_SD.dtype)
            y_BDL[row].index_add_(1, letter, read * share)
    return y_BDL


@torch.library.custom_op("orchid::read_pointers_backward", mutates_args=())
def _read_backward(
    dy_BDL: Tensor,
    z_BDL: Tensor,
    partner_BJL: Tensor,
    weight_BSJL: Tensor,
    gain_SD: Tensor,
    paired: bool,
) -> list[Tensor]:
    """Gradients of z and gain."""
    dz_BDL = torch.zeros_like(z_BDL, memory_format=torch.contiguous_format)
    dgain_SD = torch.zeros_like(gain_SD)
    for row in range(len(z_BDL)):
        parts = _entries(partner_BJL, weight_BSJL, row, paired)
        for turned, (letter, partner, weight) in enumerate(parts):
            weight = weight.to(gain_SD.dtype)
            dy = dy_BDL[row].index_select(1, letter)
            read = _swap(z_BDL[row].index_select(1, partner), turned)
            dgain_SD += weight @ (dy * read).T
            dz_BDL[row].index_add_(1, partner, _swap(dy * (gain_SD.T @ weight), turned))
    return [dz_BDL, dgain_SD]


@_read.register_fake
def _(z_BDL: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(z_BDL, memory_format=torch.contiguous_format)


@_read_backward.register_fake
def _(
    dy_BDL: Tensor, z_BDL: Tensor, partner: Tensor, weight: Tensor, gain_SD: Tensor, *rest: Any
) -> list[Tensor]:
    dz = torch.empty_like(z_BDL, memory_format=torch.contiguous_format)
    return [dz, torch.empty_like(gain_SD)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.paired = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, dy_BDL: Tensor) -> tuple[Tensor | None, ...]:
    z, partner, weight, gain = ctx.saved_tensors
    dz, dgain = _read_backward(dy_BDL, z, partner, weight, gain, ctx.paired)
    return dz, None, None, dgain, None


_read.register_autograd(_differentiate, setup_context=_keep)
