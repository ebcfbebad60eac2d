"""How a process of ours asks the system for memory and threads; must run before torch is imported.

The trap: both hold for the whole process, so this is for commands alone, never for `import
orchid_genomics`.
"""

import ctypes
import os
import sys

_TRIM, _MAP, _ARENAS = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h


def settle() -> None:
    """Keep freed memory for the next tensor, and let idle OpenMP threads sleep.

    Fresh pages cost more than the arithmetic done on them (a quarter of a training step at 131,072
    nt), and threads that spin while they wait take the cores of those that work. What the user set
    in the environment stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENAS, 1)
    mallopt(_TRIM, 2**31 - 1)
    if not mallopt(_MAP, 2**30):
        mallopt(_MAP, 2**25)  # the most that older versions of glibc take
