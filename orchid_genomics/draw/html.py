"""Self-contained HTML pages: pictures inside the file, no script, nothing fetched, readable where
Python is not.

A picture is embedded as an image of its own (SVG, or PNG where outlines are many), so that the
identifiers of two pictures never meet.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #222;
  background: #fff; max-width: 1120px; margin: 2.2rem auto 4rem; padding: 0 1.4rem; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.12rem; margin: 2.4rem 0 .5rem; padding-top: 1rem; border-top: 1px solid #e9e6ea; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .4rem 0; max-width: 78ch; }
.lead { color: #555; }
figure { margin: .8rem 0 1.4rem; overflow-x: auto; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #555; font-size: .87rem; max-width: 90ch; margin-top: .3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid #222; padding: .3rem .9rem .3rem 0;
  white-space: nowrap; }
td { border-bottom: 1px solid #eee; padding: .25rem .9rem .25rem 0; vertical-align: middle; }
td.number, th.number { text-align: right; }
td img { display: block; height: 46px; width: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.4rem; font-size: .87rem; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
pre { font: .82rem/1.45 ui-monospace, Menlo, Consolas, monospace; background: #f7f5f8; padding: .7rem .9rem;
  overflow-x: auto; }
@media print { body { max-width: none; margin: 0; } }
"""


def document(title: str, lead: str, parts: Iterable[str]) -> str:
    """A whole page from a title, a sentence (text) and parts (HTML), such as the functions below
    give.
    """
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="lead">{escape(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def heading(text: str, level: int = 2) -> str:
    """A heading that may be linked to by its words."""
    name = "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
    return f'<h{level} id="{name}">{escape(text)}</h{level}>'


def paragraph(text: str) -> str:
    """Text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Text as it stands, such as an aligned table."""
    return f"<pre>{escape(text)}</pre>"


def figure(ax: Any, caption: str = "", alt: str = "", *, many: bool = False) -> str:
    """The picture of `ax` with a caption; `many` (thousands of outlines) embeds PNG in place of
    SVG.
    """
    below = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{image(ax, alt or caption, many=many)}{below}</figure>"


def image(ax: Any, alt: str = "", *, many: bool = False) -> str:
    """The picture of `ax` as an <img> that holds it, at its size in inches."""
    import matplotlib

    held, drawn = io.BytesIO(), ax.figure
    with matplotlib.rc_context({"svg.hashsalt": "orchid", "svg.fonttype": "path"}):
        if many:
            drawn.savefig(held, format="png", dpi=170)
        else:
            drawn.savefig(held, format="svg", metadata={"Date": None})
    kind = "image/png" if many else "image/svg+xml"
    data = base64.b64encode(held.getvalue()).decode("ascii")
    width = round(drawn.get_size_inches()[0] * 96)
    return f'<img width="{width}" alt="{escape(alt, quote=True)}" src="data:{kind};base64,{data}">'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], pictures: Sequence[str] = ()) -> str:
    """A table; numbers are set right. Cells of the columns named in `pictures` are HTML, all others
    text.
    """
    numeric = [name not in pictures for name in head]
    rows = [list(row) for row in rows]
    for row in rows:
        numeric = [kept and _is_number(cell) for kept, cell in zip(numeric, row, strict=True)]
    kinds = [' class="number"' if is_number and rows else "" for is_number in numeric]
    top = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(head, kinds, strict=True))
    lines = [
        "".join(
            f"<td{kind}>{cell if name in pictures else escape(str(cell))}</td>"
            for name, kind, cell in zip(head, kinds, row, strict=True)
        )
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<div class="scroll"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, one a line."""
    return (
        "<dl>"
        + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in values.items())
        + "</dl>"
    )


def _is_number(cell: Any) -> bool:
    text = str(cell).replace(",", "").replace("−", "-").removesuffix("%").strip()
    try:
        float(text)
    except ValueError:
        return text in ("", "-", ".")
    return True
