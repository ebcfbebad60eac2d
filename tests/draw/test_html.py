"""Pieces of a page: text is text, pictures keep their size and stay in the file."""

import base64

import numpy as np

from orchid_genomics import draw
from orchid_genomics.draw import html


def test_text_is_never_markup():
    text = html.document(
        "a <b>", "c & d", [html.heading("e < f"), html.paragraph("<g>"), html.facts({"<h>": "&i"})]
    )
    for piece in ("<b>", "<g>", "<h>", "e < f"):
        assert piece not in text
    assert 'id="e-f"' in text


def test_a_table_sets_numbers_right_and_shows_pictures():
    text = html.table(
        ["name", "count", "logo"], [["x<y", "1,200", "<img>"], ["z", "-", "<img>"]], ["logo"]
    )
    assert text.count('class="number"') == 3
    assert "x&lt;y" in text
    assert text.count("<img>") == 2


def test_a_picture_is_svg_or_png_of_the_width_of_its_figure():
    ax = draw.motif(np.ones((4, 10)))
    for many, kind, begin in ((False, "svg+xml", b"<?xml"), (True, "png", b"\x89PNG")):
        text = html.image(ax, 'an "alt"', many=many)
        data = text.split("base64,")[1].rstrip('">')
        assert f"data:image/{kind};" in text
        assert base64.b64decode(data).startswith(begin)
        assert 'width="269"' in text
        assert "an &quot;alt&quot;" in text
    assert html.image(ax) == html.image(ax)
