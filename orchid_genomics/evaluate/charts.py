"""Charts as inline SVG text, with no library and no script: what a report shows in any browser, and
on paper.

Every text that enters is escaped: a label may hold any letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

COLOURS = ("#7b2d8b", "#2a78b5", "#3a9a5b", "#c2701c", "#b8324f", "#5b6770")
WIDTH, HEIGHT = 370, 290  # three side by side on a page
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 44
_MOST = 400  # points of a line; more are thinned, the ends kept


@dataclass(frozen=True)
class Series:
    """One line (or the dots of one kind) of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = COLOURS[0]
    dashed: bool = False
    dots: bool = False
    thin: bool = False


def chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines and dots on two axes, with a legend under the title where there are several names."""
    known = [s for s in series if len(s.x)]
    if not known:
        return ""
    x_range = x_range or _range(np.concatenate([np.asarray(s.x, float) for s in known]))
    y_range = y_range or _range(np.concatenate([np.asarray(s.y, float) for s in known]))
    names = list(dict.fromkeys((s.name, s.colour, s.dashed) for s in known if s.name))
    top = TOP + 15 * ((len(names) + 1) // 2)
    height = HEIGHT + top - TOP

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0])
        up = (y - y_range[0]) / (y_range[1] - y_range[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), height - BOTTOM - up * (
            height - BOTTOM - top
        )

    parts = [
        _title(title),
        *_legend(names),
        *_axes(x_range, y_range, place, x_label, y_label, top, height),
    ]
    for one in known:
        x, y = _thinned(np.asarray(one.x, float), np.asarray(one.y, float), one.dots)
        points = [place(*point) for point in zip(x, y, strict=True)]
        if one.dots:
            radius = 1.6 if one.thin else 3
            shade = ' fill-opacity="0.4"' if one.thin else ""
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}" fill="{one.colour}"{shade}/>'
                for a, b in points
            ]
            continue
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        width = 1 if one.thin else 1.8
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="{width}"{dash}/>'
        )
    return _svg(parts, WIDTH, height, title)


def matrix(title: str, table: np.ndarray, labels: Sequence[str]) -> str:
    """A confusion matrix: true classes in rows, called ones in columns; shades are shares of the
    row.
    """
    count = len(labels)
    cell = max(26.0, min(64.0, 270 / count))
    left = 24 + 7 * max(len(_short(label)) for label in labels)
    width, height = left + cell * count + 10, 62 + cell * count + 26
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    parts = [_title(title), _text(left + cell * count / 2, 42, "called", "middle")]
    for row in range(count):
        middle = 62 + cell * (row + 0.5) + 4
        parts.append(_text(left - 6, middle, _short(labels[row]), "end"))
        parts.append(_text(left + cell * (row + 0.5), 57, _short(labels[row]), "middle"))
        for column in range(count):
            share = shares[row, column]
            x, y = left + cell * column, 62 + cell * row
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 2:.1f}" height="{cell - 2:.1f}" fill="{COLOURS[0]}" '
                f'fill-opacity="{0.06 + 0.9 * share:.3f}"/>'
            )
            colour = "#fff" if share > 0.5 else "#222"
            parts.append(
                _text(x + cell / 2 - 1, middle, f"{int(table[row, column]):,}", "middle", colour)
            )
    return _svg(parts, max(width, 240, 16 + 7.8 * len(title)), height, title)


def _range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad


def _thinned(x: np.ndarray, y: np.ndarray, dots: bool) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    most = 4 * _MOST if dots else _MOST
    if len(x) <= most:
        return x, y
    at = np.unique(np.linspace(0, len(x) - 1, most).astype(int))
    return x[at], y[at]


def _axes(
    x_range, y_range, place, x_label: str, y_label: str, top: float, height: float
) -> list[str]:
    left, bottom = LEFT, height - BOTTOM
    parts = []
    for value in _ticks(*y_range):
        _, y = place(x_range[0], value)
        parts.append(
            f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        )
        parts.append(_text(left - 6, y + 4, f"{value:g}", "end", "#555"))
    for value in _ticks(*x_range):
        x, _ = place(value, y_range[0])
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="#555"/>'
        )
        parts.append(_text(x, bottom + 17, f"{value:g}", "middle", "#555"))
    parts.append(
        f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#555"/>'
    )
    parts.append(_text((left + WIDTH - RIGHT) / 2, height - 8, x_label, "middle"))
    middle = (top + bottom) / 2
    return [
        *parts,
        f'<g transform="translate(13 {middle:.0f}) rotate(-90)">{_text(0, 0, y_label, "middle")}</g>',
    ]


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers inside a range."""
    raw = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.999)
    return [
        round(float(v), 10) + 0.0
        for v in np.arange(np.ceil(low / step) * step, high + step * 1e-6, step)
    ]


def _legend(names: Sequence[tuple[str, str, bool]]) -> list[str]:
    parts = []
    for at, (name, colour, dashed) in enumerate(names):
        x, y = 10 + (at % 2) * WIDTH // 2, 34 + 15 * (at // 2)  # each column holds 24 letters
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        parts.append(
            f'<line x1="{x}" x2="{x + 18}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2.5"{dash}/>'
        )
        parts.append(_text(x + 23, y, _short(name, 24), "start"))
    return parts


def _title(title: str) -> str:
    return f'<text x="8" y="17" font-size="13" font-weight="600" fill="#222">{escape(title)}</text>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _short(words: str, most: int = 14) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def _svg(parts: Sequence[str], width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )
