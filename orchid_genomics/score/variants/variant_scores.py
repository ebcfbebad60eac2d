"""Variants to numbers, in memory: one row an ALT, and where there is no number the reason.

The trap: a REF that the genome does not have means another build or another strand, and its score
would be nonsense.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from orchid_genomics.data.relatives import Relatives
from orchid_genomics.errors import InputError
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.structural import Rearrangement
from orchid_genomics.genome.vcf import Allele
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.score.events import Event, find_event
from orchid_genomics.score.reader import Reader, check_window
from orchid_genomics.score.variants.scorers import SCORERS, Column, choose_scores
from orchid_genomics.sequence import CODE, DNA, Variant

REASONS = {
    "ref_mismatch": "REF is not what the genome has there",
    "no_alt": "ALT is . (no alternate)",
    "star": "ALT is * (deleted by another record)",
    "symbolic": "ALT is symbolic, and no <DEL>, <DUP> or <INV> with END or SVLEN",
    "breakend": "ALT is a breakend without a mate on the same contig",
    "not_acgt": "REF or ALT has letters other than A, C, G and T",
    "no_change": "ALT is REF",
    "unknown_contig": "the genome has no such contig",
    "off_contig": "beyond the end of the contig",
    "n": "the genome has N there",
    "too_long": "longer than half the window",
    "no_score": "no chosen score is for this type of variant",
    "not_carried": "no haplotype of the sample has it",
    "unphased": "the sample's haplotypes are not told apart there",
    "ploidy": "the sample has more than two haplotypes there",
}
_TOGETHER = 512  # variants whose passes are kept at a time
OnMismatch = Literal["skip", "error", "use-genome"]


@dataclass(frozen=True)
class Scores:
    """One row an ALT, in the order asked.

    Attributes: `columns`; `values` (N, columns) float64, NaN where there is none; `why` a reason
    (of `REASONS`) where a row has no number at all, else ""; `kinds` as `Variant.kind` and
    `Rearrangement.kind` say, "" where unknown; `events` what was scored, or None.
    """

    columns: tuple[Column, ...]
    values: np.ndarray
    why: list[str]
    kinds: list[str]
    events: list[Event | None]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column (N,) by its name."""
        return self.values[:, [column.name for column in self.columns].index(name)]


class Extra(NamedTuple):
    """Columns that follow from the scores, as a calibrated background does."""

    columns: tuple[Column, ...]
    compute: Callable[[Sequence[Variant | None], np.ndarray], np.ndarray]
    """Of variants (N; None: no score) and all columns before, its own (N, columns)."""


class Scoring:
    """A model, a genome, scores and windows made ready: what Python and the command share.

    With `relatives` stretches of them are read beside each window.
    With several windows every column is there once a window, its name ending in it (llr_1024).
    Raises InputError for an unknown score, or one that the model cannot give.
    """

    def __init__(
        self,
        model: OrchidModel,
        genome: Genome,
        scores: Sequence[str] | None = None,
        windows: Sequence[int] | None = None,
        on_mismatch: OnMismatch = "skip",
        relatives: Relatives | None = None,
    ) -> None:
        self.model, self.genome, self.on_mismatch = model, genome, on_mismatch
        self.relatives = relatives
        self.scores = choose_scores(scores, model)
        self.scorers = {name: SCORERS[name] for name in self.scores}
        self.windows = tuple(dict.fromkeys(windows or (trained_length(model),)))
        for window in self.windows:
            check_window(window, model, "windows", genome=genome)
        self.readers = [Reader(model, genome, window, relatives) for window in self.windows]
        self.extras: list[Extra] = []
        if any(scorer.in_sight for scorer in self.scorers.values()):
            # Raises now, and not after hours, for a model that cannot.
            _ = self.readers[0].unmasking

    def longest(self, contig: str) -> int:
        """Letters of the longest event of a contig that fits into a window."""
        return max(reader.longest(contig) for reader in self.readers)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a row holds, in order."""
        return self.own_columns

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """All columns of one change, in order: those of each score at each window, then the
        extras.
        """
        columns = []
        for reader in self.readers:
            suffix = f"_{reader.window}" if len(self.windows) > 1 else ""
            for name, scorer in self.scorers.items():
                columns += [
                    replace(each, name=each.name + suffix, score=name, window=reader.window)
                    for each in scorer.columns_of(self.model)
                ]
        for extra in self.extras:
            columns += extra.columns
        return tuple(columns)

    @property
    def seconds(self) -> float:
        """Spent inside the model so far."""
        return sum(reader.seconds for reader in self.readers)

    def __call__(self, variants: Sequence[Allele]) -> Scores:
        """Score variants, or pass on the reason of those that are none; every ALT is a variant.

        Contig names are the genome's. A row depends on its own variant alone. Raises InputError at
        a REF mismatch where `on_mismatch` is "error".
        """
        for reader in self.readers:
            reader.forget()
        events, why, scored = self._events(variants)
        values = self._values(events)
        for row, event in enumerate(events):
            if event and np.isnan(values[row]).all():
                longest = self.longest(event.contig)
                why[row] = "too_long" if event.size > longest else "no_score"
        for extra in self.extras:
            values = np.concatenate([values, extra.compute(scored, values)], axis=1)
        # of what is scored where that is not what is written: REF N, or the genome's letters
        kinds = [_kind(given, kept) for given, kept in zip(variants, scored, strict=True)]
        return Scores(self.own_columns, values, why, kinds, events)

    def _values(self, events: Sequence[Event | None]) -> np.ndarray:
        """The numbers (N, columns without extras) of events, NaN where there are none."""
        blocks = [np.empty((len(events), 0))]
        for reader in self.readers:
            for scorer in self.scorers.values():
                width = len(scorer.columns_of(self.model))
                block = np.full((len(events), width), np.nan)
                rows = [
                    row
                    for row, event in enumerate(events)
                    if event
                    and event.kind in scorer.kinds
                    and event.size <= reader.longest(event.contig)
                ]
                own = [event for row in rows if (event := events[row])]
                if own:
                    block[rows] = scorer.score(reader, own)
                blocks.append(block)
        return np.concatenate(blocks, axis=1)

    def _events(
        self, variants: Sequence[Allele]
    ) -> tuple[list[Event | None], list[str], list[Variant | None]]:
        """The event of each variant or None, why there is none, and the variant that is scored."""
        events: list[Event | None] = []
        reasons: list[str] = []
        scored: list[Variant | None] = []
        for variant in variants:
            if isinstance(variant, str):
                reason, kept = variant, None
            else:
                reason, kept = self.resolve(variant)
            reasons.append(reason)
            scored.append(kept)
            # one letter more than fits, so that a longer event is seen to be too long
            event = None
            if kept is not None:
                event = find_event(kept, self.genome, self.longest(kept.contig) + 1)
                if isinstance(variant, Rearrangement) and event.is_substitution:
                    # Of an inversion no letter within answers to one before.
                    event = replace(event, kind="delins")
            events.append(event)
        return events, reasons, scored

    def resolve(self, variant: Variant | Rearrangement) -> tuple[str, Variant | None]:
        """Why a variant cannot be scored, or "" and the variant to score."""
        if isinstance(variant, Rearrangement):
            return self._spell(variant)
        # First, for an N in REF stands for any letter and is no mismatch.
        variant = fill_n(variant, self.genome)
        reason = check(variant, self.genome)
        if reason == "ref_mismatch" and self.on_mismatch == "error":
            raise mismatch_error(variant, self.genome)
        if reason == "ref_mismatch" and self.on_mismatch == "use-genome":
            variant = with_genome(variant, self.genome)
            reason = check(variant, self.genome)
        return reason, None if reason else variant

    def _spell(self, change: Rearrangement) -> tuple[str, Variant | None]:
        """The same for stretches of the genome, which are read where they fit into a window."""
        # Before the first letter of a contig there is no REF.
        if change.place >= 0:
            reason, _ = self.resolve(change.recorded)
            if reason:
                return reason, None
        if change.size > self.longest(change.contig):
            return "too_long", None
        spelled = change.spell(self.genome)
        reason = check(spelled, self.genome)
        return reason, None if reason else spelled


def _kind(given: Allele, kept: Variant | None) -> str:
    if isinstance(given, Rearrangement):
        return given.kind
    return (kept or given).kind if isinstance(given, Variant) else ""


def score_variants(
    model: OrchidModel | str | Path,
    genome: Genome | str | Path,
    variants: Sequence[Variant],
    scores: Sequence[str] | None = None,
    windows: Sequence[int] | None = None,
    on_mismatch: OnMismatch = "skip",
) -> Scores:
    """Scores of variants in memory.

    Parameters
    ----------
    model, genome : opened, or the paths of a model folder and a FASTA.
    variants : 0-based, with the genome's contig names.
    scores : names in `SCORERS`, which says what each is; default by the model's head.
    windows : letters read around each variant; default `trained_length`.
    on_mismatch : what to do where REF is not the genome's.

    Raises
    ------
    InputError : for a score or window that cannot be had.

    Examples
    --------
    >>> variant = Variant("chrI", 999, "A", "G")  # doctest: +SKIP
    >>> scores = score_variants("runs/yeast/model", "yeast.fa", [variant])  # doctest: +SKIP
    >>> scores["llr"], scores.why  # doctest: +SKIP
    """
    model = model if isinstance(model, OrchidModel) else OrchidModel.from_pretrained(model)
    genome = genome if isinstance(genome, Genome) else Genome(genome)
    scoring = Scoring(model, genome, scores, windows, on_mismatch)
    starts = range(0, max(len(variants), 1), _TOGETHER)
    parts = [scoring(variants[start : start + _TOGETHER]) for start in starts]
    return Scores(
        scoring.columns,
        np.concatenate([part.values for part in parts]),
        [why for part in parts for why in part.why],
        [kind for part in parts for kind in part.kinds],
        [event for part in parts for event in part.events],
    )


def check(variant: Variant, genome: Genome) -> str:
    """Why a variant cannot be scored ("" if it can): a key of `REASONS`."""
    if set(variant.ref + variant.alt) - set("ACGTN"):
        return "not_acgt"
    if variant.contig not in genome.contigs:
        return "unknown_contig"
    if not _is_inside(variant, genome):
        return "off_contig"
    here = _letters(variant, genome)
    # Before letters are compared: an N of the genome contradicts nothing.
    if "N" in here:
        return "n"
    if here != variant.ref:
        return "ref_mismatch"
    return "not_acgt" if "N" in variant.alt else "no_change" if variant.ref == variant.alt else ""


def fill_n(variant: Variant, genome: Genome) -> Variant:
    """The variant with the genome's letters for every N of its REF, and of the ALT's anchor.

    Callers of structural variants write N where they did not look: as the REF of an insertion, or
    as the one letter that a deletion leaves. N stands for any letter, so the genome's is meant.
    """
    if "N" not in variant.ref + variant.alt or not _is_inside(variant, genome):
        return variant
    here = _letters(variant, genome)
    ref = "".join(
        own if own != "N" else known for own, known in zip(variant.ref, here, strict=True)
    )
    alt = variant.alt
    if alt == "N" and len(ref) > 1:
        alt = ref[0]
    elif alt[:1] == variant.ref[:1] == "N":
        alt = here[0] + alt[1:]
    return Variant(variant.contig, variant.start, ref, alt)


def _is_inside(variant: Variant, genome: Genome) -> bool:
    known = variant.contig in genome.contigs
    return known and genome.holds(variant.contig, variant.start, variant.end)


def with_genome(variant: Variant, genome: Genome) -> Variant:
    """The variant with the genome's letters as its REF."""
    return Variant(variant.contig, variant.start, _letters(variant, genome), variant.alt)


def mismatch_error(variant: Variant, genome: Genome) -> InputError:
    """The error for a REF that the genome does not have."""
    message = f"REF is {variant.ref}, the genome has {_letters(variant, genome)}"
    return InputError(f"{variant} (1-based)", message, "`on_mismatch` skip, or use-genome")


def trained_length(model: OrchidModel) -> int:
    """The longest window of the last stage of a model's training, as it remembers; else 1,024."""
    length = model.provenance.window
    # Rounded up to an even number, as `check_window` wants it.
    return 1024 if length is None else max(64, length + length % 2)


def _letters(variant: Variant, genome: Genome) -> str:
    if not variant.ref:
        return ""
    return DNA.decode(genome.tokens(variant.contig, variant.start, variant.end) & CODE)
