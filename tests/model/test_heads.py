"""Laws of the heads: both strands, rows, padding, units; and recipes that make no sense are
refused.
"""

import pytest
import torch
from pydantic import ValidationError

from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import HEADS, PooledRecipe, TracksRecipe, answers
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.pooling import Maxima
from orchid_genomics.sequence import DNA

POOLS = ["mean", "center", "attention"]
READS = {  # beside the pool
    "mean": {},
    "center": {},
    "attention": {},
    "maxima": {"pool": "attention", "maxima": ("residual", "stem")},
    "stretches": {"pool": "center", "maxima": ("residual", "stem"), "stretches": 7},
    "middles": {"pool": "attention", "maxima": ("residual", "stem"), "middles": 2},
}
CLASSES = {
    "binary": ("no", "yes"),
    "multiclass": ("decoy", "donor", "acceptor"),
    "multilabel": ("CTCF", "JUND"),
    "regression": ("expression",),
}


def model(head, dtype=torch.float64, **shape) -> OrchidModel:
    """Every parameter moved off its start: what starts at 0 or 1 would hide a fault."""
    torch.manual_seed(3)
    made = OrchidModel(
        ModelRecipe(encoder=OrchidRecipe(**{"width": 12, "depth": 2, **shape}), head=head)
    ).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made.eval()


def pooled(pool="mean", strand="both", task="multilabel") -> PooledRecipe:
    """`pool`: one of `READS`."""
    reads = {"pool": pool, **READS[pool]}
    return PooledRecipe(task=task, labels=CLASSES[task], strand=strand, queries=3, **reads)


def pooled_model(pool="mean", strand="both", dtype=torch.float64, **shape) -> OrchidModel:
    """With a stem where the head reads one."""
    stem = 5 if READS[pool] else 0
    return model(pooled(pool, strand), dtype, **{"stem": stem, **shape})


def letters(L: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(
        0, 5, (L,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def other_strand(tokens: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(DNA.reverse_complement(tokens.numpy()).copy())


def padded(rows: list[torch.Tensor], length: int) -> torch.Tensor:
    out = torch.full((len(rows), length), DNA.pad, dtype=torch.uint8)
    for row, tokens in enumerate(rows):
        out[row, : len(tokens)] = tokens
    return out


@pytest.mark.parametrize("pool", READS)
@pytest.mark.parametrize("L", [5, 32, 47, 60])
def test_a_head_of_both_strands_answers_the_same_for_the_other(pool, L):
    ours = pooled_model(pool)
    row = letters(L)[None]
    torch.testing.assert_close(ours(other_strand(row)), ours(row), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.encode(other_strand(row)), ours.encode(row), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", READS)
def test_a_forward_head_reads_its_own_strand(pool):
    ours = pooled_model(pool, "forward")
    row = letters(60)[None]
    assert (ours(other_strand(row)) - ours(row)).abs().min() > 1e-3


@pytest.mark.parametrize("pool", READS)
@pytest.mark.parametrize("strand", ["both", "forward"])
def test_padding_never_moves_an_answer(pool, strand):
    ours = pooled_model(pool, strand, torch.float32)
    rows = [letters(L, seed) for seed, L in enumerate([47, 60, 51, 130, 60])]
    together = ours(padded(rows, 200))
    for row, tokens in enumerate(rows):
        assert torch.equal(ours(tokens[None])[0], together[row]), (
            "a row alone equals the row in any batch, bit for bit"
        )
        assert torch.equal(ours(padded([tokens], 131))[0], together[row])


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_is_what_it_says_by_hand(pool):
    head = HEADS["pooled"](pooled(pool), OrchidRecipe(width=12)).double()
    x = torch.randn(1, 8, 12, dtype=torch.float64)
    even = x[0, :5, :6]  # five letters, three of padding
    if pool == "mean":
        vector = even.mean(0)
    elif pool == "center":
        vector = even[2]
    else:
        vector = torch.cat([(even @ query).softmax(0) @ even for query in head.pool.query])
    mask = torch.tensor([[1.0] * 5 + [0.0] * 3], dtype=torch.float64)
    torch.testing.assert_close(head(x, mask)[0], head.weight @ vector + head.bias)


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("count", [1, 3])
def test_maxima_are_what_they_say_by_hand(strand, strands, count):
    ours = pooled_model("maxima", strand, strands=strands).head
    maxima = Maxima(ours.halves, strand == "both" and ours.halves == 2, count)
    x = torch.randn(1, 12, 12, dtype=torch.float64)
    mask = (torch.arange(12) < 9).double()[None]
    stretches = x[0, :, :9].unflatten(1, (count, -1)).amax(2)
    if strand == "both" and strands == "equivariant":
        # From the other end a pair's second channel is its first.
        stretches = torch.maximum(stretches[:6], stretches[6:].flip(1))
    assert torch.equal(maxima(x, mask)[0], stretches.flatten())


def test_stretches_that_do_not_divide_share_letters_and_rows_may_be_shorter_than_they_are_many():
    maxima = Maxima(1, both=False, count=4)
    x = torch.tensor([[[5.0, 1.0, 2.0, 3.0, 9.0, 0.0, 0.0, 0.0]]]).expand(2, 1, 8)
    mask = torch.tensor([[1.0] * 5 + [0.0] * 3, [1.0] * 2 + [0.0] * 6])
    assert maxima(x, mask).tolist() == [[5.0, 2.0, 3.0, 9.0], [5.0, 5.0, 1.0, 1.0]]


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("letters", [16, 11, 5])
def test_middles_are_parts_about_the_middle_one_within_the_other(strand, letters):
    ours = pooled_model("maxima", strand).head
    maxima = Maxima(ours.halves, strand == "both", middles=2)
    x = torch.randn(1, 12, 16, dtype=torch.float64)
    mask = (torch.arange(16) < letters).double()[None]
    both = torch.maximum(x[0, :6], x[0, 6:]) if strand == "both" else x[0]
    cuts = [letters * share // 8 for share in (3, 2, 0)]
    parts = torch.stack([both[:, cut : letters - cut].amax(1) for cut in cuts], 1)
    assert torch.equal(maxima(x, mask)[0], parts.flatten())
    assert maxima.width(12) == parts.numel()


@pytest.mark.parametrize("reads", ["stretches", "middles"])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_gradients_through_maxima_are_those_of_differences(strands, reads):
    ours = pooled_model(reads, strands=strands, width=4, depth=1)
    row = ours.encoder.one_hot(letters(12)[None]).requires_grad_()

    def answer(letters_BVL):
        encoding = ours.encoder.encoding(letters_BVL)
        return ours.head(encoding.vectors_BLD, None, encoding)

    assert torch.autograd.gradcheck(answer, (row,), atol=1e-6)


def test_maxima_of_a_stem_need_one():
    with pytest.raises(RecipeError, match=r"head\.maxima: reads a stem, and the encoder has none"):
        model(pooled("maxima"))


@pytest.mark.parametrize("swap", [(), (1, 0, 2)], ids=["each itself", "plus and minus"])
@pytest.mark.parametrize("bin", [1, 4])
def test_tracks_of_the_other_strand_are_reversed_and_swapped(swap, bin):
    ours = model(TracksRecipe(labels=("plus", "minus", "both"), bin=bin, other=swap))
    row = letters(60)[None]
    order = list(swap or range(3))
    torch.testing.assert_close(
        ours(other_strand(row)), ours(row).flip(1)[..., order], rtol=0, atol=1e-12
    )
    assert ours(row).shape == (1, 60 // bin, 3)


def test_forward_tracks_hold_no_such_law_and_padding_gets_none():
    ours = model(TracksRecipe(strand="forward", bin=4))
    row = letters(58)[None]
    assert (ours(other_strand(row)) - ours(row).flip(1)).abs().max() > 1e-3
    long = ours(padded([letters(58)], 80))
    torch.testing.assert_close(long[:, :14], ours(row), rtol=0, atol=1e-12)
    assert torch.equal(long[:, 15:], torch.zeros_like(long[:, 15:]))


def test_numbers_leave_a_head_in_the_labels_own_units():
    ours = model(pooled(task="regression"))
    before = ours(letters(40)[None])
    ours.head.shift.fill_(10.0)
    ours.head.scale.fill_(2.0)
    torch.testing.assert_close(ours(letters(40)[None]), before * 2 + 10)


@pytest.mark.parametrize("task", CLASSES)
def test_what_outputs_say(task):
    recipe = pooled(task=task)
    outputs = torch.randn(7, recipe.outputs)
    found = answers(recipe, outputs)
    if task == "regression":
        assert torch.equal(found, outputs)
    else:
        assert bool(((found > 0) & (found < 1)).all())
    if task == "multiclass":
        torch.testing.assert_close(found.sum(1), torch.ones(7))


@pytest.mark.parametrize(
    "head", [pooled("attention"), pooled(task="regression"), TracksRecipe(bin=2)], ids=str
)
def test_a_model_with_a_head_comes_back_the_same(tmp_path, head):
    ours = model(head, dtype=torch.float32)
    if head.task == "regression":
        ours.head.scale.fill_(3.0)
    ours.save_pretrained(tmp_path / "model")
    again = OrchidModel.from_pretrained(tmp_path / "model")
    assert torch.equal(again(letters(40)[None]), ours(letters(40)[None]))
    assert again.recipe == ours.recipe


def test_a_row_without_a_letter_is_refused():
    with pytest.raises(
        InputError, match="tokens: 1 rows have no letter; at least one letter a row"
    ):
        model(pooled())(padded([letters(40), letters(0)], 40))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PooledRecipe(labels=("a",)), "binary needs exactly 2 labels, found 1"),
        (
            lambda: PooledRecipe(task="multiclass", labels=("a", "b")),
            "multiclass needs 3 or more labels, found 2",
        ),
        (
            lambda: TracksRecipe(labels=("a", "b", "c"), other=(1, 2, 0)),
            "does not pair the 3 tracks",
        ),
        (lambda: TracksRecipe(labels=("a", "b"), other=(0,)), "does not pair the 2 tracks"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValidationError, match=message):
        make()
