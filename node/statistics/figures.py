"""What statistics show, in the words of a language: each figure is a chart, a table and files. Spec: statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from node.reports.chart_files import csv_file, png_file, svg_file
from node.reports.charts import WIDE, Series, Shape, columns, fitting, rows
from node.reports.rendering import N_, Language
from node.statistics.counts import Dimension, Measure
from node.statistics.months import month_end_ms, month_number
from node.statistics.region import RegionReport, Territory
from node.statistics.report import UNKNOWN, Report, Row

__all__ = ["Figure", "local_figures", "month_words", "region_figures"]

_MOST_BARS: Final = 15
_MOST_COLOURS: Final = 5
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. slug: its name in addresses and file names. head: over the labels, then over each series.

    labels, series: as a chart has them; None is hidden. partial: of bars, which are "at least". is_bars: horizontal
    bars of the first series, else columns. unit: what is counted. is_whole: the last series has what is hidden in the
    others.
    """

    slug: str
    title: str
    head: str
    unit: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    partial: tuple[bool, ...] = ()
    is_bars: bool = False
    is_whole: bool = False

    def chart(self, language: Language, shape: Shape = WIDE) -> Markup:
        """The chart, to stand by itself."""
        if self.is_bars:
            most = slice(0, _MOST_BARS)
            values = [value or 0 for value in self.series[0].values[most]]
            return rows(
                self.title, self.labels[most], values, language=language, partial=self.partial[most], shape=shape
            )
        series = self.series
        if self.is_whole:
            told = [
                [
                    value if rest is None else value or 0
                    for value, rest in zip(item.values, series[-1].values, strict=True)
                ]
                for item in series
            ]
            series = tuple(Series(item.name, values) for item, values in zip(series, told, strict=True))
        return columns(self.title, self.labels, series, language=language, unit=self.unit, axis=self.head, shape=shape)

    def charts(self, language: Language) -> Markup:
        """The chart, to stand in a page: it fits a telephone too."""
        return fitting(lambda shape: self.chart(language, shape))

    @property
    def table_head(self) -> tuple[str, ...]:
        """Over the columns of its table."""
        return (self.head, *(item.name for item in self.series))

    @property
    def table(self) -> list[tuple[str | int | None, ...]]:
        """The lines of its table: the label, and each series' value, None for a hidden one."""
        values = [item.values for item in self.series]
        return [(label, *(of[at] for of in values)) for at, label in enumerate(self.labels)]

    def is_partial(self, at: int) -> bool:
        """Whether the value of a bar is "at least"."""
        return bool(self.partial) and self.partial[at]

    def file(self, kind: str, language: Language) -> bytes:
        """Itself as `svg`, `png` or `csv`."""
        if kind == "csv":
            return csv_file(self.table_head, self.table)
        make = svg_file if kind == "svg" else png_file
        return make(str(self.chart(language)), self.title)


def month_words(month: str, language: Language) -> str:
    """A month as people write it: `nov. 2026`."""
    return language.month(month_end_ms(month_number(month)) - _DAY_MS)


_CLASSES: Final = {"urgent": N_("urgent"), "normal": N_("normal"), "bulk": N_("bulk")}
_MAILBOXES: Final = {
    "person": N_("people"),
    "service": N_("services"),
    "application": N_("applications"),
    "practice": N_("practices"),
}


_UNITS: Final = ((N_("hours"), 3600), (N_("minutes"), 60), (N_("seconds"), 1))


class _Local:
    """Figures of the own institution, one language."""

    def __init__(self, report: Report, language: Language) -> None:
        self._report = report
        self._language = language
        self._months = tuple(month_words(month, language) for month in report.months)
        self._text = language.text

    def by_month(self, slug: str, title: str, unit: str, *series: tuple[str, Sequence[int | None]]) -> Figure:
        """Columns, one for each month."""
        return Figure(
            slug=slug,
            title=self._text(title),
            head=self._text(N_("Month")),
            unit=self._text(unit),
            labels=self._months,
            series=tuple(Series(self._text(name), values) for name, values in series),
        )

    def by_class(self, slug: str, title: str, unit: str, measure: Measure) -> Figure:
        """Columns of the classes, one on the other."""
        found = {row.key: row for row in self._report.rows(measure, Dimension.CLASS)}
        order = [key for key in (*_CLASSES, UNKNOWN) if key in found]
        series = [(self._name(found[key], Dimension.CLASS), found[key].values) for key in order]
        made = self.by_month(slug, title, unit, *series)
        totals = self._report.totals[measure].values
        # What is hidden of the classes, all together: the month's sum is shown anyway, and so is the column's height.
        rest = [
            None if total is None else total - sum(item.values[at] or 0 for item in made.series)
            for at, total in enumerate(totals)
        ]
        if not any(rest):
            return made
        return replace(made, series=(*made.series, Series(self._text(N_("not told apart")), rest)), is_whole=True)

    def bars(self, slug: str, title: str, head: str, unit: str, measure: Measure, dimension: Dimension) -> Figure:
        """Bars, the longest first."""
        found = self._report.rows(measure, dimension)
        return Figure(
            slug=slug,
            title=self._text(title),
            head=self._text(head),
            unit=self._text(unit),
            labels=tuple(self._name(row, dimension) for row in found),
            series=(Series(self._text(unit), tuple(row.total for row in found)),),
            partial=tuple(row.is_partial for row in found),
            is_bars=True,
        )

    def _name(self, row: Row, dimension: Dimension) -> str:
        if row.key == UNKNOWN:
            return self._text(N_("not known any more"))
        words = {Dimension.CLASS: _CLASSES, Dimension.MAILBOX: _MAILBOXES}.get(dimension, {})
        if row.key in words:
            return self._text(words[row.key])
        nothing = N_("no region given") if dimension is Dimension.REGION else N_("none given")
        return row.name or row.key or self._text(nothing)

    def times(self, slug: str, title: str, name: str) -> Figure:
        """The median of a time, in the unit in which its largest one is read at a glance."""
        found = self._report.times[name].months
        largest = max((item.median_s for item in found if item is not None), default=0)
        unit, seconds = next(((word, size) for word, size in _UNITS if largest >= 10 * size), _UNITS[-1])
        values = [None if item is None else round(item.median_s / seconds) for item in found]
        return self.by_month(slug, title, unit, (N_("median"), values))

    def days(self) -> Figure | None:
        """Columns of the days, of a range of one month."""
        values = self._report.days.get(Measure.RECEIVED)
        if not values:
            return None
        return Figure(
            slug="days",
            title=self._text(N_("Letters received, by day")),
            head=self._text(N_("Day")),
            unit=self._text(N_("letters received")),
            labels=tuple(map(str, range(1, len(values) + 1))),
            series=(Series(self._text(N_("letters received")), values),),
        )


def local_figures(report: Report, language: Language) -> tuple[Figure, ...]:
    """The figures of the own institution, without those that have nothing to show."""
    make, totals = _Local(report, language), report.totals
    received, institution = N_("letters received"), N_("Institution")
    made = (
        make.by_month(
            "written", N_("Letters written here"), N_("letters"), (N_("letters"), totals[Measure.LETTERS].values)
        ),
        make.by_class("received", N_("Letters received, by class"), received, Measure.RECEIVED),
        make.days(),
        make.by_month(
            "people",
            N_("People who wrote or opened letters"),
            N_("people"),
            (N_("people"), report.people.values),
        ),
        make.bars(
            "from-institutions",
            N_("Letters received, by institution"),
            institution,
            received,
            Measure.RECEIVED,
            Dimension.INSTITUTION,
        ),
        make.bars(
            "to-institutions",
            N_("Letters sent, by institution"),
            institution,
            N_("letters sent"),
            Measure.SENT,
            Dimension.INSTITUTION,
        ),
        make.bars(
            "regions", N_("Letters received, by region"), N_("Region"), received, Measure.RECEIVED, Dimension.REGION
        ),
        make.bars(
            "specialties",
            N_("Letters received, by specialty"),
            N_("Specialty"),
            received,
            Measure.RECEIVED,
            Dimension.SPECIALTY,
        ),
        make.bars(
            "mailboxes",
            N_("Letters received, by kind of mailbox"),
            N_("Mailboxes of"),
            received,
            Measure.RECEIVED,
            Dimension.MAILBOX,
        ),
        make.times("opening", N_("From arrival to opening, median"), "opening"),
        make.times("delivery", N_("From sending to arrival, median"), "delivery"),
        make.by_month(
            "undelivered",
            N_("Letters refused or expired"),
            N_("letters"),
            (N_("refused"), totals[Measure.REFUSED].values),
            (N_("expired"), totals[Measure.EXPIRED].values),
        ),
    )
    return tuple(figure for figure in made if figure is not None and _says_something(figure))


def _says_something(figure: Figure) -> bool:
    return any(value is None or value for item in figure.series for value in item.values)


def region_figures(report: RegionReport, language: Language) -> tuple[Figure, ...]:
    """The figures of the region: growth by territory, territories, institutions."""
    text, months = language.text, tuple(month_words(month, language) for month in report.months)
    shown, rest = report.territories[:_MOST_COLOURS], report.territories[_MOST_COLOURS:]

    def letters(territories: Sequence[Territory]) -> list[int]:
        return [sum(one.months[month].letters for one in territories if month in one.months) for month in report.months]

    series = [Series(one.name or text(N_("no region given")), letters([one])) for one in shown]
    if rest:
        series.append(Series(text(N_("other territories")), letters(rest)))
    by_institution = sorted(
        (
            (sum(item.published.totals.count("letters") or 0 for item in one.months.values() if item.counts), one.name)
            for one in report.institutions
        ),
        key=lambda pair: (-pair[0], pair[1]),
    )
    made = (
        Figure(
            slug="growth",
            title=text(N_("Letters written in the region")),
            head=text(N_("Month")),
            unit=text(N_("letters")),
            labels=months,
            series=tuple(series),
        ),
        Figure(
            slug="publishing",
            title=text(N_("Institutions that published")),
            head=text(N_("Month")),
            unit=text(N_("institutions")),
            labels=months,
            series=(Series(text(N_("institutions")), [report.total(month).institutions for month in report.months]),),
        ),
        Figure(
            slug="territories",
            title=text(N_("Letters written, by territory")),
            head=text(N_("Territory")),
            unit=text(N_("letters")),
            labels=tuple(one.name or text(N_("no region given")) for one in report.territories),
            series=(Series(text(N_("letters")), [sum(letters([one])) for one in report.territories]),),
            partial=tuple(any(sums.is_partial for sums in one.months.values()) for one in report.territories),
            is_bars=True,
        ),
        Figure(
            slug="institutions",
            title=text(N_("Letters written, by institution")),
            head=text(N_("Institution")),
            unit=text(N_("letters")),
            labels=tuple(name for _, name in by_institution),
            series=(Series(text(N_("letters")), [count for count, _ in by_institution]),),
            is_bars=True,
        ),
    )
    return tuple(figure for figure in made if _says_something(figure))
