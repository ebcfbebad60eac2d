"""The verdict: who is compared with whom, on which rows, and what its first line says."""

import re

import numpy as np
import pytest
from compared_sets import ROWS, labelled, model, other

from orchid_genomics.evaluate.answered import Answered, constant_answer
from orchid_genomics.evaluate.comparison import (
    compare,
    families,
    mean_interval,
    seen_in_pretraining,
    shared_letters,
)
from orchid_genomics.evaluate.comparison_text import verdict_text
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.sequence import DNA


def test_the_comparator_is_the_best_on_validation_not_on_test():
    data = labelled()
    lucky = other(data, "lucky", 3.0)
    perfect = data.target[data.rows("test")][:, None] * 1.0
    lucky = Answered(
        "lucky", lucky.validation, perfect, "", 1
    )  # worse on validation, perfect on test
    found = compare(data, model(data, 0.3), [lucky, other(data, "steady", 0.6)], [])
    assert found.comparator == "steady"
    assert found.line("lucky").scores["MCC"].value == 1.0


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (0.3, 1.5, "beats"),
        (1.5, 0.3, "does NOT beat"),
        (1, 1, "is level with"),
        (0.7, 1, "is level with"),
    ],
)
def test_the_first_line_says_whether_the_encoder_is_better(ours, theirs, says):
    data = labelled()
    found = compare(
        data, model(data, ours), [other(data, "k-mers", theirs)], ["Pretraining: none."]
    )
    first = verdict_text(found).splitlines()[0]
    assert first.startswith(f"The encoder {says} ")
    assert re.search(
        r"k-mers: MCC [\d.-]+ against [\d.-]+, a difference of [+-][\d.]+ \([+-][\d.]+ to"
        r" [+-][\d.]+\)\.",
        first,
    )
    gap = found.line("k-mers").minus["MCC"]
    assert gap.value == pytest.approx(
        found.lines[0].scores["MCC"].value - found.line("k-mers").scores["MCC"].value
    )
    assert found.better == (gap.low > 0)


def test_without_an_alternative_there_is_no_verdict():
    data = labelled()
    constant = constant_answer(data)
    verdict = compare(data, model(data, 0.3), [constant], [])
    first = verdict.sentence()
    assert re.match(r"No alternative was run, so there is no verdict: MCC [\d.]+ \(", first)
    assert verdict.values()["better"] is None
    assert "best alternative" not in verdict_text(verdict)
    assert "majority class *" not in verdict_text(verdict)


def test_paired_differences_are_surer_than_the_intervals_apart():
    data = labelled()
    ours = model(data, 0.5)
    twin = Answered("twin", ours.together.validation * 0.999, ours.together.test * 0.999, "", 1)
    line = compare(data, ours, [twin], []).line("twin")
    assert (line.minus["AUROC"].low, line.minus["AUROC"].high) == (0, 0)
    assert line.scores["AUROC"].high - line.scores["AUROC"].low > 0.02


def test_a_test_row_that_shares_thirty_letters_with_training_is_counted_and_scored_apart():
    data = labelled()
    test, train = data.rows("test"), data.rows("train")
    data.tokens[test[0]][5:35] = data.tokens[train[0]][20:50]  # half of its letters
    data.tokens[test[1]][:] = DNA.reverse_complement(
        data.tokens[train[1]]
    )  # the whole row, on the other strand
    data.tokens[test[2]][5:34] = data.tokens[train[2]][20:49]  # one letter too few
    for row, end in ((0, 35), (2, 34)):  # what stands beside the stretch differs
        data.tokens[test[row]][4] = (data.tokens[train[row]][19] + 1) % 4
        data.tokens[test[row]][end] = (data.tokens[train[row]][end + 15] + 1) % 4
    shared = shared_letters(data, test)
    assert shared[0] == 0.5
    assert shared[1] == 1.0
    assert not shared[2:].any()
    found = compare(data, model(data, 0.5), [other(data, "k-mers", 1.0)], [])
    assert found.rows["sharing 30 letters with training"] == 2
    assert found.rows["near-duplicates of training"] == 1
    assert "test rows that share none, 198" in verdict_text(found)
    kept = np.ones(len(test), bool)
    kept[:2] = False
    line = found.lines[0]
    answer = model(data, 0.5).together.test[kept, 0] >= line.thresholds[0]
    assert line.apart["accuracy"].value == pytest.approx((answer == data.target[test][kept]).mean())
    theirs = found.lines[1]
    gap = theirs.apart_minus["MCC"]
    assert gap.value == pytest.approx(line.apart["MCC"].value - theirs.apart["MCC"].value)
    assert gap.low < gap.value < gap.high
    assert f"on these the encoder's MCC minus that of k-mers is {gap.value:+.3f}" in verdict_text(
        found
    )


def test_a_short_test_row_does_not_change_what_the_others_share():
    data = labelled()
    test, train = data.rows("test"), data.rows("train")
    data.tokens[test[0]] = data.tokens[train[0]][:12]
    data.tokens[test[1]][:] = data.tokens[train[1]]
    shared = shared_letters(data, test)
    assert shared[:2].tolist() == [1.0, 1.0]
    assert not shared[
        2:
    ].any()  # sixty letters at random share twelve with training, but never thirty


def test_rows_of_a_locus_are_drawn_together():
    data = labelled(places=True)
    assert len(set(families(data).tolist())) == ROWS // 10
    data.group[:] = np.arange(ROWS) // 2 * 2  # pairs, of which some stand in two loci
    data.group[[0, 399]] = 7  # and one family at both ends
    assert len(set(families(data).tolist())) == ROWS // 10 - 1
    assert families(data)[0] == families(data)[399]
    assert len(set(families(labelled()).tolist())) == ROWS


def test_few_families_are_said_to_make_rough_intervals():
    data = labelled()
    said = "so few families or loci make intervals that are narrower than the truth"
    assert said not in verdict_text(
        compare(data, model(data, 0.5), [other(data, "k-mers", 1.0)], [])
    )
    data.group[:] = np.arange(ROWS) % 9
    assert said in verdict_text(compare(data, model(data, 0.5), [other(data, "k-mers", 1.0)], []))


def test_an_interval_without_width_is_not_printed():
    data = labelled()
    ours = model(data, 0.5)
    sure = data.target[data.rows("test")][:, None] * 1.0
    perfect = Answered("look-up", data.target[data.rows("validation")][:, None] * 1.0, sure)
    twin = Answered("twin", ours.together.validation, ours.together.test)
    text = verdict_text(compare(data, ours, [constant_answer(data), perfect, twin], []))
    rows = {line.split("  ")[0].strip(" *"): line.split() for line in text.splitlines()}
    assert "-" in rows["look-up"]
    assert "-" in rows["majority class"]
    assert not re.search(r"([\d.]{5})(-| to )\1", text)
    only = compare(data, ours, [twin], []).sentence()
    assert "is level with" in only
    assert "+0.000 (every resample alike, so no interval)" in only


def test_what_pretraining_saw_is_counted_by_place():
    data = labelled(places=True)
    genome = {
        "fasta": "g.fa",
        "contigs": {"chr1": 10**6},
        "seen": {"chr1": [[200_000, 209_990], [395_050, 10**6]]},
    }

    def read(genomes: list[dict]) -> Provenance:
        return Provenance.model_validate({"genomes": genomes})

    assert (
        seen_in_pretraining(data, read([genome]))
        == "Pretraining on g.fa saw 15 of 200 test loci (by contig name and place)."
    )
    plain = {**genome, "contigs": {"1": 10**6}, "seen": {"1": genome["seen"]["chr1"]}}
    with pytest.warns(GenomeNote, match="contigs renamed to those of g.fa: chr1 -> 1"):
        assert "saw 15 of 200 test loci" in seen_in_pretraining(data, read([plain]))
    other_genome = {**genome, "contigs": {"scaffold_9": 5}, "seen": {}}
    assert "has none of the contigs of the test rows" in seen_in_pretraining(
        data, read([other_genome])
    )
    assert "no coordinates" in seen_in_pretraining(labelled(), read([genome]))
    assert "does not say what it read" in seen_in_pretraining(data, Provenance())


def test_networks_are_listed_with_their_mean_and_what_they_score_together():
    data = labelled()
    found = compare(data, model(data, 1.0, (0, 1, 2)), [other(data, "k-mers", 1.0)], [])
    each = found.networks["model"]
    assert len(each) == 4
    assert each[3] > max(each[:3]), "noise averages out"
    mean = mean_interval(each[:3])
    assert mean.low < mean.value < mean.high
    assert mean.value == pytest.approx(np.mean(each[:3]))
    assert "3 networks: MCC " in verdict_text(found)
