"""Laws of the long convolution: every backend equals the plain sum, and the sum is the paper's
operator.
"""

import math

import pytest
import torch

from orchid_genomics.model.filters import short_conv, tap_spectrum
from orchid_genomics.ops import BACKENDS, chunks, long_conv
from orchid_genomics.ops.reference import fourier, half_weights

FAST = [
    name for name in BACKENDS if name not in ("reference", "triton")
]  # test_triton.py: interpreted, so fewer
LENGTHS = [1, 2, 3, 7, 8, 15, 31, 32, 61, 64, 90]  # one, two, odd, prime, powers of two, composite
KINDS = ["correlation", "magnitude", "static"]
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
}
# of the largest number in a tensor, or of 1


def inputs(
    B=3,
    D=4,
    L=32,
    kind="correlation",
    side=0,
    paired=False,
    mask=False,
    dtype=torch.float64,
    seed=0,
):
    """Leaf tensors by the names of `long_conv`'s arguments, and its mask and kind."""
    random = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    C, F = (D // 2 if paired else D), L // 2 + 1

    def complex_(*shape: int) -> torch.Tensor:
        return torch.view_as_complex(torch.randn(*shape, 2, generator=random, dtype=torch.float64))

    keep = torch.ones(B, L, dtype=torch.float64)
    if mask:
        for row in range(B):
            keep[row, L - (row * L) // (2 * B) :] = 0
    z, v = (
        torch.randn(B, D, L, generator=random, dtype=torch.float64) * keep[:, None]
        for _ in range(2)
    )
    cdtype = torch.complex128 if wide == torch.float64 else torch.complex64
    leaves = {
        "z_BDL": z.to(dtype),
        "v_BDL": (v + 0.5 * keep[:, None]).to(dtype),
        "static_CF": complex_(C, F).to(cdtype),
    }
    if kind != "static":
        leaves["gain_CF"] = complex_(C, F).to(cdtype)
        if side:
            leaves["taps_CJ"] = complex_(C, side).to(cdtype)
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    return leaves, {"mask_BL": keep.to(wide) if mask else None, "kind": kind}


def run(backend: str, leaves: dict, rest: dict) -> list[torch.Tensor]:
    """The output and the gradients of a fixed random sum of it."""
    return with_gradients(long_conv(**leaves, **rest, backend=backend), leaves)


def with_gradients(y: torch.Tensor, leaves: dict) -> list[torch.Tensor]:
    weight = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(y.dtype)
    return [
        y.detach(),
        *torch.autograd.grad((y * weight).sum(), list(leaves.values()), materialize_grads=True),
    ]


def agree(ours: list[torch.Tensor], theirs: list[torch.Tensor], tolerance: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        wide = torch.complex128 if one.is_complex() else torch.float64
        size = max(1.0, other.abs().max().item()) if other.numel() else 1.0
        assert one.dtype == other.dtype
        assert (one.to(wide) - other.to(wide)).abs().le(tolerance * size).all()


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("L", LENGTHS)
def test_every_backend_equals_the_sum_in_outputs_and_gradients(backend, dtype, kind, L):
    leaves, rest = inputs(L=L, kind=kind, dtype=dtype)
    agree(run(backend, leaves, rest), run("reference", leaves, rest), TOLERANCE[dtype])


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("L", [1, 2, 3, 5, 16, 31, 64])
@pytest.mark.parametrize("side", [0, 1, 2])
@pytest.mark.parametrize("paired", [False, True], ids=["every channel", "strand pairs"])
@pytest.mark.parametrize("mask", [False, True], ids=["whole", "masked"])
def test_every_backend_equals_the_sum_with_side_taps_pairs_and_masks(
    backend, L, side, paired, mask
):
    for kind in ("correlation", "magnitude"):
        leaves, rest = inputs(L=L, side=side, paired=paired, mask=mask, kind=kind)
        agree(run(backend, leaves, rest), run("reference", leaves, rest), 1e-9)


@pytest.mark.parametrize("backend", FAST)
def test_groups_of_channels_and_threads_do_not_show(backend, monkeypatch):
    leaves, rest = inputs(B=2, D=6, L=33, side=1, paired=True)
    whole = run(backend, leaves, rest)
    monkeypatch.setitem(chunks.GROUP_BYTES, "cpu", 1)
    agree(run(backend, leaves, rest), whole, 1e-12)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        agree(run(backend, leaves, rest), whole, 1e-12)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("L", [31, 32])
def test_rolling_the_input_rolls_the_output(backend, kind, L):
    leaves, rest = inputs(L=L, kind=kind, side=1)
    y = long_conv(**leaves, **rest, backend=backend)
    for shift in (1, L // 2, -3):
        rolled = {
            **leaves,
            "z_BDL": leaves["z_BDL"].roll(shift, -1),
            "v_BDL": leaves["v_BDL"].roll(shift, -1),
        }
        torch.testing.assert_close(
            long_conv(**rolled, **rest, backend=backend), y.roll(shift, -1), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("L", [9, 16])
def test_an_impulse_returns_the_filter(backend, L):
    taps_DL = torch.randn(4, L, dtype=torch.float64)
    z_BDL = torch.zeros(2, 4, L, dtype=torch.float64)
    z_BDL[..., 0] = 1
    y = long_conv(z_BDL, z_BDL, torch.fft.rfft(taps_DL), kind="static", backend=backend)
    torch.testing.assert_close(y, taps_DL.expand(2, 4, L), rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_impulse_into_the_second_of_a_pair_returns_the_filter_reversed(backend):
    taps_CL = torch.randn(2, 9, dtype=torch.float64)
    z_BDL = torch.zeros(1, 4, 9, dtype=torch.float64)
    z_BDL[..., 0] = 1
    y = long_conv(z_BDL, z_BDL, torch.fft.rfft(taps_CL), kind="static", backend=backend)
    torch.testing.assert_close(y[0, 2:], taps_CL.flip(-1).roll(1, -1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["correlation", "magnitude"])
@pytest.mark.parametrize("L", [15, 16])
def test_folded_conditioning_is_the_papers_form(backend, kind, L):
    """Circular convolutions in time, then FFTs, products and one inverse FFT, each written out
    (equations 1 to 3).

    What is ours: v is centred, its power scaled by its mean over all bins; the bound is out of the
    way.
    """
    random = torch.Generator().manual_seed(3)
    z, v = (torch.randn(2, 4, L, generator=random, dtype=torch.float64) for _ in range(2))
    w_q, w_k = (torch.randn(4, 3, generator=random, dtype=torch.float64) for _ in range(2))
    static = torch.randn(4, L, generator=random, dtype=torch.float64)
    centred = v - v.mean(-1, keepdim=True)
    scaled = centred / torch.fft.fft(centred).abs().square().mean(-1, keepdim=True).sqrt()
    if kind == "correlation":
        q, k = (torch.fft.fft(short_conv(scaled, w)) for w in (w_q, w_k))
        conditioned = k.conj() * q
        gain = tap_spectrum(w_k, L).conj() * tap_spectrum(w_q, L)
    else:
        conditioned = torch.fft.fft(short_conv(scaled, w_q)).abs()
        gain = tap_spectrum(w_q, L).abs().to(torch.complex128)
    paper = torch.fft.ifft((torch.fft.fft(static) + conditioned) * torch.fft.fft(z)).real
    y = long_conv(z, v, torch.fft.rfft(static), gain, kind=kind, bound=1e30, backend=backend)
    torch.testing.assert_close(y, paper, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_spectra_may_be_lazy_conjugates(backend):
    leaves, rest = inputs(L=9, side=1)
    lazy = {
        name: leaf.detach().conj() if leaf.is_complex() else leaf.detach()
        for name, leaf in leaves.items()
    }
    physical = {name: leaf.resolve_conj() for name, leaf in lazy.items()}
    assert torch.equal(
        long_conv(**lazy, **rest, backend=backend), long_conv(**physical, **rest, backend=backend)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("L", [15, 16])
def test_frequency_taps_multiply_the_filter_by_a_window(backend, L):
    """A convolution along frequency is a window in time: 1 + 2 Re sum t_j exp(2 pi i j lag / L)."""
    v, z = torch.randn(1, 2, L, dtype=torch.float64), torch.zeros(1, 2, L, dtype=torch.float64)
    z[..., 0] = 1  # an impulse: the output is the filter
    gain = torch.fft.rfft(torch.randn(2, L, dtype=torch.float64))
    nothing = torch.zeros_like(gain)
    taps = torch.view_as_complex(torch.randn(2, 2, 2, dtype=torch.float64))
    plain = long_conv(z, v, nothing, gain, backend=backend)
    windowed = long_conv(z, v, nothing, gain, taps, backend=backend)
    lag, j = torch.arange(L, dtype=torch.float64), torch.arange(1, 3, dtype=torch.float64)
    wave = torch.polar(torch.ones(2, L, dtype=torch.float64), 2 * math.pi / L * j[:, None] * lag)
    window = 1 + 2 * (taps @ wave).real
    torch.testing.assert_close(windowed, plain * window, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_power_is_centred_scaled_and_bounded(backend):
    """A constant, a factor and an offset of v change nothing; one line counts for no more than the
    bound.
    """
    leaves, _ = inputs(L=64)
    z, v, static, gain = (leaf.detach() for leaf in leaves.values())
    y = long_conv(z, v, static, gain, backend=backend)
    torch.testing.assert_close(
        long_conv(z, 7 * v - 5, static, gain, backend=backend), y, rtol=0, atol=1e-12
    )
    line = torch.cos(2 * math.pi / 64 * 4 * torch.arange(64, dtype=torch.float64)).expand_as(v)
    impulse = torch.zeros_like(z)
    impulse[..., 0] = 1
    h = torch.fft.rfft(
        long_conv(impulse, line, 0 * static, torch.ones_like(gain), bound=8.0, backend=backend)
    )
    assert h.abs().max() == pytest.approx(
        32 / (1 + 32 / 8)
    )  # all the power of 64 bins in 2 of them, then bounded


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("L", [1, 2, 7, 8])
@pytest.mark.parametrize("mask", [False, True], ids=["whole", "masked"])
def test_gradients_agree_with_finite_differences(backend, kind, L, mask):
    leaves, rest = inputs(B=2, D=2, L=L, kind=kind, side=1, paired=True, mask=mask)
    names = list(leaves)

    def call(*values: torch.Tensor) -> torch.Tensor:
        return long_conv(**dict(zip(names, values, strict=True)), **rest, backend=backend)

    assert torch.autograd.gradcheck(call, tuple(leaves.values()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiles_to_one_graph_forward_and_backward(backend, kind):
    leaves, rest = inputs(B=2, D=4, L=12, kind=kind, side=1, paired=True, dtype=torch.float32)
    torch.compiler.reset()  # a function compiled too often is an error, over tests too
    traced = torch.compile(long_conv, fullgraph=True, backend="aot_eager", dynamic=False)
    y, plain = traced(**leaves, **rest, backend=backend), run(backend, leaves, rest)
    weight = torch.randn(
        y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(y.dtype)
    agree(
        [
            y.detach(),
            *torch.autograd.grad((y * weight).sum(), list(leaves.values()), materialize_grads=True),
        ],
        plain,
        1e-6,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_custom_operator_keeps_torchs_rules(kind):
    """No hidden mutation or aliasing, true shapes without data, the same gradients when traced."""
    leaves, rest = inputs(B=2, D=4, L=9, kind=kind, side=1, mask=True)
    given = (*leaves.values(), *[None] * (5 - len(leaves)), rest["mask_BL"], kind, 64.0)
    for keep in (False, True):
        torch.library.opcheck(torch.ops.orchid.long_conv_fft.default, (*given, keep))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("D", [3, 4, 5, 8])
@pytest.mark.parametrize("L", [31, 32, 64, 90, 640])
def test_a_row_alone_is_bit_equal_to_the_row_in_any_batch(kind, D, L):
    leaves, rest = inputs(B=7, D=D, L=L, kind=kind, side=1, dtype=torch.float32)
    z, v, *spectra = leaves.values()
    spectra = dict(zip(list(leaves)[2:], spectra, strict=True))
    alone = [long_conv(z[row : row + 1], v[row : row + 1], **spectra, **rest) for row in range(7)]
    for B in (2, 3, 7):
        batch = long_conv(z[:B], v[:B], **spectra, **rest)
        assert all(torch.equal(batch[row], alone[row][0]) for row in range(B))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_at_all(backend, kind):
    leaves, rest = inputs(B=0, L=8, kind=kind, side=1)
    y, *gradients = run(backend, leaves, rest)
    assert y.shape == (0, 4, 8)
    assert all(gradient.abs().sum() == 0 for gradient in gradients)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["correlation", "magnitude"])
def test_a_silent_row_is_convolved_with_the_static_filter_alone(backend, kind):
    leaves, rest = inputs(L=16)
    z, static = leaves["z_BDL"], leaves["static_CF"]
    arguments = {**leaves, "v_BDL": torch.zeros_like(z).requires_grad_()}
    y, *gradients = run(backend, arguments, {**rest, "kind": kind})
    plain = long_conv(z, z, static, kind="static", backend=backend)
    torch.testing.assert_close(y, plain, rtol=0, atol=1e-12)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("L", [1, 2, 9, 16])
def test_the_plain_sum_stands_on_a_plain_transform(L):
    x = torch.randn(3, L, dtype=torch.float64)
    X = x.to(torch.complex128) @ fourier(L, x.dtype, x.device)
    torch.testing.assert_close(X, torch.fft.rfft(x), rtol=0, atol=1e-12)
    energy = (half_weights(L, x) * X.abs().square()).sum(-1) / L
    torch.testing.assert_close(energy, x.square().sum(-1), rtol=0, atol=1e-11)
