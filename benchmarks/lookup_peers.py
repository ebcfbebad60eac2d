"""Who finds a copy? Ours with pointers and as it was, static filters, the Hyena form and attention,
each for the same CPU seconds at three rates, on the same windows with planted copies.

The rate is chosen on copies planted in validation windows; the gain is measured in windows of the
test chromosomes, of the training length and as the weights are in longer ones. Run by
``python benchmarks/lookup_peers.py RECIPE OUT.json SECONDS [KEY=VALUE ...]`` (a recipe such as
recipes/lookup/hashes.toml); every training that is done is in OUT, and the same command goes on
where it was stopped. ``python benchmarks/lookup_peers.py --table OUT.json`` prints the table.

The traps: steps are counted from CPU seconds of this process, for other work on the machine
stretches wall time; and the Hyena form is causal, so a copy on the other strand or to its right is
beyond it by its nature.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure
from torch import nn
from trained import peer, train

from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.probes.exchanged_context import window_score
from orchid_genomics.evaluate.probes.planted_copies import Kind, copy_bits
from orchid_genomics.files import atomic_file
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import build
from orchid_genomics.tasks.pretraining import CopiesRunRecipe, open_source
from orchid_genomics.terminal import silence
from orchid_genomics.train import distributed as processes

PROBE = 12
"""Steps by which the seconds of one are counted."""
CELLS = ((1024, 300), (4096, 500), (16_384, 500))
"""Windows and copies; a tenth of the copy's letters differ."""


class Arm(NamedTuple):
    """A model to train: what changes the recipe, which peer it is, and the rates to try."""

    words: tuple[str, ...] = ()
    kind: str = ""
    options: tuple[tuple[str, int], ...] = ()
    rates: tuple[float, ...] = (3e-3, 1e-2, 2e-2)
    longest: int = 1 << 20
    """Letters of a window beyond which it is not asked, for want of an hour."""

    def recipe(self, path: str, words: Sequence[str]) -> Any:
        return load(path, CopiesRunRecipe, (*words, *self.words))

    def build(self, recipe: Any) -> nn.Module:
        return peer(recipe, self.kind, **dict(self.options)) if self.kind else build(recipe)


THEIRS = 1e-3, 3e-3, 1e-2
ARMS = {
    "pointers": Arm(),
    "Type II as it was": Arm(("model.filter.hash_length=0",)),
    "static filters": Arm(("model.filter.kind=static", "model.filter.hash_length=0")),
    "attention, short taps": Arm(
        kind="transformer", options=(("short", 3), ("heads", 2)), rates=THEIRS, longest=4096
    ),
    "Hyena form": Arm(kind="hyena", rates=THEIRS),
}


def steps_in(seconds: float, arm: Arm, path: str, words: Sequence[str]) -> int:
    """Steps of an arm that so many CPU seconds of one core hold."""
    times = []
    for count in (1, 1, 1 + PROBE):  # the first one opens files and warms up
        few = (f"training.steps={count}", f"training.validate_every={10 * PROBE}")
        recipe = arm.recipe(path, (*words, *few))
        model, begun = arm.build(recipe), time.process_time()
        with silence(True):
            train(recipe, model)
        times.append(time.process_time() - begun)
    return max(1, round(seconds * PROBE / (times[2] - times[1])))


def gains(model: nn.Module, recipe: Any, longest: int) -> list[dict[str, Any]]:
    """What the first copy is worth to a model, on either strand, in every cell."""
    measured, ranks, cells = recipe.evaluation, processes.start("cpu"), []
    pieces = hide_letters(open_source(recipe).corpus, "test", measured.seed, measured.share)
    for window, size in CELLS:
        for turned in (False, True):
            cell = {"window": window, "copy": size, "turned": turned, "gain": None}
            cells.append(cell)
            if window > longest:
                continue
            kind = Kind(window // 2, size, 0.1, turned)
            bits = copy_bits(model, pieces, window, kind, measured=measured, ranks=ranks)
            score = window_score("gain", bits.gain)
            cell |= {"gain": score.mean, "low": score.low, "high": score.high}
    return cells


def run(path: str, out: str, seconds: str, *words: str) -> None:
    file = Path(out)
    done: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    heading = {"recipe": Path(path).name, "seconds": float(seconds), "words": list(words)}
    for name, arm in ARMS.items():
        steps = 0
        for rate in arm.rates:
            if any((row["model"], row["rate"]) == (name, rate) for row in done):
                continue
            steps = steps or steps_in(float(seconds), arm, path, words)
            often = max(1, steps // 5)
            values = f"training.steps={steps}", f"training.validate_every={often}"
            recipe = arm.recipe(path, (*words, *values, f"optimizer.rate={rate}"))
            model, begun = arm.build(recipe), time.process_time()
            with silence(True):
                progress = train(recipe, model)
            row = heading | {"model": name, "rate": rate, "steps": steps}
            row |= {"trained": time.process_time() - begun, "validation": progress.best}
            row |= {"parameters": sum(p.numel() for p in model.parameters())}
            row |= {"cells": gains(model, recipe, arm.longest)}
            done.append(row)
            print(f"{name}, {rate:g}: {steps:,} steps, {progress.best:.4f}", flush=True)
            with atomic_file(file) as part:
                part.write_text(json.dumps(done, indent=1) + "\n")
    print(table(done))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The best rate of every model, by validation."""
    best = {
        name: min((r for r in rows if r["model"] == name), key=lambda r: r["validation"])
        for name in dict.fromkeys(row["model"] for row in rows)
    }
    head = ["model", "parameters", "best rate", "steps", "validation"]
    head += [_cell_name(cell) for cell in rows[0]["cells"]]
    lines = [
        [
            name,
            f"{row['parameters']:,}",
            f"{row['rate']:g}",
            f"{row['steps']:,}",
            f"{row['validation']:.3f}",
            *(_gain(cell) for cell in row["cells"]),
        ]
        for name, row in best.items()
    ]
    return measure.table(head, lines)


def _gain(cell: dict[str, Any]) -> str:
    if cell["gain"] is None:
        return "-"
    return f"{cell['gain']:.2f} ({cell['low']:.2f} to {cell['high']:.2f})"


def _cell_name(cell: dict[str, Any]) -> str:
    strand = ", other strand" if cell["turned"] else ""
    return f"{cell['copy']} nt in {cell['window']:,}{strand}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    if sys.argv[1] == "--table":
        print(table(json.loads(Path(sys.argv[2]).read_text())))
    else:
        run(*sys.argv[1:])
