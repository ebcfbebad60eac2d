"""All single-letter changes of coding sequences as a VCF, so that the commands for variants can
read them.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file, writable
from orchid_genomics.genome.annotation import read_annotation
from orchid_genomics.genome.bed import tabix
from orchid_genomics.genome.bgzf import open_bgzip
from orchid_genomics.genome.coding import (
    Change,
    Code,
    CodingSequence,
    changes,
    coding_sequences,
    drawn,
)
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.jobs.output import kind_of

_INFO = """\
##INFO=<ID=BCSQ,Number=.,Type=String,Description="Consequence|gene|transcript|biotype|strand|amino_acid_change|dna_change">
##INFO=<ID=CONTEXT,Number=1,Type=String,Description="The change and its two neighbours on the coding strand">
##INFO=<ID=CODON_LETTER,Number=1,Type=Integer,Description="Which letter of its codon is changed, 1 to 3">
##INFO=<ID=STOP,Number=1,Type=String,Description="The stop word that the change makes, where it makes exactly one">
##INFO=<ID=FRAME,Number=1,Type=String,Description="Whether that word is a codon: in_frame or out_of_frame">
"""


@dataclass(frozen=True)
class Mutated:
    """What was written: genes that could be read, genes written, changes by consequence, genes left
    out by reason.
    """

    readable: int
    genes: int
    changes: dict[str, int]
    dropped: dict[str, int]


def mutate(
    genome: str | Path,
    annotation: str | Path,
    out: str | Path,
    contigs: Sequence[str] = (),
    genes: int | None = None,
    last: float = 0.1,
    table: int = 1,
    seed: int = 0,
) -> Mutated:
    """Write every change of a letter of the coding sequences, one a record, classified; sorted,
    1-based as VCF is.

    `contigs` none means all; `genes` draws so many of them; `last` is the share at the end of each
    coding sequence that is left out; `table` the NCBI number of the genetic code. `out` ends in
    .vcf or .vcf.gz (bgzipped, with an index).
    """
    out = Path(out)
    kind_of(out, ("vcf.gz", "vcf"))
    if not 0 <= last < 1:
        raise InputError(
            "--last", f"{last:g}", "a share of each coding sequence, from 0 to under 1"
        )
    code, opened = Code(table), Genome(genome)
    names = opened.rename(contigs, "--contigs").values() if contigs else opened.contigs
    found, dropped = coding_sequences(
        read_annotation(annotation, opened), opened, list(names), code
    )
    if not found:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "no CDS there"
        )
        raise InputError(
            annotation, f"has no coding sequence to change ({reasons})", "GFF3 with whole CDS"
        )
    chosen = found if genes is None else drawn(found, genes, seed)
    count: dict[str, int] = {}
    _write(out, opened, _lines(opened, chosen, code, last, count))
    return Mutated(len(found), len(chosen), count, dropped)


def _lines(
    genome: Genome, chosen: list[CodingSequence], code: Code, last: float, count: dict[str, int]
) -> Iterator[str]:
    """Records, sorted by place, contigs in the genome's order; counts the consequences on the way."""
    for contig in genome.contigs:
        here = (
            each
            for coding in chosen
            if coding.contig == contig
            for each in changes(coding, genome, code, last)
        )
        rows = []
        for change in here:
            count[change.consequence] = count.get(change.consequence, 0) + 1
            rows.append((change.position, change.alt, _line(change)))
        yield from (line for *_, line in sorted(rows))


def _line(change: Change) -> str:
    info = f"BCSQ={change.csq};CONTEXT={change.context};CODON_LETTER={change.letter}"
    info += f";STOP={change.stop};FRAME={change.frame}" if change.stop else ""
    return f"{change.contig}\t{change.position + 1}\t.\t{change.ref}\t{change.alt}\t.\t.\t{info}\n"


def _write(out: Path, genome: Genome, lines: Iterator[str]) -> None:
    sizes = "".join(
        f"##contig=<ID={name},length={length}>\n" for name, length in genome.contigs.items()
    )
    header = f"##fileformat=VCFv4.3\n{sizes}{_INFO}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    with writable(out), ExitStack() as stack:
        temporary = stack.enter_context(atomic_file(out))
        temporary.touch()  # an OSError that says why, where pysam would end the process
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
