"""Institutions that ask to be vouched for, and what contradicts each other. Spec: spec/desks.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directory_sync.trust import Verdict
from node.errors import ConfigError, StateError
from node.maintainer.desk import Desk
from node.maintainer.difference import Found, compare_requests
from node.maintainer.overview import conflicts
from node.maintainer.task_file import MAX_DAYS, EndorseTask
from node.reports.institution_kinds import INSTITUTION_KINDS
from node.reports.rendering import N_
from node.web.staff.desk import MAINTAINER, StaffDesk, StaffVisit
from node.web.staff.forms import line, node_of, number, text, upload
from node.web.staff.maintainer_desk import MAINTAINER_PATH, MaintainerDoor
from node.web.staff.maintainer_lists import FIELD_WORDS
from protocol.entry.institution import KIND
from protocol.errors import RemoteProtocolError
from protocol.statement import node_digits, parse_digits

__all__ = ["REQUESTS_PATH", "RequestPages"]

REQUESTS_PATH: Final = f"{MAINTAINER_PATH}/requests"
_MAX_INVITE_BYTES: Final = 64 * 1024
_DONE: Final = {
    "added": N_("The request waits. Telephone its administrator and compare the digits before you endorse."),
    "dropped": N_("The request was dropped."),
    "published": N_("Signed, published, and handed to this node."),
    "published_alone": N_("Signed and published. This node does not trust the maintainer: hand the feed on as a file."),
}


@dataclass(frozen=True, slots=True)
class RequestPages:
    """/staff/maintainer/requests, /staff/maintainer/conflicts"""

    desk: StaffDesk

    @property
    def door(self) -> MaintainerDoor:
        """To the maintainer's folder."""
        return MaintainerDoor(self.desk)

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, one, opened = (
            self.desk.page,
            self.desk.action,
            f"{REQUESTS_PATH}/{{node}}",
            self.door.opened,
        )
        return [
            page(MAINTAINER, REQUESTS_PATH, opened(self.show)),
            action(MAINTAINER, REQUESTS_PATH, opened(self.add), token_in_body=True),
            page(MAINTAINER, one, opened(self.show_one)),
            action(MAINTAINER, f"{one}/drop", opened(self.drop)),
            action(MAINTAINER, f"{one}/endorse", opened(self.endorse)),
            page(MAINTAINER, f"{MAINTAINER_PATH}/conflicts", opened(self.conflicts)),
        ]

    async def show(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Those that wait, and a form for another."""
        return await self._list(request, visit, desk, None)

    async def _list(self, request: Request, visit: StaffVisit, desk: Desk, error: ConfigError | None) -> Response:
        run = self.desk.node.world.run_blocking
        waiting = await run(desk.requests.all)
        return self.desk.show(
            request,
            "staff/maintainer_requests.html",
            visit,
            status=200 if error is None else 422,
            maintainer=desk.entry,
            waiting=[(invite, len(desk.warnings(invite))) for invite in waiting],
            listed=await run(compare_requests, desk),
            error=error,
            done=_DONE.get(request.query_params.get("done", "")) if error is None else None,
        )

    async def add(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Keep an invitation, from a file or pasted."""
        form, data = await upload(request, visit, "file", most_bytes=_MAX_INVITE_BYTES)
        invitation = data.decode("ascii", "replace") or text(form, "invite", _MAX_INVITE_BYTES)
        try:
            invite = await self.desk.node.world.run_blocking(desk.requests.add, invitation.strip())
        except (RemoteProtocolError, UnicodeEncodeError) as problem:
            detail = problem.detail or problem.reason.value if isinstance(problem, RemoteProtocolError) else "no text"
            error = ConfigError(f"this is no invitation: {detail}", hint="coffre invite makes one at the institution")
            return await self._list(request, visit, desk, error)
        await self.desk.note(visit, f"maintainer: request kept {invite.chain.node_id.text[:16]}")
        return self.desk.done(REQUESTS_PATH, "added")

    async def show_one(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """What it says of itself, what is like it, and the form that endorses."""
        invite = desk.requests.find(node_of(request).text)
        listed = await self.desk.node.world.run_blocking(compare_requests, desk)
        item = None if listed is None else listed.get(invite.chain.node_id)
        entry = item.entries[0] if item is not None and item.found is Found.LISTED else None
        kind = entry.kind if entry is not None and KIND.fullmatch(entry.kind) else "hospital"
        return self.desk.show(
            request,
            "staff/maintainer_request.html",
            visit,
            invite=invite,
            item=item,
            entry=entry,
            field_words=FIELD_WORDS,
            kind=kind,
            kinds=list(dict.fromkeys((*INSTITUTION_KINDS, kind))),
            warnings=desk.warnings(invite),
            region=(entry.region if entry is not None else "") or desk.entry.region,
            most_days=MAX_DAYS,
            **self.door.keys_here,
        )

    async def drop(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Forget it; the institution may ask again."""
        node = desk.requests.find(node_of(request).text).chain.node_id
        await self.desk.node.world.run_blocking(desk.requests.drop, node)
        await self.desk.note(visit, f"maintainer: request dropped {node.text[:16]}")
        return self.desk.done(REQUESTS_PATH, "dropped")

    async def endorse(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Vouch for it, once its administrator read out the same digits."""
        form, node = await request.form(), node_of(request)
        desk.requests.find(node.text)
        try:
            same = parse_digits(line(form, "digits")) == node_digits(node)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if not same:
            raise StateError("the fingerprint is another one: this request was not made by whom you telephoned")
        days, kind = number(form, "days"), line(form, "kind", 100)
        if not 1 <= days <= MAX_DAYS or not kind:
            raise ConfigError(f"an endorsement names a kind, and holds for 1 to {MAX_DAYS} days")
        task = EndorseTask(desk.requests.text(node), kind, line(form, "region", 100), days)
        return await self.door.settle(request, visit, desk, [task], "endorse", REQUESTS_PATH)

    async def conflicts(self, request: Request, visit: StaffVisit, desk: Desk) -> Response:
        """Equal or similar domains, names and keys; what other maintainers say otherwise."""
        node = self.desk.node
        waiting = await node.world.run_blocking(desk.requests.all)
        return self.desk.show(
            request,
            "staff/maintainer_conflicts.html",
            visit,
            similar=[(invite, warnings) for invite in waiting if (warnings := desk.warnings(invite))],
            conflicts=conflicts(desk),
            findings=[item for item in await node.trust.findings() if item.verdict is Verdict.CONFLICT],
        )
