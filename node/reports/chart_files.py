"""Charts as files of their own: SVG with its colours in it, PNG, and the numbers behind them as CSV.

PNG is drawn by resvg (one wheel, no library of the system) with a font that comes along: a server often has none, and
a chart without words says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from directory_sync.lists.tables import table_line

__all__ = ["csv_file", "png_file", "svg_file"]

_FONT: Final = Path(__file__).with_name("fonts") / "DejaVuSans-latin.ttf"
_FAMILY: Final = "DejaVu Sans"
_ZOOM: Final = 2
_MARGIN: Final = 12
_VIEW_BOX: Final = re.compile(r'<svg viewBox="0 0 ([0-9.]+) ([0-9.]+)"')


@dataclass(frozen=True, slots=True)
class _Colours:
    text: str
    soft: str
    grid: str
    back: str
    series: tuple[str, ...]

    @property
    def style(self) -> str:
        """The rules that give them to a chart's parts."""
        series = "".join(f".s{number}{{fill:{colour}}}" for number, colour in enumerate(self.series, 1))
        return (
            f"text{{fill:{self.text}}}.soft{{fill:{self.soft}}}.grid{{stroke:{self.grid}}}"
            f".back{{fill:{self.back}}}{series}"
        )


# As in templates/report.css.
_LIGHT: Final = _Colours(
    "#1b1f24", "#57606a", "#d0d7de", "#ffffff", ("#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#854d0e")
)
_DARK: Final = _Colours(
    "#e6edf3", "#9da7b1", "#3d444d", "#0d1117", ("#58a6ff", "#ff9248", "#4ac26b", "#c297ff", "#39c5cf", "#d4a72c")
)
_STYLE: Final = f'text{{font:11px system-ui,"Segoe UI","{_FAMILY}",sans-serif}}.name{{font-size:14px;font-weight:600}}'


def _whole(chart: str, title: str, style: str) -> str:
    found = _VIEW_BOX.match(chart)
    if found is None:
        raise ValueError("not a chart of node/reports/charts.py")
    width, height = float(found[1]) + 2 * _MARGIN, float(found[2]) + 2 * _MARGIN + 22
    inner = chart[chart.index(">") + 1 : chart.rindex("</svg>")]
    attributes = chart[found.end() : chart.index(">")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}"{attributes}><style>{style}</style>'
        f'<rect class="back" width="{width:g}" height="{height:g}"/>'
        f'<text class="name" x="{_MARGIN}" y="{_MARGIN + 12}">{escape(title, quote=False)}</text>'
        f'<g transform="translate({_MARGIN} {_MARGIN + 22})">{inner}</g></svg>\n'
    )


def svg_file(chart: str, title: str) -> bytes:
    """A chart that stands by itself, light or dark as its viewer is."""
    dark = f"@media (prefers-color-scheme:dark){{{_DARK.style}}}"
    return _whole(chart, title, _STYLE + _LIGHT.style + dark).encode()


def png_file(chart: str, title: str) -> bytes:
    """A chart as a picture, on white, twice as large as it is in a page."""
    # Only here: a node that draws no pictures does not pay for the renderer.
    import resvg_py

    style = f'text{{font:11px "{_FAMILY}"}}.name{{font-size:14px}}{_LIGHT.style}'
    return resvg_py.svg_to_bytes(
        svg_string=_whole(chart, title, style),
        zoom=_ZOOM,
        skip_system_fonts=True,
        font_files=[str(_FONT)],
        font_family=_FAMILY,
    )


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> bytes:
    """A table, RFC 4180, UTF-8 with the mark by which spreadsheets know it. What is hidden is an empty cell."""
    lines = [table_line(columns), *(table_line(["" if cell is None else str(cell) for cell in row]) for row in rows)]
    return ("\ufeff" + "".join(lines)).encode()
