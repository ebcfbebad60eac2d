"""Retrieval from real sequence: a key with near-duplicates around it, the letters behind it asked
back.

Run by ``python benchmarks/needle.py MODEL GENOME CONTIG OUT.json [LENGTH ...] [seed=N]``; prints
the share of exact answers, with its 95 % interval (Wilson), and of right letters, for each window
length, nt (default 4,096, 16,384 and 131,072). Another seed (default 0) plants other needles.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from orchid_genomics.data.needles import NeedleRecipe, plant_needle
from orchid_genomics.evaluate.probes.associative_recall import answer_share
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import CODE, DNA

TRIALS = {4_096: 60, 16_384: 60, 131_072: 40}


def main(model: str, fasta: str, contig: str, out: str, *words: str) -> None:
    loaded, genome = OrchidModel.from_pretrained(model), Genome(fasta)
    seed = next((int(word[5:]) for word in words if word.startswith("seed=")), 0)
    lengths = [int(word) for word in words if not word.startswith("seed=")] or list(TRIALS)
    recipe, results = NeedleRecipe(), {}
    for length in lengths:
        trials = TRIALS.get(length, 40)
        room = genome.contigs[contig] - length
        exact, letters = [], []
        for trial in range(trials):
            start = room * trial // trials
            tokens = genome.tokens(contig, start, start + length) & CODE
            row, answer = plant_needle(tokens, recipe, seed, length, trial)
            seen = row.copy()
            seen[answer] = DNA.mask
            with torch.inference_mode():
                logits_LV = loaded.encode(torch.from_numpy(seen)[None])[0]
            right = logits_LV[answer].argmax(-1).numpy() == row[answer]
            exact.append(bool(right.all()))
            letters.append(float(right.mean()))
        share = answer_share(length, sum(exact), trials)
        results[length] = {
            "seed": seed, "trials": trials, "exact": share.mean, "low": share.low,
            "high": share.high, "letters": float(np.mean(letters)),
            "missed": [trial for trial in range(trials) if not exact[trial]],
        }  # fmt: skip
        interval = f"{share.mean:.1%} exact ({share.low:.0%}-{share.high:.0%})"
        said = f"{interval}, {np.mean(letters):.1%} of the letters ({trials} windows)"
        print(f"{length:>7,} nt: {said}", flush=True)
        with atomic_file(Path(out)) as part:
            part.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
