"""The charter of use and who accepted it; how mails that go out are worded. Spec: spec/staff.md, 6.10 and 6.11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.alerts.wording import (
    LANGUAGES,
    PLACEHOLDERS,
    REQUIRED,
    MailSort,
    NewWording,
    Wording,
    check_wording,
    defaults,
    filled,
)
from node.errors import ConfigError, NotFoundError
from node.reports.rendering import N_
from node.web.charter_page import charter_html
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, text

__all__ = ["CHARTER_PATH", "WORDING_PATH", "CharterPages", "WordingPages"]

CHARTER_PATH: Final = "/admin/charter"
WORDING_PATH: Final = "/admin/texts"
_MAX_TEXT: Final = 8000
_SORTS: Final = {
    MailSort.ALERT: N_("Alert: something waits in the mailbox"),
    MailSort.PICKUP: N_("Link for somebody outside"),
}
_DONE: Final = {
    "kept": N_("The text is used from now on."),
    "default": N_("The program's own text is used again."),
}


@dataclass(frozen=True, slots=True)
class CharterPages:
    """/staff/admin/charter"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [self.desk.page(ADMINISTRATOR, CHARTER_PATH, self.show)]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """The present texts, where they lie, and who accepted one of them."""
        node, charters = self.desk.node, self.desk.node.charters
        texts, problem, accepted = [], None, {}
        mailboxes = [mailbox for mailbox in await node.mailboxes.all() if mailbox.status == "open"]
        if charters.exists:
            try:
                texts = await charters.texts()
                accepted = await charters.acceptances([mailbox.id for mailbox in mailboxes])
            except ConfigError as error:
                problem = error
        return self.desk.show(
            request,
            "staff/charter.html",
            visit,
            file=node.settings.web.charter_file,
            texts=[(text, charter_html(text)) for text in texts],
            problem=problem,
            mailboxes=mailboxes,
            accepted=accepted,
        )


@dataclass(frozen=True, slots=True)
class WordingPages:
    """/staff/admin/texts"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one = self.desk.page, self.desk.action, f"{WORDING_PATH}/{{sort}}/{{language}}"
        return [
            page(ADMINISTRATOR, WORDING_PATH, self.show),
            page(ADMINISTRATOR, one, self.show_one),
            action(ADMINISTRATOR, one, self.keep),
            action(ADMINISTRATOR, f"{one}/default", self.reset),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """Which mails there are, and which of them the institution words itself."""
        node = self.desk.node
        return self.desk.show(
            request,
            "staff/texts.html",
            visit,
            sorts=_SORTS,
            languages=LANGUAGES,
            own=(await node.database.read(node.wordings.all)).own,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    @staticmethod
    def _place(request: Request) -> tuple[MailSort, str]:
        sort, language = request.path_params["sort"], request.path_params["language"]
        if sort not in tuple(MailSort) or language not in LANGUAGES:
            raise NotFoundError("there is no such text")
        return MailSort(sort), language

    async def show_one(self, request: Request, visit: StaffVisit) -> Response:
        """The text in force, to be worded."""
        sort, language = self._place(request)
        own = (await self.desk.node.database.read(self.desk.node.wordings.all)).own
        return self._page(request, visit, own.get((sort, language), defaults(sort)[language]))

    def _page(
        self,
        request: Request,
        visit: StaffVisit,
        wording: Wording,
        *,
        error: ConfigError | None = None,
        preview: tuple[str, str] | None = None,
    ) -> Response:
        sort, language = self._place(request)
        return self.desk.show(
            request,
            "staff/text.html",
            visit,
            status=200 if error is None else 422,
            sort=sort,
            of_language=language,
            sorts=_SORTS,
            wording=wording,
            placeholders=sorted(PLACEHOLDERS[sort]),
            required=REQUIRED[sort],
            error=error,
            preview=preview,
        )

    async def keep(self, request: Request, visit: StaffVisit) -> Response:
        """Check it and show how it looks; once that was looked at, use it."""
        form, (sort, language) = await request.form(), self._place(request)
        given = Wording(line(form, "subject"), text(form, "body", _MAX_TEXT))
        try:
            wording = check_wording(sort, given)
        except ConfigError as error:
            return self._page(request, visit, given, error=error)
        if not is_confirmed(form):
            return self._page(request, visit, wording, preview=filled(wording, self._examples(language)))
        node = self.desk.node
        await node.database.write(node.wordings.set, NewWording(sort=sort, language=language, wording=wording))
        return self.desk.done(WORDING_PATH, "kept")

    def _examples(self, language: str) -> dict[str, str]:
        settings = self.desk.node.settings
        event = {"fr": "Un courrier vous attend", "en": "A letter is waiting for you"}[language]
        until = {"fr": "31 décembre 2026, 18:00 UTC", "en": "31 December 2026, 18:00 UTC"}[language]
        return {
            "institution": settings.institution,
            "mailbox": f"camille.exemple@{settings.domain}",
            "event": event,
            "link": f"{settings.web.url or 'https://coffre.example'}/…",
            "until": until,
        }

    async def reset(self, request: Request, visit: StaffVisit) -> Response:
        """Back to the program's own text."""
        del visit
        (sort, language), node = self._place(request), self.desk.node
        await node.database.write(node.wordings.set, NewWording(sort=sort, language=language, wording=None))
        return self.desk.done(WORDING_PATH, "default")
