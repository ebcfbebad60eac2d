"""A transformer on associative recall: the same sequences, objective, loop and table as the recipe
that is named.

Run by ``python benchmarks/recall.py recipes/recall/128.toml [heads=H] [short=3] [KEY=VALUE ...]``;
writes nothing. The peer (attention over the whole window by torch's scaled_dot_product_attention,
rotary positions) has the recipe's width and depth; heads of 32 channels unless told, a short
convolution if told.
"""

import sys

from trained import measured, split

from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretraining import RecallRunRecipe


def main(path: str, *words: str) -> None:
    options, overrides = split(words)
    _, protocols, said = measured(load(path, RecallRunRecipe, overrides), "transformer", **options)
    for protocol in protocols:
        print(protocol.text())
    print(said)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
