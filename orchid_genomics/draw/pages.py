"""HTML pages from Jinja2 templates: one file each, its pictures and its style inside, no script.

The trap: a page must open years later, offline, from a mail attachment, so nothing in it is
fetched; `draw/base.html` forbids it by a content policy, which a browser enforces whatever a label
contains.
"""

import base64
import io
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchid_genomics import __version__

_DOTS = 170  # an inch of a PNG: sharp on a telephone, and on paper


def render(template: str, **values: Any) -> str:
    """The page that a template of the package makes of `values`.

    A template lies beside the code that fills it and is named from the package's root. It extends
    ``draw/base.html`` (blocks `title`, `lead`, `content`) and takes tables, facts and figures from
    the macros of ``draw/macros.html``. Every value is escaped, except pictures, which are `Markup`.

    Parameters
    ----------
    template : str
        The name of a template, such as ``"explain/regions.html"``.
    **values
        What the template shows. A name that the template asks for and that is missing is an error.

    Returns
    -------
    str
        A whole HTML document.
    """
    return _environment().get_template(template).render(version=__version__, **values)


def picture(ax: Any, alt: str, *, as_png: bool = False) -> Markup:
    """The figure of `ax` as an ``<img>`` that holds it.

    An image of its own keeps the identifiers inside one SVG from meeting those of another, and
    does not let text in a picture become part of the page.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Any axes of the figure; 1 inch is 96 pixels of the page.
    alt : str
        What the picture shows, for readers who do not see it.
    as_png : bool
        PNG in place of SVG, for pictures of thousands of outlines, which browsers draw slowly.
    """
    import matplotlib

    # The salt and the missing date make equal figures equal bytes.
    with matplotlib.rc_context({"svg.hashsalt": "orchid", "svg.fonttype": "path"}):
        file = io.BytesIO()
        if as_png:
            ax.figure.savefig(file, format="png", dpi=_DOTS)
        else:
            ax.figure.savefig(file, format="svg", metadata={"Date": None})
    kind = "image/png" if as_png else "image/svg+xml"
    data = base64.b64encode(file.getvalue()).decode("ascii")
    width = round(ax.figure.get_size_inches()[0] * 96)
    return Markup('<img width="{}" alt="{}" src="data:{};base64,{}">').format(
        width, alt, kind, data
    )


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("orchid_genomics", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["number_column"] = _is_number_column
    environment.filters["anchor"] = _anchor
    return environment


def _anchor(text: str) -> str:
    """The identifier by which a heading is linked to."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _is_number_column(cells: list[Any]) -> bool:
    """Whether a column holds numbers (or gaps), and so is set right."""
    return bool(cells) and all(_is_number(cell) for cell in cells)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, Markup):
        return False
    text = str(cell).replace(",", "").replace("−", "-").removesuffix("%").strip()
    try:
        float(text)
    except ValueError:
        return text in ("", "-", ".")
    return True
