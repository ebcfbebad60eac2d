"""The backend that is taken where none is named."""

import torch

from orchid_genomics.model.filters import tap_spectrum
from orchid_genomics.ops import BACKENDS, long_conv


def test_what_suits_a_cpu_is_torch_bit_for_bit() -> None:
    z, v = (torch.randn(2, 6, 40, requires_grad=True) for _ in range(2))
    spectra = [tap_spectrum(torch.randn(3, 3), 40) for _ in range(2)]
    answers = []
    for backend in ("auto", "fft"):
        y = long_conv(z, v, *spectra, backend=backend)
        answers.append([y, *torch.autograd.grad(y.square().sum(), (z, v))])
    for ours, torchs in zip(*answers, strict=True):
        assert torch.equal(ours, torchs)


def test_the_choice_has_every_part_of_a_backend() -> None:
    assert all(BACKENDS["auto"])
