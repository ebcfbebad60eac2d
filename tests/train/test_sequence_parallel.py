"""Ranks that share windows train as one device does: outputs, gradients and whole steps.

Four processes under gloo are started once; they share windows by four, and by two beside two.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from orchid_genomics.errors import RecipeError
from orchid_genomics.model.filters import CorrelationRecipe, MagnitudeRecipe, StaticRecipe
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.sequence_parallel import check_shards
from orchid_genomics.sequence import DNA
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks, share_windows
from orchid_genomics.train.loop import Fit, Stage, TrainingRecipe
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe
from orchid_genomics.train.optimizer import OptimizerRecipe

RANKS, LENGTH = 4, 96
SHAPES = {
    "correlation": OrchidRecipe(width=16, depth=2, stem=5, short_taps=5),
    "magnitude": OrchidRecipe(
        width=16, depth=1, strands="dense", filter=MagnitudeRecipe(frequency_taps=3)
    ),
    "static": OrchidRecipe(width=16, depth=1, filter=StaticRecipe()),
    "convolutions": OrchidRecipe(width=16, depth=1, convolutions=(1, 3), convolution_taps=5),
    "turned": OrchidRecipe(width=16, depth=1, filter=CorrelationRecipe(turned=0.3)),
}
CPU = torch.device("cpu")


def encoder_of(recipe):
    torch.manual_seed(0)
    encoder = Orchid(recipe).double().train()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def windows(rows=2):
    drawn = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 4, (rows, LENGTH), generator=drawn, dtype=torch.uint8)
    return tokens, torch.randn(rows, LENGTH, 16, generator=drawn, dtype=torch.float64)


def pass_both_ways(encoder, tokens, weights):
    """The vectors, and the gradients of a weighted sum of them."""
    vectors = encoder.encode(tokens)
    (vectors * weights).sum().backward()
    return vectors.detach(), [parameter.grad for parameter in encoder.parameters()]


class Sampler:
    """Rows that are a function of the step and the row alone."""

    def batch(self, seed, step, rows):
        drawn = [torch.Generator().manual_seed(1_000 * step + row) for row in rows]
        each = [torch.randint(0, 4, (LENGTH,), generator=g, dtype=torch.uint8) for g in drawn]
        return torch.stack(each).numpy()

    def places(self, seed, step, rows):
        return list(rows)


def train(ranks, accumulate=1, checkpointing=False):
    """The losses of four steps, and the weights after them."""
    torch.manual_seed(0)
    recipe = ModelRecipe(encoder=SHAPES["correlation"], head=LettersRecipe())
    model = OrchidModel(recipe).double()
    stage = Stage(LENGTH, 4, 4, accumulate, Sampler())
    training = TrainingRecipe(steps=4, batch=4, device="cpu", checkpointing=checkpointing)
    fit = Fit(
        model,
        MaskedLetters(MaskedRecipe(), DNA),
        [stage],
        recipe=training,
        optimizer=OptimizerRecipe(warmup=0),
        seed=0,
        run=SimpleNamespace(folder=None),
        ranks=ranks,
    )
    model.train()
    parts = stage.parts(ranks)
    losses = [fit.step(batch, parts)["loss"] for batch in stage.batches(0, 0, 4, parts)]
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return torch.tensor(losses, dtype=torch.float64), weights


def work(rank, folder):
    """One of the processes: what it gives is kept in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS
    )
    answers = {}
    for size in (2, 4):
        shards = share_windows(rank, RANKS, size)
        for name, recipe in SHAPES.items():
            encoder = encoder_of(recipe)
            encoder.prepare(False, torch.float32, shards)
            stretch = shards.stretch(LENGTH)
            tokens, weights = (each[:, stretch] for each in windows())
            vectors, gradients = pass_both_ways(encoder, tokens, weights)
            for gradient in gradients:
                dist.all_reduce(gradient, group=shards.group)
            answers[size, name] = vectors, gradients
        answers[size, "steps"] = train(Ranks(rank, RANKS, CPU, shards), checkpointing=size == 4)
        answers[size, "rows"] = Ranks(rank, RANKS, CPU, shards).rows(8, 1, 2)
    torch.save(answers, f"{folder}/{rank}.pt")
    dist.barrier()
    distributed.Ranks(rank, RANKS, CPU).close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each of the four processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (str(folder),), RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_outputs_and_gradients_are_those_of_one_device(answers, size, name):
    vectors, gradients = pass_both_ways(encoder_of(SHAPES[name]), *windows())
    for first in range(0, RANKS, size):
        mine = [answers[rank][size, name] for rank in range(first, first + size)]
        together = torch.cat([stretch for stretch, _ in mine], 1)
        assert torch.allclose(together, vectors, rtol=0, atol=1e-12)
        for one, expected in zip(mine[0][1], gradients, strict=True):
            assert torch.allclose(one, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("size", [2, 4])
def test_steps_are_those_of_one_device(answers, size):
    """Two groups of two read different rows, and four ranks the same, blocks computed again.

    The loss is of float32, so all of it is within the rounding of that.
    """
    losses, weights = train(Ranks(0, 1, CPU))
    for answer in answers:
        mine, own = answer[size, "steps"]
        assert torch.allclose(mine, losses, rtol=1e-5)
        assert torch.allclose(own, weights, rtol=0, atol=1e-6)


def test_ranks_that_share_windows_read_the_same_rows(answers):
    assert [list(answer[2, "rows"]) for answer in answers] == [[4, 5], [4, 5], [6, 7], [6, 7]]
    assert [list(answer[4, "rows"]) for answer in answers] == [[4, 5, 6, 7]] * 4


@pytest.mark.parametrize(
    ("shape", "lengths", "size", "words"),
    [
        ({"width": 24}, (96,), 8, "8 ranks do not divide 12 strand pairs of model.width 24"),
        ({"width": 12, "strands": "dense"}, (96,), 8, "8 ranks do not divide 12 channels"),
        ({"width": 16}, (96, 100), 8, "8 ranks do not divide windows of 100 nt"),
        ({"width": 64, "stem": 15}, (128,), 32, "4 nt a rank are fewer than taps reach"),
        (
            {"width": 16, "convolutions": (1, 8), "convolution_taps": 9},
            (96,),
            4,
            "24 nt a rank are fewer than taps reach",
        ),
        ({"filter": CorrelationRecipe(threshold=0.7)}, (96,), 2, "asks for a mean over all"),
        ({"filter": CorrelationRecipe(hash_length=9)}, (96,), 2, "asks for the k-mers"),
    ],
)
def test_what_ranks_cannot_share_is_one_line(shape, lengths, size, words):
    with pytest.raises(RecipeError, match=words) as raised:
        check_shards(OrchidRecipe(**shape), lengths, size)
    assert str(raised.value).startswith("training.sequence_ranks: ")
    check_shards(OrchidRecipe(**shape), lengths, 1)


def test_without_so_many_ranks_it_says_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "6")
    with pytest.raises(RecipeError, match="4 ranks a window, and 6 in all"):
        distributed.start("cpu", 4)
