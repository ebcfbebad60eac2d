"""Damage of the kinds that files meet: bits flipped, lines doubled, fields swapped, numbers grown.

Each function takes bytes and a generator and gives other bytes; `mutate` picks some of them.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")
Rng = np.random.Generator
_NUMBERS = """
    -1 0 00 1.5 5.12 1e400 -1e400 nan inf 9223372036854775808 18446744073709551616 4294967296
    2147483648 536870913 0x10 1_000 +7 .
"""
ODD_NUMBERS = ["9" * 5000, "1" * 400, "", *_NUMBERS.split()]
_WORDS = """
    . * chrI CHRI 1 XIII " ' ## # > ; = , <DEL> N U - + ? %0A \\ {} NaN é
"""
ODD_WORDS = ["", " ", "\x00", "\ufeff", "\udcff", "a" * 70_000, *_WORDS.split()]


def pick(choices: Sequence[Choice], rng: Rng) -> Choice:
    """One of them as it is; numpy's own choice would cut the zeros off bytes."""
    return choices[int(rng.integers(len(choices)))]


def flip_bits(raw: bytes, rng: Rng) -> bytes:
    out = bytearray(raw)
    for _ in range(int(rng.integers(1, 9))):
        if out:
            out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def truncate(raw: bytes, rng: Rng) -> bytes:
    return raw[: int(rng.integers(len(raw) + 1))]


def repeat_block(raw: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(len(raw) + 1, size=2))
    end = min(end, start + 4096)
    return raw[:end] + raw[start:end] + raw[end:]


def drop_block(raw: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(raw) + 1))
    return raw[:start] + raw[start + int(rng.integers(1, 200)) :]


def fill_block(raw: bytes, rng: Rng) -> bytes:
    start, size = int(rng.integers(len(raw) + 1)), int(rng.integers(1, 64))
    value = pick([b"\x00", b"\xff", b"\x7f", b"\n", b"\t"], rng)
    return raw[:start] + value * size + raw[start + size :]


def insert_noise(raw: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(raw) + 1))
    return raw[:start] + rng.bytes(int(rng.integers(1, 40))) + raw[start:]


def _of_lines(change: Callable[[list[bytes], Rng], list[bytes]]) -> Callable[[bytes, Rng], bytes]:
    def mutator(raw: bytes, rng: Rng) -> bytes:
        return b"".join(change(raw.splitlines(keepends=True) or [b""], rng))

    mutator.__name__ = change.__name__
    return mutator


@_of_lines
def double_line(lines: list[bytes], rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(lines)))
    return lines[: at + 1] + lines[at:]


@_of_lines
def drop_line(lines: list[bytes], rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(lines)))
    return lines[:at] + lines[at + 1 :]


@_of_lines
def swap_lines(lines: list[bytes], rng: Rng) -> list[bytes]:
    one, other = rng.integers(len(lines), size=2)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


@_of_lines
def join_lines(lines: list[bytes], rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(lines)))
    lines[at] = lines[at].rstrip(b"\r\n")
    return lines


@_of_lines
def blank_line(lines: list[bytes], rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(lines) + 1))
    return [*lines[:at], pick([b"\n", b" \n", b"\t\t\n", b"#\n"], rng), *lines[at:]]


@_of_lines
def other_line_ends(lines: list[bytes], rng: Rng) -> list[bytes]:
    end = pick([b"\r\n", b"\r", b"\n\n"], rng)
    return [line.rstrip(b"\r\n") + end for line in lines]


def byte_order_mark(raw: bytes, rng: Rng) -> bytes:
    return pick([b"\xef\xbb\xbf", b"\xff\xfe"], rng) + raw


def _of_fields(change: Callable[[list[bytes], int, Rng], None]) -> Callable[[bytes, Rng], bytes]:
    """A change of one field of one line, by tabs or commas or spaces, whichever it has."""

    def mutator(raw: bytes, rng: Rng) -> bytes:
        lines = raw.splitlines(keepends=True)
        if not lines:
            return raw
        at = int(rng.integers(len(lines)))
        text = lines[at].rstrip(b"\r\n")
        end = lines[at][len(text) :]
        separators = [one for one in (b"\t", b",", b";", b" ", b":", b"=") if one in text]
        separator = separators[0] if separators else b"\t"
        if len(separators) > 1 and rng.random() < 0.3:
            separator = pick(separators, rng)
        fields = text.split(separator)
        change(fields, int(rng.integers(len(fields))), rng)
        lines[at] = separator.join(fields) + end
        return b"".join(lines)

    mutator.__name__ = change.__name__
    return mutator


@_of_fields
def swap_fields(fields: list[bytes], at: int, rng: Rng) -> None:
    other = int(rng.integers(len(fields)))
    fields[at], fields[other] = fields[other], fields[at]


@_of_fields
def drop_field(fields: list[bytes], at: int, rng: Rng) -> None:
    del fields[at]


@_of_fields
def double_field(fields: list[bytes], at: int, rng: Rng) -> None:
    fields.insert(at, fields[at])


@_of_fields
def odd_word(fields: list[bytes], at: int, rng: Rng) -> None:
    fields[at] = pick(ODD_WORDS, rng).encode("utf-8", "surrogateescape")


@_of_fields
def odd_number(fields: list[bytes], at: int, rng: Rng) -> None:
    numbers = [i for i, field in enumerate(fields) if field.strip(b" -+.").isdigit()]
    at = pick(numbers, rng) if numbers else at
    fields[at] = pick(ODD_NUMBERS, rng).encode()


@_of_fields
def grow_number(fields: list[bytes], at: int, rng: Rng) -> None:
    numbers = [i for i, field in enumerate(fields) if field.isdigit() and len(field) < 300]
    if numbers:
        at = pick(numbers, rng)
        fields[at] = str(int(fields[at]) * 10 ** int(rng.integers(1, 20))).encode()


OF_BYTES = (flip_bits, truncate, repeat_block, drop_block, fill_block, insert_noise)
OF_TEXT = (
    double_line,
    drop_line,
    swap_lines,
    join_lines,
    blank_line,
    other_line_ends,
    byte_order_mark,
    swap_fields,
    drop_field,
    double_field,
    odd_word,
    odd_number,
    grow_number,
)


def mutate(raw: bytes, rng: Rng, text: bool) -> tuple[bytes, str]:
    """Other bytes, and by what: one to three changes, of text mostly by lines and fields."""
    names = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        choices = OF_TEXT if text and rng.random() < 0.8 else OF_BYTES
        change = pick(choices, rng)
        raw = change(raw, rng)
        names.append(change.__name__)
    return raw, " + ".join(names)
