"""Reply, reply to all, forward: a draft is made, and its page shown. Spec: spec/web.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError
from node.post.answers import forward, reply
from node.reports.rendering import N_
from node.vault.draft_rows import DRAFT_NAME_BYTES
from node.vault.reading import OpenedLetter
from node.vault.states import LetterFolder
from node.web.pages.desk import Box, Desk, see_other

__all__ = ["AnswerPages"]

_FOLDERS: Final = {"letter": LetterFolder.INBOX, "sent": LetterFolder.SENT}
_WROTE: Final = N_("On {time}, {who} wrote:")
_FORWARDED: Final = N_("---- Forwarded letter ----\nFrom: {who}\nTo: {to}\nWritten: {time}\nSubject: {subject}")


@dataclass(frozen=True, slots=True)
class AnswerPages:
    """Answering and handing on."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, base = self.desk.in_box, "/box/{box}/{side}/{row}"
        return [
            Route(f"{base}/reply", inside(self.reply), methods=["POST"]),
            Route(f"{base}/reply-all", inside(self.reply_all), methods=["POST"]),
            Route(f"{base}/forward", inside(self.forward), methods=["POST"]),
        ]

    async def _opened(self, request: Request, box: Box) -> OpenedLetter:
        folder, row = _FOLDERS.get(request.path_params["side"]), request.path_params["row"]
        if folder is None or len(row) != 32:
            raise NotFoundError("no such letter")
        reading = self.desk.node.reading
        return await reading.open(box.opened, await reading.find(box.opened, folder, row))

    async def reply(self, request: Request, box: Box) -> Response:
        """To the sender."""
        return await self._reply(request, box, to_all=False)

    async def reply_all(self, request: Request, box: Box) -> Response:
        """To everyone who has the letter."""
        return await self._reply(request, box, to_all=True)

    async def _reply(self, request: Request, box: Box, *, to_all: bool) -> Response:
        letter = (await self._opened(request, box)).letter
        templates, node = self.desk.templates, self.desk.node
        head = templates.text(
            request, _WROTE, time=templates.moment(request, letter.time_ms), who=letter.sender.address
        )
        texts = await node.mailbox_texts.of(box.opened)
        content = reply(letter, box.opened.address, to_all=to_all, head=head, signature=texts.signature)
        name = node.world.random_bytes(DRAFT_NAME_BYTES)
        await node.drafts.save(box.opened, name, content)
        return see_other(f"{box.path}/write/{name.hex()}")

    async def forward(self, request: Request, box: Box) -> Response:
        """To others, with its documents."""
        opened = await self._opened(request, box)
        letter, templates, node = opened.letter, self.desk.templates, self.desk.node
        head = templates.text(
            request,
            _FORWARDED,
            who=letter.sender.address,
            to=", ".join(item.address for item in letter.to),
            time=templates.moment(request, letter.time_ms),
            subject=letter.subject,
        )
        texts = await node.mailbox_texts.of(box.opened)
        name = node.world.random_bytes(DRAFT_NAME_BYTES)
        await node.drafts.save(box.opened, name, forward(letter, head=head, signature=texts.signature))
        await node.drafts.take_over(box.opened, name, opened)
        return see_other(f"{box.path}/write/{name.hex()}")
