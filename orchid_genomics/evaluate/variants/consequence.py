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
# By severity, as Ensembl orders the terms of the Sequence Ontology; without _variant.
_TERMS = """
    transcript_ablation splice_acceptor splice_donor stop_gained nonsense frameshift stop_lost
    start_lost initiator_codon transcript_amplification inframe_insertion inframe_deletion missense
    protein_altering splice_donor_5th_base splice_region splice_donor_region
    splice_polypyrimidine_tract incomplete_terminal_codon start_retained stop_retained synonymous
    coding_sequence mature_miRNA 5_prime_UTR 5_prime_utr 3_prime_UTR 3_prime_utr
    non_coding_transcript_exon non_coding intron NMD_transcript non_coding_transcript upstream_gene
    downstream_gene TFBS_ablation TFBS_amplification TF_binding_site regulatory_region intergenic
"""
_SEVERITY = {term: rank for rank, term in enumerate(_TERMS.split())}
_SAME = {
    "nonsense": "stop_gained",
    "non_coding_transcript": "non_coding",
    "intergenic_region": "intergenic",
}
_STRANDS = {"1": "+", "-1": "-", "+": "+", "-": "-"}
_HGVS = re.compile(r"p\.\(?[A-Z][a-z]{2}\d+")


@dataclass(frozen=True)
class Effect:
    """What one variant does.

    Attributes
    ----------
    consequence
        A word such as `missense`; "" where nothing says so.
    gene, strand
        Its gene, and the gene's strand: "+", "-" or "".
    """

    consequence: str = ""
    gene: str = ""
    strand: str = ""


def subfields(key: str, description: str = "") -> tuple[str, ...]:
    """The names of the |-separated fields of an INFO key; none where its values have no fields.

    VEP says them in the header ("Format: Allele|Consequence|..."); those of bcftools and SnpEff are
    fixed.
    """
    if key == "BCSQ":
        return _BCFTOOLS
    if key == "ANN" and "Format:" not in description:
        return _SNPEFF
    match = re.search(r"Format:\s*([\w.]+(?:\|[\w.-]*)+)", description)
    return tuple(match.group(1).split("|")) if match else ()


def worst_effect(key: str, names: tuple[str, ...], text: str, ref: str, alt: str) -> Effect:
    """The worst of the effects that an annotation lists for one ALT.

    Parameters
    ----------
    key, names
        The INFO key, and its `subfields`.
    text
        Its value: entries between commas.
    ref, alt
        The letters of the variant.
    """
    entries = []
    for entry in text.split(","):
        # "@123" points to a compound effect of bcftools that another record holds.
        if entry and entry[0] not in "@.":
            entries.append(entry)
    if not names:
        words = [word for entry in entries for word in re.split(r"[|&/]", entry)]
        return Effect(consequence=_worst([_term(word) for word in words]))
    rows = [dict(zip(names, entry.split("|"), strict=False)) for entry in entries]
    # Annotators name alleles in several ways: where no entry fits, all of them count.
    own = [row for row in rows if _is_of(row, ref, alt)] or rows
    if not own:
        return Effect()
    terms = [_worst([_term(word) for word in row.get("Consequence", "").split("&")]) for row in own]
    first = min(range(len(own)), key=lambda number: _rank(terms[number]))
    row = own[first]
    strand = _STRANDS.get(row.get("STRAND", ""), "")
    return Effect(terms[first], row.get("SYMBOL") or row.get("Gene", ""), strand)


def gene_of(values: Mapping[str, str]) -> str:
    """The gene that plain columns name: the first of GENEINFO's ``SYMBOL:id|SYMBOL:id``, or a
    column such as GENE.
    """
    for key in GENES:
        if text := values.get(key, ""):
            return re.split(r"[:|,]", text)[0]
    return ""


def consequence_of_hgvs(text: str) -> str:
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
    if any(word in change for word in ("delins", "del", "dup", "ins")):
        return "inframe_deletion" if change.endswith("del") else "inframe_insertion"
    return "stop_lost" if change.startswith("Ter") else "missense"


@lru_cache(1 << 14)
def _term(word: str) -> str:
    """A term without what annotators put around it; codes of the ontology (SO:0001583) say nothing
    to a reader.
    """
    word = word.strip().lstrip("*")
    if ":" in word or word.startswith("p."):
        return consequence_of_hgvs(word)
    word = word.removesuffix("_variant")
    return _SAME.get(word, word)


def _worst(terms: list[str]) -> str:
    return min((term for term in terms if term), key=_rank, default="")


def _rank(term: str) -> int:
    """Severity, 0 the worst; unknown terms after all known ones, none last."""
    return _SEVERITY.get(term, len(_SEVERITY) + (term == ""))


def _is_of(row: Mapping[str, str], ref: str, alt: str) -> bool:
    """Whether an annotator's entry is of this ALT."""
    return _is_allele(row.get("Allele", alt), ref, alt) and _changes(row, alt)


def _is_allele(name: str, ref: str, alt: str) -> bool:
    """Whether an annotator's name of an allele is this ALT: as written, or without the letter that
    both begin with.
    """
    return name in (alt, alt[1:] or "-") if ref[:1] == alt[:1] else name == alt


def _changes(row: Mapping[str, str], alt: str) -> bool:
    """Whether bcftools' dna_change (``790C>T``, joined by + where several make one effect) is to
    this ALT.
    """
    change = row.get("dna_change", "")
    return not change or any(part.rpartition(">")[2] == alt for part in change.split("+"))
