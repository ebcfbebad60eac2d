"""What a model reads: letters in sight corrected by Bayes, tiles on a grid, and what the ends of a
window do.
"""

import math

import pytest
import torch
from random_models import letters_model

from orchid_genomics.errors import InputError, MachineError, RecipeError
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.score.events import find_event, swap_ends
from orchid_genomics.score.reader import Reader, enough_memory
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import CODE, DNA, Variant
from orchid_genomics.train.objectives import MaskedLetters, MaskedRecipe


def trained(masked=0.8, other=0.1):
    model = letters_model()
    model.provenance = Provenance.model_validate(
        {"recipe": {"objective": {"kind": "masked", "masked": masked, "other": other}}}
    )
    return model


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.3), (0.2, 0.2)])
def test_a_letter_in_sight_has_log_3_kept_over_other_too_much(genome, shares):
    """Counted over the objective's own targets: odds of the true letter given the letter shown,
    against its share.
    """
    recipe = MaskedRecipe(share=0.5, masked=shares[0], other=shares[1])
    frequency = torch.tensor([0.4, 0.3, 0.2, 0.1])
    codes = torch.multinomial(
        frequency, 1 << 20, True, generator=torch.Generator().manual_seed(0)
    ).view(64, -1)
    hidden = MaskedLetters(recipe, DNA).hide(codes.to(torch.uint8), 0, 0, torch.arange(64))
    seen = (hidden.weights_BL > 0) & (hidden.shown_BL < DNA.count)
    counts = torch.zeros(4, 4).index_put_(
        (hidden.shown_BL[seen].long(), codes[seen]), torch.ones(1), accumulate=True
    )
    unmasking = Reader(trained(*shares), genome, 128).unmasking
    assert unmasking == pytest.approx(math.log(3 * (1 - sum(shares)) / shares[1]))
    for shown in range(4):
        for true in range(4):
            if true != shown:
                odds = torch.log(counts[shown, true] / counts[shown, shown]) + unmasking
                assert odds == pytest.approx(math.log(frequency[true] / frequency[shown]), abs=0.05)


def test_the_default_recipe_is_assumed_where_a_model_does_not_say(genome, model):
    assert Reader(model, genome, 128).unmasking == pytest.approx(math.log(3))


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.9, 0.1), (0.9, 0.0)])
def test_a_model_that_never_saw_another_letter_has_no_one_pass_score(genome, shares):
    with pytest.raises(
        RecipeError,
        match=r"model: was trained with 0\.?1? of its targets shown as another letter and",
    ):
        Scoring(trained(*shares), genome, ["llr_unmasked"], [128])
    assert Scoring(trained(*shares), genome, ["llr", "entropy"], [128]).scores == ("llr", "entropy")


def test_one_pass_answers_near_ends_of_contigs_and_at_every_place_of_a_tile(genome, model):
    reader = Reader(model, genome, 128)
    letters = genome.letters("c2", 0, 500).decode()
    events = [
        find_event(Variant("c2", i, base, "A" if base != "A" else "C"), genome)
        for i, base in enumerate(letters)
    ]
    together = reader.shown(events)
    reader.forget()
    alone = [reader.shown([e])[0] for e in events[::37]]
    assert all((a == b).all() for a, b in zip(alone, together[::37], strict=True))


def test_swapped_ends_keep_the_middle_and_move_a_score_a_little(genome, model):
    window = genome.tokens("c1", 0, 128) & CODE
    other = swap_ends(window)
    assert (other[16:-16] == window[16:-16]).all()
    assert (other[:16] == window[-16:]).all()
    reader = Reader(model, genome, 128)
    base = genome.letters("c1", 300, 301).decode()
    for tiled in (False, True):
        moved, stand = reader.edge(
            find_event(Variant("c1", 300, base, "A" if base != "A" else "C"), genome), tiled
        )
        assert moved > 0
        assert stand > 0


def test_a_window_that_no_machine_holds_is_refused_before_any_work(genome, model):
    with pytest.raises(InputError, match=r"^windows: 100,000,000,000 nt need over [\d,]+ GB of"):
        Scoring(model, genome, ["llr"], [10**11])


def test_a_pass_without_room_is_one_line():
    message = "not enough memory for windows of 64 nt"
    with pytest.raises(MachineError, match=message), enough_memory(64):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(RuntimeError, match="shape"), enough_memory(64):
        raise RuntimeError("shape mismatch")
