"""The parts that shards left become one file: the bytes of a run without shards."""

from collections.abc import Sequence
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.jobs.engine import Stats, join, parts_of, read_manifest
from orchid_genomics.score.elements import element_files
from orchid_genomics.score.variants import variant_files
from orchid_genomics.tasks import embed, explain, score_elements, score_variants

JOBS = {  # a task -> its format, and what it says last
    score_variants.TASK: (variant_files.form, score_variants.finish),
    score_elements.TASK: (element_files.form, score_elements.finish),
    embed.TASK: (embed.form, embed.finish),
    explain.TASK: (explain.form, explain.finish),
}


def merge(shards: Sequence[str | Path], out: str | Path, quiet: bool = False) -> Stats:
    """Join the parts of all shards of one job as `out`; its summary. The parts stay where they are.

    `shards` are OUT.parts folders, or the OUT that a shard was given. Raises InputError when they
    belong to several jobs, a block is missing, or `out` names another format.
    """
    out = Path(out)
    folders = list(dict.fromkeys(_folder(Path(shard)) for shard in shards))
    manifest = read_manifest(folders[0])
    if manifest["task"] not in JOBS:
        raise InputError(
            folders[0], f"holds parts of an unknown task {manifest['task']!r}", ", ".join(JOBS)
        )
    form, finish = JOBS[manifest["task"]]
    kind = manifest["identity"].get("kind")
    if kind and not out.name.endswith(f".{kind}"):
        raise InputError(
            "--out", f"{out.name!r}, but the parts are {kind}", f"a name that ends in .{kind}"
        )
    return finish(
        join(folders, manifest, out, form(manifest["identity"])), manifest["identity"], out, quiet
    )


def _folder(shard: Path) -> Path:
    return shard if shard.is_dir() else parts_of(shard)
