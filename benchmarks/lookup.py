"""Lookup by other models, and a picture of all: the sequences, objective, loop and tables of a
recipe with copies.

Run by ``python benchmarks/lookup.py RECIPE MODEL OUT.json [KEY=VALUE ...]``: MODEL is hyena or
transformer (trained here, at the recipe's width and depth; short=3 gives the transformer a short
convolution) or a model folder (measured as it is); the tables are printed and written to OUT. Then
``python benchmarks/lookup.py draw OUT.png NAME=FILE.json ...`` draws the tables of several models.

``python benchmarks/lookup.py grid RECIPE MODEL OUT.json [KEY=VALUE ...]`` measures a model folder
at every window of `evaluation.lengths`: every length of the copy (at most a third of the window),
both strands, every divergence; gain, and what the place alone would have given. ``curves OUT.png
NAME=FILE.json ...`` draws the gains of grids against the window.
"""

import itertools
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from trained import PEERS, measured, split

from orchid_genomics import draw
from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.probes.exchanged_context import window_score
from orchid_genomics.evaluate.probes.planted_copies import Kind, copy_bits
from orchid_genomics.files import atomic_file
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretraining import CopiesRunRecipe, open_source
from orchid_genomics.train import distributed as processes


def measure(path: str, model: str, out: str, *words: str) -> None:
    options, overrides = split(words)
    recipe = load(path, CopiesRunRecipe, overrides)
    if model in PEERS:
        _, protocols, said = measured(recipe, model, **options)
    else:
        source, ranks = open_source(recipe), processes.start(recipe.training.device)
        protocols = source.evaluate(
            OrchidModel.from_pretrained(model), recipe.stages()[-1].length, ranks, print
        )
        said = f"{model}, as it is"
    for protocol in protocols:
        print(protocol.text() + "\n")
    print(said)
    with atomic_file(Path(out)) as part:
        part.write_text(json.dumps([protocol.values() for protocol in protocols], indent=2) + "\n")


def grid(path: str, model: str, out: str, *words: str) -> None:
    _, overrides = split(words)
    recipe = load(path, CopiesRunRecipe, overrides)
    measured, ranks = recipe.evaluation, processes.start("cpu")
    pieces = hide_letters(open_source(recipe).corpus, "test", measured.seed, measured.share)
    loaded, cells = OrchidModel.from_pretrained(model), []
    choices = itertools.product(measured.lengths, measured.copies, (False, True), measured.diverged)
    for length, size, turned, diverged in choices:
        if 3 * size > length:
            continue
        kind = Kind(min(50_000, length // 2), size, diverged, turned)
        bits = copy_bits(loaded, pieces, length, kind, measured=measured, ranks=ranks)
        gain = window_score("gain", bits.gain)
        known = float(np.nanmean(bits.without - bits.known))
        cell = {"window": length, "copy": size, "turned": turned, "diverged": diverged}
        cell |= {"gain": gain.mean, "low": gain.low, "high": gain.high, "known": known}
        cells.append(cell)
        strand = "other strand" if turned else "same strand"
        text = f"{gain.mean:.2f} ({gain.low:.2f} to {gain.high:.2f}) of {known:.2f}"
        print(f"{length:>7,} nt  copy {size:>5,}  {strand:<12}  {diverged:.0%}: {text}", flush=True)
        with atomic_file(Path(out)) as part:
            part.write_text(json.dumps(cells, indent=1) + "\n")


def curves(out: str, *named: str) -> None:
    _, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
    for word in named:
        name, _, file = word.partition("=")
        cells = json.loads(Path(file).read_text())
        for axis, turned in zip(axes, (False, True), strict=True):
            row = curve(cells, turned)
            windows = [cell["window"] for cell in row]
            axis.plot(windows, [cell["gain"] for cell in row], marker="o", label=name)
    for axis, title in zip(axes, ("same strand", "other strand"), strict=True):
        axis.set(xscale="log", xlabel="window, nt", title=title)
    axes[0].set(ylabel="gain, bits a letter")
    axes[1].legend(frameon=False)
    with atomic_file(Path(out)) as part:
        draw.save(axes[0], part)


def curve(cells: list[dict], turned: bool) -> list[dict]:
    """The cell of each window with the longest copy up to 500 nt, a tenth of it changed."""
    longest: dict[int, dict] = {}
    for cell in cells:
        if (cell["turned"], cell["diverged"]) == (turned, 0.1) and cell["copy"] <= 500:
            longest[cell["window"]] = cell
    return list(longest.values())


def picture(out: str, *named: str) -> None:
    tables = {
        name: json.loads(Path(file).read_text())
        for name, _, file in (word.partition("=") for word in named)
    }
    with atomic_file(Path(out)) as part:
        draw.save(draw.gains(tables), part)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    tasks = {"draw": picture, "grid": grid, "curves": curves}
    if sys.argv[1] in tasks:
        tasks[sys.argv[1]](*sys.argv[2:])
    else:
        measure(*sys.argv[1:])
