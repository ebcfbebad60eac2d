"""A step of training is few calls: on a GPU it is bound by how many, not by what they compute."""

from collections import Counter

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.ops import chunks, spectra

# Calls that compute nothing: they say how memory is read, or ask for some.
VIEWS = frozenset(
    [
        "alias",
        "as_strided",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "expand",
        "expand_as",
        "item",
        "lift_fresh",
        "narrow",
        "new_empty",
        "numpy_T",
        "permute",
        "promote_types",
        "real",
        "imag",
        "reshape",
        "resize_",
        "resolve_conj",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "to",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
        "view",
        "view_as_complex",
        "view_as_real",
        "_reshape_alias",
        "_unsafe_view",
    ]
)


def count_calls(depth: int) -> Counter:
    """Top-level aten calls of one step, forward and backward, by name; no batch is cut in pieces,
    as on a GPU.
    """
    torch.manual_seed(0)
    recipe = ModelRecipe(encoder=OrchidRecipe(width=16, depth=depth), head=LettersRecipe())
    model = OrchidModel(recipe).train()
    tokens = torch.randint(0, 4, (4, 64), dtype=torch.uint8)

    def step() -> None:
        logits = model.encode(tokens)
        functional.cross_entropy(logits.transpose(1, 2), tokens.long()).backward()

    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    names = []
    for event in profiled.events():
        parent = event.cpu_parent
        while parent is not None and not parent.name.startswith("aten::"):
            parent = parent.cpu_parent
        if event.name.startswith("aten::") and parent is None:
            names.append(event.name.removeprefix("aten::"))
    return Counter(names)


@pytest.fixture
def whole(monkeypatch):
    monkeypatch.setitem(chunks.CHUNK, "cpu", 1 << 30)
    monkeypatch.setitem(chunks.GROUP_BYTES, "cpu", 1 << 40)
    monkeypatch.setattr(spectra, "RUN", 1 << 40)


def computing(calls: Counter) -> int:
    return sum(number for name, number in calls.items() if name not in VIEWS)


@pytest.mark.usefixtures("whole")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_step_of_six_layers_is_at_most_2500_calls_that_compute():
    assert computing(count_calls(6)) <= 2_500


@pytest.mark.usefixtures("whole")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_static_filters_cost_the_same_calls_however_many_layers_there_are():
    one, two = count_calls(1), count_calls(2)
    assert two["log1p"] == one["log1p"]
