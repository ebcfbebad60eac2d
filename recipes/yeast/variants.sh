#!/bin/sh
# What variants.md reports: sh variants.sh MODEL OUT (a folder for the files; about 100 MB)
set -e
model=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")"

# Every single-letter change of 200 genes of the test chromosomes, classified; those that overlap another gene are left out
# (as is the last tenth of every coding sequence).
orchid-genomics mutate sacCer3.fa.gz sacCer3.ensembl99.gff3.gz --contigs chrVII,chrXIII --genes "${GENES:-200}" \
    -o "$out/orfs.vcf.gz"

# All of them from one pass a window; every change at one letter in 50 masked as well.
orchid-genomics score-variants "$model" sacCer3.fa.gz "$out/orfs.vcf.gz" --scores llr_unmasked -o "$out/unmasked.vcf.gz"
zcat "$out/orfs.vcf.gz" | awk -v every="${EVERY:-50}" '/^#/ || $2 % every == 0' |
    orchid-genomics score-variants "$model" sacCer3.fa.gz - --scores llr,llr_unmasked -o "$out/masked.vcf.gz"

judge() { # scores, baselines, a name, then what is compared
    scores=$1 baselines=$2 name=$3
    shift 3
    orchid-genomics evaluate-variants "$out/$scores.vcf.gz" "$@" --strata CONTEXT --genome sacCer3.fa.gz --model "$model" \
        --baselines $baselines -o "$out/$scores.$name.json" > "$out/$scores.$name.txt"
}

for files in "unmasked look-up,counts,random" "masked look-up,counts"; do # $files: two words
    judge $files stop --label BCSQ --positive stop_gained --negative synonymous
    judge $files frame --label FRAME --positive in_frame --negative out_of_frame --strata STOP
    judge $files letter --label BCSQ --positive stop_gained --negative missense --strata CODON_LETTER
    judge $files missense --label BCSQ --positive missense --negative synonymous
done
cat "$out"/unmasked.*.txt "$out"/masked.*.txt
