"""A VCF and a model become a scored VCF: every record is answered, in order, and none is changed
but for its INFO.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchid_genomics.data.relatives import Relative, Relatives
from orchid_genomics.errors import InputError
from orchid_genomics.files import checksum, name_errors, regular_copy
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.genotypes import Site, read_sites, sample_column
from orchid_genomics.genome.vcf import Record, Survey, Vcf
from orchid_genomics.jobs.engine import BLOCK, Job, run_job
from orchid_genomics.jobs.formats import BcfFormat
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.jobs.summary import Stats
from orchid_genomics.jobs.task import Format, Task, register
from orchid_genomics.score.variants.calibration import Calibration
from orchid_genomics.score.variants.haplotypes import HaplotypeScoring
from orchid_genomics.score.variants.preflight import all_match, contigs_of, preflight
from orchid_genomics.score.variants.variant_files import (
    KINDS,
    VariantIdentity,
    info_names,
    render,
    variant_format,
)
from orchid_genomics.score.variants.variant_scores import OnMismatch, Scores, Scoring
from orchid_genomics.score.variants.variant_summary import block_stats, summary_lines

_LETTERS = 1 << 19  # of the windows of one block, so that a kill costs little


class ScoreVariants(Task[VariantIdentity]):
    """The job of `score_variants`."""

    name = "score-variants"
    unit = "variants"
    identity = VariantIdentity

    def format(self, identity: VariantIdentity) -> Format:
        return variant_format(identity)

    def lines(self, identity: VariantIdentity, summary: Stats) -> Iterable[str]:
        return summary_lines(summary)


TASK = ScoreVariants()
register(TASK)


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
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
    relatives: Sequence[str | Path] = (),
    phased: str | None = None,
) -> Stats | None:
    """Score every ALT of a VCF or BCF (`-`: standard input) into `out`; see the command's help.

    `aliases` is a file of other names of the contigs of `genome`: two columns, two names a line.
    `circular` names those that are read round their origin, or annotations that say which are.
    `relatives` are FASTA files of related genomes: the stretch of each that belongs beside a window
    is read with it. `phased` names a sample of the file: its haplotypes are scored against the
    reference, each variant with the others beside it.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    where = destination(out, (variants, genome, calibration, *relatives), shard, resume)
    kind = kind_of(where.out, KINDS, piped="vcf")
    vcf = Vcf(variants)
    files = (genome, *relatives)
    inputs = (Unchanged(vcf.path, vcf.shown), *(Unchanged(Path(file)) for file in files))
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    related = Relatives([Relative(Genome(path)) for path in relatives]) if relatives else None
    scorings = Scoring if phased is None else HaplotypeScoring
    scoring = scorings(loaded, fasta, scores, windows, on_mismatch, related)
    column = None if phased is None else _sample_column(vcf, phased, scoring, calibration)
    background = None
    if calibration is not None:
        # A pipe gives its bytes once, and they are read and summed up.
        copy = regular_copy(calibration)
        with name_errors(copy, calibration):
            Calibration.load(copy).add_to(scoring)
        background = checksum(copy)
    names = info_names(scoring, prefix)
    # Only what is written as INFO can meet a name that the file has already.
    survey = vcf.survey(names if kind in ("vcf.gz", "vcf", "bcf") else ())
    if phased is not None and not survey.ordered:
        message = f"{vcf.shown} is not sorted by place"
        raise InputError("phased", message, "a sorted file, such as bcftools sort makes")
    contigs = contigs_of(survey, fasta, vcf.shown)
    preflight(vcf, survey, contigs, fasta)
    # The whole file, for the option promises to stop before any work.
    if on_mismatch == "error":
        all_match(vcf, contigs, fasta)
    identity = VariantIdentity.of(
        scoring, survey, kind, prefix, calibration=background, phased=phased
    )
    form = variant_format(identity)
    if isinstance(form, BcfFormat):
        lines = (line for _, line in vcf.lines())
        # A BCF cannot hold every record of a VCF: better heard now than after the work.
        form.rehearse(b"".join(survey.header), lines, vcf.shown, where.out)
    job = Job(TASK, identity.of_inputs(fasta), where, survey.records, block_size(scoring))
    given = (vcf, survey, scoring, contigs, kind, names, inputs)
    work = Variants(*given) if column is None else SampleVariants(*given, column)
    return run_job(job, work, quiet, form)


def _sample_column(vcf: Vcf, sample: str, scoring: Scoring, calibration: str | Path | None) -> int:
    """The column of a sample whose haplotypes are to be scored. Raises InputError where it cannot
    be.
    """
    if len(scoring.windows) > 1:
        raise InputError("phased", "windows of several lengths", "one window")
    if calibration is not None:
        message = "is of single letters, and `phased` scores haplotypes"
        raise InputError("calibration", message, "one of the two")
    return sample_column(vcf, sample)


def block_size(scoring: Scoring) -> int:
    """Records a block: few where each costs a long window, many where neighbours share passes."""
    if all(scorer.tiled for scorer in scoring.scorers.values()):
        return 4 * BLOCK
    return min(BLOCK, max(16, _LETTERS // max(scoring.windows)))


@dataclass(frozen=True)
class Variants:
    """The records of a VCF, to be scored: the work of the job.

    Attributes: `contigs` the genome's name of each contig of the file that it has; `names` those of
    INFO.
    """

    vcf: Vcf
    survey: Survey
    scoring: Scoring
    contigs: Mapping[str, str]
    kind: str
    names: Sequence[str]
    inputs: Sequence[Unchanged]

    def __len__(self) -> int:
        return self.survey.records

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self.vcf.lines()

    def answer(self, numbered: list[tuple[int, bytes]]) -> tuple[Any, Stats]:
        """Scored records as the format takes them, and stats."""
        records = [self.vcf.parse(number, line) for number, line in numbered]
        alleles = []
        for record in records:
            alleles += record.alleles(self.contigs.get(record.contig))
        return self._render(records, self.scoring(alleles))

    def _render(self, records: Sequence[Record], scores: Scores) -> tuple[Any, Stats]:
        stats = block_stats(self.scoring, scores, len(records))
        return render(self.kind, self.names, records, scores), stats

    def check_inputs(self) -> None:
        for each in self.inputs:
            each.check()


@dataclass(frozen=True)
class SampleVariants(Variants):
    """The same with the haplotypes of a sample: each record comes with those about it.

    Attributes: `column` that of the sample.
    """

    column: int = 0

    def __iter__(self) -> Iterator[Any]:
        return read_sites(self.vcf, self.column, self.scoring.windows[0])

    def answer(self, numbered: list[Any]) -> tuple[Any, Stats]:
        """Scored records as the format takes them, and stats."""
        if not isinstance(self.scoring, HaplotypeScoring):
            raise TypeError("haplotypes are scored by a HaplotypeScoring")
        sites: list[Site] = [site for _, _, site in numbered]
        scores = self.scoring.score_sites(sites, self.contigs)
        return self._render([site.record for site in sites], scores)
