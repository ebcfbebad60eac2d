"""Encoders of equal parameters on masked letters after equal seconds of one core.

Every arm has about a hundred thousand parameters, the windows and masks of one recipe, and three
learning rates. A step of every arm is timed turn by turn in one process; then each arm trains for
as many steps as the seconds hold, so that other work on the machine favours none. The rate is
chosen on the validation contigs, and the bits beside it are those of the test contigs. Run by
``python benchmarks/encoders.py --seconds 120 --save``; with ``--save`` every run that is done is in
results/encoders.json, and the same command goes on where it was stopped. ``--saved`` prints that
file's table.

The trap: the Hyena form is causal, it reads the left side of a hidden letter alone.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import measure
import numpy as np
import peers
import torch
from torch import Tensor, nn
from torch.nn import functional
from trained import Short

from orchid_genomics.data.corpus import Corpus
from orchid_genomics.data.loader import batches
from orchid_genomics.evaluate.held_out import HeldOut, hide_letters
from orchid_genomics.evaluate.masked_letters import masked_bits
from orchid_genomics.files import atomic_file
from orchid_genomics.model.filters import StaticRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.recipe import load
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.pretraining import PretrainRecipe
from orchid_genomics.train import distributed
from orchid_genomics.train import optimizer as adamw
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe

RECIPE = measure.HERE.parent / "recipes" / "yeast" / "quick.toml"
FILE = measure.RESULTS / "encoders.json"
WARM = 0.05
"""Share of the steps in which the rate rises."""


class Dilated(nn.Module):
    """Linear, taps `dilation` letters apart, GELU, Linear: one filter a channel, (B, L, D)."""

    def __init__(self, width: int, dilation: int, taps: int = 9) -> None:
        super().__init__()
        self.inside, self.outside = nn.Linear(width, width), nn.Linear(width, width)
        self.taps = nn.Conv1d(width, width, taps, padding="same", dilation=dilation, groups=width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        y_BDL = self.taps(self.inside(x_BLD).transpose(1, 2))
        return self.outside(functional.gelu(y_BDL.transpose(1, 2), approximate="tanh"))


class FullDilated(nn.Module):
    """One full convolution whose taps stand `dilation` letters apart, then GELU, (B, L, D)."""

    def __init__(self, width: int, dilation: int, taps: int = 9) -> None:
        super().__init__()
        self.taps = nn.Conv1d(width, width, taps, padding="same", dilation=dilation)

    def forward(self, x_BLD: Tensor) -> Tensor:
        y_BDL = self.taps(x_BLD.transpose(1, 2))
        return functional.gelu(y_BDL.transpose(1, 2), approximate="tanh")


class Peer(nn.Module):
    """A peer of `peers.py` with mixers of its own, as the evaluation reads a model."""

    def __init__(self, width: int, mixers: list[nn.Module]) -> None:
        super().__init__()
        self.net = peers._Peer(width, mixers, DNA.size)

    def encode(self, tokens_BL: Tensor) -> Tensor:
        return self.net(tokens_BL)


def attention(width: int, heads: int, taps: int) -> nn.Module:
    """Attention with rotary positions and short taps on its queries, keys and values."""
    mixer = peers.Attention(width, heads)
    mixer.inside = nn.Sequential(mixer.inside, Short(3 * width, taps))
    return mixer


def orchid(depth: int = 4, **shape: Any) -> nn.Module:
    encoder = OrchidRecipe(width=64, depth=depth, **shape)
    return OrchidModel(ModelRecipe(encoder=encoder, head=LettersRecipe()))


def dilated(mixer: Callable[[int, int], nn.Module], width: int) -> nn.Module:
    """Six layers, of which each reaches twice as far as the one before."""
    return Peer(width, [mixer(width, 1 << layer) for layer in range(6)])


class Arm(NamedTuple):
    """A model to train, the rates to try, and whether it needs both strands shown."""

    build: Callable[[], nn.Module]
    rates: tuple[float, ...]
    dense: bool = True


OURS = 3e-3, 6e-3, 1.2e-2
THEIRS = 1.5e-3, 3e-3, 6e-3
ARMS: Mapping[str, Arm] = {
    "orchid": Arm(orchid, OURS, dense=False),
    "orchid, stem of 15": Arm(partial(orchid, stem=15), OURS, dense=False),
    "orchid, full convolutions": Arm(
        partial(orchid, depth=1, convolutions=(1, 2, 4)), OURS, dense=False
    ),
    "orchid, static filters": Arm(partial(orchid, filter=StaticRecipe()), OURS, dense=False),
    "depthwise dilated": Arm(partial(dilated, Dilated, 40), THEIRS),
    "full dilated": Arm(partial(dilated, FullDilated, 32), THEIRS),
    "transformer, rotary, short taps": Arm(
        lambda: Peer(44, [attention(44, 2, 3) for _ in range(4)]), THEIRS
    ),
    "Hyena form": Arm(lambda: Peer(34, [peers.HyenaOperator(34) for _ in range(4)]), THEIRS),
}


class Letters:
    """The windows and the hidden letters that all arms share."""

    def __init__(self, path: Path, windows: int) -> None:
        self.recipe = load(path, PretrainRecipe)
        self.windows, self.ranks = windows, distributed.start("cpu")
        corpora = {}
        for strands in ("forward", "both"):
            data = self.recipe.data.model_copy(update={"strands": strands})
            corpora[strands] = Corpus(self.recipe.genomes, data)
        self.corpora = corpora
        share = self.recipe.evaluation.share
        self.held_out = {
            split: hide_letters(corpora["forward"], split, 0, share)
            for split in ("validation", "test")
        }

    def bits(self, model: nn.Module) -> dict[str, float]:
        """Mean bits at the hidden letters of evenly spaced windows of both splits."""
        model.eval()
        means = {}
        for split, pieces in self.held_out.items():
            means[split] = self._mean(model, pieces)
        return means

    def _mean(self, model: Any, pieces: list[HeldOut]) -> float:
        length = self.recipe.length
        rows = masked_bits(model, pieces, length, batch=16, ranks=self.ranks, most=self.windows)
        return float(np.nanmean(np.concatenate(rows)))


def train(model: Any, letters: Letters, rate: float, steps: int, dense: bool) -> None:
    """Train for so many steps, as `pretrain` does."""
    recipe = letters.recipe
    rows = range(recipe.training.batch)
    sampler = letters.corpora["both" if dense else "forward"].training(recipe.length, len(rows))
    objective = MaskedLetters(MaskedRecipe(), DNA)
    schedule = OptimizerRecipe(rate=rate, warmup=round(WARM * steps))
    optimizer = decay_matrices(model, rate) if dense else adamw.build(model, schedule)
    model.train()
    for batch in batches(sampler, 0, 0, steps, rows):
        tokens_BL = torch.from_numpy(batch.tokens_BL)
        example = objective.hide(tokens_BL, 0, batch.step, torch.tensor(rows))
        loss = objective.loss(model.encode(example.shown_BL), example)
        (loss / example.weights_BL.sum().clamp(min=1e-9)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        for group in optimizer.param_groups:
            group["lr"] = adamw.rate(batch.step, steps, schedule)
        optimizer.step()
        optimizer.zero_grad()


def decay_matrices(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW as ours has it, for a model of torch's own layers."""
    groups: list[dict[str, Any]] = []
    for decays in (True, False):
        chosen = [p for p in model.parameters() if (p.dim() > 1) == decays]
        groups.append({"params": chosen, "weight_decay": 0.1 if decays else 0.0})
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def seconds_a_step(letters: Letters, repeats: int) -> dict[str, float]:
    """CPU seconds of a forward and backward pass of every arm, the median of rounds in turn."""
    shape = letters.recipe.training.batch, letters.recipe.length
    tokens_BL = torch.randint(0, DNA.count, shape).to(torch.uint8)
    models = {name: arm.build() for name, arm in ARMS.items()}
    rounds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeats + 1):
        for name, model in models.items():
            begun = time.process_time()
            model.encode(tokens_BL).square().mean().backward()
            rounds[name].append(time.process_time() - begun)
    # The first round plans transforms and warms caches.
    return {name: statistics.median(seconds[1:]) for name, seconds in rounds.items()}


def run(name: str, rate: float, letters: Letters, steps: int) -> dict[str, Any]:
    """Train one arm at one rate, and measure it."""
    arm = ARMS[name]
    torch.manual_seed(0)
    model = arm.build()
    train(model, letters, rate, steps, arm.dense)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    values = {"arm": name, "rate": rate, "parameters": parameters, "steps": steps}
    return {**values, **letters.bits(model)}


def saved() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def keep(values: dict[str, Any]) -> None:
    FILE.parent.mkdir(exist_ok=True)
    with atomic_file(FILE) as part:
        part.write_text(json.dumps(values, indent=1) + "\n")


def table(values: dict[str, Any]) -> str:
    """An arm a line: its best rate on validation, and the bits of all."""
    lines = []
    for name in ARMS:
        mine = [each for each in values["runs"] if each["arm"] == name]
        if not mine:
            continue
        mine.sort(key=lambda each: each["rate"])
        best = min(mine, key=lambda each: each["validation"])
        each_rate = ", ".join(f"{each['rate']:g}: {each['validation']:.4f}" for each in mine)
        figures = [f"{best['parameters']:,}", f"{1000 * values['seconds a step'][name]:.0f}"]
        figures += [f"{best['steps']:,}", f"{best['rate']:g}"]
        bits = [f"{best['validation']:.4f}", f"{best['test']:.4f}"]
        lines.append([name, *figures, *bits, each_rate])
    head = ["encoder", "parameters", "ms a step", "steps", "rate", "validation", "test", "by rate"]
    return measure.table(head, lines)


def rounds(arms: list[str], rates: list[float] | None) -> list[tuple[str, float]]:
    """Every arm at its middle rate, then the others: what is stopped half-way compares as well."""
    order = []
    for number in range(len(rates)) if rates else (1, 0, 2):
        order += [(name, (rates or ARMS[name].rates)[number]) for name in arms]
    return order


def begin(chosen: argparse.Namespace, letters: Letters) -> dict[str, Any]:
    """What the file holds of a run with these seconds, or the start of one."""
    values = saved() if chosen.save else {}
    if values.get("seconds") != chosen.seconds:
        values = {"machine": measure.machine(), "seconds": chosen.seconds, "runs": []}
        values["seconds a step"] = seconds_a_step(letters, chosen.rounds)
    return values


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=float, default=20, help="of one core, an arm and rate")
    options.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    options.add_argument("--rates", type=float, nargs="+", help="in place of each arm's three")
    options.add_argument("--rounds", type=int, default=5, help="in which steps are timed")
    options.add_argument("--windows", type=int, default=256, help="windows read for each split")
    options.add_argument("--recipe", type=Path, default=RECIPE)
    options.add_argument("--save", action="store_true", help="keep runs, and go on with those kept")
    options.add_argument("--saved", action="store_true", help="measure nothing: print the table")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    if chosen.saved:
        values = saved()
    else:
        letters = Letters(chosen.recipe, chosen.windows)
        values = begin(chosen, letters)
        done = {(each["arm"], each["rate"]) for each in values["runs"]}
        for name, rate in rounds(chosen.arms, chosen.rates):
            if (name, rate) in done:
                continue
            steps = round(chosen.seconds / values["seconds a step"][name])
            values["runs"].append(run(name, rate, letters, steps))
            print(values["runs"][-1], flush=True)
            if chosen.save:
                keep(values)
    print(f"\n{values['machine']}; {values['seconds']:g} s of one core an arm and rate\n")
    print(table(values))


if __name__ == "__main__":
    main()
