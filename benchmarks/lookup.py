"""Lookup by other models, and a picture of all: the sequences, objective, loop and tables of a
recipe with copies.

Run by ``python benchmarks/lookup.py RECIPE MODEL OUT.json [KEY=VALUE ...]``: MODEL is hyena or
transformer (trained here, at the recipe's width and depth; short=3 gives the transformer a short
convolution) or a model folder (measured as it is); the tables are printed and written to OUT. Then
``python benchmarks/lookup.py draw OUT.png NAME=FILE.json ...`` draws the tables of several models.
"""

import json
import sys
from pathlib import Path

from trained import PEERS, measured, split

from orchid_genomics import draw
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
    picture(*sys.argv[2:]) if sys.argv[1] == "draw" else measure(*sys.argv[1:])
