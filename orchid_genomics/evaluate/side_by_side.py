"""Fits of labelled sets side by side, in processes of one thread each.

The calls of a small fit are too short to be shared among threads, so several fits at a time are
what uses the cores. Each leaves its weights in its folder, where `arms.train_arm` finds it
finished. The trap: a process makes set and arms anew, so both are functions of the recipe, and of
what stands in the folder, alone.
"""

import heapq
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch

from orchid_genomics.data.labelled.schema import LabelledSet
from orchid_genomics.data.labelled.splitting import keep_share
from orchid_genomics.errors import MachineError
from orchid_genomics.evaluate.arms import Arm, arms_of, fit_candidate, fit_folder
from orchid_genomics.evaluate.budget import within_budget
from orchid_genomics.evaluate.candidates import steps_of
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.orientation import sets_of
from orchid_genomics.terminal import Count, remark, silence
from orchid_genomics.train import distributed
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.supervised import padded_lengths

SAVING = 20
"""Seconds that a fit has to save its weights when it is told to end."""
STEP_LETTERS = 1 << 16
"""Letters of a step from which threads share its calls well, and its memory is not small."""
LOOK = 2.0
"""Seconds between two looks at how far fits are."""
SET_LETTERS = 2_000_000_000
"""Letters of the set that all processes hold, at most."""


@dataclass(frozen=True)
class FitsOf:
    """The fits of one split of a set."""

    recipe: str
    """A `FinetuneRecipe` as JSON."""
    folder: Path
    """What holds the folders of the fits."""
    fold: int | None = None
    """Of cross-validation; None for the split."""
    share: float | None = None
    """Of the training rows; None for all."""

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Of the recipe."""
        return FinetuneRecipe.model_validate_json(self.recipe).training.seeds


class Job(NamedTuple):
    """A fit of a set, or the set's end; in the order of the work."""

    number: int
    """Of the set."""
    arm: int
    candidate: int
    seed: int
    is_end: bool = False


def processes_for(
    arms: Sequence[Arm], recipe: FinetuneRecipe, data: LabelledSet, ranks: Ranks, asked: int | None
) -> int:
    """How many processes train the fits of a set; 1 is this one, with all its threads.

    Parameters
    ----------
    arms, recipe, data
        What is trained, the run and its set.
    ranks
        Fits are one after another on a GPU, and where several processes share each.
    asked
        As many as that where it is given, else as torch has threads if rows are short.
    """
    # What another package registers is not known to a process that starts anew.
    if ranks.world > 1 or ranks.device.type != "cpu" or recipe.head.kind is not None:
        return 1
    if asked is None:
        batch = max(arm.candidates[0].training.batch for arm in arms)
        if batch * int(padded_lengths(data).max()) > STEP_LETTERS:
            return 1
    most = max(1, SET_LETTERS // max(int(data.lengths.sum()), 1))
    fits = sum(len(arm.candidates) for arm in arms)
    return min(asked or torch.get_num_threads(), fits, most)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch has the one thread that a process of the side by side has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=2)
def _opened(work: FitsOf) -> tuple[FinetuneRecipe, LabelledSet, list[Arm]]:
    """The recipe, the rows and the arms; kept, as fits of a set follow one another."""
    recipe = FinetuneRecipe.model_validate_json(work.recipe)
    data = sets_of(recipe)[work.fold or 0]
    if work.share is not None:
        data = keep_share(data, work.share)
    ranks = distributed.start(recipe.training.device)
    with silence(True):
        arms = [
            within_budget(arm, recipe, data, work.folder, ranks=ranks, say=lambda _: None)
            for arm in arms_of(recipe, data)
        ]
    return recipe, data, arms


def _train_one(work: FitsOf, arm: int, candidate: int, seed: int) -> float:
    """One fit, left in its folder; its loss on validation."""
    recipe, data, arms = _opened(work)
    with silence(True):
        fit = fit_candidate(
            arms[arm],
            recipe,
            data,
            candidate=arms[arm].candidates[candidate],
            seed=recipe.training.seeds[seed],
            folder=work.folder,
            ranks=distributed.start(recipe.training.device),
        )
    return fit.loss


class Schedule:
    """Which fit of which set is next: all candidates, the best one's other seeds, the end.

    Earlier sets go first, so that few are half done where the time ends.
    """

    def __init__(self, todo: Sequence[FitsOf], arms: Callable[[int], Sequence[Arm]]) -> None:
        self.todo, self.arms_of = todo, arms
        self.ready: list[Job] = []
        self.losses: dict[tuple[int, int], dict[int, float]] = {}
        self.arms: list[Sequence[Arm]] = []
        self.left: list[int] = []

    def next(self) -> Job | None:
        """A job that can be done now; sets are opened when there is nothing else to do."""
        while not self.ready and len(self.arms) < len(self.todo):
            number = len(self.arms)
            arms = self.arms_of(number)
            self.arms.append(arms)
            seeds = len(self.todo[number].seeds)
            self.left.append(sum(len(arm.candidates) + seeds - 1 for arm in arms))
            for place, arm in enumerate(arms):
                for candidate in range(len(arm.candidates)):
                    heapq.heappush(self.ready, Job(number, place, candidate, 0))
            if not arms:
                heapq.heappush(self.ready, Job(number, 0, 0, 0, True))
        return heapq.heappop(self.ready) if self.ready else None

    def done(self, job: Job, loss: float) -> None:
        """Take what a fit came to: others may follow from it."""
        if job.is_end:
            return
        self.left[job.number] -= 1
        many = len(self.arms[job.number][job.arm].candidates)
        if job.seed == 0:
            losses = self.losses.setdefault((job.number, job.arm), {})
            losses[job.candidate] = loss
            if len(losses) == many:
                # As `train_arm` chooses: the first of equal ones.
                best = min(range(many), key=losses.__getitem__)
                for seed in range(1, len(self.todo[job.number].seeds)):
                    heapq.heappush(self.ready, Job(job.number, job.arm, best, seed))
        if not self.left[job.number]:
            heapq.heappush(self.ready, Job(job.number, 0, 0, 0, True))

    def name_of(self, job: Job) -> str:
        """A fit in words."""
        arm, seed = self.arms[job.number][job.arm], self.todo[job.number].seeds[job.seed]
        return f"{arm.name}: {arm.candidates[job.candidate].words}, seed {seed}"


class Watch:
    """A count of the steps of all fits of a set, read from the logs of those that run.

    Parameters
    ----------
    work, arms, data
        The fits, their arms and their rows.
    """

    def __init__(self, work: FitsOf, arms: Sequence[Arm], data: LabelledSet) -> None:
        self.work, self.arms, self.done = work, arms, 0
        trainings = [arm.candidates[0].training for arm in arms]
        self.steps = [each.epochs * steps_of(data, each.batch) for each in trainings]
        fits = [len(arm.candidates) + len(work.seeds) - 1 for arm in arms]
        total = sum(count * steps for count, steps in zip(fits, self.steps, strict=True))
        self.count = Count("steps of all fits", total)

    def look(self, running: Iterable[Job]) -> None:
        """Count what the fits that run have done."""
        at = self.done + sum(self._step(job) for job in running)
        if at > self.count.at:
            self.count.add(at - self.count.at)

    def end(self, job: Job, line: str) -> None:
        """A fit is done, however many of its steps it took; `line` says what it came to."""
        self.done += self.steps[job.arm]
        if not self.count.line.quiet:
            self.count.line.say(line)

    def _step(self, job: Job) -> int:
        arm = self.arms[job.arm]
        candidate, seed = arm.candidates[job.candidate], self.work.seeds[job.seed]
        log = fit_folder(arm, candidate, seed, self.work.folder) / "log.jsonl"
        found = re.findall(rb'"step": (\d+)', _tail(log))
        return min(int(found[-1]), self.steps[job.arm]) if found else 0


def _tail(path: Path, size: int = 1000) -> bytes:
    """The end of a file; nothing where there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read()
    except FileNotFoundError:
        return b""


def _begin_worker() -> None:
    """A process of one thread, told to end when the one that began it is gone, however that went:
    a fit that nobody waits for would be found, half done, by the next run.
    """
    torch.set_num_threads(1)
    began = multiprocessing.parent_process()

    def follow() -> None:
        if began is not None:
            began.join()
        os.kill(os.getpid(), signal.SIGTERM)
        # The fit saves, and its process would wait for another for ever.
        time.sleep(SAVING)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def train_side_by_side(
    todo: Sequence[FitsOf],
    processes: int,
    arms: Callable[[int], Sequence[Arm]],
    *,
    end: Callable[[int], Any] | None = None,
    ended: Callable[[int], None] = lambda _: None,
    failed: Callable[[int, Exception], float] | None = None,
    watch: Watch | None = None,
    deadline: float | None = None,
) -> bool:
    """Train the fits of sets in several processes of one thread each.

    SIGTERM and SIGINT save what is trained, then exit (128 + the signal's number).

    Parameters
    ----------
    todo
        The sets, the first one first.
    processes
        How many.
    arms
        Those of a set, told its number; none where its fits hang together, and are trained by
        `end`.
    end
        What a process does with the number of a set whose fits are all there; nothing if None.
    ended
        Told the number of a set that is at its end.
    failed
        What a fit that met a fault came to, told the number of its set; raised if None.
    watch
        Shown how far the fits of the only set are, and a line for every one that is done.
    deadline
        When to stop (`time.monotonic`); what is being trained is saved.

    Returns
    -------
    bool
        Whether all was done.

    Raises
    ------
    MachineError
        Where a process was killed.
    """
    schedule = Schedule(todo, arms)
    others = multiprocessing.active_children()
    # Not forked: the threads of torch do not survive that.
    spawned = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawned, _begin_worker)
    running: dict[Future, Job] = {}
    try:
        with _stopping_on_signals():
            while True:
                while len(running) < processes and (job := schedule.next()):
                    if not job.is_end:
                        future = pool.submit(_train_one, todo[job.number], *job[1:4])
                        running[future] = job
                    elif end is not None:
                        running[pool.submit(end, job.number)] = job
                    else:
                        ended(job.number)
                if not running:
                    return True
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if watch is not None:
                    left = LOOK if left is None else min(left, LOOK)
                    watch.look(running.values())
                for future in wait(running, left, FIRST_COMPLETED).done:
                    job = running.pop(future)
                    loss = _loss_of(future, job.number, failed)
                    schedule.done(job, loss)
                    if job.is_end:
                        ended(job.number)
                    elif watch is not None:
                        watch.end(job, f"{schedule.name_of(job)}: {1 - loss:.4f} on validation")
                if deadline is not None and time.monotonic() >= deadline:
                    return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # A fit that is told to end saves its weights first. Processes of the caller's own stay.
        begun = [each for each in multiprocessing.active_children() if each not in others]
        for child in begun:
            child.terminate()
        for child in begun:
            child.join(SAVING)
            # Whatever keeps it, this process would wait for it at its own end, for ever.
            child.kill()


def _loss_of(
    future: Future, number: int, failed: Callable[[int, Exception], float] | None
) -> float:
    """What a fit came to."""
    try:
        return future.result()
    except BrokenProcessPool:
        message = "a process was killed (is there memory for so many?)"
        raise MachineError("processes", message, "fewer, and --resume goes on from here") from None
    except Exception as error:
        if failed is None:
            raise
        return failed(number, error)


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise SystemExit; what they did before comes back."""

    def stop(number: int, _: FrameType | None) -> None:
        remark("stopped: what is trained is saved; --resume goes on from there")
        raise SystemExit(128 + number)

    numbers: Sequence[signal.Signals] = ()
    # Only the main thread hears signals.
    if threading.current_thread() is threading.main_thread():
        numbers = signal.SIGTERM, signal.SIGINT
    before = [(number, signal.signal(number, stop)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
