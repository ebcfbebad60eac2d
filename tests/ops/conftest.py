"""Tests of a backend that cannot run on this machine's tensors are skipped, not failed."""

import pytest

from orchid_genomics.ops import triton


@pytest.fixture(autouse=True)
def possible(request):
    """The laws are tested with tensors on the CPU, where Triton's kernels run only interpreted."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("backend") == "triton" and not triton.available("cpu"):
        pytest.skip("Triton runs on the GPU here: test_triton.py")
