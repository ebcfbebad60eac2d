"""Regions and a model become attributions: HDF5, npz, or a track that browsers draw as letters."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from orchid_genomics import __version__
from orchid_genomics.draw.lanes import read_lane
from orchid_genomics.errors import InputError
from orchid_genomics.explain.arrays import KINDS, Explained, ExplainFormat
from orchid_genomics.explain.browsers import MOST_REGIONS, browser_files
from orchid_genomics.explain.methods import Explaining, Options
from orchid_genomics.explain.motif_files import read_motifs
from orchid_genomics.explain.motifs import MotifTable
from orchid_genomics.explain.page import Page
from orchid_genomics.genome.bed import read_records
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.signal import BIGWIG
from orchid_genomics.jobs.engine import Job, Stats, stream
from orchid_genomics.jobs.inputs import opened
from orchid_genomics.jobs.output import destination, kind_of
from orchid_genomics.score.elements.element_files import ElementFile
from orchid_genomics.score.elements.element_scores import REASONS
from orchid_genomics.score.summary import reasons_of, told, total

TASK = "explain"
SAID = ("model", "genome", "input", "method", "target", "references", "seed", "window")
BLOCK = 16  # regions that are explained, saved and lost together
_MORE = {"ism": ("effects",), "dependency": ("dependency",)}


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

    def reports(
        self, out: Path, identity: dict[str, Any], about: dict[str, Any], genome: Genome
    ) -> dict[Path, Any]:
        """The files to write from the regions, each with what writes it; motifs and annotation are
        read here.
        """
        stem, known = (
            out.name.split(".")[0],
            None if self.motifs is None else MotifTable(read_motifs(self.motifs)),
        )
        reports: dict[Path, Any] = (
            {} if known is None else {out.with_name(f"{stem}.motifs.tsv"): known}
        )
        if self.html:
            about = about | ({"motifs": self.motifs} if self.motifs else {})
            lanes = [read_lane(path, genome) for path in self.annotation]
            reports[out.with_name(f"{stem}.html")] = Page(identity, about, lanes, known)
        return reports


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
) -> Stats | None:
    """Explain every region of a BED into `out` (one file, or several of the same numbers); see the
    command's help.

    `beside` says what else is written beside the first `out`.

    Returns the summary, which is also in ``<out>.summary.json`` and, unless `quiet`, on stderr;
    None for a shard. Raises InputError for inputs or options that cannot be, before any work.
    """
    options, beside = options or Options(), beside or Beside()
    places = [
        destination(path, elements, shard, resume)
        for path in ([out] if isinstance(out, str | Path) else out)
    ]
    outs, part = [path for path, _ in places], places[0][1]
    kind, *_ = [kind_of(path, KINDS) for path in outs]
    if shard and (len(outs) > 1 or beside.html or beside.session or beside.motifs):
        raise InputError(
            "--shard",
            "makes one part of one file",
            "one --out, without --html, --session or --motifs",
        )
    tracks = [path for path in outs if path.name.lower().endswith(BIGWIG)]
    if beside.session and not tracks:
        raise InputError(
            "--session", f"{outs[0]} is no bigWig, which browsers draw as letters", "-o OUT.bw"
        )
    loaded, fasta = opened(model, genome, device)
    explaining = Explaining(loaded, fasta, options)
    file = ElementFile.survey(elements, fasta)
    lengths = [len(record.place) for record in read_records(Path(elements))]
    explaining.fit(min(lengths))
    identity = _identity(explaining, file, lengths, loaded.hash()) | {"kind": kind}
    job = Job(TASK, outs[0], identity, file.records, BLOCK, part, resume)
    about = {
        "model": f"{model} ({loaded.hash()})",
        "genome": f"{fasta.path.name} ({fasta.checksum()[:12]})",
    }
    reports = beside.reports(outs[0], identity, about, fasta)
    form, also = ExplainFormat(identity, outs[1:], reports), list(reports)
    blocks = stream(job, file, _answerer(file, explaining), form, "regions", quiet)
    if blocks is None:
        return None
    if beside.session:
        name = f"{Path(model).name} {identity['method']} {identity['target']}".strip()
        places = [
            file.place(record) for record in islice(read_records(Path(elements)), MOST_REGIONS)
        ]
        also += browser_files({name: tracks[0]}, genome, places, beside.annotation, fasta.contigs)
    stats = finish(blocks, identity, outs[0], quiet)
    if also and not quiet:
        print("also written: " + ", ".join(map(str, also)), file=sys.stderr)
    return stats


def _identity(
    explaining: Explaining, file: ElementFile, lengths: Sequence[int], model: str
) -> dict[str, Any]:
    """All that decides a byte of the output, as JSON, but for its format; `model` is its hash."""
    options = explaining.options
    return {
        "orchid-genomics": __version__,
        "model": model,
        "genome": explaining.genome.checksum()[:12],
        "input": file.checksum,
        "method": options.method,
        "target": explaining.onehot.target.name if options.method != "dependency" else "",
        "references": options.references or 0,
        "seed": options.seed,
        "window": options.window or 0,
        "tolerance": options.tolerance,
        "most_steps": options.most_steps,
        "records": file.records,
        "longest": max((n for n in lengths if n <= explaining.longest), default=1),
        "arrays": [
            "hypothetical",
            "projected",
            "difference",
            "error",
            "steps",
            *_MORE.get(options.method, ()),
        ],
        "contigs": dict(explaining.genome.contigs),
    }


def form(identity: dict[str, Any]) -> ExplainFormat:
    """How the parts of a job are written and joined."""
    return ExplainFormat(identity)


def _answerer(file: ElementFile, explaining: Explaining) -> Callable:
    """A function from the records of a block to its answers and stats."""

    def answer(records: list) -> tuple[list[Explained], Stats]:
        places = [file.place(record) for record in records]
        found = [
            Explained(
                place, each if isinstance(each, str) else "", {} if isinstance(each, str) else each
            )
            for place, each in zip(places, explaining(places), strict=True)
        ]
        return found, _stats(found)

    return answer


def _stats(found: Sequence[Explained]) -> Stats:
    """Counts of a block, and how far its sums are from what they must be (relative errors,
    ascending).
    """
    known = [each.found for each in found if not each.why]
    pairs = [(float(each["error"]), abs(float(each["difference"]))) for each in known]
    errors = sorted(error / max(difference, 1e-12) for error, difference in pairs if error == error)
    whys = [each.why for each in found if each.why]
    return {
        "regions": len(found),
        "reasons": {why: whys.count(why) for why in sorted(set(whys))},
        "errors": errors,
    }


def finish(
    blocks: Sequence[Stats], identity: dict[str, Any], out: Path, quiet: bool = False
) -> Stats:
    """The summary of a job that is whole: said on stderr, written beside its output."""
    whole = total({key: block[key] for key in ("regions", "reasons")} for block in blocks)
    errors = sorted(error for block in blocks for error in block["errors"])
    regions, reasons = whole["regions"], whole["reasons"]
    summary = {"regions": regions, "explained": regions - sum(reasons.values()), "reasons": reasons}
    if errors:
        wide = sum(error > identity["tolerance"] for error in errors)
        summary |= {
            "error_median": errors[len(errors) // 2],
            "error_largest": errors[-1],
            "error_beyond": wide,
        }
    return told(
        {key: identity[key] for key in SAID} | summary, _lines(summary, identity), out, quiet
    )


def _lines(summary: Stats, identity: dict[str, Any]) -> list[str]:
    lines = [
        f"{summary['regions']:,} regions: {summary['explained']:,} explained by {identity['method']}"
    ]
    lines += reasons_of(summary["reasons"], "not explained", REASONS)
    if "error_largest" in summary:
        lines.append(
            f"  sums against differences: off by {summary['error_median']:.1e} of the difference (median), "
            f"{summary['error_largest']:.1e} (largest)"
        )
        if summary["error_beyond"]:
            lines.append(
                f"  {summary['error_beyond']:,} regions are off by more than {identity['tolerance']:g}: see error"
            )
    return lines
