"""The README.md of a model folder, written from its provenance: what it is of, what it scored, and
what it is no good for.
"""

from collections.abc import Iterator

from orchid_genomics.evaluate.score_table import ScoreTable, scores_of
from orchid_genomics.model.folder import OrchidModel
from orchid_genomics.model.heads import LetterReader
from orchid_genomics.model.provenance import GenomeOrigin, Provenance
from orchid_genomics.terminal import clock

_MANY = 12  # contigs that a row names


def model_card(title: str, model: OrchidModel, origin: Provenance, answer: str = "") -> str:
    """The card, in Markdown.

    Parameters
    ----------
    title
        Its first line.
    origin
        Where the model comes from.
    answer
        What a fine-tuned model scored, as text; that of a pretrained one is in its provenance.
    """
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(model, origin))
    limits = "\n".join(f"* {line}" for line in _limits(model, origin))
    parts = [f"# {title}", f"| | |\n| --- | --- |\n{rows}", f"## Use it\n\n{_USE}"]
    if answer:
        parts.append(f"## On the test rows, beside the alternatives\n\n```\n{answer}\n```")
    else:
        texts = [_table(values).text() for values in origin.evaluation]
        tables = "\n\n".join(f"```\n{text}\n```" for text in texts) or "Nothing was held out."
        parts.append(f"## On held-out sequence, beside its baselines\n\n{tables}")
    return "\n\n".join([*parts, f"## What it is not for\n\n{limits}"]) + "\n"


_USE = """```python
import orchid_genomics as og

model = og.OrchidModel.from_pretrained("this folder, or its name")
```

On the command line this folder, or its name, is the MODEL of every command of orchid-genomics."""


def _table(values: dict) -> ScoreTable:
    differences = {name: tuple(span) for name, span in values.get("model_minus", {}).items()}
    return ScoreTable(values["title"], scores_of(values), differences)


def _facts(model: OrchidModel, origin: Provenance) -> Iterator[tuple[str, str]]:
    """What a reader looks up, a name and a value each."""
    encoder, head = model.recipe.encoder, model.recipe.head
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = f"width {encoder.width}, depth {encoder.depth}, {encoder.strands} strands"
    count, networks = f"{parameters:,} parameters", len(model.members)
    if networks > 1:
        count += " in all"
    if isinstance(model.head, LetterReader):
        yield "encoder", f"none: the head reads the letters; {count}"
    else:
        yield "encoder", f"Orchid, {shape}; {count}"
    if networks > 1:
        yield "networks", f"{networks}, whose outputs are averaged"
    if origin.labelled:
        # A head of another package need not know strands.
        strand = getattr(head, "strand", None)
        reads = f"strand = {strand}" if strand else f"head = {head.kind if head else 'none'}"
        yield "answers", f"{origin.labelled.task}: {', '.join(origin.labelled.labels)}; {reads}"
    elif head is not None:
        yield "answers", "the letters at every position, each given all the others"
    if origin.window:
        yield "windows", f"up to {origin.window:,} nt in training"
    yield "licence", origin.licence or "not stated: ask whoever made it before you pass it on"
    for genome in origin.genomes:
        yield from _genome_facts(genome)
    if origin.pretrained:
        yield "begins from", f"the model {origin.pretrained.get('hash')}"
    if origin.labelled:
        counts = ", ".join(f"{rows:,} {name}" for name, rows in origin.labelled.rows.items())
        yield "labelled data", f"{origin.labelled.name}: {counts}"
    if "training" in origin.seconds:
        yield "trained", f"{clock(origin.seconds['training'])} (h:mm:ss) on {origin.machine}"
    yield "written by", f"orchid-genomics {origin.version}, torch {origin.torch}"
    yield "hash", f"`{model.hash()}`, which every output names"


def _genome_facts(genome: GenomeOrigin) -> Iterator[tuple[str, str]]:
    name = ", ".join(filter(None, (genome.assembly, genome.fasta)))
    yield "genome", f"{name} (sha256 `{genome.sha256[:12]}`)"
    for split, contigs in genome.split.items():
        named = ", ".join(contigs[:_MANY])
        if len(contigs) > _MANY:
            named += f", ... ({len(contigs)})"
        yield f"&nbsp;&nbsp;{split}", named or "-"
    letters = sum(end - start for spans in genome.seen.values() for start, end in spans)
    yield "&nbsp;&nbsp;seen", f"{letters:,} letters were in a window of training"


def _limits(model: OrchidModel, origin: Provenance) -> Iterator[str]:
    """What the model must not be used for, a sentence each."""
    yield (
        "**No diagnosis.** A score says what the model expects at a position. It is not "
        "pathogenicity, and nobody's treatment may rest on it."
    )
    if origin.genomes:
        names = ", ".join(genome.assembly or genome.fasta for genome in origin.genomes)
        yield (
            f"**No other genome.** It read {names}. On another species its numbers are guesses "
            "until it is continued and measured there; commands say so when the genome differs."
        )
        yield (
            "**No test on what it read.** Contigs of `train` were seen, letter by letter; claim "
            "nothing from scores there that the test contigs do not bear out."
        )
    if origin.labelled:
        yield (
            "**No other assay.** Its answers are those of its labels, in their cells and under "
            "their conditions, for sequences of the lengths that it read."
        )
    if not origin.evaluation and not origin.labelled:
        yield "**No claim of quality.** Nothing was held out, so nothing was measured."
    if not model.recipe.head:
        yield "**No scores.** It has no head: it gives vectors alone."
