"""Every single-letter change of coding sequences, classified; places are 0-based, letters stand on
the coding strand.

The trap: a change must be one gene's alone. Where two coding sequences overlap, a change that is
silent in one may stop the other, so such genes are left out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orchid_genomics.errors import InputError
from orchid_genomics.genome.annotation import Annotation
from orchid_genomics.genome.fasta import Genome
from orchid_genomics.sequence import CODE, DNA, Interval
from orchid_genomics.sequence.hashing import Stream, hash_integers

_POWERS = (16, 4, 1)


@dataclass(frozen=True, eq=False)
class CodingSequence:
    """One gene's coding sequence. Attributes: `positions` (L,) its letters' places on the contig,
    in reading order; `codes` (L,) the letters as read; `transcript` the annotation's name of it.
    """

    gene: str
    transcript: str
    contig: str
    strand: str
    positions: np.ndarray
    codes: np.ndarray

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
    """A genetic code by its NCBI number, as tables over codon numbers. Raises InputError for an
    unknown one.
    """

    def __init__(self, table: int = 1) -> None:
        from Bio.Data.CodonTable import unambiguous_dna_by_id  # not on the way to --help

        if table not in unambiguous_dna_by_id:
            known = ", ".join(map(str, sorted(unambiguous_dna_by_id)))
            raise InputError("--table", f"no genetic code {table}", f"possible: {known}")
        code = unambiguous_dna_by_id[table]
        words = ["".join(DNA.letters[n // p % 4] for p in _POWERS) for n in range(64)]
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


def coding_sequences(
    annotation: Annotation, genome: Genome, contigs: Sequence[str], code: Code
) -> tuple[list[CodingSequence], dict[str, int]]:
    """The coding sequences on `contigs`, one a gene (its longest), and how many genes were left out
    for which reason.

    Left out: those that overlap another gene's CDS on either strand, whose length is no multiple of
    three, that begin with no start codon or end with no stop codon, that hold a stop codon inside,
    or letters other than A, C, G and T.
    """
    wanted, parts = set(contigs), {}
    for feature in annotation.features:
        if (
            feature.kind == "CDS"
            and feature.place.contig in wanted
            and feature.place.strand in "+-"
        ):
            transcript = feature.attributes.get("Parent", feature.place.name)
            parts.setdefault(feature.place.name, {}).setdefault(transcript, set()).add(
                feature.place
            )
    shared = _overlapping(parts)
    found, dropped = [], Counter()
    for gene, transcripts in parts.items():
        transcript, places = max(
            transcripts.items(), key=lambda item: (sum(map(len, item[1])), item[0])
        )
        coding = _read(gene, transcript, sorted(places), genome)
        reason = "overlaps another gene" if gene in shared else _fault(coding, code)
        if reason:
            dropped[reason] += 1
        else:
            found.append(coding)
    return found, dict(dropped)


def drawn(genes: Sequence[CodingSequence], count: int, seed: int) -> list[CodingSequence]:
    """`count` of the genes (all, where there are no more), by a hash of seed and place in the list;
    order kept.
    """
    keys = hash_integers(seed, Stream.CODING_GENE, np.arange(len(genes)))
    return [genes[i] for i in np.sort(np.argsort(keys, kind="stable")[:count])]


def changes(
    coding: CodingSequence, genome: Genome, code: Code, last: float = 0.1
) -> Iterator[Change]:
    """All three changes of every letter but those in the `last` share of the coding sequence, in
    reading order.

    A stop near the end does little; hence `last`. The context is the genome's, so at a splice site
    it is the intron's.
    """
    around, words = _around(coding, genome).tolist(), _words(coding)
    codes, positions, codons = (
        coding.codes.tolist(),
        coding.positions.tolist(),
        coding.codons.tolist(),
    )
    for place in range(int(len(codes) * (1 - last))):
        codon, offset = divmod(place, 3)
        ref, number, position = codes[place], codons[codon], positions[place]
        before, _, after = (f"{DNA.letters}N"[min(c, 4)] for c in around[place])
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
            made = _stop(words, code, place, alt - ref)
            yield Change(
                coding.contig, position, old, new, consequence, csq, context, offset + 1, *made
            )


def _words(coding: CodingSequence) -> list[int]:
    """The number of the word of three letters from each place on; -1 where an intron or the end
    interrupts it.
    """
    codes, apart = coding.codes.astype(int), np.abs(np.diff(coding.positions)) != 1
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
    letters = genome.tokens(coding.contig, low, high) & CODE
    if coding.strand == "+":
        return letters[(coding.positions - low)[:, None] + np.arange(-1, 2)]
    letters = np.where(letters < 4, 3 - letters, letters)
    return letters[(coding.positions - low)[:, None] - np.arange(-1, 2)]


def _read(gene: str, transcript: str, places: list[Interval], genome: Genome) -> CodingSequence:
    contig, strand = places[0].contig, places[0].strand
    positions = np.concatenate([np.arange(place.start, place.end) for place in places])
    codes = np.concatenate(
        [genome.tokens(contig, place.start, place.end) & CODE for place in places]
    )
    if strand == "-":
        positions, codes = positions[::-1], DNA.reverse_complement(codes)
    return CodingSequence(
        gene, transcript.removeprefix("transcript:"), contig, strand, positions, codes
    )


def _fault(coding: CodingSequence, code: Code) -> str:
    """Why a coding sequence cannot be read as one; empty when it can."""
    if (coding.codes > 3).any():
        return "letters other than A, C, G and T"
    if len(coding.codes) % 3:
        return "length no multiple of three"
    if not code.start[coding.codons[0]]:
        return "no start codon"
    if not code.stop[coding.codons[-1]]:
        return "no stop codon"
    return "stop codon inside" if any(code.stop[codon] for codon in coding.codons[:-1]) else ""


def _overlapping(parts: dict[str, dict[str, set[Interval]]]) -> set[str]:
    """Genes with a CDS letter that is also another gene's."""
    genes = (
        (gene, place)
        for gene, each in parts.items()
        for places in each.values()
        for place in places
    )
    shared, reach = set(), {}
    for contig, start, end, gene in sorted(
        {(place.contig, place.start, place.end, gene) for gene, place in genes}
    ):
        here = {other: until for other, until in reach.get(contig, {}).items() if until > start}
        others = here.keys() - {gene}
        shared |= {gene, *others} if others else set()
        reach[contig] = {**here, gene: max(end, here.get(gene, 0))}
    return shared
