"""One hash, and a stream of its own for every use of it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import orchid_genomics
from orchid_genomics.sequence.hashing import Stream, as_fraction, hash_integers

# The first numbers of the splitmix64 that its authors published, from the state 1234567.
PUBLISHED = (6457827717110365317, 3203168211198807973, 9817491932198370423)
GOLDEN = 0x9E3779B97F4A7C15


def test_the_hash_of_one_number_is_the_published_splitmix64():
    states = [(1234567 + step * GOLDEN) % (1 << 64) for step in range(3)]
    assert hash_integers(np.array(states, np.uint64)).tolist() == list(PUBLISHED)


def test_every_part_and_their_order_count():
    assert hash_integers(1, 2)[0] != hash_integers(2, 1)[0]
    assert hash_integers(1, 2, 3)[0] != hash_integers(1, 2)[0]


def test_a_hash_as_a_fraction_lies_in_zero_to_one_and_is_even():
    fractions = as_fraction(hash_integers(3, np.arange(10_000)))
    assert fractions.min() >= 0
    assert fractions.max() < 1
    counts = np.histogram(fractions, bins=10, range=(0, 1))[0]
    assert np.abs(counts - 1000).max() < 150


def test_no_two_streams_share_a_number():
    numbers = [stream.value for stream in Stream.__members__.values()]
    assert len(set(numbers)) == len(numbers)


def test_streams_that_decide_training_and_evaluation_keep_their_numbers():
    """Another number would train another model from the same recipe, or ask for other letters."""
    kept = {
        "WINDOW_ORDER": 1,
        "WINDOW_JITTER": 2,
        "WINDOW_STRAND": 3,
        "HIDDEN_LETTER": 11,
        "SHOWN_AS": 12,
        "OTHER_LETTER": 13,
        "HIDDEN_SHARE": 14,
        "INPUT_NOISE": 15,
        "ASKED_LETTER": 21,
        "ASKED_SITE": 22,
        "FAMILY_SPLIT": 41,
        "TRAINING_ROWS": 42,
        "FAMILY_FOLD": 43,
        "ROW_ORDER": 51,
        "STEP_ORDER": 52,
        "ROW_STRAND": 53,
    }
    assert {name: Stream[name].value for name in kept} == kept


def test_every_stream_is_used_and_each_by_one_module():
    """Two modules that hash the same stream would draw the same numbers."""
    package = Path(orchid_genomics.__file__).parent
    users: dict[str, set[str]] = {name: set() for name in Stream.__members__}
    for path in package.rglob("*.py"):
        for name in re.findall(r"\bStream\.([A-Z_]+)", path.read_text()):
            users[name].add(path.name)
    assert {name for name, files in users.items() if len(files) != 1} == set()


def test_hashing_needs_no_torch():
    program = "import sys, orchid_genomics.sequence.hashing; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
