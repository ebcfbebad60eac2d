"""Baselines: a look-up that never saw the row's own cluster, counts, conservation, random
weights.
"""

import numpy as np
import pytest
from random_models import letters_model, random_letters, write_genome

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.ngram import NgramModel
from orchid_genomics.evaluate.variants.ranking import rank
from orchid_genomics.evaluate.variants.variant_baselines import (
    _PRIOR,
    FOLDS,
    conservation,
    context_look_up,
    ngram_ratio,
    random_weights,
)
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence import Variant
from orchid_genomics.sequence.hashing import Stream, hash_integers


def test_the_look_up_is_fitted_on_other_folds_alone():
    rng = np.random.default_rng(0)
    code, cluster = rng.integers(-1, 12, size=600), rng.integers(40, size=600)
    positive = rng.random(600) < 0.3
    found = context_look_up(code, positive, cluster)
    assert np.isnan(found[code < 0]).all()
    assert np.isfinite(found[code >= 0]).all()
    for one in range(40):  # labels of a cluster may be anything, its own rows look the same
        changed = np.where(cluster == one, ~positive, positive)
        np.testing.assert_array_equal(
            context_look_up(code, changed, cluster)[cluster == one], found[cluster == one]
        )


def test_the_look_up_is_the_ratio_of_shares():
    rng = np.random.default_rng(0)
    code, cluster = rng.integers(4, size=400), np.arange(400) % 20
    positive = rng.random(400) < (code + 1) / 6
    found = context_look_up(code, positive, cluster, seed=3)
    order = np.argsort(hash_integers(3, Stream.CONTEXT_FOLD, np.arange(20)), kind="stable")
    fold = np.argsort(order) % FOLDS
    for row in (0, 7, 133):
        others = fold[cluster] != fold[cluster[row]]
        share = (code[others] == code[row]).mean()
        likely = []
        for side in (positive, ~positive):
            inside = others & side
            likely.append(
                ((code[inside] == code[row]).sum() + _PRIOR * share) / (inside.sum() + _PRIOR)
            )
        np.testing.assert_allclose(found[row], np.log(likely[0] / likely[1]), rtol=1e-6)


def test_contexts_that_say_nothing_rank_nothing_even_where_clusters_are_of_one_class():
    areas = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cluster = rng.integers(30, size=900)
        positive = (cluster % 2 == 0) ^ (rng.random(900) < 0.1)
        score = context_look_up(rng.integers(8, size=900), positive, cluster, seed)
        areas.append(rank(score, positive, cluster, samples=1).auroc.value)
    assert abs(np.mean(areas) - 0.5) < 0.03


def trained(genome, contigs):
    model = letters_model()
    places = {contig: [[0, genome.contigs[contig]]] for contig in contigs}
    model.provenance = Provenance.model_validate(
        {"genomes": [{"sha256": genome.checksum(), "seen": places, "split": {"validation": []}}]}
    )
    return model


def test_counts_are_of_what_training_saw_and_are_not_shown_the_letter(tmp_path):
    genome = write_genome(
        tmp_path / "g.fa", {"a": random_letters(4_000), "t": random_letters(300, seed=1)}
    )
    variants = [
        Variant("t", at, genome.letters("t", at, at + 1).decode(), "ACGT"[at % 4])
        for at in range(20, 60)
    ]
    variants = [v for v in variants if v.ref != v.alt] + [Variant("t", 80, "AC", "A")]
    name, ratio = ngram_ratio(trained(genome, ["a"]), genome, variants)
    assert name == "counts, 6 on both sides"
    counts = NgramModel.fit([genome.tokens("a", 0, 4_000)], 6, 6)
    for variant, value in zip(variants[:-1], ratio, strict=False):
        p = counts.probabilities(genome.tokens("t", 0, 300), np.array([variant.start]))[0]
        np.testing.assert_allclose(
            value, np.log(p["ACGT".index(variant.alt)] / p["ACGT".index(variant.ref)])
        )
    assert np.isnan(ratio[-1])


def test_counts_of_another_genome_are_refused(tmp_path):
    genome = write_genome(tmp_path / "g.fa", {"a": random_letters(200)})
    model = letters_model()
    with pytest.raises(
        InputError,
        match=r"g.fa \(sha256 [0-9a-f]{12}\): no such genome in the provenance of the model",
    ):
        ngram_ratio(model, genome, [])


def test_conservation_is_the_largest_of_the_changed_letters(tmp_path):
    (tmp_path / "c.bedGraph").write_text("a\t10\t12\t1.5\na\t12\t13\t4\na\t20\t21\t-3\n")
    variants = [
        Variant("a", 11, "A", "C"),
        Variant("a", 10, "ACG", "A"),
        Variant("a", 19, "A", "AT"),
        Variant("a", 30, "A", "C"),
    ]
    np.testing.assert_array_equal(
        conservation(tmp_path / "c.bedGraph", None, variants), [1.5, 4, -3, np.nan]
    )


def test_random_weights_are_of_the_same_shape_and_leave_the_generator_alone():
    import torch

    model = letters_model()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = random_weights(model, 0), random_weights(model, 0), random_weights(model, 1)
    assert torch.equal(before, torch.get_rng_state())
    assert one.recipe == model.recipe
    assert one.hash() == again.hash() != other.hash()
    assert one.hash() != model.hash()
