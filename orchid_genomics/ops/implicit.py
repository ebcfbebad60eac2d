"""Spectra of implicit filters: small sine networks over signed lags, tapered, then transformed.

Those of all layers at once, for each is a hundred small calls. Fused by hand: lags are taken in
cache-sized pieces, only the parameters are kept, and the backward pass is one inverse real
transform and a second run of the network; ordinary autograd keeps ten tensors as long as the window
and takes twice the time. `model.filters.StaticFilter.taps` is the same filter written out. The
trap: at even length the lag L / 2 is the mean of both signs.
"""

import math
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.ops.chunks import CHUNK, groups, without_autocast
from orchid_genomics.ops.products import finish_sums, start_sum, sum_products

LONGEST_LAG = 131_072  # nucleotides; the lag at which the log-lag feature is 1
# The least exponent of the taper: far below rounding, and exp is slow where it underflows.
FARTHEST = -60.0


def features(lag_T: Tensor, octaves: int) -> Tensor:
    """sign(lag) log(1 + |lag|), scaled to [-1, 1] at 131,072 nt, and sines and cosines of its
    octaves; (1 + 2 O, T).
    """
    position = lag_T.sign() * torch.log1p(lag_T.abs()) / math.log1p(LONGEST_LAG)
    octave = math.pi * 2.0 ** torch.arange(octaves, device=lag_T.device, dtype=lag_T.dtype)
    angle = octave[:, None] * position
    return torch.cat((position[None], angle.sin(), angle.cos()))


def signed_lags(first: int, last: int, L: int, like: Tensor) -> Tensor:
    """The lags of taps first to last of L, (T,): 0, 1, .. L // 2, then the negative ones."""
    tap = torch.arange(first, last, device=like.device)
    return torch.where(tap <= L // 2, tap, tap - L).to(like.dtype)


@torch.library.custom_op("orchid::implicit_spectrum", mutates_args=())
@without_autocast
def spectrum(
    w_first: Tensor,
    b_first: Tensor,
    w_second: Tensor,
    b_second: Tensor,
    w_last: Tensor,
    rate: Tensor,
    L: int,
) -> Tensor:
    """rfft of taps(lag) = (w_last sin(w_second sin(w_first features + b) + b)) exp(-rate |lag|).

    Parameters
    ----------
    w_first, b_first : (N, H, 1 + 2 octaves) and (N, H), of N filters.
    w_second, b_second : (N, H, H) and (N, H).
    w_last : (N, C, H).
    rate : (N, C), one over nucleotides.

    Returns
    -------
    spectra (N, C, F) over L, F = L // 2 + 1.
    """
    parameters = (w_first, b_first, w_second, b_second, w_last, rate)
    N, C = rate.shape
    reach = _reach(rate, L)
    taps_NCL = torch.empty(N, C, L, dtype=rate.dtype, device=rate.device)
    # Nothing that float64 could hold beside the rest.
    taps_NCL[..., reach : L - reach] = 0

    def work(first: int, last: int) -> None:
        *_, m, taper = _network(signed_lags(first, last, L, rate), *parameters)
        torch.mul(m, taper, out=taps_NCL[..., first:last])

    for piece in _pieces(L, rate, reach):
        work(*piece)
    # Lags L / 2 and -L / 2 are one tap: their mean is the same read from either strand.
    if L % 2 == 0 and reach == L // 2:
        *_, m, taper = _network(_middle(L, rate), *parameters)
        middle = taps_NCL[..., L // 2]
        middle.add_((m * taper)[..., 0]).mul_(0.5)
    taps, parts = taps_NCL.view(N * C, L), groups(N * C, L, rate.device)
    if len(parts) == 1:  # no copy to its place
        return torch.fft.rfft(taps).view(N, C, -1)
    spectrum = torch.empty(N * C, L // 2 + 1, dtype=_complex(rate), device=rate.device)

    def transform(rows: slice) -> None:
        spectrum[rows] = torch.fft.rfft(taps[rows])

    for rows in parts:
        transform(rows)
    return spectrum.view(N, C, -1)


@torch.library.custom_op("orchid::implicit_spectrum_backward", mutates_args=())
@without_autocast
def spectrum_backward(
    dspectrum_NCF: Tensor,
    w_first: Tensor,
    b_first: Tensor,
    w_second: Tensor,
    b_second: Tensor,
    w_last: Tensor,
    rate: Tensor,
    L: int,
) -> list[Tensor]:
    """Gradients of the six parameters, in their order."""
    parameters = (w_first, b_first, w_second, b_second, w_last, rate)
    N, C = rate.shape
    dspectrum, parts = dspectrum_NCF.reshape(N * C, -1), groups(N * C, L, rate.device)

    def transform(rows: slice) -> Tensor:
        half = dspectrum[rows] * (L / 2)  # the inverse counts inner bins twice
        half[:, 0] *= 2
        if L % 2 == 0:
            half[:, -1] *= 2
        return torch.fft.irfft(half, n=L)

    if len(parts) == 1:  # no copy to its place
        dtaps = transform(parts[0])
    else:
        dtaps = torch.empty(N * C, L, dtype=rate.dtype, device=rate.device)
        for rows in parts:
            dtaps[rows] = transform(rows)
    dtaps_NCL = dtaps.view(N, C, L)
    # The tap is the mean of two lags, so each gets half.
    if L % 2 == 0:
        dtaps_NCL[..., L // 2] *= 0.5
    sums = [start_sum(parameter) for parameter in parameters]

    def work(first: int, last: int) -> None:
        lags = signed_lags(first, last, L, rate)
        _network_backward(dtaps_NCL[..., first:last], lags, parameters, sums)

    for piece in _pieces(L, rate):
        work(*piece)
    if L % 2 == 0:
        _network_backward(dtaps_NCL[..., L // 2, None], _middle(L, rate), parameters, sums)
    return finish_sums(rate.dtype, *sums)


def _network(
    lag: Tensor,
    w_first: Tensor,
    b_first: Tensor,
    w_second: Tensor,
    b_second: Tensor,
    w_last: Tensor,
    rate: Tensor,
) -> tuple[Tensor, ...]:
    """Features, what enters and leaves both sines, the answers and the tapers, each (N, .., T)."""
    given = features(lag, w_first.shape[-1] // 2).expand(len(w_first), -1, -1)
    one = torch.baddbmm(b_first[..., None], w_first, given)
    sine_one = one.sin()
    two = torch.baddbmm(b_second[..., None], w_second, sine_one)
    sine_two = two.sin()
    taper = torch.mul(rate[..., None], -lag.abs())
    if not taper.is_cuda:  # where it is slow: on a GPU it would be one more pass
        taper.clamp_(min=FARTHEST)
    taper.exp_()
    return given, one, sine_one, two, sine_two, torch.bmm(w_last, sine_two), taper


def _network_backward(
    dtaps: Tensor, lag: Tensor, parameters: tuple[Tensor, ...], sums: list[Tensor]
) -> None:
    """Add the gradients of one piece of lags to `sums`.

    A taper at its least passes nothing that float64 could hold.
    """
    _, _, w_second, _, w_last, _ = parameters
    given, one, sine_one, two, sine_two, m, taper = _network(lag, *parameters)
    dm = taper.mul_(dtaps)
    _add_product(sums[4], dm, sine_two)
    sums[5].sub_(m.mul_(dm) @ lag.abs())
    dtwo = torch.bmm(w_last.mT, dm).mul_(two.cos_())
    _add_product(sums[2], dtwo, sine_one)
    sums[3].add_(dtwo.sum(-1))
    done = torch.bmm(w_second.mT, dtwo).mul_(one.cos_())
    _add_product(sums[0], done, given)
    sums[1].add_(done.sum(-1))


def _add_product(total: Tensor, a_NIT: Tensor, b_NJT: Tensor) -> None:
    """Add a b^T of one piece of lags, which on a GPU is all of them."""
    if a_NIT.is_cuda:
        total.add_(sum_products(a_NIT[None], b_NJT[None]))
    else:
        total.baddbmm_(a_NIT, b_NJT.mT)


def _reach(rate_NC: Tensor, L: int) -> int:
    """Lags on either side beyond which all tapers stand at their least; L // 2 at most.

    On a GPU all lags: it would be made to wait for the answer.
    """
    if rate_NC.device.type != "cpu":
        return L // 2
    slowest = float(rate_NC.min()) if rate_NC.numel() else math.inf
    return min(L // 2, math.ceil(-FARTHEST / slowest)) if slowest > 0 else L // 2


def _pieces(L: int, rate_NC: Tensor, reach: int | None = None) -> list[tuple[int, int]]:
    """Taps from first to last of a length that are computed together; of lags within `reach`."""
    size = L
    if rate_NC.device.type == "cpu":  # a lag is narrower than a position of a block
        size = max(1, 4 * CHUNK["cpu"] // max(len(rate_NC), 1))
    near = [(0, L)]
    if reach is not None and reach < L // 2:
        near = [(0, reach), (L - reach, L)]
    return [
        (first, min(first + size, end)) for begin, end in near for first in range(begin, end, size)
    ]


def _middle(L: int, like: Tensor) -> Tensor:
    """The other sign of the middle lag of an even length."""
    return torch.full((1,), -L / 2, dtype=like.dtype, device=like.device)


def _complex(like: Tensor) -> torch.dtype:
    return torch.complex128 if like.dtype == torch.float64 else torch.complex64


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.length = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, dspectrum: Tensor) -> tuple[Tensor | None, ...]:
    # Inside a compiled graph torch forgets lazy conjugates.
    return *spectrum_backward(dspectrum.resolve_conj(), *ctx.saved_tensors, ctx.length), None


spectrum.register_autograd(_gradients, setup_context=_keep)
spectrum.register_fake(
    lambda w1, b1, w2, b2, w3, rate, L: torch.empty(
        *rate.shape, L // 2 + 1, dtype=_complex(rate), device=rate.device
    )
)
spectrum_backward.register_fake(lambda dspectrum, *rest: [torch.empty_like(t) for t in rest[:-1]])
