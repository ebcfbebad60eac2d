"""The verdict: who is compared with whom, on which rows, and what its first line says."""

import re
from html.parser import HTMLParser
from pathlib import Path
from shutil import which
from subprocess import run

import numpy as np
import pytest
from torch import nn

from orchid_genomics.answers.supervised_tasks import task_of
from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.evaluate.answered import Answered
from orchid_genomics.evaluate.arms import SeedFit, TrainedArm
from orchid_genomics.evaluate.charts import Series, chart, matrix
from orchid_genomics.evaluate.comparison import (
    compare,
    families,
    mean_interval,
    seen_in_pretraining,
    shared_letters,
)
from orchid_genomics.evaluate.comparison_text import verdict_text
from orchid_genomics.evaluate.report import Curves, page, reliability
from orchid_genomics.genome.contigs import GenomeNote
from orchid_genomics.sequence import DNA, Interval

ROWS = 400  # a quarter trains, a quarter validates, half is tested


def labelled(labels=("no", "yes"), task="binary", places=False) -> LabelledSet:
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 4, 60).astype(np.uint8) for _ in range(ROWS)]
    target = (
        rng.integers(0, 2, ROWS)
        if task == "binary"
        else rng.normal(size=(ROWS, 1)).astype(np.float32)
    )
    split = np.repeat([0, 1, 2, 2], ROWS // 4)
    where = [f"row {row}" for row in range(ROWS)]
    at = [Interval("chr1", 1000 * row, 1000 * row + 60) for row in range(ROWS)] if places else None
    kind = task_of(task, labels)
    return LabelledSet("set.tsv", kind, tokens, target, split, np.arange(ROWS), where, at)


def answers(data: LabelledSet, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth with noise, on validation and test."""
    rng = np.random.default_rng(seed)
    target = data.target.reshape(ROWS, -1).astype(float)
    found = target + rng.normal(size=target.shape) * noise
    if data.task.has_classes:
        found = 1 / (1 + np.exp(-4 * (found - 0.5)))
    return found[data.rows("validation")], found[data.rows("test")]


def model(data: LabelledSet, noise: float, seeds=(0,)) -> TrainedArm:
    log = [{"step": step, "loss": 1 / (step + 1)} for step in range(40)]
    log += [{"step": step, "validation_1-AUROC": 0.5 / step} for step in (10, 20)]
    fits = []
    for seed in seeds:
        validation, test = answers(data, noise, 10 + seed)
        fits.append(SeedFit(seed, nn.Linear(2, 1), 0.5, validation, test, log))
    return TrainedArm("model", tuple(fits), 1e-3, {}, 1.0)


def other(data: LabelledSet, name: str, noise: float, seed: int = 1) -> Answered:
    return Answered(name, *answers(data, noise, seed), "C = 1", 7)


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
    [(0.3, 1.5, "beats"), (1.5, 0.3, "does NOT beat"), (1, 1, "does NOT beat")],
)
def test_the_first_line_says_whether_the_encoder_is_better(ours, theirs, says):
    data = labelled()
    found = compare(
        data, model(data, ours), [other(data, "k-mers", theirs)], ["Pretraining: none."]
    )
    first = verdict_text(found).splitlines()[0]
    assert first.startswith(f"The encoder {says} ")
    assert re.search(
        r"k-mers: MCC [\d.-]+ against [\d.-]+, a difference of [+-][\d.]+ \([+-][\d.]+ to [+-][\d.]+\)\.",
        first,
    )
    gap = found.line("k-mers").minus["MCC"]
    assert gap.value == pytest.approx(
        found.lines[0].scores["MCC"].value - found.line("k-mers").scores["MCC"].value
    )
    assert found.better == (gap.low > 0)


def test_paired_differences_are_surer_than_the_intervals_apart():
    data = labelled()
    ours = model(data, 0.5)
    twin = Answered("twin", ours.best.validation * 0.999, ours.best.test * 0.999, "", 1)
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
    answer = model(data, 0.5).best.test[kept, 0] >= line.thresholds[0]
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


def test_what_pretraining_saw_is_counted_by_place():
    data = labelled(places=True)
    genome = {
        "fasta": "g.fa",
        "contigs": {"chr1": 10**6},
        "seen": {"chr1": [[200_000, 209_990], [395_050, 10**6]]},
    }
    assert seen_in_pretraining(data, {"genomes": [genome]}) == (
        "Pretraining on g.fa saw 15 of 200 test loci (by contig name and place)."
    )
    plain = {**genome, "contigs": {"1": 10**6}, "seen": {"1": genome["seen"]["chr1"]}}
    with pytest.warns(GenomeNote, match="contigs renamed to those of g.fa: chr1 -> 1"):
        assert "saw 15 of 200 test loci" in seen_in_pretraining(data, {"genomes": [plain]})
    other_genome = {**genome, "contigs": {"I": 5}, "seen": {}}
    assert "has none of the contigs of the test rows" in seen_in_pretraining(
        data, {"genomes": [other_genome]}
    )
    assert "no coordinates" in seen_in_pretraining(labelled(), {"genomes": [genome]})
    assert "does not say what it read" in seen_in_pretraining(data, {})


def test_seeds_are_listed_with_their_mean_and_that_of_their_mean_answers():
    data = labelled()
    found = compare(data, model(data, 1.0, (0, 1, 2)), [other(data, "k-mers", 1.0)], [])
    each = found.seeds["model"]
    assert len(each) == 4
    assert each[3] > max(each[:3]), "noise averages out"
    mean = mean_interval(each[:3])
    assert mean.low < mean.value < mean.high
    assert mean.value == pytest.approx(np.mean(each[:3]))
    assert "3 seeds: MCC " in verdict_text(found)


class Outside(HTMLParser):
    """Everything that a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.found += [
            value for name, value in attributes if name in ("src", "href") or tag == "script"
        ]
        if tag not in ("meta", "br") and tag not in ("line", "rect", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def report(task="binary", labels=("<no>", "yes & more")) -> str:
    data = labelled(labels if task == "binary" else ("expression",), task)
    ours, theirs = model(data, 0.5, (0, 1)), other(data, "k-mer <regression>", 1.0)
    found = compare(data, ours, [theirs], ["Trained: all <weights>."])
    return page(
        data,
        found,
        [ours.answered, theirs],
        [Curves("model", [fit.log for fit in ours.fits])],
        verdict_text(found),
        {"genomes": [], "version": "<1>"},
    )


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_page_stands_alone_and_escapes_what_it_shows(task):
    html = report(task)
    parser = Outside()
    parser.feed(html)
    assert parser.found == []
    assert not parser.open
    assert "url(" not in html
    for raw in ("<no>", "<regression>", "<weights>", "<1>"):
        assert raw not in html
    assert html.index("The encoder") < html.index("Beside the alternatives")
    assert html.count("<svg") == {"binary": 7, "regression": 3}[task]


def chromium() -> str | None:
    return which("chromium") or which("chromium-browser") or which("google-chrome")


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_a_browser_shows_the_verdict_the_table_and_the_pictures(tmp_path):
    (tmp_path / "report.html").write_text(report(), encoding="utf-8")
    quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    words = [
        chromium(),
        "--headless",
        "--no-sandbox",
        *quiet,
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    shot = tmp_path / "page.png"
    done = run(
        [*words, f"--screenshot={shot}", "--window-size=1240,2000", f"file://{tmp_path / 'report.html'}"],
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    matplotlib = pytest.importorskip("matplotlib.image")
    picture = matplotlib.imread(Path(shot))[..., :3]
    assert picture.shape == (2000, 1240, 3)
    ours = np.abs(picture - np.array([0x7B, 0x2D, 0x8B]) / 255).max(2) < 0.05
    assert ours.sum() > 500, "the model's colour is drawn"
    green = np.abs(picture - np.array([0xEE, 0xF7, 0xF1]) / 255).max(2) < 0.02
    assert green.sum() > 5_000, "the verdict stands in its box"


def test_charts_hold_their_points_inside_their_axes():
    drawing = chart("t", [Series("a", [0, 5, 10], [1.0, -1.0, 3.0])], "x", "y")
    points = [
        tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', drawing)[1].split()
    ]
    assert all(52 <= x <= 366 and 30 <= y <= 270 for x, y in points)
    assert points[1][1] > points[0][1] > points[2][1], "up is more"
    assert chart("t", [Series("a", [], [])], "x", "y") == ""
    assert ">1,234<" in matrix("m", np.array([[1234, 0], [3, 4]]), ("a", "b"))


def test_long_names_stay_inside_their_picture():
    """At 11 pixels a letter is 6.3 wide at most on average, at 13 bold ones 7.8."""
    names = ["model", "gapped k-mer regression", "positional regression", "a" * 40]
    drawing = chart("t", [Series(name, [0, 1], [0, 1]) for name in names], "x", "y")
    width = float(re.search(r'width="(\d+)"', drawing)[1])
    legend = re.findall(
        r'<text x="([\d.]+)" y="[\d.]+" font-size="11" text-anchor="start"[^>]*>([^<]+)<', drawing
    )
    assert [text for _, text in legend] == [*names[:3], "a" * 23 + "…"]
    assert all(float(x) + 6.3 * len(text) <= width for x, text in legend)
    assert all(float(x) + 6.3 * len(text) < width / 2 + 10 for x, text in legend[::2]), (
        "not into the second column"
    )
    title = "Confusion, gapped k-mer regression"
    assert float(
        re.search(r'width="(\d+)"', matrix(title, np.eye(2), ("0", "1")))[1]
    ) >= 8 + 7.8 * len(title)


def test_reliability_of_a_calibrated_answer_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    score = rng.random(20_000)
    predicted, seen = reliability(score, rng.random(20_000) < score)
    np.testing.assert_allclose(predicted, seen, atol=0.04)
