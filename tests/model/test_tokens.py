"""Text goes in wherever tokens do."""

import numpy as np
import pytest
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.model.orchid import Orchid, OrchidRecipe
from orchid_genomics.model.tokens import as_tokens, pad_rows
from orchid_genomics.sequence import DNA, alphabet

RECIPE = OrchidRecipe(width=8, depth=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder() -> Orchid:
    torch.manual_seed(0)
    return Orchid(RECIPE).eval()


def test_one_text_is_a_batch_of_one(encoder):
    text = "ACGTNacgtt" * 5
    tokens_BL = torch.from_numpy(DNA.encode(text).copy())[None]
    assert torch.equal(encoder(text), encoder(tokens_BL))


def test_texts_of_many_lengths_are_padded_rows(encoder):
    texts = ["ACGT" * 10, "TTGACA", "", "acgtn" * 20]
    together = encoder(texts)
    assert together.shape == (4, 100, 8)
    for row, text in zip(together, texts, strict=True):
        assert torch.equal(row[: len(text)], encoder(text)[0])
        assert not row[len(text) :].any()


@pytest.mark.parametrize("head", [None, PooledRecipe()], ids=["vectors", "pooled"])
def test_a_model_reads_text(head):
    model = OrchidModel(ModelRecipe(encoder=RECIPE, head=head)).eval()
    text = "ACGTTGCA" * 6
    assert torch.equal(model(text), model(torch.from_numpy(DNA.encode(text).copy())[None]))
    assert len(model((text, text[:11]))) == 2


def test_no_text_at_all_is_an_empty_batch(encoder):
    assert encoder([]).shape == (0, 0, 8)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("ACGTX", "sequence 1: 'X' at letter 5 is no nucleotide code; "),
        (["ACGT", "AC GT"], "sequence 2: ' ' at letter 3 is no nucleotide code; "),
        (["ACGT", 3], "sequence 2: is a int; text of IUPAC letters, or one tensor of tokens"),
        (np.zeros((1, 4), np.uint8), "sequence 1: is a ndarray; "),
    ],
)
def test_what_is_no_text_is_one_line(encoder, sequences, message):
    with pytest.raises(InputError) as caught:
        encoder(sequences)
    assert str(caught.value).startswith(message)


def test_symbols_have_no_letters():
    with pytest.raises(InputError, match="the symbols of symbols:20 have no letters"):
        as_tokens("ACGT", alphabet("symbols:20"), CPU)


def test_rows_end_in_padding_and_lose_their_case():
    rows = [DNA.encode("acg"), DNA.encode("T")]
    assert pad_rows(rows, DNA.pad).tolist() == [[0, 1, 2], [3, DNA.pad, DNA.pad]]
