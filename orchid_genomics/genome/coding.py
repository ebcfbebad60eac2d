"""Every single-letter change of coding sequences, classified; places are 0-based, letters stand on
the coding strand.

The trap: a change must be one gene's alone. Where two coding sequences overlap, a change that is
silent in one may stop the other, so such genes are left out.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise, product

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.annotation import Annotation
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.genome.feature import around_origin
from orchid_genomics.sequence import CODE, DNA, Interval
from orchid_genomics.sequence.hashing import Stream, hash_integers

_POWERS = (16, 4, 1)


@dataclass(frozen=True, eq=False)
class CodingSequence:
    """One gene's coding sequence.

    Attributes
    ----------
    gene, transcript : str
        The annotation's names.
    contig, strand : str
    positions : ndarray (L,)
        Its letters' places on the contig, 0-based, in reading order.
    codes : ndarray (L,) of uint8
        The letters as read, A C G T = 0 .. 3.
    code : Code
        The genetic code that it is read in.
    circle : int
        Letters of its contig where that is circular, else 0.
    """

    gene: str
    transcript: str
    contig: str
    strand: str
    positions: np.ndarray
    codes: np.ndarray
    code: "Code"
    circle: int = 0

    @cached_property
    def codons(self) -> np.ndarray:
        """The number (L / 3,) of every codon, 0 to 63."""
        return self.codes.reshape(-1, 3).astype(int) @ np.array(_POWERS)


@dataclass(frozen=True)
class Change:
    """One letter of a coding sequence changed.

    `position` 0-based; `ref` and `alt` as on the forward strand; `consequence` and `csq` in the
    words of bcftools csq; `context` such as ``T[C>A]A`` on the coding strand; `letter` 1 to 3, its
    place in the codon; `stop` the stop word that the change makes, if it makes exactly one, and
    `frame` whether that is read as a codon: "in_frame" or "out_of_frame".
    """

    contig: str
    position: int
    ref: str
    alt: str
    consequence: str
    csq: str
    context: str
    letter: int
    stop: str
    frame: str


class Code:
    """A genetic code as tables over codon numbers (0 to 63).

    Parameters
    ----------
    table : int
        Its NCBI number.

    Raises
    ------
    InputError
        For an unknown number, naming the parameter `where`.
    """

    def __init__(self, table: int = 1, where: str = "table") -> None:
        # Here and not at the top, for it is slow to import and --help comes by.
        from Bio.Data.CodonTable import unambiguous_dna_by_id

        if table not in unambiguous_dna_by_id:
            known = ", ".join(map(str, sorted(unambiguous_dna_by_id)))
            raise InputError(where, f"no genetic code {table}", f"possible: {known}")
        code = unambiguous_dna_by_id[table]
        words = ["".join(letters) for letters in product(DNA.letters, repeat=3)]
        self.table, self.name = table, code.names[0]
        self.words = words
        self.amino = [code.forward_table.get(word, "*") for word in words]
        self.stop = [word in code.stop_codons for word in words]
        self.start = [word in code.start_codons for word in words]

    def consequence(self, codon: int, changed: int, first: bool) -> str:
        """What becomes of a codon; a changed first codon is a lost start, whatever it codes for."""
        if first:
            return "start_lost"
        if self.stop[codon] and not self.stop[changed]:
            return "stop_lost"
        if self.amino[codon] == self.amino[changed]:
            return "synonymous"
        return "stop_gained" if self.stop[changed] else "missense"


Transcripts = dict[str, dict[str, list[Interval]]]
"""Gene to transcript to the parts of its coding sequence, over the origin where it runs so."""


def coding_sequences(
    annotation: Annotation, genome: Genome, codes: Mapping[str, Code]
) -> tuple[list[CodingSequence], dict[str, int]]:
    """The coding sequences of some contigs, one a gene: its longest.

    Left out are those that overlap another gene's CDS on either strand, whose length is no multiple
    of three, that begin with no start codon or end with no stop codon, that hold a stop codon
    inside, or letters other than A, C, G and T.

    Parameters
    ----------
    annotation : Annotation
    genome : Genome
    codes : mapping
        Contig to its genetic code; other contigs are not looked at.

    Returns
    -------
    tuple
        The coding sequences, and how many genes were left out by reason.
    """
    transcripts_of = _transcripts(annotation, codes)
    overlapping = _find_overlaps(transcripts_of, genome)
    sequences: list[CodingSequence] = []
    dropped: Counter[str] = Counter()
    for gene, transcripts in transcripts_of.items():
        # Of two that are equally long the name decides, not their order in the file.
        name = max(transcripts, key=lambda each: (sum(map(len, transcripts[each])), each))
        parts = transcripts[name]
        coding = _read(gene, name, parts, annotation, genome, codes[parts[0].contig])
        reason = "overlaps another gene" if gene in overlapping else _fault(coding)
        if reason:
            dropped[reason] += 1
        else:
            sequences.append(coding)
    return sequences, dict(dropped)


def _transcripts(annotation: Annotation, contigs: Container[str]) -> Transcripts:
    genes: Transcripts = {}
    for feature in annotation.features:
        part = feature.interval
        if feature.kind == "CDS" and part.contig in contigs and part.strand in "+-":
            # Without a parent, all parts that bear a gene's name are one transcript.
            name = feature.attributes.get("Parent", part.name)
            parts = genes.setdefault(part.name, {}).setdefault(name, [])
            if part not in parts:
                parts.append(part)
    return genes


def mitochondrial_code(
    annotation: Annotation, genome: Genome, contig: str
) -> tuple[Code, dict[int, int]]:
    """The genetic code in which most genes of a mitochondrion can be read: yeast's (3) or that of
    vertebrates (2); and how many can be in each.
    """
    readable = {}
    for table in (3, 2):
        sequences, _ = coding_sequences(annotation, genome, {contig: Code(table)})
        readable[table] = len(sequences)
    # Where both read as many, `max` keeps the first, yeast's.
    return Code(max(readable, key=lambda table: readable[table])), readable


def draw_genes(genes: Sequence[CodingSequence], count: int, seed: int) -> list[CodingSequence]:
    """`count` of the genes (all, where there are no more), by a hash of seed and place in the list;
    order kept.
    """
    keys = hash_integers(seed, Stream.CODING_GENE, np.arange(len(genes)))
    return [genes[i] for i in np.sort(np.argsort(keys, kind="stable")[:count])]


def changes(coding: CodingSequence, genome: Genome, last: float = 0.1) -> Iterator[Change]:
    """All three changes of every letter but those in the `last` share of the coding sequence, in
    reading order.

    A stop near the end does little; hence `last`. The context is the genome's, so at a splice site
    it is the intron's.
    """
    code = coding.code
    around, words = _around(coding, genome).tolist(), _words(coding)
    codes = coding.codes.tolist()
    positions = coding.positions.tolist()
    codons = coding.codons.tolist()
    for at in range(int(len(codes) * (1 - last))):
        codon, offset = divmod(at, 3)
        ref, number, position = codes[at], codons[codon], positions[at]
        before, _, after = (f"{DNA.letters}N"[min(c, 4)] for c in around[at])
        for alt in range(4):
            if alt == ref:
                continue
            changed = number + (alt - ref) * _POWERS[offset]
            consequence = code.consequence(number, changed, codon == 0)
            amino = f"{codon + 1}{code.amino[number]}"
            amino += "" if consequence == "synonymous" else f">{codon + 1}{code.amino[changed]}"
            old, new = (DNA.letters[c if coding.strand == "+" else 3 - c] for c in (ref, alt))
            names = (
                consequence,
                coding.gene,
                coding.transcript,
                "protein_coding",
                coding.strand,
                amino,
            )
            csq = "|".join((*names, f"{position + 1}{old}>{new}"))
            context = f"{before}[{DNA.letters[ref]}>{DNA.letters[alt]}]{after}"
            made = _stop(words, code, at, alt - ref)
            yield Change(
                coding.contig, position, old, new, consequence, csq, context, offset + 1, *made
            )


def _words(coding: CodingSequence) -> list[int]:
    """The number of the word of three letters from each place on; -1 where an intron or the end
    interrupts it.
    """
    # Places fall along a gene of the reverse strand, hence the absolute step.
    steps = np.abs(np.diff(coding.positions))
    if coding.circle:
        # Over the origin the next letter is at the other end of the file.
        steps = np.minimum(steps, coding.circle - steps)
    codes, apart = coding.codes.astype(int), steps != 1
    numbers = codes[:-2] * 16 + codes[1:-1] * 4 + codes[2:]
    return np.where(apart[:-1] | apart[1:], -1, numbers).tolist()


def _stop(words: list[int], code: Code, place: int, step: int) -> tuple[str, str]:
    """The one stop word that a change by `step` makes, over the three words that hold the letter,
    and its frame.
    """
    made = []
    for start in range(max(place - 2, 0), min(place, len(words) - 1) + 1):
        word = words[start]
        changed = word + step * _POWERS[place - start]
        if word < 0 or not code.stop[changed]:
            continue
        if code.stop[word]:
            return "", ""  # one stop word became another: nothing is made
        made.append((code.words[changed], "out_of_frame" if start % 3 else "in_frame"))
    return made[0] if len(made) == 1 else ("", "")


def _around(coding: CodingSequence, genome: Genome) -> np.ndarray:
    """Codes (L, 3) of the genome before, at and after each letter, on the coding strand."""
    low, high = int(coding.positions.min()) - 1, int(coding.positions.max()) + 2
    # On the reverse strand the letter before lies to the right.
    steps = np.arange(-1, 2) if coding.strand == "+" else -np.arange(-1, 2)
    places = coding.positions[:, None] + steps
    if coding.circle and (low < 0 or high > coding.circle):
        low, high = 0, coding.circle
        places %= coding.circle
    letters = genome.tokens(coding.contig, low, high) & CODE
    if coding.strand == "-":
        letters = np.where(letters < 4, 3 - letters, letters)
    return letters[places - low]


def _read(
    gene: str,
    transcript: str,
    parts: list[Interval],
    annotation: Annotation,
    genome: Genome,
    code: Code,
) -> CodingSequence:
    contig, strand = parts[0].contig, parts[0].strand
    length = genome.contigs[contig]
    circle = length if contig in annotation.circular else 0
    pieces = _in_order(parts, length, circle > 0)
    positions = np.concatenate([np.arange(piece.start, piece.end) for piece in pieces])
    tokens = np.concatenate([genome.tokens(contig, each.start, each.end) for each in pieces])
    letters = tokens & CODE
    if strand == "-":
        positions, letters = positions[::-1], DNA.reverse_complement(letters)
    name = transcript.removeprefix("transcript:")
    return CodingSequence(
        gene, name, contig, strand, positions=positions, codes=letters, code=code, circle=circle
    )


def _in_order(parts: list[Interval], length: int, circular: bool) -> list[Interval]:
    """The parts on their contig from left to right, over the origin where they run so."""
    ordered = sorted(parts)
    if circular and len(ordered) > 1 and ordered[0].start == 0 and ordered[-1].end == length:
        # parts meet at the origin: the left of them follow, from the widest gap on
        gaps = [after.start - before.end for before, after in pairwise(ordered)]
        first = gaps.index(max(gaps)) + 1
        ordered = ordered[first:] + ordered[:first]
    return list(chain.from_iterable(around_origin(part, length) for part in ordered))


def _fault(coding: CodingSequence) -> str:
    """Why a coding sequence cannot be read as one; empty when it can."""
    code = coding.code
    # The order matters: codons have numbers only for known letters, in whole threes.
    if (coding.codes > 3).any():
        return "letters other than A, C, G and T"
    if len(coding.codes) % 3:
        return "length no multiple of three"
    if not code.start[coding.codons[0]]:
        return "no start codon"
    if not code.stop[coding.codons[-1]]:
        return "no stop codon"
    return "stop codon inside" if any(code.stop[codon] for codon in coding.codons[:-1]) else ""


def _find_overlaps(genes: Transcripts, genome: Genome) -> set[str]:
    """Genes with a CDS letter that is also another gene's."""
    spans = set()
    for gene, transcripts in genes.items():
        for part in chain.from_iterable(transcripts.values()):
            for each in around_origin(part, genome.contigs[part.contig]):
                spans.add((each.contig, each.start, each.end, gene))
    shared: set[str] = set()
    # Contig to gene to the end of its farthest part so far.
    reach: dict[str, dict[str, int]] = {}
    for contig, start, end, gene in sorted(spans):
        # Sorted by start: a gene that ends before this part meets no later one either.
        here = {other: until for other, until in reach.get(contig, {}).items() if until > start}
        others = here.keys() - {gene}
        shared |= {gene, *others} if others else set()
        reach[contig] = {**here, gene: max(end, here.get(gene, 0))}
    return shared
