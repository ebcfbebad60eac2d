"""Batches read ahead, in order, on background threads that never outlive their consumer.

Thread and consumer may read one genome at once: `Genome` locks its handle.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Protocol

import numpy as np


class Sampler(Protocol):
    """What the rows of every step hold: a closed form of (seed, step, row)."""

    def batch(self, seed: int, step: int, rows: Sequence[int]) -> np.ndarray:
        """Tokens (B, L) uint8 of these rows of a step."""

    def places(self, seed: int, step: int, rows: Sequence[int]) -> Sequence[object]:
        """Where each of these rows comes from, for a message."""


@dataclass(frozen=True)
class Batch:
    """Tokens (B, L) uint8 of some rows of a step; where they lie is worked out when asked."""

    step: int
    tokens_BL: np.ndarray
    rows: Sequence[int]
    sampler: Sampler
    seed: int
    prepared: object = None
    """What `prepare` of `batches` made of them."""

    def places(self) -> Sequence[object]:
        """The genome's number and the place of every row; its name where sequences are made up."""
        return self.sampler.places(self.seed, self.step, self.rows)


def batches(
    sampler: Sampler,
    seed: int,
    first_step: int,
    last_step: int,
    rows: Sequence[int],
    ahead: int = 4,
    prepare: Callable[[Batch], object] | None = None,
    threads: int = 1,
) -> Iterator[Batch]:
    """Batches of steps `first_step` to `last_step` (not included), at most `ahead` read in advance.

    `rows` are the global rows of a step that this rank reads. `prepare` makes `prepared` of each
    batch, on so many `threads` of its own beside the one that reads. A fault of a thread is raised
    here, as it was. Closing the iterator, or leaving its loop, ends the threads.
    """
    ready: SimpleQueue[Future[Batch] | BaseException] = SimpleQueue()
    # A semaphore and no bounded queue: a thread that waits in `put` could not be told to end.
    room, closed = threading.Semaphore(ahead), threading.Event()
    pool = ThreadPoolExecutor(threads, "batches") if prepare else None

    def finish(batch: Batch) -> Batch:
        return replace(batch, prepared=prepare(batch)) if prepare else batch

    def read() -> None:
        try:
            for step in range(first_step, last_step):
                room.acquire()
                if closed.is_set():
                    return
                batch = Batch(step, sampler.batch(seed, step, rows), rows, sampler, seed)
                if pool is None:
                    whole: Future[Batch] = Future()
                    whole.set_result(batch)
                else:
                    whole = pool.submit(finish, batch)
                ready.put(whole)
        except BaseException as fault:
            # whatever it is, the consumer must hear of it rather than wait for ever
            ready.put(fault)

    thread = threading.Thread(target=read, name="batches", daemon=True)
    thread.start()
    try:
        for _ in range(first_step, last_step):
            coming = ready.get()
            if isinstance(coming, BaseException):
                raise coming
            batch = coming.result()
            room.release()
            yield batch
    finally:
        # In this order: a thread that waits for room wakes up and finds that it is to end.
        closed.set()
        room.release()
        thread.join()
        if pool is not None:
            pool.shutdown(cancel_futures=True)
