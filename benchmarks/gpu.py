"""The CUDA backend on a GPU: first whether it is right, then how fast, against floors and peers;
one command.

The operator against the bytes that it cannot avoid moving, against its cuFFT transforms alone, the
torch backend and FlashAttention; whole models, forward and backward, against the HyenaDNA form and
a FlashAttention transformer from 1k to 524k, each captured as one CUDA graph, so that kernels are
compared and not Python's calls; steps of pretraining as `plan` measures them. Activations are
bfloat16, transforms float32. Run by ``python benchmarks/gpu.py``; without a CUDA GPU it says so and
exits with 1.

The trap: a GPU is asked and does not answer until `synchronize`, so a call is timed with the wait
at its end, and short ones many at a time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import measure
import peers
import torch
from gpu_check import call, checked, inputs
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.heads import LettersRecipe
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.model.recording import RecordingError, record
from orchid_genomics.recipe import load
from orchid_genomics.tasks.plan import plan, trial
from orchid_genomics.tasks.pretrain import build, stages_of
from orchid_genomics.tasks.pretraining import PretrainRecipe, open_source
from orchid_genomics.train import distributed as processes

DEVICE = "cuda"
LENGTHS = (1024, 4096, 16_384, 131_072, 524_288)
HEAD = 64
"""Channels of one head of the operator's attention peer."""
BEFORE, NOW = "gpu_before", "gpu"
"""Names of files in benchmarks/results: of version e7d0d92, and of what this script last ran."""
SIX_LAYERS = Path(__file__).parent.parent / "recipes" / "yeast" / "six_layers.toml"
PRETRAINING = ((8, 1024), (64, 1024), (8, 16_384), (1, 131_072))
"""Windows a step, and letters of a window."""


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def interleaved(
    calls: dict[str, Callable[[], Any]], rounds: int, least: float = 0.05
) -> measure.Times:
    """Seconds of every call in turn; each is repeated for `least` seconds, and waited for, in every
    round.
    """
    counts = {}
    for name, run in calls.items():
        run()  # compiles, plans transforms
        counts[name] = max(1, round(least / max(seconds(run, 1), 1e-6)))
    times = measure.Times({name: [] for name in calls})
    for _ in range(rounds):
        for name, run in calls.items():
            times[name].append(seconds(run, counts[name]))
    return times


def seconds(run: Callable[[], Any], count: int) -> float:
    synchronize()
    begun = time.perf_counter()
    for _ in range(count):
        run()
    synchronize()
    return (time.perf_counter() - begun) / count


def bandwidth(size: int = 1 << 30) -> float:
    """Bytes a second of a copy on the device, read and written both counted."""
    source = torch.empty(size, dtype=torch.uint8, device=DEVICE)
    copy = torch.empty_like(source)
    return 2 * size / interleaved({"copy": partial(copy.copy_, source)}, 5).median("copy")


def least_bytes(given: dict[str, Any], backward: bool) -> int:
    """z and v read and y written once, spectra read once; backward: dy, z, v again, dz and dv,
    spectra and theirs.
    """
    real = given["z_BDL"].numel() * given["z_BDL"].element_size()
    spectra = sum(
        t.numel() * t.element_size()
        for t in given.values()
        if isinstance(t, Tensor) and t.is_complex()
    )
    return 3 * real + spectra + (5 * real + 2 * spectra if backward else 0)


def transforms(length: int, real: Tensor, spectrum: Tensor, backward: bool) -> None:
    """The operator's cuFFT calls and nothing else, in float32."""
    for _ in range(5 if backward else 2):
        torch.fft.rfft(real)
    for _ in range(3 if backward else 1):
        torch.fft.irfft(spectrum, n=length)


def attention(q_BHLE: Tensor, dy: Tensor | None) -> Any:
    """FlashAttention over the same numbers, in heads of 64 channels."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.set_grad_enabled(dy is not None):
        y = functional.scaled_dot_product_attention(q_BHLE, q_BHLE, q_BHLE)
    return y if dy is None else torch.autograd.grad(y, q_BHLE, dy)


def operator_row(
    chosen: argparse.Namespace, length: int, kind: str, backward: bool, speed: float
) -> dict[str, Any]:
    """One line: our milliseconds, and how many times those of each floor and each other way."""
    batch, width = max(1, chosen.positions // length), chosen.width
    given = inputs(batch, width, length, kind, 0, True, torch.bfloat16, DEVICE)
    dy = torch.randn_like(given["z_BDL"]) if backward else None
    real = given["z_BDL"].detach().float()
    calls = {
        "ours": partial(call, given, dy, "triton"),
        "transforms": partial(transforms, length, real, torch.fft.rfft(real), backward),
        "fft": partial(call, given, dy, "fft"),
    }
    if length <= chosen.attention:
        q = torch.randn(
            batch,
            width // HEAD,
            length,
            HEAD,
            device=DEVICE,
            dtype=torch.bfloat16,
            requires_grad=backward,
        )
        calls["flash attention"] = partial(attention, q, torch.randn_like(q) if backward else None)
    times = interleaved(calls, chosen.rounds)
    found = {
        name: times.ratio(name, "ours") for name in calls if name not in ("ours", "transforms")
    }
    return {
        "operator": kind,
        "length": length,
        "batch": batch,
        "ms": 1000 * times.median("ours"),
        "x bytes": times.median("ours") / (least_bytes(given, backward) / speed),
        "x transforms": times.ratio("ours", "transforms"),
        **{f"{name} / ours": found.get(name) for name in ("fft", "flash attention")},
    }


@contextmanager
def wide_transforms() -> Iterator[None]:
    """Autocast hands the peers' transforms bfloat16, which cuFFT lacks: theirs run in float32, as
    ours do.
    """
    plain = torch.fft.rfft
    torch.fft.rfft = lambda x, *rest, **options: plain(x.float(), *rest, **options)
    try:
        yield
    finally:
        torch.fft.rfft = plain


def built(name: str, width: int, depth: int) -> nn.Module:
    torch.manual_seed(0)
    if name == "hyena":
        return peers.Hyena(width, depth).to(DEVICE)
    if name == "transformer":
        return peers.Transformer(width, depth, heads=max(1, width // HEAD)).to(DEVICE)
    shape = OrchidRecipe(
        width=width, depth=depth, backend="fft" if name == "orchid, torch" else "triton"
    )
    model = OrchidModel(ModelRecipe(encoder=shape, head=LettersRecipe())).to(DEVICE)
    model.encoder.prepare(checkpointing=False, activations=torch.bfloat16)
    return model


def model_pass(model: nn.Module, tokens_BL: Tensor, backward: bool) -> Any:
    """Tokens to logits, and the gradient of every parameter; bfloat16 activations for all."""
    model.train(backward)
    ours = isinstance(model, OrchidModel)
    with (
        torch.set_grad_enabled(backward),
        wide_transforms(),
        sdpa_kernel(SDPBackend.FLASH_ATTENTION),
    ):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=not ours):
            logits = model.encode(tokens_BL) if ours else model(tokens_BL)
        return (
            torch.autograd.grad(logits.float().mean(), list(model.parameters()))
            if backward
            else logits
        )


def graphed(run: Callable[[], Any]) -> Callable[[], None]:
    """The same work as one CUDA graph; raises RecordingError where it cannot be."""
    return record(run, torch.cuda.graph_pool_handle())


def model_row(
    models: dict[str, nn.Module], chosen: argparse.Namespace, length: int, backward: bool
) -> dict[str, Any]:
    """Thousands of nucleotides a second of every model at one length, and how many times as fast
    ours is.
    """
    batch = max(1, chosen.positions // length)
    x = torch.randint(0, 4, (batch, length), device=DEVICE, dtype=torch.uint8)
    fitting = {
        name: model
        for name, model in models.items()
        if name != "transformer" or length <= chosen.attention
    }
    calls, apart = {}, []
    for name, model in fitting.items():
        run = partial(model_pass, model, x, backward)
        try:
            calls[name] = graphed(run)
        except torch.OutOfMemoryError:
            apart.append(f"{name} out of memory")
        except RecordingError as error:
            apart.append(f"{name} call by call ({str(error).splitlines()[0][:60]})")
            calls[name] = run
        torch.cuda.empty_cache()
    times = interleaved(calls, chosen.rounds)
    rates = {
        name: batch * length / 1000 / times.median(name) if name in calls else None
        for name in models
    }
    others = [name for name in models if name != "orchid"]
    faster = {
        f"orchid / {n}": times.ratio(n, "orchid") if {n, "orchid"} <= calls.keys() else None
        for n in others
    }
    return {
        "length": length,
        "batch": batch,
        **rates,
        **faster,
        "apart": ", ".join(apart) or "-",
    }


def steps() -> Iterator[list[str]]:
    """What `orchid-genomics plan` measures of steps of the base recipe (d 128, 6 layers)."""
    for batch, length in PRETRAINING:
        values = {"model.backend": "triton", "training.device": "cuda"}
        values |= {"data.length": length, "training.batch": batch}
        torch.cuda.reset_peak_memory_stats()
        settings = tuple(f"{key}={value}" for key, value in values.items())
        lines = list(plan(SIX_LAYERS, settings, steps=30))
        yield [line for line in lines if "nt/s" in line or "peak memory" in line]


def by_kernel(batch: int, length: int, most: int = 25, steps: int = 4) -> str:
    """Where a step of the base recipe spends its time: kernels, the longest first (calls of torch
    on a CPU, where steps are not replayed).
    """
    values = {"data.length": length, "training.batch": batch, "training.device": DEVICE}
    recipe = load(
        SIX_LAYERS, PretrainRecipe, tuple(f"{key}={value}" for key, value in values.items())
    )
    ranks, source, model = processes.start(DEVICE), open_source(recipe), build(recipe)
    (stage,) = stages_of(recipe, source, ranks)
    with trial(recipe, source, model, [stage], ranks) as fit:
        parts = stage.parts(ranks)
        replay = fit.replay(parts, print)

        def some(count: int) -> None:
            for given in fit.batches(stage, 0, count, parts):
                fit.order(replay, given) if replay else fit.step(given, parts)
            if replay:
                replay.read(wait=True)

        some(3)  # compiles and records
        each = seconds(partial(some, steps), 1) / steps
        on_gpu = DEVICE == "cuda"
        kind = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
        with profile(activities=[kind]) as profiler:
            some(steps)
    found = [
        (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event)
        for event in profiler.key_averages()
    ]
    found.sort(key=lambda pair: -pair[0])
    rows = [
        [f"`{event.key[:90]}`", event.count / steps, time / 1000 / steps]
        for time, event in found[:most]
    ]
    whole = sum(time for time, _ in found) / 1000 / steps
    calls = sum(event.count for _, event in found) / steps
    heading = (
        f"{batch} x {length:,}: {1000 * each:.2f} ms a step, {whole:.2f} of {calls:,.0f} calls"
    )
    return f"{heading}\n\n{measure.table(['kernel', 'calls a step', 'ms a step'], rows)}\n"


def table(rows: list[dict[str, Any]]) -> str:
    named = [{**row, "length": f"{row['length']:,}"} for row in rows]
    return measure.table(list(named[0]), [list(row.values()) for row in named])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--width", type=int, default=256, help="a multiple of 128")
    options.add_argument("--depth", type=int, default=2)
    options.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    options.add_argument(
        "--positions", type=int, default=131_072, help="a batch holds so many at least"
    )
    options.add_argument(
        "--attention", type=int, default=262_144, help="the longest window of the quadratic peers"
    )
    options.add_argument("--kinds", nargs="+", default=["correlation"], help="or magnitude too")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--check", action="store_true", help="whether it is right, and no timing")
    options.add_argument(
        "--unchecked", action="store_true", help="timing alone, right after --check found it right"
    )
    options.add_argument(
        "--compare", action="store_true", help="no timing: the tables of the README, from files"
    )
    options.add_argument(
        "--kernels", action="store_true", help="where steps of pretraining spend their time"
    )
    chosen = options.parse_args()
    if chosen.compare:
        print(comparison())
        return
    if not torch.cuda.is_available():
        sys.exit("gpu.py: this machine has no CUDA GPU; operator.py and block.py measure the CPU")
    print(
        f"{torch.cuda.get_device_name()}; {measure.machine()}; medians of {chosen.rounds} rounds\n",
        flush=True,
    )
    if chosen.kernels:
        for batch, length in PRETRAINING:
            print(by_kernel(batch, length), flush=True)
        return
    if not chosen.unchecked:
        check()
    if not chosen.check:
        timed(chosen)


def check() -> None:
    """Ends the program where the backend is not right on this card."""
    apart = []
    for name, found, most in checked(DEVICE):
        apart += [] if found <= most else [name]  # NaN is not within anything
        print(
            f"{'right' if found <= most else 'WRONG'} {found:.1e} (at most {most:.0e}): {name}",
            flush=True,
        )
    if apart:
        sys.exit(
            f"gpu.py: {len(apart)} comparisons are off; nothing is timed before they are mended"
        )


def timed(chosen: argparse.Namespace) -> None:
    """Every table, each saved as soon as it is there."""
    speed = bandwidth()
    heading = f"{torch.cuda.get_device_name()}; {measure.machine()}"
    saved = {"machine": heading, "options": vars(chosen), "copy bytes/s": speed}
    print(f"\na copy moves {speed / 1e9:,.0f} GB/s, read and write both counted")
    saved["pretraining"] = list(steps())
    print("\n**Steps of pretraining** (recipes/yeast/six_layers.toml, d 128, 6 layers)\n")
    print(measure.table(["a step", "memory"], saved["pretraining"]), flush=True)
    measure.save(NOW, saved)
    for backward, title in ((False, "forward"), (True, "forward + backward")):
        rows = [
            operator_row(chosen, n, kind, backward, speed)
            for n in chosen.lengths
            for kind in chosen.kinds
        ]
        saved[f"operator, {title}"] = rows
        measure.save(NOW, saved)
        heading = f"**The operator, {title}**, width {chosen.width}, strand pairs"
        print(f"\n{heading}\n\n{table(rows)}", flush=True)
    models = {
        name: built(name, chosen.width, chosen.depth)
        for name in ("orchid", "orchid, torch", "hyena", "transformer")
    }
    for backward, title in ((True, "forward + backward"), (False, "forward")):
        rows = [model_row(models, chosen, n, backward) for n in chosen.lengths]
        saved[f"models, {title}"] = rows
        measure.save(NOW, saved)
        heading = f"**Models of width {chosen.width} and {chosen.depth} layers, {title}**, knt/s"
        print(f"\n{heading}\n\n{table(rows)}", flush=True)
    print(f"\nsaved as {measure.RESULTS / NOW}.json\n\n{comparison()}")


COMPARED = {
    "operator, forward": ("ms", "x bytes", "x transforms"),
    "operator, forward + backward": ("ms", "x bytes", "x transforms"),
    "models, forward": ("orchid", "orchid / hyena", "orchid / transformer"),
    "models, forward + backward": ("orchid", "orchid / hyena", "orchid / transformer"),
}
"""What is compared of each table: numbers of Type II, and of models in knt/s."""


def comparison() -> str:
    """The tables of `BEFORE` and of `NOW` side by side; a dash where nothing was measured."""
    before, now = (_read(name) for name in (BEFORE, NOW))
    parts = [f"before: {before.get('machine', '-')}", f"now: {now.get('machine', '-')}"]
    for title, columns in COMPARED.items():
        head = [
            "length",
            *(f"{column}, {when}" for column in columns for when in ("before", "now")),
        ]
        old, new = (_by_length(content.get(title, [])) for content in (before, now))
        lines = [
            [f"{length:,}", *_pairs(columns, old.get(length, {}), new.get(length, {}))]
            for length in sorted({*old, *new})
        ]
        parts.append(f"**{title.capitalize()}**\n\n{measure.table(head, lines)}")
    return "\n\n".join(parts)


def _read(name: str) -> dict[str, Any]:
    path = measure.RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _by_length(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Rows of a saved table by their length, those of Type II where they say which."""
    return {row["length"]: row for row in rows if row.get("operator") != "magnitude"}


def _pairs(columns: tuple[str, ...], old: dict[str, Any], new: dict[str, Any]) -> list[Any]:
    return [row.get(column) for column in columns for row in (old, new)]


if __name__ == "__main__":
    main()
