"""What a person sees of a long job: a bar at a terminal, plain lines elsewhere, nothing
when quiet.
"""

import pytest

from orchid_genomics.jobs.progress import Progress
from orchid_genomics.terminal import PLAIN_SECONDS, clock
from orchid_genomics.train.reporter import Reporter

VALUES = {"loss": 1.25, "bits": 1.8, "rate": 1e-3, "gradient": 1.0, "nt_per_second": 12_345.0}


def trained(folder, quiet=False):
    report = Reporter(4, 0, folder, quiet)
    for step in range(1, 5):
        report.step(step, VALUES)
    report.validation(4, 1.9)
    report.close()


def scored(quiet=False):
    with Progress(30, 20, 5, "elements", quiet) as progress:
        progress.add(5)
        progress.add(10)


def test_elsewhere_lines_are_few_and_plain(tmp_path, capsys):
    trained(tmp_path)
    first, last, validation = capsys.readouterr().err.splitlines()
    assert first.startswith("step 1/4  loss 1.2500  1.8000 bits/base  12.3 knt/s")
    assert last.startswith("step 4/4  ")
    assert last.endswith("  0:00 left")
    assert validation == "step 4: validation 1.9000 masked bits/base"
    scored()
    assert capsys.readouterr().err.splitlines() == [
        "5 of 20 elements are done already",
        "this shard: 20 of 30 elements",
    ], f"a job over in less than {PLAIN_SECONDS} seconds says no more"


@pytest.mark.parametrize(
    "run", [lambda folder: trained(folder), lambda _: scored()], ids=["training", "a job"]
)
def test_at_a_terminal_there_is_a_bar(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    run(tmp_path)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err
    assert "\x1b[" in err


def test_quiet_is_silent(tmp_path, capsys):
    trained(tmp_path, quiet=True)
    scored(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_clock_reads_as_people_write_it():
    assert [clock(seconds) for seconds in (0, 59.6, 3599, 3661)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:01:01",
    ]
