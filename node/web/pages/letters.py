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
from node.web.senders import name_of, written_by

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
        node = self.desk.node
        await node.filing.seen(box.opened, stored.row)
        sender = await node.database.read(written_by, node, opened.letter)
        recipient = await node.database.read(name_of, node, box.opened)
        author = opened.letter.sender
        from_outside = (author.node, author.mailbox) == (node.node_id, await node.answers.mailbox_id())
        return self.desk.page(
            request,
            "letter.html",
            box,
            folder="inbox",
            opened=opened,
            letter=opened.letter,
            sender=sender,
            from_outside=from_outside,
            recipient=recipient,
            filed=await filed(node, box.opened, opened),
        )
