"""What a sample carries, and the records about each record."""

import pytest

from orchid_genomics.errors import InputError
from orchid_genomics.genome.genotypes import Genotype, read_genotype, read_sites, sample_column
from orchid_genomics.genome.vcf import Vcf

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob\n"


@pytest.mark.parametrize(
    ("keys", "sample", "genotype"),
    [
        ("GT", "0|1", Genotype((0, 1), True)),
        ("GT", "2/1", Genotype((2, 1), False)),
        ("GT", "1/1", Genotype((1, 1), True)),
        ("DP:GT:PS", "9:1|0:77", Genotype((1, 0), True, "77")),
        ("GT:PS", "1|0:.", Genotype((1, 0), True)),
        ("GT:PS", "1|0", Genotype((1, 0), True)),
        ("GT", "1", Genotype((1,), True)),
        ("GT", ".", Genotype((None,), True)),
        ("GT", "./1", Genotype((None, 1), False)),
        ("GT", "|0|1", Genotype((0, 1), True)),
        ("GT", "0|1|1", Genotype((0, 1, 1), True)),
        ("GT", "0/1|1", Genotype((0, 1, 1), False)),
        ("DP", "3", Genotype((), True)),
        ("GT", "odd", Genotype((), True)),
    ],
)
def test_genotypes_are_read(keys, sample, genotype):
    line = f"c\t1\t.\tA\tC,G\t.\t.\t.\t{keys}\t0|0\t{sample}\r".encode()
    assert read_genotype(line, 10) == genotype


def rows(tmp_path, places, head=HEAD):
    body = "".join(f"{c}\t{at}\t.\tA\tC\t.\t.\t.\tGT\t0|0\t{gt}\n" for c, at, gt in places)
    (tmp_path / "in.vcf").write_text(head + body)
    return Vcf(tmp_path / "in.vcf")


def test_each_record_has_the_carried_ones_about_it_and_memory_forgets_the_rest(tmp_path):
    places = [
        ("a", 10, "0|1"),
        ("a", 15, "0|0"),
        ("a", 20, "1|1"),
        ("a", 31, "0/1"),
        ("a", 31, "1|0"),
        ("a", 99, "1|0"),
        ("b", 12, "0|1"),
        ("b", 400, "0|0"),
    ]
    vcf = rows(tmp_path, places)
    column = sample_column(vcf, "bob")
    found = [
        (site.record.contig, site.record.start + 1, [near.record.start + 1 for near in site.near])
        for _, _, site in read_sites(vcf, column, 11)
    ]
    assert found == [
        ("a", 10, [20]),
        ("a", 15, [10, 20]),
        ("a", 20, [10, 31, 31]),
        ("a", 31, [20, 31]),
        ("a", 31, [20, 31]),
        ("a", 99, []),
        ("b", 12, []),
        ("b", 400, []),
    ]
    numbers = [number for number, *_ in read_sites(vcf, column, 11)]
    assert numbers == [number for number, _ in vcf.lines()]


def test_a_sample_that_is_not_there_is_said_with_those_that_are(tmp_path):
    with pytest.raises(InputError, match="no sample 'eve'; ann, bob"):
        sample_column(rows(tmp_path, []), "eve")
    sites = HEAD.replace("\tFORMAT\tann\tbob", "")
    with pytest.raises(InputError, match="no sample 'eve'; a VCF with genotypes"):
        sample_column(rows(tmp_path, [], sites), "eve")
