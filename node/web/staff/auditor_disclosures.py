"""Asking to be shown events, and what was granted. Spec: spec/desks.md, 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.audit.disclosure_requests import Request as DisclosureRequest
from node.audit.disclosure_requests import RequestState
from node.errors import CoffreError, ConfigError, NotFoundError, StateError
from node.reports.rendering import N_
from node.web.staff.auditor_log import moment_of
from node.web.staff.desk import AUDITOR, StaffDesk, StaffVisit
from node.web.staff.forms import line, raw_id, text
from protocol.disclosure import Scope
from protocol.ids import LetterId

__all__ = ["DISCLOSURES_PATH", "STATES", "DisclosurePages"]

DISCLOSURES_PATH: Final = "/auditor/disclosures"
STATES: Final = {
    RequestState.ASKED: N_("waits"),
    RequestState.GRANTED: N_("granted"),
    RequestState.DENIED: N_("refused"),
}
_DONE: Final = {"asked": N_("The request waits for an administrator. It is on record.")}
_MAX_REASON: Final = 1000
_FIELDS: Final = ("what", "letter", "mailbox", "from", "until")


@dataclass(frozen=True, slots=True)
class DisclosurePages:
    """/staff/auditor/disclosures"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action = self.desk.page, self.desk.action
        return [
            page(AUDITOR, DISCLOSURES_PATH, self.show),
            action(AUDITOR, DISCLOSURES_PATH, self.ask),
            action(AUDITOR, f"{DISCLOSURES_PATH}/{{id}}/file", self.file),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """Own requests, and the form for another."""
        return await self._page(request, visit, dict.fromkeys((*_FIELDS, "reason"), ""), None)

    async def _page(
        self, request: Request, visit: StaffVisit, given: dict[str, str], error: CoffreError | None
    ) -> Response:
        return self.desk.show(
            request,
            "staff/auditor_disclosures.html",
            visit,
            status=200 if error is None else 422,
            requests=await self.desk.node.disclosure_requests.of_account(visit.account.id),
            states=STATES,
            zone=self.desk.node.settings.web.timezone,
            given=given,
            error=error,
            done=_DONE.get(request.query_params.get("done", "")) if error is None else None,
        )

    async def ask(self, request: Request, visit: StaffVisit) -> Response:
        """Ask, with a reason."""
        form = await request.form()
        given = {name: line(form, name) for name in _FIELDS} | {"reason": text(form, "reason", _MAX_REASON)}
        try:
            scope = await self._scope(form)
            await self.desk.node.disclosure_requests.ask(visit.account.id, scope, given["reason"])
        except CoffreError as error:
            return await self._page(request, visit, given, error)
        return self.desk.done(DISCLOSURES_PATH, "asked")

    async def _scope(self, form: FormData) -> Scope:
        node = self.desk.node
        what = line(form, "what")
        if what == "letter":
            try:
                return Scope(letter=LetterId.from_text(line(form, "letter").lower()))
            except ValueError as error:
                raise ConfigError(str(error), hint="evidence files show it after `letter`") from None
        if what not in ("mailbox", "period"):
            raise ConfigError("choose what you ask for")
        zone = node.settings.web.timezone
        from_ms, until_ms = moment_of(line(form, "from"), zone), moment_of(line(form, "until"), zone)
        if not from_ms < until_ms:
            raise ConfigError("give a beginning, and an end that is later")
        if what == "period":
            return Scope(from_ms=from_ms, until_ms=until_ms)
        mailbox = await node.mailboxes.find(line(form, "mailbox"))
        return Scope(mailbox=mailbox.id, from_ms=from_ms, until_ms=until_ms)

    async def _own(self, request: Request, visit: StaffVisit) -> DisclosureRequest:
        found = await self.desk.node.disclosure_requests.find(raw_id(request, "id").hex())
        if found.account != visit.account.id:
            raise NotFoundError("there is no such request")
        return found

    async def file(self, request: Request, visit: StaffVisit) -> Response:
        """The disclosure, which anybody can verify; each one is on record."""
        item = await self._own(request, visit)
        if not item.is_in_force(self.desk.node.world.now_ms()):
            raise StateError("this is not granted, or not any more", hint="ask again")
        made = await self.desk.node.discloser().disclose(item.scope, to=visit.account.id.hex())
        headers = {"Content-Disposition": f'attachment; filename="disclosure-{item.id.hex()[:12]}.txt"'}
        return Response(made.data, media_type="application/octet-stream", headers=headers)
