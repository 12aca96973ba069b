"""The letters of a mailbox: lists, a letter, a sent letter and what became of it. Spec: spec/web.md, 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError
from node.vault.reading import StoredLetter
from node.vault.states import LetterFolder
from node.web.pages.desk import Box, Desk, ForbiddenError

__all__ = ["LetterPages"]

_PAGE: Final = 50
_FOLDERS: Final = {"inbox": LetterFolder.INBOX, "sent": LetterFolder.SENT}


@dataclass(frozen=True, slots=True)
class LetterPages:
    """Reading."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/inbox", inside(self.inbox), methods=["GET"]),
            Route("/box/{box}/sent", inside(self.sent), methods=["GET"]),
            Route("/box/{box}/letter/{row}", inside(self.letter), methods=["GET"]),
            Route("/box/{box}/sent/{row}", inside(self.sent_letter), methods=["GET"]),
        ]

    async def inbox(self, request: Request, box: Box) -> Response:
        """Letters received, newest first."""
        return await self._list(request, box, "inbox")

    async def sent(self, request: Request, box: Box) -> Response:
        """Letters sent, each with its state for each recipient."""
        return await self._list(request, box, "sent")

    async def _list(self, request: Request, box: Box, name: str) -> Response:
        reading, folder = self.desk.node.reading, _FOLDERS[name]
        before = request.query_params.get("before")
        last = None if before is None else (await reading.find(box.opened, folder, before)).row
        # One more than is shown: whether there is a next page.
        found = await reading.page(box.opened, folder, before=last, limit=_PAGE + 1)
        page, more = found[:_PAGE], len(found) > _PAGE
        states = {}
        if folder is LetterFolder.SENT:
            states = await self.desk.node.timelines.states([summary.stored for summary in page])
        return self.desk.page(
            request,
            "list.html",
            box,
            folder=name,
            summaries=page,
            states=states,
            following=page[-1].stored.row.hex() if more else "",
        )

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
        sender = opened.letter.sender
        node = self.desk.node
        return self.desk.page(
            request,
            "letter.html",
            box,
            folder="inbox",
            opened=opened,
            letter=opened.letter,
            from_outside=(sender.node, sender.mailbox) == (node.node_id, await node.answers.mailbox_id()),
        )

    async def sent_letter(self, request: Request, box: Box) -> Response:
        """A letter that was sent, and its timeline."""
        stored = await self._stored(request, box, LetterFolder.SENT)
        opened = await self.desk.node.reading.open(box.opened, stored)
        timeline = await self.desk.node.timelines.timeline(stored)
        return self.desk.page(
            request, "sent_letter.html", box, folder="sent", opened=opened, letter=opened.letter, timeline=timeline
        )
