"""A long job over many records, cut into blocks: killed and resumed, or split over machines, it
writes the same bytes.

The grid of blocks is counted from the first record of the input, and a block's answers must be a
function of its own records (and of genome, model and options) alone. The trap: anything that knows
the shard, the first block done, the time or a path must stay out of the answers, the parts and the
identity.

>>> where = Destination(Path("out.vcf.gz"))  # doctest: +SKIP
>>> job = Job(TASK, identity, where, records=len(work))  # doctest: +SKIP
>>> summary = run_job(job, work)  # doctest: +SKIP
"""

import contextlib
import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from orchid_genomics.errors import InputError, NoValueError
from orchid_genomics.files import Lock, atomic_file, checksum, temporary_name, writable
from orchid_genomics.jobs.output import Destination
from orchid_genomics.jobs.progress import Progress
from orchid_genomics.jobs.summary import Stats, publish, reason_lines, total
from orchid_genomics.jobs.task import Format, Identity, Task, Work

_ADVICE = "a folder with room, then resume"
BLOCK = 512  # records that are answered, saved and lost together
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """Which job some parts belong to; written beside them before the first, with a checksum of
    itself: `merge` writes headers and names from it, and could not see that a letter was changed.

    Attributes: `task` by name; `block` records a block; `records` of the whole input; `identity` as
    `Identity.dump` gives it.
    """

    task: str
    block: int
    records: int
    identity: dict[str, Any]

    @property
    def blocks(self) -> int:
        """Blocks of the whole job."""
        return -(-self.records // self.block)

    def size(self, block: int) -> int:
        """Records of one block; the last may be shorter."""
        return min(self.block, self.records - block * self.block)

    def write(self, folder: Path) -> None:
        with atomic_file(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(_seal(vars(self))), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a folder of parts. Raises InputError when it is no such folder."""
        try:
            values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            manifest = cls(**{key: values[key] for key in cls.__dataclass_fields__})
            if not isinstance(manifest.identity, dict) or not isinstance(manifest.task, str):
                raise ValueError
            if not 0 < int(manifest.block) == manifest.block or int(manifest.records) < 0:
                raise ValueError
            whole = _is_sealed(values)
        except (OSError, ValueError, KeyError, TypeError):
            possible = "the OUT.parts folder that --shard or a kill left"
            raise InputError(folder, "holds no parts of a job", possible) from None
        if not whole:
            message = "is not what was written (its checksum differs)"
            possible = "copy it again, or that of another shard; else begin the job anew"
            raise InputError(folder / MANIFEST, message, possible)
        return manifest


@dataclass(frozen=True)
class Job:
    """One job, or one shard of it: `records` of the whole input in blocks of `block` records."""

    task: Task[Any]
    identity: Identity
    where: Destination
    records: int
    block: int = BLOCK

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.task.name, self.block, self.records, self.identity.dump())

    @property
    def own_blocks(self) -> range:
        """The blocks of this shard."""
        i, n = self.where.shard
        blocks = self.manifest.blocks
        # In one stretch each, and of sizes that differ by one block at most.
        return range(blocks * (i - 1) // n, blocks * i // n)


@dataclass(frozen=True)
class Part:
    """The answers to one block as a file, and beside it (.json) what it must be.

    A part is trusted for its size and checksum, never because it is there: a disk that filled, or
    a copy between machines that broke off, leaves files that begin well. `job` is the checksum of
    the manifest, for a part may be whole and stand in another job's folder, or under the name of
    another block.
    """

    folder: Path
    block: int
    job: str = ""

    @property
    def path(self) -> Path:
        return self.folder / f"{self.block:08d}.part"

    @property
    def receipt(self) -> Path:
        return self.path.with_suffix(".json")

    def save(self, answers: Any, stats: Stats, records: int, form: Format) -> None:
        """Write the block; its part takes its name last, and so has a receipt when it is there."""
        with writable(self.folder, _ADVICE), atomic_file(self.path) as temporary:
            form.write(answers, temporary)
            receipt = {
                "job": self.job,
                "block": self.block,
                "records": records,
                "bytes": temporary.stat().st_size,
                "sha256": checksum(temporary),
                "stats": stats,
            }
            # Within the block of the part, which is renamed as that ends: the receipt comes first.
            with atomic_file(self.receipt) as beside:
                beside.write_text(json.dumps(_seal(receipt)), encoding="utf-8")

    def check(self, records: int) -> Stats:
        """What the block says of itself; `records` are those that it must hold.

        Raises InputError for a part that is not as it was written.
        """
        try:
            receipt = json.loads(self.receipt.read_text(encoding="utf-8"))
            written = [receipt[key] for key in ("bytes", "sha256", "records")]
            belongs = receipt["job"], receipt["block"]
            stats = receipt["stats"]
            whole = _is_sealed(receipt)
            present = [self.path.stat().st_size, checksum(self.path), records]
        except (OSError, ValueError, KeyError, TypeError):
            raise self._damage(f"has no record of what it holds ({self.receipt.name})") from None
        if written[0] != present[0]:
            raise self._damage(f"has {present[0]:,} bytes where {written[0]:,} were written")
        if written[1] != present[1]:
            raise self._damage("is not what was written (its checksum differs)")
        if written[2] != records:
            raise self._damage(f"has {written[2]:,} records where {records:,} belong")
        if belongs != (self.job, self.block):
            other = "another job" if belongs[0] != self.job else f"block {belongs[1]}"
            raise self._damage(f"holds the answers of {other}")
        if not whole:
            message = f"has a record ({self.receipt.name}) that is not what was written"
            raise self._damage(message)
        return stats

    def _damage(self, what: str) -> InputError:
        return InputError(self.path, what, "remove it, then resume its shard")


def run_job(job: Job, work: Work, quiet: bool = False, form: Format | None = None) -> Stats | None:
    """Answer every record of this shard, and end the job: its summary, or None for a shard.

    `form` stands in for the task's own format where a command writes more than `merge` could. See
    `stream` for what is raised.
    """
    form = form or job.task.format(job.identity)
    blocks = stream(job, work, form, quiet)
    return None if blocks is None else end_job(job.task, job.identity, blocks, job.where.out, quiet)


def end_job(
    task: Task[Any], identity: Identity, blocks: Sequence[Stats], out: Path, quiet: bool = False
) -> Stats:
    """The summary of a job that is whole: on stderr unless `quiet`, and beside its output."""
    summary = task.summarise(identity, blocks)
    return publish(identity.summary() | summary, task.lines(identity, summary), out, quiet)


def stream(job: Job, work: Work, form: Format, quiet: bool = False) -> list[Stats] | None:
    """Answer every record of this shard; the stats of all blocks, or None for a shard.

    Memory is that of two blocks: one is written while the next is answered. Progress goes to stderr
    unless `quiet`. SIGTERM and SIGINT exit with 128 + their number; what is whole is kept for
    `resume`. Raises InputError for parts of another job or damaged ones, MachineError when the disk
    is full.
    """
    form.require()
    if job.where.piped:
        return _pipe(job, work, form, quiet)
    with _folder_of_parts(job) as folder:
        name = _content_hash(vars(job.manifest))
        parts = {block: Part(folder, block, name) for block in job.own_blocks}
        done = [block for block, part in parts.items() if part.path.exists()]
        for block in done:
            # Before any work: a damaged part would else be found hours later, when all are joined.
            parts[block].check(job.manifest.size(block))
        wanted = sorted(parts.keys() - set(done))
        with (
            _progress(job, *_extent(job, done), quiet) as progress,
            _Saver(form, progress) as saver,
            _stop_on_signals(job, progress, saver),
        ):
            for block, records in read_blocks(work, job.manifest, wanted):
                answers, stats = work.answer(records)
                # Before the part is saved: what was read must be of the input that was surveyed.
                work.check_inputs()
                saver.save(parts[block], answers, stats, len(records))
            saver.finish()
            i, n = job.where.shard
            if n > 1:
                count = f"{len(parts)} of {job.manifest.blocks} blocks"
                progress.say(f"shard {i}/{n} is done: {count}, in {folder}")
                return None
            try:
                blocks = join_parts(
                    [folder], job.manifest, job.where.out, form, meanings=job.task.reasons
                )
            except NoValueError:
                # More work would not change it, and parts would stand in the way of another try.
                _discard(folder)
                raise
            _discard(folder)
    return blocks


class _Saver:
    """A context that saves blocks on a second thread, while the model reads the next one.

    Of blocks one at most waits to be written, so that memory is that of two. The trap: a part that
    cannot be written is told at the next call, so the last one needs `finish`.
    """

    def __init__(self, form: Format, progress: Progress) -> None:
        self.form, self.progress = form, progress
        self._pool = ThreadPoolExecutor(1, "save")
        self._saving: Future[None] | None = None
        self._done: tuple[int, Stats] = (0, {})

    def __enter__(self) -> "_Saver":
        return self

    def __exit__(self, *_: object) -> None:
        # What is being written becomes whole, also where an error or a signal ends the job.
        self._pool.shutdown(wait=True)

    def save(self, part: Part, answers: Any, stats: Stats, records: int) -> None:
        """Begin to write a block, once the one before is written."""
        self.finish()
        self._done = records, stats
        self._saving = self._pool.submit(part.save, answers, stats, records, self.form)

    def finish(self) -> None:
        """Wait for the block that is being written. Raises what its writing did."""
        saving = self._saving
        if saving is not None:
            saving.result()
            self._saving = None
            self.progress.add(*self._done)

    def settle(self) -> None:
        """The same from a signal's handler, which may stand within `finish` already: no error, and
        nothing is said.
        """
        if self._saving is not None:
            wait([self._saving])


def _discard(folder: Path) -> None:
    """Remove a folder of parts, under another name: of a kill amid it nothing is left that the next
    run would take for parts.
    """
    away = temporary_name(folder)
    with contextlib.suppress(OSError):
        folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def read_blocks(
    records: Iterable[Any], manifest: Manifest, wanted: Sequence[int]
) -> Iterator[tuple[int, list[Any]]]:
    """The wanted blocks (ascending) as (number, records); the others are read over.

    Raises InputError when the input ends too soon.
    """
    remaining, position = iter(records), 0
    for block in wanted:
        first, size = block * manifest.block, manifest.size(block)
        rows = list(islice(remaining, first - position, first - position + size))
        if len(rows) < size:
            message = "has fewer records than when it was counted"
            raise InputError("input", message, "a file that nobody writes to")
        position = first + size
        yield block, rows


def join_parts(
    folders: Sequence[Path],
    manifest: Manifest,
    out: Path,
    form: Format,
    meanings: Mapping[str, str] | None = None,
) -> list[Stats]:
    """Put the parts in `folders` together as `out`; returns their stats in order.

    `meanings` says in words why a record may have no answer, by code.
    Raises InputError when the folders belong to several jobs, a block is missing, or a part is not
    as it was written; NoValueError, with the reasons, where there is nothing to write.
    """
    parts: dict[int, Part] = {}
    name = _content_hash(vars(manifest))
    for folder in folders:
        _require_same_job(folder, Manifest.read(folder), manifest)
        for block in range(manifest.blocks):
            if (part := Part(folder, block, name)).path.exists():
                parts[block] = part
    missing = [block for block in range(manifest.blocks) if block not in parts]
    if missing:
        first = missing[0] * manifest.block + 1
        count = f"{len(missing)} of {manifest.blocks} blocks are missing"
        message = f"{count}, the first from record {first:,} (1-based)"
        raise InputError(out, message, "every shard of the job, each run to its end")
    ordered = [parts[block] for block in range(manifest.blocks)]
    stats = [part.check(manifest.size(part.block)) for part in ordered]
    form.require()
    try:
        with writable(out, _ADVICE):
            form.join([part.path for part in ordered], out)
    except NoValueError as error:
        # What wrote the file knows its values alone; why there are none stands beside the parts.
        reasons = total({"reasons": each.get("reasons", {})} for each in stats)["reasons"]
        if not reasons:
            raise
        why = "; ".join(reason_lines(reasons, "none", meanings or {})).replace("  none: ", "")
        raise NoValueError(error.where, f"{error.found}: {why}", error.possible) from None
    return stats


def _seal(values: dict[str, Any]) -> dict[str, Any]:
    """Values with a checksum of their own content beside them, as `seal`."""
    return values | {"seal": _content_hash(values)}


def _is_sealed(values: dict[str, Any]) -> bool:
    content = {key: value for key, value in values.items() if key != "seal"}
    return values.get("seal") == _content_hash(content)


def _content_hash(values: dict[str, Any]) -> str:
    # through JSON first, so that keys that are numbers lie in one order before and after a file
    plain = json.loads(json.dumps(values))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _progress(job: Job, mine: int, done: int, quiet: bool) -> Progress:
    return Progress(job.records, mine, done, job.task.unit, quiet, job.task.counts)


def _extent(job: Job, done: Sequence[int]) -> tuple[int, int]:
    """Records of this shard, and how many of them are answered already."""
    sizes = [sum(job.manifest.size(block) for block in blocks) for blocks in (job.own_blocks, done)]
    return sizes[0], sizes[1]


@contextmanager
def _folder_of_parts(job: Job) -> Iterator[Path]:
    """The folder of parts, made or found to be of the same job.

    A failure that leaves no part behind takes with it the folder that it made; a kill does not, nor
    does a shard, whose neighbours may be about to write.
    """
    made = _make_folder(job)
    folder = job.where.parts
    try:
        with _hold(folder, job.where.shard):
            # Asked when nobody else is at work there: whose parts grow must be left in peace.
            _require_resume(job)
            yield folder
    except Exception:
        if made and job.where.shard[1] == 1 and not any(folder.glob("*.part")):
            _discard(folder)
        raise


def _make_folder(job: Job) -> bool:
    """Whether the folder of parts was made, not found. Raises InputError for one of another job."""
    folder = job.where.parts
    if folder.exists():
        _require_same_job(folder, Manifest.read(folder), job.manifest)
        return False
    # made beside and renamed, so that no shard ever sees a folder without a manifest; not by
    # tempfile, whose folders nobody but their owner may read
    staged = temporary_name(folder)
    with writable(job.where.out, _ADVICE):
        # A killed process may have had our number.
        shutil.rmtree(staged, ignore_errors=True)
        try:
            staged.mkdir()
            job.manifest.write(staged)
            staged.rename(folder)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            if not folder.is_dir():
                raise
            # another shard was faster
            _require_same_job(folder, Manifest.read(folder), job.manifest)
            return False
    return True


def _require_resume(job: Job) -> None:
    """Raises InputError where parts are there that the job was not told to go on from."""
    folder = job.where.parts
    answered = any(Part(folder, block).path.exists() for block in job.own_blocks)
    if answered and not job.where.resume:
        possible = "`resume` to go on, or remove the folder"
        raise InputError(folder, "holds parts of this job already", possible)


@contextmanager
def _hold(folder: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Keep other processes off this shard, and off the whole job where it is not sharded.

    Raises MachineError where another process is at work on it.
    """
    i, n = shard
    with writable(folder, _ADVICE):
        # Shards share the folder, and each holds a lock of its own.
        locks = [Lock(folder, shared=n > 1)]
        if n > 1:
            own = folder / f"{i}-of-{n}.lock"
            own.touch()
            locks.append(Lock(own))
    try:
        yield
    finally:
        for lock in locks:
            lock.release()


def _require_same_job(folder: Path, before: Manifest, now: Manifest) -> None:
    old, new = _flat(before), _flat(now)
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not changed:
        return
    # what follows from an option, such as a header, is not said beside the option
    plain = [key for key in changed if _is_short(old.get(key))]
    shown = ", ".join(_change(key, old.get(key), new.get(key)) for key in (plain or changed)[:4])
    possible = "the same inputs and options, or another `out`"
    raise InputError(folder, f"belongs to another job: {shown}", possible)


def _flat(manifest: Manifest) -> dict[str, Any]:
    """A manifest with its identity's values beside its own, as JSON gives them back."""
    # Through JSON, so that tuples and lists compare as what was read from the disk.
    values = json.loads(json.dumps(vars(manifest)))
    return values | values.pop("identity")


def _is_short(value: Any) -> bool:
    return len(str(value)) <= 80 and not isinstance(value, list | dict)


def _change(key: str, old: Any, new: Any) -> str:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (old, new)]
    return f"{key} {texts[0]} -> {texts[1]}" if max(map(len, texts)) <= 80 else f"{key} differs"


@contextmanager
def _stop_on_signals(job: Job, progress: Progress, saver: _Saver | None = None) -> Iterator[None]:
    """SIGTERM and SIGINT end the process at once: whole blocks stay, the one at work is lost."""

    def stop(number: int, _: Any) -> None:
        if saver is not None:
            saver.settle()
        if not job.where.piped:
            parts = [Part(job.where.parts, block) for block in job.own_blocks]
            saved = f"{sum(part.path.exists() for part in parts)} of {len(parts)} blocks are saved"
            progress.say(f"stopped: {saved}; --resume goes on from there")
        # As the shell reports a process that a signal ended.
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    try:
        before = [signal.signal(number, stop) for number in numbers]
    # Only the main thread hears signals; elsewhere the caller's handlers stay.
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _pipe(job: Job, work: Work, form: Format, quiet: bool) -> list[Stats]:
    """Answers straight to standard output."""
    blocks: list[Stats] = []
    with (
        _progress(job, job.records, 0, quiet) as progress,
        _stop_on_signals(job, progress),
    ):

        def answers() -> Iterator[Any]:
            for _, records in read_blocks(work, job.manifest, job.own_blocks):
                answer, stats = work.answer(records)
                work.check_inputs()
                blocks.append(stats)
                yield answer
                progress.add(len(records), stats)

        with writable("standard output", "a file or pipe with room"):
            try:
                form.pipe(answers(), sys.stdout.buffer)
                sys.stdout.buffer.flush()
            # The reader, `head` say, has enough.
            except BrokenPipeError:
                # Else Python would flush it as it exits, and fail once more.
                sys.stdout = None
                raise SystemExit(128 + signal.SIGPIPE) from None
    return blocks
