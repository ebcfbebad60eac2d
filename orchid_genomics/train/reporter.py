"""What a person sees while a run trains: a bar or plain lines, and TensorBoard where installed."""

import time
from importlib.util import find_spec
from pathlib import Path

from orchid_genomics.terminal import Line, clock, is_silent


class Reporter:
    """Shows the steps of a run.

    Parameters
    ----------
    steps, first
        Steps in all, and how many of them are done already.
    folder
        The run folder, where TensorBoard's files go.
    quiet
        Nothing is shown: on ranks other than 0.
    unit
        What the bits are for: base, answer, row.
    """

    def __init__(
        self, steps: int, first: int, folder: Path, quiet: bool, unit: str = "base"
    ) -> None:
        quiet = quiet or is_silent()
        self.steps, self.quiet, self.unit = steps, quiet, unit
        self.start, self.first = time.monotonic(), first
        self.writer = None
        self.line = Line("training", steps, first, quiet)
        if find_spec("tensorboard") and not quiet:
            from torch.utils.tensorboard import SummaryWriter

            # What a killed run drew after its checkpoint is drawn again.
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

    def validation(self, step: int, value: float, name: str = "validation_bits") -> None:
        """Show a validation; lower is better, whatever its name."""
        if self.quiet:
            return
        if self.writer:
            self.writer.add_scalar(name, value, step)
        what = name.removeprefix("validation_")
        if name == "validation_bits":
            what = f"masked bits/{self.unit}"
        self.say(f"step {step:,}: validation {value:.4f} {what}")

    def say(self, text: str) -> None:
        """A line of its own; none when quiet."""
        if not self.quiet:
            self.line.say(text)

    def close(self) -> None:
        """End the bar and TensorBoard's file."""
        self.line.close()
        if self.writer:
            self.writer.close()
