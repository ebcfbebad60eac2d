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


def browser_files(
    bigwigs: Mapping[str, str | Path],
    fasta: str | Path,
    places: Sequence[Interval],
    beside: Sequence[str | Path] = (),
    contigs: Mapping[str, int] | None = None,
) -> tuple[Path, Path]:
    """Write `NAME.igv.xml` and `NAME.ucsc.txt` beside the first of `bigwigs` (name shown -> file);
    returns both.

    `places` are what was explained: the first is shown when the session opens, all (500 at most)
    are IGV's regions of interest. `beside` are annotations to show below (BED, GFF). Raises
    InputError for a track that is no bigWig, which alone is drawn as letters.
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
    locus = _locus(places[0], contigs or {})
    with atomic_file(session) as part:
        part.write_bytes(
            igv_session(session, files, Path(fasta), locus, places, [Path(each) for each in beside])
        )
    with atomic_file(lines) as part:
        part.write_text(ucsc_lines(files, locus, Path(fasta)), encoding="utf-8")
    return session, lines


def igv_session(
    session: Path,
    bigwigs: Mapping[str, Path],
    fasta: Path,
    locus: str,
    places: Sequence[Interval],
    beside: Sequence[Path] = (),
) -> bytes:
    """The XML of a session (IGV desktop 2.11 or later; igv.js reads it too), with paths relative to
    `session`.
    """
    names = {path: _relative(path, session) for path in (fasta, *bigwigs.values(), *beside)}
    root = ElementTree.Element("Session", genome=names[fasta], locus=locus, version="8")
    resources = ElementTree.SubElement(root, "Resources")
    for path in (*bigwigs.values(), *beside):
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
    for path in beside:
        settings = {
            "clazz": "org.broad.igv.track.FeatureTrack",
            "id": names[path],
            "name": path.name.split(".")[0],
        }
        ElementTree.SubElement(below, "Track", settings, displayMode="EXPANDED", visible="true")
    regions = ElementTree.SubElement(root, "Regions")
    for place in places[:MOST_REGIONS]:
        about = {"chromosome": place.contig, "start": str(place.start), "end": str(place.end)}
        ElementTree.SubElement(regions, "Region", about, description=place.name or str(place))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def ucsc_lines(bigwigs: Mapping[str, Path], locus: str, fasta: Path) -> str:
    """Custom track text of the UCSC Genome Browser: one line a bigWig, drawn as letters
    (`logo=on`).
    """
    text = [
        "# Put each bigWig where the UCSC Genome Browser can read it (http, https or ftp), and write its address",
        "# after bigDataUrl=. Then paste all of this under My Data > Custom Tracks, in the assembly that has the",
        f"# contigs of {fasta.name}.",
        f"browser position {locus}",
    ]
    for name, path in bigwigs.items():
        shown = re.sub(r'["\n]', "'", name)
        text.append(
            f'track type=bigWig name="{shown[:40]}" description="{shown}" visibility=full logo=on autoScale=on '
            f"alwaysZero=on color=123,45,139 maxHeightPixels=128:96:16 bigDataUrl=https://YOUR.SERVER/{path.name}"
        )
    return "\n".join(text) + "\n"


def _locus(place: Interval, contigs: Mapping[str, int]) -> str:
    """A place with a little room, 1-based with both ends, as both browsers write it."""
    start = max(place.start - _ROOM, 0)
    end = min(place.end + _ROOM, contigs.get(place.contig, place.end + _ROOM))
    return f"{place.contig}:{start + 1}-{end}"


def _relative(path: Path, session: Path) -> str:
    return Path(os.path.relpath(path.resolve(), session.resolve().parent)).as_posix()
