"""Work cut into pieces that stay in cache.

One small torch call after another on a piece that fits in cache runs several times faster than each
call over the whole tensor. The trap: a call costs as much as a thousand positions, so that pieces
must not be small either; and threads belong inside the calls, for Python threads that share out the
pieces wait for each other. What is done to a piece is a function of its own, so that its buffers
are free, and still in cache, when the next piece asks for some.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

# Positions of a row taken together.
CHUNK = {"cpu": 2048, "cuda": 1 << 17}
# Numbers of x taken together where rows are shorter than that: several passes over some tensors of
# them stay in the second cache, and a call still costs less than what it computes.
NUMBERS = 1 << 18
# Numbers of x up to which a backward pass finds what the forward pass has computed on the way.
KEEP = 1 << 20
# Bytes, a thread, of the float32 rows that are transformed together.
GROUP_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}
# Every call plans its transform anew, and a lone row is planned for many threads.
MIN_ROWS = 4
# Bytes: the largest freed block that glibc learns from.
KEPT = 32 << 20
Piece = tuple[slice, int, int]
"""Rows, first and last position."""
Answer = TypeVar("Answer")


def pieces(x_BDL: Tensor, times: int = 1) -> list[Piece]:
    """Every piece: a part of one row, or several short rows whole, fewer where the work on them
    holds `times` as many numbers. On a GPU no row is cut.
    """
    B, D, L = x_BDL.shape
    cpu = x_BDL.device.type == "cpu"
    size = CHUNK["cpu" if cpu else "cuda"]
    together = min(size, NUMBERS // max(D * times, 1)) if cpu else size
    # A GPU waits for launches rather than for memory: there a row stays whole.
    rows = _edges(B, -(-B // max(1, together // max(L, 1))))
    places = _edges(L, -(-L // size) if cpu else min(L, 1))
    return [(slice(*some), *part) for some in rows for part in places]


def is_kept(x_BDL: Tensor) -> bool:
    """Whether what is computed from x on the way to a result is kept for the backward pass.

    For short rows alone: of long windows only the inputs are kept, and the rest computed again.
    """
    short = x_BDL.shape[-1] <= CHUNK["cpu"] and x_BDL.numel() <= KEEP
    return short and torch.is_grad_enabled()


def _edges(size: int, count: int) -> list[tuple[int, int]]:
    """`count` neighbouring ranges of about one size."""
    edges = [size * i // max(count, 1) for i in range(count + 1)]
    return list(pairwise(edges))


def groups(rows: int, numbers: int, device: torch.device) -> list[slice]:
    """Rows of `numbers` real numbers to transform together: few enough for the cache, enough for
    every thread.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    fitting = threads * GROUP_BYTES.get(device.type, 4 << 20) // (4 * max(numbers, 1))
    count = -(-rows // max(1, fitting, min(max(MIN_ROWS, threads), rows))) if rows else 0
    return [slice(*edge) for edge in _edges(rows, count)]


def without_autocast(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Run it on its tensors in their own types, whatever the autocast: callers choose every dtype
    themselves.
    """

    @wraps(function)
    def run(first: Tensor, *rest: Any, **named: Any) -> Answer:
        if first.device.type == "cpu":
            _keep_freed()
        with torch.autocast(first.device.type, enabled=False):
            return function(first, *rest, **named)

    return run


@lru_cache(maxsize=1)
def _keep_freed() -> None:
    """Let glibc keep up to 64 MB of freed memory for the next piece rather than give it back and
    fault it in again.

    It gives back what is free beyond twice the largest block that it ever mapped and freed; so map
    one and free it.
    """
    torch.empty(KEPT - (1 << 16), dtype=torch.uint8)


def wrap_ends(x: Tensor, k: int) -> None:
    """Fill k positions at each end of (..., k + n + k) as the circle of the n between them goes on,
    in place.
    """
    n = x.shape[-1] - 2 * k
    if k > n:  # it wraps more than once
        x.copy_(x[..., k + torch.arange(-k, n + k, device=x.device) % n])
    elif k:
        x[..., :k] = x[..., n : n + k]
        x[..., k + n :] = x[..., k : 2 * k]


def cut_circle(x_DL: Tensor, first: int, last: int) -> Tensor:
    """Positions first to last of a circle: first may be negative and last beyond the end."""
    L = x_DL.shape[-1]
    if first >= 0 and last <= L:
        return x_DL[..., first:last]
    # Taps longer than the circle wrap more than once: only an index can say that.
    if -first > L or last > 2 * L:
        return x_DL[..., torch.arange(first, last, device=x_DL.device) % L]
    ends = [x_DL[..., first:]] if first < 0 else []
    middle = [x_DL[..., max(first, 0) : min(last, L)]]
    return torch.cat((*ends, *middle, *([x_DL[..., : last - L]] if last > L else [])), -1)
