"""Odd VCF files, one by one through score-variants: scored with every record kept, or one line and
exit 1.

Run by ``python benchmarks/corpus.py [FOLDER] [--refusals] [--bcf]``; FOLDER holds INDEX.tsv and
the files (default ../shared/data/edge_cases). For each file a genome is made up in which its REF
letters stand where it says, so that what can be scored is. With --bcf the output is a BCF, whose
records are compared value by value, for it holds numbers and no text. Exits with 1 when a file ends
in a traceback, loses or changes a record, leaves anything half-written, or is refused after its
scoring has begun.
"""

import argparse
import contextlib
import csv
import gzip
import io
import math
import os
import re
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import torch

from orchid_genomics.cli import main as command
from orchid_genomics.model.folder import ModelRecipe, OrchidModel
from orchid_genomics.model.orchid import OrchidRecipe
from orchid_genomics.tasks.score_variants import Variants

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent.parent / "shared" / "data" / "edge_cases"
LONGEST = 200_000  # letters of a made-up contig; places beyond are off it
ANSWERED: list[int] = []  # records of each block that was scored
OURS = re.compile(rb"(?:^|;)ORCHID_[A-Z_]+=[^;\t]*")


def text_of(path: Path) -> bytes:
    """The VCF text of a file as far as it can be read."""
    with contextlib.suppress(OSError, EOFError):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        if raw[:3] != b"BCF":
            return raw
        with contextlib.suppress(OSError, ValueError), pysam.VariantFile(str(path)) as file:
            return (str(file.header) + "".join(map(str, file))).encode()
    return b""


def records_of(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line.strip() and not line.startswith(b"#")]


def make_genome(path: Path, text: bytes) -> None:
    """A FASTA of random letters with every REF of a VCF where it says."""
    rng, contigs = np.random.default_rng(0), defaultdict(dict)
    for line in records_of(text):
        words = line.split(b"\t")
        if (
            len(words) > 4
            and words[1].isdigit()
            and words[0]
            and re.fullmatch(rb"[ACGTNacgtn]+", words[3])
        ):
            contigs[words[0].decode("latin-1")][int(words[1]) - 1] = words[3]
    with path.open("wb") as file:
        for name, places in (contigs or {"c": {}}).items():
            end = (
                max(
                    (at + len(ref) for at, ref in places.items() if at + len(ref) < LONGEST),
                    default=0,
                )
                + 300
            )
            letters = bytearray(rng.choice(list(b"ACGT"), end).astype(np.uint8).tobytes())
            for at, ref in places.items():
                if at >= 0 and at + len(ref) < end:
                    letters[at : at + len(ref)] = ref
            word = re.sub(r"\s", "_", name).encode("latin-1", "replace")
            file.write(b">" + word + b"\n" + bytes(letters) + b"\n")


def run(path: Path, model: Path, folder: Path, ending: str = "vcf.gz") -> tuple[str, str]:
    """("scored" | "refused" | "FAULT", what was said)."""
    text = text_of(path)
    make_genome(folder / "genome.fa", text)
    before = {file: file.stat().st_mtime_ns for file in [*folder.rglob("*"), path]}
    out = folder / f"out.{ending}"
    said, words = io.StringIO(), [str(model), str(folder / "genome.fa"), str(path), "-o", str(out)]
    code = 0
    ANSWERED.clear()
    with contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            command(["score-variants", *words])
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            return "FAULT", traceback.format_exc()
    if path.stat().st_mtime_ns != before[path]:
        return "FAULT", "the input was changed"
    if code:
        left = [file.name for file in folder.rglob("*") if file not in before]
        last = said.getvalue().strip().split("\n")[-1]
        if left or not last.startswith("error: ") or code != 1:
            return "FAULT", f"exit {code}, left {left}, said {last}"
        if ANSWERED:
            return "FAULT", f"refused after scoring had begun: {last}"
        return "refused", last.removeprefix("error: ").replace(str(path), path.name)
    same = kept_as_values if ending == "bcf" else kept
    if same(records_of(text), records_of(text_of(out))):
        return "scored", ""
    return "FAULT", "records were changed or lost"


def kept(given: list[bytes], made: list[bytes]) -> bool:
    """Whether every record is there, in order, as it was but for our INFO."""
    if len(given) != len(made):
        return False
    for before, after in zip(given, made, strict=True):
        was, now = before.split(b"\t"), after.split(b"\t")
        info, plain = was[7].rstrip(b"\r"), OURS.sub(b"", now[7].rstrip(b"\r"))
        if was[:7] != now[:7] or was[8:] != now[8:] or b"ORCHID_" not in now[7]:
            return False
        if plain not in (info, info.removesuffix(b";")) and not (plain == b"" and info == b"."):
            return False
    return True


def kept_as_values(given: list[bytes], made: list[bytes]) -> bool:
    """Whether every record is there, in order, and each of its values means what it meant."""
    if len(given) != len(made):
        return False
    for before, after in zip(given, made, strict=True):
        was, now = (line.rstrip(b"\r").decode("latin-1").split("\t") for line in (before, after))
        if len(was) != len(now) or was[:5] != now[:5] or was[8:9] != now[8:9]:
            return False
        own = [word for word in now[7].split(";") if not word.startswith("ORCHID_")]
        if not any(word.startswith("ORCHID_") for word in now[7].split(";")):
            return False
        pairs = [(was[5], now[5]), (was[6], now[6]), *zip(was[9:], now[9:], strict=True)]
        info = [word for word in was[7].split(";") if word not in ("", ".")]
        pairs.append((";".join(info), ";".join(own)))
        if not all(alike(*pair) for pair in pairs):
            return False
    return True


def alike(one: str, other: str) -> bool:
    """Whether two texts are the same, numbers as a BCF holds them (32 bits); a sample may leave out
    what is missing at its end.
    """
    words = []
    for text in (one, other):
        each = re.split("([:;,=|/])", text)
        while len(each) > 2 and each[-1] in ("", ".") and each[-2] in ":,":
            each = each[:-2]
        words.append(each)
    if len(words[0]) != len(words[1]):
        return False
    return all(a == b or is_near(a, b) for a, b in zip(*words, strict=True))


def is_near(one: str, other: str) -> bool:
    with contextlib.suppress(ValueError):
        numbers = float(one), float(other)
        near = math.isclose(*numbers, rel_tol=1e-5, abs_tol=1e-37)
        return near or all(map(math.isnan, numbers))
    return False


def count_answers() -> None:
    """Let every block that is scored leave a mark in ANSWERED."""
    answer = Variants.answer

    def counted(self: Variants, records: list[tuple[int, bytes]]) -> tuple[Any, Any]:
        ANSWERED.append(len(records))
        return answer(self, records)

    Variants.answer = counted


def small_model(folder: Path) -> Path:
    torch.manual_seed(0)
    model = OrchidModel(
        ModelRecipe(encoder=OrchidRecipe(width=8, depth=1), head={"kind": "letters"})
    )
    model.save_pretrained(folder, {"report": {"length": 128}})
    return folder


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", nargs="?", type=Path, default=CORPUS)
    words.add_argument(
        "--refusals", action="store_true", help="print what was said of every file that was refused"
    )
    words.add_argument("--bcf", action="store_true", help="write BCF")
    words.add_argument("--part", default="1/1", help="I/N: every N-th file, from the I-th")
    given = words.parse_args()
    count_answers()
    first, step = map(int, given.part.split("/"))
    torch.set_num_threads(1)
    with (given.folder / "INDEX.tsv").open() as file:
        files = [
            row["file"]
            for row in csv.DictReader(file, delimiter="\t")
            if row["kind"] in ("vcf", "bcf")
        ]
    counts, said = defaultdict(Counter), []
    with tempfile.TemporaryDirectory() as top:
        os.environ["ORCHID_CACHE"] = f"{top}/cache"
        model = small_model(Path(top) / "model")
        for number, name in enumerate(files[first - 1 :: step]):
            folder = Path(top) / str(number)
            folder.mkdir()
            outcome, words_said = run(
                given.folder / name, model, folder, "bcf" if given.bcf else "vcf.gz"
            )
            group = (
                "/".join(part for part in name.split("/")[:-1] if part in ("passed", "failed"))
                or "files"
            )
            counts[f"{name.split('/')[0]} {group}"][outcome] += 1
            if outcome == "FAULT" or (given.refusals and outcome == "refused"):
                said.append(f"{outcome} {name}: {words_said}")
    print(f"{'corpus':28} {'files':>6} {'scored':>7} {'refused':>8} {'faults':>7}")
    for name, outcomes in sorted(counts.items()):
        row = [sum(outcomes.values()), outcomes["scored"], outcomes["refused"], outcomes["FAULT"]]
        print(f"{name:28} {row[0]:6,} {row[1]:7,} {row[2]:8,} {row[3]:7,}")
    print(*said, sep="\n")
    raise SystemExit(any(outcomes["FAULT"] for outcomes in counts.values()))


if __name__ == "__main__":
    main()
