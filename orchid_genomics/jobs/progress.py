"""Progress of a long job over records, with the time left."""

import time
from types import TracebackType

from orchid_genomics.terminal import Line, clock


class Progress:
    """A context that counts records: `mine` of `total` are this shard's, `done` of them were there
    before.
    """

    def __init__(self, total: int, mine: int, done: int, unit: str, quiet: bool) -> None:
        self.mine, self.first, self.at, self.unit = mine, done, done, unit
        self.begun = time.monotonic()
        self.line = Line(unit, mine, done, quiet)
        self.say = self.line.say
        if done and not quiet:
            self.say(f"{done:,} of {mine:,} {unit} are done already")
        if mine < total and not quiet:
            self.say(f"this shard: {mine:,} of {total:,} {unit}")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.line.close()

    def add(self, count: int) -> None:
        """Say that so many records more are done."""
        self.at += count
        # The first block may be done within one tick of the clock.
        speed = (self.at - self.first) / max(time.monotonic() - self.begun, 1e-9)
        pace = f"{speed:,.1f}/s" if speed >= 0.1 else f"{clock(1 / max(speed, 1e-9))} each"
        text = f"{self.at:,}/{self.mine:,} {self.unit}  {pace}"
        self.line.show(
            self.at, text, f"{text}  {clock((self.mine - self.at) / max(speed, 1e-9))} left"
        )
