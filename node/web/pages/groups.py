"""Pages of a mailbox's groups of recipients. Spec: spec/web.md, 7.1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, ConfigError, LimitError, NotFoundError, StateError
from node.post.drafting import OpenDraft
from node.vault.draft_rows import DraftText
from node.vault.recipient_groups import MAX_GROUP_NAME_CHARACTERS, RecipientGroup
from node.web.guard import BodyRule
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.draft_names import hex_bytes
from node.web.pages.drafting import DraftPages
from node.web.pages.recipient_fields import typed_addresses

__all__ = ["GroupPages"]

# 1,000 addresses of 254 bytes, and what escaping adds to them.
_BODY_BYTES: Final = 512 * 1024
_IDLE_S: Final = 30
_PATH: Final = re.compile(r"/box/[0-9a-f]{32}/groups(/[0-9a-f]{32})?")


@dataclass(frozen=True, slots=True)
class GroupPages:
    """Making, changing and deleting groups."""

    desk: Desk
    drafts: DraftPages

    @staticmethod
    def body_rules() -> list[BodyRule]:
        """A long list is longer than other forms."""
        return [BodyRule(_PATH, _BODY_BYTES, _IDLE_S)]

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, one = self.desk.in_box, "/box/{box}/groups/{group}"
        return [
            Route("/box/{box}/groups", inside(self.show_all), methods=["GET"]),
            Route("/box/{box}/groups", inside(self.add), methods=["POST"]),
            Route(one, inside(self.show), methods=["GET"]),
            Route(one, inside(self.change), methods=["POST"]),
            Route(f"{one}/delete", inside(self.delete), methods=["POST"]),
        ]

    async def show_all(self, request: Request, box: Box) -> Response:
        """The groups, and the form of a new one."""
        return await self._list(request, box)

    async def add(self, request: Request, box: Box) -> Response:
        """A new group, and to its page."""
        form = await request.form()
        name, members = str(form.get("name", "")), typed_addresses(str(form.get("members", "")))
        try:
            made = await self.desk.node.recipient_groups.add(box.opened, name, members)
        except (ConfigError, LimitError, StateError) as error:
            return await self._list(request, box, name=name, members=members, error=error)
        return see_other(f"{box.path}/groups/{made.hex()}?saved=1")

    async def show(self, request: Request, box: Box) -> Response:
        """One group, and what is to be known of its members."""
        group = await self._group(request, box)
        return await self._one(request, box, group, saved="saved" in request.query_params)

    async def change(self, request: Request, box: Box) -> Response:
        """Another name, other members."""
        group, form = await self._group(request, box), await request.form()
        name, members = str(form.get("name", "")), typed_addresses(str(form.get("members", "")))
        try:
            await self.desk.node.recipient_groups.change(box.opened, group.id, name, members)
        except (ConfigError, LimitError, StateError) as error:
            typed = RecipientGroup(id=group.id, name=name, members=members)
            return await self._one(request, box, typed, error=error)
        return see_other(f"{box.path}/groups/{group.id.hex()}?saved=1")

    async def delete(self, request: Request, box: Box) -> Response:
        """Delete it; the page asked before."""
        group = await self._group(request, box)
        await self.desk.node.recipient_groups.delete(box.opened, group.id)
        return see_other(f"{box.path}/groups?deleted=1")

    async def _group(self, request: Request, box: Box) -> RecipientGroup:
        name = hex_bytes(request.path_params["group"])
        if name is None:
            raise NotFoundError("no such group")
        return await self.desk.node.recipient_groups.find(box.opened, name)

    async def _list(
        self,
        request: Request,
        box: Box,
        *,
        name: str = "",
        members: tuple[str, ...] = (),
        error: CoffreError | None = None,
    ) -> Response:
        return self.desk.page(
            request,
            "groups.html",
            box,
            status=200 if error is None else 422,
            folder="groups",
            groups=await self.desk.node.recipient_groups.all(box.opened),
            name=name,
            members=members,
            longest=MAX_GROUP_NAME_CHARACTERS,
            deleted="deleted" in request.query_params,
            error=error,
        )

    async def _one(
        self,
        request: Request,
        box: Box,
        group: RecipientGroup,
        *,
        saved: bool = False,
        error: CoffreError | None = None,
    ) -> Response:
        letter = OpenDraft(name=b"", stored=None, content=DraftText(to=group.members), files=())
        return self.desk.page(
            request,
            "group.html",
            box,
            status=200 if error is None else 422,
            folder="groups",
            group=group,
            longest=MAX_GROUP_NAME_CHARACTERS,
            saved=saved,
            error=error,
            **await self.drafts.looks(request, box, letter),
        )
