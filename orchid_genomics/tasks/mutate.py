"""All single-letter changes of coding sequences as a VCF, so that the commands for variants can
read them.

The trap: mitochondria have a genetic code of their own, in which TGA is no stop codon.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.annotation import Annotation, read_annotation
from orchid_genomics.genome.bed import tabix
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.coding import (
    Change,
    Code,
    CodingSequence,
    changes,
    coding_sequences,
    draw_genes,
    mitochondrial_code,
)
from orchid_genomics.genome.contigs import GenomeNote, is_mitochondrion
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.feature import Feature
from orchid_genomics.jobs.output import kind_of, require_no_input
from orchid_genomics.sequence.interval import whole_number

_INFO = (
    (
        "BCSQ",
        "Number=.,Type=String",
        "Consequence|gene|transcript|biotype|strand|amino_acid_change|dna_change",
    ),
    (
        "CONTEXT",
        "Number=1,Type=String",
        "The change and its two neighbours on the coding strand",
    ),
    (
        "CODON_LETTER",
        "Number=1,Type=Integer",
        "Which letter of its codon is changed, 1 to 3",
    ),
    (
        "STOP",
        "Number=1,Type=String",
        "The stop word that the change makes, where it makes exactly one",
    ),
    (
        "FRAME",
        "Number=1,Type=String",
        "Whether that word is a codon: in_frame or out_of_frame",
    ),
)


@dataclass(frozen=True)
class Mutated:
    """What was written.

    Attributes
    ----------
    readable, genes : int
        Genes that could be read, and those of them whose changes were written.
    changes : dict
        Changes by consequence.
    dropped : dict
        Genes left out, by reason.
    """

    readable: int
    genes: int
    changes: dict[str, int]
    dropped: dict[str, int]

    def lines(self) -> list[str]:
        """The counts for a person, a name and a number a line, between tabs."""
        kinds = sorted(self.changes.items())
        return [
            f"genes\t{self.genes:,} of {self.readable:,}",
            *(f"{kind}\t{count:,}" for kind, count in kinds),
            *(f"left out, {reason}\t{count:,} genes" for reason, count in self.dropped.items()),
        ]


def mutate(
    genome: str | Path,
    annotation: str | Path,
    out: str | Path,
    contigs: Sequence[str] = (),
    genes: int | None = None,
    last: float = 0.1,
    table: int | None = None,
    mitochondrial: int | None = None,
    seed: int = 0,
    aliases: str | Path | None = None,
) -> Mutated:
    """Write every change of a letter of the coding sequences, one a record, classified and sorted;
    1-based as VCF is.

    Parameters
    ----------
    genome, annotation : str or Path
        A FASTA, and GFF3 or GenBank of it.
    out : str or Path
        Ends in .vcf or .vcf.gz (bgzipped, with an index).
    contigs : sequence of str
        None means all.
    genes : int, optional
        How many genes are drawn; all when not given.
    last : float
        The share at the end of each coding sequence that is left out.
    table : int, optional
        The genetic code of every contig by its NCBI number. When not given it is what the CDS of a
        contig say (`transl_table`), else 1, and that of mitochondria `mitochondrial`.
    mitochondrial : int, optional
        The genetic code of contigs that are named as mitochondria are (chrM, MT, Mito). When not
        given, yeast's (3) or that of vertebrates (2), in whichever more genes can be read; it is
        said by a GenomeNote.
    seed : int
        Decides which genes are drawn.
    aliases : str or Path, optional
        Other names of the genome's contigs; see `genome.contigs.read_aliases`.
    """
    out = Path(out)
    kind_of(out, ("vcf.gz", "vcf"))
    require_no_input(out, (genome, annotation, aliases))
    if not 0 <= last < 1:
        raise InputError("last", f"{last:g}", "a share of each coding sequence, from 0 to under 1")
    standard = Code(1 if table is None else table)
    own = None if mitochondrial is None else Code(mitochondrial, "mitochondrial")
    fasta = Genome(genome, aliases=aliases)
    names = fasta.rename(contigs, "contigs").values() if contigs else fasta.contigs
    features = read_annotation(annotation, fasta)
    codes = dict.fromkeys(names, standard)
    if table is None:
        for contig in names:
            codes[contig] = _code_of(contig, features, fasta, own) or standard
    readable, dropped = coding_sequences(features, fasta, codes)
    if not readable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        message = f"has no coding sequence to change ({reasons or 'no CDS there'})"
        raise InputError(annotation, message, "GFF3 with whole CDS")
    chosen = readable if genes is None else draw_genes(readable, genes, seed)
    count: dict[str, int] = {}
    _write(out, fasta, _lines(fasta, chosen, last, count))
    return Mutated(len(readable), len(chosen), count, dropped)


def _code_of(
    contig: str, features: Annotation, genome: Genome, mitochondrial: Code | None
) -> Code | None:
    """The genetic code of a contig where it is not the standard one, said by a GenomeNote."""
    own = [feature for feature in features.features if feature.interval.contig == contig]
    is_own = is_mitochondrion(contig) or any(map(_says_mitochondrion, own))
    if is_own and mitochondrial is not None:
        return mitochondrial
    # RefSeq and GenBank write the code of each CDS that is not in the standard one.
    said = Counter(each.attributes.get("transl_table", "") for each in own if each.kind == "CDS")
    tables = sorted(word for word in said if word)
    if len(tables) > 1:
        message = f"contig {contig} has CDS in several genetic codes ({', '.join(tables)})"
        raise InputError(features.path, message, "`table`, one for all, or other `contigs`")
    if tables:
        number = whole_number(tables[0])
        code = Code(-1 if number is None else number, f"{features.path} transl_table")
        if code.table != 1:
            message = f"contig {contig} is read in genetic code {code.table} ({code.name})"
            warnings.warn(f"{message}, as its CDS say (transl_table)", GenomeNote, stacklevel=3)
        return code
    return _mitochondrial_code(features, genome, contig) if is_own else None


def _says_mitochondrion(feature: Feature) -> bool:
    words = (feature.attributes.get(key, "") for key in ("genome", "organelle"))
    return any(word.startswith("mitochondrion") for word in words)


def _mitochondrial_code(features: Annotation, genome: Genome, contig: str) -> Code:
    code, readable = mitochondrial_code(features, genome, contig)
    if any(readable.values()):
        each = ", ".join(f"{count} genes in {table}" for table, count in readable.items())
        message = f"contig {contig} is read in genetic code {code.table} ({code.name}): {each}"
        warnings.warn(message, GenomeNote, stacklevel=3)
    return code


def _lines(
    genome: Genome, chosen: list[CodingSequence], last: float, count: dict[str, int]
) -> Iterator[str]:
    """Records sorted by place, contigs in the genome's order; counts consequences on the way."""
    for contig in genome.contigs:
        rows = []
        for coding in chosen:
            for change in changes(coding, genome, last) if coding.contig == contig else ():
                count[change.consequence] = count.get(change.consequence, 0) + 1
                rows.append((change.position, change.alt, _line(change)))
        yield from (line for *_, line in sorted(rows))


def _line(change: Change) -> str:
    info = f"BCSQ={change.csq};CONTEXT={change.context};CODON_LETTER={change.letter}"
    info += f";STOP={change.stop};FRAME={change.frame}" if change.stop else ""
    return f"{change.contig}\t{change.position + 1}\t.\t{change.ref}\t{change.alt}\t.\t.\t{info}\n"


def _header(genome: Genome) -> str:
    lines = ["##fileformat=VCFv4.3"]
    for name, length in genome.contigs.items():
        lines.append(f"##contig=<ID={name},length={length}>")
    for name, form, description in _INFO:
        lines.append(f'##INFO=<ID={name},{form},Description="{description}">')
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    return "\n".join(lines) + "\n"


def _write(out: Path, genome: Genome, lines: Iterator[str]) -> None:
    header = _header(genome)
    with writable(out), ExitStack() as stack:
        temporary = stack.enter_context(atomic_file(out))
        # An OSError that says why, where pysam would end the process.
        temporary.touch()
        if out.suffix != ".gz":
            with temporary.open("w", encoding="utf-8") as text:
                text.write(header)
                text.writelines(lines)
            return
        with open_bgzip(temporary) as file:
            file.write(header.encode())
            for line in lines:
                file.write(line.encode())
        tabix(stack, temporary, out, max(genome.contigs.values()), preset="vcf")
