"""Consequence and gene of a variant from what annotators write: VEP, bcftools csq, SnpEff, ClinVar,
HGVS.

The trap: one field lists many transcripts, and of several ALTs; the worst consequence of the ALT's
own entries counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

KEYS = ("CSQ", "BCSQ", "ANN", "vep", "MC", "CONSEQUENCE", "consequence", "hgvs_p")
GENES = ("GENEINFO", "GENE", "SYMBOL", "gene", "symbol", "gene_name")
_SNPEFF = ("Allele", "Consequence", "Impact", "SYMBOL", "Gene")
_BCFTOOLS = (
    "Consequence",
    "SYMBOL",
    "Feature",
    "BIOTYPE",
    "STRAND",
    "amino_acid_change",
    "dna_change",
)
_TERMS = (  # by severity, as Ensembl orders the terms of the Sequence Ontology; without _variant
    "transcript_ablation splice_acceptor splice_donor stop_gained nonsense frameshift stop_lost start_lost "
    "initiator_codon transcript_amplification inframe_insertion inframe_deletion missense protein_altering "
    "splice_donor_5th_base splice_region splice_donor_region splice_polypyrimidine_tract incomplete_terminal_codon "
    "start_retained stop_retained synonymous coding_sequence mature_miRNA 5_prime_UTR 5_prime_utr 3_prime_UTR "
    "3_prime_utr non_coding_transcript_exon non_coding intron NMD_transcript non_coding_transcript upstream_gene "
    "downstream_gene TFBS_ablation TFBS_amplification TF_binding_site regulatory_region intergenic"
)
_SEVERITY = {term: place for place, term in enumerate(_TERMS.split())}
_SAME = {
    "nonsense": "stop_gained",
    "non_coding_transcript": "non_coding",
    "intergenic_region": "intergenic",
}
_HGVS = re.compile(r"p\.\(?[A-Z][a-z]{2}\d+")


@dataclass(frozen=True)
class Effect:
    """What one variant does, in a word such as ``missense``; each "" where nothing says so.
    `strand` "+", "-" or "".
    """

    consequence: str = ""
    gene: str = ""
    strand: str = ""


def fields(key: str, description: str = "") -> tuple[str, ...]:
    """The names of the |-separated fields of an INFO key; none where its values have no fields.

    VEP says them in the header ("Format: Allele|Consequence|..."); those of bcftools and SnpEff are
    fixed.
    """
    if key == "BCSQ":
        return _BCFTOOLS
    if key == "ANN" and "Format:" not in description:
        return _SNPEFF
    found = re.search(r"Format:\s*([\w.]+(?:\|[\w.-]*)+)", description)
    return tuple(found.group(1).split("|")) if found else ()


def effect(key: str, names: tuple[str, ...], text: str, ref: str, alt: str) -> Effect:
    """The worst of the effects that `text` (the value of `key`, entries between commas) lists for
    this ALT.
    """
    entries = [
        entry for entry in text.split(",") if entry and entry[0] not in "@." and entry != "."
    ]
    if not names:
        return Effect(
            consequence=_worst(
                [_term(word) for entry in entries for word in re.split(r"[|&/]", entry)]
            )
        )
    rows = [dict(zip(names, entry.split("|"), strict=False)) for entry in entries]
    mine = [
        row for row in rows if _allele(row.get("Allele", alt), ref, alt) and _changes(row, alt)
    ] or rows
    found = [
        (_worst([_term(word) for word in row.get("Consequence", "").split("&")]), row)
        for row in mine
    ]
    if not found:
        return Effect()
    consequence, row = min(found, key=lambda pair: _rank(pair[0]))
    strand = {"1": "+", "-1": "-", "+": "+", "-": "-"}.get(row.get("STRAND", ""), "")
    return Effect(consequence, row.get("SYMBOL") or row.get("Gene", ""), strand)


def gene(values: Mapping[str, str]) -> str:
    """The gene that plain columns name: the first of GENEINFO's ``SYMBOL:id|SYMBOL:id``, or a
    column such as GENE.
    """
    for key in GENES:
        if text := values.get(key, ""):
            return re.split(r"[:|,]", text)[0]
    return ""


def hgvs(text: str) -> str:
    """The consequence that an HGVS protein name says; "" for what is none."""
    if not _HGVS.search(text):
        return ""
    change = text.split("p.")[-1].strip("()")
    if "fs" in change:
        return "frameshift"
    if re.match(r"Met1(?!\d)", change):
        return "start_lost"
    if change.endswith("="):
        return "synonymous"
    if re.match(r"[A-Z][a-z]{2}\d+(Ter|\*)", change):
        return "stop_gained"
    if "delins" in change or "del" in change or "dup" in change or "ins" in change:
        return "inframe_deletion" if change.endswith("del") else "inframe_insertion"
    return "stop_lost" if change.startswith("Ter") else "missense"


@lru_cache(1 << 14)
def _term(word: str) -> str:
    """A term without what annotators put around it; codes of the ontology (SO:0001583) say nothing
    to a reader.
    """
    word = word.strip().lstrip("*")
    if ":" in word or word.startswith("p."):
        return hgvs(word)
    word = word.removesuffix("_variant")
    return _SAME.get(word, word)


def _worst(terms: list[str]) -> str:
    return min((term for term in terms if term), key=_rank, default="")


def _rank(term: str) -> int:
    return _SEVERITY.get(term, len(_SEVERITY) + (term == ""))


def _allele(said: str, ref: str, alt: str) -> bool:
    """Whether an annotator's name of an allele is this ALT: as written, or without the letter that
    both begin with.
    """
    return said in (alt, alt[1:] or "-") if ref[:1] == alt[:1] else said == alt


def _changes(row: Mapping[str, str], alt: str) -> bool:
    """Whether bcftools' dna_change (``790C>T``, joined by + where several make one effect) is to
    this ALT.
    """
    change = row.get("dna_change", "")
    return not change or any(part.rpartition(">")[2] == alt for part in change.split("+"))
