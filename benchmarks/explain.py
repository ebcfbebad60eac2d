"""Seconds a region of every attribution method, and how far its sums are off: python
benchmarks/explain.py MODEL FASTA.

The regions are of 1,024 nt, evenly spread over --contig. ISM and dependency maps are measured on
the 64 letters in the middle and counted up: both cost three forward passes a letter.
"""

import argparse
import time

import torch

from orchid_genomics.explain import (
    OneHot,
    deeplift,
    dependency_map,
    input_x_gradient,
    integrated_gradients,
    mutate,
    one_hot,
    shuffles,
)
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel

LENGTH, PART = 1024, 64
MIDDLE = (LENGTH // 2 - PART // 2, LENGTH // 2 + PART // 2)
METHODS = {
    "gradient": lambda model, x: input_x_gradient(model, x),
    "deeplift": lambda model, x: deeplift(model, x, shuffles(x, 10), batch=4),
    "integrated": lambda model, x: integrated_gradients(model, x, shuffles(x, 2)),
    "ism": lambda model, x: mutate(model, x, *MIDDLE, batch=16),
    "dependency": lambda model, x: dependency_map(model, x, *MIDDLE, batch=16),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("fasta")
    parser.add_argument("--contig", default="chrVII")
    parser.add_argument("--regions", type=int, default=2)
    parser.add_argument("--target", default="pll")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model, genome = (
        OneHot(OrchidModel.from_pretrained(given.model), given.target),
        Genome(given.fasta),
    )
    step = genome.contigs[given.contig] // (given.regions + 1)
    starts = [step * (i + 1) for i in range(given.regions)]
    xs = [one_hot(genome.tokens(given.contig, start, start + LENGTH)[None]) for start in starts]
    input_x_gradient(model, xs[0])
    print(f"{'method':<12}{'s a region':>12}{'error / difference, largest':>30}{'gradients':>12}")
    for name in given.methods:
        began = time.perf_counter()
        found = [METHODS[name](model, x) for x in xs]
        seconds = (time.perf_counter() - began) / len(xs)
        if name in ("ism", "dependency"):
            seconds *= LENGTH / PART
            found = []
        error = max(
            (float(each.error / each.difference.abs()) for each in found), default=float("nan")
        )
        steps = max((each.steps for each in found), default=0)
        print(f"{name:<12}{seconds:>12.2f}{error:>30.1e}{steps or '':>12}")


if __name__ == "__main__":
    main()
