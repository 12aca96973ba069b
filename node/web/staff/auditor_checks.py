"""Checking the own log, and the reports of earlier checks. Spec: spec/desks.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.auditor.findings import Severity
from node.auditor.kept_reports import KeptReport
from node.auditor.log_checks import RunState
from node.errors import NotFoundError
from node.reports.rendering import N_, language_of
from node.web.staff.desk import AUDITOR, StaffDesk, StaffVisit

__all__ = ["CHECKS_PATH", "CheckPages"]

CHECKS_PATH: Final = "/auditor/checks"
# The report is a page of its own that prints without this site: its style is inside, and nothing of it runs.
_REPORT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
)
VERDICTS: Final = {
    0: N_("Everything that was checked holds."),
    1: N_("Defects were found."),
    3: N_("No defect was found; not everything could be checked."),
}
_SEVERITIES: Final = {Severity.DEFECT: N_("defect"), Severity.OPEN: N_("open"), Severity.NOTE: N_("note")}
_STEPS: Final = {
    RunState.ASKED: N_("The check is about to begin."),
    RunState.COPYING: N_("The log is being copied."),
    RunState.CHECKING: N_("Every leaf, tile and head is being checked."),
}


@dataclass(frozen=True, slots=True)
class CheckPages:
    """/staff/auditor/checks"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one = self.desk.page, self.desk.action, f"{CHECKS_PATH}/{{made}}"
        return [
            page(AUDITOR, CHECKS_PATH, self.show),
            action(AUDITOR, CHECKS_PATH, self.ask),
            page(AUDITOR, one, self.show_one),
            page(AUDITOR, f"{one}/report", self.report),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """The button, how far a check is, and what the newest ones came to; `?progress` has how far it is alone."""
        if "progress" in request.query_params:
            return await self._progress(request, visit)
        checks, world = self.desk.node.log_checks, self.desk.node.world
        reports = await world.run_blocking(checks.reports)
        run = await world.run_blocking(checks.run_state)
        return self.desk.show(
            request,
            "staff/auditor_checks.html",
            visit,
            run=run,
            steps=_STEPS,
            reports=reports,
            verdicts=VERDICTS,
            **self._shown(request, reports[0] if reports else None),
        )

    def _shown(self, request: Request, report: KeptReport | None) -> dict[str, Any]:
        # Only here: a node whose reports nobody reads does not pay for the charts.
        from node.auditor.reporting import place_words

        language = language_of(self.desk.templates.language(request))
        if report is None:
            return {"report": None, "checked": [], "found": []}
        ordered = sorted(report.findings, key=lambda item: list(Severity).index(item.severity))
        return {
            "report": report,
            "checked": [item.words(language) for item in report.checked],
            "found": [
                (
                    item.severity.value,
                    language.text(_SEVERITIES[item.severity]),
                    place_words(item, language),
                    item.words(language),
                )
                for item in ordered
            ],
        }

    async def _progress(self, request: Request, visit: StaffVisit) -> Response:
        run = await self.desk.node.world.run_blocking(self.desk.node.log_checks.run_state)
        answer = self.desk.show(request, "staff/auditor_progress.html", visit, run=run, steps=_STEPS)
        if not run.is_under_way:
            answer.headers["HX-Refresh"] = "true"
        return answer

    async def ask(self, request: Request, visit: StaffVisit) -> Response:
        """Check it."""
        del request, visit
        await self.desk.node.log_checks.ask()
        return self.desk.done(CHECKS_PATH, "asked")

    async def show_one(self, request: Request, visit: StaffVisit) -> Response:
        """What one check came to."""
        checks, world = self.desk.node.log_checks, self.desk.node.world
        report = await world.run_blocking(checks.report, _made(request))
        shown = self._shown(request, report)
        return self.desk.show(request, "staff/auditor_check.html", visit, verdicts=VERDICTS, **shown)

    async def report(self, request: Request, visit: StaffVisit) -> Response:
        """The report: a page that prints; `?save` has it as a file."""
        del visit
        language, made = self.desk.templates.language(request), _made(request)
        page = await self.desk.node.world.run_blocking(self.desk.node.log_checks.page, made, language)
        headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Language": language}
        if "save" in request.query_params:
            headers["Content-Disposition"] = f'attachment; filename="audit-{made}.html"'
        return Response(page, media_type="text/html", headers=headers)


def _made(request: Request) -> int:
    text = request.path_params["made"]
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise NotFoundError("there is no such report")
    return int(text)
