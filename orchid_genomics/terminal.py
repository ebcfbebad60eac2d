"""What a person sees of long work, on stderr alone: a bar at a terminal, else plain lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0

# Long work says things from many floors; whether anybody listens is one decision of the caller.
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def silence(quiet: bool) -> Iterator[None]:
    """Within, where `quiet`: no progress and no remarks. Errors and warnings are said as ever."""
    token = _SILENT.set(quiet or _SILENT.get())
    try:
        yield
    finally:
        _SILENT.reset(token)


def is_silent() -> bool:
    """Whether nobody is to see how far something has come."""
    return _SILENT.get()


def remark(text: str) -> None:
    """A line on stderr about what goes on; none within `silence`."""
    if not is_silent():
        print(text, file=sys.stderr, flush=True)


class Line:
    """How far something has come, on stderr alone: a bar at a terminal; elsewhere plain lines, ten
    seconds apart.
    """

    def __init__(self, name: str, total: int, done: int, quiet: bool) -> None:
        console = Console(stderr=True)
        self.quiet, self.shown = quiet or is_silent(), time.monotonic()
        self.name, self.at = name, done
        self.bar: Progress | None = None
        if console.is_terminal and not self.quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=console)
            self.task = self.bar.add_task(name, total=total, completed=done)
            self.bar.start()

    def show(self, at: int, text: str, plain: str, always: bool = False) -> None:
        """`text` beside the bar; where there is none, `plain`, if that is `always` said or none was
        said just now.
        """
        if self.quiet:
            return
        self.name, self.at = text, at
        if self.bar:
            self.bar.update(self.task, completed=at, description=text)
        elif always or time.monotonic() - self.shown >= PLAIN_SECONDS:
            self.shown = time.monotonic()
            self.say(plain)

    def detail(self, text: str, left: str) -> None:
        """How far the next one is, beside what was shown last; `left` where there is no bar."""
        if self.bar:
            self.bar.update(self.task, description=f"{self.name}  {text}")
        elif not self.quiet and time.monotonic() - self.shown >= PLAIN_SECONDS:
            self.shown = time.monotonic()
            self.say(f"{text}  {left}")

    def say(self, text: str) -> None:
        """A line of its own, above the bar where there is one; also when quiet."""
        if self.bar:
            # A bare print would land in the middle of the bar.
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()


# The line of the job that is running: what happens deep within one of its records shows there.
_OF_JOB: ContextVar[Line | None] = ContextVar("of_job", default=None)


@contextmanager
def job_line(line: Line) -> Iterator[None]:
    """Within, what `within_job` counts is shown on this line."""
    token = _OF_JOB.set(line)
    try:
        yield
    finally:
        _OF_JOB.reset(token)


def within_job(name: str, total: int) -> Callable[[int], None]:
    """What counts the pieces of one long record, with the time left, on the line of its job.

    The trap: code that attributes or scores is also called from Python, where a library that talks
    is a nuisance; so nothing is shown outside a job.
    """
    line, at, begun = _OF_JOB.get(), 0, time.monotonic()

    def add(count: int) -> None:
        nonlocal at
        at += count
        if line is not None:
            left = (time.monotonic() - begun) / max(at, 1) * (total - at)
            line.detail(f"{name}: {at:,}/{total:,}", f"{clock(left)} left")

    return add


class Count:
    """A context that counts what is done of `total`, with the time left.

    Nothing is shown where `quiet`, within `silence`, or of what is done within ten seconds.
    """

    def __init__(self, name: str, total: int, quiet: bool = False) -> None:
        self.name, self.total, self.at = name, total, 0
        self.begun = time.monotonic()
        self.line = Line(name, total, 0, quiet)

    def __enter__(self) -> "Count":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def add(self, count: int) -> None:
        """Say that so many more are done."""
        self.at += count
        left = (time.monotonic() - self.begun) / max(self.at, 1) * (self.total - self.at)
        plain = f"{self.name}: {self.at:,}/{self.total:,}  {clock(left)} left"
        self.line.show(self.at, self.name, plain)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    # Rounded once, at the start: 59.6 s is 1:00 and never 0:60.
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
