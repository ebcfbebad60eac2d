"""Laws of the encoder: both strands, shifts, rows, padding, and the same function however it is
run.
"""

import pytest
import torch
from compiling import check_encode_compiles

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.filters import CorrelationRecipe, MagnitudeRecipe, StaticRecipe
from orchid_genomics.model.heads import Letters, LettersRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe, transform_length
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import DNA, SOFT

FILTERS = {
    "correlation": CorrelationRecipe(),
    "magnitude": MagnitudeRecipe(),
    "static": StaticRecipe(),
    "side taps": CorrelationRecipe(frequency_taps=3),
    "threshold": MagnitudeRecipe(threshold=0.3),
}


def encoder(dtype=torch.float64, **shape) -> Orchid:
    """Every parameter moved off its start: what starts at 0 or 1 would hide a fault."""
    torch.manual_seed(2)
    model = Orchid(OrchidRecipe(**{"width": 12, "depth": 2, **shape})).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def tokens(B: int, L: int, codes: int = 6, seed: int = 0) -> torch.Tensor:
    """Letters, N and MASK (never PAD)."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, codes, (B, L), generator=random, dtype=torch.uint8)


def padded(rows: list[torch.Tensor], length: int) -> torch.Tensor:
    out = torch.full((len(rows), length), DNA.pad, dtype=torch.uint8)
    for row, letters in enumerate(rows):
        out[row, : len(letters)] = letters
    return out


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("L", [1, 2, 31, 32, 47, 60])
def test_the_other_strand_reverses_positions_and_negates_the_odd_half(filter, L):
    model = encoder(filter=FILTERS[filter])
    forward = tokens(2, L)
    backward = torch.from_numpy(DNA.reverse_complement(forward.numpy()).copy())
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    for call in (model.encode, model):
        torch.testing.assert_close(call(backward), call(forward).flip(1) * sign, rtol=0, atol=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
@pytest.mark.parametrize("L", [1, 2, 47, 60])
def test_the_term_that_reads_turned_copies_is_exact_on_both_strands_and_shifts(threshold, L):
    model = encoder(filter=CorrelationRecipe(turned=0.5, threshold=threshold))
    forward = tokens(2, L)
    backward = torch.from_numpy(DNA.reverse_complement(forward.numpy()).copy())
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    vectors = model(forward)
    torch.testing.assert_close(model(backward), vectors.flip(1) * sign, rtol=0, atol=1e-12)
    if transform_length(L) == L:
        rolled = model(forward.roll(7, 1))
        torch.testing.assert_close(rolled, vectors.roll(7, 1), rtol=0, atol=1e-12)


def test_padding_and_neighbours_change_nothing_where_only_what_stands_out_is_read():
    model = encoder(filter=CorrelationRecipe(turned=0.5, threshold=0.3))
    first, second = (tokens(1, L, seed=L)[0] for L in (45, 48))
    alone = model(first[None])
    batch = model(padded([first, second], 64))
    torch.testing.assert_close(batch[:1, :45], alone, rtol=0, atol=1e-12)
    assert not batch[0, 45:].any()


def test_an_encoder_that_keeps_all_lags_is_the_one_without_a_choice():
    plain, off = (
        encoder(torch.float32, filter=CorrelationRecipe(**more))
        for more in ({}, {"threshold": 0.0, "turned": 0.0})
    )
    assert list(plain.state_dict()) == list(off.state_dict())
    assert not [name for name in off.state_dict() if "turn" in name]
    assert torch.equal(plain(tokens(2, 40)), off(tokens(2, 40)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"filter": {"kind": "static", "threshold": 0.7}}, "threshold 0.7 is of a data-dependent"),
        ({"filter": {"kind": "static", "turned": 0.3}}, "turned 0.3 is of a data-dependent filter"),
        (
            {"filter": {"kind": "correlation", "turned": 0.3}, "strands": "dense"},
            "filter.turned reads strand pairs, and strands is dense",
        ),
    ],
    ids=["threshold", "turned", "dense"],
)
def test_what_a_filter_cannot_keep_is_refused_in_a_line(shape, message):
    with pytest.raises(RecipeError, match=message) as caught:
        validate(OrchidRecipe, shape, "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("L", [32, 33, 47])
def test_letters_of_the_other_strand_are_the_complements(L):
    model = encoder()
    head = Letters(LettersRecipe(), model.recipe).double()
    torch.nn.init.normal_(head.bias)
    forward = tokens(2, L)
    backward = torch.from_numpy(DNA.reverse_complement(forward.numpy()).copy())
    logits, other = head(model(forward)), head(model(backward))
    torch.testing.assert_close(other, logits.flip(1)[..., list(DNA.complement)], rtol=0, atol=1e-12)


def test_a_padded_row_reads_the_same_on_both_strands_where_padding_stays_at_the_end():
    """Padding follows the letters on either strand: a strand is turned before it is padded."""
    model = encoder()
    letters = tokens(1, 50)
    turned = torch.from_numpy(DNA.reverse_complement(letters.numpy()).copy())
    assert transform_length(50) == 60
    sign = torch.cat((torch.ones(6), -torch.ones(6))).double()
    torch.testing.assert_close(model(turned), model(letters).flip(1) * sign, rtol=0, atol=1e-12)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_rolling_the_letters_rolls_the_vectors(filter, strands):
    model = encoder(filter=FILTERS[filter], strands=strands)
    L = 36
    assert transform_length(L) == L
    x = tokens(2, L)
    for shift in (1, 17, -5):
        torch.testing.assert_close(
            model(x.roll(shift, 1)), model(x).roll(shift, 1), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("width", [6, 8, 12])
@pytest.mark.parametrize("N", [32, 36, 60, 640])
def test_a_row_alone_is_bit_equal_to_the_row_in_any_batch(threads, width, N):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = encoder(torch.float32, width=width, filter=CorrelationRecipe(frequency_taps=3))
        head = Letters(LettersRecipe(), model.recipe)
        rows = tokens(7, N)
        with torch.inference_mode():
            alone = [head(model(rows[row : row + 1]))[0] for row in range(7)]
            for B in (2, 3, 5, 7):
                batch = head(model(rows[:B]))
                assert all(torch.equal(batch[row], alone[row]) for row in range(B))
    finally:
        torch.set_num_threads(before)


def test_rows_of_many_lengths_are_each_what_they_are_alone():
    model = encoder(torch.float32)
    rows = [tokens(1, L, seed=L)[0] for L in (0, 1, 31, 32, 33, 50, 60, 61, 64, 100, 33, 128)]
    batch = padded(rows, 128)
    with torch.no_grad():
        out = model(batch)
        for row, letters in enumerate(rows):
            assert torch.equal(out[row, : len(letters)], model(letters[None])[0])
            assert not out[row, len(letters) :].any()


def test_padding_at_the_end_changes_nothing():
    model = encoder(torch.float32)
    letters = tokens(1, 45)[0]
    with torch.no_grad():
        alone = model(letters[None])
        for length in (46, 48, 60, 100, 1000):
            out = model(padded([letters], length))
            assert out.shape == (1, length, 12)
            assert torch.equal(out[:, :45], alone)
            assert not out[:, 45:].any()


def test_a_neighbouring_row_changes_nothing():
    model = encoder(torch.float32)
    first, second, third = (tokens(1, L, seed=L)[0] for L in (50, 47, 64))
    with torch.no_grad():
        with_second, with_third = (
            model(padded([first, second], 64)),
            model(padded([first, third], 64)),
        )
    assert torch.equal(with_second[0], with_third[0])


def test_padding_between_letters_is_zero_and_reaches_no_letter_as_a_vector():
    model = encoder(torch.float64)
    row = tokens(1, 40)
    row[0, 10:15] = DNA.pad
    out = model(row)
    assert not out[0, 10:15].any()
    assert out[0, 15:].abs().sum(1).min() > 0


def test_nothing_at_all():
    model = encoder(torch.float32)
    for B, L in ((0, 32), (2, 0), (0, 0)):
        assert model(torch.zeros(B, L, dtype=torch.uint8)).shape == (B, L, 12)
    assert not model(torch.full((2, 9), DNA.pad, dtype=torch.uint8)).any()
    empty = model.encode(torch.zeros(0, 32, dtype=torch.uint8))
    empty.sum().backward()
    assert empty.shape == (0, 32, 12)


def test_transform_lengths_are_few_even_smooth_monotone_and_near():
    lengths = [transform_length(L) for L in range(1, 150_000)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) <= 1 + 5 * 13  # five an octave from 32 to 262,144
    for L, N in enumerate(lengths, 1):
        assert N >= L
        assert L <= 32 or N <= 1.25 * L
    for N in set(lengths):
        assert N % 2 == 0
        assert transform_length(N) == N
        for prime in (2, 3, 5):
            while N % prime == 0:
                N //= prime
        assert N == 1


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_checkpointing_gives_the_same_gradients(strands):
    model = encoder(torch.float32, strands=strands)
    mask = torch.ones(2, 40)
    mask[1, 30:] = 0
    gradients = []
    for model.checkpointing in (False, True):
        y = model.encode(tokens(2, 40), mask)
        gradients.append(torch.autograd.grad(y.square().sum(), list(model.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("backend", ["fft", "reference"])
def test_encode_compiles_to_one_graph_forward_and_backward(filter, backend):
    model = encoder(torch.float32, depth=1, filter=FILTERS[filter], backend=backend)
    mask = torch.ones(2, 32)
    mask[1, 20:] = 0
    check_encode_compiles(model, tokens(2, 32), mask)


def test_lower_case_does_not_reach_the_encoder():
    model = encoder(torch.float32)
    upper = tokens(2, 40, codes=7)
    soft = upper | (torch.rand(2, 40) < 0.5).to(torch.uint8) * SOFT
    assert torch.equal(model(soft), model(upper))
    assert torch.equal(model.encode(soft), model.encode(upper))


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_the_plain_encoder_is_the_fused_one(filter, strands, masked, monkeypatch):
    model = encoder(filter=FILTERS[filter], strands=strands, mlp_blocks=2)
    mask = torch.ones(2, 37, dtype=torch.float64)
    mask[1, 25:] = 0
    results = []
    for plain in (False, True):
        if plain:
            for block in model.blocks:
                monkeypatch.setattr(
                    block, "forward", lambda x, mask, *_, plain=block.plain: plain(x, mask)
                )
        y = model.encode(tokens(2, 37), mask if masked else None)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
    for fused, plain in zip(*results, strict=True):
        assert (fused - plain).abs().max() <= 1e-10 * max(1.0, plain.abs().max())


@pytest.mark.parametrize("backend", ["fft", "reference"])
def test_backends_agree_in_a_whole_encoder(backend):
    ours, reference = encoder(backend=backend), encoder(backend="reference")
    torch.testing.assert_close(
        ours(tokens(2, 50)), reference(tokens(2, 50)), rtol=1e-10, atol=1e-10
    )


def test_mixed_letters_are_linear_at_the_embedding():
    """One-hot letters give what their codes give; attribution and relaxed sequences go in here."""
    model = encoder(torch.float64)
    codes = tokens(2, 40)
    letters = torch.nn.functional.one_hot(codes.long(), DNA.size).transpose(1, 2).double()
    assert torch.equal(model.encode_letters(letters), model.encode(codes))


def test_symbols_without_a_complement_are_read_densely_only():
    model = encoder(torch.float32, alphabet="symbols:20", strands="dense")
    assert model(tokens(2, 40, codes=20)).shape == (2, 40, 12)
    with pytest.raises(
        RecipeError, match='alphabet symbols:20: has no complement; strands = "dense"'
    ):
        encoder(alphabet="symbols:20")


@pytest.mark.parametrize("threads", [1, 2])
def test_autocast_runs_activations_in_bfloat16_near_float32(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        model = encoder(torch.float32)
        wide = model.encode(tokens(2, 40))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            narrow = model.encode(tokens(2, 40))
        narrow.float().sum().backward()
    finally:
        torch.set_num_threads(before)
    assert (narrow.float() - wide).square().mean().sqrt() < 0.05 * wide.square().mean().sqrt()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_bfloat16_activations_move_the_logits_and_gradients_by_a_rounding():
    torch.manual_seed(0)
    encoder = Orchid(OrchidRecipe(width=32, depth=4))
    tokens = torch.randint(0, 4, (2, 256), dtype=torch.uint8)

    def vectors_and_gradients(dtype):
        encoder.prepare(checkpointing=False, activations=dtype)
        encoder.zero_grad()
        x = encoder.encode(tokens)
        x.square().sum().backward()
        return x.detach(), torch.cat([p.grad.flatten() for p in encoder.parameters()])

    for exact, rounded in zip(
        vectors_and_gradients(torch.float32), vectors_and_gradients(torch.bfloat16), strict=True
    ):
        assert rounded.dtype == torch.float32, (
            "the residual stream and the parameters stay as they are"
        )
        assert 1e-4 < (rounded - exact).norm() / exact.norm() < 0.03


def test_short_taps_begin_at_identity_or_as_far_from_it_as_asked():
    def taps(spread):
        torch.manual_seed(0)
        return (
            Orchid(OrchidRecipe(width=256, depth=1, short_spread=spread))
            .blocks[0]
            .mixer.short.detach()
        )

    identity = torch.tensor([0.0, 1.0, 0.0])
    assert torch.equal(taps(0.0), identity.expand(3, 128, 3))
    away = taps(0.5) - identity
    assert away.mean().abs() < 0.06
    assert away.std().item() == pytest.approx(0.5, rel=0.1)
