"""Several genomes as one training corpus: no training window, jitter included, touches a held-out
letter.

Windows that could are dropped and counted; what is left is checked again in another way.
"""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from pydantic import Field

from orchid_genomics.data.sampling import Source, Training
from orchid_genomics.data.splits import FunctionalRecipe, GenomeRecipe, Split, read_regions
from orchid_genomics.data.windows import Windows
from orchid_genomics.errors import InputError, RecipeError
from orchid_genomics.genome.regions import Regions, union
from orchid_genomics.recipe import Strict
from orchid_genomics.sequence import Interval

__all__ = ["Corpus", "DataRecipe", "FunctionalRecipe", "GenomeRecipe"]

_CHUNK = 1 << 20  # draws listed at a time for the provenance


class DataRecipe(Strict):
    """The `[data]` block: how genomes are cut into training windows; lengths in nt.

    `stride` apart (default: the length), moved by up to `jitter` either way (default: half a
    stride); windows under `min_acgt` of A, C, G, T are dropped; `strands = "both"` reads half of
    them on the other strand, which a strand-equivariant model does not need.
    """

    length: int = Field(1024, ge=32)
    """Letters of a window."""
    stride: int | None = Field(None, ge=1)
    """Letters from one window to the next; a window's length if not given."""
    jitter: int | None = Field(None, ge=0)
    """How far a window is moved at most, either way; half a stride if not given."""
    min_acgt: float = Field(0.9, ge=0, le=1)
    """Share of A, C, G, T below which a window is dropped."""
    strands: Literal["forward", "both"] = "forward"
    """both: half of the windows are read on the other strand."""

    def reach(self, length: int) -> int:
        """How far a window of `length` is moved at most, in nt either way."""
        return (self.stride or length) // 2 if self.jitter is None else self.jitter


class Corpus:
    """Genomes with weights and splits, opened and checked.

    Raises InputError for files and contigs that are not there, RecipeError for splits that overlap.
    """

    def __init__(self, genomes: tuple[GenomeRecipe, ...], data: DataRecipe) -> None:
        self.recipes, self.data = genomes, data
        seen: dict[Any, int] = {}
        for number, recipe in enumerate(genomes):
            # A second block of one file, also by a link, could train on what the first holds out.
            first = seen.setdefault(recipe.fasta.resolve(), number)
            if first != number:
                message = f"{recipe.fasta} is genomes.{first} already"
                advice = "functional draws a share of one genome"
                raise RecipeError(f"genomes.{number}.fasta", message, advice)
        self.splits = [
            Split.of(recipe, f"genomes.{number}") for number, recipe in enumerate(genomes)
        ]
        self.genomes = [split.genome for split in self.splits]
        self._sources: dict[int, list[Source]] = {}

    def training(self, length: int | None = None, batch: int = 1) -> Training:
        """The training windows of one length (default: `data.length`), in steps of `batch` rows.

        Reads every training contig once for each new length. Raises InputError when a genome or a
        BED leaves no window.
        """
        length = length or self.data.length
        if length not in self._sources:
            self._sources[length] = self._build(length)
        jitter, flip = self.data.reach(length), self.data.strands == "both"
        return Training(self._sources[length], length, batch, jitter, flip)

    def held_out(self, split: str) -> list[tuple[int, Interval]]:
        """Disjoint places of "validation" or "test": whole contigs and BED regions, with the
        genome's number.
        """
        return [
            (number, interval)
            for number, each in enumerate(self.splits)
            for interval in each.held_out[split]
        ]

    def evaluation(self, split: str, length: int | None = None) -> list[Windows]:
        """Windows over everything held out for a split, one `Windows` for each genome that has any.

        `Windows.own` names the letters of each that count: together every held-out letter once.
        """
        return [
            Windows.around(each.genome, each.held_out[split], length or self.data.length)
            for each in self.splits
            if each.held_out[split]
        ]

    def report(self, length: int | None = None) -> dict[str, Any]:
        """What would be trained on, by genome: windows, drops by reason, N and soft-masked %, bases
        by split.

        `overlap` counts the held-out letters that a training window could read: 0, or `training`
        has raised.
        """
        length = length or self.data.length
        sources = self.training(length).sources
        genomes = []
        for number, split in enumerate(self.splits):
            own = [source for source in sources if source.genome == number]
            fasta = str(self.recipes[number].fasta)
            genomes.append({"fasta": fasta} | _summarise(own, length, split))
        jitter = self.data.reach(length)
        overlaps = [
            self.splits[source.genome].overlap(source.windows, jitter) for source in sources
        ]
        return {"length": length, "jitter": jitter, "overlap": sum(overlaps), "genomes": genomes}

    def seen(
        self, seed: int, stages: Iterable[tuple[int, int, int, int]]
    ) -> dict[str, dict[str, list[list[int]]]]:
        """Letters read by training, as disjoint [start, end) by FASTA path and contig.

        Each stage is (length, batch, first step, last step), the last not included.
        """
        seen: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        for length, batch, first, last in stages:
            training = self.training(length, batch)
            for start in range(first * batch, last * batch, _CHUNK):
                number = np.arange(start, min(start + _CHUNK, last * batch))
                draws = training.draws(seed, number // batch, number % batch)
                for code in np.unique(draws.source):
                    source, at = training.sources[code], draws.source == code
                    window = draws.window[at]
                    starts = source.windows.start[window] + draws.shift[at]
                    contigs = source.windows.contig[window]
                    _add(seen, source, Windows(source.windows.genome, contigs, starts, length))
        report: dict[str, dict[str, list[list[int]]]] = {}
        for recipe in self.recipes:
            report[str(recipe.fasta)] = {}
        for (genome, contig), pairs in sorted(seen.items()):
            name = tuple(self.genomes[genome].contigs)[contig]
            report[str(self.recipes[genome].fasta)][name] = np.stack(pairs, axis=1).tolist()
        return report

    def _build(self, length: int) -> list[Source]:
        # By their text: the float 0.1 is a fraction of its own, over 2**55, and no tenth.
        total = sum(Fraction(str(recipe.weight)) for recipe in self.recipes)
        sources = []
        for number, (recipe, split) in enumerate(zip(self.recipes, self.splits, strict=True)):
            share = Fraction(str(recipe.weight)) / total
            self._refuse_too_long(split, length)
            functional = [Fraction(str(part.share)) for part in recipe.functional]
            if sum(functional) < 1:
                if recipe.regions:
                    windows = Windows.around(
                        split.genome, read_regions(recipe.regions, split.genome), length
                    )
                else:
                    windows = Windows.tiles(
                        split.genome, split.contigs["train"], length, self.data.stride, inside=True
                    )
                name = str(recipe.regions or recipe.fasta)
                kept = self._keep(name, windows, split)
                background = share * (1 - sum(functional))
                sources.append(Source(name, number, kept, background, split.soft))
            for part, portion in zip(recipe.functional, functional, strict=True):
                windows = Windows.around(split.genome, read_regions(part.bed, split.genome), length)
                kept = self._keep(str(part.bed), windows, split)
                sources.append(Source(str(part.bed), number, kept, share * portion, split.soft))
        return sources

    def _keep(self, where: str, windows: Windows, split: Split) -> Windows:
        """The windows that may train; raises InputError when none is left."""
        count, jitter = len(windows), self.data.reach(windows.length)
        excluded = Regions.from_intervals(split.excluded)
        windows = windows.on(split.contigs["train"], "not on a training contig")
        windows = windows.without(split.held_out_places, jitter, "could touch a held-out place")
        windows = windows.without(excluded, jitter, "could touch an excluded place")
        # Last, for it alone reads letters, and of fewer windows then.
        windows = windows.mostly_acgt(self.data.min_acgt)
        if not len(windows):
            dropped = windows.dropped.items()
            why = ", ".join(f"{count:,} {reason}" for reason, count in dropped if count)
            message = f"no training window of {windows.length:,} nt is left of {count:,}"
            message += f" ({why})" if why else ""
            advice = "a shorter data.length or jitter, other contigs or a lower data.min_acgt"
            raise InputError(where, message, advice)
        # counted once more in another way: a leak here would spoil every figure without a sign
        overlap = split.overlap(windows, jitter)
        if overlap:
            raise RuntimeError(f"{where}: training windows could read {overlap:,} held-out letters")
        return windows

    def _refuse_too_long(self, split: Split, length: int) -> None:
        sizes = {contig: split.genome.contigs[contig] for contig in split.contigs["train"]}
        if not sizes:
            raise InputError(
                split.genome.path, "every contig is held out or ignored", "at least one to train on"
            )
        longest = max(sizes, key=sizes.__getitem__)
        if sizes[longest] < length:
            message = f"a window of {length:,} nt is longer than every training contig"
            message += f" (the longest, {longest}: {sizes[longest]:,} nt)"
            raise InputError(split.genome.path, message, "a shorter data.length")


def _summarise(sources: list[Source], length: int, split: Split) -> dict[str, Any]:
    """What of one genome would be trained on."""
    dropped: Counter[str] = Counter()
    composition = np.zeros(2, np.int64)
    for source in sources:
        dropped.update(source.windows.dropped)
        composition += source.windows.composition().sum(axis=1)
    known, soft = composition.tolist()
    windows = sum(len(source.windows) for source in sources)
    overhang = sum(source.windows.overhang for source in sources)
    letters = windows * length - overhang
    return {
        "share": float(sum(source.share for source in sources)),
        "windows": windows,
        "sources": [
            {"name": each.name, "share": float(each.share), "windows": len(each.windows)}
            for each in sources
        ],
        "dropped": dict(dropped),
        "n_percent": 100 * (1 - known / letters),
        "soft_masked_percent": 100 * soft / letters,
        "overhang": overhang,
        "contigs": {name: len(contigs) for name, contigs in split.contigs.items()},
        "bases": split.bases(),
    }


def _add(
    seen: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]],
    source: Source,
    drawn: Windows,
) -> None:
    """Join what windows that were drawn read of their contigs to what was seen before."""
    rows, starts, ends = drawn.letters_read()
    contig = drawn.contig[rows]
    for code in np.unique(contig):
        at = contig == code
        key = (source.genome, int(code))
        before_starts, before_ends = seen.get(key, (starts[:0], ends[:0]))
        now_starts = np.concatenate([before_starts, starts[at]])
        now_ends = np.concatenate([before_ends, ends[at]])
        seen[key] = union(now_starts, now_ends)
