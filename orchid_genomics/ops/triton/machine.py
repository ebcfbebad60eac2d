"""Where Triton's kernels can run, and loading them: the only door to the modules that import triton.

The trap: Triton decides to interpret when it is first imported, so TRITON_INTERPRET=1 must stand in the environment
before that, and importing torch's compiler imports Triton.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from orchid_genomics.errors import MachineError, missing_extra

OTHERS = "fft and reference run here"


def kernels(name: str, x: Tensor) -> ModuleType:
    """The module of kernels NAME, ready for a tensor like x; MachineError names why not and what can run."""
    if find_spec("triton") is None:
        found = missing_extra("triton", "cuda")
        raise MachineError("backend triton", f"triton {found.found}", f"{found.possible}; {OTHERS}")
    module = import_module(f"orchid_genomics.ops.triton.{name}")
    if not x.is_cuda and not interpreted():
        has = "this machine has none" if not torch.cuda.is_available() else f"the tensors are on {x.device}"
        raise MachineError("backend triton", f"needs a CUDA GPU and {has}", OTHERS)
    return module


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, statement by statement (slow: for tests)."""
    triton = import_module("triton")
    return not isinstance(triton.language.sum, triton.runtime.JITFunction)


def available() -> bool:
    """Whether anything here could run the kernels."""
    return find_spec("triton") is not None and (torch.cuda.is_available() or interpreted())


def power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
