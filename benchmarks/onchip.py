"""The operator on chip on a GPU: whether it is what cuFFT's path computes, then the milliseconds of
both, forward and backward alone, for a few ways to launch it.

``python benchmarks/onchip.py`` takes under a minute: the kernels of all choices are compiled at
once, in processes, before anything is timed.
"""

import argparse
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch
from gpu_check import call, farthest, inputs

from orchid_genomics.ops.triton import onchip

LENGTHS = (1024, 8192, 4096, 2048, 512)
CHANNELS, POSITIONS = 256, 131_072
Choice = dict[str, Any]


def choices(length: int) -> list[Choice]:
    """The default first."""
    others = [{"maxnreg": 168}, {"maxnreg": None}]
    if length <= 2048:
        others += [{"maxnreg": None, "HOLD": True}, {"maxnreg": 168, "HOLD": True}]
    return [{}, *others]


def arguments(length: int, dtype: torch.dtype, kind: str = "correlation") -> dict[str, Any]:
    batch = POSITIONS // length
    return inputs(batch, CHANNELS, length, kind, 0, True, dtype, "cuda")


def use(length: int, choice: Choice | None) -> None:
    """Launch rows of a length so; None: leave them to cuFFT."""
    onchip.ON = choice is not None
    onchip.CHOICES[length] = (choice or {}, choice or {})


def compile_one(length: int, choice: Choice, dtype: torch.dtype) -> str:
    use(length, choice)
    given = arguments(length, dtype)
    try:
        call(given, torch.ones_like(given["z_BDL"]), "triton")
        torch.cuda.synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
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


def right(length: int) -> None:
    for kind, dtype in (
        ("correlation", torch.bfloat16),
        ("correlation", torch.float32),
        ("magnitude", torch.float32),
        ("static", torch.bfloat16),
    ):
        given = inputs(3, 32, length, kind, 0, True, dtype, "cuda")
        dy = torch.randn_like(given["z_BDL"])
        found = []
        for choice in ({}, None):
            use(length, choice)
            found.append(call(given, dy, "triton"))
        apart = [f"{farthest([a], [b]):.1e}" for a, b in zip(*found, strict=True)]
        print(f"  {length} {kind} {dtype}: y, dz, dv, dstatic, dgain apart by {apart}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=40, help="stop compiling after so many")
    options.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    chosen = options.parse_args()
    if not torch.cuda.is_available():
        sys.exit("onchip.py: this machine has no CUDA GPU")
    begun = time.time()
    jobs = [(n, choice, torch.bfloat16) for n in chosen.lengths for choice in choices(n)]
    jobs = [*((n, {}, torch.float32) for n in chosen.lengths), *jobs]
    jobs.sort(key=lambda job: bool(job[1]))  # the defaults first
    ready = []
    pool = ProcessPoolExecutor(14, mp_context=multiprocessing.get_context("spawn"))
    futures = {pool.submit(compile_one, *job): job for job in jobs}
    try:
        for future in as_completed(futures, timeout=chosen.seconds):
            job, fault = futures[future], future.result()
            ready += [] if fault else [job]
            if fault:
                print(f"{job}: {fault}", flush=True)
    except TimeoutError:
        print(f"{len(jobs) - len(ready)} were not compiled in time", flush=True)
    pool.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()
    print(f"compiled in {time.time() - begun:.0f} s", flush=True)
    for length, dtype in itertools.product(chosen.lengths, (torch.bfloat16, torch.float32)):
        given = arguments(length, dtype)
        print(f"{length} {dtype}, cuFFT: {timed(length, None, given)}", flush=True)
        for job in ready:
            if (job[0], job[2]) == (length, dtype):
                try:
                    print(f"  {job[1] or 'default'}: {timed(length, job[1], given)}", flush=True)
                except Exception as error:
                    print(f"  {job[1]}: {type(error).__name__} {error}"[:300], flush=True)
    for length in chosen.lengths:
        try:
            right(length)
        except Exception as error:
            print(f"  {length}: {type(error).__name__} {error}"[:300], flush=True)
    print(f"{time.time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
