"""A first recipe that fits the files: a commented TOML for `pretrain`, or `finetune` with labels.

Its split is of whole chromosomes, and its steps are timed on this machine.

The trap: a proposal that does not run is worse than none. So what is written has been read again by
the schema, and its training has taken a few real steps.
"""

import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from json import dumps
from pathlib import Path

from orchid_genomics.data.labelled.sets import read_rows
from orchid_genomics.data.labelled.tables import PLACE, TableRecipe, read_header
from orchid_genomics.errors import GenomeNote, InputError
from orchid_genomics.evaluate.finetune_recipe import FinetuneRecipe
from orchid_genomics.evaluate.orientation import sets_of
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.bed import write_bed
from orchid_genomics.genome.contigs import is_mitochondrion, listed
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.inputs import foreign_genome
from orchid_genomics.jobs.output import require_no_input
from orchid_genomics.model.catalogue import MODELS, PROVENANCE
from orchid_genomics.model.provenance import Provenance
from orchid_genomics.recipe import load
from orchid_genomics.sequence import Interval
from orchid_genomics.tasks.features import features
from orchid_genomics.tasks.plan import arm_times, step_seconds
from orchid_genomics.tasks.pretraining import run_recipe
from orchid_genomics.terminal import clock
from orchid_genomics.train import distributed

HELD_OUT = 0.1  # share of the genome that each of validation and test is to hold
_NAMED = 12  # contigs that a comment lists
_EPOCHS = 50  # times that a letter is read at most: more is learned by heart
_FEWEST = 100  # steps below which nothing is learned
_ORGANELLES = {"chloroplast", "plastid", "pt", "chrpt", "chrc", "mito"}
_LABELS = ("label", "labels", "class", "target", "y")
_KNOWN = (*PLACE, "strand", "split", "group", "name", "source", "id")
"""Columns that a table may have beside sequences and labels."""
_DNA = re.compile("[ACGTUN]{8,}", re.IGNORECASE)
_SUFFIXES = (".gz", ".bgz", ".fa", ".fasta", ".fna", ".tsv", ".csv", ".txt")


@dataclass(frozen=True)
class Size:
    """A shape of encoder and how fast it learns; both come from recipes that were measured."""

    width: int
    depth: int
    rate: float
    batch: int
    stem: int = 0
    hash_length: int = 0

    @property
    def layers(self) -> str:
        """Its lines of a recipe."""
        lines = [f"depth = {self.depth}"]
        if self.stem:
            lines.append(f"stem = {self.stem}  # motif filters of so many letters")
        lines.append("convolutions = [1, 2, 4]  # full ones below the blocks, dilated so")
        if self.hash_length:
            pointers = f'kind = "correlation", hash_length = {self.hash_length}'
            lines.append(f"filter = {{ {pointers} }}  # pointers read what stands twice")
        return "\n".join(lines)


# recipes/yeast/quick.toml, and the first stage of recipes/yeast/long.toml
SMALL = Size(width=64, depth=1, rate=6e-3, batch=4)
LARGE = Size(width=128, depth=2, rate=4e-3, batch=8, stem=15, hash_length=11)
LARGE_MINUTES = 30


@dataclass(frozen=True)
class Split:
    """Which contigs are held out whole; `stretches` of one contig where there are too few."""

    validation: tuple[str, ...]
    test: tuple[str, ...]
    ignore: tuple[str, ...]
    stretches: Mapping[str, Interval]
    """By split: the places to hold out of a contig that is also trained on."""


@dataclass(frozen=True)
class FirstRecipe:
    """What `init` wrote."""

    recipe: str
    beside: tuple[str, ...]
    """Files that the recipe needs."""
    command: str
    """pretrain or finetune."""

    def lines(self) -> list[str]:
        """What was written and what to run next, for a person."""
        run = f"runs/{Path(self.recipe).stem}"
        names = ", ".join([self.recipe, *self.beside])
        return [
            f"wrote {names}; read it, it says what to change",
            f"next: orchid-genomics plan {self.recipe}",
            f"      orchid-genomics {self.command} {self.recipe} -o {run}",
            f"      orchid-genomics info {run}",
        ]


def init(
    genome: str | Path,
    annotation: str | Path | None = None,
    labels: str | Path | None = None,
    out: str | Path | None = None,
    minutes: float = 10.0,
) -> FirstRecipe:
    """Write a recipe for a genome, or for a table of labelled sequences of it.

    Parameters
    ----------
    genome
        The FASTA.
    annotation
        GFF3 or GenBank; its genes and coding sequences are reported apart.
    labels
        A table of labelled sequences: the recipe is one for `finetune`.
    out
        The recipe to write; by default the genome's or the table's name with .toml, here.
    minutes
        What training may take.

    Returns
    -------
    FirstRecipe
        What was written.

    Raises
    ------
    InputError
        For a file that is there already, and for what is wrong with the inputs.
    """
    if minutes <= 0:
        raise InputError("minutes", f"{minutes:g}", "more than 0")
    path = Path(out) if out else Path(f"{_stem(Path(labels or genome))}.toml")
    if path.suffix != ".toml":
        raise InputError("out", f"{path} is no recipe", "a name that ends in .toml")
    require_no_input(path, (genome, annotation, labels))
    if os.path.lexists(path):
        raise InputError(path, "is there already", "another name, by `out`")
    with Genome(genome) as fasta:
        split = propose_split(fasta.contigs)
        draft = _Draft(path, fasta, split)
        if labels is not None:
            text = _labelled(draft, Path(labels))
            verb = "finetune"
        else:
            text = _pretraining(draft, annotation, minutes)
            verb = "pretrain"
    with writable(path), atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return FirstRecipe(str(path), tuple(draft.written), verb)


def propose_split(contigs: Mapping[str, int]) -> Split:
    """Whole contigs for validation and test, about a tenth of the letters each.

    Organelles are left out. The largest contig trains. Where fewer than three contigs remain, or
    the largest is over four fifths of the letters, stretches at the end of the largest are held
    out in place of contigs.
    """
    ignore = tuple(name for name in contigs if _is_organelle(name))
    sizes = {name: size for name, size in contigs.items() if name not in ignore}
    if not sizes:
        # An organelle by itself is what the user wants to train on.
        sizes, ignore = dict(contigs), ()
    total = sum(sizes.values())
    largest, *others = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(others) < 2 or sizes[largest] > 0.8 * total:
        end, held = sizes[largest], int(sizes[largest] * HELD_OUT)
        stretches = {
            "validation": Interval(largest, end - 2 * held, end - held),
            "test": Interval(largest, end - held, end),
        }
        return Split((), (), ignore, stretches)
    test = _choose(others, sizes, HELD_OUT * total)
    left = [name for name in others if name not in test]
    validation = _choose(left, sizes, HELD_OUT * total)
    return Split(validation, test, ignore, {})


def _choose(names: list[str], sizes: Mapping[str, int], target: float) -> tuple[str, ...]:
    """Contigs, the largest first, that hold about `target` letters together."""
    chosen: list[str] = []
    letters = 0
    for name in names:
        if letters + sizes[name] <= 1.15 * target:
            chosen.append(name)
            letters += sizes[name]
        if letters >= 0.85 * target:
            break
    # All are larger than the target: the smallest is the nearest.
    return tuple(chosen or names[-1:])


def _is_organelle(name: str) -> bool:
    return is_mitochondrion(name) or name.lower() in _ORGANELLES


def _stem(path: Path) -> str:
    name = path.name
    while name.lower().endswith(_SUFFIXES):
        name = name[: name.rindex(".")]
    return name or "recipe"


class _Draft:
    """What both kinds of recipe are written from."""

    def __init__(self, path: Path, genome: Genome, split: Split) -> None:
        self.path, self.genome, self.split = path, genome, split
        self.written: list[str] = []
        """Files beside the recipe."""

    @property
    def beside(self) -> Path:
        """The folder of files that the recipe needs."""
        return self.path.with_suffix(".beds")

    def quote(self, path: str | Path) -> str:
        """A path as the recipe names it: relative to itself."""
        return dumps(os.path.relpath(path, self.path.parent), ensure_ascii=False)

    def title_line(self) -> str:
        """A comment: what the genome is."""
        contigs = self.genome.contigs
        plural = "s" if len(contigs) != 1 else ""
        letters = f"{sum(contigs.values()):,} letters"
        return f"# {self.genome.path.name}: {len(contigs):,} contig{plural}, {letters}"

    def contig_lines(self) -> Iterator[str]:
        """Comments: the genome, its contigs and where each goes."""
        contigs, split = self.genome.contigs, self.split
        use = dict.fromkeys(split.validation, "validation")
        use |= dict.fromkeys(split.test, "test")
        use |= dict.fromkeys(split.ignore, "ignored")
        held = {each.contig for each in split.stretches.values()}
        use |= dict.fromkeys(held, "training but for its last fifth")
        yield self.title_line()
        widest = max(len(name) for name in islice(contigs, _NAMED))
        for name, size in islice(contigs.items(), _NAMED):
            yield f"#   {name:<{widest}} {size:>13,}  {use.get(name, 'training')}"
        if len(contigs) > _NAMED:
            yield f"#   ... {len(contigs) - _NAMED:,} more; those not named below are for training"

    def known_model(self) -> str:
        """The model that comes along of this very genome; "" where there is none."""
        for name, folder in MODELS.items():
            origins = Provenance.read(Path(folder) / PROVENANCE).genomes
            if origins and not foreign_genome(origins, self.genome):
                return name
        return ""


def _pretraining(draft: _Draft, annotation: str | Path | None, minutes: float) -> str:
    """The text of a recipe for `pretrain`, with the steps that fit in `minutes`."""
    size = LARGE if minutes >= LARGE_MINUTES else SMALL
    length = _window(draft)
    regions = _annotate(draft, annotation)
    _write_stretches(draft)

    def text(steps: int, pace: str = "") -> str:
        return _PRETRAIN.format(
            contigs="\n".join(draft.contig_lines()),
            fasta=draft.quote(draft.genome.path),
            held_out="\n".join([_held_out(draft), *_circular(draft, annotation)]),
            length=length,
            width=size.width,
            layers=size.layers,
            rate=size.rate,
            batch=size.batch,
            steps=steps,
            validate=max(steps // 4, 1),
            pace=pace,
            site_length=min(length, 512),
            regions=regions,
            known=draft.known_model() or "yeast",
        )

    with _trial(draft, text(_FEWEST)) as trial:
        seconds = step_seconds(load(trial, run_recipe))
    letters = sum(draft.genome.contigs.values())
    enough = _EPOCHS * letters // (size.batch * length)
    fitting = int(60 * minutes / seconds)
    steps = max(_FEWEST, _round(min(fitting, enough)))
    pace = f"{seconds:.3g} s a step here, {clock(steps * seconds)} in all (h:mm:ss or m:ss)"
    load_now, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load_now > 2 * cores:
        # Nothing else tells why so few steps are proposed.
        busy = f"other programs are at work on this machine (load {load_now:.0f}, {cores} cores)"
        warnings.warn(f"{busy}; it is timed as it is now", GenomeNote, stacklevel=2)
    if fitting > enough:
        pace += f"; more than {_EPOCHS} times through the genome would be learned by heart"
    result = text(steps, pace)
    with _trial(draft, result) as trial:
        load(trial, run_recipe)
    return result


def _labelled(draft: _Draft, labels: Path) -> str:
    """The text of a recipe for `finetune`."""
    columns = _columns(labels)
    table = TableRecipe(path=labels, **columns)
    rows = read_rows(table)
    lines = [f"{name} = {dumps(column)}" for name, column in columns.items()]
    if rows.split is not None:
        lines.append("# the split column says which rows train, validate and test")
    elif rows.places is not None:
        # Letters count elsewhere; here it is rows that must not be too few.
        counts: dict[str, int] = {}
        for place in rows.places:
            counts[place.contig] = counts.get(place.contig, 0) + 1
        split = propose_split(counts)
        if split.stretches:
            lines.append("# rows lie on too few contigs to hold whole ones out: shares of them")
        else:
            lines.append("# whole chromosomes, about a tenth of the rows each")
            lines.append(f"validation_contigs = {_list(split.validation)}")
            lines.append(f"test_contigs = {_list(split.test)}")
    else:
        lines.append("# no place and no split column: a tenth of the rows each (validation_share,")
        lines.append("# test_share), equal sequences together")
    known = draft.known_model()
    model = f'# pretrained = "{known or "yeast"}"'
    note = "the model of this genome that comes along" if known else "of another genome"

    def text(pace: str) -> str:
        return _FINETUNE.format(
            # Its contigs train where the table says, which the pretraining split is not.
            genome=draft.title_line(),
            path=draft.quote(labels),
            columns="\n".join(lines),
            pretrained=f"{model}  # {note}; see orchid-genomics models",
            pace=pace,
        )

    with _trial(draft, text("")) as trial:
        recipe = load(trial, FinetuneRecipe)
        data = sets_of(recipe)[0]
        ranks = distributed.start(recipe.training.device)
        seconds = sum(arm.seconds for arm in arm_times(recipe, data, ranks, steps=1))
    return text(f"at most about {clock(seconds)} here for all that is trained (h:mm:ss or m:ss)")


class _trial:
    """A context: the text as a recipe beside the one to come, so that its paths are the same."""

    def __init__(self, draft: _Draft, text: str) -> None:
        self.folder, self.text = draft.path.parent, text

    def __enter__(self) -> Path:
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".toml", ".init-", self.folder)
        self.path = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.text)
        return self.path

    def __exit__(self, *_: object) -> None:
        self.path.unlink()


def _window(draft: _Draft) -> int:
    """Letters of a window: 1,024, or less where contigs are short."""
    sizes = sorted(draft.genome.contigs.values(), reverse=True)
    # Half of the letters lie on contigs at least so long.
    half, letters = sum(sizes) / 2, 0
    for size in sizes:
        letters += size
        if letters >= half:
            break
    if size < 512:
        message = f"half of its letters lie on contigs shorter than {size + 1:,}"
        raise InputError(draft.genome.path, message, "contigs of 512 letters or more")
    length = 1024
    while length > size // 8 and length > 64:
        length //= 2
    return length


def _annotate(draft: _Draft, annotation: str | Path | None) -> str:
    """BEDs of an annotation beside the recipe, and the lines that report them apart."""
    if annotation is None:
        example = '{ name = "CDS", bed = "CDS.bed" }'
        return f"# regions = [{example}]  # what is reported apart; or init --annotation"
    rows = features(annotation, draft.beside, genome=draft.genome.path)
    draft.written.append(f"{draft.beside}/")
    genes, coding = draft.beside / "genes.bed", draft.beside / "CDS.bed"
    lines = []
    if rows["CDS.bed"]:
        lines.append(f'    {{ name = "CDS", bed = {draft.quote(coding)} }},')
    if rows["genes.bed"]:
        bed = draft.quote(genes)
        lines.append(f'    {{ name = "intergenic", bed = {bed}, outside = true }},')
    return "\n".join(["regions = [  # reported apart", *lines, "]"])


def _circular(draft: _Draft, annotation: str | Path | None) -> list[str]:
    """The line of contigs without ends: those that the annotation says; a comment where a genome
    has few contigs, as a bacterium does.
    """
    # A pipe has given its bytes already.
    if annotation is not None and Path(annotation).is_file():
        names = read_annotation(annotation, draft.genome).circular
        found = tuple(name for name in draft.genome.contigs if name in names)
        if found:
            return [f"circular = {_list(found)}  # read round their origin, as the annotation says"]
    if not draft.split.stretches:
        return []
    largest = draft.split.stretches["test"].contig
    return [f"# circular = {_list((largest,))}  # if it has no ends: it is read round its origin"]


def _write_stretches(draft: _Draft) -> None:
    for name, interval in draft.split.stretches.items():
        path = draft.beside / f"{name}.bed"
        with writable(draft.beside):
            draft.beside.mkdir(parents=True, exist_ok=True)
        write_bed(path, [interval])
    folder = f"{draft.beside}/"
    if draft.split.stretches and folder not in draft.written:
        draft.written.append(folder)
        message = "too few contigs to hold whole ones out: stretches of the largest are held out"
        warnings.warn(f"{draft.genome.path}: {message}", GenomeNote, stacklevel=2)


def _held_out(draft: _Draft) -> str:
    split, lines = draft.split, []
    if split.stretches:
        lines.append("# too few contigs to hold whole ones out: the last fifth of the largest")
        for name in split.stretches:
            lines.append(f"{name}_bed = {draft.quote(draft.beside / f'{name}.bed')}")
    else:
        lines.append("# held out whole: no training window touches them")
        lines.append(f"validation = {_list(split.validation)}")
        lines.append(f"test = {_list(split.test)}")
    if split.ignore:
        lines.append(f"ignore = {_list(split.ignore)}  # another genetic code, other letters")
    return "\n".join(lines)


def _list(names: tuple[str, ...]) -> str:
    return dumps(list(names), ensure_ascii=False)


def _round(steps: int) -> int:
    """Two digits: a clock says no more."""
    unit = 10 ** max(len(str(steps)) - 2, 0)
    return steps // unit * unit


def _columns(path: Path) -> dict[str, str]:
    """The columns of sequences and labels, where they are not called so."""
    names, first = read_header(path)
    columns = {}
    if "sequence" not in names:
        words = dict(zip(names, first, strict=False))
        letters = [name for name, word in words.items() if _DNA.fullmatch(word.strip())]
        if len(letters) != 1:
            message = f"has {len(letters)} columns of sequences, of {listed(names, 12)}"
            possible = "a column `sequence`; from peaks: orchid-genomics dataset"
            raise InputError(path, message, possible)
        columns["sequence"] = letters[0]
    if not any(name == "label" or name.startswith("label:") for name in names):
        known = {*_KNOWN, columns.get("sequence", "sequence")}
        named = [name for name in names if name.lower() in _LABELS]
        # A table of measurements calls its one column by what was measured.
        named = named or [name for name in names if name not in known]
        if len(named) != 1:
            message = f"has no column of labels, of {listed(names, 12)}"
            raise InputError(path, message, f"one called {listed(_LABELS)}")
        columns["label"] = named[0]
    return columns


_PRETRAIN = """\
# Pretraining on one genome, written by orchid-genomics init. Paths are relative to here.
#
{contigs}
seed = 0
# licence = "CC-BY-4.0"  # of the model, for its card: most often that of the genome
# pretrained = "{known}"  # go on from a model in place of random weights; then no [model]

[[genomes]]
fasta = {fasta}
# assembly = "R64-1-1"  # what others call this genome, for the model's card
{held_out}

[data]
length = {length}  # letters of a window; longer ones cost time and rarely help at first

[model]
width = {width}
{layers}

[optimizer]
rate = {rate}

[training]
# {pace}
steps = {steps}  # may be raised later, with --resume
batch = {batch}
validate_every = {validate}

[evaluation]
site_length = {site_length}
{regions}
"""

_FINETUNE = """\
# Fine-tuning on labelled sequences, written by orchid-genomics init. Paths are relative to here.
#
{genome}
{pretrained}

[data]
kind = "table"
path = {path}
{columns}

[training]
# length, steps and rates follow from the data, or are searched on its validation rows:
# {pace}
# budget = "5 min"  # what each arm may take: the encoder, the CNN, random weights
# shares = [0.1, 1]  # label efficiency: measure at a tenth of the training rows as well
"""
