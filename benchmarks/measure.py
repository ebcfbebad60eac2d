"""What the benchmarks share: both sides in one process and turn by turn, peak memory in a fresh
one, the machine.

The trap: a machine's speed drifts by tens of percent within minutes, so two medians taken one after
the other compare the minutes. `interleaved` times A B C, A B C, ... and `Times.ratio` is the median
of the rounds' own ratios.
"""

import datetime
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


class Times(dict[str, list[float]]):
    """Seconds of every round by name."""

    def median(self, name: str) -> float:
        return statistics.median(self[name])

    def ratio(self, name: str, to: str) -> float:
        """The median over rounds of name / to."""
        return statistics.median(a / b for a, b in zip(self[name], self[to], strict=True))

    def fastest(self, names: Iterable[str]) -> str:
        return min(names, key=self.median)


def interleaved(
    calls: dict[str, Callable[[], Any]], repeats: int = 5, warm: bool = True, least: float = 0.02
) -> Times:
    """Time every call in turn, `repeats` rounds after an untimed one; a short call runs for at
    least `least` seconds.

    What a call returns lives until its time is taken and is freed before the next one begins.
    """
    counts = dict.fromkeys(calls, 1)
    if warm:
        for name, call in calls.items():
            call()
            counts[name] = max(1, round(least / max(_seconds(call, 1), 1e-6)))
    times = Times({name: [] for name in calls})
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(_seconds(call, counts[name]))
    return times


def _seconds(call: Callable[[], Any], count: int) -> float:
    gc.collect()
    gc.disable()
    begun = time.perf_counter()
    for _ in range(count):
        result = call()
    seconds = (time.perf_counter() - begun) / count
    gc.enable()
    del result
    return seconds


class Peak:
    """A context: the process's greatest resident memory inside it, less what was resident at its
    start.

    Read from the kernel's own high-water mark (Linux: VmHWM, reset through /proc/self/clear_refs),
    so nothing is missed between samples. `ru_maxrss` will not do: a child inherits its parent's.
    """

    bytes = 0

    def __enter__(self) -> "Peak":
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self.before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = max(_status("VmHWM"), _status("VmRSS")) - self.before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def in_fresh_process(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a module-level function of a benchmark in a new interpreter: memory starts clean and is
    all given back.
    """
    module = Path(sys.modules[function.__module__].__file__ or "").stem
    command = [
        sys.executable,
        str(HERE / "measure.py"),
        module,
        function.__name__,
        json.dumps(arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}.{function.__name__}({arguments}) failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def machine(threads: int | str | None = None) -> str:
    """One line: processor, cores, threads, torch, day, commit."""
    threads = torch.get_num_threads() if threads is None else threads
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_processor()}, {cores} cores, {threads} threads; torch {torch.__version__}; {day};"
        f" commit {commit()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = {}
    for line in info.read_text().splitlines() if info.exists() else []:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    if "model" in found:
        name += f" (family {found.get('cpu family')}, model {found['model']})"
    return name


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(HERE), *words], capture_output=True, text=True
        ).stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", str(HERE.parent / "orchid_genomics")
    )
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table: the first column to the left, the others to the right, padded to be read as
    plain text too.
    """
    cells = [
        head,
        *([cell if isinstance(cell, str) else _short(cell) for cell in row] for row in rows),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(row: list[str]) -> str:
        padded = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return "| " + " | ".join(padded) + " |"

    return "\n".join(line(row) for row in [cells[0], rule, *cells[1:]])


def _short(value: float | int | None) -> str:
    """Three digits; a dash for what was not measured."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def save(name: str, content: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    part = path.with_suffix(".tmp")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.rename(path)
    return path


if __name__ == "__main__":
    module, function, arguments = sys.argv[1:]
    print(json.dumps(getattr(import_module(module), function)(**json.loads(arguments))))
