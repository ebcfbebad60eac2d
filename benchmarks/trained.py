"""Peers trained as our own models are: a recipe's sequences, objective, loop and tables, with another model in it.

The trap: `Hyena` is causal. It is trained on the same masked letters, of which it reads the left side alone; its gain
is taken against its own control, with the first copy to the left of the second, where it can read it.
"""

import tempfile
from pathlib import Path

import torch
from peers import Hyena, Transformer
from torch import Tensor, nn

from orchid_genomics.tasks.pretrain import RunRecipe, stages_of
from orchid_genomics.train import ranks as processes
from orchid_genomics.train.fit import Fit
from orchid_genomics.train.objectives import OBJECTIVES
from orchid_genomics.train.progress import clock
from orchid_genomics.train.report import Protocol
from orchid_genomics.train.run import BEST, Run
from orchid_genomics.train.sources import opened

PEERS = {"transformer": Transformer, "hyena": Hyena}


class Encoder(nn.Module):
    """A peer whose last layer gives logits over the recipe's alphabet; it keeps its activations and its precision."""

    def __init__(self, kind: str, recipe: RunRecipe, letters: int, codes: int, **options: int) -> None:
        super().__init__()
        self.peer = PEERS[kind](recipe.model.width, recipe.model.depth, codes, **options)
        self.peer.head = nn.Linear(recipe.model.width, letters)

    def prepare(self, checkpointing: bool, activations: torch.dtype) -> None:
        if checkpointing:
            raise SystemExit("a peer keeps its activations; training.checkpointing=false")


class Peer(nn.Module):
    """What the loop expects of a model: an `encoder` that is prepared, and `encode`."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def encode(self, tokens_BL: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        if mask_BL is not None:
            raise SystemExit("a peer reads rows of one length")
        return self.encoder.peer(tokens_BL)


def measured(recipe: RunRecipe, kind: str, **options: int) -> tuple[nn.Module, list[Protocol], str]:
    """Train a peer by a recipe, keep what was best on validation, and measure it; writes nothing."""
    ranks = processes.start(recipe.training.device)
    source = opened(recipe)
    torch.manual_seed(recipe.seed)
    model = Peer(Encoder(kind, recipe, source.alphabet.count, source.alphabet.size, **options))
    length = recipe.stages()[-1].length
    objective = OBJECTIVES[recipe.objective.kind](recipe.objective, source.alphabet)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run", recipe, resume=False).begin()
        check = source.validation(model, length, ranks)
        stages = stages_of(recipe, source, ranks)
        fit = Fit(model, objective, stages, recipe.training, recipe.optimizer, recipe.seed, run, ranks, check)
        progress = fit.run()
        model.load_state_dict(run.load(BEST, ranks.device)["model"])
    parameters = sum(p.numel() for p in model.parameters())
    said = f"{kind}, {parameters:,} parameters, {progress.step:,} steps, {clock(progress.seconds)} of training"
    return model, source.evaluate(model, length, ranks, print), said
