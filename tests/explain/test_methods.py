"""Regions through files: every method, every format, both strands, every reason, kills and
shards.
"""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from orchid_genomics.errors import InputError
from orchid_genomics.explain import OneHot, one_hot
from orchid_genomics.explain.arrays import read_explained
from orchid_genomics.explain.explainer import Explainer
from orchid_genomics.explain.methods import METHODS, Options
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import Track
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import PooledRecipe
from orchid_genomics.sequence import Interval
from orchid_genomics.tasks.explain import explain

QUICK = {"references": 1, "most_steps": 1}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    letters = np.random.default_rng(0).choice(list("ACGTacgt"), 400)
    letters[300:340] = "N"
    text = "".join(letters)
    (folder / "g.fa").write_text(f">chr1\n{text}\n>chr2\n{text[::-1]}\n")
    return Genome(folder / "g.fa", cache=folder)


@pytest.fixture
def files(tmp_path, genome, tiny_model):
    """A model folder and a BED with one region for every reason, and two on the two strands of one
    place.
    """
    tiny_model.save_pretrained(tmp_path / "model")
    rows = [
        "chr1 10 50 f 0 +",
        "chr1 10 50 r 0 -",
        "chr2 30 62 s 0 .",
        "chr1 305 335 n 0 +",
        "chr9 1 5",
        "chr2 390 410",
    ]
    (tmp_path / "in.bed").write_text("".join("\t".join(row.split()) + "\n" for row in rows))
    return tmp_path / "model", genome.path, tmp_path / "in.bed"


@pytest.mark.parametrize("method", METHODS)
def test_the_other_strand_of_a_region_has_the_mirrored_arrays(tiny_model, genome, method):
    explainer = Explainer(tiny_model, genome, Options(method, window=60, **QUICK))
    strands = [Interval("chr1", 20, 60, "+"), Interval("chr1", 20, 60, "-")]
    here, there = (region.arrays for region in explainer(strands))
    assert here["projected"].shape == (40,)
    for name, turned in (
        ("projected", (0,)),
        ("hypothetical", (0, 1)),
        ("effects", (0, 1)),
        ("dependency", (0, 1)),
    ):
        if name in here:
            np.testing.assert_allclose(
                np.flip(there[name], turned), here[name], atol=1e-3, rtol=1e-3
            )
    np.testing.assert_allclose(there["difference"], here["difference"], rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_region_does_not_know_those_beside_it(tiny_model, genome, method):
    explainer = Explainer(tiny_model, genome, Options(method, window=64, **QUICK))
    places = [Interval("chr1", 20, 60), Interval("chr2", 5, 45), Interval("chr1", 100, 130)]
    for together in explainer(places):
        (alone,) = explainer([together.interval])
        np.testing.assert_allclose(
            together.arrays["projected"], alone.arrays["projected"], atol=1e-4, rtol=1e-3
        )


def test_a_window_is_read_and_the_region_alone_explained(tiny_model, genome):
    (found,) = Explainer(tiny_model, genome, Options("ism", "pll", window=61))(
        [Interval("chr1", 20, 60)]
    )
    tokens = torch.from_numpy(genome.tokens("chr1", 9, 71))[None]
    model = OneHot(tiny_model, "pll", span=(11, 51))
    mutant = one_hot(tokens)
    letter = (int(tokens[0, 11] & 3) + 1) % 4
    mutant[0, :, 11] = torch.eye(4)[letter]
    with torch.no_grad():
        change = model(mutant) - model(one_hot(tokens))
    effects = found.arrays["effects"]
    assert effects.shape == (4, 40)
    np.testing.assert_allclose(effects[letter, 0], change.item(), atol=1e-3)


def test_every_format_holds_the_same_numbers_and_every_region_is_answered(files, tmp_path):
    outs = [tmp_path / f"out.{kind}" for kind in ("h5", "npz", "bw", "bedgraph.gz")]
    summary = explain(*files, outs, Options("ism", window=64), quiet=True)
    assert (summary["regions"], summary["explained"]) == (6, 3)
    assert summary["reasons"] == {"all_n": 1, "off_contig": 1, "unknown_contig": 1}
    rows, of_npz = list(read_explained(outs[0])), list(read_explained(outs[1]))
    for one, other in zip(rows, of_npz, strict=True):
        assert (one.interval, one.why) == (other.interval, other.why)
        assert one.arrays.keys() == other.arrays.keys()
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(values, other.arrays[name])
    assert [row.why for row in rows] == ["", "", "", "all_n", "unknown_contig", "off_contig"]
    assert [row.interval.name for row in rows] == ["f", "r", "s", "n", "", ""]
    with np.load(outs[1]) as npz, h5py.File(outs[0]) as h5:
        for name in ("one_hot", "hypothetical", "projected", "effects"):
            np.testing.assert_array_equal(npz[name], h5[name][:])
        assert h5["one_hot"].shape == (6, 4, 40)
        assert h5["one_hot"][2, :, 32:].sum() == 0
        assert np.isnan(h5["projected"][3]).all()
        assert h5.attrs["method"] == "ism"
        assert h5.attrs["target"] == "pll"
        assert len(h5.attrs["model"]) == 12
    forward, reverse, other = (row.arrays["projected"] for row in rows[:3])
    for path in outs[2:]:
        track = Track(path)
        np.testing.assert_allclose(
            track.values("chr1", 10, 50), (forward + reverse[::-1]) / 2, rtol=1e-5
        )
        np.testing.assert_allclose(track.values("chr2", 30, 62), other, rtol=1e-5)
        assert np.isnan(track.values("chr1", 60, 70)).all()


def test_shards_merge_to_the_same_numbers_and_a_kill_resumes(files, tmp_path, monkeypatch):
    from orchid_genomics.tasks import explain as module
    from orchid_genomics.tasks.merge import merge

    monkeypatch.setattr(module, "BLOCK", 2)
    options = Options("gradient", window=64)
    explain(*files, tmp_path / "whole.h5", options, quiet=True)
    for shard in ("1/2", "2/2"):
        assert explain(*files, tmp_path / "cut.h5", options, shard=shard, quiet=True) is None
    merge([tmp_path / "cut.h5.parts"], tmp_path / "cut.h5", quiet=True)
    answer = Explainer.__call__
    calls = []

    def killed(self, places):
        calls.append(places)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answer(self, places)

    monkeypatch.setattr(Explainer, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        explain(*files, tmp_path / "resumed.h5", options, quiet=True)
    explain(*files, tmp_path / "resumed.h5", options, resume=True, quiet=True)
    assert len(calls) == 4
    with h5py.File(tmp_path / "whole.h5") as whole:
        for name in ("cut", "resumed"):
            with h5py.File(tmp_path / f"{name}.h5") as file:
                np.testing.assert_array_equal(whole["projected"][:], file["projected"][:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(target="CTCF"), "target: the model has no 'CTCF'; it has pll, pll-hidden"),
        (
            Options("dependency", "pll"),
            "target: says nothing to the method dependency; the method dependency without",
        ),
        (
            Options("magic"),
            (
                "method: unknown method 'magic'; possible: gradient, integrated, deeplift, ism,"
                " dependency"
            ),
        ),
        (Options(window=0), "window: 0; 1 letter or more"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(files, tmp_path, options, message):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        explain(*files, tmp_path / "out.h5", options, quiet=True)
    assert str(error.value).startswith(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_region_longer_than_the_model_reads_is_answered(tiny_model, genome, monkeypatch):
    short = replace(METHODS["dependency"], longest=30)
    monkeypatch.setitem(METHODS, "dependency", short)
    (region,) = Explainer(tiny_model, genome, Options("dependency"))([Interval("chr1", 0, 31)])
    assert (region.why, region.arrays) == ("too_long", {})


def test_a_head_of_several_outputs_is_asked_which(made, genome):
    model = made(PooledRecipe(task="multilabel", labels=("CTCF", "REST")))
    with pytest.raises(InputError) as error:
        Explainer(model, genome)
    assert str(error.value) == "target: not given, and the model has several; it has CTCF, REST"
    (found,) = Explainer(model, genome, Options("deeplift", "REST", references=2, window=64))(
        [Interval("chr1", 0, 40)]
    )
    assert found.arrays["error"] < 1e-3


def test_another_ending_and_another_file_are_one_line(files, tmp_path):
    with pytest.raises(InputError, match=r"'out.txt' names no format; .h5, .npz, .bw"):
        explain(*files, tmp_path / "out.txt")
    with pytest.raises(InputError, match="holds no explained regions"):
        list(read_explained(files[2]))


def test_the_default_reads_as_much_as_the_model_was_trained_on(made, genome, tmp_path):
    model = made()
    model.save_pretrained(tmp_path / "model", {"report": {"length": 128}})
    model = OrchidModel.from_pretrained(tmp_path / "model")
    interval = Interval("chr1", 100, 110)
    (alone,) = Explainer(model, genome)([interval])
    (given,) = Explainer(model, genome, Options(window=128))([interval])
    (short,) = Explainer(model, genome, Options(window=10))([interval])
    np.testing.assert_array_equal(alone.arrays["projected"], given.arrays["projected"])
    assert np.abs(alone.arrays["projected"] - short.arrays["projected"]).max() > 1e-3
    assert Explainer(model, genome).options.method == "ism"  # and not the gradient


def test_a_region_longer_than_the_window_is_read_alone_and_told(files, tmp_path, capsys):
    summary = explain(*files, tmp_path / "out.npz", Options("gradient", window=35))
    assert summary["longer_than_window"] == 2
    told = "2 regions are longer than the window of 35 letters: read alone, their ends are joined"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("method", ["gradient", "integrated", "deeplift", "ism", "dependency"])
def test_where_nothing_can_be_told_a_reason_stands_and_never_a_row_of_zeros(
    tiny_model, tmp_path, method
):
    (tmp_path / "flat.fa").write_text(">a\n" + "A" * 300 + "\n>c\n" + "ACGT" * 50 + "\n")
    genome = Genome(tmp_path / "flat.fa", cache=tmp_path)
    explainer = Explainer(tiny_model, genome, Options(method, window=1, most_steps=1))
    regions = explainer([Interval("a", 100, 140), Interval("c", 7, 8), Interval("c", 20, 22)])
    for region in regions:
        assert bool(region.why) != bool(region.arrays)
        if region.why:
            assert region.why in ("no_contrast", "all_zero")
        else:
            assert region.arrays["projected"].any()
    if METHODS[method].references:
        assert [region.why for region in regions] == ["no_contrast"] * 3


def test_letters_in_which_no_reference_differs_are_counted_and_told(files, tmp_path, capsys):
    summary = explain(
        *files, tmp_path / "two.npz", Options("integrated", references=2, window=128, most_steps=1)
    )
    assert summary["references"] == 2
    assert 0 < summary["uncontrasted"] < summary["letters"] / 2
    told = f"{summary['uncontrasted']:,} of {summary['letters']:,} letters differ in no reference"
    assert told in capsys.readouterr().err
    for region in read_explained(tmp_path / "two.npz"):
        if not region.why:
            silent = region.arrays["contrasts"] == 0
            assert (region.arrays["projected"][silent] == 0).all()
    options = Options("integrated", window=128, most_steps=1)
    default = explain(*files, tmp_path / "own.npz", options, quiet=True)
    assert default["references"] == 10  # what was used, and not 0
    assert default["uncontrasted"] == 1  # a shuffle keeps the last letter before a run of N


def test_a_window_that_no_machine_holds_is_refused(tiny_model, genome):
    with pytest.raises(InputError, match=r"^window: 100,000,000,000 nt need over [\d,]+ GB of"):
        Explainer(tiny_model, genome, Options("ism", window=100_000_000_000))
