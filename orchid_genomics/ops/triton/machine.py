"""Where Triton's kernels can run, and loading them: the only door to the modules that import
triton.

The trap: Triton decides to interpret when it is first imported, so TRITON_INTERPRET=1 must stand in
the environment before that, and importing torch's compiler imports Triton.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from orchid_genomics.errors import MachineError, missing_extra

OTHERS = "fft and reference run here"
OLDEST = 8, 0  # the first compute capability with products of bfloat16


def kernels(name: str, x: Tensor) -> ModuleType:
    """The module of kernels NAME, ready for a tensor like x; MachineError names why not and what
    can run.
    """
    if not installed():
        extra = missing_extra("triton", "cuda")
        raise MachineError("backend triton", f"triton {extra.found}", f"{extra.possible}; {OTHERS}")
    module = import_module(f"orchid_genomics.ops.triton.{name}")
    if not x.is_cuda and not interpreted():
        fault = f"the tensors are on {x.device}"
        if not torch.cuda.is_available():
            fault = "this machine has none"
        raise MachineError("backend triton", f"needs a CUDA GPU and {fault}", OTHERS)
    if x.is_cuda:
        _check_age(x.device)
    return module


@lru_cache
def _check_age(device: torch.device) -> None:
    """Raise MachineError for a GPU that lacks products of bfloat16."""
    found = torch.cuda.get_device_capability(device)
    if found < OLDEST:
        least = ".".join(map(str, OLDEST))
        message = f"{torch.cuda.get_device_name(device)} has compute capability"
        message = f"{message} {found[0]}.{found[1]}, and {least} is needed"
        raise MachineError("backend triton", message, OTHERS)


def installed() -> bool:
    if "triton" in sys.modules:
        # None is how Python marks an import as blocked.
        return sys.modules["triton"] is not None
    return find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, statement by statement (slow: for tests)."""
    triton = import_module("triton")
    return not isinstance(triton.language.sum, triton.runtime.JITFunction)


def available(device: str = "cuda") -> bool:
    """Whether the kernels can run on tensors of a device here."""
    if not installed():
        return False
    return interpreted() or (device == "cuda" and torch.cuda.is_available())


@contextmanager
def on_device_of(x: Tensor) -> Iterator[None]:
    """Kernels go to the GPU that holds x; autocast is off, for callers choose every type."""
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):
        yield


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel; products and sums fuse into one rounding, whatever Triton's default is."""
    kernel[grid](*arguments, enable_fp_fusion=True, **options)


@cache
def shared_memory(device: int) -> int:
    """Bytes of a GPU's shared memory that one program may ask for."""
    driver = import_module("triton.runtime").driver
    return int(driver.active.utils.get_device_properties(device)["max_shared_mem"])


def power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
