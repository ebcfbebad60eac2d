"""Vectors of elements: the encoder's, read on the element's strand, of nothing but the element."""

import numpy as np
import pytest
import torch
from random_models import random_model

from orchid_genomics.errors import InputError
from orchid_genomics.score.elements.vectors import ElementVectors
from orchid_genomics.sequence import CODE, Interval

PLACES = [
    Interval("c1", 5, 25),
    Interval("c1", 100, 131, "+"),
    Interval("c1", 100, 200, "-"),
    Interval("c1", 790, 845),
    Interval("c2", 480, 500, "-"),
]


def mirrored(place, genome):
    size = genome.contigs[place.contig]
    return Interval(
        place.contig,
        size - place.end,
        size - place.start,
        {"+": "-", "-": "+"}.get(place.strand, "-"),
    )


@pytest.mark.parametrize("pool", ["mean", "none"])
@pytest.mark.parametrize("window", [0, 64])
def test_vectors_are_of_their_element_alone(genome, pool, window):
    vectors = ElementVectors(random_model(width=16).encoder, genome, window, pool, "forward")
    together = vectors(PLACES)
    for place, found, backwards in zip(PLACES, together, vectors(PLACES[::-1])[::-1], strict=True):
        np.testing.assert_array_equal(found, backwards)
        np.testing.assert_array_equal(vectors([place])[0], found)
        assert found.shape == ((1 if pool == "mean" else len(place)), 16)


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("window", [0, 64])
def test_the_mirrored_element_of_the_mirrored_genome_has_the_same_vectors(
    genome, turned, window, strand, strands
):
    encoder = random_model(width=16, strands=strands).encoder
    for pool in ("mean", "none"):
        here = ElementVectors(encoder, genome, window, pool, strand)(PLACES)
        there = ElementVectors(encoder, turned, window, pool, strand)(
            [mirrored(place, genome) for place in PLACES]
        )
        for one, other in zip(here, there, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_both_is_the_same_whatever_the_strand_and_letters_turn_round(genome):
    vectors = ElementVectors(random_model(width=16).encoder, genome, 64, "none", "both")
    plus, minus = vectors([Interval("c1", 100, 150, "+"), Interval("c1", 100, 150, "-")])
    np.testing.assert_allclose(plus, minus[::-1], atol=1e-5)
    assert plus.shape == (50, 8)


def test_the_mean_is_that_of_the_letters_and_a_window_is_the_encoders_own(genome):
    encoder = random_model(width=16).encoder
    letters = ElementVectors(encoder, genome, 64, "none", "forward")(PLACES)
    for found, own in zip(
        ElementVectors(encoder, genome, 64, "mean", "forward")(PLACES), letters, strict=True
    ):
        np.testing.assert_allclose(found[0], own.mean(0), atol=1e-5)
    place = Interval(
        "c1", 100, 131, "+"
    )  # odd, so the window of 63 letters stands evenly around it
    row = np.append(genome.tokens("c1", 84, 147) & CODE, 4).astype(np.uint8)
    expected = encoder.encode(torch.from_numpy(row)[None])[0, 16:47].detach().numpy()
    np.testing.assert_allclose(
        ElementVectors(encoder, genome, 64, "none", "forward")([place])[0], expected, atol=1e-5
    )


def test_a_window_that_cannot_be_is_refused(genome):
    for window in (62, 65):
        with pytest.raises(InputError, match=rf"window: {window} nt; 0 \(the element alone\)"):
            ElementVectors(random_model().encoder, genome, window, "mean", "both")
