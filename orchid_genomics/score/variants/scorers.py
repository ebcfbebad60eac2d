"""The scores of variants by name, each with what it means: the tables of the help and the README
are made from here.

To add one: write a function of a `Reader` and events that gives a row of numbers for each, and its
line in `SCORERS`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchid_genomics.errors import InputError

if TYPE_CHECKING:  # the help is made from here, and must not wait for torch
    from orchid_genomics.model.folder import OrchidModel
    from orchid_genomics.score.events import Event
    from orchid_genomics.score.reader import Reader

KINDS = ("SNV", "MNV", "insertion", "deletion", "delins")
SUBSTITUTIONS, INDELS = KINDS[:2], KINDS[2:]
_DELTA = "Output of the model with the alternate letters minus with the reference, in its own units; > 0: more of it"


@dataclass(frozen=True)
class Column:
    """One number an ALT: `name` as in a TSV (lower case), `about` one sentence with unit and sign.

    `score` and `window` say where it comes from, once it stands among the columns of a job.
    """

    name: str
    about: str
    score: str = ""
    window: int = 0


@dataclass(frozen=True)
class Scorer:
    """A score.

    Parameters: `score` gives a row of numbers for each of some events of `kinds`; `columns` what
    they are, or a function of the model; `flank` letters needed on each side of the event, and
    `passes` its cost in forward passes, in words; `needs` the head: "letters", "head" (any other)
    or "" (the encoder alone); `shared` whether neighbours share its passes, whose cost is then that
    of the place and not of the variants.
    """

    score: Callable[[Reader, Sequence[Event]], Sequence[Sequence[float]]]
    columns: tuple[Column, ...] | Callable[[OrchidModel], tuple[Column, ...]]
    kinds: tuple[str, ...]
    flank: str
    passes: str
    needs: str = "letters"
    shared: bool = False

    def of(self, model: OrchidModel) -> tuple[Column, ...]:
        return self.columns(model) if callable(self.columns) else self.columns


def llr(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """log p(alt) - log p(ref) of the changed letters, all masked at once; nats."""
    return _ratios(reader.masked(events), events)


def llr_unmasked(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """The same with the letters in sight, corrected by Bayes for what training showed; nats."""
    return _ratios(reader.shown(events), events)


def entropy(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """Entropy of the masked letter's distribution, the mean over changed letters; bits."""
    found = []
    for logs in reader.masked(events):
        nats = [-sum(math.exp(log) * log for log in letter) for letter in logs.tolist()]
        found.append((sum(nats) / len(nats) / math.log(2),))
    return found


def indel(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """Log-likelihood of homologous flanks, alternate minus reference, and of the moved letters per
    nucleotide; nats.
    """
    return [(pair.flanks, pair.letters) for pair in reader.pairs(events)]


def embedding(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """Cosine and root mean squared distance between the vectors of homologous letters."""
    return [(pair.cosine, pair.distance) for pair in reader.pairs(events)]


def delta(reader: Reader, events: Sequence[Event]) -> list[tuple[float, ...]]:
    """The model's own outputs, alternate minus reference."""
    return [tuple(change.tolist()) for change in reader.predictions(events)]


def _ratios(logs: Sequence[Any], events: Sequence[Event]) -> list[tuple[float, ...]]:
    return [
        (sum(float(at[e.alt[i]] - at[e.ref[i]]) for at, i in zip(log, e.changed, strict=True)),)
        for log, e in zip(logs, events, strict=True)
    ]


def _outputs(model: OrchidModel) -> tuple[Column, ...]:
    """A column for each output of a head, named by its label."""
    recipe = model.recipe.head
    labels = recipe.supervised.columns
    unit = "in the labels' units" if recipe.supervised.has_numbers else "log-odds"
    words = ["".join(letter if letter.isalnum() else "_" for letter in label) for label in labels]
    upper = [word.upper() for word in words]  # as INFO names are
    names = [
        word if upper.count(word.upper()) == 1 else f"{word}_{i + 1}"
        for i, word in enumerate(words)
    ]
    about = "Output {} of the model with the alternate letters minus with the reference, {}; > 0: the alternate has more"
    return tuple(
        Column(f"delta_{n}", about.format(label, unit))
        for n, label in zip(names, labels, strict=True)
    )


SCORERS: dict[str, Scorer] = {
    "llr": Scorer(
        llr,
        (
            Column(
                "llr",
                "Log-likelihood ratio of the alternate to the reference letter, masked, in nats "
                "(summed over the changed letters, masked together); < 0: the alternate is less likely",
            ),
        ),
        SUBSTITUTIONS,
        "half the window",
        "1 a site, for all its ALTs",
    ),
    "llr_unmasked": Scorer(
        llr_unmasked,
        (
            Column(
                "llr_unmasked",
                "The same ratio read with the letters in sight and corrected for what training showed (log 3 for "
                "80/10/10), in nats; < 0: the alternate is less likely",
            ),
        ),
        SUBSTITUTIONS,
        "an eighth of the window",
        "1 a tile, for all variants in its central three quarters",
        shared=True,
    ),
    "entropy": Scorer(
        entropy,
        (
            Column(
                "entropy",
                "Entropy of the masked letter, in bits (mean over the changed letters); 2: no idea",
            ),
        ),
        SUBSTITUTIONS,
        "half the window",
        "none beside llr, else as llr",
    ),
    "indel": Scorer(
        indel,
        (
            Column(
                "indel",
                "Log-likelihood of the flanking letters (a quarter of the window on each side, all places where the "
                "event could be aligned left out), alternate minus reference, in nats; < 0: they fit the alternate "
                "less",
            ),
            Column(
                "indel_letters",
                "Log-likelihood per nucleotide of the inserted (deletion: deleted) letters, in nats; -1.39: chance",
            ),
        ),
        INDELS,
        "half the window",
        "1 an ALT and 1 a site",
    ),
    "embedding": Scorer(
        embedding,
        (
            Column(
                "cosine",
                "Cosine distance of the encoder's vectors around the event, alternate against reference; 0: none",
            ),
            Column(
                "l2",
                "Root mean squared distance of the encoder's vectors around the event; 0: no difference",
            ),
        ),
        KINDS,
        "half the window",
        "1 an ALT and 1 a site; none beside indel",
        needs="",
    ),
    "delta": Scorer(
        delta, _outputs, KINDS, "half the window", "1 an ALT and 1 a site", needs="head"
    ),
}


def defaults(model: OrchidModel) -> tuple[str, ...]:
    """The scores of a model when none are chosen: each type of variant has one."""
    head = model.recipe.head
    if head is None:
        return ("embedding",)
    return ("llr", "indel") if head.kind == "letters" else ("delta",)


def chosen(names: Sequence[str] | None, model: OrchidModel) -> tuple[str, ...]:
    """Names of scores, checked against the model. Raises InputError for an unknown one or one that
    it cannot give.
    """
    names = tuple(dict.fromkeys(names)) if names else defaults(model)
    head = model.recipe.head.kind if model.recipe.head else "no"
    for name in names:
        if name not in SCORERS:
            raise InputError(
                "--scores", f"unknown score {name!r}", f"possible: {', '.join(SCORERS)}"
            )
        needs = SCORERS[name].needs
        if (needs == "letters" and head != "letters") or (
            needs == "head" and head in ("letters", "no")
        ):
            able = [other for other in SCORERS if _gives(SCORERS[other].needs, head)]
            wanted = "a letters head" if needs == "letters" else "a fine-tuned head"
            found = f"{name} needs {wanted}, and the model has {'none' if head == 'no' else 'a ' + head + ' head'}"
            raise InputError("--scores", found, f"possible: {', '.join(able)}")
    return names


def _gives(needs: str, head: str) -> bool:
    return not needs or (head != "no" and (needs == "letters") == (head == "letters"))


def table() -> list[tuple[str, ...]]:
    """What every score is for, as rows under a header: the table of the help and of the README."""
    rows = [("score", *KINDS, "symbolic", "what it is", "flank on each side", "forward passes")]
    for name, scorer in SCORERS.items():
        columns = (
            (Column("delta_<output>", _DELTA),) if callable(scorer.columns) else scorer.columns
        )
        about = ". ".join(
            f"`{c.name}`: {c.about}" if len(columns) > 1 else c.about for c in columns
        )
        rows.append(
            (
                name,
                *("yes" if kind in scorer.kinds else "." for kind in KINDS),
                ".",
                about,
                scorer.flank,
                scorer.passes,
            )
        )
    return rows


def markdown() -> str:
    """The table for a README."""
    head, *rows = table()
    lines = [head, ("---",) * len(head), *((f"`{row[0]}`", *row[1:]) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(width: int = 108) -> str:
    """The table for a terminal: one paragraph a score."""
    lines = []
    for name, scorer in SCORERS.items():
        row = next(row for row in table() if row[0] == name)
        kinds = "every type" if scorer.kinds == KINDS else ", ".join(scorer.kinds)
        indent = " " * 16
        needs = f"  {name:<13} {kinds}; flank: {scorer.flank}; forward passes: {scorer.passes}"
        lines += textwrap.wrap(needs, width, subsequent_indent=indent)
        lines += textwrap.wrap(
            row[7].replace("`", ""), width, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines)
