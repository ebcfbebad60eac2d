"""Attributions in genome browsers: an IGV session and a UCSC track line that draw a 1-bp bigWig as
letters (dynseq).

IGV reads paths beside its session; UCSC reads addresses that it can reach, so its line is completed
by the user.
Reference: Nair et al. 2022, "The dynseq browser track shows context-specific features at nucleotide
resolution".
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from orchid_genomics.errors import InputError
from orchid_genomics.files import atomic_file
from orchid_genomics.genome.signal import BIGWIG
from orchid_genomics.sequence import Interval

MOST_REGIONS = 500
_ROOM = 20  # letters shown on either side of the first region


def write_browser_files(
    bigwigs: Mapping[str, str | Path],
    fasta: str | Path,
    regions: Sequence[Interval],
    annotation: Sequence[str | Path] = (),
    contigs: Mapping[str, int] | None = None,
) -> tuple[Path, Path]:
    """Write `NAME.igv.xml` and `NAME.ucsc.txt` beside the first of `bigwigs`.

    Parameters
    ----------
    bigwigs : mapping
        The name that a browser shows, and the file.
    fasta : str or Path
        The genome.
    regions : sequence of Interval
        What was explained: the first is shown when the session opens, all (500 at most) are IGV's
        regions of interest.
    annotation : sequence of str or Path
        Files to show below (BED, GFF).
    contigs : mapping, optional
        Lengths of contigs, beyond which nothing is shown.

    Returns
    -------
    (Path, Path)
        The session and the lines.

    Raises
    ------
    InputError
        For a track that is no bigWig, which alone is drawn as letters.
    """
    files = {name: Path(path) for name, path in bigwigs.items()}
    for path in files.values():
        if not path.name.lower().endswith(BIGWIG):
            raise InputError(
                path,
                "is no bigWig, so no browser draws it as letters",
                "an output that ends in .bw",
            )
    first = next(iter(files.values()))
    stem = first.name[: first.name.rindex(".")]
    session, lines = first.with_name(f"{stem}.igv.xml"), first.with_name(f"{stem}.ucsc.txt")
    locus = _locus(regions[0], contigs or {})
    paths = [Path(each) for each in annotation]
    with atomic_file(session) as part:
        xml = igv_session(
            session, files, Path(fasta), locus=locus, regions=regions, annotation=paths
        )
        part.write_bytes(xml)
    with atomic_file(lines) as part:
        # Names of files as they are, whatever their bytes.
        text = ucsc_lines(files, locus, Path(fasta))
        part.write_text(text, encoding="utf-8", errors="surrogateescape")
    return session, lines


def igv_session(
    session: Path,
    bigwigs: Mapping[str, Path],
    fasta: Path,
    *,
    locus: str,
    regions: Sequence[Interval],
    annotation: Sequence[Path] = (),
) -> bytes:
    """The XML of a session (IGV desktop 2.11 or later; igv.js reads it too), with paths relative to
    `session`.
    """
    shown = (*bigwigs.values(), *annotation)
    names = {path: _relative(path, session) for path in (fasta, *shown)}
    root = ElementTree.Element("Session", genome=names[fasta], locus=locus, version="8")
    resources = ElementTree.SubElement(root, "Resources")
    for path in shown:
        ElementTree.SubElement(resources, "Resource", path=names[path])
    panel = ElementTree.SubElement(
        root, "Panel", name="DataPanel", height=str(40 + 130 * len(bigwigs))
    )
    for name, path in bigwigs.items():
        settings = {
            "clazz": "org.broad.igv.track.DataSourceTrack",
            "id": names[path],
            "name": name,
            "renderer": "DYNSEQ",
            "height": "120",
            "autoScale": "true",
            "color": "123,45,139",
            "altColor": "176,139,184",
            "visible": "true",
            "windowFunction": "mean",
        }
        ElementTree.SubElement(panel, "Track", settings)
    below = ElementTree.SubElement(root, "Panel", name="FeaturePanel", height="160")
    ElementTree.SubElement(
        below,
        "Track",
        clazz="org.broad.igv.track.SequenceTrack",
        id="Reference sequence",
        name="Reference sequence",
        visible="true",
    )
    for path in annotation:
        settings = {
            "clazz": "org.broad.igv.track.FeatureTrack",
            "id": names[path],
            "name": path.name.split(".")[0],
        }
        ElementTree.SubElement(below, "Track", settings, displayMode="EXPANDED", visible="true")
    element = ElementTree.SubElement(root, "Regions")
    for region in regions[:MOST_REGIONS]:
        about = {"chromosome": region.contig, "start": str(region.start), "end": str(region.end)}
        ElementTree.SubElement(element, "Region", about, description=region.name or str(region))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def ucsc_lines(bigwigs: Mapping[str, Path], locus: str, fasta: Path) -> str:
    """Custom track text of the UCSC Genome Browser: one line a bigWig, drawn as letters
    (`logo=on`).
    """
    text = [
        "# Put each bigWig where the UCSC Genome Browser can read it (http, https or ftp), and",
        "# write its address after bigDataUrl=. Then paste all of this under My Data > Custom",
        f"# Tracks, in the assembly that has the contigs of {fasta.name}.",
        f"browser position {locus}",
    ]
    for name, path in bigwigs.items():
        # A quote would end the field, a line end the track.
        shown = re.sub(r'["\n]', "'", name)
        words = {
            "type": "bigWig",
            "name": f'"{shown[:40]}"',
            "description": f'"{shown}"',
            "visibility": "full",
            "logo": "on",
            "autoScale": "on",
            "alwaysZero": "on",
            "color": "123,45,139",
            "maxHeightPixels": "128:96:16",
            "bigDataUrl": f"https://YOUR.SERVER/{path.name}",
        }
        text.append("track " + " ".join(f"{key}={value}" for key, value in words.items()))
    return "\n".join(text) + "\n"


def _locus(region: Interval, contigs: Mapping[str, int]) -> str:
    """A region with a little room, 1-based with both ends, as both browsers write it."""
    start = max(region.start - _ROOM, 0)
    end = min(region.end + _ROOM, contigs.get(region.contig, region.end + _ROOM))
    return f"{region.contig}:{start + 1}-{end}"


def _relative(path: Path, session: Path) -> str:
    return Path(os.path.relpath(path.resolve(), session.resolve().parent)).as_posix()
