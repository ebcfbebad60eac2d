"""The same letters in windows of every length, and the law that longer windows never hurt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from orchid_genomics.data.corpus import Corpus, DataRecipe
from orchid_genomics.data.splits import GenomeRecipe
from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.window_lengths import (
    LONGEST,
    REFERENCE,
    bits_by_length,
    block_error,
    cut_stretches,
    powers,
    text,
)
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.train.distributed import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
YEAST = Path(__file__).parents[2] / "recipes" / "yeast"
ALLOWED = 0.005  # bits that a longer window may lose


class Longer(nn.Module):
    """A model that knows more in longer windows: 2 bits less 0.1 for each doubling from 512."""

    def encode(self, tokens_BL):
        bits = 2 - 0.1 * np.log2(tokens_BL.shape[1] / 512)
        rest = (1 - 2**-bits) / 3
        p_BLV = torch.full((*tokens_BL.shape, 4), rest)
        p_BLV[..., 0] = 2**-bits
        return p_BLV.log()


@pytest.fixture(scope="module")
def yeast_pieces(tmp_path_factory):
    genome = GenomeRecipe(fasta=YEAST / "sacCer3.fa.gz", test=("chrXIII",))
    return hide_letters(Corpus((genome,), DataRecipe()), "test", 0)


def test_every_length_reads_the_same_letters(tmp_path):
    (tmp_path / "g.fa").write_text(">a\n" + "A" * 70_000 + "\n>b\n" + "ACGT" * 1_000 + "\n")
    genome = GenomeRecipe(fasta=tmp_path / "g.fa", test=("a",))
    pieces = hide_letters(Corpus((genome,), DataRecipe()), "test", 0)
    stretches = cut_stretches(pieces, 32_768, 5)
    assert [len(stretch.tokens) for stretch in stretches] == [32_768] * 2
    lengths = powers(512, 4096)
    assert lengths == [512, 1024, 2048, 4096]
    table = bits_by_length(Longer(), stretches, lengths, ranks=ALONE)
    assert [each.mean for each in table] == pytest.approx([2, 1.9, 1.8, 1.7], abs=1e-6)
    assert [each.minus for each in table] == pytest.approx([0.1, 0, -0.1, -0.2], abs=1e-6)
    assert table[1].length == REFERENCE
    assert table[0].error == pytest.approx(0, abs=1e-6)
    assert text(table).splitlines()[3].split()[:2] == ["2,048", "1.8000"]


def test_the_error_is_that_of_blocks():
    rng = np.random.default_rng(0)
    blocks, each = 400, 25
    bits = np.repeat(rng.normal(2, 1, blocks), each)
    position = np.repeat(np.arange(blocks) * 10_000, each)
    error = block_error(bits, np.zeros(len(bits), int), position)
    assert error == pytest.approx(1 / np.sqrt(blocks), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yeast", "yeast-long"])
def test_longer_windows_never_hurt_the_models_that_come_along(name, yeast_pieces):
    model = OrchidModel.from_pretrained(name)
    stretches = cut_stretches(yeast_pieces, LONGEST, 2)
    for each in bits_by_length(model, stretches, powers(), ranks=ALONE):
        assert each.minus <= ALLOWED or each.length < REFERENCE, text([each])
