"""A step asks for few things: every call is a launch on a GPU, which waits longer for one than it
computes.

Calls are counted on a CPU, inside the house's own operators too. Triton's kernels are counted and
not run: what their results would be changes no call.
"""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch._C._autograd import DeviceType
from torch._library.custom_ops import OPDEFS
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.ops.triton import block, onchip, operator
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe

# Calls that move no number: views, and memory that somebody else fills.
FREE = {
    "view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "select", "unsqueeze",
    "squeeze", "unbind", "split", "split_with_sizes", "as_strided", "alias", "detach", "unfold",
    "view_as_real", "view_as_complex", "_reshape_alias", "empty", "empty_like", "new_empty",
    "empty_strided", "new_empty_strided", "is_same_size", "_conj", "resolve_conj", "diagonal",
    "lift_fresh", "chunk", "detach_", "real", "imag", "promote_types", "unflatten", "view_as",
}  # fmt: skip


CALLS, LAUNCHES = 2000, 700
"""The most for the gradients of one step, clipped; the optimizer is one more kernel on a GPU."""


class Calls(TorchDispatchMode):
    """Counts the calls that do something."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:
            # Its own code, for the operator itself is one opaque call.
            if func.namespace == "orchid":
                return OPDEFS[func._schema.name]._init_fn(*args, **kwargs)
            # What is made of other calls counts as those.
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        if func._schema.name.split("::")[1] not in FREE:
            self.count[func._schema.name] += 1
        return func(*args, **kwargs)


def gradients(backend: str, device: str = "cpu") -> Any:
    """The gradients of 2 x 1,024 letters by a model of width 128 and six layers, as a function."""
    torch.manual_seed(0)
    recipe = OrchidRecipe(width=128, depth=6, backend=backend)
    model = OrchidModel(ModelRecipe(encoder=recipe, head=LettersRecipe())).to(device)
    model.encoder.prepare(False, torch.float32 if backend == "fft" else torch.bfloat16)
    objective = MaskedLetters(MaskedRecipe(), model.encoder.alphabet)
    tokens = torch.randint(0, 4, (2, 1024), dtype=torch.uint8).to(device)
    step, rows = torch.zeros(1, dtype=torch.int64, device=device), torch.arange(2, device=device)

    def run() -> None:
        example = objective.hide(tokens, 0, step, rows)
        loss = objective.loss(model.encode(example.shown_BL, example.mask_BL), example)
        (loss / example.weights_BL.sum()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for parameter in model.parameters():
            parameter.grad = None

    return run


def test_calls_on_a_cpu():
    run = gradients("fft")
    with Calls() as calls:
        run()
    assert calls.count.total() <= CALLS, calls.count


def test_launches_of_the_triton_backend(monkeypatch):
    launched: Counter[str] = Counter()

    class Names:
        def __getattr__(self, name: str) -> str:
            return name

    def launch(kernel: str, *arguments: Any, **options: Any) -> None:
        launched[kernel] += 1

    for module in (block, operator, onchip):
        monkeypatch.setattr(module, "launch", launch)
    for module in (block, operator):
        monkeypatch.setattr(module, "kernels", lambda name, x: Names())
    # Nobody has written the numbers.
    monkeypatch.setattr(operator, "_check_finite", lambda **inputs: None)
    run = gradients("triton")
    with Calls() as calls:
        run()
    assert calls.count.total() + launched.total() <= LAUNCHES, (calls.count, launched)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_launches_on_a_gpu():
    run = gradients("auto", "cuda")
    run()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        run()
        torch.cuda.synchronize()
    on_device = (each for each in profiled.events() if each.device_type == DeviceType.CUDA)
    kernels = Counter(each.name for each in on_device)
    assert kernels.total() <= LAUNCHES, kernels
