"""DeepLIFT and integrated gradients sum to the difference on the yeast model that comes along; both
strands agree.
"""

from pathlib import Path

import pytest
import torch

from orchid_genomics.explain import OneHot, deeplift, integrated_gradients, one_hot, shuffles
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.sequence import DNA

YEAST = Path(__file__).parents[2] / "recipes" / "yeast"


@pytest.fixture(scope="module")
def trained():
    """The yeast model and 64 letters of a test chromosome."""
    tokens = Genome(YEAST / "sacCer3.fa.gz").tokens("chrVII", 100_000, 100_064)
    return OrchidModel.from_pretrained("yeast"), one_hot(tokens[None])


@pytest.mark.parametrize("target", ["pll", "T@center"])
@pytest.mark.parametrize("method", [deeplift, integrated_gradients])
def test_attributions_of_a_trained_model_sum_to_the_difference(trained, method, target):
    model, x = OneHot(trained[0], target), trained[1]
    references = shuffles(x, 1)
    found = method(model, x, references)
    with torch.no_grad():
        difference = (model(x) - model(references[:, 0]))[:, 0]
    torch.testing.assert_close(found.difference, difference)
    assert (found.projected.sum(1) - difference).abs() < 1e-3 * difference.abs()
    torch.testing.assert_close(
        found.error, (found.projected.sum(1) - difference).abs(), atol=1e-4, rtol=0
    )


def test_the_other_strand_gives_the_mirrored_attribution(tiny_model, letters):
    model, x = OneHot(tiny_model), one_hot(letters(2, 41, codes=5))
    here, there = deeplift(model, x), deeplift(model, x.flip(1, 2))
    torch.testing.assert_close(
        there.hypothetical, here.hypothetical.flip(1, 2), atol=1e-3, rtol=1e-3
    )
    assert (here.projected[x.sum(1) == 0] == 0).all()


def test_a_span_is_what_the_target_speaks_of_and_all_letters_may_matter(tiny_model, letters):
    x = one_hot(letters(1, 48))
    model = OneHot(tiny_model, "pll", span=(10, 30))
    logs = tiny_model(letters(1, 48)).log_softmax(-1).transpose(1, 2)
    torch.testing.assert_close(model(x), (logs * x)[..., 10:30].sum((1, 2))[:, None])
    found = deeplift(model, x)
    assert (found.error < 1e-3 * found.difference.abs() + 1e-3).all()
    assert found.projected[0, :10].abs().max() > 0


def test_a_sequence_without_letters_is_answered(tiny_model):
    found = deeplift(OneHot(tiny_model), one_hot(torch.full((1, 32), DNA.n, dtype=torch.uint8)))
    assert (found.projected == 0).all()


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum's, of its hooks
def test_captums_own_deeplift_misses_by_more_than_the_difference(trained):
    from captum.attr import DeepLift

    model, x = OneHot(trained[0]), trained[1]
    reference = shuffles(x, 1)[:, 0]
    found = DeepLift(model).attribute(x.clone().requires_grad_(), reference, target=0).sum()
    difference = (model(x) - model(reference)).sum()
    assert (found - difference).abs() > difference.abs()
