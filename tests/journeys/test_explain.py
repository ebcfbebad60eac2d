"""explain as a user runs it."""

import json

import numpy as np
import pytest

from orchid_genomics.cli import main
from orchid_genomics.explain.arrays import read_explained


@pytest.fixture
def files(trained, tmp_path):
    """A trained model, its genome and a BED."""
    (tmp_path / "in.bed").write_text("t\t100\t140\tfirst\t0\t+\nt\t500\t540\tsecond\t0\t-\n")
    return [str(path) for path in (trained / "model", tmp_path / "genome.fa", tmp_path / "in.bed")]


def test_regions_to_a_file_with_the_errors_of_their_sums(files, tmp_path, capsys):
    out = tmp_path / "out.h5"
    main(
        [
            "explain",
            *files,
            "-o",
            str(out),
            "--method",
            "deeplift",
            "--target",
            "A@center",
            "--references",
            "2",
        ]
    )
    said = capsys.readouterr().err
    assert "2 regions: 2 explained by deeplift" in said
    assert "sums against differences: off by" in said
    summary = json.loads((tmp_path / "out.h5.summary.json").read_text())
    assert (summary["method"], summary["regions"], summary["explained"], summary["reasons"]) == (
        "deeplift",
        2,
        2,
        {},
    )
    first, second = read_explained(out)
    assert (first.interval.name, second.interval.strand) == ("first", "-")
    assert np.isfinite(first.arrays["projected"]).all()


def test_refusals_are_one_line(files, refused, tmp_path):
    out = str(tmp_path / "out.bw")
    line = refused("explain", *files, "-o", out, "--target", "CTCF")
    possible = "pll, pll-hidden, A@100 (a letter and a 0-based place), A@center"
    assert line == f"error: --target: the model has no 'CTCF'; it has {possible}"
    line = refused("explain", *files, "-o", str(tmp_path / "out.csv"))
    assert line.startswith("error: --out: 'out.csv' names no format; .h5, .npz")
    line = refused("explain", *files, "-o", out, "--target", "A@40")
    assert line == "error: --target: A@40 of a region of 40 letters; letters 0 to 39, 0-based"


@pytest.mark.filterwarnings("ignore::orchid_genomics.errors.GenomeNote")
@pytest.mark.parametrize("method", ["integrated", "deeplift"])
@pytest.mark.parametrize("out", ["out.bedGraph", "out.bw"])
def test_a_track_without_a_value_says_why_and_leaves_nothing(files, tmp_path, refused, method, out):
    model, *_ = files
    (tmp_path / "a.fa").write_text(">t\n" + "A" * 1000 + "\n")
    (tmp_path / "a.bed").write_text("t\t100\t140\nt\t500\t540\n")
    words = ["explain", model, tmp_path / "a.fa", tmp_path / "a.bed", "-o", tmp_path / out]
    line = refused(*words, "--method", method, "--window", 64, "--quiet")
    why = "there is no value to write: 2 no_contrast (no reference differs from it: too few letters"
    assert line.startswith(f"error: {tmp_path / out}: {why}")
