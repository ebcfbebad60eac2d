"""The long convolution against the floor of its transforms and against the paper's unfused form, in
one process.

The floor of a forward pass is three real transforms of (B, D, L) float32 tensors (rfft, rfft,
irfft), that of forward and backward eight (five rfft, three irfft), in the fastest of three ways to
call them: all channels at once, groups of channels one after another, groups spread over the
threads. The operator has the static filter's spectrum given and gives its gradient and the gain's;
the unfused form gives those of its taps. Run by ``python benchmarks/operator.py``.

The trap: the floor writes nothing that must last, so the operator pays for the pages of its outputs
and it does not.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import measure
import peers
import torch
from torch import Tensor

from orchid_genomics.model.filters import tap_spectrum
from orchid_genomics.ops import long_conv

GROUPS = (8, 16)
"""Channels of one row taken together by the grouped floor."""
SIDES = {
    "Type II": ("correlation", 0),
    "Type I": ("magnitude", 0),
    "Type II, 3 frequency taps": ("correlation", 1),
    "Type I, 3 frequency taps": ("magnitude", 1),
}


def inputs(
    batch: int, width: int, length: int, kind: str, side: int, pairs: bool = False
) -> dict[str, Any]:
    """What `long_conv` takes (leaves that require gradients); with `pairs`, spectra of half the
    channels.
    """
    torch.manual_seed(0)
    channels = width // 2 if pairs else width
    z, v = torch.randn(2, batch, width, length)
    short = torch.randn(channels, 3) * 0.1 + torch.tensor([0.0, 1.0, 0.0])
    given = {
        "z_BDL": z,
        "v_BDL": v,
        "static_CF": torch.fft.rfft(torch.randn(channels, length)) / length**0.5,
        "gain_CF": 0.1 * tap_spectrum(short, length),
        "taps_CJ": 0.1 * torch.randn(channels, side, dtype=torch.complex64) if side else None,
    }
    leaves = {
        name: t if t is None else t.contiguous().requires_grad_() for name, t in given.items()
    }
    return {**leaves, "kind": kind}


def ours(given: dict[str, Any], dy: Tensor | None) -> Any:
    """Forward, and backward to every input when `dy` is given."""
    with torch.set_grad_enabled(dy is not None):
        y = long_conv(**given)
    if dy is None:
        return y
    return y, torch.autograd.grad(y, [t for t in given.values() if isinstance(t, Tensor)], dy)


def paper(given: dict[str, Any], dy: Tensor | None, taps: Tensor, frequency: Tensor) -> Any:
    z, v, static = given["z_BDL"], given["v_BDL"], given["static_CF"]
    with torch.set_grad_enabled(dy is not None):
        y = peers.unfused(z, v, static, taps, frequency, given["kind"])
    return y if dy is None else (y, torch.autograd.grad(y, (z, v, static, taps, frequency), dy))


def floors(
    z: Tensor, v: Tensor, pool: ThreadPoolExecutor | None, backward: bool
) -> dict[str, Callable[[], Any]]:
    """The ways to call the transforms: 3 of them, or 8 with `backward`."""
    z, v = z.detach(), v.detach()
    forwards, inverses = ((z, v, z, v, z), 3) if backward else ((z, v), 1)
    D, L = z.shape[1:]

    def transforms(channels: slice) -> None:
        for x in forwards:
            spectrum = torch.fft.rfft(x[:, channels])
        for _ in range(inverses):
            torch.fft.irfft(spectrum, n=L)

    def grouped(size: int) -> None:
        for first in range(0, D, size):
            transforms(slice(first, first + size))

    def spread(size: int) -> None:
        list(pool.map(transforms, [slice(first, first + size) for first in range(0, D, size)]))

    ways = {"floor, all at once": partial(transforms, slice(None))}
    for size in GROUPS:
        ways[f"floor, groups of {size}"] = partial(grouped, size)
        if pool is not None:
            ways[f"floor, groups of {size} over threads"] = partial(spread, size)
    return ways


def compare(
    batch: int,
    width: int,
    length: int,
    side: str,
    backward: bool,
    repeats: int,
    pairs: bool = False,
) -> dict[str, Any]:
    """One line of the table."""
    kind, count = SIDES[side]
    given = inputs(batch, width, length, kind, count, pairs)
    dy = torch.randn_like(given["z_BDL"]) if backward else None
    calls: dict[str, Callable[[], Any]] = {"ours": partial(ours, given, dy)}
    unfused = not pairs and not count
    if unfused:
        taps = torch.randn(2 if kind == "correlation" else 1, width, 3, requires_grad=True)
        frequency = torch.randn(width, 1, requires_grad=True)
        calls["unfused"] = partial(paper, given, dy, taps, frequency)
    threads = torch.get_num_threads()
    pool = (
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        if threads > 1
        else None
    )
    if pool is not None:
        list(pool.map(lambda _: torch.get_num_threads(), range(threads)))
        torch.set_num_threads(
            threads
        )  # the initialisers changed the default of threads yet to come
    ways = floors(given["z_BDL"], given["v_BDL"], pool, backward)
    floor = measure.interleaved(ways, 3).fastest(ways)
    times = measure.interleaved({**calls, floor: ways[floor]}, repeats)
    if pool is not None:
        pool.shutdown()
    return {
        "side": side + (", strand pairs" if pairs else ""),
        "threads": threads,
        "length": length,
        "backward": backward,
        "ours": times.median("ours"),
        "floor": times.median(floor),
        "way": floor.removeprefix("floor, "),
        "to floor": times.ratio("ours", floor),
        "to unfused": times.ratio("unfused", "ours") if unfused else None,
    }


def peak(batch: int, width: int, length: int, side: str, threads: int, form: str = "ours") -> float:
    """Peak memory of forward + backward beyond what must be there, in units of one float32 (B, D,
    L) input.

    Must be there: the inputs, the output, their gradients, and the (D, F) spectra with their
    gradients.
    """
    torch.set_num_threads(threads)
    kind, count = SIDES[side]
    small, given = (
        inputs(batch, width, 1024, kind, count),
        inputs(batch, width, length, kind, count),
    )
    taps = torch.randn(2 if kind == "correlation" else 1, width, 3, requires_grad=True)
    call = (
        ours
        if form == "ours"
        else partial(paper, taps=taps, frequency=torch.randn(width, 1, requires_grad=True))
    )
    call(small, torch.randn_like(small["z_BDL"]))  # libraries are loaded, threads are started
    dy = torch.randn_like(given["z_BDL"])
    with measure.Peak() as found:
        y, gradients = call(given, dy)
    due = sum(t.numel() * t.element_size() for t in (y, *gradients))
    return (found.bytes - due) / (4 * batch * width * length)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--width", type=int, default=128)
    options.add_argument("--lengths", type=int, nargs="+", default=[1024, 16_384, 131_072])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="Type II alone, 3 repeats")
    options.add_argument(
        "--markdown",
        action="store_true",
        help="what benchmarks/README.md holds: tables, no progress",
    )
    options.add_argument(
        "--save", action="store_true", help="also write benchmarks/results/operator.json"
    )
    chosen = options.parse_args()
    sides = (
        [("Type II", False)]
        if chosen.quick
        else [*((side, False) for side in SIDES), ("Type II", True)]
    )
    repeats = min(chosen.repeats, 3) if chosen.quick else chosen.repeats
    shape = f"batch {chosen.batch}, width {chosen.width}"
    heading = (
        f"{measure.machine('/'.join(map(str, chosen.threads)))}; {shape}; median of {repeats}"
        " rounds"
    )
    rows = []
    for backward in (False, True):
        for threads in chosen.threads:
            torch.set_num_threads(threads)
            for length in chosen.lengths:
                for side, pairs in sides:
                    rows.append(
                        compare(chosen.batch, chosen.width, length, side, backward, repeats, pairs)
                    )
                    if not chosen.markdown:
                        print(
                            "  ".join(f"{key} {_word(value)}" for key, value in rows[-1].items()),
                            flush=True,
                        )
    memory = [
        [side, *(_peak(chosen, side, threads, "ours") for threads in chosen.threads)]
        for side in dict(sides)
    ]
    memory.append(
        [
            "unfused, Type II",
            *(_peak(chosen, "Type II", threads, "unfused") for threads in chosen.threads),
        ]
    )
    report(chosen, heading, rows, memory)


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _peak(chosen: argparse.Namespace, side: str, threads: int, form: str) -> float:
    """The median of three processes: what the allocator keeps differs from run to run."""
    shape = {"batch": chosen.batch, "width": chosen.width, "length": max(chosen.lengths)}
    found = [
        measure.in_fresh_process(peak, **shape, side=side, threads=threads, form=form)
        for _ in range(3)
    ]
    return median(found)


def milliseconds(row: dict[str, Any]) -> tuple[float, float]:
    return 1000 * row["ours"], 1000 * row["floor"]


def report(
    chosen: argparse.Namespace, heading: str, rows: list[dict[str, Any]], memory: list[list[Any]]
) -> None:
    """Print the tables; with --save also write them as JSON."""
    print(f"\n{heading}")
    for backward, title in ((False, "Forward"), (True, "Forward + backward")):
        lines = [
            [
                row["side"],
                row["threads"],
                row["length"],
                *milliseconds(row),
                row["way"],
                row["to floor"],
                row["to unfused"],
            ]
            for row in rows
            if row["backward"] == backward
        ]
        head = [
            "operator",
            "threads",
            "length",
            "ms",
            "floor ms",
            "floor's way",
            "x floor",
            "unfused / ours",
        ]
        print(
            f"\n**{title}** (floor: {8 if backward else 3}"
            f" transforms)\n\n{measure.table(head, lines)}"
        )
    print(
        f"\n**Peak memory of forward + backward** at length {max(chosen.lengths):,} beyond inputs,"
        " outputs, spectra and their gradients, in units of one float32 input\n"
    )
    print(
        measure.table(["operator", *(f"{threads} threads" for threads in chosen.threads)], memory)
    )
    if chosen.save:
        measure.save("operator", {"machine": heading, "rows": rows, "memory": memory})


if __name__ == "__main__":
    main()
