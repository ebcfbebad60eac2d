"""Words that go with the labels are found on either strand, in training rows alone."""

import numpy as np
import pytest
import torch
from compared_sets import labelled

from orchid_genomics.evaluate.arms import arms_of
from orchid_genomics.evaluate.enriched import enriched_motifs, motifs_to_begin_with
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.model.stem import Stem
from orchid_genomics.recipe import validate
from orchid_genomics.sequence import DNA

MOTIF = "CCACCAGAGGGCG"


def planted(rows: int, length: int = 90, motif: str = MOTIF, seed: int = 0):
    """A set of random rows; half of them hold the motif, on either strand."""
    rng = np.random.default_rng(seed)
    data = labelled()
    tokens = []
    for row in range(rows):
        letters = rng.integers(0, 4, length).astype(np.uint8)
        if row % 2:
            word = DNA.encode(motif)
            if rng.random() < 0.5:
                word = DNA.reverse_complement(word)
            at = int(rng.integers(0, length - len(word)))
            letters[at : at + len(word)] = word
        tokens.append(letters)
    some = data.take(np.resize(np.arange(len(data)), rows))
    values = {"tokens": tokens, "target": np.arange(rows) % 2, "split": np.zeros(rows, np.int64)}
    return type(data)(**{**vars(some), **values})


def consensus(motif: np.ndarray) -> str:
    sure = motif.max(0) > 0.7
    return "".join(
        DNA.letters[at] if ok else "-" for at, ok in zip(motif.argmax(0), sure, strict=True)
    )


def test_a_long_motif_grows_out_of_a_word_on_either_strand():
    motifs = enriched_motifs(planted(400), 4, 15, both=True)
    texts = [consensus(motif).strip("-") for motif in motifs]
    other = [MOTIF[::-1].translate(str.maketrans("ACGT", "TGCA"))]
    assert any(text in word or word in text for word in (MOTIF, *other) for text in texts[:1])
    assert len(texts[0]) >= 11


def test_labels_that_go_with_nothing_give_no_motif():
    data = planted(400, motif="A")
    assert enriched_motifs(data, 4, 15, both=True).shape == (0, 4, 15)


@pytest.mark.parametrize("taps", [1, 3, 23])
def test_a_motif_may_be_shorter_or_longer_than_a_word(taps):
    motifs = enriched_motifs(planted(200), 2, taps, both=True)
    assert motifs.shape[1:] == (4, taps)
    assert len(motifs)


def test_rows_shorter_than_a_word_have_none():
    assert enriched_motifs(planted(60, length=5, motif="ACG"), 2, 15, both=True).shape[0] == 0


def test_a_long_stem_begins_at_motifs_of_usual_length_too():
    data = planted(400)
    usual, longest = (enriched_motifs(data, 2, taps, both=True) for taps in (15, 23))
    both = motifs_to_begin_with(data, 3, 23, both=True)
    assert len(both) == 3
    assert np.array_equal(both[0, :, 4:19], usual[0])
    assert not both[0, :, :4].any()
    assert np.array_equal(both[1], longest[0])
    assert np.array_equal(motifs_to_begin_with(data, 2, 15, both=True), usual)


def test_training_rows_alone_are_read():
    data = planted(400)
    half = np.arange(400) >= 200
    held = {**vars(data), "split": half.astype(np.int64)}
    whole = enriched_motifs(type(data)(**held), 4, 15, both=True)
    # Labels of validation that say the opposite change nothing.
    held["target"] = np.where(half, 1 - data.target, data.target)
    assert np.array_equal(enriched_motifs(type(data)(**held), 4, 15, both=True), whole)


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
def test_half_of_a_stem_begins_at_motifs_and_half_at_words(strands):
    torch.manual_seed(0)
    stem = Stem(15, 8, strands, DNA)
    before = stem.weight.detach().clone()
    stem.begin_at(torch.randn(9, 4, 15), 7)
    count = len(before) // 2
    words = stem.weight[count:]
    torch.testing.assert_close(words[..., 4:11], before[count:, :, 4:11] * (15 / 7) ** 0.5)
    assert not words[..., :4].any()
    assert not words[..., 11:].any()
    torch.testing.assert_close(
        stem.weight[:count].flatten(1).norm(dim=1), torch.full((count,), 2.0)
    )


def test_the_encoder_begins_at_them_whatever_the_seed():
    recipe = validate(FinetuneRecipe, {"data": {"kind": "table", "path": "x"}}, "x")
    arm = arms_of(recipe, planted(400))[0]
    first, second = (arm.make(arm.candidates[0], seed).encoder.stem.weight for seed in (0, 1))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[-1], second[-1])
