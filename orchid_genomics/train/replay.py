"""Steps as single orders to the device: recorded once for every shape as a CUDA graph, replayed
from buffers that stay where they are.

A step is thousands of small launches, and a GPU runs them faster than a CPU can ask for them. The
traps: a replay changes weights without Python's knowledge, so versions that caches watch must be
raised by hand; and an update is many steps ahead of what has been read, so that a gradient that is
not finite must stop all updates on the device itself.
"""

import gc
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

import numpy as np
import torch
from torch import Tensor

from orchid_genomics.data.loader import Batch
from orchid_genomics.model.recording import RecordingError, record
from orchid_genomics.train.distributed import Ranks
from orchid_genomics.train.objectives import Ready
from orchid_genomics.train.step import Step

AHEAD = 16  # steps that are ordered before the first of them has to be read
SHAPES = 32  # graphs at most; shapes beyond those are run call by call


class Outcome(NamedTuple):
    """What a step came to."""

    batch: Batch
    nats: float
    norm: float
    """Of the gradient, before it was clipped."""

    @property
    def fault(self) -> str:
        """What is not finite, in words; "" where all is."""
        if not math.isfinite(self.nats):
            return f"the loss is {self.nats}"
        return "" if math.isfinite(self.norm) else f"the gradient is {self.norm}"


@dataclass(frozen=True)
class _Order:
    """A step of one shape: the buffers that it reads, and what runs it."""

    buffers: list[Tensor | None]
    run: Callable[[], None]


class _Ordered(NamedTuple):
    """A step that the device may not have done yet."""

    batch: Batch
    values: Tensor
    event: Any
    """Of a GPU; None where the values are there."""

    def is_done(self) -> bool:
        return self.event is None or self.event.query()

    def wait(self) -> Outcome:
        if self.event is not None:
            self.event.synchronize()
        nats, norm = self.values.tolist()
        return Outcome(self.batch, nats, norm)


def can_replay(ranks: Ranks) -> bool:
    """Whether steps are recorded here: on a GPU, where gradients go through no other process."""
    here = ranks.device.type == "cuda" and ranks.device.index in (None, torch.cuda.current_device())
    return here and ranks.world == 1


class Replay(Generic[Ready]):
    """The steps of a stage, on one device.

    Parameters
    ----------
    step
        The parts of a step.
    parts
        The global numbers of the rows of each accumulated part.
    rate
        The learning rate of a step, from 0.
    say
        Where to say in a line that a shape could not be recorded.
    records
        Whether to record; without, the same function of the same buffers is called every time.
    """

    def __init__(
        self,
        step: Step[Ready],
        parts: Sequence[Sequence[int]],
        rate: Callable[[int], float],
        say: Callable[[str], None],
        records: bool = True,
    ) -> None:
        self.step, self.parts, self.rate, self.say = step, parts, rate, say
        self.device = step.ranks.device
        self.on_gpu = self.device.type == "cuda"
        self.records = records and self.on_gpu
        groups = step.optimizer.param_groups
        self.scales = [group.get("scale", 1.0) for group in groups]
        self.rows = [torch.tensor(rows, device=self.device) for rows in parts]
        self.number = torch.zeros(1, dtype=torch.int64, device=self.device)
        # In float32, which is what a fused update reads.
        self.rates = torch.zeros(len(groups), device=self.device)
        self.values = torch.zeros(2, dtype=torch.float64, device=self.device)
        # 1 from the first step on that is not finite: no update after it changes anything.
        self.spoilt = torch.zeros((), device=self.device)
        self.orders: dict[tuple[Any, ...], _Order] = {}
        self.ordered: deque[_Ordered] = deque()
        if self.records:
            # One pool for all shapes: nothing in it outlives a replay.
            self.pool = torch.cuda.graph_pool_handle()

    def issue(self, batch: Batch) -> None:
        """Order a step, without waiting for it."""
        given = self.step.look_up(batch, self.parts)
        arrays = [batch.tokens_BL, *(each for part in given for each in part or ())]
        rate = self.rate(batch.step)
        # As numbers too, for checkpoints hold them.
        for group, scale in zip(self.step.optimizer.param_groups, self.scales, strict=True):
            group["lr"] = rate * scale
        self._load(self.number, np.array([batch.step], np.int64))
        self._load(self.rates, np.array([rate * scale for scale in self.scales], np.float32))
        shape = tuple(None if each is None else (each.shape, each.dtype.str) for each in arrays)
        order = self.orders.get(shape)
        if order is None:
            buffers = [None if each is None else self._buffer(each) for each in arrays]
            order = self._prepare(buffers, [None if each is None else len(each) for each in given])
            self.orders[shape] = order
        else:
            for buffer, array in zip(order.buffers, arrays, strict=True):
                if buffer is not None and array is not None:
                    self._load(buffer, array)
        order.run()
        self.ordered.append(self._note(batch))

    def read(self, wait: bool) -> list[Outcome]:
        """The steps done since the last call, in order; with `wait` all that were ordered."""
        outcomes = []
        while self.ordered and (wait or len(self.ordered) > AHEAD or self.ordered[0].is_done()):
            outcomes.append(self.ordered.popleft().wait())
        if wait and self.records:
            # Replays change weights behind the back of autograd, and caches go by versions.
            for parameter in self.step.parameters:
                torch.autograd.graph.increment_version(parameter)
        return outcomes

    def close(self) -> None:
        """Free the graphs, whose memory nothing else can use; `issue` would record them again."""
        self.orders.clear()

    def _buffer(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, copy=True)

    def _load(self, buffer: Tensor, array: np.ndarray) -> None:
        host = torch.from_numpy(np.ascontiguousarray(array))
        # Pinned, for another copy would wait until the device has done all that was ordered.
        buffer.copy_(host.pin_memory() if self.on_gpu else host, non_blocking=True)

    def _note(self, batch: Batch) -> _Ordered:
        if not self.on_gpu:
            return _Ordered(batch, self.values.clone(), None)
        values = torch.empty(2, dtype=self.values.dtype, pin_memory=True)
        values.copy_(self.values, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return _Ordered(batch, values, event)

    def _prepare(self, buffers: list[Tensor | None], counts: list[int | None]) -> _Order:
        """A step over these buffers: tokens, then what was looked up for each part."""
        tokens_BL, *others = buffers
        given, first = [], 0
        for count in counts:
            given.append(None if count is None else tuple(others[first : first + count]))
            first += count or 0

        def compute() -> None:
            self._compute(tokens_BL, given)

        if not self.records or len(self.orders) >= SHAPES:
            return _Order(buffers, compute)
        try:
            return _Order(buffers, self._record(compute))
        except RecordingError as error:
            self.records = False
            self.say(f"steps cannot be recorded as graphs ({error}), and are run call by call")
            return _Order(buffers, compute)

    def _compute(self, tokens_BL: Any, given: list[Any]) -> None:
        """A whole step, of the buffers alone."""
        step = self.step
        nats = step.gradients(step.examples(tokens_BL, self.number, self.rows, given))
        norm = step.clip()
        finite = nats.isfinite() & norm.isfinite()
        torch.maximum(self.spoilt, (~finite).to(self.spoilt.dtype), out=self.spoilt)
        self._update()
        # Within what is recorded, so that no gradient outlives a replay.
        step.optimizer.zero_grad()
        self.values[0].copy_(nats)
        self.values[1].copy_(norm)

    def _update(self) -> None:
        """Change weights and moments, unless a step was spoilt."""
        optimizer = self.step.optimizer
        if self.on_gpu:
            with self._held_on_device():
                optimizer.step()
        elif not self.spoilt:
            optimizer.step()

    @contextmanager
    def _held_on_device(self) -> Iterator[None]:
        """The optimizer reads rates from the device, and there learns whether to do nothing."""
        optimizer = self.step.optimizer
        before = [(group["lr"], group["capturable"]) for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, self.rates.unbind(), strict=True):
            group["lr"] = rate
            # A fused update is the same function either way; torch asks for the word.
            group["capturable"] = torch.cuda.is_current_stream_capturing()
        optimizer.found_inf = self.spoilt  # type: ignore[attr-defined]
        try:
            yield
        finally:
            del optimizer.found_inf  # type: ignore[attr-defined]
            for group, (rate, capturable) in zip(optimizer.param_groups, before, strict=True):
                group["lr"], group["capturable"] = rate, capturable

    def _record(self, compute: Callable[[], None]) -> Callable[[], None]:
        """A graph of a step, which changes neither weights nor moments while it is made."""
        spoilt = self.spoilt.clone()
        # An update that is told of a gradient that is not finite makes its moments, and no more.
        self.spoilt.fill_(1)
        self.step.optimizer.zero_grad()
        # Cycles may hold memory of an earlier stage.
        gc.collect()
        try:
            return record(compute, self.pool)
        finally:
            self.step.optimizer.zero_grad()
            self.spoilt.copy_(spoilt)
