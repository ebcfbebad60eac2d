"""Whole models at length: ours against the HyenaDNA form and an SDPA transformer of the same width and depth.

Tokens to logits (forward: no gradients, eval mode; forward + backward: the gradient of every parameter), batch 1,
float32 on the CPU, all models in one process and in turn. Run by ``python benchmarks/block.py``.

The trap: parameters differ (ours has the fewest), so the table prints them; positions a second is what is compared.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import measure
import peers
import torch
from torch import Tensor, nn

from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pretrained import ModelRecipe, OrchidModel

LENGTHS = (1024, 4096, 16_384, 32_768, 65_536, 131_072, 262_144)
LONGEST = {("transformer", False): 32_768, ("transformer", True): 16_384}
"""Where the quadratic peer stops, forward and with backward."""
NAMES = ("orchid", "orchid dense", "hyena", "transformer")
STEEP = 16_384
"""The exponent of time against length is fitted from here on."""


def built(name: str, width: int, depth: int) -> nn.Module:
    torch.manual_seed(0)
    if name == "hyena":
        return peers.Hyena(width, depth)
    if name == "transformer":
        return peers.Transformer(width, depth)
    strands = "dense" if name == "orchid dense" else "equivariant"
    return OrchidModel(
        ModelRecipe(encoder=OrchidRecipe(width=width, depth=depth, strands=strands), head=LettersRecipe())
    )


def tokens(length: int) -> Tensor:
    return torch.randint(0, 4, (1, length), generator=torch.Generator().manual_seed(length)).to(torch.uint8)


def step(model: nn.Module, tokens_BL: Tensor, backward: bool) -> Any:
    """One pass; the loss is the logits' mean, so that no model is charged for it."""
    model.train(backward)
    read = model.encode if isinstance(model, OrchidModel) else model
    if not backward:
        with torch.no_grad():
            return read(tokens_BL)
    return torch.autograd.grad(read(tokens_BL).mean(), list(model.parameters()))


def rounds(length: int, most: int) -> int:
    """Fewer where a round takes a minute."""
    return min(most, 5 if length <= 16_384 else 3)


def compare(models: dict[str, nn.Module], length: int, backward: bool, most: int) -> dict[str, Any]:
    """Seconds a pass of every model at one length, and ours against each."""
    x = tokens(length)
    fitting = [name for name in models if length <= LONGEST.get((name, backward), length)]
    calls: dict[str, Callable[[], Any]] = {name: partial(step, models[name], x, backward) for name in fitting}
    if length > STEEP:  # a round takes seconds: transforms are planned and code is warm from the shorter lengths
        times = measure.interleaved(calls, rounds(length, most), warm=False)
    else:
        times = measure.interleaved(calls, rounds(length, most))
    return {
        "length": length,
        "backward": backward,
        "seconds": {name: times.median(name) for name in fitting},
        "times ours": {name: times.ratio(name, "orchid") for name in fitting},
        "times dense": {name: times.ratio(name, "orchid dense") for name in fitting if "orchid dense" in fitting},
    }


def peak(name: str, width: int, depth: int, length: int, backward: bool, threads: int) -> int:
    """Peak bytes of one pass beyond the process with its model."""
    torch.set_num_threads(threads)
    model = built(name, width, depth)
    step(model, tokens(256), backward)
    with measure.Peak() as found:
        step(model, tokens(length), backward)
    return found.bytes


def exponent(seconds: dict[int, float]) -> float | None:
    """The least-squares slope of log seconds against log length."""
    points = [(math.log(length), math.log(value)) for length, value in seconds.items() if length >= STEEP]
    if len(points) < 3:
        return None
    x, y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--width", type=int, default=128)
    options.add_argument("--depth", type=int, default=2)
    options.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    options.add_argument("--models", nargs="+", default=NAMES, choices=NAMES)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="1k, 16k and 131k, two rounds, memory at the last")
    options.add_argument("--markdown", action="store_true", help="what benchmarks/README.md holds: tables, no progress")
    options.add_argument("--save", action="store_true", help="also write benchmarks/results/block.json, for the plot")
    chosen = options.parse_args()
    if "orchid" not in chosen.models:
        options.error("--models: orchid is what the others are compared with")
    torch.set_num_threads(chosen.threads)
    lengths = [1024, 16_384, 131_072] if chosen.quick else sorted(chosen.lengths)
    most = min(2, chosen.repeats) if chosen.quick else chosen.repeats
    heading = (
        f"{measure.machine()}; width {chosen.width}, {chosen.depth} layers, batch 1; medians of up to {most} rounds"
    )
    models = {name: built(name, chosen.width, chosen.depth) for name in chosen.models}
    rows = []
    for backward in (False, True):
        for length in lengths:
            rows.append(compare(models, length, backward, most))
            if not chosen.markdown:
                told = "  ".join(f"{name} {value:.4g} s" for name, value in rows[-1]["seconds"].items())
                print(f"{'forward + backward' if backward else 'forward'} {length:,}: {told}", flush=True)
    counts = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    memory = {}
    for length in lengths[-1:] if chosen.quick else lengths:
        for name in models:
            if length <= LONGEST.get((name, True), length):
                shape = {"width": chosen.width, "depth": chosen.depth, "length": length, "threads": chosen.threads}
                memory.setdefault(length, {})[name] = measure.in_fresh_process(peak, name=name, backward=True, **shape)
    report(heading, rows, counts, memory)
    if chosen.save:
        measure.save("block", {"machine": heading, "parameters": counts, "rows": rows, "memory": memory})


def report(heading: str, rows: list[dict[str, Any]], counts: dict[str, int], memory: dict[int, dict[str, int]]) -> None:
    """Print thousands of nucleotides a second, how many times as fast ours is, the exponents and the memory."""
    names = list(counts)
    print(f"\n{heading}\n")
    print(measure.table(["model", "parameters"], [[name, count] for name, count in counts.items()]))
    for backward, title in ((False, "Forward"), (True, "Forward + backward")):
        chosen = [row for row in rows if row["backward"] == backward]
        others = [name for name in names if name != "orchid"]
        lines = [
            [f"{row['length']:,}"]
            + [row["length"] / 1000 / row["seconds"][name] if name in row["seconds"] else None for name in names]
            + [row["times ours"].get(name) for name in others]
            for row in chosen
        ]
        times = {name: {row["length"]: row["seconds"].get(name) for row in chosen} for name in names}
        fitted = [exponent({length: s for length, s in times[name].items() if s}) for name in names]
        lines.append([f"exponent from {STEEP:,}", *fitted, *(None for _ in others)])
        head = ["length", *names, *(f"orchid / {name}" for name in others)]
        print(f"\n**{title}**: knt/s, then how many times as fast orchid is\n\n{measure.table(head, lines)}")
    print("\n**Peak memory of forward + backward**: MiB\n")
    lines = [
        [f"{length:,}", *(found[name] / 2**20 if name in found else None for name in names)]
        for length, found in memory.items()
    ]
    print(measure.table(["length", *names], lines))


if __name__ == "__main__":
    main()
