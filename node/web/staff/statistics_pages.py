"""Statistics for administrators and auditors: the own institution, the region, files. Spec: spec/statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, NotFoundError
from node.reports.rendering import N_, Language, language_of
from node.statistics.figures import Figure, local_figures, month_words, region_figures
from node.statistics.months import MonthRange, month_number, month_text
from node.statistics.region import RegionReport
from node.statistics.report import Report
from node.web.staff.desk import ADMINISTRATOR, AUDITOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed

__all__ = ["StatisticsPages"]

_READERS: Final = ADMINISTRATOR | AUDITOR
_FILES: Final = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8"}
_DONE: Final = {"published": N_("The month is published."), "withdrawn": N_("The month is withdrawn.")}
_REASONS: Final = {
    "unreadable": N_("cannot be read"),
    "other_subject": N_("stands under another month"),
    "too_early": N_("was made before the month had ended"),
    "ahead": N_("is dated in the future"),
    "backdated": N_("is dated back"),
    "not_held": N_("was withheld"),
    "more_people_than_mailboxes": N_("names more people than the institution has mailboxes"),
    "nobody_active": N_("counts letters of nobody"),
    "too_many": N_("counts more than people can write"),
    "contradicted": N_("counts fewer letters than came from there"),
}


@dataclass(frozen=True, slots=True)
class StatisticsPages:
    """/staff/statistics"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(_READERS, "/statistics/own", self.own),
            page(_READERS, "/statistics/own/{name}", self.own_file),
            page(_READERS, "/statistics/region", self.region),
            page(_READERS, "/statistics/region/{name}", self.region_file),
            action(ADMINISTRATOR, "/statistics/published/{month}/publish", self.publish),
            action(ADMINISTRATOR, "/statistics/published/{month}/withdraw", self.withdraw),
        ]

    def _chosen(self, request: Request) -> tuple[MonthRange, str]:
        """The months that the address names; the usual ones, and what is wrong, for those that are none."""
        statistics, query = self.desk.node.statistics, request.query_params
        try:
            return statistics.chosen(query.get("from", ""), query.get("to", "")), ""
        except CoffreError as error:
            return statistics.chosen("", ""), str(error)

    def _language(self, request: Request) -> Language:
        return language_of(self.desk.templates.language(request))

    async def own(self, request: Request, visit: StaffVisit) -> Response:
        """The own institution, month by month."""
        chosen, wrong = self._chosen(request)
        report = await self.desk.node.statistics.local(chosen)
        language = self._language(request)
        return self._show(
            request, visit, "staff/statistics.html", chosen, wrong, local_figures(report, language), report=report
        )

    async def region(self, request: Request, visit: StaffVisit) -> Response:
        """What the region's institutions published."""
        chosen, wrong = self._chosen(request)
        statistics = self.desk.node.statistics
        report = await statistics.regional(chosen)
        language = self._language(request)
        own = next((one for one in report.institutions if one.node == self.desk.node.node_id), None)
        return self._show(
            request,
            visit,
            "staff/statistics_region.html",
            chosen,
            wrong,
            region_figures(report, language),
            report=report,
            reasons=_REASONS,
            own=own,
            growth=_growth(report),
            may_publish=statistics.publisher.is_on and visit.has(ADMINISTRATOR),
            publishes=statistics.publisher.is_on,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    def _show(
        self,
        request: Request,
        visit: StaffVisit,
        template: str,
        chosen: MonthRange,
        wrong: str,
        figures: Sequence[Figure],
        **values: Any,
    ) -> Response:
        language = self._language(request)
        first, last = chosen.texts[0], chosen.texts[-1]
        return self.desk.show(
            request,
            template,
            visit,
            figures=figures,
            language_of_charts=language,
            month_words=lambda month: month_words(month, language),
            first=first,
            last=last,
            query=f"from={first}&to={last}",
            earlier=_moved(chosen, -1),
            later=_moved(chosen, 1),
            wrong=wrong,
            threshold=self.desk.node.statistics.threshold,
            **values,
        )

    # -- files

    async def own_file(self, request: Request, visit: StaffVisit) -> Response:
        """One figure of the own institution as a file."""
        del visit
        report: Report = await self.desk.node.statistics.local(self._chosen(request)[0])
        return self._file(request, "own", local_figures(report, self._language(request)))

    async def region_file(self, request: Request, visit: StaffVisit) -> Response:
        """One figure of the region as a file."""
        del visit
        report = await self.desk.node.statistics.regional(self._chosen(request)[0])
        return self._file(request, "region", region_figures(report, self._language(request)))

    def _file(self, request: Request, group: str, figures: Sequence[Figure]) -> Response:
        slug, _, kind = request.path_params["name"].rpartition(".")
        figure = next((figure for figure in figures if figure.slug == slug), None)
        if figure is None or kind not in _FILES:
            raise NotFoundError("no such figure of these months")
        headers = {
            "Content-Disposition": f'attachment; filename="{group}-{slug}.{kind}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "Cache-Control": "no-store",
        }
        return Response(figure.file(kind, self._language(request)), media_type=_FILES[kind], headers=headers)

    # -- publishing

    async def publish(self, request: Request, visit: StaffVisit) -> Response:
        """Publish an ended month, once more if it was, after a question: what is published stays in sight."""
        statistics, month = self.desk.node.statistics, month_text(month_number(request.path_params["month"]))
        await statistics.counting.catch_up()
        await statistics.publisher.check(month)
        if not is_confirmed(await request.form()):
            text = self.desk.text
            return self.desk.confirm(
                request,
                visit,
                title=text(request, N_("Publish the totals of {month} again?"), month=month),
                points=[
                    text(request, N_("They are counted anew, signed, and shown as a correction.")),
                    text(request, N_("What was published before stays in the directory.")),
                ],
                button=text(request, N_("Publish again")),
                back="/staff/statistics/region",
            )
        await statistics.publisher.publish(month)
        return self.desk.done("/statistics/region", "published")

    async def withdraw(self, request: Request, visit: StaffVisit) -> Response:
        """Take a month back, after a question: that it was published stays in the feed."""
        month = month_text(month_number(request.path_params["month"]))
        if not is_confirmed(await request.form()):
            text = self.desk.text
            return self.desk.confirm(
                request,
                visit,
                title=text(request, N_("Withdraw the totals of {month}?"), month=month),
                points=[
                    text(request, N_("Nodes show them no more, and leave them out of sums.")),
                    text(request, N_("That they were published, and what they said, stays in the directory.")),
                ],
                button=text(request, N_("Withdraw")),
                back="/staff/statistics/region",
            )
        await self.desk.node.statistics.publisher.withdraw(month)
        return self.desk.done("/statistics/region", "withdrawn")


def _moved(chosen: MonthRange, by: int) -> str:
    """The address's months for as many months earlier or later."""
    size = (chosen.last - chosen.first + 1) * by
    return f"from={month_text(chosen.first + size)}&to={month_text(chosen.last + size)}"


@dataclass(frozen=True, slots=True)
class _Growth:
    """From the first month with letters to the last ended one: months, letters, institutions."""

    first: str
    first_letters: int
    last: str
    last_letters: int
    institutions: int
    leading: str
    share: float


def _growth(report: RegionReport) -> _Growth | None:
    """How the region grew, in one sentence; None with fewer than two months of letters."""
    totals = [(month, report.total(month)) for month in report.months]
    found = [(month, sums) for month, sums in totals if sums.letters]
    if len(found) < 2:
        return None
    (first, begin), (last, end) = found[0], found[-1]
    leading = report.territories[0]
    all_letters = sum(sums.letters for _, sums in found)
    led = sum(sums.letters for sums in leading.months.values())
    return _Growth(first, begin.letters, last, end.letters, end.institutions, leading.name, led / all_letters)
