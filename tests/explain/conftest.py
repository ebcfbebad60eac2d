"""Tiny models to explain: every parameter moved off its start, so that no product is idle."""

from collections.abc import Callable

import pytest
import torch

from orchid_genomics.model.filters import CorrelationRecipe, MagnitudeRecipe, StaticRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe

FILTERS = {
    "correlation": CorrelationRecipe(),
    "magnitude": MagnitudeRecipe(),
    "static": StaticRecipe(),
    "side taps": CorrelationRecipe(frequency_taps=3),
    "threshold": CorrelationRecipe(threshold=0.3),
    "turned": MagnitudeRecipe(turned=0.3),
    "standing": CorrelationRecipe(threshold=0.3, turned=0.3),
}


def _made(head=None, dtype=torch.float32, seed=1, **shape) -> OrchidModel:
    """A model of random weights; a letters head unless one is given."""
    torch.manual_seed(seed)
    encoder = OrchidRecipe(**{"width": 12, "depth": 2, **shape})
    model = OrchidModel(ModelRecipe(encoder=encoder, head=head or LettersRecipe()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.to(dtype).eval()


def _letters(B: int, L: int, codes: int = 4, seed: int = 0) -> torch.Tensor:
    """Random tokens (B, L); `codes` 5 has N among them."""
    return torch.randint(
        0, codes, (B, L), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


@pytest.fixture(scope="session")
def made() -> Callable[..., OrchidModel]:
    """Makes a model of random weights."""
    return _made


@pytest.fixture(scope="session")
def letters() -> Callable[..., torch.Tensor]:
    """Draws tokens (B, L)."""
    return _letters


@pytest.fixture(scope="session")
def filters() -> dict[str, StaticRecipe]:
    """Every kind of filter."""
    return FILTERS


@pytest.fixture(scope="session")
def tiny_model() -> OrchidModel:
    return _made()
