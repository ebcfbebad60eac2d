"""What a process of ours asks the system for: its standard streams, memory and threads.

The trap: all of it holds for the whole process, and must come before torch is imported. So this is
for commands alone, never for `import orchid_genomics`.
"""

import atexit
import contextlib
import ctypes
import io
import os
import sys
from typing import NoReturn

_TRIM, _MAP, _ARENAS = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h

CLOSED: set[str] = set()
"""Which of "stdin" and "stdout" were closed when the process began."""


def open_streams() -> None:
    """Give the process all three standard streams, able to show any name.

    A stream that the caller closed leaves its descriptor free, and the next file that anything
    opens would take it: what a library prints would then go into that file. So the descriptor is
    taken by /dev/null, opened the wrong way round where a use of it must fail.
    """
    ways = (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))
    for descriptor, (name, way) in enumerate(ways):
        if getattr(sys, name) is not None:
            continue
        if os.open(os.devnull, way) != descriptor:
            # Something else has the descriptor by now.
            continue
        if name != "stderr":
            CLOSED.add(name)
        if name != "stdin":
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8", closefd=False))
    # A file name of any bytes can be printed in any locale; stderr is so by itself.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Send what is left of standard output to /dev/null, for Python flushes it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def settle() -> None:
    """Keep freed memory for the next tensor, and let idle OpenMP threads sleep.

    Fresh pages cost more than the arithmetic done on them (a quarter of a training step at 131,072
    nt), and threads that spin while they wait take the cores of those that work. What the user set
    in the environment stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A thread that waits spins for a millisecond by default; where other programs run, thousands of
    # short calls then wait for cores that are spun on, and a pass takes up to a hundred times as
    # long. A short spin costs a tenth of the speed of a quiet machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENAS, 1)
    mallopt(_TRIM, 2**31 - 1)
    if not mallopt(_MAP, 2**30):
        # The most that older versions of glibc take.
        mallopt(_MAP, 2**25)


def is_rank() -> bool:
    """Whether torchrun started this process, as one of several."""
    return "WORLD_SIZE" in os.environ


def replace_by_ranks(processes: int, words: list[str]) -> NoReturn:
    """Become torchrun, which starts `processes` of us with the same `words`."""
    # Each process has a core of its own; by default each would start a thread for every core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "orchid_genomics", *words])


def end_rank() -> None:
    """End one of many ranks that is done and met no fault; does nothing in a process by itself.

    The threads of gloo may outlive the group that is destroyed, and where one does, the C++ runtime
    aborts a process whose work is whole and written. So what Python does at exit is done here, and
    the process leaves without the rest.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)
