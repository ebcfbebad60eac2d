"""A window that is run a few channels at a time gives what it gives at once."""

import pytest
import torch
from torch.profiler import profile

from orchid_genomics.model import channel_groups
from orchid_genomics.model.filters import CorrelationRecipe, MagnitudeRecipe, StaticRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe

FILTERS = {
    "correlation": CorrelationRecipe(),
    "magnitude": MagnitudeRecipe(frequency_taps=3),
    "static": StaticRecipe(),
    "turned": CorrelationRecipe(turned=0.3),
    "threshold": CorrelationRecipe(turned=0.3, threshold=0.7),
    "pointers": CorrelationRecipe(hash_length=4),
    "near": CorrelationRecipe(shortest=1, longest=2),
}
SHAPES = {
    "pairs": {"width": 24, "stem": 5},
    "blocks": {"width": 16, "mlp_blocks": 2, "short_taps": 5},
    "dense": {"width": 20, "strands": "dense"},
    "convolutions": {"width": 16, "convolutions": (1, 2)},
}


@pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_groups_of_channels_give_what_all_of_them_give(shape, filter, monkeypatch):
    if shape.get("strands") == "dense" and filter.turned:
        pytest.skip("a turned term is of strand pairs")
    torch.manual_seed(0)
    model = Orchid(OrchidRecipe(depth=2, filter=filter, **shape)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    tokens = torch.randint(0, 4, (2, 301), dtype=torch.uint8)
    with torch.inference_mode():
        at_once = model.encode(tokens)
        monkeypatch.setattr(channel_groups, "LONG", 0)
        monkeypatch.setattr(channel_groups, "_POSITIONS", 100)
        in_groups = model.encode(tokens)
    assert torch.allclose(in_groups, at_once, rtol=0, atol=1e-11)


def test_a_circle_may_begin_anywhere(monkeypatch):
    """Rotated letters give rotated vectors in groups of channels too."""
    monkeypatch.setattr(channel_groups, "LONG", 0)
    torch.manual_seed(0)
    model = Orchid(OrchidRecipe(width=24, depth=2)).double().eval()
    tokens = torch.randint(0, 4, (1, 301), dtype=torch.uint8)
    with torch.inference_mode():
        here, there = model.encode(tokens), model.encode(tokens.roll(-100, 1))
    assert torch.allclose(here.roll(-100, 1), there, rtol=0, atol=1e-11)
    assert not torch.allclose(here, there, rtol=0, atol=1e-3)


@pytest.mark.parametrize("long", [True, False])
def test_a_block_holds_what_is_said(long, monkeypatch):
    """The estimate by which a window is refused is below what is allocated, and not by far."""
    monkeypatch.setattr(channel_groups, "LONG", 0 if long else 1 << 30)
    monkeypatch.setattr(channel_groups, "_POSITIONS", 1024)
    L, model = 1 << 15, Orchid(OrchidRecipe(width=64, depth=2)).eval()
    with torch.inference_mode(), profile(profile_memory=True) as seen:
        model.encode(torch.zeros(1, L, dtype=torch.uint8))
    held = most = 0
    events = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    for event in sorted(events, key=lambda each: each.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    said = channel_groups.bytes_held(model, L)
    assert 0.5 * most < said <= most


def test_what_is_trained_is_never_cut(monkeypatch):
    """Groups have no backward pass of their own, so gradients are those of the whole block."""
    monkeypatch.setattr(channel_groups, "LONG", 0)
    assert channel_groups.fits_alone(torch.zeros(1, 4, 8), None)
    with torch.inference_mode():
        assert not channel_groups.fits_alone(torch.zeros(1, 4, 8), None)
        assert channel_groups.fits_alone(torch.zeros(1, 4, 8), torch.ones(1, 8))
