"""A background against brute force, and whom it is refused to."""

import numpy as np
import pytest
from random_models import letters_model

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.score.variants.calibration import (
    FEWEST,
    Calibration,
    learn_calibration,
    sample_letters,
)
from orchid_genomics.score.variants.context import context_name, contexts, fold
from orchid_genomics.score.variants.variant_scores import Scoring
from orchid_genomics.sequence import Interval, Variant


@pytest.fixture
def genome(tmp_path):
    rng = np.random.default_rng(0)
    letters = {
        name: "".join(rng.choice(list("ACGTacgt"), size))
        for name, size in (("a", 3_000), ("b", 500))
    }
    letters["b"] = "N" * 40 + letters["b"][40:]
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{text}\n" for name, text in letters.items()))
    return Genome(tmp_path / "g.fa")


def model(seed=0):
    return letters_model(seed=seed)


@pytest.fixture
def calibration(genome, tmp_path):
    scoring = Scoring(model(), genome, ("llr_unmasked",), (64,))
    return learn_calibration(
        scoring, None, path=tmp_path / "cal.json", name="genome background", sites=1_200, seed=0
    )


def test_every_letter_may_be_drawn_and_none_twice(genome):
    every = sample_letters(genome, None, 10_000, seed=0)
    assert len(every) == len(set(every)) == 3_000 - 2 + 460 - 2
    assert sample_letters(genome, None, 10_000, seed=1) == every
    some = sample_letters(genome, None, 100, seed=1)
    assert len(some) == 100
    assert set(some) < set(every)
    assert some == sorted(some)
    assert some != sample_letters(genome, None, 100, seed=2)
    for contig, at, letter in some:
        assert genome.letters(contig, at, at + 1).decode().upper() == letter


def test_places_bound_the_draw(genome):
    places = [Interval("a", 100, 117), Interval("a", 110, 140), Interval("b", 30, 50)]
    found = sample_letters(genome, places, 1_000, seed=0)
    assert {(c, at) for c, at, _ in found} == {("a", i) for i in range(100, 140)} | {
        ("b", i) for i in range(41, 50)
    }


def test_percentile_and_z_are_those_of_the_same_context(calibration, genome):
    backgrounds = calibration.backgrounds["llr_unmasked"]
    assert len(backgrounds) == 96
    assert sum(map(len, backgrounds.values())) == 3 * 1_200
    scoring = Scoring(model(), genome, ("llr_unmasked",), (64,))
    calibration.add_to(scoring)
    names = ["llr_unmasked", "llr_unmasked_percentile", "llr_unmasked_z", "llr_unmasked_n"]
    assert [column.name for column in scoring.columns] == names
    variants = [
        Variant("a", at, genome.letters("a", at, at + 1).decode().upper(), "C")
        for at in range(500, 560)
    ]
    variants = [variant for variant in variants if variant.ref != "C"]
    variants += [Variant("a", 700, genome.letters("a", 700, 702).decode().upper(), "T"), "symbolic"]
    score, percentile, z, n = scoring(variants).values.T
    codes = fold(contexts([v if isinstance(v, Variant) else None for v in variants], genome))
    judged = 0
    for row in range(len(variants) - 2):
        background = backgrounds[context_name(int(codes[row]))]
        if len(background) < FEWEST:
            assert np.isnan([percentile[row], z[row], n[row]]).all()
            continue
        judged += 1
        size = len(background)
        ties = np.isclose(background, score[row], rtol=0, atol=1e-12)
        rank = ((background < score[row]) & ~ties).sum() + ties.sum() / 2
        np.testing.assert_allclose(
            percentile[row], 100 * min(max(rank / size, 1 / size), 1 - 1 / size), atol=100 / size
        )
        np.testing.assert_allclose(
            z[row], (score[row] - background.mean()) / background.std(ddof=1)
        )
        assert n[row] == size
    assert judged > 20
    assert np.isnan(np.stack([percentile, z, n])[:, -2:]).all()  # the deletion and the symbolic ALT


def test_the_tails_stop_at_one_in_n(calibration):
    code = np.array([0b00_01_00_11])  # A[C>T]A
    name = context_name(int(code[0]))
    background = {"llr": {name: np.arange(50.0)}}
    judge = Calibration(calibration.path, "", "", (64,), "", True, 50, background)
    assert judge.compare("llr", code, np.array([-9.0]))[0, 0] == 2
    assert judge.compare("llr", code, np.array([99.0]))[0, 0] == 98
    assert judge.compare("llr", code, np.array([24.5]))[0, 0] == 50
    few = Calibration(
        calibration.path, "", "", (64,), "", True, 50, {"llr": {name: np.arange(FEWEST - 1.0)}}
    )
    assert np.isnan(few.compare("llr", code, np.array([1.0]))).all()


def test_saved_and_read_again(calibration):
    calibration.save()
    again = Calibration.load(calibration.path)
    assert (again.model, again.genome, again.windows) == (
        calibration.model,
        calibration.genome,
        (64,),
    )
    for context, scores in calibration.backgrounds["llr_unmasked"].items():
        np.testing.assert_allclose(again.backgrounds["llr_unmasked"][context], scores, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model": 1},
            (
                r"cal.json: is for the model [0-9a-f]{12}, not [0-9a-f]{12}; orchid-genomics"
                r" calibrate, again"
            ),
        ),
        (
            {"window": 128},
            r"cal.json: is for the window 64, not 128; orchid-genomics calibrate, again",
        ),
        ({"score": "llr"}, r"cal.json: is for llr_unmasked, not llr; `scores` of the calibration"),
        (
            {"genome": "tiny"},
            r"cal.json: is for the genome \(sha256\) [0-9a-f]{12}, not [0-9a-f]{12}; orchid",
        ),
    ],
)
def test_it_is_refused_to_another_model_genome_window_or_score(
    calibration, genome, tiny_genome, change, words
):
    opened = tiny_genome if "genome" in change else genome
    scoring = Scoring(
        model(change.get("model", 0)),
        opened,
        (change.get("score", "llr_unmasked"),),
        (change.get("window", 64),),
    )
    with pytest.raises(InputError, match=words):
        calibration.add_to(scoring)


def test_scores_of_indels_have_no_background(genome, tmp_path):
    scoring = Scoring(model(), genome, ("indel",), (64,))
    with pytest.raises(
        InputError, match="indel is no score of single letters; possible: llr, llr_unmasked"
    ):
        learn_calibration(
            scoring, None, path=tmp_path / "cal.json", name="genome background", sites=10, seed=0
        )


@pytest.mark.parametrize(
    "text", ["{}", "[]", "no json", '{"format": "orchid-genomics-calibration/1"}']
)
def test_another_file_is_no_calibration(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x.json: is (no calibration|damaged)"):
        Calibration.load(tmp_path / "x.json")
