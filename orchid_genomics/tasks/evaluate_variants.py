"""Scored, labelled variants to areas under curves, beside baselines, by type and consequence,
clustered by gene.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.evaluate.variants.judgement import Judgement, Named, Question, named, ours
from orchid_genomics.evaluate.variants.labelled_variants import (
    BASELINES,
    CONTEXT,
    Options,
    Rows,
    clusters,
    read_rows,
)
from orchid_genomics.evaluate.variants.labels import names_of
from orchid_genomics.evaluate.variants.variant_baselines import (
    conserved,
    counted,
    looked_up,
    random_weights,
)
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.contigs import listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.device import device_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.variants.context import context_name, contexts, on_strand
from orchid_genomics.score.variants.scorers import SCORERS
from orchid_genomics.score.variants.variant_scores import Scoring, trained_length

_TOGETHER = 8192  # variants scored at once: neighbours share their windows
PATHS = ("labels", "regions", "genome", "model", "conservation")


def options_of(
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    only: Sequence[str] = (),
    baselines: str = ",".join(BASELINES),
    **others: Any,
) -> Options:
    """Options from the words of a command. Raises InputError for an `only` that is no KEY=VALUES."""
    pairs = []
    for text in only:
        key, equals, values = text.partition("=")
        if not (key and equals):
            raise InputError("--only", f"{text!r}", "KEY=VALUE, or KEY=VALUE,VALUE")
        pairs.append((key, tuple(values.split(","))))
    wanted = tuple(name for name in baselines.split(",") if name and name != "none")
    paths = {key: Path(others.pop(key)) for key in PATHS if others.get(key)}
    lists = {
        "positive": _split(positive),
        "negative": _split(negative),
        "only": tuple(pairs),
        "baselines": wanted,
    }
    return Options(
        **lists, **{key: value for key, value in others.items() if value is not None}, **paths
    )


def save(found: Judgement, path: str | Path) -> None:
    """Write the numbers as JSON, whole or not at all."""
    with writable(path), atomic_file(Path(path)) as temporary:
        temporary.write_text(json.dumps(found.values(), indent=1) + "\n", encoding="utf-8")


def _split(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for text in texts for value in text.split(",") if value)


def evaluate_variants(
    scored: str | Path, options: Options, say: Callable[[str], None] = lambda _: None
) -> Judgement:
    """Judge the scores of a file. `say` hears what takes time.

    Raises InputError for a name that the file has not, a class without a variant, or an asked score
    without a value.
    """
    options = _checked(options)
    scored = Path(scored)
    names = names_of(scored) + (names_of(options.labels) if options.labels else ())
    picked = [named(text) for text in options.scores or ours(names)]
    if not picked:
        raise InputError(
            scored, "has no score of orchid-genomics", f"--score one of: {listed(names, 30)}"
        )
    genome = Genome(options.genome) if options.genome else None
    rows = read_rows(scored, options, picked, names, genome)
    columns = {each.text: each.sign * rows.table.numbers(each.column, "--score") for each in picked}
    empty = [name for name, values in columns.items() if np.isnan(values).all()]
    if empty and (options.scores or len(empty) == len(columns)):
        found = f"{empty[0]} is missing for all {len(rows.positive):,} labelled variants"
        raise InputError(scored, found, f"another --score: {listed(names, 30)}")
    picked = [each for each in picked if each.text not in empty]
    columns = {each.text: columns[each.text] for each in picked}
    cluster, what = clusters(rows, options)
    code = None
    if genome is not None:
        code = on_strand(contexts(rows.table.variants, genome), rows.strand)
    strata = _strata(rows, options, code)
    columns |= _baselines(rows, options, picked, genome, code, cluster, say)
    question = Question(
        rows.positive,
        cluster,
        columns,
        strata,
        _groups(rows),
        samples=options.samples,
        seed=options.seed,
    )
    notes = _notes(rows, options, cluster, what)
    notes += [f"left out, for no labelled variant has a value: {', '.join(empty)}"] if empty else []
    return question.judged(" x ".join(options.strata), notes)


def _checked(options: Options) -> Options:
    for name in options.baselines:
        if name not in BASELINES:
            raise InputError(
                "--baselines",
                f"unknown baseline {name!r}",
                f"possible: {', '.join(BASELINES)}, none",
            )
    if CONTEXT in options.strata and options.genome is None:
        raise InputError(
            "--strata context", "needs the letters around each variant", "--genome FASTA"
        )
    if options.model and options.genome is None:
        raise InputError("--model", "its baselines read the genome", "--genome FASTA")
    device_of(options.device)
    return options


def _strata(rows: Rows, options: Options, code: np.ndarray | None) -> np.ndarray | None:
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


def _groups(rows: Rows) -> dict[str, np.ndarray]:
    """Rows by type and by consequence, the commonest first, where there are several."""
    kinds = np.array([variant.kind for variant in rows.table.variants])
    groups = {}
    for labels in (kinds, rows.consequence):
        names, counts = np.unique(labels, return_counts=True)
        if len(names) > 1:
            for name in names[np.argsort(-counts, kind="stable")]:
                groups[str(name) or "no consequence given"] = labels == name
    return groups


def _baselines(
    rows: Rows,
    options: Options,
    picked: list[Named],
    genome: Genome | None,
    code: np.ndarray | None,
    cluster: np.ndarray,
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    variants = rows.table.variants
    if options.frequency:
        found[f"{options.frequency} (rarer)"] = -rows.table.numbers(
            options.frequency, "--frequency"
        )
    if options.conservation:
        found[options.conservation.name] = conserved(options.conservation, genome, variants)
    if code is not None and "look-up" in options.baselines:
        found["look-up of contexts, out of fold"] = looked_up(
            code, rows.positive, cluster, options.seed
        )
    if options.model is None or genome is None:
        return found
    model = OrchidModel.from_pretrained(options.model)
    if "counts" in options.baselines:
        say("counting the letters of the model's training")
        name, ratio = counted(model, genome, variants)
        found[name] = -ratio
    if "random" in options.baselines:
        untrained = random_weights(model, options.seed).to(device_of(options.device))
        for each in (each for each in picked if each.plain and each.score in SCORERS):
            say(f"{each.score} with random weights")
            scoring = Scoring(
                untrained, genome, (each.score,), (each.window or trained_length(model),)
            )
            parts = [
                scoring(variants[i : i + _TOGETHER]).values[:, 0]
                for i in range(0, len(variants), _TOGETHER)
            ]
            found[f"{each.text}, random weights"] = each.sign * np.concatenate(parts)
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _notes(rows: Rows, options: Options, cluster: np.ndarray, what: str) -> list[str]:
    positive = int(rows.positive.sum())
    text = f"{options.label}: {positive:,} positive ({', '.join(options.positive)}), "
    text += f"{len(rows.positive) - positive:,} negative ({', '.join(options.negative)}), {rows.left_out:,} left out"
    names, counts = np.unique(cluster, return_counts=True)
    most = int(np.argmax(counts))
    share = counts[most] / counts.sum()
    clusters = f"intervals by bootstrap of {len(names):,} clusters ({what}); the largest, {names[most]}, holds {share:.0%}"
    return [text, clusters]
