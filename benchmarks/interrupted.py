"""Every command killed at many moments, and every form of output on a disk that fills.

Run by ``python benchmarks/interrupted.py [--kills 20] [--disk FOLDER]``; FOLDER is a small file
system that may be filled, such as ``mount -t tmpfs -o size=256k tmpfs FOLDER``. After a kill the
inputs are as they were, the output is whole or not there, and the command, run again (jobs and runs
with --resume), gives the bytes of a run that nobody killed. A full disk is one line and exit 1 (a
job's finished parts stay), and with room again the command gives those bytes too.
"""

import argparse
import gzip
import os
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import torch
from fuzz import Trial, _be_child, fingerprint, make_base, run

GENOME = "{base}/model {base}/genome.fa"
RECIPE = """
[[genomes]]
fasta = "genome.fa"
validation = ["chrVI"]
test = ["chrVI:1-4000"]
[data]
length = 128
[model]
width = 8
depth = 1
[training]
steps = 12
batch = 4
save_every = 3
[evaluation]
sites = 0
"""
COMMANDS = {  # a name -> words, the output's ending, whether it takes --resume
    "features": ("features {base}/genes.gff3", "", False),
    "dataset": ("dataset {base}/peaks.bed {base}/genome.fa --length 64", ".tsv.gz", False),
    "mutate": ("mutate {base}/genome.fa {base}/genes.gff3 --genes 1", ".vcf.gz", False),
    "calibrate": (f"calibrate {GENOME} --sites 200 --window 64 --quiet", ".json", False),
    "evaluate": ("evaluate {base}/tuned {base}/set.tsv", ".json", False),
    "merge": ("merge {base}/parts.tsv.parts --quiet", ".tsv", False),
    "pretrain": ("pretrain {base}/tiny.toml", "", True),
}
FORMS = {  # a job -> its words and the endings of its outputs
    "score-variants": (
        f"score-variants {GENOME} {{base}}/calls.vcf --window 64",
        (".vcf.gz", ".vcf", ".bcf", ".tsv.gz", ".tsv", ".parquet"),
    ),
    "score-genome": (
        f"score-genome {GENOME} --window 64",
        (".vcf.gz", ".vcf", ".bw", ".bedGraph.gz"),
    ),
    "score-elements": (
        f"score-elements {GENOME} {{base}}/many.bed --background 0 --window 64",
        (".bed.gz", ".bed", ".tsv.gz", ".tsv", ".parquet", ".bw", ".bedGraph", ".bedGraph.gz"),
    ),
    "embed": (f"embed {GENOME} {{base}}/many.bed --window 64", (".h5",)),
    "explain": (
        f"explain {GENOME} {{base}}/peaks.bed --window 64 --method gradient",
        (".h5", ".npz", ".bw", ".bedGraph.gz"),
    ),
}
for job, (words, endings) in FORMS.items():
    for ending in endings:
        COMMANDS[f"{job} {ending}"] = (f"{words} --quiet", ending, True)


def content(path: Path) -> bytes:
    """The bytes of an output, decompressed; of a folder those of its lasting files."""
    if path.is_dir():
        names = ("model/model.safetensors", "genes.bed", "CDS.bed", "promoters.bed")
        return b"".join((path / name).read_bytes() for name in names if (path / name).exists())
    raw = path.read_bytes() if path.exists() else b""
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def start(trial: Trial, printed: int) -> int:
    child = os.fork()
    if not child:
        _be_child(trial, printed)
    return child


def trial_of(name: str, base: Path, folder: Path, resume: bool = False) -> Trial:
    words, ending, resumes = COMMANDS[name]
    out = folder / f"out{ending}"
    filled = [*words.format(base=base).split(), "-o", str(out)]
    if resume and resumes:
        filled.append("--resume")
    return Trial(folder, base, base, filled, "", out)


def finished(trial: Trial) -> str:
    """Run a trial to its end; what it printed where that is not exit 0."""
    run(trial)
    return "" if trial.status == 0 else f"exit {trial.status}: {trial.printed[-400:]}"


def again(name: str, base: Path, folder: Path, whole: bytes) -> str:
    """Run once more, first with --resume; what is wrong with the bytes."""
    trial = trial_of(name, base, folder, resume=True)
    problem = finished(trial)
    if problem and "--resume" in trial.words:  # nothing was kept yet: from the beginning
        problem = finished(trial_of(name, base, folder))
    if problem:
        return problem
    same = content(trial.out) == whole
    left = [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".parts"))]
    return (f"left behind: {left}" if left else "") if same else "other bytes"


def kill(name: str, base: Path, top: Path, moments: int) -> list[str]:
    """The problems after kills at so many moments of a command."""
    folder = top / "kill"
    folder.mkdir()
    problem = finished(trial_of(name, base, folder))  # the caches of the process
    if problem:
        shutil.rmtree(folder)
        return [problem]
    whole = content(trial_of(name, base, folder).out)
    shutil.rmtree(folder)
    folder.mkdir()
    begin = time.monotonic()
    finished(trial_of(name, base, folder))
    seconds = time.monotonic() - begin
    shutil.rmtree(folder)
    before, problems = fingerprint(base), []
    for moment in range(moments):
        folder.mkdir()
        trial = trial_of(name, base, folder)
        with tempfile.TemporaryFile() as printed:
            child = start(trial, printed.fileno())
            time.sleep(seconds * (moment + 0.5) / moments)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if trial.out.is_file() and content(trial.out) != whole:
            problems.append(f"moment {moment}: an output that is not whole")
        problem = again(name, base, folder, whole)
        if problem:
            problems.append(f"moment {moment}: {problem}")
        if fingerprint(base) != before:
            problems.append(f"moment {moment}: an input was changed")
        shutil.rmtree(folder)
    return problems


def fill(name: str, base: Path, top: Path, disk: Path) -> list[str]:
    """The problems on a disk with less and less room."""
    folder = top / "whole"
    folder.mkdir()
    problem = finished(trial_of(name, base, folder))
    whole = content(trial_of(name, base, folder).out)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    problems = [problem] if problem else []
    for room in (0, 4096, size // 2, size * 9 // 10):
        place = disk / "out"
        place.mkdir()
        free = os.statvfs(disk)
        space = free.f_bavail * free.f_frsize
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * max(space - room, 0))
        trial = trial_of(name, base, place)
        run(trial)
        ballast.unlink()
        errors = [line for line in trial.printed.splitlines() if line.startswith("error: ")]
        if trial.status not in (0, 1) or (trial.status == 1 and len(errors) != 1):
            problems.append(f"{room:,} bytes: exit {trial.status}: {trial.printed[-300:]}")
        left = [path.name for path in place.iterdir() if path.name.endswith(".tmp")]
        if left:
            problems.append(f"{room:,} bytes: left behind {left}")
        if trial.status:
            if trial.out.is_file() and content(trial.out) != whole:
                problems.append(f"{room:,} bytes: an output that is not whole")
            problem = again(name, base, place, whole)
            if problem:
                problems.append(f"{room:,} bytes, then room: {problem}")
        shutil.rmtree(place)
    return problems


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=20, help="moments a command is killed at")
    words.add_argument("--disk", type=Path, help="a small file system to fill")
    words.add_argument("--only", default="", help="commands whose name begins so")
    given = words.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        base = top / "base"
        base.mkdir()
        os.environ["ORCHID_CACHE"] = f"{top}/cache"
        make_base(base)
        (base / "tiny.toml").write_text(RECIPE)
        for name in COMMANDS:
            if not name.startswith(given.only):
                continue
            killed = kill(name, base, top, given.kills) if given.kills else []
            filled = fill(name, base, top, given.disk) if given.disk else []
            print(
                f"{name:28} kills {given.kills - len(killed)} of {given.kills}", end="", flush=True
            )
            print(f"; disk {'held' if not filled else 'FAULT'}" if given.disk else "", flush=True)
            for problem in killed + filled:
                faults += 1
                print(f"  {problem}", flush=True)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
