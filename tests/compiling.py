"""What `torch.compile` makes of an encoder, beside the encoder itself."""

from typing import Any

import torch

from orchid_genomics.model.orchid import Orchid


def check_encode_compiles(model: Orchid, *given: Any) -> None:
    """`encode` is one graph, forward and backward, with the outputs and gradients of the eager
    call.
    """
    # Nothing compiled before: a function compiled too often is an error, over tests too.
    torch.compiler.reset()
    try:
        traced = torch.compile(model.encode, fullgraph=True, backend="aot_eager", dynamic=False)
        results = []
        for call in (model.encode, traced):
            y = call(*given)
            results.append([y, *torch.autograd.grad(y.square().mean(), list(model.parameters()))])
    finally:
        torch.compiler.reset()
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
