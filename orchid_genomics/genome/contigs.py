"""Contig names of a file against those of a genome; chrX is a letter in one genome and ten in
another.

Only the prefix `chr` and the spellings of the mitochondrion are bridged, never Roman and Arabic
numerals.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable

from orchid_genomics.errors import InputError

_MITOCHONDRION = {"M", "MT", "MITO", "MITOCHONDRION"}


class GenomeNote(UserWarning):
    """What a user should hear once about a genome's files, though the work goes on."""


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, the middle left out when there are many."""
    names = list(names)
    if len(names) <= most + 2:
        return ", ".join(names) if names else "none"
    return f"{', '.join(names[: most - 1])}, ... {names[-1]} ({len(names)} in all)"


def rename(
    names: Iterable[str], contigs: Iterable[str], where: object, genome: object
) -> dict[str, str]:
    """Every name of a file to the contig that it means: itself, else chr1 <-> 1 and chrM <-> MT,
    Mito, M.

    The mapping is announced once by a GenomeNote. Raises InputError with both lists of names when
    one name means no contig, several, or the same contig as another name.
    """
    names, contigs = list(dict.fromkeys(names)), list(contigs)
    known, cores = set(contigs), defaultdict(list)
    for contig in contigs:
        cores[_core(contig)].append(contig)
    mapped, taken = {}, {name: name for name in names if name in known}
    for name in names:
        choices = [name] if name in known else cores[_core(name)]
        if len(choices) != 1 or taken.get(choices[0], name) != name:
            raise _unknown(name, names, contigs, choices, where, genome)
        mapped[name] = choices[0]
        taken[choices[0]] = name
    changed = [f"{name} -> {contig}" for name, contig in mapped.items() if name != contig]
    if changed:
        warnings.warn(
            f"{where}: contigs renamed to those of {genome}: {listed(changed)}",
            GenomeNote,
            stacklevel=3,
        )
    return mapped


def shared(
    names: Iterable[str], contigs: Iterable[str], where: object, genome: object
) -> dict[str, str]:
    """`rename` for those of the names that mean a contig at all; a file may say more than a genome
    holds.
    """
    contigs = list(contigs)
    known = set(contigs) | {_core(contig) for contig in contigs}
    return rename(
        (name for name in names if name in known or _core(name) in known), contigs, where, genome
    )


def _core(name: str) -> str:
    core = name[3:] if name[:3].lower() == "chr" and len(name) > 3 else name
    return "MT" if core.upper() in _MITOCHONDRION else core


def _unknown(
    name: str, names: list, contigs: list, choices: list, where: object, genome: object
) -> InputError:
    lists = f"{listed(contigs)} in {genome}" + (f"; {listed(names)} here" if len(names) > 1 else "")
    if not choices:
        return InputError(where, f"unknown contig {name!r}", f"possible: {lists}")
    return InputError(
        where, f"contig {name!r} could mean {listed(choices)}, which is not the only one", lists
    )
