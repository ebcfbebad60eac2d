"""Handwritten digits as sequences of 64 letters: Orchid beside vision transformers of the same and
of twice the parameters.

scikit-learn's digits are 8 x 8 pixels of 17 levels, which is the alphabet `symbols:17` in 64
letters, row after row. Run by ``python recipes/digits/digits.py``: each model's rate is chosen on
validation images with the first seed; then every seed trains it anew, for equal epochs, and the
test images are read. The trap: five seeds share one split, so their spread says how much training
varies, not how much other images would.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from orchid_genomics.model.filters import CorrelationRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.train import optimizer as adamw
from orchid_genomics.train.optimizer import OptimizerRecipe

SIDE = 8
LEVELS = 17
CLASSES = tuple("0123456789")
BATCH = 32
RATES = 1.5e-3, 3e-3, 6e-3


class Images(NamedTuple):
    """Levels (N, 64) uint8 and classes (N,)."""

    levels: Tensor
    classes: Tensor


class VisionTransformer(nn.Module):
    """Patches of 2 x 2 pixels, learned positions, pre-norm layers, the mean over patches.

    Parameters
    ----------
    width : int
        Channels, a multiple of 4 for its heads.
    depth : int
        Layers.
    patch : int
        Pixels of a patch's side.
    """

    def __init__(self, width: int, depth: int = 2, patch: int = 2) -> None:
        super().__init__()
        self.patch = patch
        self.inside = nn.Linear(patch * patch, width)
        self.place = nn.Parameter(torch.randn((SIDE // patch) ** 2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            4,
            dim_feedforward=2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        # A nested tensor is for padding, of which there is none.
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(CLASSES))

    def forward(self, levels_BL: Tensor) -> Tensor:
        """Logits (B, 10) of levels (B, 64)."""
        pixels = levels_BL.float().reshape(-1, 1, SIDE, SIDE) / (LEVELS - 1)
        patches_BPE = functional.unfold(pixels, self.patch, stride=self.patch).transpose(1, 2)
        return self.head(self.norm(self.layers(self.inside(patches_BPE) + self.place)).mean(1))


def orchid(width: int = 32, depth: int = 2) -> nn.Module:
    """An encoder of 64 letters with a pooled head."""
    encoder = OrchidRecipe(
        alphabet=f"symbols:{LEVELS}",
        width=width,
        depth=depth,
        strands="dense",
        filter=CorrelationRecipe(longest=float(SIDE * SIDE)),
        short_spread=0.5,
    )
    # Maxima of every row of pixels: attention alone does not know where on the page it reads.
    head = PooledRecipe(
        task="multiclass",
        labels=CLASSES,
        pool="attention",
        strand="forward",
        maxima=("residual",),
        stretches=SIDE,
    )
    return OrchidModel(ModelRecipe(encoder=encoder, head=head))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def width_for(count: int) -> int:
    """The width of a vision transformer of about so many parameters."""
    return min(
        range(8, 128, 4), key=lambda width: abs(parameters(VisionTransformer(width)) - count)
    )


def models() -> dict[str, Callable[[], nn.Module]]:
    """What is compared, by name."""
    own = parameters(orchid())
    same, twice = width_for(own), width_for(2 * own)
    return {
        "Orchid": orchid,
        "ViT, the same parameters": lambda: VisionTransformer(same),
        "ViT, twice the parameters": lambda: VisionTransformer(twice),
    }


def split_images() -> dict[str, Images]:
    """Training, validation and test images; the same whatever the seed."""
    data, target = load_digits(return_X_y=True)
    rest, test, rest_y, test_y = train_test_split(
        data, target, test_size=0.3, stratify=target, random_state=0
    )
    train, validation, train_y, validation_y = train_test_split(
        rest, rest_y, test_size=0.2, stratify=rest_y, random_state=0
    )
    parts = {
        "train": (train, train_y),
        "validation": (validation, validation_y),
        "test": (test, test_y),
    }
    return {
        name: Images(torch.tensor(levels).to(torch.uint8), torch.tensor(classes).long())
        for name, (levels, classes) in parts.items()
    }


def train(model: nn.Module, images: Images, rate: float, epochs: int, seed: int) -> None:
    """AdamW with warm-up and a cosine over equal epochs, all images once an epoch."""
    size = len(images.classes)
    steps = epochs * math.ceil(size / BATCH)
    recipe = OptimizerRecipe(rate=rate, warmup=min(50, steps // 4))
    optimizer = adamw.build(model, recipe)
    if not isinstance(model, OrchidModel):
        matrices = [each for each in model.parameters() if each.dim() > 1]
        others = [each for each in model.parameters() if each.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2))
    generator = torch.Generator().manual_seed(seed)
    model.train()
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(size, generator=generator).split(BATCH):
            loss = functional.cross_entropy(model(images.levels[rows]), images.classes[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for group in optimizer.param_groups:
                group["lr"] = adamw.rate(step, steps, recipe)
            optimizer.step()
            optimizer.zero_grad()
            step += 1


@torch.inference_mode()
def score(model: nn.Module, images: Images) -> tuple[float, float]:
    """Share of right answers, and nats an image."""
    model.eval()
    logits = model(images.levels)
    right = (logits.argmax(1) == images.classes).float().mean()
    return float(right), float(functional.cross_entropy(logits, images.classes))


def fit(
    build: Callable[[], nn.Module], parts: dict[str, Images], rate: float, epochs: int, seed: int
) -> dict[str, Any]:
    """One training, and what it came to."""
    torch.manual_seed(seed)
    model = build()
    begun = time.process_time()
    train(model, parts["train"], rate, epochs, seed)
    seconds = time.process_time() - begun
    values = {"seed": seed, "rate": rate, "seconds": seconds, "parameters": parameters(model)}
    for name in ("validation", "test"):
        values[name], values[f"{name}_nats"] = score(model, parts[name])
    return values


def compare(
    parts: dict[str, Images], epochs: int, seeds: int, rates: Sequence[float]
) -> dict[str, list[dict[str, Any]]]:
    """Every model: its rate by validation nats with seed 0, then all seeds."""
    runs = {}
    for name, build in models().items():
        tried = [fit(build, parts, rate, epochs, 0) for rate in rates]
        best = min(tried, key=lambda values: values["validation_nats"])
        others = [fit(build, parts, best["rate"], epochs, seed) for seed in range(1, seeds)]
        runs[name] = [best, *others]
        print(line(name, runs[name]), flush=True)
    return runs


def line(name: str, runs: Sequence[dict[str, Any]]) -> str:
    """A row of the table."""
    right = [values["test"] for values in runs]
    spread = statistics.stdev(right) if len(right) > 1 else 0.0
    middle = statistics.median(right)
    each = " ".join(f"{value:.4f}" for value in right)
    seconds = statistics.median(values["seconds"] for values in runs)
    return (
        f"| {name} | {runs[0]['parameters']:,} | {runs[0]['rate']:g} |"
        f" {statistics.fmean(right):.4f} ({spread:.4f}) | {middle:.4f} | {each} | {seconds:.0f} |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--rates", type=float, nargs="+", default=RATES)
    options.add_argument("-o", "--out", type=Path, help="also write every run there (JSON)")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    columns = (
        "model",
        "parameters",
        "rate",
        "right on test, mean (sd)",
        "median",
        "seeds",
        "seconds",
    )
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    runs = compare(split_images(), chosen.epochs, chosen.seeds, chosen.rates)
    if chosen.out:
        chosen.out.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
