"""Contig names of a file against those of a genome; chrX is a letter in one genome and ten in
another.

The trap: a wrong guess reads another chromosome without a word. So names are bridged only where one
contig alone can be meant, every bridge is said, and a file of aliases settles the rest.
"""

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchid_genomics.errors import GenomeNote, InputError
from orchid_genomics.files import read_lines

_MITOCHONDRION = {"M", "MT", "MITO", "MTDNA", "MITOCHONDRION", "MITOCHONDRION_GENOME"}
# Each part may be empty, so the look-ahead asks for one letter at least.
_ROMAN = re.compile(r"(?=[XVI])(X{0,3})(IX|IV|V?I{0,3})")
_UNITS = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, the middle left out when there are many."""
    names = list(names)
    if len(names) <= most + 2:
        return ", ".join(names) if names else "none"
    return f"{', '.join(names[: most - 1])}, ... {names[-1]} ({len(names)} in all)"


def read_aliases(path: str | Path, contigs: Iterable[str]) -> dict[str, str]:
    """Other names of a genome's contigs, from a text with two names of one contig in each line.

    Columns lie between tabs or spaces, either first; more columns and lines that begin with ``#``
    are passed over, and so are lines of which neither name is a contig of the genome.

    Raises
    ------
    InputError
        For one column, a name that is given to two contigs, and when no line names a contig.
    """
    known, aliases = set(contigs), dict[str, str]()
    for number, line in read_lines(path):
        words = line.split("\t") if "\t" in line else line.split()
        if not words or line.startswith("#"):
            continue
        where = f"{path} line {number}"
        if len(words) < 2:
            raise InputError(where, "one column", "two names of a contig, between tabs")
        one, other = (word.strip() for word in words[:2])
        contig, alias = (one, other) if one in known else (other, one)
        # A contig's own name means that contig, and can be no alias of another.
        if contig not in known or alias in known:
            continue
        if aliases.setdefault(alias, contig) != contig:
            message = f"{alias!r} is {contig} here and {aliases[alias]} above"
            raise InputError(where, message, "one contig a name")
    if not aliases:
        raise InputError(path, "no line names a contig", f"possible: {listed(known)}")
    return aliases


class ContigNames:
    """The names of a genome's contigs, and what else each may be called.

    A name means itself; else what an alias says; else the contig that differs by ``chr`` or by the
    spelling of the mitochondrion alone (chr1 is 1; chrM is MT, Mito, M); else the one that says its
    number in Roman or Arabic (13 is XIII and chrXIII).

    Parameters
    ----------
    contigs : iterable of str
    genome : object
        What messages call the genome.
    aliases : mapping, optional
        Another name to a contig.
    """

    def __init__(
        self, contigs: Iterable[str], genome: object, aliases: Mapping[str, str] | None = None
    ) -> None:
        self.contigs, self.genome = tuple(contigs), genome
        self.aliases = dict(aliases or {})
        self._known = frozenset(self.contigs)
        self._by_core: dict[str, list[str]] = defaultdict(list)
        self._by_number: dict[int, list[str]] = defaultdict(list)
        for contig in self.contigs:
            self._by_core[_core(contig)].append(contig)
            number = _number(contig, self.contigs)
            if number is not None:
                self._by_number[number].append(contig)

    def candidates(self, name: str, beside: Iterable[str] = ()) -> list[str]:
        """The contigs that a name could mean; `beside` are the names that stand in its file."""
        if name in self._known:
            return [name]
        if name in self.aliases:
            return [self.aliases[name]]
        choices = self._by_core.get(_core(name), [])
        if choices:
            return list(choices)
        number = _number(name, beside)
        return [] if number is None else list(self._by_number.get(number, []))

    def rename(self, names: Iterable[str], where: object) -> dict[str, str]:
        """Every name of a file `where` to the contig that it means, said once by a GenomeNote.

        Raises InputError with both lists of names when a name means no contig, several, or the same
        contig as another name.
        """
        names = list(dict.fromkeys(names))
        return self._rename(names, names, where)

    def shared(self, names: Iterable[str], where: object) -> dict[str, str]:
        """`rename` for those of the names that mean a contig at all; a file may say more than a
        genome holds.
        """
        names = list(dict.fromkeys(names))
        known = [name for name in names if self.candidates(name, names)]
        return self._rename(known, names, where)

    def _rename(self, names: list[str], beside: list[str], where: object) -> dict[str, str]:
        renamed = dict[str, str]()
        # Names that are the genome's own claim their contigs first, wherever they stand.
        owner = {name: name for name in names if name in self._known}
        for name in names:
            choices = self.candidates(name, beside)
            if len(choices) != 1 or owner.get(choices[0], name) != name:
                raise self._unclear(name, names, choices, where)
            renamed[name] = choices[0]
            owner[choices[0]] = name
        changed = [f"{name} -> {contig}" for name, contig in renamed.items() if name != contig]
        if changed:
            warnings.warn(
                f"{where}: contigs renamed to those of {self.genome}: {listed(changed)}",
                GenomeNote,
                stacklevel=4,
            )
        return renamed

    def _unclear(
        self, name: str, names: list[str], choices: list[str], where: object
    ) -> InputError:
        lists = f"{listed(self.contigs)} in {self.genome}"
        lists += f"; {listed(names)} here" if len(names) > 1 else ""
        if not choices:
            return InputError(where, f"unknown contig {name!r}", f"possible: {lists}")
        message = f"contig {name!r} could mean {listed(choices)}, which is not the only one"
        return InputError(where, message, lists)


def shared(
    names: Iterable[str], contigs: Iterable[str], where: object, genome: object
) -> dict[str, str]:
    """`ContigNames.shared` for contigs without an open genome."""
    return ContigNames(contigs, genome).shared(names, where)


def note_skipped(where: object, what: str, contigs: Counter[str], genome: object) -> None:
    """Say by a GenomeNote what is left out because the genome lacks its contigs.

    Parameters
    ----------
    where : object
        The file.
    what : str
        What its records are called, such as "records".
    contigs : Counter
        How many on each contig.
    genome : object
        What messages call the genome.
    """
    each = listed([f"{contig} ({count:,})" for contig, count in contigs.items()])
    warnings.warn(
        f"{where}: {contigs.total():,} {what} left out, on contigs that {genome} lacks: {each}",
        GenomeNote,
        stacklevel=4,
    )


def is_mitochondrion(name: str) -> bool:
    """Whether a contig is named as mitochondria are: M, MT, Mito, MtDNA, with ``chr`` or
    without.
    """
    return _core(name) == "MT"


def _core(name: str) -> str:
    core = name[3:] if name[:3].lower() == "chr" and len(name) > 3 else name
    return "MT" if core.upper() in _MITOCHONDRION else core


def _number(name: str, beside: Iterable[str]) -> int | None:
    """The number that a name of a chromosome says, in Arabic or Roman; None for another name.

    X is ten only where IX stands beside it: it is a sex chromosome elsewhere, also in the worm,
    whose others are Roman.
    """
    core = _core(name)
    if core.isascii() and core.isdecimal() and len(core) < 4:
        return int(core)
    match = _ROMAN.fullmatch(core)
    if not match or (core == "X" and "IX" not in map(_core, beside)):
        return None
    return 10 * len(match[1]) + _UNITS[match[2]]
