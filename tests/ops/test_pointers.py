"""Pointers: the fast search is the slow one, they obey every law, and reading is linear."""

import itertools
import math

import numpy as np
import pytest
import torch

from orchid_genomics.ops import pointers, triton
from orchid_genomics.ops.pointers import PARTNERS, find_pointers, index_readers, read_pointers
from orchid_genomics.sequence import DNA

K = 5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def near_by(monkeypatch):
    """Everything small, so that windows of a hundred letters have all that long ones have."""
    monkeypatch.setattr(pointers, "REACH", 8)
    monkeypatch.setattr(pointers, "CLOSE", 4)
    monkeypatch.setattr(pointers, "FIRST_LOOK", 5)
    monkeypatch.setattr(pointers, "SPREAD", 12)
    monkeypatch.setattr(pointers, "NEAR", 6)


def window(L, seed=0, changed=0.07):
    """Random letters with a copy on either strand, some letters changed or unknown."""
    rng = np.random.default_rng(seed)
    row = rng.integers(0, 4, L).astype(np.uint8)
    copies = ((L // 12, L // 2, L // 4, False), (L // 3, 4 * L // 5, L // 6, True))
    for source, target, length, turned in copies:
        segment = row[source : source + length].copy()
        row[target : target + length] = DNA.reverse_complement(segment) if turned else segment
    some = rng.random(L) < changed
    row[some] = rng.integers(0, 6, some.sum())
    return row


def dense(found, L):
    """Weights as (S, L, 2 L) matrices, one for each way to share: what the order of slots hides."""
    B, S, J, _ = found.weight_BSJL.shape
    matrix = torch.zeros(B, S, L, 2 * L, dtype=torch.float64)
    for b, s, j, t in itertools.product(range(B), range(S), range(J), range(L)):
        matrix[b, s, t, found.partner_BJL[b, j, t]] += found.weight_BSJL[b, s, j, t]
    return matrix


def slow(row, cut):
    """The weights (S, L, 2 L) of one window, by looking at every pair of places."""
    L = len(row)
    row = [int(code) for code in row]

    def meet(letter, diagonal, turned, odds):
        partner = (diagonal - letter if turned else diagonal + letter) % L
        here, there = row[letter % L], row[partner]
        unknown, equal, other = odds
        if here > 3 or there > 3:
            return unknown / 8
        return (equal if here == (3 - there if turned else there) else other) / 8

    def around(first, last, diagonal, turned, reach, may_dip=True):
        values = []
        for odds in pointers.ODDS:
            meets = [meet(t, diagonal, turned, odds) for t in range(first, last)]
            value = sum(meets)
            for letters in (range(first - 1, first - reach - 1, -1), range(last, last + reach)):
                meets = (meet(t, diagonal, turned, odds) for t in letters)
                sums = list(itertools.accumulate(meets))
                if may_dip or min(sums[: pointers.CLOSE]) >= -pointers.DIP:
                    value += max(*sums, 0)
            values.append(value)
        return max(values)

    def circle(a, b):
        return min((a - b) % L, (b - a) % L)

    words = [[row[(i + j) % L] for j in range(K)] for i in range(L)]
    back = [[3 - letter for letter in word[::-1]] for word in words]
    known = [max(word) < 4 for word in words]
    every = [tuple(word) for i, word in enumerate(words) if known[i]]
    every += [tuple(word) for i, word in enumerate(back) if known[i]]
    count = {word: every.count(word) for word in every}
    scores = {}
    for i, p, turned in itertools.product(range(L), range(L), (False, True)):
        other = back[p] if turned else words[p]
        if not (known[i] and known[p]) or words[i] != other or count[tuple(other)] > PARTNERS:
            continue
        if not turned and circle(i, p) < pointers.NEAR:
            continue
        diagonal = (i + p + K - 1) % L if turned else (p - i) % L
        first_look = min(pointers.FIRST_LOOK, cut)
        if around(i, i + K, diagonal, turned, pointers.CLOSE) <= first_look:
            continue
        if around(i, i + K, diagonal, turned, pointers.REACH) <= cut:
            continue
        for t in range(i - pointers.SPREAD, i + K + pointers.SPREAD):
            partner = (diagonal - t if turned else diagonal + t) % L
            score = around(t, t + 1, diagonal, turned, pointers.REACH, may_dip=False)
            if circle(t, partner) >= pointers.NEAR and row[partner] < 4 and score > cut:
                scores[t % L, partner + L * turned] = score
    weight = torch.zeros(len(pointers.TEMPERATURES), L, 2 * L, dtype=torch.float64)
    for letter in range(L):
        own = sorted((s, p) for (t, p), s in scores.items() if t == letter)[::-1]
        least = own[PARTNERS][0] if len(own) > PARTNERS else -1
        own = [(score, p) for score, p in own[:PARTNERS] if score > least]
        for s, temperature in enumerate(pointers.TEMPERATURES):
            odds = [math.exp((score - cut) / temperature) for score, _ in own]
            for (_, partner), odd in zip(own, odds, strict=True):
                weight[s, letter, partner] = odd / (1 + sum(odds))
    return weight


def other_strand(rows):
    return torch.from_numpy(DNA.reverse_complement(rows.numpy()).copy())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("L", [64, 121])
def test_the_search_is_the_one_that_looks_at_every_pair(seed, L):
    row = window(L, seed)
    threshold = 0.5
    found = find_pointers(torch.from_numpy(row)[None], K, threshold)
    expected = slow(row, threshold * 2 * math.log(L))
    assert expected.any()
    torch.testing.assert_close(dense(found, L)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [64, 121, 160])
def test_rolling_the_letters_rolls_letters_and_partners(L):
    rows = torch.from_numpy(np.stack([window(L, seed) for seed in range(3)]))
    before = dense(find_pointers(rows, K, 0.5), L)
    assert before.any()
    for shift in (1, L // 2, -7):
        after = dense(find_pointers(rows.roll(shift, 1), K, 0.5), L).unflatten(-1, (2, L))
        expected = before.unflatten(-1, (2, L)).roll(shift, 2).roll(shift, 4)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [64, 121, 160])
def test_the_other_strand_turns_letters_and_partners(L):
    rows = torch.from_numpy(np.stack([window(L, seed) for seed in range(3)]))
    before = dense(find_pointers(rows, K, 0.5), L).unflatten(-1, (2, L))
    after = dense(find_pointers(other_strand(rows), K, 0.5), L).unflatten(-1, (2, L))
    torch.testing.assert_close(after, before.flip(2, 4), rtol=0, atol=1e-12)


def test_rows_never_talk():
    rows = torch.from_numpy(np.stack([window(160, seed) for seed in range(4)]))
    batch = find_pointers(rows, K, 0.5)
    for row in range(4):
        alone = find_pointers(rows[row : row + 1], K, 0.5)
        assert all(
            torch.equal(one[0], many[row]) for one, many in zip(alone[:2], batch[:2], strict=True)
        )


def test_what_is_no_letter_neither_points_nor_is_pointed_at():
    row = window(121)
    row[20:30] = DNA.n
    row[70:75] = DNA.mask
    found = dense(find_pointers(torch.from_numpy(row)[None], K, 0.5), 121)[0].sum(0)
    assert found.any()
    unknown = torch.from_numpy(row > 3)
    assert not found[:, unknown.repeat(2)].any()


def test_a_hidden_letter_points_to_what_stands_there_in_the_other_copy(monkeypatch):
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    row = rng.integers(0, 4, 4096).astype(np.uint8)
    row[3000:3500] = row[100:600]
    row[2000:2300] = DNA.reverse_complement(row[1000:1300])
    row[3000:3500:10] = DNA.mask
    found = find_pointers(torch.from_numpy(row)[None], 9)
    sharp, partner = found.weight_BSJL[0, 0, 0], found.partner_BJL[0, 0]
    assert (partner[3000:3500:10] == torch.arange(100, 600, 10)).all()
    assert (partner[2000:2300] == 4096 + torch.arange(1299, 999, -1)).all()
    assert sharp[3000:3500].min() > 0.99
    # Beyond the end of a copy letters agree by chance, and not for long.
    assert sharp[:60].max() == 0
    assert sharp[640:960].max() == 0


def needle(changed=(), beyond=0, behind=0, seed=0):
    """A key of 24 letters at 100, 2000 and 3000, the 24 letters behind the last one hidden; that at
    2000 has `changed` letters changed, and there some more agree before the key and behind it.
    """
    row = np.random.default_rng(seed).integers(0, 4, 4096).astype(np.uint8)
    row[3000:3024] = row[100:124]
    row[2000 - beyond : 2024] = row[3000 - beyond : 3024]
    row[2048 : 2048 + behind] = row[3048 : 3048 + behind]
    row[[2000 + letter for letter in changed]] ^= 1
    for at, other in ((99, 2999), (1999 - beyond, 2999 - beyond), (2048 + behind, 3048 + behind)):
        row[at] = row[other] ^ 1
    row[148] = row[3048] ^ 1
    row[3024:3048] = DNA.mask
    return torch.from_numpy(row)[None]


def answers(found, first):
    """The sharp weight that the 24 hidden letters of `needle` give to what stands from `first`."""
    right = found.partner_BJL[0, :, 3024:3048] == first + torch.arange(24)
    return (found.weight_BSJL[0, 0, :, 3024:3048] * right).sum(0)


@pytest.mark.parametrize("changed", [[0], [5], [12], [18], [23], [3, 15]])
@pytest.mark.parametrize("seed", range(3))
def test_an_exact_copy_is_read_before_a_longer_one_that_differs(changed, seed, monkeypatch):
    monkeypatch.undo()
    found = find_pointers(needle(changed, beyond=3, seed=seed), 9)
    assert answers(found, 124).min() > 0.9


def test_two_letters_that_agree_behind_a_run_of_hidden_ones_say_nothing(monkeypatch):
    monkeypatch.undo()
    found = find_pointers(needle(behind=2), 9)
    assert answers(found, 124)[0] == answers(found, 2024)[0] > 0.4


def test_a_k_mer_beyond_the_window_points_nowhere():
    row = torch.from_numpy(window(8))[None]
    assert not find_pointers(row, 9).weight_BSJL.any()


def test_strands_may_be_read_apart():
    row = torch.from_numpy(window(121))[None]
    one = find_pointers(row, K, 0.5, both_strands=False)
    assert one.weight_BSJL.any()
    assert (one.partner_BJL[one.weight_BSJL[:, 0] > 0] < 121).all()


def reading_inputs(paired=True, dtype=torch.float64, L=121, seed=0):
    rows = torch.from_numpy(np.stack([window(L, seed), window(L, seed + 1)]))
    found = find_pointers(rows, K, 0.5, paired)
    random = torch.Generator().manual_seed(0)
    z = torch.randn(2, 6, L, generator=random, dtype=torch.float64).to(dtype)
    gain = torch.randn(2, 6, generator=random, dtype=torch.float64).to(dtype)
    return z.requires_grad_(), found, gain.requires_grad_()


@pytest.mark.parametrize("paired", [True, False], ids=["strand pairs", "dense"])
def test_reading_is_the_product_with_the_weights(paired):
    z, found, gain = reading_inputs(paired)
    here, there = dense(found, 121).unflatten(-1, (2, 121)).unbind(3)
    swapped = torch.cat(z.chunk(2, 1)[::-1], 1)
    y = torch.einsum("sd,bstp,bdp->bdt", gain, here, z)
    if paired:
        y = y + torch.einsum("sd,bstp,bdp->bdt", gain, there, swapped)
    ours = read_pointers(z, found, gain, paired)
    torch.testing.assert_close(ours, y, rtol=0, atol=1e-12)
    slopes = [torch.autograd.grad(each.square().sum(), (z, gain)) for each in (ours, y)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_gradients_agree_with_finite_differences():
    z, found, gain = reading_inputs(L=64)
    call = lambda z, gain: read_pointers(z, found, gain, True)  # noqa: E731
    assert torch.autograd.gradcheck(call, (z, gain))


def test_the_custom_operators_keep_torchs_rules():
    z, found, gain = reading_inputs(dtype=torch.float32)
    torch.library.opcheck(torch.ops.orchid.read_pointers.default, (z, *found[:2], gain, True))
    rows = torch.from_numpy(window(121))[None].long()
    torch.library.opcheck(torch.ops.orchid.find_pointers.default, (rows, K, 0.5, True))


def test_no_rows_at_all():
    found = find_pointers(torch.zeros(0, 64, dtype=torch.uint8), K)
    assert found.partner_BJL.shape == (0, PARTNERS, 64)
    assert read_pointers(torch.zeros(0, 6, 64), found, torch.zeros(2, 6), True).shape == (0, 6, 64)


possible = pytest.mark.skipif(
    not triton.available(DEVICE), reason="triton is not installed, or not interpreted"
)


def on_device(found):
    return found.to(torch.device(DEVICE))


@possible
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("L", [121, 256])
@pytest.mark.parametrize("paired", [True, False], ids=["strand pairs", "dense"])
def test_kernels_read_as_the_definition_does(paired, L, dtype):
    z, found, gain = reading_inputs(paired, L=L)
    y = read_pointers(z, found, gain, paired)
    slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    right = [y, *torch.autograd.grad((y * slope).sum(), (z, gain))]
    z2 = z.detach().to(DEVICE, dtype).requires_grad_()
    gain2 = gain.detach().to(DEVICE, torch.float32).requires_grad_()
    y = read_pointers(z2, on_device(index_readers(found)), gain2, paired)
    ours = [y, *torch.autograd.grad((y * slope.to(DEVICE, dtype)).sum(), (z2, gain2))]
    assert [each.dtype for each in ours] == [dtype, dtype, torch.float32]
    for one, other in zip(ours, right, strict=True):
        largest = float(other.detach().abs().max())
        error = float((one.detach().cpu().double() - other.detach()).abs().max())
        assert error < (3e-2 if dtype == torch.bfloat16 else 1e-5) * max(largest, 1)


@possible
def test_kernels_keep_torchs_rules_and_read_nothing_of_no_rows():
    z, found, gain = reading_inputs(dtype=torch.float32)
    given = (z.to(DEVICE), *on_device(index_readers(found)), gain.to(DEVICE), True)
    torch.library.opcheck(torch.ops.orchid.read_pointers_triton.default, given)
    none = index_readers(find_pointers(torch.zeros(0, 64, dtype=torch.uint8, device=DEVICE), K))
    gain = torch.zeros(2, 6, device=DEVICE, requires_grad=True)
    y = read_pointers(torch.zeros(0, 6, 64, device=DEVICE), none, gain, True)
    assert y.shape == (0, 6, 64)
    assert not torch.autograd.grad(y.sum(), gain)[0].any()


def test_readers_are_the_transposed_map_at_a_size_of_its_own():
    rows = torch.from_numpy(np.stack([window(121, seed) for seed in range(3)]))
    found = find_pointers(rows, K, 0.5)
    indexed = index_readers(found)
    some = found.weight_BSJL[:, 0] > 0
    expected = {
        (b, int(found.partner_BJL[b, j, t]) % 121, j * 121 + t)
        for b, j, t in some.nonzero().tolist()
    }
    first, reader = indexed.first.tolist(), indexed.reader.tolist()
    listed = [
        (b, t, entry)
        for b in range(3)
        for t in range(121)
        for entry in reader[first[b * 121 + t] : first[b * 121 + t + 1]]
    ]
    assert len(listed) == len(expected)
    assert set(listed) == expected
    assert listed == sorted(listed)
    assert torch.equal(indexed.partner_BJL >= 0, some)
    nothing = index_readers(find_pointers(rows[:, :8], 9))
    assert [each.shape for each in nothing] == [(3, 8, 8), (3, 2, 8, 8), (25,), (192,)]
