"""Where a model runs: the device of a name, and the memory that it has."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from orchid_genomics.errors import MachineError

_GROUPS = Path("/sys/fs/cgroup")
# Where a container or a queue says how much of the machine's memory is ours, in either version.
_LIMITS = {"": "memory.max", "memory": "memory.limit_in_bytes"}


def memory_of(device: torch.device) -> int:
    """Bytes of memory that a device has, free or not; of a CPU what this process may take of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *memory_limits()])


def memory_limits(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Bytes that the control groups of this process allow, each group inside the next.

    `groups` is where they are mounted, and `own` names those of the process. On a machine without
    them there is no limit.
    """
    lines = _read(own).splitlines()
    for _, controllers, inside in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers not in _LIMITS:
            continue
        mounted = groups / controllers
        innermost = mounted / inside.lstrip("/")
        # A container may see its group as the root, whatever the process is told of the path.
        for folder in (innermost, *innermost.parents):
            if folder.is_relative_to(mounted):
                limit = _read(folder / _LIMITS[controllers]).strip()
                if limit.isdigit():
                    yield int(limit)


def _read(path: Path) -> str:
    """The text of a file; nothing of one that is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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
