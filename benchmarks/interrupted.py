"""Every command killed at many moments, and every form of output on a disk that fills.

Run by ``python benchmarks/interrupted.py [--kills 20] [--disk FOLDER] [--only embed,explain]``;
FOLDER is a small file system that may be filled, such as ``mount -t tmpfs -o size=8m tmpfs
FOLDER``. Some kills are aimed: one at the write of each file that a command makes (a checkpoint, a
part, an index), with half of it on the disk; the others are spread over its time. After a kill the
inputs are as they were, the output is whole or not there, and the command, run again (jobs and runs
with --resume), leaves the files of a run that nobody killed, with their bytes. A full disk is one
line and exit 1 (a job's finished parts stay), and with room again the command leaves those files
too.
"""

import argparse
import gzip
import os
import re
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from fuzz import Trial, _be_child, fingerprint, make_base, run

Files = dict[str, bytes]  # names below a folder, and what each holds
TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}-[0-9]+\.tmp")
AIMED = 8  # of the kills, at most: each amid the write of another file
GENOME = "{base}/model {base}/genome.fa"
PRETRAIN = """
[[genomes]]
fasta = "train.fa"
validation = ["v"]
test = ["t"]
[data]
length = 128
[model]
width = 8
depth = 1
[training]
steps = 12
batch = 4
save_every = 3
device = "cpu"
[evaluation]
sites = 20
"""
FINETUNE = """
[data]
kind = "table"
path = "set.tsv"
[model]
width = 8
depth = 1
[training]
epochs = 2
batch = 8
device = "cpu"
[baselines]
cnn = false
sizes = [3]
"""
EVALUATED = "--label CLASS --positive yes --negative no --samples 20 --baselines none"
COMMANDS = {  # a name -> words, the output's ending, whether it takes --resume
    "features": ("features {base}/genes.gff3", "", False),
    "features, genbank": ("features {base}/genes.gb", "", False),
    "dataset .tsv.gz": (
        "dataset {base}/peaks.bed {base}/genome.fa --length 64",
        ".tsv.gz",
        False,
    ),
    "dataset .tsv": ("dataset {base}/peaks.bed {base}/genome.fa --length 64", ".tsv", False),
    "mutate .vcf.gz": ("mutate {base}/genome.fa {base}/genes.gff3 --genes 1", ".vcf.gz", False),
    "mutate .vcf": ("mutate {base}/genome.fa {base}/genes.gff3 --genes 1", ".vcf", False),
    "calibrate": (f"calibrate {GENOME} --sites 200 --window 64 --quiet", ".json", False),
    "evaluate": ("evaluate {base}/tuned {base}/set.tsv", ".json", False),
    "evaluate-variants": (f"evaluate-variants {{base}}/scored.vcf {EVALUATED}", ".json", False),
    "merge .tsv": ("merge {base}/parts.tsv.parts --quiet", ".tsv", False),
    "merge .vcf.gz": ("merge {base}/parts.vcf.gz.parts --quiet", ".vcf.gz", False),
    "pretrain": ("pretrain {base}/pretrain.toml", "", True),
    "finetune": ("finetune {base}/finetune.toml", "", True),
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
    "embed, letters": (f"embed {GENOME} {{base}}/peaks.bed --window 64 --pool none", (".h5",)),
    "explain": (
        f"explain {GENOME} {{base}}/peaks.bed --window 64 --method gradient",
        (".h5", ".npz", ".bw", ".bedGraph.gz"),
    ),
    "explain, page": (
        f"explain {GENOME} {{base}}/peaks.bed --window 64 --method gradient --html --session",
        (".bw",),
    ),
}
for job, (words, endings) in FORMS.items():
    for ending in endings:
        COMMANDS[f"{job} {ending}"] = (f"{words} --quiet", ending, True)


def content(path: Path) -> bytes:
    """The bytes of a file, decompressed; a card without the row of its training's seconds."""
    raw = path.read_bytes()
    if path.name == "README.md":
        return b"".join(line for line in raw.splitlines(True) if not line.startswith(b"| trained"))
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def files_in(folder: Path) -> Files:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): content(path) for path in paths}


class Sound:
    """What a command leaves when nothing happens to it.

    Attributes: `names` of all its files; `files` those that two runs write alike (a log or a page
    may hold a time); `seconds` of a run; `writes` the order in which files are flushed to disk,
    each by its lasting name; `size` of all files; `problem` where it fails.
    """

    def __init__(self, name: str, base: Path, folder: Path) -> None:
        journal = folder.with_suffix(".journal")
        both = []
        for _ in range(2):
            folder.mkdir()
            journal.unlink(missing_ok=True)
            trial = trial_of(name, base, folder)
            begin = time.monotonic()
            with tempfile.TemporaryFile() as printed:
                child = start(trial, printed.fileno(), journal=journal)
                _, status = os.waitpid(child, 0)
                printed.seek(0)
                text = printed.read().decode("utf-8", "replace")
            self.seconds = time.monotonic() - begin
            self.problem = f"exit {status}: {text[-400:]}" if status else ""
            both.append(files_in(folder))
            self.size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder)
        first, second = both
        self.names = set(second)
        self.files = {key: second[key] for key in second if first.get(key) == second[key]}
        self.writes = journal.read_text().splitlines() if journal.exists() else []
        journal.unlink(missing_ok=True)

    def aims(self, most: int) -> list[int]:
        """Numbers, from 1, of flushes to kill amid: one of each file, checkpoints before others."""
        of_file: dict[str, list[int]] = {}
        for number, written in enumerate(self.writes, 1):
            of_file.setdefault(written, []).append(number)
        names = sorted(of_file, key=lambda written: not written.endswith(".pt"))
        step = max(1, -(-len(names) // most))
        # The middle one: where a file is written often, an older one of it is there.
        return [of_file[written][len(of_file[written]) // 2] for written in names[::step]]

    def compare(self, folder: Path) -> str:
        """What is wrong with the files in a folder; "" when they are these."""
        files = files_in(folder)
        if set(files) != self.names:
            return f"other files: {sorted(set(files) ^ self.names)}"
        changed = [name for name in self.files if files[name] != self.files[name]]
        return f"other bytes: {changed}" if changed else ""


def start(trial: Trial, printed: int, aim: int = 0, journal: Path | None = None) -> int:
    """Fork a process that runs a trial, and dies amid its `aim`-th flush to disk if that is one."""
    child = os.fork()
    if not child:
        _watch_flushes(aim, journal)
        _be_child(trial, printed)
    return child


def _watch_flushes(aim: int, journal: Path | None) -> None:
    flush = os.fsync
    count = 0

    def note(handle: int) -> None:
        nonlocal count
        name = os.readlink(f"/proc/self/fd/{handle}")
        temporary = TEMPORARY.fullmatch(Path(name).name)
        if temporary is None:
            flush(handle)
            return
        count += 1
        if journal is not None:
            with journal.open("a") as file:
                file.write(temporary[1] + "\n")
        if count == aim:
            os.truncate(name, os.path.getsize(name) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        flush(handle)

    os.fsync = note


def trial_of(name: str, base: Path, folder: Path, resume: bool = False) -> Trial:
    words, ending, resumes = COMMANDS[name]
    out = folder / f"out{ending}"
    filled = [*words.format(base=base).split(), "-o", str(out)]
    if resume and resumes:
        filled.append("--resume")
    return Trial(folder, base, base, filled, "", out, cache=base.with_suffix(".cache"))


def finished(trial: Trial) -> str:
    """Run a trial to its end; what it printed where that is not exit 0."""
    run(trial)
    return "" if trial.status == 0 else f"exit {trial.status}: {trial.printed[-400:]}"


def again(name: str, base: Path, folder: Path, sound: Sound) -> str:
    """Run once more, first with --resume; what is wrong with the files."""
    trial = trial_of(name, base, folder, resume=True)
    problem = finished(trial)
    if problem and "--resume" in trial.words:  # nothing was kept yet: from the beginning
        problem = finished(trial_of(name, base, folder))
    return problem or sound.compare(folder)


def half_written(trial: Trial, sound: Sound) -> bool:
    """Whether an output stands under its own name and is not whole."""
    name = trial.out.name
    return trial.out.is_file() and name in sound.files and content(trial.out) != sound.files[name]


def kill(name: str, base: Path, top: Path, sound: Sound, moments: int) -> list[str]:
    """The problems after kills at so many moments of a command."""
    folder = top / "kill"
    aims = sound.aims(min(AIMED, moments // 2))
    spread = moments - len(aims)
    before, problems = fingerprint(base), []
    for moment in range(moments):
        aim = aims[moment] if moment < len(aims) else 0
        label = f"amid {sound.writes[aim - 1]}" if aim else f"moment {moment}"
        folder.mkdir()
        trial = trial_of(name, base, folder)
        with tempfile.TemporaryFile() as printed:
            child = start(trial, printed.fileno(), aim)
            if not aim:
                time.sleep(sound.seconds * (moment - len(aims) + 0.5) / spread)
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if aim and not os.WIFSIGNALED(status):
            problems.append(f"{label}: the aim was missed")
        if half_written(trial, sound):
            problems.append(f"{label}: an output that is not whole")
        problem = again(name, base, folder, sound)
        if problem:
            problems.append(f"{label}: {problem}")
        if fingerprint(base) != before:
            problems.append(f"{label}: an input was changed")
        shutil.rmtree(folder)
    return problems


def fill(name: str, base: Path, sound: Sound, disk: Path) -> list[str]:
    """The problems on a disk with less and less room."""
    problems = []
    for room in (0, 4096, sound.size // 2, sound.size * 9 // 10):
        folder = disk / "out"
        folder.mkdir()
        free = os.statvfs(disk)
        space = free.f_bavail * free.f_frsize
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * max(space - room, 0))
        trial = trial_of(name, base, folder)
        run(trial)
        ballast.unlink()
        errors = [line for line in trial.printed.splitlines() if line.startswith("error: ")]
        if trial.status not in (0, 1) or (trial.status == 1 and len(errors) != 1):
            problems.append(f"{room:,} bytes: exit {trial.status}: {trial.printed[-300:]}")
        left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]
        if left:
            problems.append(f"{room:,} bytes: left behind {left}")
        if trial.status:
            if half_written(trial, sound):
                problems.append(f"{room:,} bytes: an output that is not whole")
            problem = again(name, base, folder, sound)
            if problem:
                problems.append(f"{room:,} bytes, then room: {problem}")
        shutil.rmtree(folder)
    return problems


def make_genome(path: Path) -> None:
    """Four short contigs to train on."""
    rng = np.random.default_rng(3)
    with path.open("w") as file:
        for name, size in {"a": 6000, "b": 3000, "v": 2000, "t": 2000}.items():
            file.write(f">{name}\n{''.join(rng.choice(list('ACGT'), size))}\n")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--kills", type=int, default=20, help="moments a command is killed at")
    words.add_argument("--disk", type=Path, help="a small file system to fill")
    words.add_argument("--only", default="", help="commands whose name begins so, by commas")
    given = words.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        base = top / "base"
        base.mkdir()
        os.environ["ORCHID_CACHE"] = f"{top}/cache"
        make_base(base)
        make_genome(base / "train.fa")
        (base / "pretrain.toml").write_text(PRETRAIN)
        (base / "finetune.toml").write_text(FINETUNE)
        for name in COMMANDS:
            if not name.startswith(tuple(given.only.split(","))):
                continue
            Sound(name, base, top / "sound")  # fills the caches
            sound = Sound(name, base, top / "sound")
            problems = [sound.problem] if sound.problem else []
            line = f"{name:28}"
            if given.kills and not problems:
                killed = kill(name, base, top, sound, given.kills)
                aimed = len(sound.aims(min(AIMED, given.kills // 2)))
                line += f" kills {given.kills} ({aimed} aimed), faults {len(killed)};"
                problems += killed
            if given.disk and not problems:
                filled = fill(name, base, sound, given.disk)
                line += f" full disk 4, faults {len(filled)}"
                problems += filled
            print(line, *(f"  {problem}" for problem in problems), sep="\n", flush=True)
            faults += len(problems)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
