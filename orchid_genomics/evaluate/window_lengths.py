"""Do longer windows help, or hurt? Bits on the same hidden letters in windows of many lengths.

The trap: windows of two lengths that are tiled over other letters answer other questions. Here
every length reads the same stretches whole, with the same letters hidden.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchid_genomics.evaluate.bootstrap import paired_bootstrap
from orchid_genomics.evaluate.held_out import HeldOut
from orchid_genomics.evaluate.masked_letters import LetterModel, masked_bits
from orchid_genomics.evaluate.score_table import align
from orchid_genomics.train.distributed import Ranks

SHORTEST, LONGEST = 512, 131_072
REFERENCE = 1024  # the length that the others are compared with
_BLOCK = 10_000  # letters that are one sample of a standard error


@dataclass(frozen=True)
class LengthBits:
    """Masked bits a letter in windows of one length.

    Attributes
    ----------
    length
        Letters of a window.
    mean, error
        Bits, and their standard error over blocks of 10 kb.
    minus, low, high
        Their difference from windows of the reference length, with its 95 % interval (paired).
    """

    length: int
    mean: float
    error: float
    minus: float
    low: float
    high: float


def powers(shortest: int = SHORTEST, longest: int = LONGEST) -> list[int]:
    """Lengths from one to the other, each twice the one before."""
    lengths = [shortest]
    while lengths[-1] * 2 <= longest:
        lengths.append(lengths[-1] * 2)
    return lengths


def cut_stretches(pieces: Sequence[HeldOut], length: int, count: int) -> list[HeldOut]:
    """Stretches of `length` letters that are held out whole, as evenly spread as contigs allow.

    They begin at multiples of `length`, so that the tiles of every shorter length (a divisor) end
    where they end. At most `count`.
    """
    starts = []
    for number, piece in enumerate(pieces):
        for start in range(0, len(piece.tokens) - length + 1, length):
            if piece.inside[start : start + length].all():
                starts.append((number, start))
    count = min(count, len(starts))
    chosen = [starts[len(starts) * i // count] for i in range(count)]
    stretches = []
    for number, start in chosen:
        piece, inside = pieces[number], slice(start, start + length)
        stretches.append(
            replace(
                piece,
                tokens=piece.tokens[inside],
                inside=piece.inside[inside],
                hidden=piece.hidden[inside],
            )
        )
    return stretches


def bits_by_length(
    model: LetterModel,
    stretches: Sequence[HeldOut],
    lengths: Sequence[int],
    *,
    ranks: Ranks,
    letters: int = 1 << 17,
    done: Callable[[int], None] = lambda _: None,
) -> list[LengthBits]:
    """Bits on the hidden letters of some stretches, in windows of each length.

    Parameters
    ----------
    model
        The model.
    stretches
        What is read, as `cut_stretches` gives it.
    lengths
        Letters of a window; `REFERENCE` is measured whether it is among them or not.
    ranks
        The processes that share the windows.
    letters
        Letters that are read at once, at most, where windows are shorter.
    done
        Hears every length once it is read.
    """
    model.eval()
    bits = {}
    for length in dict.fromkeys((REFERENCE, *lengths)):
        batch = max(1, letters // length)
        rows = masked_bits(model, stretches, length, batch=batch, ranks=ranks)
        bits[length] = np.concatenate(rows).astype(float)
        done(length)
    targets = [stretch.targets for stretch in stretches]
    contig = np.repeat(np.arange(len(stretches)), [len(at) for at in targets])
    position = np.concatenate(targets)
    table = []
    for length in lengths:
        minus, low, high = paired_bootstrap(bits[length], bits[REFERENCE], contig, position)
        error = block_error(bits[length], contig, position)
        table.append(LengthBits(length, float(bits[length].mean()), error, minus, low, high))
    return table


def block_error(bits: np.ndarray, contig: np.ndarray, position: np.ndarray) -> float:
    """The standard error of a mean over letters (N,), from the spread of blocks of 10 kb; NaN of
    one block.
    """
    number = contig * (position.max(initial=0) // _BLOCK + 1) + position // _BLOCK
    _, which = np.unique(number, return_inverse=True)
    weight = np.bincount(which)
    if len(weight) < 2:
        return float("nan")
    # The error of a ratio of sums: the blocks' sums, less what their letters would have had.
    residual = np.bincount(which, bits) - bits.mean() * weight
    count = len(weight)
    return float(np.sqrt((residual**2).sum() * count / (count - 1)) / weight.sum())


def text(table: Sequence[LengthBits]) -> str:
    """The table for people."""
    lines = [["window, nt", "bits", "error", f"minus {REFERENCE:,} nt", "95 % interval"]]
    for each in table:
        interval = f"{each.low:+.4f} to {each.high:+.4f}"
        numbers = [f"{each.mean:.4f}", f"{each.error:.4f}", f"{each.minus:+.4f}", interval]
        lines.append([f"{each.length:,}", *numbers])
    return align(lines)
