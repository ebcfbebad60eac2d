"""Scores of variants in memory: what each number is, and what it may not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import letters_model, random_letters, random_model, write_genome

from orchid_genomics.errors import InputError
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.score.variants import scorers
from orchid_genomics.score.variants.scorers import SCORERS, Column, Scorer
from orchid_genomics.score.variants.variant_scores import (
    Extra,
    Scoring,
    check,
    score_variants,
    trained_length,
)
from orchid_genomics.sequence import CODE, DNA, Variant

ALL = ("llr", "llr_unmasked", "entropy", "indel", "embedding")
POOLED = {"kind": "pooled", "task": "multilabel", "labels": ("open", "TF-1", "tf 1")}


def snv(genome, contig, start, step=1):
    ref = DNA.decode(genome.tokens(contig, start, start + 1) & CODE)
    return Variant(contig, start, ref, "ACGT"[("ACGT".index(ref) + step) % 4])


def some(genome, count=24, seed=0):
    """Variants of every kind, here and there and near the ends."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        start, size = int(rng.integers(0, 780)), int(rng.integers(1, 4))
        ref = DNA.decode(genome.tokens("c1", start, start + size) & CODE)
        alt = (
            random_letters(size, i)
            if i % 3 == 0
            else ""
            if i % 3 == 1
            else ref + random_letters(3, i)
        )
        found.append(Variant("c1", start, ref, alt) if ref != alt else snv(genome, "c1", start))
    return [*found, snv(genome, "c1", 0), snv(genome, "c2", 499), snv(genome, "c1", 1100)]


def complement(letters):
    return DNA.decode(DNA.reverse_complement(DNA.encode(letters))) if letters else ""


def other_strand(variant, genome):
    start = genome.contigs[variant.contig] - variant.end
    return Variant(variant.contig, start, complement(variant.ref), complement(variant.alt))


# What a number is


def test_llr_is_the_masked_letter_in_a_window_around_it(model, genome):
    variant = snv(genome, "c1", 300)
    tokens = genome.tokens("c1", 300 - 63, 300 + 65) & CODE
    tokens[63], tokens[-1] = DNA.mask, DNA.n  # one N closes the circle, opposite the variant
    with torch.inference_mode():
        logs = model.encode(torch.from_numpy(tokens)[None])[0, 63].log_softmax(0).numpy()
    found = score_variants(model, genome, [variant], ["llr", "entropy"], [128])
    assert found["llr"][0] == pytest.approx(
        logs["ACGT".index(variant.alt)] - logs["ACGT".index(variant.ref)], abs=1e-6
    )
    assert found["entropy"][0] == pytest.approx(-(np.exp(logs) * logs).sum() / np.log(2), abs=1e-6)
    assert found.kinds == ["SNV"]
    assert found.why == [""]


def test_an_mnv_is_the_sum_over_its_changed_letters_masked_together(model, genome):
    letters = DNA.decode(genome.tokens("c1", 300, 303) & CODE)
    other = complement(letters[0]) + letters[1] + complement(letters[2])
    tokens = genome.tokens("c1", 300 - 62, 300 + 66) & CODE
    tokens[[62, 64]], tokens[-1] = DNA.mask, DNA.n
    with torch.inference_mode():
        logs = model.encode(torch.from_numpy(tokens)[None])[0].numpy()
    expected = sum(
        logs[62 + i, "ACGT".index(other[i])] - logs[62 + i, "ACGT".index(letters[i])]
        for i in (0, 2)
    )
    found = score_variants(model, genome, [Variant("c1", 300, letters, other)], ["llr"], [128])
    assert found["llr"][0] == pytest.approx(expected, abs=1e-5)
    assert found.kinds == ["MNV"]


def test_llr_unmasked_reads_one_tile_and_takes_log_3_off_the_letter_in_sight(model, genome):
    variant = snv(genome, "c1", 300)
    start = 300 // 96 * 96 - 16
    with torch.inference_mode():
        logs = model.encode(torch.from_numpy(genome.tokens("c1", start, start + 128).copy())[None])[
            0, 300 - start
        ]
    expected = logs["ACGT".index(variant.alt)] - (logs["ACGT".index(variant.ref)] - np.log(3))
    found = score_variants(model, genome, [variant], ["llr_unmasked"], [128])["llr_unmasked"]
    assert found[0] == pytest.approx(float(expected), abs=1e-5)


def test_indel_compares_the_same_letters_on_both_sides(model, genome):
    tokens = genome.tokens("c1", 0, 600) & CODE
    place = next(p for p in range(200, 300) if tokens[p] not in (tokens[p - 1], tokens[p + 1]))

    def likelihood(window, flanks):
        with torch.inference_mode():
            logits = model.encode(torch.from_numpy(window)[None])[0].double().numpy()
        logits[np.arange(128), np.minimum(window, 3)] -= np.log(3)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return logs[np.arange(128), np.minimum(window, 3)], flanks

    ref = np.r_[tokens[place - 63 : place + 64], [DNA.n]]
    alt = np.r_[tokens[place - 63 : place], tokens[place + 1 : place + 64], [DNA.n, DNA.n]]
    ref, at = likelihood(ref, np.r_[31:63, 64:96])
    alt, there = likelihood(alt, np.r_[31:63, 63:95])
    variant = Variant("c1", place, "ACGT"[tokens[place]], "")
    found = score_variants(model, genome, [variant], ["indel"], [128])
    assert found["indel"][0] == pytest.approx(alt[there].sum() - ref[at].sum(), abs=1e-5)
    assert found["indel_letters"][0] == pytest.approx(ref[63], abs=1e-5)


def test_a_change_that_the_model_cannot_see_is_no_distance(model, genome):
    found = score_variants(model, genome, some(genome), ["embedding"], [128])
    assert (found["cosine"] > 0).all()
    assert (found["l2"] > 0).all()


def test_a_head_says_what_it_says_of_both_windows(genome):
    model = random_model(POOLED)
    variants = some(genome)
    found = score_variants(model, genome, variants, None, [128])
    assert [column.name for column in found.columns] == [
        "delta_open",
        "delta_TF_1_2",
        "delta_tf_1_3",
    ]
    assert np.isfinite(found.values).all()
    tokens = genome.tokens("c1", 300 - 63, 300 + 65) & CODE
    tokens[-1] = DNA.n
    variant = snv(genome, "c1", 300)
    other = tokens.copy()
    other[63] = "ACGT".index(variant.alt)
    with torch.inference_mode():
        ref, alt = model(torch.from_numpy(np.stack([tokens, other]))).numpy()
    assert score_variants(model, genome, [variant], None, [128]).values[0] == pytest.approx(
        alt - ref, abs=1e-6
    )


# What a number may not depend on


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(396, 445),
    size=st.integers(1, 6),
    pad=st.integers(0, 5),
    slide=st.integers(-20, 20),
    gone=st.booleans(),
)
def test_the_alignment_of_an_event_is_nothing_to_its_score(
    model, genome, contigs, start, size, pad, slide, gone
):
    letters = contigs["c1"]
    if gone:
        haplotype = letters[:start] + letters[start + size :]
        slid = letters[: start + slide] + letters[start + slide + size :]
    else:
        new = letters[start : start + size]
        haplotype = letters[:start] + new + letters[start:]
        slid = letters[: start + slide] + new + letters[start + slide :]
    if slid != haplotype:
        slide = 0
    at = start + slide
    ref, alt = (letters[at : at + size], "") if gone else ("", letters[start : start + size])
    plain = Variant("c1", start, letters[start : start + size] if gone else "", "" if gone else alt)
    padded = Variant("c1", at - pad, letters[at - pad : at] + ref, letters[at - pad : at] + alt)
    padded = Variant(
        "c1",
        padded.start,
        padded.ref + letters[padded.end : padded.end + pad],
        padded.alt + letters[padded.end : padded.end + pad],
    )
    found = score_variants(model, genome, [plain, padded], ["indel", "embedding"], [128])
    assert found.kinds[0] == found.kinds[1]
    assert np.array_equal(found.values[0], found.values[1])


@pytest.mark.parametrize("strands", ["equivariant", "dense"])
@pytest.mark.parametrize("window", [96, 126])
def test_the_other_strand_gives_the_same_score(genome, turned, strands, window):
    model = letters_model(strands=strands)
    variants = some(genome)
    names = ["llr", "entropy", "indel", "embedding"]
    here = score_variants(model, genome, variants, names, [window])
    there = score_variants(
        model, turned, [other_strand(variant, genome) for variant in variants], names, [window]
    )
    assert here.why == there.why
    assert np.allclose(here.values, there.values, rtol=2e-4, atol=2e-5, equal_nan=True)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_neighbours_and_order_are_nothing_to_a_score(model, genome, data):
    variants = some(genome)
    scoring = Scoring(model, genome, ALL, [128, 64])
    whole = scoring(variants)
    order = data.draw(st.permutations(range(len(variants))))[
        : data.draw(st.integers(1, len(variants)))
    ]
    part = scoring([variants[i] for i in order])
    assert np.array_equal(part.values, whole.values[order], equal_nan=True)


def test_alts_of_a_site_share_a_pass(model, genome, monkeypatch):
    rows = []
    encode = model.encoder.encode
    monkeypatch.setattr(
        model.encoder,
        "encode",
        lambda tokens, *more: rows.append(len(tokens)) or encode(tokens, *more),
    )
    site = [snv(genome, "c1", 300, step) for step in (1, 2, 3)]
    Scoring(model, genome, ["llr", "entropy"], [128])(site)
    assert sum(rows) == 1
    rows.clear()
    Scoring(model, genome, ["llr_unmasked"], [128])([snv(genome, "c1", p) for p in range(288, 384)])
    assert sum(rows) == 1
    rows.clear()
    Scoring(model, genome, ["embedding"], [128])(site)
    assert sum(rows) == 4


# Which variants have one


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        (("c1", 10, "A", "C"), "ref_mismatch"),
        (("c9", 10, "A", "C"), "unknown_contig"),
        (("c2", 499, "AC", "A"), "off_contig"),
        (("c1", 810, "A", "C"), "n"),
        (("c1", 810, "N", "C"), "n"),
        (("c1", 10, "R", "C"), "not_acgt"),
    ],
)
def test_reasons(model, genome, contigs, variant, why):
    if why == "ref_mismatch":
        variant = ("c1", 10, complement(contigs["c1"][10]), "A")
    found = score_variants(
        model, genome, [Variant(*variant), snv(genome, "c1", 20)], ["llr"], [128]
    )
    assert found.why == [why, ""]
    assert np.isnan(found.values[0]).all()
    assert np.isfinite(found.values[1]).all()


def test_too_long_and_no_score(model, genome, contigs):
    long = Variant("c1", 100, contigs["c1"][100:164], contigs["c1"][100])
    found = score_variants(model, genome, [long, snv(genome, "c1", 20)], ["indel"], [128])
    assert found.why == ["too_long", "no_score"]
    fits = Variant("c1", 100, contigs["c1"][100:162], contigs["c1"][100])
    assert check(fits, genome) == ""


def test_a_mismatch_may_be_an_error_or_the_genome_may_be_right(model, genome):
    right = snv(genome, "c1", 300)
    wrong = Variant(
        "c1",
        300,
        right.alt,
        next(letter for letter in "ACGT" if letter not in right.ref + right.alt),
    )
    with pytest.raises(
        InputError, match=rf"c1:301 .*\(1-based\): REF is {wrong.ref}, the genome has {right.ref}"
    ):
        score_variants(model, genome, [wrong], ["llr"], [128], "error")
    mended = Variant("c1", 300, right.ref, wrong.alt)
    found = score_variants(model, genome, [wrong], ["llr"], [128], "use-genome")["llr"]
    assert found == score_variants(model, genome, [mended], ["llr"], [128])["llr"]


def test_every_type_has_a_default_score(genome):
    for model in (letters_model(), random_model(POOLED), random_model()):
        names = Scoring(model, genome).scores
        assert {kind for name in names for kind in SCORERS[name].kinds} == set(scorers.KINDS)


def test_a_score_that_a_model_cannot_give(genome, model):
    with pytest.raises(
        InputError,
        match="unknown score 'lrr'; possible: llr, llr_unmasked, entropy, rate, indel, embedding,"
        " delta",
    ):
        Scoring(model, genome, ["lrr"])
    with pytest.raises(
        InputError,
        match=(
            "llr needs a letters head, and the model has a pooled head; possible: embedding, delta"
        ),
    ):
        Scoring(random_model(POOLED), genome, ["llr"])
    with pytest.raises(
        InputError,
        match="delta needs a fine-tuned head, and the model has none; possible: embedding",
    ):
        Scoring(random_model(), genome, ["delta"])
    with pytest.raises(InputError, match="windows: 127 nt; an even number of letters, 64 or more"):
        Scoring(model, genome, ["llr"], [127])


def test_a_ladder_of_windows_gives_a_column_each(model, genome):
    variants = some(genome)
    both = score_variants(model, genome, variants, ["llr", "indel"], [64, 128])
    names = [column.name for column in both.columns]
    assert names == [
        "llr_64",
        "indel_64",
        "indel_letters_64",
        "llr_128",
        "indel_128",
        "indel_letters_128",
    ]
    one = score_variants(model, genome, variants, ["llr", "indel"], [128])
    assert np.array_equal(both["llr_128"], one["llr"], equal_nan=True)


def test_the_window_is_that_of_training(model):
    assert trained_length(model) == 1024
    other = letters_model()
    other.provenance = Provenance.model_validate({"report": {"length": 4096}})
    assert trained_length(other) == 4096


def test_a_score_is_added_by_a_function_and_a_line(model, genome, monkeypatch):
    def gc(reader, events):
        return [
            (sum(code in (1, 2) for code in e.alt) - sum(code in (1, 2) for code in e.ref),)
            for e in events
        ]

    monkeypatch.setitem(
        SCORERS, "gc", Scorer(gc, (Column("gc", "G and C gained"),), scorers.KINDS, "0", "0", "")
    )
    found = score_variants(
        model, genome, [Variant("c1", 20, "", "A"), snv(genome, "c1", 300)], ["gc"], [128]
    )
    assert found["gc"][0] == 0
    assert abs(found["gc"][1]) <= 1


def test_more_columns_may_follow(model, genome):
    scoring = Scoring(model, genome, ["llr"], [128])
    scoring.extras.append(
        Extra((Column("twice", "twice the ratio"),), lambda variants, values: 2 * values)
    )
    found = scoring([snv(genome, "c1", 300), "symbolic"])
    assert found["twice"][0] == 2 * found["llr"][0]
    assert found.why == ["", "symbolic"]


def test_no_variants(model, genome):
    assert score_variants(model, genome, [], ["llr", "indel"], [128]).values.shape == (0, 3)


def test_variants_of_a_genome_on_disk(genome, model, tmp_path, contigs):
    other = write_genome(tmp_path / "other.fa", contigs)
    model.save_pretrained(tmp_path / "model")
    found = score_variants(tmp_path / "model", other.path, [snv(genome, "c1", 300)], ["llr"], [128])
    assert (
        found["llr"]
        == score_variants(model, genome, [snv(genome, "c1", 300)], ["llr"], [128])["llr"]
    )
