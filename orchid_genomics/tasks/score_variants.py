"""A VCF and a model become a scored VCF: every record is answered, in order, and none is changed
but for its INFO.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchid_genomics.genome.vcf import Vcf
from orchid_genomics.jobs.engine import BLOCK, Job, Stats, stream
from orchid_genomics.jobs.inputs import opened
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.score.summary import lines, stats_of, told, total
from orchid_genomics.score.variants.calibration import Calibration
from orchid_genomics.score.variants.preflight import all_match, contigs_of, preflight
from orchid_genomics.score.variants.scorers import SCORERS
from orchid_genomics.score.variants.variant_files import (
    KINDS,
    form,
    identity_of,
    info_names,
    rendered,
)
from orchid_genomics.score.variants.variant_scores import OnMismatch, Scoring

TASK = "score-variants"
SAID = ("model", "genome", "input", "scores", "window", "on REF mismatch")
_LETTERS = 1 << 19  # of the windows of one block, so that a kill costs little


def score_variants(
    model: str | Path,
    genome: str | Path,
    variants: str | Path,
    out: str | Path,
    scores: Sequence[str] | None = None,
    windows: Sequence[int] | None = None,
    on_mismatch: OnMismatch = "skip",
    prefix: str = "ORCHID",
    shard: str | None = None,
    resume: bool = False,
    device: str = "auto",
    calibration: str | Path | None = None,
    quiet: bool = False,
) -> Stats | None:
    """Score every ALT of a VCF or BCF (`-`: standard input) into `out`; see the command's help.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    out, part = destination(out, variants, shard, resume)
    kind = kind_of(out, KINDS, piped="vcf")
    with source(variants) as vcf:
        loaded, fasta = opened(model, genome, device)
        scoring = Scoring(loaded, fasta, scores, windows, on_mismatch)
        if calibration is not None:
            Calibration.load(calibration).add_to(scoring)
        names = info_names(scoring, prefix)
        survey = vcf.survey(names if kind in ("vcf.gz", "vcf", "bcf") else ())
        contigs = contigs_of(survey, fasta, vcf.shown)
        preflight(vcf, survey, contigs, fasta)
        if on_mismatch == "error":
            all_match(vcf, contigs, fasta)
        sums = (loaded.hash(), fasta.checksum(), checksum(calibration) if calibration else "")
        identity = identity_of(scoring, survey, kind, prefix, *sums)
        block = block_of(scoring)
        job = Job(TASK, out, identity, survey.records, block, part, resume)
        answer = scorer(vcf, scoring, contigs, kind, names)
        blocks = stream(job, vcf.lines(), answer, form(identity), "variants", quiet)
    return None if blocks is None else finish(blocks, identity, out, quiet)


def block_of(scoring: Scoring) -> int:
    """Records a block: few where each costs a long window, many where neighbours share their
    passes.
    """
    if all(SCORERS[name].shared for name in scoring.scores):
        return 4 * BLOCK
    return min(BLOCK, max(16, _LETTERS // max(scoring.windows)))


def scorer(
    vcf: Vcf, scoring: Scoring, contigs: dict[str, str], kind: str, names: Sequence[str]
) -> Callable:
    """A function from the numbered lines of a block to its answers and stats."""

    def answer(numbered: list[tuple[int, bytes]]) -> tuple[Any, Stats]:
        records = [vcf.parse(number, line) for number, line in numbered]
        found = scoring(
            [allele for record in records for allele in record.alleles(contigs.get(record.contig))]
        )
        return rendered(kind, names, records, found), stats_of(scoring, found, len(records))

    return answer


def finish(
    blocks: Sequence[Stats], identity: dict[str, Any], out: Path, quiet: bool = False
) -> Stats:
    """The summary of a job that is whole: said on stderr, written beside its output."""
    whole = total(blocks)
    return told({key: identity[key] for key in SAID} | whole, lines(whole), out, quiet)


def checksum(path: str | Path) -> str:
    """The SHA-256 of a small file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@contextmanager
def source(variants: str | Path) -> Iterator[Vcf]:
    """A VCF or BCF; standard input is read to its end first, into a temporary file, for it is read
    twice.
    """
    if str(variants) != "-":
        yield Vcf(variants)
        return
    with tempfile.NamedTemporaryFile(prefix="orchid-genomics-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Vcf(file.name, "standard input")
