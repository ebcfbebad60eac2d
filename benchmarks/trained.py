"""Peers trained as our own models are: a recipe's sequences, objective, loop and tables, with
another model in it.

A transformer has no short convolution, so to see the letter before costs it a layer; `short=3`
gives it one on its queries, keys and values, as the other two have. The trap: `Hyena` is causal. It
is trained on the same masked letters, of which it reads the left side alone; its gain is taken
against its own control, with the first copy to the left of the second, where it can read it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from peers import Hyena, Transformer
from torch import Tensor, nn

from orchid_genomics.evaluate.score_table import ScoreTable
from orchid_genomics.tasks.pretrain import fit_of, stages_of
from orchid_genomics.tasks.pretraining import RunRecipe, open_source
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed as processes
from orchid_genomics.train.loop import Progress
from orchid_genomics.train.run import BEST, Run

PEERS = {"transformer": Transformer, "hyena": Hyena}
OPTIONS = "heads", "short"


class Short(nn.Module):
    """Depthwise taps over the letter and those beside it, begun around identity."""

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.taps = nn.Conv1d(channels, channels, taps, padding="same", groups=channels)
        with torch.no_grad():
            self.taps.weight[:, :, taps // 2] += 1.0

    def forward(self, x_BLD: Tensor) -> Tensor:
        return self.taps(x_BLD.transpose(1, 2)).transpose(1, 2)


class Encoder(nn.Module):
    """A peer whose last layer gives logits over the recipe's alphabet; it keeps its activations and
    its precision.
    """

    def __init__(
        self, kind: str, recipe: RunRecipe, letters: int, codes: int, short: int = 0, **options: int
    ) -> None:
        super().__init__()
        self.peer = PEERS[kind](recipe.model.width, recipe.model.depth, codes, **options)
        for layer in self.peer.layers if short else ():
            layer.mixer.inside = nn.Sequential(
                layer.mixer.inside, Short(3 * recipe.model.width, short)
            )
        self.peer.head = nn.Linear(recipe.model.width, letters)

    def prepare(self, checkpointing: bool, activations: torch.dtype, shards: object = None) -> None:
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


def split(words: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """The words KEY=VALUE of a peer's own options, and the rest: what changes the recipe."""
    pairs = [word.partition("=") for word in words]
    own = {name: int(value) for name, _, value in pairs if name in OPTIONS}
    return own, [
        word for word, (name, _, _) in zip(words, pairs, strict=True) if name not in OPTIONS
    ]


def peer(recipe: RunRecipe, kind: str, **options: int) -> Peer:
    """An untrained peer of a recipe's width, depth, alphabet and seed."""
    alphabet = open_source(recipe).alphabet
    torch.manual_seed(recipe.seed)
    return Peer(Encoder(kind, recipe, alphabet.count, alphabet.size, **options))


def train(recipe: RunRecipe, model: nn.Module) -> Progress:
    """Train a model, ours or a peer, by a recipe; it is left as it was best on validation, and
    nothing is written.
    """
    ranks = processes.start(recipe.training.device)
    source, length = open_source(recipe), recipe.stages()[-1].length
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Path(scratch) / "run", recipe, resume=False).begin()
        check = source.validation(model, length, ranks)
        stages = stages_of(recipe, source, ranks)
        fit = fit_of(recipe, source, model, stages, run=run, ranks=ranks, validate=check)
        progress = fit.run()
        model.load_state_dict(run.load(BEST, ranks.device)["model"])
    return progress


def measured(
    recipe: RunRecipe, kind: str, **options: int
) -> tuple[nn.Module, list[ScoreTable], str]:
    """Train a peer by a recipe, keep what was best on validation, and measure it; writes
    nothing.
    """
    model = peer(recipe, kind, **options)
    progress = train(recipe, model)
    parameters = sum(p.numel() for p in model.parameters())
    said = (
        f"{kind}, {parameters:,} parameters, {progress.step:,} steps, {clock(progress.seconds)} of"
        " training"
    )
    ranks, length = processes.start(recipe.training.device), recipe.stages()[-1].length
    return model, open_source(recipe).evaluate(model, length, ranks, print), said
