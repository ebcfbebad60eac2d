"""How soon a small encoder from random weights finds a planted motif, by how its short taps and
filter begin.

Half of 1,600 random sequences of 80 letters hold TGACTCAG on either strand, anywhere; AUROC on
validation, epoch by epoch. `python benchmarks/motifs.py` takes about 40 s of one thread a line.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np

from orchid_genomics.cli.process import settle

settle()

from orchid_genomics.data.labelled.sets import open_set  # noqa: E402
from orchid_genomics.evaluate.arms import arms_of, train_arm  # noqa: E402
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe  # noqa: E402
from orchid_genomics.recipe import validate  # noqa: E402
from orchid_genomics.train import distributed as ranks  # noqa: E402

MOTIF, LENGTH, ROWS = "TGACTCAG", 80, 1600
ENCODERS = {
    "short taps at identity": {},
    "short_spread = 0.5": {"short_spread": 0.5},
}


def write(path: Path) -> None:
    """The planted set: six tenths train, two validate, two test."""
    rng = np.random.default_rng(0)
    other = MOTIF[::-1].translate(str.maketrans("ACGT", "TGCA"))
    lines = ["sequence\tlabel\tsplit"]
    for row in range(ROWS):
        letters = "".join(rng.choice(list("ACGT"), LENGTH))
        if row % 2:
            at = int(rng.integers(5, LENGTH - 15))
            letters = (
                letters[:at] + (MOTIF if rng.random() < 0.5 else other) + letters[at + len(MOTIF) :]
            )
        split = (["train"] * 6 + ["validation"] * 2 + ["test"] * 2)[row // 2 % 10]
        lines.append(f"{letters}\t{row % 2}\t{split}")
    path.write_text("\n".join(lines) + "\n")


def measured(path: Path, encoder: dict, folder: Path) -> list[float]:
    """AUROC on validation after every epoch."""
    values = {
        "data": {"kind": "table", "path": str(path)},
        "model": {
            "width": 32,
            "depth": 2,
            "short_taps": 3,
            "short_spread": 0.0,
            "stem": 0,
            "mlp": 2.0,
            **encoder,
        },
        "head": {"pool": "attention", "words": False},
        "optimizer": {"rate": 6e-3, "warmup": 20},
        "training": {"epochs": 8, "batch": 16, "patience": 0},
    }
    recipe = validate(FinetuneRecipe, values, "benchmark")
    data = open_set(recipe.data)
    with contextlib.redirect_stderr(io.StringIO()):
        alone = ranks.start("cpu")
        trained = train_arm(
            arms_of(recipe, data)[0],
            recipe,
            data,
            folder,
            ranks=alone,
            say=lambda _: None,
            search=None,
        )
    key = "validation_1-AUROC"
    return [round(1 - line[key], 3) for line in trained.networks[0].log if key in line]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder / "planted.tsv")
        for number, (name, encoder) in enumerate(ENCODERS.items()):
            clock = time.process_time()
            found = measured(folder / "planted.tsv", encoder, folder / str(number))
            print(f"{name:<24} {found}  {time.process_time() - clock:.0f} s", flush=True)


if __name__ == "__main__":
    main()
