"""A model that is trained on short windows reads copies in long ones, on either strand."""

from pathlib import Path

import numpy as np
import pytest

from orchid_genomics.evaluate.held_out import hide_letters
from orchid_genomics.evaluate.probes.planted_copies import Kind, copy_bits
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.tasks.pretrain import pretrain
from orchid_genomics.tasks.pretraining import open_source, run_recipe
from orchid_genomics.train import distributed as processes

RECIPE = Path(__file__).parents[2] / "recipes/lookup/hashes.toml"
TINY = (
    "data.length=384",
    "copies.shortest=40",
    "copies.longest=128",
    "copies.nearest=130",
    "model.width=24",
    "model.depth=2",
    "optimizer.rate=1e-2",
    "training.steps=200",
    "training.device=cpu",
    "evaluation.distances=[]",
    "evaluation.validation_windows=8",
    "evaluation.windows=4",
)


@pytest.mark.slow
def test_copies_are_read_where_no_window_was_as_long(tmp_path):
    recipe = load(RECIPE, run_recipe, TINY)
    pretrain(RECIPE, tmp_path / "run", overrides=TINY)
    model = OrchidModel.from_pretrained(tmp_path / "run/model")
    ranks, measured = processes.start("cpu"), recipe.evaluation
    pieces = hide_letters(open_source(recipe).corpus, "test", measured.seed, measured.share)
    for length in (1024, 16_384, 131_072):
        for turned in (False, True):
            kind = Kind(min(50_000, length // 2), min(500, length // 3), 0.1, turned)
            bits = copy_bits(model, pieces, length, kind, measured=measured, ranks=ranks)
            gain, known = (np.nanmean(x) for x in (bits.gain, bits.without - bits.known))
            # A copy without a 9-mer that nothing touches is not found: one in ten of 341 nt.
            assert gain > 0.5 * known, (length, turned, gain, known)
