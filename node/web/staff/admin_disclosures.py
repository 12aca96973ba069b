"""What auditors ask to be shown: granting and refusing. Spec: spec/desks.md, 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.audit.disclosure_requests import DEFAULT_DAYS, MAX_GRANT_DAYS, RequestState
from node.audit.disclosure_requests import Request as DisclosureRequest
from node.errors import ConfigError
from node.reports.rendering import N_
from node.web.staff.auditor_disclosures import STATES
from node.web.staff.desk import ADMINISTRATOR, StaffDesk, StaffVisit
from node.web.staff.forms import is_confirmed, line, number, raw_id

__all__ = ["GRANTS_PATH", "GrantPages"]

GRANTS_PATH: Final = "/admin/disclosures"
_DONE: Final = {
    "granted": N_("The disclosure was granted, on record."),
    "denied": N_("The request was refused, on record."),
}


@dataclass(frozen=True, slots=True)
class GrantPages:
    """/staff/admin/disclosures"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        one = f"{GRANTS_PATH}/{{id}}"
        return [
            self.desk.page(ADMINISTRATOR, GRANTS_PATH, self.show),
            self.desk.action(ADMINISTRATOR, f"{one}/grant", self.grant),
            self.desk.action(ADMINISTRATOR, f"{one}/deny", self.deny),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All requests, those that wait first."""
        node = self.desk.node
        names = {account.id: account.name for account in await node.staff.all()}
        found = await node.disclosure_requests.all()
        return self.desk.show(
            request,
            "staff/admin_disclosures.html",
            visit,
            waiting=[item for item in found if item.state is RequestState.ASKED],
            decided=[item for item in found if item.state is not RequestState.ASKED],
            names=names,
            addresses={box.id: box.address for box in await node.mailboxes.all()},
            states=STATES,
            days=DEFAULT_DAYS,
            most_days=MAX_GRANT_DAYS,
            done=_DONE.get(request.query_params.get("done", "")),
        )

    async def _item(self, request: Request) -> DisclosureRequest:
        return await self.desk.node.disclosure_requests.find(raw_id(request, "id").hex())

    async def grant(self, request: Request, visit: StaffVisit) -> Response:
        """Allow it; what was shown once cannot be taken back."""
        form, item, say = await request.form(), await self._item(request), self.desk.text
        days = number(form, "days")
        if not 1 <= days <= MAX_GRANT_DAYS:
            raise ConfigError(f"a grant lasts 1 to {MAX_GRANT_DAYS} days")
        if not is_confirmed(form):
            return self.desk.confirm(
                request,
                visit,
                title=say(request, N_("Show these events to the auditor?")),
                points=[
                    say(request, N_("What is opened: {scope}."), scope=item.scope.text),
                    say(request, N_("Reason given: {reason}"), reason=item.reason),
                    say(request, N_("For {days} days. What was seen until then cannot be taken back."), days=days),
                    say(request, N_("The content of letters is never shown.")),
                ],
                button=say(request, N_("Grant")),
                back=f"/staff{GRANTS_PATH}",
                fields={"days": str(days), "answer": line(form, "answer")},
            )
        await self.desk.node.disclosure_requests.grant(item.id, days=days, answer=line(form, "answer"))
        return self.desk.done(GRANTS_PATH, "granted")

    async def deny(self, request: Request, visit: StaffVisit) -> Response:
        """Refuse it; the auditor may ask again."""
        del visit
        form, item = await request.form(), await self._item(request)
        await self.desk.node.disclosure_requests.deny(item.id, answer=line(form, "answer"))
        return self.desk.done(GRANTS_PATH, "denied")
