"""Pages: text is text, pictures stay in the file, nothing is fetched, and a column of numbers is
set right.
"""

import base64
import re

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from orchid_genomics import draw
from orchid_genomics.draw import pages

PAGE = """{% extends "draw/base.html" %}
{% from "draw/macros.html" import heading, table, facts, figure %}
{% block lead %}<p class="lead">{{ lead }}</p>{% endblock %}
{% block content %}
{{ heading("e < f") }}
{{ table(head, rows, caption, ours=1) }}
{{ facts({"<h>": "&i"}) }}
{{ figure(shown, "below <it>", wide=true) }}
{% endblock %}
"""


def page(**values) -> str:
    """A page from a template of this test, on the package's base and macros."""
    return pages._environment().from_string(PAGE).render(version="1", **values)


@pytest.fixture
def values():
    return {
        "title": "a <b>",
        "lead": "c & d",
        "head": ["name", "count", "picture"],
        "rows": [["x<y", "1,200", Markup("<img>")], ["z", "-", Markup("<img>")]],
        "caption": "rows & columns",
        "shown": pages.picture(draw.motif(np.ones((4, 10))), "a <logo>"),
    }


def test_text_is_never_markup(values):
    text = page(**values)
    for piece in ("<b>", "<h>", "<it>", "<logo>", "e < f", "c & d", "x<y", "&i<"):
        assert piece not in text
    assert 'id="e-f"' in text
    assert "<title>a &lt;b&gt;</title>" in text


def test_columns_of_numbers_are_set_right_and_pictures_stay(values):
    text = page(**values)
    assert text.count('class="number"') == 1 + 2
    assert text.count("<img>") == 2
    assert re.findall(r'<tr class="ours"><td>(\w)', text) == ["z"]


def test_nothing_is_fetched_and_no_script_runs(values):
    text = page(**values)
    assert "default-src 'none'" in text
    assert not re.search(r"<script|@import|url\(|javascript:", text)
    addresses = re.findall(r'(?:src|href)="([^"]*)', text)
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)


def test_a_value_that_a_template_asks_for_and_nobody_gives_is_an_error(values):
    del values["caption"]
    with pytest.raises(UndefinedError, match="caption"):
        page(**values)


def test_a_picture_is_svg_or_png_of_the_width_of_its_figure():
    ax = draw.motif(np.ones((4, 10)))
    for as_png, kind, begin in ((False, "svg+xml", b"<?xml"), (True, "png", b"\x89PNG")):
        text = pages.picture(ax, 'an "alt"', as_png=as_png)
        data = text.split("base64,")[1].rstrip('">')
        assert f"data:image/{kind};" in text
        assert base64.b64decode(data).startswith(begin)
        assert 'width="269"' in text
        assert "an &#34;alt&#34;" in text
    assert pages.picture(ax, "") == pages.picture(ax, "")
