"""Bar charts as inline SVG: labelled axes, numbers, a title and a description for those who do not see them.

Drawn here and not by a library: pages forbid scripts and outside resources, colours follow the page's (dark, print),
and numbers are written as the reader's language writes them; the libraries at hand put styles and scripts of their
own into each picture and know neither description nor language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Final

from markupsafe import Markup

from node.reports.rendering import Language

__all__ = ["NARROW", "WIDE", "Series", "Shape", "columns", "fitting", "rows"]

_TOP, _BOTTOM, _RIGHT = 32, 44, 10
_MOST_NUMBERS: Final = 14
_LINE: Final = 18


@dataclass(frozen=True, slots=True)
class Shape:
    """How a chart is laid out, in its own units. name: of its class, by which a page shows the one that fits.

    left: room for the numbers of an axis. names: room for the names beside bars; 0: they stand above them. row: from
    one bar to the next. character: how wide one of the text is at most, on average.
    """

    name: str
    width: int
    height: int
    left: int
    names: int
    row: int
    character: float


WIDE: Final = Shape("wide", width=560, height=260, left=52, names=190, row=22, character=6.0)
NARROW: Final = Shape("narrow", width=350, height=230, left=50, names=0, row=38, character=6.6)
"""For a telephone: the same text, as large as it is beside it."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart: its name in the legend, and a value for each label; None for one that is hidden."""

    name: str
    values: Sequence[int | None]


def _top(largest: int) -> tuple[int, int]:
    """The end of an axis and the distance of its lines: whole numbers that are read at a glance."""
    step = 1
    while largest > step * 5:
        step = step * 2 if str(step)[0] in "15" else step * 5 // 2
    return max(step, -(-largest // step) * step), step


def fitting(draw: Callable[[Shape], Markup]) -> Markup:
    """A chart in each shape, of which the page's style shows the one that fits its column."""
    return draw(WIDE) + Markup("\n") + draw(NARROW)


def _begin(title: str, description: str, shape: Shape, height: float) -> list[str]:
    number = next(_numbers)
    return [
        f'<svg viewBox="0 0 {shape.width} {height:g}" class="chart-{shape.name}" role="img" '
        f'aria-labelledby="chart{number}t chart{number}d">',
        f'<title id="chart{number}t">{escape(title)}</title>',
        f'<desc id="chart{number}d">{escape(description)}</desc>',
    ]


def _pairs(labels: Sequence[str], values: Sequence[int | None], language: Language) -> str:
    return ", ".join(f"{label} {_number(value, language)}" for label, value in zip(labels, values, strict=True))


def _number(value: int | None, language: Language) -> str:
    return "–" if value is None else language.number(value)


def _text(x: float, y: float, text: str, anchor: str = "middle", soft: bool = False) -> str:
    style = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def columns(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    language: Language,
    unit: str,
    axis: str,
    all_labels: bool = False,
    shape: Shape = WIDE,
) -> Markup:
    """Stacked columns, one for each label. unit: what is counted, at the y axis. axis: what the labels are.

    all_labels: show each, for few that do not follow from their neighbours.
    """
    totals = [sum(item.values[at] or 0 for item in series) for at in range(len(labels))]
    hidden = [any(item.values[at] is None for item in series) for at in range(len(labels))]
    top, step = _top(max(totals, default=0))
    plot_width, plot_height = shape.width - shape.left - _RIGHT, shape.height - _TOP - _BOTTOM
    base = _TOP + plot_height
    described = "; ".join(f"{item.name}: {_pairs(labels, item.values, language)}" for item in series)
    legend, lines = _legend(series, shape) if len(series) > 1 else ([], 0)
    out = _begin(title, described, shape, shape.height + _LINE * lines)
    for value in range(0, top + 1, step):
        y = base - plot_height * value / top
        out.append(f'<line class="grid" x1="{shape.left}" x2="{shape.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(_text(shape.left - 6, y + 4, language.number(value), "end", soft=True))
    out.append(_text(4, 12, unit, "start", soft=True))
    pitch = plot_width / max(len(labels), 1)
    bar = min(46.0, pitch * 0.7)
    # As many labels as fit beside each other, and as many numbers, the newest of them among them.
    every = 1 if all_labels else _every(labels, pitch, shape)
    sums = [_sum(total, lacks, language) for total, lacks in zip(totals, hidden, strict=True)]
    numbered = _every(sums, pitch, shape) if len(labels) <= _MOST_NUMBERS else 0
    for at, label in enumerate(labels):
        middle, y = shape.left + pitch * (at + 0.5), float(base)
        for number, item in enumerate(series):
            value = item.values[at] or 0
            height = plot_height * value / top
            y -= height
            if value:
                hint = f"{label}, {item.name}: {language.number(value)}"
                out.append(
                    f'<rect class="s{number % 6 + 1}" x="{middle - bar / 2:.1f}" y="{y:.1f}" width="{bar:.1f}" '
                    f'height="{height:.1f}"><title>{escape(hint)}</title></rect>'
                )
        if sums[at] and numbered and (len(labels) - 1 - at) % numbered == 0:
            out.append(_text(middle, y - 4, sums[at]))
        if at % every == 0:
            out.append(_text(middle, base + 15, label, soft=True))
    out.append(_text(shape.left + plot_width / 2, base + 32, axis, soft=True))
    out += [*legend, "</svg>"]
    return Markup("\n".join(out))


def _every(texts: Sequence[str], pitch: float, shape: Shape) -> int:
    """1 if all of these fit beside each other, 2 if every other one does, and so on."""
    return max(1, -int(-(shape.character * max(map(len, texts), default=0) + 4) // pitch))


def _sum(total: int, lacks: bool, language: Language) -> str:
    """A column's number: with something hidden in it, it is "at least" so high."""
    if not total:
        return "–" if lacks else ""
    return f"{'≥ ' if lacks else ''}{language.number(total)}"


def _legend(series: Sequence[Series], shape: Shape) -> tuple[list[str], int]:
    """Names with their colours, and how many lines they take, below the chart."""
    out, x, line = [], float(shape.left), 0
    for number, item in enumerate(series):
        needed = 30 + shape.character * len(item.name)
        if x > shape.left and x + needed - 16 > shape.width:
            x, line = float(shape.left), line + 1
        y = shape.height + 6 + _LINE * line
        out.append(f'<rect class="s{number % 6 + 1}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10"/>')
        out.append(_text(x + 14, y, item.name, "start"))
        x += needed
    return out, line + 1


def rows(
    title: str,
    labels: Sequence[str],
    values: Sequence[int],
    *,
    language: Language,
    partial: Sequence[bool] = (),
    shape: Shape = WIDE,
) -> Markup:
    """Horizontal bars with their numbers, one for each label, in the order given. partial: which are "at least"."""
    out = _begin(title, _pairs(labels, values, language), shape, shape.row * len(labels) + 8)
    largest = max(values, default=0) or 1
    room = shape.width - shape.names - 70
    for at, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = shape.row * at + 4
        width = max(room * value / largest, 1.5 if value else 0)
        is_least = bool(partial) and partial[at]
        number = "–" if is_least and not value else f"{'≥ ' if is_least else ''}{language.number(value)}"
        if shape.names:
            out.append(_text(shape.names - 8, y + 13, _cut(label, shape.names - 8, shape), "end"))
        else:
            out.append(_text(0, y + 11, _cut(label, shape.width, shape), "start"))
            y += shape.row - WIDE.row
        out.append(f'<rect class="s1" x="{shape.names}" y="{y + 2}" width="{width:.1f}" height="{WIDE.row - 7}"/>')
        out.append(_text(shape.names + width + 6, y + 13, number, "start"))
    out.append("</svg>")
    return Markup("\n".join(out))


def _cut(label: str, room: float, shape: Shape) -> str:
    """A name as far as its room goes: whole in the table beside the chart."""
    most = int(room / shape.character)
    return label if len(label) <= most else f"{label[: most - 1].rstrip()}…"
