"""All substitutions of a genome as files: a VCF with a record for each letter, or a track of one
value a letter.

The trap: the text of a genome is hundreds of megabytes, so a stretch is formatted as a whole and
never record by record.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from orchid_genomics import __version__
from orchid_genomics.jobs.formats import VCF_INDEX, TextFormat
from orchid_genomics.jobs.task import Format, Identity
from orchid_genomics.score.elements.element_files import TRACKS, TrackFormat
from orchid_genomics.sequence import DNA

KINDS = ("vcf.gz", "vcf", *TRACKS)
LETTERS = "ACGT"
TRACK_VALUES = ("mean", "min", *LETTERS)
SCORE = "llr_unmasked"
INFO = f"ORCHID_{SCORE.upper()}"
_ABOUT = (
    "Log-likelihood ratio of the alternate to the reference letter, read with the letters in sight "
    "and corrected for what training showed, in nats; < 0: the alternate is less likely"
)
_ALTS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # the other letters of each


class SubstitutionIdentity(Identity):
    """What decides a byte of the scores of a genome; `model`, `genome`, `regions` are checksums."""

    summary_fields = ("model", "genome", "regions", "score", "window", "track")

    model: str
    genome: str
    regions: str | None = None
    score: str = SCORE
    window: int
    track: str | None = None
    contigs: dict[str, int]

    @property
    def head(self) -> bytes:
        """The header of a VCF."""
        made = f"model {self.model}; genome {self.genome[:12]}; scores {self.score}"
        lines = [
            "##fileformat=VCFv4.3",
            f"##orchid-genomics={__version__}; {made}; window {self.window}",
            *(f"##contig=<ID={name},length={size}>" for name, size in self.contigs.items()),
            f"##INFO=<ID={INFO},Number=A,Type=Float,"
            f'Description="{_ABOUT} (window {self.window} nt)">',
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n",
        ]
        return "\n".join(lines).encode()


def substitution_format(identity: SubstitutionIdentity) -> Format:
    """How the parts of a job are written and joined."""
    if identity.kind in TRACKS:
        return TrackFormat(identity.contigs)
    packed = identity.kind.endswith(".gz")
    return TextFormat(identity.head, packed, VCF_INDEX, max(identity.contigs.values()))


@dataclass(frozen=True)
class Substitutions:
    """The scores of a stretch of a contig from letter `start` (0-based).

    Attributes: `codes_L` its letters; `ratios_LV` log p(letter) - log p(reference) in nats, 0 for
    the reference and NaN where that is N.
    """

    contig: str
    start: int
    codes_L: np.ndarray
    ratios_LV: np.ndarray

    @classmethod
    def of(
        cls, contig: str, start: int, codes_L: np.ndarray, logs_LV: np.ndarray
    ) -> "Substitutions":
        """Those that follow from the log-probabilities (L, 4) of the letters."""
        known_L = codes_L < DNA.count
        reference_L = np.where(known_L, codes_L, 0)[:, None]
        ratios_LV = logs_LV - np.take_along_axis(logs_LV, reference_L, 1)
        ratios_LV[~known_L] = np.nan
        return cls(contig, start, codes_L, ratios_LV)

    @property
    def known_L(self) -> np.ndarray:
        """Whether each letter is A, C, G or T."""
        return self.codes_L < DNA.count

    @property
    def alternates(self) -> np.ndarray:
        """Scores (known letters, 3) of the other letters of each, in order of the alphabet."""
        codes = self.codes_L[self.known_L]
        return np.take_along_axis(self.ratios_LV[self.known_L], _ALTS[codes], 1)

    def render(self, identity: SubstitutionIdentity) -> Any:
        """The stretch as `substitution_format` takes it."""
        if identity.kind in TRACKS:
            return self.contig, self.start, self.along(identity.track or "")
        return self.records()

    def records(self) -> bytes:
        """A VCF record for each letter that is not N, with its three ALTs."""
        lines = _line_templates(self.contig)
        template = b"".join([lines[code] for code in self.codes_L[self.known_L].tolist()])
        places = (self.start + 1 + np.flatnonzero(self.known_L)).tolist()
        numbers = (self.alternates + 0.0).T.tolist()  # no -0
        return template % tuple(chain.from_iterable(zip(places, *numbers, strict=True)))

    def along(self, track: str) -> np.ndarray:
        """One value a letter (L,): the mean or the least of its three scores, or that of one letter
        as the alternate; NaN where there is none.
        """
        values_L = np.full(len(self.codes_L), np.nan)
        if track in LETTERS:
            letter = LETTERS.index(track)
            values_L = self.ratios_LV[:, letter].copy()
            values_L[self.codes_L == letter] = np.nan
        elif track == "min":
            values_L[self.known_L] = self.alternates.min(1)
        else:
            values_L[self.known_L] = self.alternates.mean(1)
        return values_L


def _line_templates(contig: str) -> list[bytes]:
    """For each reference letter its record, with room for the place and three numbers.

    Five significant digits, as everywhere in a VCF of ours.
    """
    lines = []
    name = contig.replace("%", "%%")
    for code, letter in enumerate(LETTERS):
        alts = ",".join(LETTERS[alt] for alt in _ALTS[code])
        lines.append(f"{name}\t%d\t.\t{letter}\t{alts}\t.\t.\t{INFO}=%.5g,%.5g,%.5g\n")
    return [line.encode() for line in lines]
