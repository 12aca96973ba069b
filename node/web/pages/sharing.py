"""Who acts for a mailbox: a person's deputies, a service's members. Spec: spec/identity.md, 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, ConfigError, NotFoundError, StateError
from node.web.pages.days import day_begins_ms, day_ends_ms, day_text
from node.web.pages.desk import Box, Desk, refuse_deputies, see_other
from protocol.delegation import Right
from protocol.entry import MailboxKind
from protocol.letter import normalise_address

__all__ = ["SharingPages"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class SharingPages:
    """Naming and ending."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/sharing", inside(self.show), methods=["GET"]),
            Route("/box/{box}/sharing", inside(self.add), methods=["POST"]),
            Route("/box/{box}/sharing/end", inside(self.end), methods=["POST"]),
        ]

    async def show(self, request: Request, box: Box) -> Response:
        """Who acts for this mailbox."""
        refuse_deputies(box)
        zone, now_ms = self.desk.node.alerts.zone, self.desk.node.world.now_ms()
        form = {
            "person": "",
            "write": False,
            "first": day_text(now_ms, zone),
            "last": day_text(now_ms + 14 * _DAY_MS, zone),
        }
        return await self._page(request, box, form, saved="saved" in request.query_params)

    async def add(self, request: Request, box: Box) -> Response:
        """Name a deputy, or add a member."""
        refuse_deputies(box)
        node, typed = self.desk.node, await request.form()
        form: dict[str, Any] = {
            "person": str(typed.get("person", "")).strip(),
            "write": "write" in typed,
            "first": str(typed.get("from", "")),
            "last": str(typed.get("until", "")),
        }
        try:
            person = self._address(form["person"])
            if await self._is_person(box):
                rights = (Right.READ, Right.WRITE) if form["write"] else (Right.READ,)
                await node.sharing.delegate(
                    box.opened,
                    person,
                    rights=rights,
                    from_ms=day_begins_ms(form["first"], node.alerts.zone),
                    until_ms=day_ends_ms(form["last"], node.alerts.zone),
                )
            else:
                await node.sharing.add_member(box.opened, person)
        except (ConfigError, NotFoundError, StateError) as error:
            return await self._page(request, box, form, error=error, status=422)
        return see_other(f"{box.path}/sharing?saved=1")

    async def end(self, request: Request, box: Box) -> Response:
        """End it at once. New keys are made at the next log-in."""
        refuse_deputies(box)
        person = str((await request.form()).get("person", ""))
        sharing = self.desk.node.sharing
        try:
            person = self._address(person)
        except ConfigError:
            raise NotFoundError("nobody of this name") from None
        if await self._is_person(box):
            await sharing.revoke(box.opened.address, person)
        else:
            await sharing.remove_member(box.opened.address, person)
        if person == box.session.opened.address:
            return see_other("/")  # who ended the own membership is out
        return see_other(f"{box.path}/sharing?saved=1")

    def _address(self, typed: str) -> str:
        try:
            return normalise_address(typed if "@" in typed else f"{typed}@{self.desk.node.settings.domain}")
        except ValueError:
            raise ConfigError(f"{typed[:100]!r} is no mailbox of this institution") from None

    async def _is_person(self, box: Box) -> bool:
        node = self.desk.node
        entry = await node.database.read(node.directory.own_mailbox, box.opened.id)
        return entry is not None and entry.kind is MailboxKind.PERSON

    async def _page(
        self,
        request: Request,
        box: Box,
        form: dict[str, Any],
        *,
        saved: bool = False,
        error: CoffreError | None = None,
        status: int = 200,
    ) -> Response:
        node, is_person = self.desk.node, await self._is_person(box)
        listed = node.sharing.delegations if is_person else node.sharing.members
        return self.desk.page(
            request,
            "sharing.html",
            box,
            status=status,
            folder="sharing",
            is_person=is_person,
            shares=await listed(box.opened.address),
            form=form,
            saved=saved,
            error=error,
        )
