"""A letter of a mailbox, a sent letter and what became of it. Spec: spec/web.md, 5."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError
from node.vault.reading import StoredLetter
from node.vault.states import LetterFolder
from node.web.pages.desk import Box, Desk, ForbiddenError
from node.web.pages.filed import filed

__all__ = ["LetterPages"]


@dataclass(frozen=True, slots=True)
class LetterPages:
    """Reading."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/letter/{row}", inside(self.letter), methods=["GET"]),
            Route("/box/{box}/sent/{row}", inside(self.sent_letter), methods=["GET"]),
        ]

    async def _stored(self, request: Request, box: Box, folder: LetterFolder) -> StoredLetter:
        row = request.path_params["row"]
        if len(row) != 32:
            raise NotFoundError("no such letter")
        return await self.desk.node.reading.find(box.opened, folder, row)

    async def letter(self, request: Request, box: Box) -> Response:
        """Open a letter: on record before anything of it leaves."""
        if "prefetch" in request.headers.get("sec-purpose", request.headers.get("purpose", "")):
            raise ForbiddenError
        stored = await self._stored(request, box, LetterFolder.INBOX)
        opened = await self.desk.node.reading.open(box.opened, stored)
        await self.desk.node.filing.seen(box.opened, stored.row)
        return self.desk.page(
            request,
            "letter.html",
            box,
            folder="inbox",
            opened=opened,
            letter=opened.letter,
            filed=await filed(self.desk.node, box.opened, opened),
        )

    async def sent_letter(self, request: Request, box: Box) -> Response:
        """A letter that was sent, and its timeline."""
        stored = await self._stored(request, box, LetterFolder.SENT)
        opened = await self.desk.node.reading.open(box.opened, stored)
        timeline = await self.desk.node.timelines.timeline(stored)
        return self.desk.page(
            request,
            "sent_letter.html",
            box,
            folder="sent",
            opened=opened,
            letter=opened.letter,
            timeline=timeline,
            filed=await filed(self.desk.node, box.opened, opened),
        )
