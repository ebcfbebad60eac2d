"""Consequences and genes as annotators write them."""

import pytest

from orchid_genomics.evaluate.variants.consequence import (
    Effect,
    consequence_of_hgvs,
    gene_of,
    subfields,
    worst_effect,
)

VEP = (
    "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|IMPACT|SYMBOL|Gene|STRAND"
)


def said(key, text, ref="C", alt="T", description=""):
    return worst_effect(key, subfields(key, description), text, ref, alt)


def test_bcftools_csq_counts_the_entries_of_this_alt_and_the_worst_of_them():
    text = (
        "missense|A|t1|protein_coding|+|5R>5K|10C>T,stop_gained|A|t1|protein_coding|+|5R>5*|10C>G"
    )
    text += ",synonymous|B|t2|protein_coding|-|5R|10C>T"
    assert said("BCSQ", text) == Effect("missense", "A", "+")
    assert said("BCSQ", text, alt="G") == Effect("stop_gained", "A", "+")
    assert (
        said("BCSQ", "*missense&splice_region|A|t|protein_coding|-|1|10C>T").consequence
        == "missense"
    )


def test_a_pointer_to_another_record_says_nothing():
    assert said("BCSQ", "@1234") == Effect()
    assert said("CSQ", ".", description=VEP) == Effect()


def test_vep_by_the_format_of_its_header_and_its_own_alleles():
    text = "T|synonymous_variant|LOW|A|E1|1,T|splice_donor_variant&intron_variant|HIGH|B|E2|-1,"
    text += "G|stop_gained|HIGH|C|E3|1"
    assert said("CSQ", text, description=VEP) == Effect("splice_donor", "B", "-")
    assert said("CSQ", "-|frameshift_variant|HIGH|A|E1|1", "CA", "C", VEP) == Effect(
        "frameshift", "A", "+"
    )
    assert said("CSQ", "AA|inframe_insertion|MODERATE||E1|1", "C", "CAA", VEP) == Effect(
        "inframe_insertion", "E1", "+"
    )


def test_snpeff_has_its_own_order():
    assert said("ANN", "T|missense_variant|MODERATE|A|E1|transcript") == Effect("missense", "A", "")


def test_clinvar_and_plain_columns():
    assert (
        said("MC", "SO:0001583|missense_variant,SO:0001587|nonsense").consequence == "stop_gained"
    )
    assert said("CONSEQUENCE", "5_prime_UTR_variant").consequence == "5_prime_UTR"
    assert said("consequence", "").consequence == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NP_1.2:p.Leu41Glufs", "frameshift"),
        ("NP_1.2:p.Gln185Ter", "stop_gained"),
        ("p.(Trp95Arg)", "missense"),
        ("NP_065169.1:p.Pro593=", "synonymous"),
        ("NP_1:p.Met1Val", "start_lost"),
        ("NP_1:p.Met12Val", "missense"),
        ("NP_1:p.Lys5del", "inframe_deletion"),
        ("NP_1:p.Lys5_Ala6insGly", "inframe_insertion"),
        ("NP_1:p.Ter9Gln", "stop_lost"),
        ("NM_1:c.34C>T", ""),
        ("", ""),
    ],
)
def test_protein_names(name, expected):
    assert consequence_of_hgvs(name) == expected
    assert said("hgvs_p", name).consequence == expected


def test_a_gene_is_the_first_that_is_named():
    assert gene_of({"GENEINFO": "CHRNA4:1137|X:2"}) == "CHRNA4"
    assert gene_of({"symbol": "KCNQ2"}) == "KCNQ2"
    assert gene_of({"other": "x"}) == ""
