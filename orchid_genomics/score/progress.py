"""Progress of a long job with the time left, on stderr alone: a bar at a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from orchid_genomics.train.progress import PLAIN_SECONDS, clock


class Progress:
    """A context that counts records: `mine` of `total` are this shard's, `done` of them were there before."""

    def __init__(self, total: int, mine: int, done: int, unit: str, quiet: bool) -> None:
        self.mine, self.first, self.at, self.unit, self.quiet = mine, done, done, unit, quiet
        self.begun = self.shown = time.monotonic()
        self.bar: Bar | None = None
        if done and not quiet:
            self.say(f"{done:,} of {mine:,} {unit} are done already")
        if mine < total and not quiet:
            self.say(f"this shard: {mine:,} of {total:,} {unit}")

    def __enter__(self) -> "Progress":
        console = Console(stderr=True)
        if console.is_terminal and not self.quiet:
            columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
            self.bar = Bar(*columns, console=console)
            self.task = self.bar.add_task(self.unit, total=self.mine, completed=self.at)
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def add(self, count: int) -> None:
        """Say that so many records more are done; a plain line at most every ten seconds."""
        self.at += count
        if self.quiet:
            return
        now = time.monotonic()
        speed = (self.at - self.first) / max(now - self.begun, 1e-9)
        text = f"{self.at:,}/{self.mine:,} {self.unit}  {speed:,.1f}/s"
        if self.bar:
            self.bar.update(self.task, completed=self.at, description=text)
        elif now - self.shown >= PLAIN_SECONDS:
            self.shown = now
            self.say(f"{text}  {clock((self.mine - self.at) / speed)} left")

    def say(self, text: str) -> None:
        """A line of its own."""
        if self.bar:
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)
