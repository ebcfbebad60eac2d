"""The scores of variants by name, each with what it means: help, README and judges read them here.

To add one: write a function of a `Reader` and events that gives a row of numbers for each, and
register a `Scorer` of it, here or from another package (see `orchid_genomics.registry`). The trap:
a help page is made from here, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchid_genomics.errors import InputError
from orchid_genomics.registry import Registry

if TYPE_CHECKING:
    from orchid_genomics.model.folder import OrchidModel
    from orchid_genomics.score.events import Event
    from orchid_genomics.score.reader import Reader

KINDS = ("SNV", "MNV", "insertion", "deletion", "delins")
SUBSTITUTIONS, INDELS = KINDS[:2], KINDS[2:]
SCORERS: Registry[Scorer] = Registry("score")
Row = tuple[float, ...]
_HEADS = {
    "letters": "a letters head",
    "tracks": "a letters head with tracks",
    "head": "a fine-tuned head",
}


@dataclass(frozen=True)
class Column:
    """One number an ALT.

    Attributes
    ----------
    name : as in a TSV, lower case.
    about : one sentence with unit and sign.
    score, window : where it comes from, once it stands among the columns of a job.
    lower : whether a lower value means that the change is more likely to matter.
    """

    name: str
    about: str
    score: str = ""
    window: int = 0
    lower: bool = False


@dataclass(frozen=True)
class Scorer:
    """A score.

    Attributes
    ----------
    score : gives a row of numbers for each of some events, all of `kinds`.
    columns : what the numbers are, or a function of the model that says so.
    flank, passes : letters needed on each side of an event, and the cost in forward passes, in
        words.
    needs : the head: "letters", "tracks" (letters, and tracks beside them), "head" (any other), or
        "" (the encoder alone).
    about : what the columns are, in words, where they depend on the model.
    default : whether a model whose head is `needs` gives it unasked.
    masks : whether it asks `Reader.masked`; the summary then compares windows on the same passes.
    tiled : whether it asks `Reader.shown`, whose passes neighbours share: its cost is that of the
        stretch of genome, not of the variants.
    in_sight : whether it reads letters in sight, which not every training allows
        (`Reader.unmasking`).
    strandless : whether the mirrored change on the other strand has the same score.
    """

    score: Callable[[Reader, Sequence[Event]], Sequence[Row]]
    columns: tuple[Column, ...] | Callable[[OrchidModel], tuple[Column, ...]]
    kinds: tuple[str, ...]
    flank: str
    passes: str
    needs: Literal["letters", "tracks", "head", ""] = "letters"
    about: str = ""
    default: bool = False
    masks: bool = False
    tiled: bool = False
    in_sight: bool = False
    strandless: bool = True

    def columns_of(self, model: OrchidModel) -> tuple[Column, ...]:
        """What the numbers of one model are."""
        return self.columns(model) if callable(self.columns) else self.columns


def llr(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """log p(alt) - log p(ref) of the changed letters, all masked at once; nats."""
    return _ratios(reader.masked(events), events)


def llr_unmasked(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """The same with the letters in sight, corrected by Bayes for what training showed; nats."""
    return _ratios(reader.shown(events), events)


def entropy(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """Entropy of the masked letter's distribution, the mean over changed letters; bits."""
    rows: list[Row] = []
    for logs in reader.masked(events):
        nats = [-sum(math.exp(log) * log for log in letter) for letter in logs.tolist()]
        rows.append((sum(nats) / len(nats) / math.log(2),))
    return rows


def rate(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """Predicted tracks at the changed letters, masked; the mean over them, in the tracks' units."""
    return [tuple(means_LT.mean(0).tolist()) for means_LT in reader.rates(events)]


def indel(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """Log-likelihood of homologous flanks, alternate minus reference, and of the moved letters.

    The first is summed over the flanks, the second per nucleotide; nats.
    """
    return [(pair.flanks, pair.letters) for pair in reader.pairs(events)]


def embedding(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """Cosine and root mean squared distance between the vectors of homologous letters."""
    return [(pair.cosine, pair.distance) for pair in reader.pairs(events)]


def delta(reader: Reader, events: Sequence[Event]) -> list[Row]:
    """The model's own outputs, alternate minus reference."""
    return [tuple(change.tolist()) for change in reader.predictions(events)]


def _ratios(logs: Sequence[Any], events: Sequence[Event]) -> list[Row]:
    """log p(alt) - log p(ref), summed over the changed letters of each event."""
    rows: list[Row] = []
    for logs_LV, event in zip(logs, events, strict=True):
        ratio = 0.0
        for letter, at in zip(logs_LV, event.changed, strict=True):
            ratio += float(letter[event.alt[at]] - letter[event.ref[at]])
        rows.append((ratio,))
    return rows


def _output_columns(model: OrchidModel) -> tuple[Column, ...]:
    """A column for each output of a head, named by its label."""
    from orchid_genomics.score.outputs import column_names, supervised_task

    task = supervised_task(model)
    unit = "in the labels' units" if task.has_numbers else "log-odds"
    columns = []
    # Upper case as in INFO, where two labels may become one name.
    names = column_names(task.columns, str.upper)
    for name, label in zip(names, task.columns, strict=True):
        about = (
            f"Output {label} of the model with the alternate letters minus with the reference, "
            f"{unit}; > 0: the alternate has more"
        )
        columns.append(Column(f"delta_{name}", about))
    return tuple(columns)


def track_names(model: OrchidModel) -> tuple[str, ...]:
    """The tracks that a model predicts beside the letters; none for other heads."""
    return getattr(model.recipe.head, "tracks", ())


def _rate_columns(model: OrchidModel) -> tuple[Column, ...]:
    """A column for each track beside the letters."""
    return tuple(
        Column(
            f"rate_{name}",
            f"Predicted {name} of the changed letters, masked, in the track's units (mean)",
        )
        for name in track_names(model)
    )


SCORERS["llr"] = Scorer(
    llr,
    (
        Column(
            "llr",
            "Log-likelihood ratio of the alternate to the reference letter, masked, in nats "
            "(summed over the changed letters, masked together); < 0: the alternate is less likely",
            lower=True,
        ),
    ),
    SUBSTITUTIONS,
    "half the window",
    "1 a site, for all its ALTs",
    default=True,
    masks=True,
)
SCORERS["llr_unmasked"] = Scorer(
    llr_unmasked,
    (
        Column(
            "llr_unmasked",
            "The same ratio read with the letters in sight and corrected for what training showed "
            "(log 3 for 80/10/10), in nats; < 0: the alternate is less likely",
            lower=True,
        ),
    ),
    SUBSTITUTIONS,
    "an eighth of the window",
    "1 a tile, for all variants in its central three quarters",
    tiled=True,
    in_sight=True,
)
SCORERS["entropy"] = Scorer(
    entropy,
    (
        Column(
            "entropy",
            "Entropy of the masked letter, in bits (mean over the changed letters); 2: no idea",
            lower=True,
        ),
    ),
    SUBSTITUTIONS,
    "half the window",
    "none beside llr, else as llr",
    masks=True,
)
SCORERS["rate"] = Scorer(
    rate,
    _rate_columns,
    SUBSTITUTIONS,
    "half the window",
    "1 a site, for all its ALTs",
    needs="tracks",
    about="What the model predicts of each track that it learned beside the letters (such as a "
    "rate of evolution) at the masked letters, in the track's units; the same for every alternate",
)
SCORERS["indel"] = Scorer(
    indel,
    (
        Column(
            "indel",
            "Log-likelihood of the flanking letters (a quarter of the window on each side, all "
            "places where the event could be aligned left out), alternate minus reference, in "
            "nats; < 0: they fit the alternate less",
            lower=True,
        ),
        Column(
            "indel_letters",
            "Log-likelihood per nucleotide of the inserted (deletion: deleted) letters, in nats; "
            "-1.39: chance",
            lower=True,
        ),
    ),
    INDELS,
    "half the window",
    "1 an ALT and 1 a site",
    default=True,
    in_sight=True,
)
SCORERS["embedding"] = Scorer(
    embedding,
    (
        Column(
            "cosine",
            "Cosine distance of the encoder's vectors around the event, alternate against "
            "reference; 0: none",
        ),
        Column(
            "l2",
            "Root mean squared distance of the encoder's vectors around the event; 0: no "
            "difference",
        ),
    ),
    KINDS,
    "half the window",
    "1 an ALT and 1 a site; none beside indel",
    needs="",
    default=True,
)
SCORERS["delta"] = Scorer(
    delta,
    _output_columns,
    KINDS,
    "half the window",
    "1 an ALT and 1 a site",
    needs="head",
    about="Output of the model with the alternate letters minus with the reference, in its own "
    "units; > 0: more of it",
    default=True,
    strandless=False,
)


def default_scores(needs: str) -> tuple[str, ...]:
    """The scores of a model when none are chosen, by its head: "letters", "head" or "" (none).

    Only ours: installing a package must not change what a command writes.
    """
    own = SCORERS.present()
    return tuple(name for name, each in own.items() if each.default and each.needs == needs)


def choose_scores(names: Sequence[str] | None, model: OrchidModel) -> tuple[str, ...]:
    """Names of scores, each once, checked against the model; its defaults where none are given.

    Raises InputError for an unknown score or one that the model cannot give.
    """
    head = model.recipe.head.kind if model.recipe.head else ""
    given = "letters" if head == "letters" else "head" if head else ""
    possible = {"", given}
    if track_names(model):
        possible.add("tracks")
    if not names:
        return default_scores(given)
    for name in names:
        needs = SCORERS.pick(name, "scores", InputError).needs
        if needs in possible:
            continue
        able = [other for other, scorer in SCORERS.items() if scorer.needs in possible]
        wanted = _HEADS[needs]
        present = f"a {head} head" if head else "none"
        message = f"{name} needs {wanted}, and the model has {present}"
        raise InputError("scores", message, f"possible: {', '.join(able)}")
    return tuple(dict.fromkeys(names))


def column_pattern() -> str:
    """A regular expression of the names of all columns, the longest first."""
    names = []
    for name, scorer in SCORERS.items():
        if callable(scorer.columns):
            names.append(rf"{re.escape(name)}_\w+?")
        else:
            names += [re.escape(column.name) for column in scorer.columns]
    # An alternation takes the first that fits: `indel` would cut `indel_letters` short.
    return "|".join(sorted(names, key=len, reverse=True))


def lower_columns() -> frozenset[str]:
    """Names of the columns whose lower values mean that a change is more likely to matter."""
    names = set()
    for scorer in SCORERS.values():
        if not callable(scorer.columns):
            names |= {column.name for column in scorer.columns if column.lower}
    return frozenset(names)


def describe(scorer: Scorer) -> str:
    """What the columns of a score are, in Markdown."""
    if callable(scorer.columns):
        return scorer.about
    if len(scorer.columns) == 1:
        return scorer.columns[0].about
    return ". ".join(f"`{column.name}`: {column.about}" for column in scorer.columns)


def table() -> list[tuple[str, ...]]:
    """What every score is for, as rows under a header: the table of the README."""
    rows: list[tuple[str, ...]] = [
        ("score", *KINDS, "symbolic", "what it is", "flank on each side", "forward passes")
    ]
    for name, scorer in SCORERS.present().items():
        kinds = ["yes" if kind in scorer.kinds else "." for kind in KINDS]
        symbolic = "yes" if set(INDELS) <= set(scorer.kinds) else "."
        rows.append((name, *kinds, symbolic, describe(scorer), scorer.flank, scorer.passes))
    return rows


def markdown() -> str:
    """The table for a README."""
    head, *rows = table()
    quoted = [(f"`{row[0]}`", *row[1:]) for row in rows]
    lines = [head, ("---",) * len(head), *quoted]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(width: int = 108) -> str:
    """The table for a terminal: one paragraph a score.

    Scores of other packages that nobody has imported are named alone: a help page must not wait for
    their libraries.
    """
    present = SCORERS.present()
    lines: list[str] = []
    for name, scorer in present.items():
        lines += _paragraph(name, scorer, width)
    lines += [f"  {name:<13} (of another package)" for name in SCORERS if name not in present]
    return "\n".join(lines)


def _paragraph(name: str, scorer: Scorer, width: int) -> Iterator[str]:
    kinds = "every type" if scorer.kinds == KINDS else ", ".join(scorer.kinds)
    cost = f"flank: {scorer.flank}; forward passes: {scorer.passes}"
    indent = " " * 16
    yield from textwrap.wrap(f"  {name:<13} {kinds}; {cost}", width, subsequent_indent=indent)
    about = describe(scorer).replace("`", "")
    yield from textwrap.wrap(about, width, initial_indent=indent, subsequent_indent=indent)
