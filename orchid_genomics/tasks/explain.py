"""Regions and a model become attributions: HDF5, npz, or a track that browsers draw as letters."""

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from orchid_genomics import __version__
from orchid_genomics.draw.lanes import read_lane
from orchid_genomics.errors import InputError
from orchid_genomics.explain.arrays import KINDS, ExplainFormat
from orchid_genomics.explain.browsers import MOST_REGIONS, write_browser_files
from orchid_genomics.explain.explainer import REASONS, Explained, Explainer, reference_count
from orchid_genomics.explain.methods import COMMON, Options, Shape
from orchid_genomics.explain.motif_files import read_motifs
from orchid_genomics.explain.motifs import MotifTable
from orchid_genomics.explain.page import Page
from orchid_genomics.genome.bed import Record
from orchid_genomics.genome.signal import BIGWIG
from orchid_genomics.jobs.engine import Job, run_job
from orchid_genomics.jobs.inputs import Unchanged, open_model_and_genome
from orchid_genomics.jobs.output import destination, kind_of, require_no_input
from orchid_genomics.jobs.summary import Stats, reason_lines, total
from orchid_genomics.jobs.task import Format, Identity, Task, register
from orchid_genomics.score.elements.element_files import ElementFile
from orchid_genomics.sequence import CODE, DNA

BLOCK = 4
"""Regions that are explained, saved and lost together. Each takes seconds to minutes, so few of
them: progress and the time left are told after every block.
"""


class ExplainIdentity(Identity):
    """What decides a byte of explained regions."""

    summary_fields = (
        "model",
        "genome",
        "input",
        "method",
        "target",
        "references",
        "seed",
        "window",
    )

    version: str = Field(alias="orchid-genomics")
    model: str
    genome: str
    input: str
    method: str
    target: str
    references: int
    seed: int
    window: int
    tolerance: float
    most_steps: int
    records: int
    longest: int
    """Letters of the longest region that can be explained."""
    arrays: dict[str, Shape]
    contigs: dict[str, int]


class Explain(Task[ExplainIdentity]):
    """The job of `explain`."""

    name = "explain"
    unit = "regions"
    identity = ExplainIdentity
    reasons = REASONS

    def format(self, identity: ExplainIdentity) -> Format:
        return ExplainFormat(identity.dump())

    def summarise(self, identity: ExplainIdentity, blocks: Sequence[Stats]) -> Stats:
        counts = ("regions", "reasons", "longer", "letters", "uncontrasted")
        whole = total({key: block[key] for key in counts} for block in blocks)
        summary = {
            "regions": whole["regions"],
            "explained": whole["regions"] - sum(whole["reasons"].values()),
            "reasons": whole["reasons"],
            "longer_than_window": whole["longer"],
        }
        if identity.references:
            summary |= {"letters": whole["letters"], "uncontrasted": whole["uncontrasted"]}
        errors = sorted(error for block in blocks for error in block["errors"])
        if errors:
            summary |= {
                "error_median": errors[len(errors) // 2],
                "error_largest": errors[-1],
                "error_beyond": sum(error > identity.tolerance for error in errors),
            }
        return summary

    def lines(self, identity: ExplainIdentity, summary: Stats) -> Iterator[str]:
        regions, explained = summary["regions"], summary["explained"]
        yield f"{regions:,} regions: {explained:,} explained by {identity.method}"
        yield from reason_lines(summary["reasons"], "not explained", self.reasons)
        if longer := summary["longer_than_window"]:
            window = f"the window of {identity.window:,} letters"
            alone = "read alone, their ends are joined"
            yield f"  {longer:,} regions are longer than {window}: {alone}"
        if uncontrasted := summary.get("uncontrasted"):
            letters = f"{uncontrasted:,} of {summary['letters']:,} letters"
            yield f"  {letters} differ in no reference, so their 0 says nothing: see contrasts"
        if "error_largest" in summary:
            median = f"off by {summary['error_median']:.1e} of the difference (median)"
            largest = f"{summary['error_largest']:.1e} (largest)"
            yield f"  sums against differences: {median}, {largest}"
            if beyond := summary["error_beyond"]:
                yield f"  {beyond:,} regions are off by more than {identity.tolerance:g}: see error"


TASK = Explain()
register(TASK)


@dataclass(frozen=True)
class Beside:
    """What is written beside the numbers: a page in one file (OUT.html), an IGV session and UCSC
    track lines.

    `annotation` (BED, GFF3, GenBank) is shown in them; seqlets matched to `motifs` (see
    `read_motifs`) stand in OUT.motifs.tsv, and on the page.
    """

    html: bool = False
    session: bool = False
    annotation: Sequence[str | Path] = ()
    motifs: str | None = None

    def files(self, outs: Sequence[Path], tracks: Sequence[Path]) -> Iterator[Path]:
        """What is written beside `outs`, of which `tracks` are bigWigs, by names made of theirs."""
        if self.motifs is not None:
            yield _beside(outs[0], "motifs.tsv")
        if self.html:
            yield _beside(outs[0], "html")
        if self.session:
            yield tracks[0].with_suffix(".igv.xml")
            yield tracks[0].with_suffix(".ucsc.txt")

    def reports(
        self, out: Path, identity: dict[str, Any], about: dict[str, Any], explainer: Explainer
    ) -> dict[Path, Any]:
        """The files to write from the regions, each with what writes it; motifs and annotation are
        read here.
        """
        reports: dict[Path, Any] = {}
        table = None
        if self.motifs is not None:
            table = MotifTable(read_motifs(self.motifs))
            reports[_beside(out, "motifs.tsv")] = table
            about = about | {"motifs": self.motifs}
        if self.html:
            lanes = [read_lane(path, explainer.genome) for path in self.annotation]
            page = Page(identity, about, explainer.unit, lanes, table)
            reports[_beside(out, "html")] = page
        return reports


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name.split('.')[0]}.{ending}")


def explain(
    model: str | Path,
    genome: str | Path,
    elements: str | Path,
    out: str | Path | Sequence[str | Path],
    options: Options | None = None,
    shard: str | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    beside: Beside | None = None,
    aliases: str | Path | None = None,
    circular: Sequence[str | Path] = (),
) -> Stats | None:
    """Explain every region of a BED into `out` (one file, or several of the same numbers); see the
    command's help.

    `beside` says what else is written beside the first `out`.

    `aliases` is a file of other names of the contigs of `genome`: two columns, two names a line.
    `circular` names those that are read round their origin, or annotations that say which are.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    options, beside = options or Options(), beside or Beside()
    paths = [out] if isinstance(out, str | Path) else out
    destinations = [destination(path, (elements, genome), shard, resume) for path in paths]
    outs = [where.out for where in destinations]
    kind, *_ = [kind_of(path, KINDS) for path in outs]
    # What stands beside the numbers needs all regions, and a shard has a part of them.
    if shard and (len(outs) > 1 or beside.html or beside.session or beside.motifs):
        raise InputError(
            "shard",
            "makes one part of one file",
            "one `out`, without `html`, `session` or `motifs`",
        )
    tracks = [path for path in outs if path.name.lower().endswith(BIGWIG)]
    if beside.session and not tracks:
        raise InputError(
            "session", f"{outs[0]} is no bigWig, which browsers draw as letters", "-o OUT.bw"
        )
    # What is written beside `out` has names of its own, which an input may bear as well.
    for path in beside.files(outs, tracks):
        require_no_input(path, (elements, genome, aliases, beside.motifs, *beside.annotation))
    unchanged = Unchanged(Path(genome))
    loaded, fasta = open_model_and_genome(model, genome, device, aliases, circular)
    explainer = Explainer(loaded, fasta, options)
    file = ElementFile.survey(elements, fasta)
    lengths = [len(record.place) for record in file]
    # A letter that the target names must lie within the shortest region.
    explainer.check_target(min(lengths))
    identity = _identity(explainer, file, lengths, kind=kind, model=loaded.hash())
    about = {
        "model": f"{model} ({loaded.hash()})",
        "genome": f"{fasta.path.name} ({fasta.checksum()[:12]})",
    }
    reports = beside.reports(outs[0], identity.dump(), about, explainer)
    job = Job(TASK, identity.of_inputs(fasta), destinations[0], len(file), BLOCK)
    format, also = ExplainFormat(identity.dump(), outs[1:], reports), list(reports)
    summary = run_job(job, Regions(file, explainer, unchanged), quiet, format)
    if summary is None:
        return None
    if beside.session:
        name = f"{Path(model).name} {identity.method} {identity.target}".strip()
        records = islice(file, MOST_REGIONS)
        shown = [file.interval(record) for record in records]
        also += write_browser_files(
            {name: tracks[0]}, genome, shown, beside.annotation, fasta.contigs
        )
    if also and not quiet:
        print("also written: " + ", ".join(map(str, also)), file=sys.stderr)
    return summary


def _identity(
    explainer: Explainer, file: ElementFile, lengths: Sequence[int], kind: str, model: str
) -> ExplainIdentity:
    """All that decides a byte of the output; `model` is its hash."""
    options = explainer.options
    method = explainer.method
    return ExplainIdentity(
        kind=kind,
        version=__version__,
        model=model,
        genome=explainer.genome.checksum()[:12],
        input=file.checksum,
        method=options.method,
        target="" if method.only_letters else explainer.onehot.target.name,
        references=reference_count(options),
        seed=options.seed,
        window=explainer.window,
        tolerance=options.tolerance,
        most_steps=options.most_steps,
        records=file.records,
        longest=max((n for n in lengths if n <= explainer.longest), default=1),
        arrays={**COMMON, **method.extra_arrays},
        contigs=dict(explainer.genome.contigs),
    )


@dataclass(frozen=True)
class Regions:
    """The regions of a BED, to be explained."""

    file: ElementFile
    explainer: Explainer
    genome: Unchanged

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.file)

    def answer(self, records: list[Record]) -> tuple[list[Explained], Stats]:
        """Explained regions, and stats."""
        regions = self.explainer([self.file.interval(record) for record in records])
        return regions, _stats(regions, self.explainer.window)

    def check_inputs(self) -> None:
        self.file.unchanged.check()
        self.genome.check()


def _stats(regions: Sequence[Explained], window: int) -> Stats:
    """Counts of a block, and how far its sums are from what they must be (relative errors,
    ascending).
    """
    explained = [region for region in regions if not region.why]
    errors = []
    uncontrasted = 0
    for region in explained:
        if not math.isnan(region.arrays["error"]):
            difference = abs(float(region.arrays["difference"]))
            errors.append(float(region.arrays["error"]) / max(difference, 1e-12))
        if "contrasts" in region.arrays:
            is_letter = region.arrays["tokens"] & CODE < DNA.count
            uncontrasted += int(((region.arrays["contrasts"] == 0) & is_letter).sum())
    reasons = Counter(region.why for region in regions if region.why)
    return {
        "regions": len(regions),
        "reasons": dict(sorted(reasons.items())),
        "longer": sum(len(region.interval) > window for region in explained),
        "letters": sum(len(region.interval) for region in explained),
        "uncontrasted": uncontrasted,
        "errors": sorted(errors),
    }
