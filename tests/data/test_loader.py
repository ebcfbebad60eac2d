"""The loader: the same batches as reading them here, in order, and no thread is left behind."""

import threading
import time

import numpy as np
import pytest

from orchid_genomics.data.corpus import Corpus, DataRecipe, GenomeRecipe
from orchid_genomics.data.loader import batches
from orchid_genomics.data.sampling import Training
from orchid_genomics.errors import InputError


@pytest.fixture
def training(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "genome.fa"
    path.write_text(f">A\n{bytes(rng.choice(list(b'ACGTacgtN'), 20_000).tolist()).decode()}\n")
    return Corpus((GenomeRecipe(fasta=path),), DataRecipe(length=100, min_acgt=0.5)).training(
        batch=8
    )


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("ahead", [1, 4, 100])
def test_batches_come_in_order_and_are_those_read_directly(training, ahead):
    found = list(batches(training, 7, 3, 23, range(2, 6), ahead))
    assert [batch.step for batch in found] == list(range(3, 23))
    for batch in found:
        assert np.array_equal(batch.tokens_BL, training.batch(7, batch.step, range(2, 6)))
        assert batch.places() == training.places(7, batch.step, range(2, 6))


def test_reading_here_while_the_thread_reads_disturbs_neither(training):
    expected = [training.batch(1, step, range(8)) for step in range(200)]
    for batch in batches(training, 1, 0, 200, range(8), ahead=50):
        here = training.batch(1, 199 - batch.step, range(8))
        assert np.array_equal(batch.tokens_BL, expected[batch.step])
        assert np.array_equal(here, expected[199 - batch.step])


def test_leaving_early_ends_the_thread(training):
    for batch in batches(training, 0, 0, 10**9, range(8)):
        if batch.step == 3:
            break
    stream = batches(training, 0, 0, 10**9, range(8))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_it_reads_no_further_than_asked(training, monkeypatch):
    read = []
    batch = Training.batch
    monkeypatch.setattr(
        Training,
        "batch",
        lambda self, seed, step, rows: read.append(step) or batch(self, seed, step, rows),
    )
    stream = batches(training, 0, 0, 100, range(2), ahead=3)
    next(stream)
    deadline = time.monotonic() + 5
    while len(read) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert read == [0, 1, 2, 3]
    stream.close()


def test_a_fault_of_the_thread_is_raised_here_as_it_was(training, monkeypatch):
    batch = Training.batch

    def faulty(self, seed, step, rows):
        if step == 2:
            raise InputError("genome.fa", "went away")
        return batch(self, seed, step, rows)

    monkeypatch.setattr(Training, "batch", faulty)
    stream = batches(training, 0, 0, 5, range(8))
    assert [next(stream).step, next(stream).step] == [0, 1]
    with pytest.raises(InputError, match=r"genome\.fa: went away"):
        next(stream)


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_prepared_beside_comes_with_its_own_batch(training, threads):
    def prepare(batch):
        # The first ones take longest, and still come first.
        time.sleep(max(0.0, 0.03 - 0.01 * batch.step))
        return int(batch.tokens_BL.sum())

    found = list(batches(training, 7, 0, 12, range(4), prepare=prepare, threads=threads))
    assert [batch.step for batch in found] == list(range(12))
    assert all(batch.prepared == batch.tokens_BL.sum() for batch in found)
    stream = batches(training, 7, 0, 10**9, range(4), prepare=prepare, threads=threads)
    next(stream)
    stream.close()


def test_a_fault_of_preparing_is_raised_here_as_it_was(training):
    def prepare(batch):
        if batch.step == 2:
            raise InputError("rows", "cannot be looked up")

    stream = batches(training, 0, 0, 5, range(8), prepare=prepare, threads=2)
    assert [next(stream).step, next(stream).step] == [0, 1]
    with pytest.raises(InputError, match="rows: cannot be looked up"):
        next(stream)


def test_no_steps_are_no_batches(training):
    assert list(batches(training, 0, 4, 4, range(8))) == []
