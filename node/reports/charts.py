"""Bar charts as inline SVG: labelled axes, numbers, a title and a description for those who do not see them.

Drawn here and not by a library: pages forbid scripts and outside resources, colours follow the page's (dark, print),
and numbers are written as the reader's language writes them; the libraries at hand put styles and scripts of their
own into each picture and know neither description nor language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Final

from markupsafe import Markup

from node.reports.rendering import Language

__all__ = ["Series", "columns", "rows"]

_WIDTH: Final = 560
_HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 32, 44
_MOST_NUMBERS: Final = 14
_ROW: Final = 22
_NAME_WIDTH: Final = 190
_CHARACTER: Final = 6.0
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


def _begin(title: str, description: str, height: float) -> list[str]:
    number = next(_numbers)
    return [
        f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-labelledby="chart{number}t chart{number}d">',
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
) -> Markup:
    """Stacked columns, one for each label. unit: what is counted, at the y axis. axis: what the labels are.

    all_labels: show each, for few that do not follow from their neighbours.
    """
    totals = [sum(item.values[at] or 0 for item in series) for at in range(len(labels))]
    hidden = [any(item.values[at] is None for item in series) for at in range(len(labels))]
    top, step = _top(max(totals, default=0))
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    base = _TOP + plot_height
    described = "; ".join(f"{item.name}: {_pairs(labels, item.values, language)}" for item in series)
    out = _begin(title, described, _HEIGHT + (18 if len(series) > 1 else 0))
    for value in range(0, top + 1, step):
        y = base - plot_height * value / top
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(_text(_LEFT - 6, y + 4, language.number(value), "end", soft=True))
    out.append(_text(4, 12, unit, "start", soft=True))
    pitch = plot_width / max(len(labels), 1)
    bar = min(46.0, pitch * 0.7)
    # As many labels as fit beside each other.
    every = 1 if all_labels else max(1, -int(-(_CHARACTER * max(map(len, labels), default=0) + 4) // pitch))
    for at, label in enumerate(labels):
        middle, y = _LEFT + pitch * (at + 0.5), float(base)
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
        if (totals[at] or hidden[at]) and len(labels) <= _MOST_NUMBERS:
            # With something hidden in it a column is "at least" so high.
            least = "≥ " if hidden[at] and totals[at] else ""
            out.append(_text(middle, y - 4, f"{least}{language.number(totals[at])}" if totals[at] else "–"))
        if at % every == 0:
            out.append(_text(middle, base + 15, label, soft=True))
    out.append(_text(_LEFT + plot_width / 2, base + 32, axis, soft=True))
    if len(series) > 1:
        out += _legend(series, _HEIGHT + 6)
    out.append("</svg>")
    return Markup("\n".join(out))


def _legend(series: Sequence[Series], y: float) -> list[str]:
    out, x = [], float(_LEFT)
    for number, item in enumerate(series):
        out.append(f'<rect class="s{number % 6 + 1}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10"/>')
        out.append(_text(x + 14, y, item.name, "start"))
        x += 30 + _CHARACTER * len(item.name)
    return out


def rows(
    title: str, labels: Sequence[str], values: Sequence[int], *, language: Language, partial: Sequence[bool] = ()
) -> Markup:
    """Horizontal bars with their numbers, one for each label, in the order given. partial: which are "at least"."""
    out = _begin(title, _pairs(labels, values, language), _ROW * len(labels) + 8)
    largest = max(values, default=0) or 1
    room = _WIDTH - _NAME_WIDTH - 70
    for at, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = _ROW * at + 4
        width = max(room * value / largest, 1.5 if value else 0)
        is_least = bool(partial) and partial[at]
        number = "–" if is_least and not value else f"{'≥ ' if is_least else ''}{language.number(value)}"
        out.append(_text(_NAME_WIDTH - 8, y + 13, _cut(label), "end"))
        out.append(f'<rect class="s1" x="{_NAME_WIDTH}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 7}"/>')
        out.append(_text(_NAME_WIDTH + width + 6, y + 13, number, "start"))
    out.append("</svg>")
    return Markup("\n".join(out))


def _cut(label: str) -> str:
    """A name as far as its room goes: whole in the table beside the chart."""
    most = int((_NAME_WIDTH - 8) / _CHARACTER)
    return label if len(label) <= most else f"{label[: most - 1].rstrip()}…"
