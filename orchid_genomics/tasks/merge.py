"""The parts that shards left become one file: the bytes of a run without shards."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchid_genomics.errors import InputError
from orchid_genomics.jobs.engine import Manifest, end_job, join_parts
from orchid_genomics.jobs.output import parts_folder
from orchid_genomics.jobs.summary import Stats
from orchid_genomics.jobs.task import TASKS, Task


def merge(shards: Sequence[str | Path], out: str | Path, quiet: bool = False) -> Stats:
    """Join the parts of all shards of one job as `out`; its summary. The parts stay where they are.

    `shards` are OUT.parts folders, or the OUT that a shard was given. Raises InputError when they
    belong to several jobs, a block is missing or damaged, or `out` names another format.
    """
    out = Path(out)
    folders = list(dict.fromkeys(_folder(Path(shard)) for shard in shards))
    manifest = Manifest.read(folders[0])
    task = _task(manifest.task, folders[0])
    try:
        identity = task.identity.model_validate(manifest.identity)
    except ValidationError:
        message = "holds parts of another version, or a damaged manifest"
        raise InputError(folders[0], message, "the version that began the job") from None
    if not out.name.endswith(f".{identity.kind}"):
        message = f"{out.name!r}, but the parts are {identity.kind}"
        raise InputError("out", message, f"a name that ends in .{identity.kind}")
    blocks = join_parts(folders, manifest, out, task.format(identity), meanings=task.reasons)
    return end_job(task, identity, blocks, out, quiet)


def _task(name: str, where: Path) -> Task[Any]:
    """A task by its name; each module of this folder registers its own when it is imported."""
    module = f"{__package__}.{name.replace('-', '_')}"
    # The name comes from a file, perhaps a stranger's: letters alone, so no path to other modules.
    if name not in TASKS and name.replace("-", "").isalpha() and find_spec(module):
        import_module(module)
    if name not in TASKS:
        raise InputError(where, f"holds parts of an unknown task {name!r}", ", ".join(TASKS))
    return TASKS[name]


def _folder(shard: Path) -> Path:
    # A name that ends in .parts is meant as it stands, so that an error repeats what was typed.
    return shard if shard.is_dir() or shard.suffix == ".parts" else parts_folder(shard)
