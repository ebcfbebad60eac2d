"""Where a model runs: the device of a name."""

import os

import torch

from orchid_genomics.errors import MachineError


def memory_of(device: torch.device) -> int:
    """Bytes of memory that a device has, free or not."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def device_of(name: str = "auto", where: str = "--device") -> torch.device:
    """The device of a name, "auto" being a GPU where there is one; this rank's own under torchrun.

    Raises MachineError, at the option or key `where`, for "cuda" on a machine without.
    """
    gpu = torch.cuda.is_available()
    if name == "cuda" and not gpu:
        raise MachineError(where, "no CUDA device was found", "cpu, or auto")
    if name == "cpu" or not gpu:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
