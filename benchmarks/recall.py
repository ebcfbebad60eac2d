"""A transformer on associative recall: the same sequences, objective, loop and table as the recipe that is named.

Run by ``python benchmarks/recall.py recipes/recall/128.toml [KEY=VALUE ...]``; writes nothing. The peer (attention
over the whole window by torch's scaled_dot_product_attention, rotary positions) has the recipe's width and depth.
"""

import sys
import tempfile
from pathlib import Path

import torch
from peers import Transformer
from torch import Tensor, nn

from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import stages_of
from orchid_genomics.train import ranks as processes
from orchid_genomics.train.fit import Fit
from orchid_genomics.train.objectives import OBJECTIVES
from orchid_genomics.train.progress import clock
from orchid_genomics.train.run import BEST, Run
from orchid_genomics.train.sources import RecallRunRecipe, opened


class Peer(nn.Module):
    """What the loop expects of a model: an `encoder` that is prepared, and `encode`."""

    def __init__(self, recipe: RecallRunRecipe, symbols: int, codes: int) -> None:
        super().__init__()
        self.encoder = Encoder(recipe.model.width, recipe.model.depth, codes)
        self.encoder.head = nn.Linear(recipe.model.width, symbols)

    def encode(self, tokens_BL: Tensor) -> Tensor:
        return self.encoder(tokens_BL)


class Encoder(Transformer):
    """The peer; it keeps its activations and its precision."""

    def prepare(self, checkpointing: bool, activations: torch.dtype) -> None:
        if checkpointing:
            raise SystemExit("the peer keeps its activations; training.checkpointing=false")


def main(path: str, *overrides: str) -> None:
    recipe = load(path, RecallRunRecipe, overrides)
    ranks = processes.start(recipe.training.device)
    source = opened(recipe)
    torch.manual_seed(recipe.seed)
    model = Peer(recipe, source.alphabet.count, source.alphabet.size)
    length = recipe.stages()[-1].length
    objective = OBJECTIVES[recipe.objective.kind](recipe.objective, source.alphabet)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run", recipe, resume=False).begin()
        check = source.validation(model, length, ranks)
        stages = stages_of(recipe, source, ranks)
        fit = Fit(model, objective, stages, recipe.training, recipe.optimizer, recipe.seed, run, ranks, check)
        progress = fit.run()
        model.load_state_dict(run.load(BEST, ranks.device)["model"])
    for protocol in source.evaluate(model, length, ranks, print):
        print(protocol.text())
    parameters = sum(p.numel() for p in model.parameters())
    print(f"transformer, {parameters:,} parameters, {progress.step:,} steps, {clock(progress.seconds)} of training")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
