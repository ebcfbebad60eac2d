"""Labelled variants as rows: what of a file is judged, and which rows belong together.

The trap: a file and its labels may name contigs and pad alleles in two ways; both become one before
they meet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.variants import consequence
from orchid_genomics.evaluate.variants.benchmark import ScoreColumn
from orchid_genomics.evaluate.variants.consequence import Effect
from orchid_genomics.evaluate.variants.variant_table import (
    VariantTable,
    class_of,
    classify,
    join,
    one_answer,
    read_table,
)
from orchid_genomics.genome.bed import read_bed
from orchid_genomics.genome.contigs import shared
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.regions import Regions
from orchid_genomics.sequence import Variant

LOCUS = 100_000  # letters that are one cluster where no gene is named
BASELINES = ("look-up", "counts", "random")
CONTEXT = "context"


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is asked of a file of scores.

    Attributes
    ----------
    label, positive, negative
        The column of the classes, and its values of each class.
    labels
        A file with more columns for the same variants.
    scores
        Columns of scores as `benchmark.ScoreColumn.parse` reads them; empty: all of ours.
    consequence, cluster
        The columns that hold them; found, where None.
    strata
        Columns that variants are ranked within too, or `context`.
    only
        (key, values) that a variant must have.
    regions
        A BED that bounds the variants.
    genome, aliases, model
        For contexts and baselines; `aliases` is a file of other names of the contigs.
    frequency, conservation, baselines
        A column, a track, and the names of further baselines.
    samples, seed, device
        How often clusters are resampled, and where models run.
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
    aliases: Path | None = None
    model: Path | None = None
    frequency: str | None = None
    conservation: Path | None = None
    baselines: tuple[str, ...] = BASELINES
    samples: int = 1000
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class LabelledVariants:
    """Labelled rows, and what is known of each.

    Attributes
    ----------
    table
        The variants with their values.
    positive
        Bool (N,).
    consequence, gene, strand
        Texts (N,), "" where nothing says so.
    left_out
        Rows that are of neither class.
    contradictory
        Rows of variants that are of both classes, which are left out.
    repeated
        Rows that repeat another in all that is read, which are left out.
    """

    table: VariantTable
    positive: np.ndarray
    consequence: np.ndarray
    gene: np.ndarray
    strand: np.ndarray
    left_out: int
    contradictory: int = 0
    repeated: int = 0


def read_labelled(
    scored: Path,
    options: BenchmarkOptions,
    columns: Sequence[ScoreColumn],
    names: Sequence[str],
    genome: Genome | None,
) -> LabelledVariants:
    """The labelled variants of a file.

    Parameters
    ----------
    scored
        The file of scores.
    options
        What is asked.
    columns
        The scores that are read.
    names
        The columns of the file and of its labels.
    genome
        For the names of contigs; None leaves them as they are.

    Raises
    ------
    InputError
        A column is not there, or no variant is left.
    """
    effect_key = options.consequence
    if effect_key is None:
        effect_key = next((key for key in consequence.KEYS if key in names), None)
    asked = _columns_to_read(options, columns, effect_key)
    table = read_table(scored, {*asked, *consequence.GENES})
    contradictory = 0
    if options.labels:
        labels = read_table(options.labels, {*asked, *consequence.GENES})
        if options.label in labels.values:
            classes = class_of(
                _label_texts(labels, options.label), options.positive, options.negative
            )
            keep, both = one_answer(labels, classes)
            contradictory, labels = int(both.sum()), labels.take(np.flatnonzero(keep))
        table = join(table, labels)
    if genome is not None:
        table = replace(table, variants=_rename_contigs(table, genome, scored))
    for key, parameter in asked.items():
        if key != CONTEXT or key in table.values:
            table.column(key, parameter)
    for key, values in options.only:
        wanted = [text in values for text in table.values[key]]
        table = _keep(table, wanted, f"only {key}={','.join(values)}")
    if options.regions:
        table = _keep(table, _inside(table, options.regions), f"regions {options.regions}")
    texts = np.array(_label_texts(table, options.label))
    classes = class_of(texts.tolist(), options.positive, options.negative)
    keep, both = one_answer(table, classes)
    if not keep.any():
        message = f"every one of {len(table):,} labelled variants is of both classes"
        raise InputError("label", message, "one answer a variant")
    table = table.take(np.flatnonzero(keep))
    label = classify(texts[keep].tolist(), options.positive, options.negative, options.label)
    rows = np.flatnonzero(label >= 0)
    kept = table.take(rows)
    effects = _effects(kept, effect_key) if effect_key else [Effect()] * len(kept)
    return LabelledVariants(
        table=kept,
        positive=label[rows] == 1,
        consequence=np.array([effect.consequence for effect in effects]),
        gene=np.array(_genes(kept, effects)),
        strand=np.array([effect.strand for effect in effects]),
        left_out=len(label) - len(rows),
        contradictory=contradictory + int(both.sum()),
        repeated=int((~keep & ~both).sum()),
    )


def cluster_of(rows: LabelledVariants, options: BenchmarkOptions) -> tuple[np.ndarray, str]:
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


def _columns_to_read(
    options: BenchmarkOptions, columns: Iterable[ScoreColumn], effect_key: str | None
) -> dict[str, str]:
    """Every column that is read, and the parameter that named it."""
    asked = {options.label: "label"}
    for parameter, keys in (
        ("strata", options.strata),
        ("only", [key for key, _ in options.only]),
        ("consequence", [effect_key]),
        ("cluster", [options.cluster]),
        ("frequency", [options.frequency]),
        ("scores", [column.column for column in columns]),
    ):
        for key in keys:
            if key:
                asked.setdefault(key, parameter)
    return asked


def _label_texts(table: VariantTable, label: str) -> list[str]:
    """The labels as texts; of an annotation, the consequence that it holds."""
    fields = consequence.subfields(label, table.about.get(label, ""))
    if fields or label in consequence.KEYS:
        return [effect.consequence for effect in _effects(table, label)]
    return table.values[label]


def _effects(table: VariantTable, key: str) -> list[Effect]:
    fields = consequence.subfields(key, table.about.get(key, ""))
    effects = []
    for variant, text in zip(table.variants, table.column(key, "consequence"), strict=True):
        effects.append(consequence.worst_effect(key, fields, text, variant.ref, variant.alt))
    return effects


def _genes(table: VariantTable, effects: Sequence[Effect]) -> list[str]:
    """The gene of every row: of its effect, or else of a plain column."""
    plain = {key: table.values[key] for key in consequence.GENES if key in table.values}
    genes = []
    for row, effect in enumerate(effects):
        named = {key: texts[row] for key, texts in plain.items()}
        genes.append(effect.gene or consequence.gene_of(named))
    return genes


def _rename_contigs(table: VariantTable, genome: Genome, scored: Path) -> list[Variant]:
    """The variants on the contigs of a genome, where they name one at all."""
    contigs = dict.fromkeys(variant.contig for variant in table.variants)
    names = genome.shared(contigs, scored)
    if not names and contigs:
        genome.rename(contigs, scored)  # raises, with both lists
    variants = []
    for variant in table.variants:
        name = names.get(variant.contig, variant.contig)
        variants.append(variant if name == variant.contig else replace(variant, contig=name))
    return variants


def _keep(table: VariantTable, keep: Sequence[bool] | np.ndarray, where: str) -> VariantTable:
    rows = np.flatnonzero(keep)
    if not len(rows):
        message = f"leaves none of {len(table):,} variants"
        raise InputError(where, message, "values and places that the file has")
    return table.take(rows)


def _inside(table: VariantTable, bed: Path) -> np.ndarray:
    """Whether the first changed letter of each variant lies in the regions (N,)."""
    intervals = list(read_bed(bed))
    contigs = dict.fromkeys(variant.contig for variant in table.variants)
    bed_contigs = dict.fromkeys(interval.contig for interval in intervals)
    names = shared(bed_contigs, contigs, bed, table.path.name)
    own = [interval for interval in intervals if interval.contig in names]
    regions = Regions.from_intervals(
        replace(interval, contig=names[interval.contig]) for interval in own
    )
    keep = np.zeros(len(table), bool)
    for contig in contigs:
        rows = [row for row, each in enumerate(table.variants) if each.contig == contig]
        starts = np.array([table.variants[row].start for row in rows])
        keep[rows] = regions.touches(contig, starts, starts + 1)
    return keep
