"""[[tracks]]: rates of a simulated alignment, learned beside the letters and told of variants."""

import numpy as np
import pytest
import torch

from orchid_genomics.cli import main
from orchid_genomics.errors import InputError, OrchidError, RecipeError
from orchid_genomics.genome.signal import write_track
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.recipe import load
from orchid_genomics.sequence import DNA
from orchid_genomics.tasks.pretrain import build, pretrain
from orchid_genomics.tasks.pretraining import PretrainRecipe, open_source
from orchid_genomics.train.rates import gaussian_nats

MOTIF = "TGACGTCATTGACC"
SIZES = {"a": 12_000, "t": 4_000, "v": 2_000}
SPECIES = 12
RECIPE = """
[[genomes]]
fasta = "genome.fa"
validation = ["v"]
test = ["t"]
[[tracks]]
file = "rate.bw"
weight = 1.0
[data]
length = 128
strands = "both"
[model]
width = 16
depth = 1
stem = 15
[optimizer]
rate = 1e-2
[training]
device = "cpu"
steps = 150
batch = 8
validate_every = 150
[evaluation]
sites = 0
validation_windows = 16
baselines = false
"""


def simulate(rng, size):
    """Letters with motifs that hardly change, and how many of a star of species changed each."""
    letters = rng.choice(list("ACGT"), size)
    rate = np.full(size, 0.8)
    for start in range(20, size - 40, 45):
        at = start + int(rng.integers(25))
        # Either strand: the model must know both.
        turned = DNA.decode(DNA.reverse_complement(DNA.encode(MOTIF)))
        letters[at : at + len(MOTIF)] = list(MOTIF if rng.random() < 0.5 else turned)
        rate[at : at + len(MOTIF)] = 0.05
    changed = rng.binomial(SPECIES, 0.75 * (1 - np.exp(-rate / 0.75)))
    return "".join(letters), rate, changed / SPECIES


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    contigs = {name: simulate(rng, size) for name, size in SIZES.items()}
    lines = "".join(f">{name}\n{letters}\n" for name, (letters, _, _) in contigs.items())
    (folder / "genome.fa").write_text(lines)
    pieces = [(name, 0, changed) for name, (_, _, changed) in contigs.items()]
    write_track(folder / "rate.bw", SIZES, pieces)
    (folder / "rates.toml").write_text(RECIPE)
    return folder, contigs


@pytest.fixture(scope="module")
def run(planted):
    folder, _ = planted
    pretrain(folder / "rates.toml", folder / "run")
    return folder / "run"


def test_rates_of_held_out_letters_are_what_was_planted(planted, run):
    letters, rate, _ = planted[1]["t"]
    model = OrchidModel.from_pretrained(run / "model")
    tokens = torch.from_numpy(DNA.encode(letters[:3_968]).copy()).reshape(-1, 128)
    with torch.inference_mode():
        _, (mean, log_variance) = model.encode_with_rates(tokens)
    truth = rate[:3_968] > 0.5
    said = mean.flatten().numpy()
    assert np.corrcoef(said, truth)[0, 1] > 0.6
    # In the track's own units, and surer of letters that hardly change.
    assert said[truth].mean() == pytest.approx(0.49, abs=0.1)
    assert said[~truth].mean() < 0.3
    spread = log_variance.flatten().numpy()
    assert spread[~truth].mean() < spread[truth].mean()


def test_the_other_strand_has_the_same_rates(planted, run):
    model = OrchidModel.from_pretrained(run / "model").double()
    tokens = DNA.encode(planted[1]["t"][0][:300]).copy()
    with torch.inference_mode():
        here = model.encode_with_rates(torch.from_numpy(tokens)[None])[1]
        there = model.encode_with_rates(torch.from_numpy(DNA.reverse_complement(tokens))[None])[1]
    for one, other in zip(here, there, strict=True):
        assert torch.allclose(one, other.flip(1), atol=1e-5)


def test_variants_get_the_rate_of_their_letter(planted, run, capsys):
    folder, contigs = planted
    letters, rate, _ = contigs["t"]
    places = range(200, 3_800, 60)
    rows = [f"t\t{at + 1}\t.\t{letters[at]}\t{'CATG'['ACGT'.index(letters[at])]}" for at in places]
    text = "##fileformat=VCFv4.2\n##contig=<ID=t>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "in.vcf").write_text(text + "".join(f"{row}\t.\t.\t.\n" for row in rows))
    words = ["--scores", "rate", "--window", "128", "-o", folder / "out.tsv"]
    inputs = ["score-variants", run / "model", folder / "genome.fa", folder / "in.vcf"]
    main([str(word) for word in inputs + words])
    lines = [line for line in (folder / "out.tsv").read_text().splitlines() if line[:2] != "##"]
    column = lines[0].split("\t").index("rate_rate")
    said = np.array([float(line.split("\t")[column]) for line in lines[1:]])
    assert np.corrcoef(said, rate[list(places)])[0, 1] > 0.5


def test_a_run_says_how_its_rates_agree_and_can_go_on(planted, tmp_path, capsys):
    folder, _ = planted
    short = ["training.steps=6", "training.save_every=3", "training.validate_every=3"]
    whole = pretrain(folder / "rates.toml", tmp_path / "whole", tuple(short))
    assert "track rate: correlation" in capsys.readouterr().err
    first = (*short[1:], "training.steps=3")
    pretrain(folder / "rates.toml", tmp_path / "parts", first)
    parts = pretrain(folder / "rates.toml", tmp_path / "parts", tuple(short), resume=True)
    states = [OrchidModel.from_pretrained(path).state_dict() for path in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    assert float(states[0]["head.rates.scale"]) > 0


def test_weights_of_letters_are_drawn_as_without_tracks(planted):
    recipe = load(planted[0] / "rates.toml", PretrainRecipe)
    plain = build(recipe.model_copy(update={"tracks": ()})).state_dict()
    tracked = build(recipe).state_dict()
    assert all(torch.equal(plain[name], tracked[name]) for name in plain)
    assert {name for name in tracked if name not in plain} == {
        f"head.rates.{name}" for name in ("weight", "bias", "shift", "scale")
    }


def test_letters_without_a_value_do_not_count():
    signal = torch.tensor([[[1.0], [float("nan")], [3.0]]])
    mean = torch.tensor([[[1.0], [100.0], [1.0]]], requires_grad=True)
    loss = gaussian_nats(signal, mean, torch.zeros(1, 3, 1))
    assert loss.item() == pytest.approx((0 + 4) / 2 / 2)
    loss.sum().backward()
    assert mean.grad.flatten().tolist() == [0.0, 0.0, -1.0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("tracks.0.genome=2", RecipeError, "no genome 2; 0 to 0"),
        ("tracks.0.file=other.bw", InputError, "no contig of genome.fa"),
        ("tracks.0.file=short.bw", InputError, "contig a has 11,999 letters"),
        ("tracks.0.file=flat.bw", InputError, "has no two values in the training windows"),
        ("tracks.0.name='a b'", RecipeError, "tracks.0.name"),
        ("tracks.0.weight=0", RecipeError, "tracks.0.weight"),
        ("relatives=[{ fasta = 'genome.fa' }]", RecipeError, "either tracks, or relatives"),
    ],
)
def test_a_wrong_track_is_one_line(planted, tmp_path, change, error, message):
    folder, _ = planted
    write_track(folder / "other.bw", {"z": 900}, [("z", 0, np.arange(900.0))])
    short = SIZES | {"a": 11_999}
    write_track(folder / "short.bw", short, [("a", 0, np.arange(100.0))])
    write_track(folder / "flat.bw", SIZES, [("a", 0, np.ones(12_000))])
    with pytest.raises(error, match=message):
        pretrain(folder / "rates.toml", tmp_path / "run", (change,))


def test_a_model_without_tracks_has_no_rate(small, tmp_path):
    model = build(load(small, PretrainRecipe))
    with pytest.raises(OrchidError, match=r"predicts no tracks; one trained with \[\[tracks\]\]"):
        model.encode_with_rates(torch.zeros(1, 64, dtype=torch.uint8))


def test_a_run_without_tracks_is_unchanged(small):
    source = open_source(load(small, PretrainRecipe))
    model = build(source.recipe)
    assert source.trainable(model) is model
    assert type(source.objective()).__name__ == "MaskedLetters"
