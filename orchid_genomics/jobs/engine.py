"""A long job over many records, cut into blocks: killed and resumed, or split over machines, it
writes the same bytes.

The grid of blocks is counted from the first record of the input, and a block's answers must be a
function of its own records (and of genome, model and options) alone. The trap: anything that knows
the shard, the first block done, the time or a path must stay out of the answers, the parts and the
manifest's `identity`.

>>> job = Job("score-variants", Path("out.vcf.gz"), identity, records=24_990)  # doctest: +SKIP
>>> stats = stream(job, read_records(), score, TextFormat(header))  # doctest: +SKIP
"""

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from orchid_genomics.errors import InputError
from orchid_genomics.files import replacing, writable
from orchid_genomics.jobs.progress import Progress

_ROOM = "a folder with room; then --resume goes on"
BLOCK = 512  # records that are answered, saved and lost together
MANIFEST = "manifest.json"
Stats = dict[
    str, Any
]  # what a block says about itself, as JSON: counts and sums that a summary adds up


class Format(Protocol):
    """How answers become files. Parts hold no header, so that they join in any number."""

    def write(self, answers: Any, part: Path) -> None:
        """Write the answers of one block as the file `part` (a temporary name that the engine
        renames).
        """

    def join(self, parts: Iterable[Path], out: Path) -> None:
        """Put parts together in order as `out`, with its index if it has one; whole or not at all
        (`replacing`).
        """

    def pipe(self, answers: Iterable[Any], out: BinaryIO) -> None:
        """Write a header and answers as they come; only for formats that `-o -` may name."""


@dataclass(frozen=True)
class Job:
    """One job, or one shard of it.

    Parameters: `task` the command, which knows how to put the parts together; `out` the final name,
    beside which the parts lie in ``<out>.parts`` (`-` for standard output: no parts, no resume);
    `identity` a JSON object of all that decides a byte of the output (inputs by checksum, model
    hash, scores, windows, the header), the same for a resumed or merged job; `records` in the whole
    input; `block` records a block; `shard` (i, n), i from 1: a contiguous run of blocks; `resume`
    whether parts that are there may be kept.
    """

    task: str
    out: Path
    identity: dict[str, Any]
    records: int
    block: int = BLOCK
    shard: tuple[int, int] = (1, 1)
    resume: bool = False

    @property
    def blocks(self) -> int:
        """Blocks of the whole job."""
        return -(-self.records // self.block)

    @property
    def mine(self) -> range:
        """The blocks of this shard."""
        i, n = self.shard
        return range(self.blocks * (i - 1) // n, self.blocks * i // n)

    @property
    def parts(self) -> Path:
        return parts_of(self.out)

    @property
    def piped(self) -> bool:
        return str(self.out) == "-"

    @property
    def manifest(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "block": self.block,
            "records": self.records,
            "identity": self.identity,
        }


def parts_of(out: Path) -> Path:
    """The folder of parts of an output, which a shard leaves behind for `merge`."""
    return out.with_name(f"{out.name}.parts")


def parse_shard(text: str) -> tuple[int, int]:
    """``3/10`` as (3, 10). Raises InputError for anything else."""
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise InputError("--shard", f"{text!r}", "i/n with 1 <= i <= n, such as 3/10")
    return int(i), int(n)


def stream(
    job: Job,
    records: Iterable[Any],
    score: Callable[[list[Any]], tuple[Any, Stats]],
    form: Format,
    unit: str = "records",
    quiet: bool = False,
) -> list[Stats] | None:
    """Answer every record of this shard; returns the stats of all blocks, or None for a shard that
    is left to `merge`.

    `records` are those of the whole input from its beginning (blocks that are not wanted are read
    over); `score` gets the records of one block and returns its answers, as `form` takes them, and
    its stats. Memory is that of a block. Progress goes to stderr unless `quiet`. SIGTERM and SIGINT
    exit with 128 + their number; what is whole is kept for `resume`. Raises InputError for parts of
    another job, MachineError when the disk is full.
    """
    if job.piped:
        return _pipe(job, records, score, form, unit, quiet)
    _begin(job)
    done = [block for block in job.mine if _part(job.parts, block).exists()]
    wanted = sorted(set(job.mine) - set(done))
    with (
        Progress(job.records, _size(job, job.mine), _size(job, done), unit, quiet) as progress,
        _stopping(job, progress),
    ):
        for block, some in cut(records, job, wanted):
            save(job.parts, block, *score(some), form)
            progress.add(len(some))
        if job.shard[1] > 1:
            i, n = job.shard
            progress.say(
                f"shard {i}/{n} is done: {len(job.mine)} of {job.blocks} blocks, in {job.parts}"
            )
            return None
        stats = join([job.parts], job.manifest, job.out, form)
    shutil.rmtree(job.parts)
    return stats


def cut(records: Iterable[Any], job: Job, wanted: Sequence[int]) -> Iterator[tuple[int, list[Any]]]:
    """The wanted blocks (ascending) as (number, records). Raises InputError when the input ends too
    soon.
    """
    records, at = iter(records), 0
    for block in wanted:
        first, size = block * job.block, min(job.block, job.records - block * job.block)
        some = list(islice(records, first - at, first - at + size))
        if len(some) < size:
            raise InputError(
                "input",
                "has fewer records than when it was counted",
                "a file that nobody writes to",
            )
        at = first + size
        yield block, some


def save(folder: Path, block: int, answers: Any, stats: Stats, form: Format) -> None:
    """Write one block; its part appears last, so that a part that is there is whole and has its
    stats.
    """
    with writable(folder, _ROOM):
        with replacing(_part(folder, block).with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(stats))
        with replacing(_part(folder, block)) as temporary:
            form.write(answers, temporary)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What job the parts in a folder belong to. Raises InputError when it is no such folder."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return {key: manifest[key] for key in ("task", "block", "records", "identity")}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            folder, "holds no parts of a job", "the OUT.parts folder that --shard or a kill left"
        ) from None


def join(folders: Sequence[Path], manifest: dict[str, Any], out: Path, form: Format) -> list[Stats]:
    """Put the parts in `folders` together as `out`; returns their stats in order.

    Raises InputError when the folders belong to several jobs, or a block is missing.
    """
    blocks = -(-manifest["records"] // manifest["block"])
    found: dict[int, Path] = {}
    for folder in folders:
        _same(folder, read_manifest(folder), manifest)
        found.update(
            (block, _part(folder, block))
            for block in range(blocks)
            if _part(folder, block).exists()
        )
    missing = [block for block in range(blocks) if block not in found]
    if missing:
        first = missing[0] * manifest["block"]
        gap = f"{len(missing)} of {blocks} blocks are missing, the first from record {first + 1:,} (1-based)"
        raise InputError(out, gap, "every shard of the job, each run to its end")
    parts = [found[block] for block in range(blocks)]
    with writable(out, _ROOM):
        form.join(parts, out)
    return [json.loads(part.with_suffix(".json").read_text()) for part in parts]


def _part(folder: Path, block: int) -> Path:
    return folder / f"{block:08d}.part"


def _size(job: Job, blocks: Sequence[int]) -> int:
    return sum(min(job.block, job.records - block * job.block) for block in blocks)


def _begin(job: Job) -> None:
    """Make the folder of parts, or find in it the same job."""
    folder = job.parts
    if folder.exists():
        _same(folder, read_manifest(folder), json.loads(json.dumps(job.manifest)))
        if not job.resume and any(_part(folder, block).exists() for block in job.mine):
            raise InputError(
                folder, "holds parts of this job already", "--resume to go on, or remove the folder"
            )
        return
    with writable(job.out, _ROOM):
        staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        with replacing(staged / MANIFEST) as temporary:
            temporary.write_text(json.dumps(job.manifest))
        try:
            staged.rename(folder)
        except OSError:  # another shard was faster
            shutil.rmtree(staged, ignore_errors=True)
            _same(folder, read_manifest(folder), json.loads(json.dumps(job.manifest)))


def _same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = (
        {**manifest, **manifest["identity"], "identity": None} for manifest in (before, now)
    )
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if changed:
        plain = [
            key
            for key in changed
            if len(str(old.get(key))) <= 80 and not isinstance(old.get(key), list | dict)
        ]
        changed = plain or changed  # what follows from an option is not said beside it
        shown = ", ".join(_change(key, old.get(key), new.get(key)) for key in changed[:4])
        raise InputError(
            folder, f"belongs to another job: {shown}", "the same inputs and options, or another -o"
        )


def _change(key: str, old: Any, new: Any) -> str:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (old, new)]
    return f"{key} {texts[0]} -> {texts[1]}" if max(map(len, texts)) <= 80 else f"{key} differs"


@contextmanager
def _stopping(job: Job, progress: Progress) -> Iterator[None]:
    """SIGTERM and SIGINT end the process at once: what is whole is saved, and the block at work is
    lost.
    """

    def stop(number: int, _: Any) -> None:
        if not job.piped:
            whole = sum(_part(job.parts, block).exists() for block in job.mine)
            progress.say(
                f"stopped: {whole} of {len(job.mine)} blocks are saved; --resume goes on from there"
            )
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    try:
        before = [signal.signal(number, stop) for number in numbers]
    except ValueError:  # not the main thread, which alone hears signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _pipe(
    job: Job, records: Iterable, score: Callable, form: Format, unit: str, quiet: bool
) -> list[Stats]:
    """Answers straight to standard output."""
    stats: list[Stats] = []
    with Progress(job.records, job.records, 0, unit, quiet) as progress, _stopping(job, progress):

        def answers() -> Iterator[Any]:
            for _, some in cut(records, job, range(job.blocks)):
                answer, said = score(some)
                stats.append(said)
                yield answer
                progress.add(len(some))

        try:
            form.pipe(answers(), sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # head, say, has read enough
            sys.stdout = None
            raise SystemExit(128 + signal.SIGPIPE) from None
    return stats
