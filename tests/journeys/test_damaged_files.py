"""Damaged files of every kind, drawn from a seed: all records and the same, or one line."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
def test_no_damage_is_a_traceback_a_hang_or_a_lost_record():
    command = [sys.executable, FUZZ, "--count", "260", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
