"""The absence notice of a mailbox. Spec: spec/alerts.md, 4."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, ConfigError
from node.web.pages.days import day_begins_ms, day_ends_ms, day_text
from node.web.pages.desk import Box, Desk, refuse_deputies, see_other
from protocol.entry import Absence

__all__ = ["AbsencePages"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class AbsencePages:
    """Setting and ending it."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/absence", inside(self.show), methods=["GET"]),
            Route("/box/{box}/absence", inside(self.save), methods=["POST"]),
            Route("/box/{box}/absence/end", inside(self.end), methods=["POST"]),
        ]

    async def show(self, request: Request, box: Box) -> Response:
        """The form: what is published, or today and a week."""
        refuse_deputies(box)
        absence = await self.desk.node.absences.of(box.opened.id)
        zone, now_ms = self.desk.node.alerts.zone, self.desk.node.world.now_ms()
        shown = absence or Absence(from_ms=now_ms, until_ms=now_ms + 7 * _DAY_MS)
        form = {
            "first": day_text(shown.from_ms, zone),
            "last": day_text(shown.until_ms - 1, zone),
            "french": shown.french,
            "english": shown.english,
            "instead": shown.instead,
        }
        return self._page(request, box, form, is_set=absence is not None, saved="saved" in request.query_params)

    async def save(self, request: Request, box: Box) -> Response:
        """Publish what was typed."""
        refuse_deputies(box)
        typed = await request.form()
        form = {name: str(typed.get(name, "")).strip() for name in ("from", "until", "french", "english", "instead")}
        zone = self.desk.node.alerts.zone
        try:
            absence = Absence(
                from_ms=day_begins_ms(form["from"], zone),
                until_ms=day_ends_ms(form["until"], zone),
                french=form["french"],
                english=form["english"],
                instead=form["instead"],
            )
            await self.desk.node.absences.set(box.opened.id, absence)
        except ConfigError as error:
            shown = {**form, "first": form["from"], "last": form["until"]}
            return self._page(request, box, shown, is_set=False, error=error, status=422)
        return see_other(f"{box.path}/absence?saved=1")

    async def end(self, request: Request, box: Box) -> Response:
        """The person is back."""
        refuse_deputies(box)
        await self.desk.node.absences.end(box.opened.id)
        return see_other(f"{box.path}/absence?saved=1")

    def _page(
        self,
        request: Request,
        box: Box,
        form: dict[str, str],
        *,
        is_set: bool,
        saved: bool = False,
        error: CoffreError | None = None,
        status: int = 200,
    ) -> Response:
        return self.desk.page(
            request,
            "absence.html",
            box,
            status=status,
            folder="absence",
            form=form,
            is_set=is_set,
            saved=saved,
            error=error,
        )
