"""What a person sees while a run trains: a bar at a terminal, plain lines elsewhere, TensorBoard
when installed.
"""

import sys
import time
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0


class Line:
    """How far something has come, on stderr alone: a bar at a terminal; elsewhere plain lines, ten
    seconds apart.
    """

    def __init__(self, name: str, total: int, done: int, quiet: bool) -> None:
        console = Console(stderr=True)
        self.quiet, self.shown = quiet, time.monotonic()
        self.bar: Progress | None = None
        if console.is_terminal and not quiet:
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
        if self.bar:
            self.bar.update(self.task, completed=at, description=text)
        elif always or time.monotonic() - self.shown >= PLAIN_SECONDS:
            self.shown = time.monotonic()
            self.say(plain)

    def say(self, text: str) -> None:
        """A line of its own, above the bar where there is one; also when quiet."""
        if self.bar:
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()


class Reporter:
    """Shows steps; `quiet` on ranks other than 0; bits are for each `unit`. Speed is of the last
    lines shown.
    """

    def __init__(
        self, steps: int, first: int, folder: Path, quiet: bool, unit: str = "base"
    ) -> None:
        self.steps, self.quiet, self.unit = steps, quiet, unit
        self.start, self.first, self.writer = time.monotonic(), first, None
        self.line = Line("training", steps, first, quiet)
        if find_spec("tensorboard") and not quiet:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(folder / "tensorboard", purge_step=first)

    def step(self, step: int, values: dict[str, float]) -> None:
        """Show the step just done (1-based) with loss (nats), bits, nt/s and the time left."""
        if self.quiet:
            return
        if self.writer:
            for name in ("loss", "bits", "rate", "gradient"):
                self.writer.add_scalar(name, values[name], step)
        bits = f"{values['bits']:.4f} bits/{self.unit}"
        text = f"loss {values['loss']:.4f}  {bits}  {values['nt_per_second'] / 1e3:,.1f} knt/s"
        left = (time.monotonic() - self.start) / max(step - self.first, 1) * (self.steps - step)
        plain = f"step {step:,}/{self.steps:,}  {text}  {clock(left)} left"
        self.line.show(step, text, plain, always=step in (self.first + 1, self.steps))

    def validation(self, step: int, found: float, name: str = "validation_bits") -> None:
        """Show a validation; lower is better, whatever its name."""
        if self.quiet:
            return
        if self.writer:
            self.writer.add_scalar(name, found, step)
        what = (
            f"masked bits/{self.unit}"
            if name == "validation_bits"
            else name.removeprefix("validation_")
        )
        self.say(f"step {step:,}: validation {found:.4f} {what}")

    def say(self, text: str) -> None:
        """A line of its own; none when quiet."""
        if not self.quiet:
            self.line.say(text)

    def close(self) -> None:
        self.line.close()
        if self.writer:
            self.writer.close()


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
