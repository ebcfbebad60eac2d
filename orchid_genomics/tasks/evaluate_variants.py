"""Scored, labelled variants to areas under curves, beside baselines, by type and consequence,
clustered by gene.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.variants import variant_baselines
from orchid_genomics.evaluate.variants.benchmark import (
    Benchmark,
    BenchmarkResult,
    ScoreColumn,
    own_scores,
)
from orchid_genomics.evaluate.variants.labelled_variants import (
    BASELINES,
    CONTEXT,
    BenchmarkOptions,
    LabelledVariants,
    cluster_of,
    read_labelled,
)
from orchid_genomics.evaluate.variants.variant_table import read_names
from orchid_genomics.files import name_errors, regular_copy, write_json
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.vcf import no_letters
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.variants.context import context_name, contexts, on_strand
from orchid_genomics.score.variants.scorers import SCORERS
from orchid_genomics.score.variants.variant_scores import Scoring, trained_length
from orchid_genomics.sequence import Variant

_TOGETHER = 8192  # variants scored at once: neighbours share their windows
_LISTED = 30  # names that a message lists
_PATHS = ("labels", "regions", "genome", "aliases", "model", "conservation")


def options_of(
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    only: Sequence[str] = (),
    baselines: str = ",".join(BASELINES),
    **others: Any,
) -> BenchmarkOptions:
    """Options from the words of a command.

    Parameters
    ----------
    positive, negative
        Values of either class, also several between commas.
    only
        KEY=VALUE, or KEY=VALUE,VALUE.
    baselines
        Names between commas, or none.
    **others
        The other attributes of `BenchmarkOptions`; None leaves the default.

    Raises
    ------
    InputError
        An `only` that is no KEY=VALUES.
    """
    pairs = []
    for text in only:
        key, equals, values = text.partition("=")
        if not (key and equals):
            raise InputError("only", f"{text!r}", "KEY=VALUE, or KEY=VALUE,VALUE")
        pairs.append((key, tuple(values.split(","))))
    given = {key: value for key, value in others.items() if value is not None}
    for key in _PATHS:
        if given.get(key):
            given[key] = Path(given[key])
    return BenchmarkOptions(
        positive=_split(positive),
        negative=_split(negative),
        only=tuple(pairs),
        baselines=tuple(name for name in baselines.split(",") if name and name != "none"),
        **given,
    )


def save(result: BenchmarkResult, path: str | Path) -> None:
    """Write the numbers as JSON, whole or not at all."""
    write_json(Path(path), result.values(), indent=1)


def evaluate_variants(
    scored: str | Path, options: BenchmarkOptions, say: Callable[[str], None] = lambda _: None
) -> BenchmarkResult:
    """Say how well the scores of a file tell positive from negative variants.

    Parameters
    ----------
    scored
        A VCF, BCF, TSV or parquet file.
    options
        What is asked of it.
    say
        Hears what takes time.

    Raises
    ------
    InputError
        A name that the file has not, a class without a variant, or an asked score without a value.
    """
    _check(options)
    # A pipe gives its bytes once, and both files are read for their names and then for their rows.
    copy, labels = regular_copy(scored), options.labels
    label_copy = None if labels is None else regular_copy(labels)
    with name_errors(copy, scored), name_errors(label_copy, labels):
        return _evaluate(copy, replace(options, labels=label_copy), say)


def _evaluate(
    scored: Path, options: BenchmarkOptions, say: Callable[[str], None]
) -> BenchmarkResult:
    """`evaluate_variants` of files that can be read again."""
    names = read_names(scored) + (read_names(options.labels) if options.labels else ())
    columns = [ScoreColumn.parse(text) for text in options.scores or own_scores(names)]
    if not columns:
        message = "has no score of orchid-genomics"
        raise InputError(scored, message, f"`scores` one of: {listed(names, _LISTED)}")
    genome = Genome(options.genome, aliases=options.aliases) if options.genome else None
    rows = read_labelled(scored, options, columns, names, genome)
    scores = {each.text: each.sign * rows.table.numbers(each.column, "scores") for each in columns}
    empty = [name for name, values in scores.items() if np.isnan(values).all()]
    # A score that was asked for must be there; of ours some may be empty, such as those of indels.
    if empty and (options.scores or len(empty) == len(scores)):
        message = f"{empty[0]} is missing for all {len(rows.positive):,} labelled variants"
        raise InputError(scored, message, f"another `scores`: {listed(names, _LISTED)}")
    columns = [each for each in columns if each.text not in empty]
    scores = {each.text: scores[each.text] for each in columns}
    cluster, what = cluster_of(rows, options)
    code = None
    if genome is not None:
        code = on_strand(contexts(rows.table.variants, genome), rows.strand)
    strata = _strata(rows, options, code)
    scores |= _plain_baselines(rows, options, genome, code, cluster)
    if options.model is not None and genome is not None:
        scores |= _model_baselines(rows.table.variants, options, columns, genome, say)
    benchmark = Benchmark(
        rows.positive,
        cluster,
        scores,
        strata,
        groups=_groups(rows),
        samples=options.samples,
        seed=options.seed,
    )
    notes = _notes(rows, options, cluster, what)
    if empty:
        notes.append(f"left out, for no labelled variant has a value: {', '.join(empty)}")
    return benchmark.run(" x ".join(options.strata), notes)


def _split(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for text in texts for value in text.split(",") if value)


def _check(options: BenchmarkOptions) -> None:
    for name in options.baselines:
        if name not in BASELINES:
            possible = f"possible: {', '.join(BASELINES)}, none"
            raise InputError("baselines", f"unknown baseline {name!r}", possible)
    if CONTEXT in options.strata and options.genome is None:
        message = "needs the letters around each variant"
        raise InputError(f"strata {CONTEXT}", message, "`genome` FASTA")
    if options.model and options.genome is None:
        raise InputError("model", "its baselines read the genome", "`genome` FASTA")
    device_of(options.device)


def _strata(
    rows: LabelledVariants, options: BenchmarkOptions, code: np.ndarray | None
) -> np.ndarray | None:
    """The stratum of every row, "" where it has none and is ranked in none."""
    if not options.strata:
        return None
    parts = []
    for key in options.strata:
        if key == CONTEXT and code is not None:
            parts.append([context_name(int(one)) if one >= 0 else "" for one in code])
        else:
            parts.append(rows.table.values[key])
    return np.array([" ".join(each) if all(each) else "" for each in zip(*parts, strict=True)])


def _groups(rows: LabelledVariants) -> dict[str, np.ndarray]:
    """Rows by type and by consequence, the commonest first, where there are several."""
    # An ALT such as <DEL> is no letters, by whose number a kind could be told.
    kinds = np.array(
        [
            "structural" if no_letters(each.alt) in ("symbolic", "breakend") else each.kind
            for each in rows.table.variants
        ]
    )
    groups = {}
    for labels in (kinds, rows.consequence):
        names, counts = np.unique(labels, return_counts=True)
        if len(names) > 1:
            for name in names[np.argsort(-counts, kind="stable")]:
                groups[str(name) or "no consequence given"] = labels == name
    return groups


def _plain_baselines(
    rows: LabelledVariants,
    options: BenchmarkOptions,
    genome: Genome | None,
    code: np.ndarray | None,
    cluster: np.ndarray,
) -> dict[str, np.ndarray]:
    """Allele frequency, conservation and the look-up of contexts, where they are asked for."""
    scores: dict[str, np.ndarray] = {}
    if options.frequency:
        numbers = rows.table.numbers(options.frequency, "frequency")
        # The higher a score, the more it says "positive".
        scores[f"{options.frequency} (rarer)"] = -numbers
    if options.conservation:
        track, variants = options.conservation, rows.table.variants
        scores[track.name] = variant_baselines.conservation(track, genome, variants)
    if code is not None and "look-up" in options.baselines:
        scores["look-up of contexts, out of fold"] = variant_baselines.context_look_up(
            code, rows.positive, cluster, options.seed
        )
    return scores


def _model_baselines(
    variants: list[Variant],
    options: BenchmarkOptions,
    columns: Sequence[ScoreColumn],
    genome: Genome,
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Counts of the letters that the model saw, and the same scores before training."""
    if options.model is None:
        return {}
    model = OrchidModel.from_pretrained(options.model)
    scores: dict[str, np.ndarray] = {}
    if "counts" in options.baselines:
        say("counting the letters of the model's training")
        name, ratio = variant_baselines.ngram_ratio(model, genome, variants)
        scores[name] = -ratio
    if "random" in options.baselines:
        untrained = variant_baselines.random_weights(model, options.seed)
        untrained = untrained.to(device_of(options.device))
        for column in columns:
            if not (column.plain and column.score in SCORERS):
                continue
            say(f"{column.score} with random weights")
            window = column.window or trained_length(model)
            scoring = Scoring(untrained, genome, (column.score,), (window,))
            values = []
            for first in range(0, len(variants), _TOGETHER):
                values.append(scoring(variants[first : first + _TOGETHER]).values[:, 0])
            scores[f"{column.text}, random weights"] = column.sign * np.concatenate(values)
    return {name: values for name, values in scores.items() if np.isfinite(values).any()}


def _notes(
    rows: LabelledVariants, options: BenchmarkOptions, cluster: np.ndarray, what: str
) -> list[str]:
    positive = int(rows.positive.sum())
    negative = len(rows.positive) - positive
    counts = f"{positive:,} positive ({', '.join(options.positive)})"
    counts += f", {negative:,} negative ({', '.join(options.negative)})"
    names, sizes = np.unique(cluster, return_counts=True)
    most = int(np.argmax(sizes))
    share = sizes[most] / sizes.sum()
    clusters = f"intervals by bootstrap of {len(names):,} clusters ({what})"
    several = []
    if rows.contradictory:
        several.append(
            f"left out, for their variant is of both classes: {rows.contradictory:,} rows"
        )
    if rows.repeated:
        several.append(
            f"left out, for they say nothing new of their variant: {rows.repeated:,} rows"
        )
    return [
        f"{options.label}: {counts}, {rows.left_out:,} left out",
        *several,
        f"{clusters}; the largest, {names[most]}, holds {share:.0%}",
    ]
