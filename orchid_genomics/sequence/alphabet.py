"""Letters <-> uint8 tokens; bit 7 (`SOFT`) marks lower case, so that case survives until the loss.

An alphabet of n letters has n + 3 token codes: the letters 0..n-1, then N (unknown), MASK and PAD.
The code of a token is ``token & 0x7F``; only the embedding and the loss look below the bit.
"""

import reprlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from orchid_genomics.errors import GenomeNote, InputError, RecipeError

SOFT = 0x80  # soft-masked (lower case) letters carry this bit
CODE = 0x7F  # and these say which letter it is
MOST_SYMBOLS = 1 << 16  # of an alphabet; a config of a stranger may ask for any number
_IUPAC = "RYSWKMBDHVN"
_RNA = {"T": "U"}  # the letter that RNA has in its place


@dataclass(frozen=True)
class Alphabet:
    """A set of letters, with their complement where reading the other strand means something.

    Attributes: `letters` the written form, "" for symbols that are never read from text; `count`
    the number of letters; `complement` the code of each letter on the other strand, or None.
    """

    name: str
    count: int
    letters: str = ""
    complement: tuple[int, ...] | None = None
    unknown: str = field(default="N")

    @property
    def n(self) -> int:
        """The code of an unknown letter."""
        return self.count

    @property
    def mask(self) -> int:
        return self.count + 1

    @property
    def pad(self) -> int:
        return self.count + 2

    @property
    def size(self) -> int:
        """Number of codes: letters, N, MASK and PAD."""
        return self.count + 3

    @property
    def complement_codes(self) -> tuple[int, ...]:
        """The complement of every code; N, MASK and PAD are their own."""
        if self.complement is None:
            raise RecipeError(f"alphabet {self.name}", "has no complement", 'strands = "dense"')
        return (*self.complement, self.n, self.mask, self.pad)

    @cached_property
    def _encode_table(self) -> bytes:
        # 255 marks a byte that is no letter; it is no token of an alphabet that is read from text.
        table = np.full(256, 255, np.uint8)
        for letter in _IUPAC:
            table[[ord(letter), ord(letter.lower())]] = self.n, self.n | SOFT
        for code, letter in enumerate(self.letters):
            for written in (letter, _RNA.get(letter, letter)):
                table[[ord(written), ord(written.lower())]] = code, code | SOFT
        return table.tobytes()

    @cached_property
    def _complement_table(self) -> bytes:
        table = np.arange(256, dtype=np.uint8)
        for code, other in enumerate(self.complement_codes):
            table[[code, code | SOFT]] = other, other | SOFT
        return table.tobytes()

    @cached_property
    def _decode_table(self) -> np.ndarray:
        table = np.full(256, ord("?"), np.uint8)
        written = self.letters + self.unknown + "#" + "-"
        for code, letter in enumerate(written):
            table[[code, code | SOFT]] = ord(letter), ord(letter.lower())
        return table

    def encode(self, text: str | bytes, where: str = "sequence", start: int = 0) -> np.ndarray:
        """Letters to tokens (L,) uint8.

        U is T, said once by a GenomeNote; other IUPAC codes than the letters become N; case is
        kept.

        Parameters
        ----------
        text : str or bytes
        where : str
            What a message calls the text.
        start : int
            The 0-based place of its first letter.

        Raises
        ------
        InputError
            For a byte that is no IUPAC letter, naming the first by its 1-based place.
        """
        # From a bytearray the tokens can be written to; from bytes they would be read-only.
        raw = bytearray(text.encode() if isinstance(text, str) else text)
        # a byte's table is 7 times as fast as an index into an array
        tokens = np.frombuffer(raw.translate(self._encode_table), np.uint8)
        if tokens.size and tokens.max() == 255:
            at = int(np.argmax(tokens == 255))
            message = f"{chr(raw[at])!r} at letter {start + at + 1:,} is no nucleotide code"
            raise InputError(where, message, "A C G T N and the other IUPAC codes")
        if b"U" in raw or b"u" in raw:
            # without its place, so that Python says it once and not for every row of a table
            warnings.warn("letters U are read as T, as in RNA", GenomeNote, stacklevel=1)
        return tokens

    def decode(self, tokens: np.ndarray) -> str:
        """Tokens to letters; MASK is written ``#`` and PAD ``-``."""
        return self._decode_table[np.asarray(tokens, np.uint8)].tobytes().decode("ascii")

    def reverse_complement(self, tokens: np.ndarray) -> np.ndarray:
        """The other strand of tokens (..., L): reversed and complemented, case kept."""
        flipped = bytearray(np.ascontiguousarray(tokens[..., ::-1], np.uint8))
        return np.frombuffer(flipped.translate(self._complement_table), np.uint8).reshape(
            tokens.shape
        )


DNA = Alphabet("dna", 4, "ACGT", complement=(3, 2, 1, 0))
"""The letters of genomes: A, C, G, T are tokens 0 to 3, all that is none of them N."""


@lru_cache
def alphabet(name: str) -> Alphabet:
    """The alphabet of a name: ``dna``, or ``symbols:20`` for 20 symbols without a complement."""
    if name == "dna":
        return DNA
    kind, _, count = name.partition(":")
    symbols = int(count) if count.isascii() and count.isdigit() and len(count) < 6 else 0
    if kind == "symbols" and 1 < symbols <= MOST_SYMBOLS:
        return Alphabet(name, symbols)
    message = f"unknown name {reprlib.repr(name)}"
    raise RecipeError("alphabet", message, f"dna, or symbols:N with N from 2 to {MOST_SYMBOLS:,}")
