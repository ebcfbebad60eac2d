"""How far long work is: plain lines where there is no terminal, none within `silence`."""

import pytest

from orchid_genomics import terminal
from orchid_genomics.jobs.progress import Progress
from orchid_genomics.terminal import Count, is_silent, remark, silence, within_job


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 0.0)


def test_a_count_says_what_is_done_and_the_time_left(capsys):
    with Count("windows", 4) as progress:
        progress.add(1)
        progress.add(3)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("windows: 1/4  0:0")
    assert last == "windows: 4/4  0:00 left"


def test_within_silence_nothing_is_said_and_after_it_again(capsys):
    with silence(True):
        assert is_silent()
        with silence(False), Count("windows", 1) as progress:
            progress.add(1)
            remark("measuring")
    assert capsys.readouterr().err == ""
    remark("measuring")
    assert capsys.readouterr().err == "measuring\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_record_is_counted_within_its_job_alone(capsys, quiet):
    within_job("letters", 2)(1)
    with Progress(3, 3, 0, "regions", quiet):
        done = within_job("letters", 4)
        done(1)
        done(3)
    within_job("letters", 2)(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == (
        [] if quiet else ["letters: 1/4", "letters: 4/4"]
    )
    assert all(line.endswith(" left") for line in lines)
