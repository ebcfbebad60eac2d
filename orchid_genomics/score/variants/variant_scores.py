"""Variants to numbers, in memory: one row an ALT, and where there is no number the reason.

The trap: a REF that the genome does not have means another build or another strand, and its score
would be nonsense.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.events import Event, event
from orchid_genomics.score.reader import Reader
from orchid_genomics.score.variants.scorers import SCORERS, Column, chosen
from orchid_genomics.sequence import CODE, DNA, Variant

REASONS = {
    "ref_mismatch": "REF is not what the genome has there",
    "no_alt": "ALT is . (no alternate)",
    "star": "ALT is * (deleted by another record)",
    "symbolic": "ALT is symbolic, such as <DEL>",
    "breakend": "ALT is a breakend",
    "not_acgt": "REF or ALT has letters other than A, C, G and T",
    "no_change": "ALT is REF",
    "unknown_contig": "the genome has no such contig",
    "off_contig": "beyond the end of the contig",
    "n": "the genome has N there",
    "too_long": "longer than half the window",
    "no_score": "no chosen score is for this type of variant",
}
OnMismatch = Literal["skip", "error", "use-genome"]


@dataclass(frozen=True)
class Scores:
    """One row an ALT, in the order asked.

    Attributes: `columns`; `values` (N, columns) float64, NaN where there is none; `why` a reason
    (of `REASONS`) where a row has no number at all, else ""; `kinds` of `Variant.kind`, "" where
    unknown; `events` what was scored, or None.
    """

    columns: tuple[Column, ...]
    values: np.ndarray
    why: list[str]
    kinds: list[str]
    events: list[Event | None]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column (N,) by its name."""
        return self.values[:, [column.name for column in self.columns].index(name)]


@dataclass
class Scoring:
    """A model, a genome, scores and windows made ready: what `score_variants` and the command
    share.

    With several windows every column is there once a window, its name ending in it (llr_1024).
    `more` are functions of (variants, values) that add columns, as a calibrated background does;
    they see the columns before them. Raises InputError for an unknown score, or one that the model
    cannot give.
    """

    model: OrchidModel
    genome: Genome
    scores: Sequence[str] | None = None
    windows: Sequence[int] | None = None
    on_mismatch: OnMismatch = "skip"
    more: list[
        tuple[tuple[Column, ...], Callable[[Sequence[Variant | None], np.ndarray], np.ndarray]]
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scores = chosen(self.scores, self.model)
        self.windows = tuple(dict.fromkeys(self.windows or (trained_length(self.model),)))
        self.readers = [Reader(self.model, self.genome, window) for window in self.windows]
        self.longest = max(reader.longest for reader in self.readers)
        if {"llr_unmasked", "indel"} & set(self.scores):
            _ = self.readers[0].unmasking  # a model that cannot is refused now

    @property
    def columns(self) -> tuple[Column, ...]:
        own = tuple(
            Column(
                f"{column.name}_{window}" if len(self.windows) > 1 else column.name,
                column.about,
                name,
                window,
            )
            for window in self.windows
            for name in self.scores
            for column in SCORERS[name].of(self.model)
        )
        return own + tuple(column for columns, _ in self.more for column in columns)

    @property
    def seconds(self) -> float:
        """Spent inside the model so far."""
        return sum(reader.seconds for reader in self.readers)

    def __call__(self, variants: Sequence[Variant | str]) -> Scores:
        """Score variants, or pass on the reason of those that are none; every ALT is a variant of
        its own.

        Contig names are the genome's. A row depends on its own variant alone. Raises InputError at
        a REF mismatch where `on_mismatch` is "error".
        """
        for reader in self.readers:
            reader.forget()
        events, why, kept = self._events(variants)
        values = np.full(
            (
                len(variants),
                sum(len(SCORERS[n].of(self.model)) for n in self.scores) * len(self.windows),
            ),
            np.nan,
        )
        at = 0
        for reader in self.readers:
            for name in self.scores:
                scorer, width = SCORERS[name], len(SCORERS[name].of(self.model))
                rows = [
                    i
                    for i, e in enumerate(events)
                    if e and e.kind in scorer.kinds and e.size <= reader.longest
                ]
                if rows:
                    values[rows, at : at + width] = scorer.score(reader, [events[i] for i in rows])
                at += width
        for i, e in enumerate(events):
            if e and np.isnan(values[i]).all():
                why[i] = "too_long" if e.size > self.longest else "no_score"
        for _, function in self.more:
            values = np.concatenate([values, function(kept, values)], axis=1)
        kinds = [v.kind if isinstance(v, Variant) else "" for v in variants]
        return Scores(self.columns, values, why, kinds, events)

    def _events(
        self, variants: Sequence[Variant | str]
    ) -> tuple[list[Event | None], list[str], list[Variant | None]]:
        """The event of each variant or None, why there is none, and the variant that is scored."""
        events: list[Event | None] = []
        why: list[str] = []
        kept: list[Variant | None] = []
        for variant in variants:
            reason = variant if isinstance(variant, str) else check(variant, self.genome)
            if reason == "ref_mismatch" and isinstance(variant, Variant):
                if self.on_mismatch == "error":
                    raise mismatch(variant, self.genome)
                if self.on_mismatch == "use-genome":
                    variant = with_genome(variant, self.genome)
                    reason = check(variant, self.genome)
            why.append(reason)
            kept.append(None if reason else variant)
            events.append(None if reason else event(variant, self.genome, self.longest + 1))
        return events, why, kept


def score_variants(
    model: OrchidModel | str | Path,
    genome: Genome | str | Path,
    variants: Sequence[Variant],
    scores: Sequence[str] | None = None,
    windows: Sequence[int] | None = None,
    on_mismatch: OnMismatch = "skip",
) -> Scores:
    """Scores of variants in memory; `SCORERS` says what each is, `trained_length` is the window
    when none is given.

    Variants are 0-based with the genome's contig names. Raises InputError for a score or window
    that cannot be had.

    >>> found = score_variants("runs/yeast/model", "yeast.fa", [Variant("chrI", 999, "A", "G")])  #
    doctest: +SKIP >>> found["llr"], found.why  # doctest: +SKIP
    """
    model = model if isinstance(model, OrchidModel) else OrchidModel.from_pretrained(model)
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    scoring = Scoring(model, genome, scores, windows, on_mismatch)
    parts = [scoring(variants[i : i + 512]) for i in range(0, len(variants), 512)] or [scoring([])]
    return Scores(
        scoring.columns,
        np.concatenate([part.values for part in parts]),
        [why for part in parts for why in part.why],
        [kind for part in parts for kind in part.kinds],
        [e for part in parts for e in part.events],
    )


def check(variant: Variant, genome: Genome) -> str:
    """Why a variant cannot be scored ("" if it can): a key of `REASONS`."""
    if set(variant.ref + variant.alt) - set("ACGTN"):
        return "not_acgt"
    if variant.contig not in genome.contigs:
        return "unknown_contig"
    if variant.start < 0 or variant.end > genome.contigs[variant.contig]:
        return "off_contig"
    here = _letters(variant, genome)
    if "N" in here:
        return "n"
    if here != variant.ref:
        return "ref_mismatch"
    return "not_acgt" if "N" in variant.alt else "no_change" if variant.ref == variant.alt else ""


def with_genome(variant: Variant, genome: Genome) -> Variant:
    """The variant with the genome's letters as its REF."""
    return Variant(variant.contig, variant.start, _letters(variant, genome), variant.alt)


def mismatch(variant: Variant, genome: Genome) -> InputError:
    """The error for a REF that the genome does not have."""
    found = f"REF is {variant.ref}, the genome has {_letters(variant, genome)}"
    return InputError(f"{variant} (1-based)", found, "--on-ref-mismatch skip, or use-genome")


def trained_length(model: OrchidModel) -> int:
    """The longest window of the last stage in which a model was trained, as it remembers; else
    1,024.
    """
    provenance = model.provenance
    length = provenance.get("report", {}).get("length") or provenance.get("recipe", {}).get(
        "data", {}
    ).get("length")
    return max(64, length + length % 2) if isinstance(length, int) else 1024


def _letters(variant: Variant, genome: Genome) -> str:
    if not variant.ref:
        return ""
    return DNA.decode(genome.tokens(variant.contig, variant.start, variant.end) & CODE)
