"""Elements a second, the share of time outside the model, and how well one pass agrees with masked
passes.

Run by ``python benchmarks/elements.py [MODEL] [--elements 64] [--agreement 0]`` on yeast promoters
of chromosome VII, a test one (default model: the one in recipes/yeast), on one thread of a CPU.
Outside the model is what remains when every forward pass answers at once with what it answered
before. `--agreement N` scores N promoters with 1 to 64 passes; 64 stand in for the truth, one pass
for each letter, which costs 500.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import machine, table
from scipy.stats import spearmanr

from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.orchid import Orchid
from orchid_genomics.score.elements.element_scores import ElementScoring, Options
from orchid_genomics.score.elements.vectors import ElementVectors

YEAST = Path(__file__).resolve().parent.parent / "recipes" / "yeast"
PASSES = (1, 2, 4, 8, 64)


class Remembered:
    """An encoder whose forward passes are kept, so that a second round costs what is not
    the model.
    """

    def __init__(self, encoder: Orchid) -> None:
        self.encoder, self.own, self.kept = encoder, encoder.encode, {}

    def __enter__(self) -> "Remembered":
        def encode(tokens_BL: torch.Tensor, mask_BL: torch.Tensor | None = None) -> torch.Tensor:
            key = tokens_BL.numpy().tobytes()
            if key not in self.kept:
                self.kept[key] = self.own(tokens_BL, mask_BL)
            return self.kept[key]

        self.encoder.encode = encode
        return self

    def __exit__(self, *_: object) -> None:
        del self.encoder.encode


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def speed(model: OrchidModel, genome: Genome, places: list) -> list[list]:
    """Rows of the table: elements a second, and the share of time outside the encoder."""
    calls = {
        "score-elements, 1 pass": lambda: ElementScoring(model, genome, Options(background=0))(
            places
        ),
        "score-elements, 4 passes": lambda: ElementScoring(
            model, genome, Options(passes=4, background=0)
        )(places),
        "embed, window 1,024": lambda: ElementVectors(model.encoder, genome, 1024, "mean", "both")(
            places
        ),
        "embed, alone": lambda: ElementVectors(model.encoder, genome, 0, "mean", "both")(places),
    }
    ElementScoring(model, genome, Options(background=0))(places[:16])  # first calls fill caches
    rows = []
    for name, call in calls.items():
        with Remembered(model.encoder):
            whole = seconds(call)
            outside = seconds(call)
        rows.append([name, len(places) / whole, f"{100 * outside / whole:.1f} %"])
    return rows


def agreement(model: OrchidModel, genome: Genome, places: list) -> list[list]:
    """Rows of the table: each number of passes against the most, Pearson and Spearman, and what it
    costs.
    """
    found = {
        n: ElementScoring(model, genome, Options(passes=n, background=0))(places).values
        for n in PASSES
    }
    rows = []
    for passes, values in found.items():
        row: list = [f"{passes}"]
        for column in (0, 1):
            x, y = values[:, column], found[PASSES[-1]][:, column]
            row += [np.corrcoef(x, y)[0, 1], spearmanr(x, y)[0], float((x - y).mean())]
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="yeast")
    parser.add_argument("--elements", type=int, default=64)
    parser.add_argument("--agreement", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    genome, model = Genome(YEAST / "sacCer3.fa.gz"), OrchidModel.from_pretrained(given.model)
    places = [
        place for place in read_bed(YEAST / "promoters.bed", genome) if place.contig == "chrVII"
    ]
    print(f"{machine(1)}; yeast promoters of chrVII, up to 500 nt")
    if given.elements:
        rows = speed(model, genome, places[: given.elements])
        print(table(["", "elements/s", "outside the model"], rows))
    if given.agreement:
        rows = agreement(model, genome, places[: given.agreement])
        names = [
            "passes",
            "loglik: r",
            "rank r",
            "shift, nats",
            "entropy: r",
            "rank r",
            "shift, bits",
        ]
        print(table(names, rows))


if __name__ == "__main__":
    main()
