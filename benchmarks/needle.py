"""Retrieval from real sequence: a key with near-duplicates around it, the letters behind it asked
back.

Run by ``python benchmarks/needle.py MODEL GENOME CONTIG OUT.json [LENGTH ...]``; prints the share
of exact answers, and of right letters, for each window length (default 4,096, 16,384 and 131,072).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from orchid_genomics.data.needles import NeedleRecipe, plant_needle
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import CODE, DNA

TRIALS = {4_096: 40, 16_384: 20, 131_072: 8}


def main(model: str, fasta: str, contig: str, out: str, *lengths: str) -> None:
    loaded, genome = OrchidModel.from_pretrained(model), Genome(fasta)
    recipe, results = NeedleRecipe(), {}
    for length in [int(word) for word in lengths] or list(TRIALS):
        trials = TRIALS.get(length, 20)
        room = genome.contigs[contig] - length
        exact, letters = [], []
        for trial in range(trials):
            start = room * trial // trials
            tokens = genome.tokens(contig, start, start + length) & CODE
            row, answer = plant_needle(tokens, recipe, length, trial)
            seen = row.copy()
            seen[answer] = DNA.mask
            with torch.inference_mode():
                logits_LV = loaded.encode(torch.from_numpy(seen)[None])[0]
            right = logits_LV[answer].argmax(-1).numpy() == row[answer]
            exact.append(bool(right.all()))
            letters.append(float(right.mean()))
        results[length] = {
            "trials": trials, "exact": float(np.mean(exact)), "letters": float(np.mean(letters))
        }  # fmt: skip
        shares = f"{np.mean(exact):.0%} exact, {np.mean(letters):.1%} of the letters"
        print(f"{length:>7,} nt: {shares} ({trials} windows)", flush=True)
        with atomic_file(Path(out)) as part:
            part.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
