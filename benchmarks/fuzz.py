"""Files damaged by a seeded generator, through the commands that read them.

Run by ``python benchmarks/fuzz.py [--count N] [--seed S] [--kinds bed,vcf] [--keep FOLDER]``. Every
input runs in a forked child under a limit of time and memory. What may come of it: exit 0 with
every record answered and none changed, or one line and exit 1 with nothing left behind. Anything
else (a traceback, a signal, a hang, a record lost or changed, an input that was written to) is a
fault, is printed with its number, and makes the exit 1. The same seed and number give the same
bytes.
"""

import argparse
import contextlib
import gc
import gzip
import hashlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from corpus import CORPUS, kept, records_of, small_model
from mutations import mutate, pick

from orchid_genomics.cli import main as command
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import write_track
from orchid_genomics.model.catalogue import MODELS
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.orchid import OrchidRecipe

YEAST = Path(__file__).resolve().parent.parent / "recipes" / "yeast"
CONTIGS = {"chrI": 12_000, "chrVI": 9_000}
CPU_SECONDS, WALL_SECONDS, MEMORY = 30, 300, 4 << 30
LARGEST_SEED = 60_000  # bytes
FAULT, REFUSED, DONE = "fault", "refused", "done"
JOBS = {
    "vcf.gz": ("score-variants", "calls.vcf"),
    "tsv": ("score-elements", "many.bed"),
    "h5": ("embed", "many.bed"),
}
Judge = Callable[["Trial"], str]


@dataclass
class Kind:
    """A kind of input: sound files, the commands that read one, and what must hold after exit 0.

    Within the words of a command `{input}` is the damaged file or folder, `{out}` a name to write
    and `{base}` the folder of sound files.
    """

    seeds: list[Path]
    commands: list[str]
    text: bool = True
    judge: Judge = field(default=lambda trial: "")


@dataclass
class Trial:
    """One damaged input, where it lies, and what came of it."""

    folder: Path
    base: Path
    source: Path
    words: list[str]
    change: str
    out: Path
    status: int = 0
    printed: str = ""
    seconds: float = 0.0
    cache: Path | None = None


def rows_of(path: Path) -> list[bytes]:
    """Records of a text file: no comment, no blank line; packed or not."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    lines = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [line for line in lines.split(b"\n") if line.strip() and not line.startswith(b"#")]


def every_element(trial: Trial) -> str:
    """Rows in, the same rows out, with their first three columns as they were."""
    words = (b"track", b"browser")
    rows = [row for row in rows_of(trial.source) if not row.startswith(words)]
    given = [row.split(b"\t") if b"\t" in row else row.split() for row in rows]
    if given and not any(word.strip(b"-").isdigit() for word in given[0][1:3]):
        given = given[1:]  # names of columns without a mark before them
    made = [row.split(b"\t") for row in rows_of(trial.out)]
    if trial.out.name.endswith(".tsv"):
        made = made[1:] if made and made[0][0] == b"chrom" else made
    if len(given) != len(made):
        return f"{len(given)} records in, {len(made)} out"
    for before, after in zip(given, made, strict=True):
        # As numbers: a table says 0 where the BED said 00.
        if [int(word) for word in before[1:3]] != [int(word) for word in after[1:3]]:
            return f"a record was changed: {before[:3]} is {after[:3]}"
    return ""


def every_vector(trial: Trial) -> str:
    words = (b"track", b"browser")
    given = [row for row in rows_of(trial.source) if not row.startswith(words)]
    with h5py.File(trial.out) as file:
        count = len(file["start"])
    return "" if count == len(given) else f"{len(given)} records in, {count} out"


def every_variant(trial: Trial) -> str:
    raw = trial.source.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    with gzip.open(trial.out) as file:
        made = records_of(file.read())
    given = records_of(raw.removeprefix(b"\xef\xbb\xbf"))
    return "" if kept(given, made) else "records were changed or lost"


def same_as_whole(trial: Trial) -> str:
    """Of damaged parts: what is joined is what a run without damage gives."""
    whole = trial.base / f"whole.{trial.out.name.split('.', 1)[1]}"
    same = content(whole) == content(trial.out)
    return "" if same else "the joined file differs from that of one run"


def content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def make_base(base: Path) -> None:
    """The sound files: real ones cut to two short stretches of yeast, and two small models."""
    whole = Genome(YEAST / "sacCer3.fa.gz")
    letters = {name: whole.letters(name, 0, size).decode() for name, size in CONTIGS.items()}
    lines = []
    for name, text in letters.items():
        lines += [f">{name} S. cerevisiae", *(text[i : i + 60] for i in range(0, len(text), 60))]
    (base / "genome.fa").write_text("\n".join(lines) + "\n")
    small_model(base / "model")
    shutil.copy(Path(MODELS["yeast"]) / "provenance.json", base / "model")
    head = {"kind": "pooled", "task": "binary", "labels": ["no", "yes"]}
    recipe = ModelRecipe(encoder=OrchidRecipe(width=8, depth=1), head=head)
    OrchidModel(recipe).save_pretrained(base / "tuned", {"labelled": {"length": 64}})
    _make_beds(base)
    _make_annotations(base, letters)
    _make_variants(base, letters)
    _make_labelled(base, letters)
    rng = np.random.default_rng(1)
    for name in ("signal.bw", "signal.bedGraph"):
        pieces = [
            (contig, start, rng.gamma(2, 1, 50).astype(np.float32))
            for contig in sorted(CONTIGS)
            for start in range(100, 4000, 400)
        ]
        write_track(base / name, CONTIGS, pieces)
    for kind, (task, source) in JOBS.items():
        words = [task, base / "model", base / "genome.fa", base / source, "--quiet"]
        words += ["--background", "0"] if task == "score-elements" else []
        command([*map(str, words), "-o", str(base / f"whole.{kind}")])
        for shard in ("1/2", "2/2"):
            command([*map(str, words), "-o", str(base / f"parts.{kind}"), "--shard", shard])
    _make_scored(base)


def _make_scored(base: Path) -> None:
    """Scored variants with classes, as evaluate-variants reads them; a calibration; aliases."""
    words = ["score-variants", base / "model", base / "genome.fa", base / "calls.vcf", "--quiet"]
    for name in ("scored.vcf", "scored.tsv"):
        command([*map(str, words), "--window", "64", "-o", str(base / name)])
    head = '##INFO=<ID=CLASS,Number=1,Type=String,Description="x">'
    lines = []
    for number, line in enumerate((base / "scored.vcf").read_text().splitlines()):
        fields = line.split("\t")
        if len(fields) > 7 and line[0] != "#":
            fields[7] += f";CLASS={('yes', 'no')[number % 2]}"
        lines += [head, line] if line.startswith("#CHROM") else ["\t".join(fields)]
    (base / "scored.vcf").write_text("\n".join(lines) + "\n")
    names, *rows = (base / "scored.tsv").read_text().splitlines()
    classed = [f"{row}\t{('yes', 'no')[number % 2]}" for number, row in enumerate(rows)]
    (base / "scored.tsv").write_text("\n".join([f"{names}\tCLASS", *classed]) + "\n")
    words = ["calibrate", base / "model", base / "genome.fa", "--sites", 200, "--window", 64]
    command([*map(str, words), "--quiet", "-o", str(base / "calibration.json")])
    (base / "aliases.txt").write_text("chrI\t1\nchrI\tI\nchrVI\t6\nchrVI\tVI\n")


def _make_beds(base: Path) -> None:
    rows = [row.split("\t") for row in (YEAST / "genes.bed").read_text().splitlines()]
    inside = [row for row in rows if row[0] in CONTIGS and int(row[2]) < CONTIGS[row[0]]][:12]
    text = "".join("\t".join(row) + "\n" for row in inside)
    (base / "peaks.bed").write_text("track name=genes\n" + text)
    (base / "many.bed").write_text(text * 50)  # several blocks of a job
    narrow = "".join("\t".join([*row[:6], "3.5", "-1", "-1", "40"]) + "\n" for row in inside)
    (base / "peaks.narrowPeak").write_text(narrow)


def _make_annotations(base: Path, letters: dict[str, str]) -> None:
    from Bio.Seq import Seq
    from Bio.SeqFeature import SeqFeature, SimpleLocation
    from Bio.SeqIO import write
    from Bio.SeqRecord import SeqRecord

    gff = gzip.decompress((YEAST / "sacCer3.ensembl99.gff3.gz").read_bytes()).decode()
    rows = ["##gff-version 3"]
    rows += [f"##sequence-region {name} 1 {size}" for name, size in CONTIGS.items()]
    for line in gff.splitlines():
        words = line.split("\t")
        if len(words) == 9 and words[0] in CONTIGS and int(words[4]) < CONTIGS[words[0]]:
            rows.append(line)
    (base / "genes.gff3").write_text("\n".join(rows) + "\n")
    record = SeqRecord(Seq(letters["chrI"][:3000]), "chrI", annotations={"molecule_type": "DNA"})
    for start, end, strand in ((334, 649, 1), (1806, 2169, -1), (2479, 2707, 1)):
        qualifiers = {"gene": [f"g{start}"], "locus_tag": [f"l{start}"]}
        for kind in ("gene", "CDS"):
            record.features.append(
                SeqFeature(SimpleLocation(start, end, strand), kind, "", qualifiers)
            )
    write(record, base / "genes.gb", "genbank")


def _make_variants(base: Path, letters: dict[str, str]) -> None:
    lines = ["##fileformat=VCFv4.3", *(f"##contig=<ID={n},length={s}>" for n, s in CONTIGS.items())]
    lines += [
        '##INFO=<ID=AF,Number=A,Type=Float,Description="x">',
        "##FILTER=<ID=q10,Description=x>",
    ]
    lines += ['##INFO=<ID=END,Number=1,Type=Integer,Description="x">']
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="x">']
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2")
    for name, text in letters.items():
        for at in range(500, 4000, 500):
            ref = text[at]
            alt = "ACGT"[("ACGT".index(ref) + 1) % 4]
            kinds = [alt, f"{alt},{ref}GG", "<DEL>", "*", f"{ref}TT"]
            info = "AF=0.1" if at % 1000 else f"AF=0.5;END={at + 20}"
            change = f"{ref}\t{kinds[at // 500 % 5]}"
            lines.append(f"{name}\t{at + 1}\trs{at}\t{change}\t50\tPASS\t{info}\tGT\t0/1\t1|1")
    (base / "calls.vcf").write_text("\n".join(lines) + "\n")


def _make_labelled(base: Path, letters: dict[str, str]) -> None:
    rows, texts, labels = ["chrom\tstart\tend\tstrand\tsequence\tlabel\tsplit"], [], []
    for name, text in letters.items():
        for at in range(0, 3000, 128):
            split = ("train", "validation", "test")[at // 128 % 3]
            label = ("no", "yes")[at // 128 % 2]
            rows.append(f"{name}\t{at}\t{at + 64}\t+\t{text[at : at + 64]}\t{label}\t{split}")
            texts.append(text[at : at + 64])
            labels.append(label)
    (base / "set.tsv").write_text("\n".join(rows) + "\n")
    comma = "\n".join(",".join(row.split("\t")[4:6]) for row in rows)
    (base / "set.csv").write_text(comma + "\n")
    with h5py.File(base / "set.h5", "w") as file:
        file.attrs["format"] = "orchid-genomics/labelled/1"
        file.attrs["labels"] = ["no", "yes"]
        file.create_dataset("sequence", data=texts, dtype=h5py.string_dtype())
        file.create_dataset("label", data=labels, dtype=h5py.string_dtype())


def corpus_files(kind: str) -> list[Path]:
    """Small odd files of public repositories, which lie beside some checkouts only."""
    index = CORPUS / "INDEX.tsv"
    if not index.exists():
        return []
    rows = [line.split("\t") for line in index.read_text().splitlines()]
    column = {name: i for i, name in enumerate(rows[0])}
    paths = [CORPUS / row[column["file"]] for row in rows[1:] if row[column["kind"]] == kind]
    return [path for path in paths if path.is_file() and path.stat().st_size < LARGEST_SEED]


def kinds_of(base: Path) -> dict[str, Kind]:
    """All kinds, over the sound files of `base`."""
    model = "{base}/model {base}/genome.fa"
    score = f"score-elements {model} {{input}} -o {{out}}.tsv --quiet --background 0"
    signal = "dataset {base}/peaks.bed {base}/genome.fa -o {out}.tsv --length 64 --signal {input}"
    pieces = [base / f"parts.{kind}.parts" for kind in JOBS]
    merge = [f"merge {{input}} -o {{out}}.{kind} --quiet" for kind in JOBS]
    return {
        "bed": Kind([base / "peaks.bed", *corpus_files("bed")], [score], judge=every_element),
        "bed, vectors": Kind(
            [base / "peaks.bed", base / "peaks.narrowPeak"],
            [f"embed {model} {{input}} -o {{out}}.h5 --quiet"],
            judge=every_vector,
        ),
        "peaks": Kind(
            [base / "peaks.bed", base / "peaks.narrowPeak"],
            ["dataset {input} {base}/genome.fa -o {out}.tsv --length 64"],
        ),
        "gff": Kind(
            [base / "genes.gff3"],
            ["features {input} -o {out}", "mutate {base}/genome.fa {input} -o {out}.vcf --genes 1"],
        ),
        "genbank": Kind(
            [base / "genes.gb"],
            ["features {input} -o {out}"],
        ),
        "fasta": Kind(
            [base / "genome.fa", *corpus_files("fa")],
            [
                (
                    "score-elements {base}/model {input} {base}/peaks.bed -o {out}.tsv --quiet"
                    " --background 0"
                ),
                "features {base}/genes.gff3 --genome {input} -o {out}",
            ],
        ),
        "vcf": Kind(
            [base / "calls.vcf", *corpus_files("vcf")],
            [f"score-variants {model} {{input}} -o {{out}}.vcf.gz --quiet --window 64"],
            judge=every_variant,
        ),
        "bigwig": Kind([base / "signal.bw"], [signal], text=False),
        "bedgraph": Kind([base / "signal.bedGraph"], [signal]),
        "scored": Kind(
            [base / "scored.vcf", base / "scored.tsv"],
            [
                (
                    "evaluate-variants {input} --label CLASS --positive yes --negative no"
                    " --samples 20 --baselines none"
                )
            ],
        ),
        "calibration": Kind(
            [base / "calibration.json"],
            [
                f"score-variants {model} {{base}}/calls.vcf -o {{out}}.tsv --quiet --window 64"
                " --calibration {input}"
            ],
        ),
        "aliases": Kind(
            [base / "aliases.txt"],
            ["features {base}/genes.gff3 --genome {base}/genome.fa --aliases {input} -o {out}"],
        ),
        "table": Kind([base / "set.tsv", base / "set.csv"], ["evaluate {base}/tuned {input}"]),
        "hdf5": Kind([base / "set.h5"], ["evaluate {base}/tuned {input}"], text=False),
        "parts": Kind(pieces, merge, text=False, judge=same_as_whole),
        "model": Kind(
            [base / "model"],
            [
                "info {input}",
                (
                    "score-variants {input} {base}/genome.fa {base}/calls.vcf -o {out}.tsv --quiet"
                    " --window 64"
                ),
            ],
            text=False,
        ),
    }


def prepare(kind: Kind, base: Path, folder: Path, rng: np.random.Generator) -> Trial:
    """A damaged copy of one of the seeds, and the words of a command that reads it."""
    number = int(rng.integers(len(kind.seeds)))
    seed = kind.seeds[number]
    # Parts are read by the merge of their own format.
    words = kind.commands[number] if seed.name.endswith(".parts") else pick(kind.commands, rng)
    source = folder / ("input" + "".join(seed.suffixes))
    if seed.is_dir():
        shutil.copytree(seed, source)
        target = pick(sorted(path for path in source.rglob("*") if path.is_file()), rng)
        text = target.suffix in (".json", ".md")
    else:
        shutil.copy(seed, source)
        target, text = source, kind.text
    raw = target.read_bytes()
    if raw[:2] == b"\x1f\x8b" and text and rng.random() < 0.7:
        with contextlib.suppress(OSError, EOFError, zlib.error):
            raw = gzip.decompress(raw)
            changed, change = mutate(raw, rng, text)
            changed = gzip.compress(changed, mtime=0)
            target.write_bytes(changed)
    else:
        changed, change = mutate(raw, rng, text)
        target.write_bytes(changed)
    filled = words.format(input=source, out=folder / "out", base=base).split()
    out = Path(filled[filled.index("-o") + 1]) if "-o" in filled else folder / "none"
    return Trial(folder, base, source, filled, f"{target.name}: {change}", out)


def run(trial: Trial) -> None:
    """Run the command of a trial in a child of this process."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if not child:
            _be_child(trial, printed.fileno())
        status = None
        while status is None and time.monotonic() - begin < WALL_SECONDS:
            pid, raw = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(raw) if pid else None
            if status is None:
                time.sleep(0.003)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        printed.seek(0)
        trial.status = -signal.SIGXCPU if status is None else status
        trial.printed = printed.read().decode("utf-8", "replace")
        trial.seconds = time.monotonic() - begin


def _be_child(trial: Trial, printed: int) -> None:
    status = 70
    try:
        os.chdir(trial.folder)
        os.environ["ORCHID_CACHE"] = str(trial.cache or trial.folder.with_suffix(".cache"))
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 0)
        os.dup2(devnull, 1)
        os.dup2(printed, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        command(trial.words)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else (1 if stop.code else 0)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def fingerprint(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file).encode("utf-8", "surrogateescape"))
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def judge(trial: Trial, kind: Kind, before: str) -> tuple[str, str]:
    """What came of a trial, with a reason where it is a fault."""
    if fingerprint(trial.source) != before:
        return FAULT, "the input was changed"
    last = (trial.printed.strip().splitlines() or [""])[-1]
    names = {path.name for path in trial.folder.iterdir()}
    if trial.status == 0:
        left = [name for name in names if name.endswith(".tmp")]
        if left:
            return FAULT, f"left behind: {left}"
        try:
            problem = kind.judge(trial)
        except Exception as error:
            problem = f"the output cannot be read ({type(error).__name__}: {error})"
        return (FAULT, problem) if problem else (DONE, "")
    if trial.status != 1:
        return FAULT, f"exit {trial.status}: {trial.printed[-1500:]}"
    errors = [line for line in trial.printed.splitlines() if line.startswith("error: ")]
    if len(errors) != 1 or not last.startswith("error: "):
        return FAULT, f"no single line: {trial.printed[-1500:]}"
    left = names - {trial.source.name}
    return (FAULT, f"left behind: {sorted(left)} after {last}") if left else (REFUSED, last)


def warm_up(base: Path, folder: Path, kinds: Sequence[Kind]) -> None:
    """Run every command on its sound file here, so that no child imports anything again."""
    for kind in kinds:
        for number, words in enumerate(kind.commands):
            folder.mkdir()
            seed = kind.seeds[number if kind.seeds[0].name.endswith(".parts") else 0]
            with contextlib.redirect_stdout(io.StringIO()):
                command(words.format(input=seed, out=folder / "out", base=base).split())
            shutil.rmtree(folder)
    gc.freeze()  # what stands now is never looked at again, nor copied into a child


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--count", type=int, default=130, help="inputs, over all kinds")
    words.add_argument("--first", type=int, default=0, help="number of the first")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--kinds", default="", help="between commas; default all")
    words.add_argument("--keep", type=Path, help="where inputs that show a fault are copied")
    words.add_argument("--refusals", action="store_true", help="print the line of each refusal")
    given = words.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts: dict[str, Counter] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    faults = 0
    with tempfile.TemporaryDirectory() as top:
        base = Path(top) / "base"
        base.mkdir()
        os.environ["ORCHID_CACHE"] = f"{top}/cache"
        make_base(base)
        kinds = kinds_of(base)
        names = [name for name in kinds if not given.kinds or name in given.kinds.split(",")]
        warm_up(base, Path(top) / "sound", [kinds[name] for name in names])
        for number in range(given.first, given.first + given.count):
            name = names[number % len(names)]
            kind = kinds[name]
            rng = np.random.default_rng([given.seed, zlib.crc32(name.encode()), number])
            folder = Path(top) / "trial"
            folder.mkdir()
            trial = prepare(kind, base, folder, rng)
            before = fingerprint(trial.source)
            run(trial)
            outcome, why = judge(trial, kind, before)
            counts[name][outcome] += 1
            slowest[name] = max(slowest[name], trial.seconds)
            if outcome == FAULT or (given.refusals and outcome == REFUSED):
                print(
                    f"{number} {name}: {trial.change}: {' '.join(trial.words[:1])}: {why}",
                    flush=True,
                )
            if outcome == FAULT:
                faults += 1
                if given.keep:
                    shutil.copytree(
                        folder, given.keep / f"{number}", dirs_exist_ok=True, symlinks=True
                    )
            shutil.rmtree(folder)
            shutil.rmtree(folder.with_suffix(".cache"), ignore_errors=True)
    print(f"{'kind':14} {'inputs':>7} {'done':>7} {'refused':>8} {'faults':>7} {'slowest':>8}")
    for name, outcomes in counts.items():
        row = [sum(outcomes.values()), outcomes[DONE], outcomes[REFUSED], outcomes[FAULT]]
        print(f"{name:14} {row[0]:7,} {row[1]:7,} {row[2]:8,} {row[3]:7,} {slowest[name]:6.1f} s")
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
