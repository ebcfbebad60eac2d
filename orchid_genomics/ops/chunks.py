"""Work cut into pieces that stay in cache, spread over threads.

One small torch call after another on a piece that fits in L2 runs several times faster than each call over the whole
tensor, and pieces scale over cores where the threads inside a small call do not. The trap: sums over pieces (weight
gradients) must be added in one order, so every worker owns its pieces and its own partial sums.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import Tensor

CHUNK = 2048  # positions taken together on a CPU: fewer calls, for which two threads wait for each other
CHUNK_GPU = 1 << 17
GROUP_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}  # of the float32 rows that one thread transforms together
MIN_ROWS = 4  # every call plans its transform anew, and a lone row is planned for many threads
KEPT = 32 << 20  # bytes: the largest freed block that glibc learns from
Item = TypeVar("Item")
Piece = tuple[slice, int, int]
"""Rows, first and last position."""


def pieces(x_BDL: Tensor) -> list[Piece]:
    """Every piece: a part of one row, or several short rows whole.

    A call costs as much as a thousand positions, so that rows of a hundred go together.
    """
    B, _, L = x_BDL.shape
    cpu = x_BDL.device.type == "cpu"
    size, threads = (CHUNK, torch.get_num_threads()) if cpu else (CHUNK_GPU, 1)
    count = -(-B * L // (max(1, size // max(L, 1)) * L)) if 0 < L <= size else B
    rows = _edges(B, min(B, -(-count // threads) * threads))
    places = _edges(L, -(-L // size) if cpu else 1)
    return [(slice(*some), *part) for some in rows for part in places]


def _edges(size: int, count: int) -> list[tuple[int, int]]:
    """`count` neighbouring ranges of about one size."""
    edges = [size * i // max(count, 1) for i in range(count + 1)]
    return list(pairwise(edges))


def groups(rows: int, numbers: int, device: torch.device) -> list[slice]:
    """Rows of `numbers` real numbers to transform together: few enough for the cache, enough for every thread."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    fitting = GROUP_BYTES.get(device.type, 4 << 20) // (4 * max(numbers, 1))
    count = -(-rows // max(1, fitting, min(MIN_ROWS, -(-rows // threads)))) if rows else 0
    count = min(rows, -(-count // threads) * threads)
    return [slice(*edge) for edge in _edges(rows, count)]


def each(
    items: Sequence[Item], work: Callable[[Item, Any], None], device: torch.device, own: Callable[[], Any]
) -> list:
    """Call work(item, owned) for every item; `own()` makes what one worker holds (partial sums); all are returned.

    Item i always goes to worker i modulo the number of threads, so sums do not depend on timing. Inference mode and
    autocast belong to a thread: the first is carried over, the second is off (callers choose every dtype themselves).
    """
    if device.type == "cpu":
        _keep_freed()
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    workers, inference = min(threads, len(items)), torch.is_inference_mode_enabled()

    def run(worker: int) -> Any:
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast(device.type, enabled=False):
            owned = own()
            for item in items[worker :: max(workers, 1)]:
                work(item, owned)
        return owned

    if threads == 1 or not items:
        return [run(0)]
    return list(_pool(threads).map(run, range(workers)))  # even a lone item: products on two threads round otherwise


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    pool, met = ThreadPoolExecutor(threads, "orchid", torch.set_num_threads, (1,)), Barrier(threads)

    def begin(_: int) -> None:
        met.wait()  # until every thread has begun: a later one would change the number of threads of others
        torch.get_num_threads()

    list(pool.map(begin, range(threads)))
    torch.set_num_threads(threads)  # the initialisers changed the default of threads yet to come
    return pool


@lru_cache(maxsize=1)
def _keep_freed() -> None:
    """Let glibc keep up to 64 MB of freed memory for the next piece rather than give it back and fault it in again.

    It gives back what is free beyond twice the largest block that it ever mapped and freed; so map one and free it.
    """
    torch.empty(KEPT - (1 << 16), dtype=torch.uint8)


def wrapped(x_DL: Tensor, first: int, last: int) -> Tensor:
    """Positions first to last of a circle: first may be negative and last beyond the end."""
    L = x_DL.shape[-1]
    if first >= 0 and last <= L:
        return x_DL[..., first:last]
    if -first > L or last > 2 * L:
        return x_DL[..., torch.arange(first, last, device=x_DL.device) % L]
    ends = [x_DL[..., first:]] if first < 0 else []
    middle = [x_DL[..., max(first, 0) : min(last, L)]]
    return torch.cat((*ends, *middle, *([x_DL[..., : last - L]] if last > L else [])), -1)
