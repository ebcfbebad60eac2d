"""The operator on chip on a GPU: whether it is what cuFFT's path computes, then the milliseconds of
both, forward and backward alone; other ways to launch it beside.

``python benchmarks/onchip.py --other '{"maxnreg": 168}'`` takes under a minute: every choice is
compiled in a process of its own, and reported as soon as it is.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch
from gpu_check import call, farthest, inputs

from orchid_genomics.ops.triton import onchip

LENGTHS = (8192, 4096, 2048, 1024, 512)
CHANNELS, POSITIONS = 256, 131_072
Choice = dict[str, Any]


def arguments(length: int, dtype: torch.dtype, kind: str = "correlation") -> dict[str, Any]:
    batch = POSITIONS // length
    return inputs(batch, CHANNELS, length, kind, 0, True, dtype, "cuda")


DEFAULTS = dict(onchip.CHOICES)


def use(length: int, choice: Choice | None) -> None:
    """Launch rows of a length so; None: leave them to cuFFT."""
    onchip.ON = choice is not None
    forward, backward = DEFAULTS.get(length, ({}, {}))
    onchip.CHOICES[length] = {**forward, **(choice or {})}, {**backward, **(choice or {})}


Job = tuple[int, Choice, str, torch.dtype]


def compiled(job: Job) -> str:
    """The fault of a choice, if it has one; the compiled kernels are on disk for all."""
    length, choice, kind, dtype = job
    use(length, choice)
    given = inputs(3, 32, length, kind, 0, True, dtype, "cuda")
    try:
        call(given, torch.ones_like(given["z_BDL"]), "triton")
        torch.cuda.synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200].splitlines()[0]
    return ""


def milliseconds(run: Callable[[], Any], count: int = 15) -> float:
    for _ in range(3):
        run()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(count):
        run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / count


def timed(length: int, choice: Choice | None, given: dict[str, Any]) -> str:
    use(length, choice)
    tensors = [None if x is None else x.detach() for x in _tensors(given)]
    rest = (*tensors, None, None, given["kind"], 64.0)
    dy = torch.ones_like(tensors[0])
    operator = torch.ops.orchid
    forward = milliseconds(lambda: operator.long_conv_triton(*rest))
    backward = milliseconds(lambda: operator.long_conv_triton_backward(dy, *rest))
    element = tensors[0].element_size()
    floor = tensors[0].numel() * element / 3.0e9  # ms of one tensor at 3 TB/s
    return (
        f"fwd {forward:.3f} ms ({forward / floor / 3:.1f}x), "
        f"bwd {backward:.3f} ms ({backward / floor / 5:.1f}x), "
        f"both {(forward + backward) / floor / 8:.1f}x"
    )


def _tensors(given: dict[str, Any]) -> list[torch.Tensor | None]:
    return [given["z_BDL"], given["v_BDL"], given["static_CF"], given.get("gain_CF")]


def right(job: Job) -> str:
    """The largest differences from cuFFT's path, in units of each tensor's largest number."""
    length, choice, kind, dtype = job
    given = inputs(3, 32, length, kind, 0, True, dtype, "cuda")
    dy = torch.randn_like(given["z_BDL"])
    found = []
    for way in (choice, None):
        use(length, way)
        found.append(call(given, dy, "triton"))
    apart = " ".join(f"{farthest([a], [b]):.1e}" for a, b in zip(*found, strict=True))
    return f"y, dz, dv, dstatic, dgain apart by {apart}"


def listed(lengths: list[int], other: Choice) -> list[Job]:
    """The longest to compile first."""
    choices: list[Choice] = [{}, other] if other else [{}]
    jobs: list[Job] = [
        (n, choice, "correlation", torch.bfloat16) for n in lengths for choice in choices
    ]
    return [*jobs, *((n, {}, "static", torch.bfloat16) for n in lengths if n == 1024)]


def report(job: Job, fault: str) -> None:
    """One line as soon as it is known."""
    length, choice, kind, dtype = job
    name = f"{length} {kind} {str(dtype).removeprefix('torch.')} {choice or 'default'}"
    if fault:
        print(f"{name}: {fault}", flush=True)
        return
    try:
        print(f"{name}: {right(job)}", flush=True)
        if kind == "correlation":
            print(f"{name}: {timed(length, choice, arguments(length, dtype))}", flush=True)
    except Exception as error:
        print(f"{name}: {type(error).__name__} {error}"[:300], flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=45, help="of all")
    options.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    options.add_argument("--other", type=json.loads, default={}, help="options of a launch, JSON")
    chosen = options.parse_args()
    if not torch.cuda.is_available():
        sys.exit("onchip.py: this machine has no CUDA GPU")
    begun = time.time()
    jobs = listed(list(chosen.lengths), chosen.other)
    pool = ProcessPoolExecutor(len(jobs), mp_context=multiprocessing.get_context("spawn"))
    futures = {pool.submit(compiled, job): job for job in jobs}
    for length in chosen.lengths:
        given = arguments(length, torch.bfloat16)
        print(f"{length} cuFFT: {timed(length, None, given)}", flush=True)
    try:
        for future in as_completed(futures, timeout=chosen.seconds - (time.time() - begun)):
            print(f"{time.time() - begun:.0f} s", end=" ", flush=True)
            report(futures[future], future.result())
    except TimeoutError:
        late = [job[:2] for future, job in futures.items() if not future.done()]
        print(f"not compiled in {chosen.seconds:.0f} s: {late}", flush=True)
    for process in multiprocessing.active_children():
        process.terminate()


if __name__ == "__main__":
    main()
