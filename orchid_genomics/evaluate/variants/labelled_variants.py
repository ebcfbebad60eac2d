"""Labelled variants as rows: what of a file is judged, and which rows belong together.

The trap: a file and its labels may name contigs and pad alleles in two ways; both become one before
they meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.variants import csq
from orchid_genomics.evaluate.variants.judgement import Named
from orchid_genomics.evaluate.variants.labels import Table, classes, joined, read_table
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.contigs import rename, shared
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions

LOCUS = 100_000  # letters that are one cluster where no gene is named
BASELINES = ("look-up", "counts", "random")
CONTEXT = "context"


@dataclass(frozen=True)
class Options:
    """What the command is asked for; see its help. `only` holds (key, values) that a variant must
    have.
    """

    label: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    labels: Path | None = None
    scores: tuple[str, ...] = ()
    consequence: str | None = None
    cluster: str | None = None
    strata: tuple[str, ...] = ()
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    regions: Path | None = None
    genome: Path | None = None
    model: Path | None = None
    frequency: str | None = None
    conservation: Path | None = None
    baselines: tuple[str, ...] = BASELINES
    samples: int = 1000
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows, and what is known of each."""

    table: Table
    positive: np.ndarray
    consequence: np.ndarray
    gene: np.ndarray
    strand: np.ndarray
    left_out: int


def read_rows(
    scored: Path, options: Options, picked: list[Named], names: Sequence[str], genome: Genome | None
) -> Rows:
    effects = options.consequence or next((key for key in csq.KEYS if key in names), None)
    asked = [
        options.label,
        *(each.column for each in picked),
        *options.strata,
        *(key for key, _ in options.only),
    ]
    asked += [key for key in (effects, options.cluster, options.frequency) if key]
    table = read_table(scored, {*asked, *csq.GENES})
    if options.labels:
        table = joined(table, read_table(options.labels, {*asked, *csq.GENES}))
    if genome is not None:
        table = replace(table, variants=_renamed(table, genome, scored))
    for key in asked:
        if key != CONTEXT or key in table.values:
            table.column(key, _option(key, options))
    for key, values in options.only:
        table = _kept(
            table,
            [text in values for text in table.values[key]],
            f"--only {key}={','.join(values)}",
        )
    if options.regions:
        table = _kept(table, _inside(table, options.regions), f"--regions {options.regions}")
    about = csq.fields(options.label, table.about.get(options.label, ""))
    texts = table.values[options.label]
    if about or options.label in csq.KEYS:  # its consequence is the label
        texts = [effect.consequence for effect in _effects(table, options.label)]
    label = classes(texts, options.positive, options.negative, options.label)
    rows = np.flatnonzero(label >= 0)
    left_out, table = len(label) - len(rows), table.taken(rows)
    found = _effects(table, effects) if effects else [csq.Effect()] * len(table)
    plain = {key: table.values[key] for key in csq.GENES if key in table.values}
    genes = [
        e.gene or csq.gene({key: texts[i] for key, texts in plain.items()})
        for i, e in enumerate(found)
    ]
    consequence = np.array([e.consequence for e in found])
    return Rows(
        table,
        label[rows] == 1,
        consequence,
        np.array(genes),
        np.array([e.strand for e in found]),
        left_out,
    )


def _option(key: str, options: Options) -> str:
    """Which option named a column."""
    if key == options.label:
        return "--label"
    if key in options.strata:
        return "--strata"
    if key in (name for name, _ in options.only):
        return "--only"
    return {
        options.consequence: "--consequence",
        options.cluster: "--cluster",
        options.frequency: "--frequency",
    }.get(key, "--score")


def _effects(table: Table, key: str) -> list[csq.Effect]:
    fields = csq.fields(key, table.about.get(key, ""))
    pairs = zip(table.variants, table.column(key, "--consequence"), strict=True)
    return [csq.effect(key, fields, text, variant.ref, variant.alt) for variant, text in pairs]


def _renamed(table: Table, genome: Genome, scored: Path) -> list:
    contigs = dict.fromkeys(variant.contig for variant in table.variants)
    names = shared(contigs, genome.contigs, scored, genome.path.name)
    if not names and contigs:
        rename(contigs, genome.contigs, scored, genome.path.name)  # raises, with both lists
    return [
        replace(v, contig=names[v.contig]) if names.get(v.contig, v.contig) != v.contig else v
        for v in table.variants
    ]


def _kept(table: Table, keep: Sequence[bool], option: str) -> Table:
    rows = np.flatnonzero(keep)
    if not len(rows):
        raise InputError(
            option, f"leaves none of {len(table):,} variants", "values and places that the file has"
        )
    return table.taken(rows)


def _inside(table: Table, bed: Path) -> np.ndarray:
    """Whether the first changed letter of each variant lies in the regions."""
    places = list(read_bed(bed))
    contigs = dict.fromkeys(variant.contig for variant in table.variants)
    names = shared(dict.fromkeys(place.contig for place in places), contigs, bed, table.path.name)
    regions = Regions.from_intervals(
        replace(p, contig=names[p.contig]) for p in places if p.contig in names
    )
    keep = np.zeros(len(table), bool)
    for contig in contigs:
        rows = np.array([i for i, variant in enumerate(table.variants) if variant.contig == contig])
        starts = np.array([table.variants[i].start for i in rows])
        keep[rows] = regions.touches(contig, starts, starts + 1)
    return keep


def clusters(rows: Rows, options: Options) -> tuple[np.ndarray, str]:
    """The cluster of every row, and what a cluster is: a column, the gene, or else 100 kb of the
    genome.
    """
    variants = rows.table.variants
    locus = np.array([f"{variant.contig}:{variant.start // LOCUS}" for variant in variants])
    if options.cluster:
        texts = np.array(rows.table.values[options.cluster])
        return np.where(texts == "", locus, texts), options.cluster
    if (rows.gene != "").mean() >= 0.5:
        return np.where(rows.gene == "", locus, rows.gene), "gene"
    return locus, "locus of 100 kb"
