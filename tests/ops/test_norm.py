"""The fused norm against its definition, outputs and gradients."""

import pytest
import torch

from orchid_genomics.model.strands import Norm
from orchid_genomics.ops.norm import norm


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("L", [1, 31, 2500])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_the_fused_norm_is_its_definition(strands, L, dtype, tolerance):
    torch.manual_seed(0)
    plain = Norm(12, strands).to(dtype)
    torch.nn.init.normal_(plain.scale)
    x = torch.randn(3, 12, L, dtype=dtype, requires_grad=True)
    weight = torch.randn(3, 12, L, dtype=dtype)
    results = []
    for y in (plain(x), norm(x, plain.channel_scale())):
        results.append([y, *torch.autograd.grad((y * weight).sum(), [x, plain.scale])])
    for expected, found in zip(*results, strict=True):
        assert (expected - found).abs().max() <= tolerance * max(1.0, expected.abs().max())


def test_a_silent_column_stays_finite():
    x = torch.zeros(1, 4, 5, requires_grad=True)
    y = norm(x, torch.ones(4))
    y.sum().backward()
    assert torch.equal(y, torch.zeros_like(y))
    assert torch.isfinite(x.grad).all()
