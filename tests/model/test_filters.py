"""Filters know nucleotides, not windows: weights trained at 1 kb mean the same at 131 kb."""

import math

import pytest
import torch

from orchid_genomics.model.filters import (
    FILTERS,
    CorrelationRecipe,
    MagnitudeRecipe,
    StaticFilter,
    StaticRecipe,
    short_conv,
    static_spectra,
    tap_spectrum,
)
from orchid_genomics.ops import long_conv

SHORT, LONG = 1_024, 131_072
CONDITIONED = {"correlation": CorrelationRecipe, "magnitude": MagnitudeRecipe}


def static_filter(channels: int = 4, **recipe) -> StaticFilter:
    torch.manual_seed(0)
    return StaticFilter(channels, StaticRecipe(**recipe)).double()


def test_the_static_filter_at_1_kb_is_the_centre_of_the_one_at_131_kb():
    filter = static_filter(longest=LONG)
    short, long = filter.taps(SHORT), filter.taps(LONG)
    half = SHORT // 2
    # Two products of different shapes: the machine chooses their kernels, and so the last bits.
    torch.testing.assert_close(short[:, :half], long[:, :half], rtol=0, atol=1e-14)
    behind = long[:, half + 1 - SHORT :]
    torch.testing.assert_close(short[:, half + 1 :], behind, rtol=0, atol=1e-14)


def test_lags_are_nucleotides_and_signed():
    filter = static_filter()
    lags = torch.tensor([0.0, 1, 2, -1, -2, 300, -300]).double()
    h = filter.lags(lags)
    for L in (601, 1_000, 4_096):
        taps = filter.taps(L)
        torch.testing.assert_close(taps[:, lags.long() % L], h, rtol=0, atol=1e-12)
    assert (
        h[:, 1] - h[:, 3]
    ).abs().min() > 1e-3  # two-sided: ahead and behind are different filters


@pytest.mark.parametrize("L", [2, 8, 64])
def test_the_middle_lag_of_an_even_window_is_the_mean_of_both_signs(L):
    filter = static_filter()
    ends = filter.lags(torch.tensor([-L / 2, L / 2]).double())
    torch.testing.assert_close(filter.taps(L)[:, L // 2], ends.mean(1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [1, 2, 3, 4, 31, 32])
def test_the_spectrum_is_that_of_every_lag_below_half_the_window(L):
    filter = static_filter()
    taps = filter.taps(L)
    assert taps.shape == (4, L)
    torch.testing.assert_close(filter(L), torch.fft.rfft(taps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [239, 240, 241, 242, 1_000, 1_001])
def test_lags_whose_tapers_stand_at_their_least_are_not_missed(L):
    """Beyond 120 nt a decay length of 2 leaves e^-60, and the fused spectrum leaves that out."""
    filter = static_filter(shortest=1, longest=2)
    torch.testing.assert_close(filter(L), torch.fft.rfft(filter.taps(L)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("L", [1, 2, 3, 8, 31, 1_025, 2_050])
def test_the_fused_spectrum_has_the_gradients_of_the_filter_written_out(L):
    filter = static_filter(longest=500)
    parameters, weight = (
        list(filter.parameters()),
        torch.randn(4, L // 2 + 1, dtype=torch.complex128),
    )
    fused = torch.autograd.grad(filter(L), parameters, weight)
    plain = torch.autograd.grad(torch.fft.rfft(filter.taps(L)), parameters, weight)
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=1e-12 * max(1.0, theirs.abs().max().item())
        )


def test_the_fused_spectrum_keeps_torchs_rules():
    filter = static_filter().float()
    layers = (filter.first.weight, filter.first.bias, filter.second.weight, filter.second.bias)
    leaves = [
        t.detach().requires_grad_()
        for t in (*layers, filter.last.weight, torch.exp(-filter.log_decay))
    ]
    two = [torch.stack((leaf, 2 * leaf)).detach().requires_grad_() for leaf in leaves]
    torch.library.opcheck(torch.ops.orchid.implicit_spectrum.default, (*two, 10))


def test_filters_evaluated_together_are_each_what_they_are_alone():
    recipe = StaticRecipe(longest=500)
    torch.manual_seed(1)
    filters = [StaticFilter(4, recipe).double() for _ in range(3)]
    for L in (1, 2, 9, 2_050):
        together = static_spectra(filters, L)
        alone = torch.stack([filter(L) for filter in filters])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


def test_far_lags_are_tapered_by_one_decay_a_channel_spaced_to_the_longest_window():
    filter = static_filter(channels=5, shortest=8, longest=5_000)
    decays = filter.log_decay.exp().tolist()
    assert decays[0] == pytest.approx(8)
    assert decays[-1] == pytest.approx(5_000)
    far = filter.lags(torch.tensor([65_536.0]).double()).abs()
    assert far[0] < 1e-20
    assert far.max() < 1e-4 * filter.lags(torch.zeros(1).double()).abs().max()


@pytest.mark.parametrize("L", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_spectra_of_short_taps_are_those_of_the_circular_convolution(L, taps):
    w, x = torch.randn(2, taps, dtype=torch.float64), torch.randn(1, 2, L, dtype=torch.float64)
    spectral = torch.fft.irfft(tap_spectrum(w, L) * torch.fft.rfft(x), n=L)
    torch.testing.assert_close(short_conv(x, w), spectral, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", CONDITIONED)
def test_the_gain_is_the_product_of_the_short_filters_spectra(kind):
    conditioning = FILTERS[kind](4, CONDITIONED[kind](taps=5, frequency_taps=3)).double()
    gain, side = conditioning(16)
    spectra = [
        torch.fft.rfft(torch.nn.functional.pad(w, (0, 11)).roll(-2, -1)) for w in conditioning.taps
    ]
    expected = spectra[0] * spectra[1].conj() if kind == "correlation" else spectra[0].abs()
    torch.testing.assert_close(gain, 0.1 * expected.to(gain.dtype), rtol=0, atol=1e-6)
    assert side.shape == (4, 1)
    assert not side.any()


def operator_rms(kind: str, mean: float, L: int, static: bool) -> torch.Tensor:
    """The rms, a channel, of the operator on stationary noise with a mean; its weights do not know
    L.
    """
    torch.manual_seed(4)
    recipe = CONDITIONED[kind](longest=512, strength=1.0)
    filter, conditioning = StaticFilter(4, recipe), FILTERS[kind](4, recipe)
    random = torch.Generator().manual_seed(L)
    z, v = (torch.randn(LONG // L, 4, L, generator=random) for _ in range(2))
    spectrum = filter(L) if static else torch.zeros_like(filter(L))
    with torch.no_grad():
        y = long_conv(z, v + mean, spectrum, *conditioning(L), kind=kind)
    return y.square().mean((0, 2)).sqrt()


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize("mean", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("static", [False, True], ids=["conditioned alone", "whole filter"])
def test_outputs_are_as_large_at_131_kb_as_at_1_kb(kind, mean, static):
    short, long = (operator_rms(kind, mean, L, static) for L in (SHORT, LONG))
    torch.testing.assert_close(long, short, rtol=0.1, atol=0)


@pytest.mark.parametrize("kind", CONDITIONED)
def test_a_periodic_line_is_bounded_at_every_length(kind):
    """A repeat of period 8 puts more power into one bin the longer it is; the filter grows with
    neither.
    """
    recipe = CONDITIONED[kind](bound=64.0)
    conditioning = FILTERS[kind](1, recipe)
    largest = {}
    for L in (SHORT, LONG):
        line = torch.cos(2 * math.pi / 8 * torch.arange(L)).expand(1, 1, L)
        impulse = torch.zeros(1, 1, L)
        impulse[..., 0] = 1
        gain, _ = conditioning(L)
        with torch.no_grad():
            h = torch.fft.rfft(
                long_conv(impulse, line, torch.zeros_like(gain), gain, kind=kind, bound=64.0)
            )
        largest[L] = (h.abs() / gain.abs()).max().item()
    limit = 64.0 if kind == "correlation" else 8.0
    assert all(0.8 * limit < size <= 1.001 * limit for size in largest.values())


def test_far_channels_begin_at_zero_and_can_grow():
    """What a first window cannot hold is no noise in longer ones; off, nothing changes."""
    torch.manual_seed(0)
    plain = StaticFilter(16, StaticRecipe(longest=64))
    torch.manual_seed(0)
    far = StaticFilter(16, StaticRecipe(longest=64, far=4096))
    lengths = far.log_decay.exp()
    assert torch.allclose(lengths[[0, 11, 15]], torch.tensor([8.0, 64.0, 4096.0]), rtol=1e-5)
    assert torch.equal(far.first.weight, plain.first.weight)
    spectrum = far(1024)
    assert not spectrum[12:].any()
    assert spectrum[:12].abs().sum(1).min() > 0
    spectrum.real.sum().backward()
    assert far.last.weight.grad[12:].abs().sum(1).min() > 0
