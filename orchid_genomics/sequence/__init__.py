"""Letters and places, in numpy alone."""

from orchid_genomics.sequence.alphabet import CODE, DNA, SOFT, Alphabet, alphabet
from orchid_genomics.sequence.interval import Interval, Variant

__all__ = ["CODE", "DNA", "SOFT", "Alphabet", "Interval", "Variant", "alphabet"]
