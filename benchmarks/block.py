"""Whole models at length: ours against the HyenaDNA form and an SDPA transformer of the same width
and depth.

Tokens to logits (forward: no gradients, eval mode; forward + backward: the gradient of every
parameter), batch 1, float32 on the CPU, all models in one process and in turn. Run by ``python
benchmarks/block.py``.

The trap: parameters differ (ours has the fewest), so the table prints them; positions a second is
what is compared. With ``--save``, lengths measured apart come together in results/block.json, each
with its commit; ``--saved`` prints that file's tables and ``--plot`` draws it.
"""

import argparse
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure
import peers
import torch
from torch import Tensor, nn

from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe

LENGTHS = (1024, 4096, 16_384, 32_768, 65_536, 131_072, 262_144)
LONGEST = {("transformer", False): 32_768, ("transformer", True): 16_384}
"""Where the quadratic peer stops, forward and with backward."""
LABELS = {
    "orchid": "Orchid",
    "orchid dense": "Orchid, dense strands",
    "hyena": "HyenaDNA form",
    "transformer": "transformer (SDPA)",
}
NAMES = ("orchid", "orchid dense", "hyena", "transformer")
COLOURS = {
    "orchid": "#1b6ca8",
    "orchid dense": "#7fb2d8",
    "hyena": "#d1783c",
    "transformer": "#777777",
}
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
        ModelRecipe(
            encoder=OrchidRecipe(width=width, depth=depth, strands=strands), head=LettersRecipe()
        )
    )


def tokens(length: int) -> Tensor:
    return torch.randint(0, 4, (1, length), generator=torch.Generator().manual_seed(length)).to(
        torch.uint8
    )


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
    calls: dict[str, Callable[[], Any]] = {
        name: partial(step, models[name], x, backward) for name in fitting
    }
    if (
        length > STEEP
    ):  # a round takes seconds: transforms are planned and code is warm from the shorter lengths
        times = measure.interleaved(calls, rounds(length, most), warm=False)
    else:
        times = measure.interleaved(calls, rounds(length, most))
    return {
        "length": length,
        "backward": backward,
        "seconds": {name: times.median(name) for name in fitting},
        "times ours": {name: times.ratio(name, "orchid") for name in fitting},
        "times dense": {
            name: times.ratio(name, "orchid dense") for name in fitting if "orchid dense" in fitting
        },
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
    points = [
        (math.log(length), math.log(value)) for length, value in seconds.items() if length >= STEEP
    ]
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
    options.add_argument(
        "--quick", action="store_true", help="1k, 16k and 131k, two rounds, memory at the last"
    )
    options.add_argument(
        "--markdown",
        action="store_true",
        help="what benchmarks/README.md holds: tables, no progress",
    )
    options.add_argument(
        "--save",
        action="store_true",
        help="also write these lengths into benchmarks/results/block.json",
    )
    options.add_argument(
        "--saved", action="store_true", help="measure nothing: print the tables of that file"
    )
    options.add_argument(
        "--plot", action="store_true", help="draw benchmarks/block.png from that file"
    )
    chosen = options.parse_args()
    if "orchid" not in chosen.models:
        options.error("--models: orchid is what the others are compared with")
    found = saved() if chosen.saved else measured(chosen)
    if chosen.save:
        keep(found)
    report(found)
    if chosen.plot:
        print(f"\n{plot(saved())}")


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """Time and memory at the chosen lengths."""
    torch.set_num_threads(chosen.threads)
    lengths = [1024, 16_384, 131_072] if chosen.quick else sorted(chosen.lengths)
    most = min(2, chosen.repeats) if chosen.quick else chosen.repeats
    machine, commit = measure.machine().rsplit("; commit ", 1)
    models = {name: built(name, chosen.width, chosen.depth) for name in chosen.models}
    rows = []
    for backward in (False, True):
        for length in lengths:
            rows.append({**compare(models, length, backward, most), "commit": commit})
            if not chosen.markdown:
                told = "  ".join(
                    f"{name} {value:.4g} s" for name, value in rows[-1]["seconds"].items()
                )
                print(
                    f"{'forward + backward' if backward else 'forward'} {length:,}: {told}",
                    flush=True,
                )
    memory: dict[str, dict[str, int]] = {}
    for length in lengths[-1:] if chosen.quick else lengths:
        for name in models:
            if length <= LONGEST.get((name, True), length):
                shape = {
                    "width": chosen.width,
                    "depth": chosen.depth,
                    "length": length,
                    "threads": chosen.threads,
                }
                memory.setdefault(str(length), {})[name] = measure.in_fresh_process(
                    peak, name=name, backward=True, **shape
                )
    return {
        "machine": (
            f"{machine}; width {chosen.width}, {chosen.depth} layers, batch 1; medians of up to"
            f" {most} rounds"
        ),
        "parameters": {
            name: sum(p.numel() for p in model.parameters()) for name, model in models.items()
        },
        "rows": rows,
        "memory": memory,
    }


def saved() -> dict[str, Any]:
    path = measure.RESULTS / "block.json"
    if not path.exists():
        raise SystemExit(f"{path}: not there; measure first, with --save")
    return json.loads(path.read_text())


def keep(found: dict[str, Any]) -> None:
    """Write what was measured over what the file holds of other lengths."""
    earlier = saved() if (measure.RESULTS / "block.json").exists() else {"rows": [], "memory": {}}
    new = {(row["length"], row["backward"]) for row in found["rows"]}
    rows = [row for row in earlier["rows"] if (row["length"], row["backward"]) not in new] + found[
        "rows"
    ]
    rows.sort(key=lambda row: (row["backward"], row["length"]))
    memory = {**earlier["memory"], **found["memory"]}
    measure.save(
        "block",
        {**found, "rows": rows, "memory": {key: memory[key] for key in sorted(memory, key=int)}},
    )


def plot(found: dict[str, Any]) -> Path:
    """Nucleotides a second against length, forward and with backward, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for panel, backward in zip(panels, (False, True), strict=True):
        rows = [row for row in found["rows"] if row["backward"] == backward]
        for name in found["parameters"]:
            points = [
                (row["length"], row["length"] / row["seconds"][name])
                for row in rows
                if name in row["seconds"]
            ]
            panel.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=4,
                color=COLOURS[name],
                label=LABELS[name],
            )
        lengths = [row["length"] for row in rows]
        panel.set(xscale="log", yscale="log", xlabel="letters in one sequence")
        panel.set_title("forward + backward" if backward else "forward", fontsize=11)
        panel.set_xticks(lengths, [f"{length // 1024}k" for length in lengths])
        panel.minorticks_off()
        ticks = [3_000, 10_000, 30_000, 100_000]
        panel.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("letters a second, CPU")
    panels[1].legend(frameon=False, fontsize=9, loc="best")
    path = measure.HERE / "block.png"
    figure.savefig(path, dpi=150)
    return path


def report(found: dict[str, Any]) -> None:
    """Print thousands of nucleotides a second, how many times as fast ours is, the exponents and
    the memory.
    """
    rows, names = found["rows"], list(found["parameters"])
    commits = ", ".join(dict.fromkeys(row["commit"] for row in rows))
    print(f"\n{found['machine']}; commit {commits}\n")
    print(
        measure.table(["model", "parameters"], [list(pair) for pair in found["parameters"].items()])
    )
    for backward, title in ((False, "Forward"), (True, "Forward + backward")):
        chosen = [row for row in rows if row["backward"] == backward]
        others = [name for name in names if name != "orchid"]
        lines = [
            [f"{row['length']:,}"]
            + [
                row["length"] / 1000 / row["seconds"][name] if name in row["seconds"] else None
                for name in names
            ]
            + [row["times ours"].get(name) for name in others]
            for row in chosen
        ]
        times = {
            name: {row["length"]: row["seconds"].get(name) for row in chosen} for name in names
        }
        fitted = [exponent({length: s for length, s in times[name].items() if s}) for name in names]
        lines.append([f"exponent from {STEEP:,}", *fitted, *(None for _ in others)])
        head = ["length", *names, *(f"orchid / {name}" for name in others)]
        print(
            f"\n**{title}**: knt/s, then how many times as fast orchid"
            f" is\n\n{measure.table(head, lines)}"
        )
    print("\n**Peak memory of forward + backward**: MiB\n")
    lines = [
        [f"{int(length):,}", *(peaks[name] / 2**20 if name in peaks else None for name in names)]
        for length, peaks in found["memory"].items()
    ]
    print(measure.table(["length", *names], lines))


if __name__ == "__main__":
    main()
