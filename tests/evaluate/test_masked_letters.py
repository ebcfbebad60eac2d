"""Held-out bits: every target hidden, answered once, the same for every model; and the report in
both protocols.
"""

import numpy as np
import pytest
import torch
from torch import nn

from orchid_genomics.data.corpus import Corpus, DataRecipe, GenomeRecipe
from orchid_genomics.errors import RecipeError
from orchid_genomics.evaluate.held_out import choose_sites, hide_letters
from orchid_genomics.evaluate.masked_letters import masked_bits, single_bits
from orchid_genomics.evaluate.protocols import (
    EvaluationRecipe,
    RegionRecipe,
    check_regions,
    evaluate,
    validation,
)
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA
from orchid_genomics.train.distributed import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))


class Scripted(nn.Module):
    """A model that gives `answer(tokens)` and keeps what it was shown."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.shown = answer, []

    def encode(self, tokens_BL):
        self.shown.append(tokens_BL.numpy().copy())
        return self.answer(tokens_BL)


def uniform():
    return Scripted(lambda tokens: torch.zeros(*tokens.shape, 4))


def sure_of_what_it_sees():
    """Right wherever the letter is shown, and without an idea where it is not."""
    return Scripted(lambda tokens: 50.0 * nn.functional.one_hot(tokens.long(), 7)[..., :4].float())


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(4)
    sizes = {"a": 9_000, "b": 900, "c": 3_333, "d": 5_000}
    with (tmp_path / "g.fa").open("w") as file:
        for name, size in sizes.items():
            file.write(
                f">{name}\n{bytes(rng.choice(list(b'ACGTacgtN'), size).tolist()).decode()}\n"
            )
    (tmp_path / "part.bed").write_text("a\t100\t250\na\t4000\t4100\n")
    genome = GenomeRecipe(
        fasta=tmp_path / "g.fa", validation=("b",), test=("c", "d"), test_bed=tmp_path / "part.bed"
    )
    return Corpus((genome,), DataRecipe(length=128))


def test_hidden_letters_are_15_percent_of_acgt_and_fixed(corpus):
    pieces, again = hide_letters(corpus, "test", 0), hide_letters(corpus, "test", 0)
    assert [piece.contig for piece in pieces] == ["c", "d", "a"]
    for piece, twin in zip(pieces, again, strict=True):
        known = (piece.tokens & CODE) < 4
        assert np.array_equal(piece.hidden, twin.hidden)
        assert not piece.hidden[~known].any()
        assert abs(piece.hidden[known].mean() - 0.15) < 0.03
        assert (piece.shown[piece.hidden] == DNA.mask).all()
        assert np.array_equal(piece.shown[~piece.hidden], (piece.tokens & CODE)[~piece.hidden])
    assert not np.array_equal(pieces[0].hidden, hide_letters(corpus, "test", 1)[0].hidden)
    whole = hide_letters(corpus, "test", 0, share=0.999999)
    assert sum(len(piece.targets) for piece in whole) == _known(corpus)


def _known(corpus):
    genome = corpus.genomes[0]
    places = [place for _, place in corpus.held_out("test")]
    return sum(int((genome.tokens(p.contig, p.start, p.end) & CODE < 4).sum()) for p in places)


@pytest.mark.parametrize("length", [128, 1024])
@pytest.mark.parametrize("batch", [1, 5])
def test_every_target_is_answered_once_and_never_shown(corpus, length, batch):
    pieces = hide_letters(corpus, "test", 0)
    model = sure_of_what_it_sees()
    bits = masked_bits(model, pieces, length, batch=batch, ranks=ALONE)
    assert [len(row) for row in bits] == [len(piece.targets) for piece in pieces]
    assert np.concatenate(bits) == pytest.approx(2.0)  # one shown target would be 0 bits
    read = np.concatenate([rows.ravel() for rows in model.shown])
    inside = sum(int(piece.hidden.sum()) for piece in pieces[:2])
    in_part = (
        pieces[2].hidden[[s for t in (0, 128, 4096 - 128, 4096) for s in range(t, t + 128)]].sum()
    )
    if length == 128:
        assert (read == DNA.mask).sum() == inside + in_part


def test_the_same_targets_for_every_window(corpus):
    pieces = hide_letters(corpus, "test", 0)
    favourite = Scripted(
        lambda tokens: torch.tensor([2.0, 0.0, -1.0, 1.0]).expand(*tokens.shape, 4)
    )
    found = [
        np.concatenate(masked_bits(favourite, pieces, length, batch=3, ranks=ALONE))
        for length in (128, 200, 1024)
    ]
    assert len(np.unique(found[0])) == 4
    assert np.allclose(found[0], found[1])
    assert np.allclose(found[0], found[2])


def test_a_uniform_model_has_exactly_two_bits(corpus):
    pieces = hide_letters(corpus, "test", 0)
    at = choose_sites(pieces, 100, 0)
    for bits in (
        masked_bits(uniform(), pieces, 128, batch=4, ranks=ALONE),
        single_bits(uniform(), pieces, at, 64, batch=7, ranks=ALONE),
    ):
        assert (np.concatenate(bits) == 2.0).all()


def test_sites_are_fixed_counted_known_and_held_out(corpus):
    pieces = hide_letters(corpus, "test", 0)
    found = choose_sites(pieces, 300, 0)
    assert sum(map(len, found)) == 300
    assert all(
        np.array_equal(a, b) for a, b in zip(found, choose_sites(pieces, 300, 0), strict=True)
    )
    for piece, at in zip(pieces, found, strict=True):
        assert (piece.inside[at] & ((piece.tokens[at] & CODE) < 4)).all()
        assert (np.diff(at) > 0).all()
    assert sum(map(len, choose_sites(pieces, 10**9, 0))) == _known(corpus)
    fewer = choose_sites(pieces, 100, 0)
    assert all(set(a) <= set(b) for a, b in zip(fewer, found, strict=True))
    assert sum(map(len, choose_sites(pieces, 0, 0))) == 0


@pytest.mark.parametrize("length", [33, 64])
def test_a_single_site_is_masked_alone_in_the_middle_of_its_window(corpus, length):
    pieces = hide_letters(corpus, "test", 0)
    at = choose_sites(pieces, 50, 0)
    model = sure_of_what_it_sees()
    bits = single_bits(model, pieces, at, length, batch=8, ranks=ALONE)
    assert [len(row) for row in bits] == [len(row) for row in at]
    assert np.concatenate(bits) == pytest.approx(2.0)
    shown = np.concatenate(model.shown)
    assert ((shown == DNA.mask).sum(1) == 1).all()
    assert (shown[:, length // 2] == DNA.mask).all()
    place, first = int(at[0][0]), shown[0].copy()
    first[length // 2] = pieces[0].tokens[place] & CODE
    whole = Genome(corpus.genomes[0].path).tokens(
        "c", place - length // 2, place - length // 2 + length
    )
    assert np.array_equal(first, whole & CODE)


def test_a_subset_of_validation_is_spread_out_and_leaves_the_rest_nan(corpus):
    pieces = hide_letters(corpus, "test", 0)
    model = uniform()
    bits = masked_bits(model, pieces, 128, batch=4, ranks=ALONE, most=10)
    assert sum(map(len, model.shown)) == 10
    answered = [int(np.isfinite(row).sum()) for row in bits]
    assert 0 < sum(answered) < sum(len(piece.targets) for piece in pieces)
    assert answered[0]
    assert answered[1]
    check = validation(uniform(), corpus, 128, EvaluationRecipe(validation_windows=3), ranks=ALONE)
    assert check() == 2.0


def test_no_validation_split_means_no_validation(tmp_path, corpus):
    corpus = Corpus((GenomeRecipe(fasta=tmp_path / "g.fa"),), DataRecipe(length=128))
    assert validation(uniform(), corpus, 128, EvaluationRecipe(), ranks=ALONE) is None
    assert evaluate(uniform(), corpus, 128, EvaluationRecipe(), ranks=ALONE) == []


def test_the_report_stands_beside_baselines_in_both_protocols(corpus, tmp_path):
    parts = (
        RegionRecipe(name="in", bed=tmp_path / "in.bed"),
        RegionRecipe(name="out", bed=tmp_path / "in.bed", outside=True),
    )
    (tmp_path / "in.bed").write_text("c\t1000\t2000\n")
    recipe = EvaluationRecipe(sites=60, site_length=4096, batch=2, regions=parts)
    masked, single = evaluate(uniform(), corpus, 128, recipe, ranks=ALONE)
    assert "15% masked, 128 nt" in masked.title
    assert "one masked letter, 4,096 nt" in single.title
    for protocol, count in (
        (masked, sum(len(p.targets) for p in hide_letters(corpus, "test", 0))),
        (single, 60),
    ):
        names = list(protocol.scores)
        assert names[0] == "model"
        assert len(names) == 5
        scores = {score.name: score for score in protocol.scores["model"]}
        assert (scores["all"].mean, scores["all"].targets) == (2.0, count)
        assert scores["in"].targets + scores["out"].targets == count
        assert scores["repeated"].targets + scores["unique"].targets == count
        assert 0.25 < scores["soft-masked"].targets / count < 0.75
        assert set(protocol.differences) == set(names[1:])
        assert all(f"model - {name}: " in protocol.text() for name in names[1:])
        assert "too few blocks" not in protocol.text()
    longer = recipe.model_copy(update={"length": 512, "site_length": None, "baselines": False})
    titles = [table.title for table in evaluate(uniform(), corpus, 128, longer, ranks=ALONE)]
    assert [title.split(", ")[-1] for title in titles] == ["512 nt", "512 nt"]
    assert (
        evaluate(
            uniform(),
            corpus,
            128,
            recipe.model_copy(update={"sites": 0, "baselines": False}),
            ranks=ALONE,
        )[1:]
        == []
    )


def test_one_block_of_sequence_says_neither_better_nor_worse(corpus, tmp_path):
    corpus = Corpus((GenomeRecipe(fasta=tmp_path / "g.fa", test=("d",)),), DataRecipe(length=128))
    for protocol in evaluate(uniform(), corpus, 128, EvaluationRecipe(sites=20), ranks=ALONE):
        assert protocol.text().count(", too few blocks of 10 kb to say") == 4


def test_a_region_of_a_genome_that_is_not_there_is_refused_before_any_work(corpus, tmp_path):
    parts = (RegionRecipe(name="x", bed=tmp_path / "part.bed", genome=2),)
    with pytest.raises(RecipeError, match=r"evaluation\.regions\.0\.genome: no genome 2; 0 to 0"):
        check_regions(corpus, parts)


@pytest.mark.parametrize(("length", "rows"), [(256, 4), (2048, 1)])
def test_windows_of_a_circular_contig_have_no_ends(tmp_path, length, rows):
    """Tiles go on at the origin, and a contig that is no longer than one is read whole."""
    letters = bytes(np.random.default_rng(0).choice(list(b"ACGT"), 900).tolist()).decode()
    (tmp_path / "g.fa").write_text(f">a\n{letters}\n>p\n{letters[::-1]}\n")
    recipe = GenomeRecipe(fasta=tmp_path / "g.fa", test=("p",), circular=("p",))
    pieces = hide_letters(Corpus((recipe,), DataRecipe(length=64)), "test", seed=0)
    model = uniform()
    (bits,) = masked_bits(model, pieces, length, batch=8, ranks=ALONE)
    assert (bits == 2).all()
    (shown,) = model.shown
    assert shown.shape == (rows, min(length, 900))
    assert (shown != DNA.n).all()
    sites = choose_sites(pieces, 30, seed=0)
    (single,) = single_bits(model, pieces, sites, length, batch=8, ranks=ALONE)
    assert (single == 2).all()
    assert all((each != DNA.n).all() for each in model.shown)
