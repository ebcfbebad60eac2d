"""What a pretraining run reads, by the `kind` of its recipe; one file each, its recipe on top.

genomes: windows of genomes · copies: the same, with segments planted a second time · recall:
sequences made up on the spot.
"""

from orchid_genomics.tasks.pretraining.copy_runs import CopiesRunRecipe, CopiesSource
from orchid_genomics.tasks.pretraining.genome_runs import GenomeSource, PretrainRecipe
from orchid_genomics.tasks.pretraining.recall_runs import RecallRunRecipe, RecallSource
from orchid_genomics.tasks.pretraining.source import (
    SOURCES,
    RunRecipe,
    Source,
    open_source,
    run_recipe,
)

__all__ = [
    "SOURCES",
    "CopiesRunRecipe",
    "CopiesSource",
    "GenomeSource",
    "PretrainRecipe",
    "RecallRunRecipe",
    "RecallSource",
    "RunRecipe",
    "Source",
    "open_source",
    "run_recipe",
]
