"""Progress of a long job over records, with the time left."""

import time
from types import TracebackType

from orchid_genomics.jobs.summary import Stats
from orchid_genomics.terminal import Line, clock, job_line


class Progress:
    """A context that counts records: `mine` of `total` are this shard's, `done` of them were there
    before.

    With `counts`, a key of what blocks say of themselves, that is the speed which is shown, and
    said at the end.
    """

    def __init__(
        self, total: int, mine: int, done: int, unit: str, quiet: bool, counts: str = ""
    ) -> None:
        self.mine, self.first, self.at, self.unit = mine, done, done, unit
        self.counts, self.counted = counts, 0
        self.begun = time.monotonic()
        self.line = Line(unit, mine, done, quiet)
        self.say = self.line.say
        self._within = job_line(self.line)
        if done and not quiet:
            self.say(f"{done:,} of {mine:,} {unit} are done already")
        if mine < total and not quiet:
            self.say(f"this shard: {mine:,} of {total:,} {unit}")

    def __enter__(self) -> "Progress":
        self._within.__enter__()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._within.__exit__(kind, error, trace)
        self.line.close()
        if kind is None and self.counted and not self.line.quiet:
            seconds = self.seconds
            pace = f"{self.counted / seconds:,.0f} {self.counts} a second"
            self.say(f"{self.counted:,} {self.counts} in {clock(seconds)}: {pace}, all told")

    @property
    def seconds(self) -> float:
        """Since the beginning; the first block may be done within one tick of the clock."""
        return max(time.monotonic() - self.begun, 1e-9)

    def add(self, count: int, stats: Stats | None = None) -> None:
        """Say that so many records more are done, and what their block says of itself."""
        self.at += count
        speed = (self.at - self.first) / self.seconds
        pace = f"{speed:,.1f}/s" if speed >= 0.1 else f"{clock(1 / max(speed, 1e-9))} each"
        if self.counts and stats:
            self.counted += stats[self.counts]
            pace = f"{self.counted / self.seconds:,.0f} {self.counts} a second"
        text = f"{self.at:,}/{self.mine:,} {self.unit}  {pace}"
        self.line.show(
            self.at, text, f"{text}  {clock((self.mine - self.at) / max(speed, 1e-9))} left"
        )
