"""Documents of letters: downloaded, or shown in place where that is safe. Spec: spec/web.md, 6.

A document is read twice: once to compare it with the hash that its sender signed, then to hand it out. Nothing of one
that differs leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from node.documents.cda import MAX_BYTES, CdaDocument, CdaError, is_cda, read_cda
from node.errors import NotFoundError, StateError
from node.vault.content import LetterContent
from node.vault.states import LetterFolder
from node.web.pages.desk import Box, Desk
from node.web.senders import name_of
from node.web.shown import IMAGES, shown_in_place
from protocol.errors import Reason, RemoteProtocolError
from protocol.letter import Attachment

__all__ = ["FilePages"]

_FOLDERS: Final = {"letter": LetterFolder.INBOX, "sent": LetterFolder.SENT}
_PDF_BEGIN: Final = b"%PDF-"
# Browsers show no PDF in a sandbox; their viewers run none of its scripts, and nothing else is loaded.
_PDF_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'"
_IMAGE_POLICY: Final = f"sandbox; {_PDF_POLICY}"
_NARRATIVE_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'self'; base-uri 'none'"
)


@dataclass(frozen=True, slots=True)
class FilePages:
    """Downloading and viewing."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/{side}/{row}/file/{index:int}", inside(self.download), methods=["GET"]),
            Route("/box/{box}/{side}/{row}/view/{index:int}", inside(self.view), methods=["GET"]),
            Route("/box/{box}/{side}/{row}/document/{index:int}", inside(self.document), methods=["GET"]),
            Route("/box/{box}/{side}/{row}/narrative/{index:int}", inside(self.narrative), methods=["GET"]),
        ]

    async def _checked(self, request: Request, box: Box) -> tuple[LetterContent, int]:
        """The letter's content, and which of its documents: one that is what its sender signed."""
        folder = _FOLDERS.get(request.path_params["side"])
        if folder is None or len(request.path_params["row"]) != 32:
            raise NotFoundError("no such letter")
        reading, index = self.desk.node.reading, request.path_params["index"]
        stored = await reading.find(box.opened, folder, request.path_params["row"])
        content = (await reading.open(box.opened, stored)).content
        await self.check(content, index)
        return content, index

    async def check(self, content: LetterContent, index: int) -> None:
        """NotFoundError for a document that there is not; RemoteProtocolError for one that is not as signed."""
        attachments = content.signed.letter.attachments
        if index >= len(attachments):
            raise NotFoundError("no such document")

        def check() -> None:
            digest = hashlib.sha256()
            for piece in content.attachment_pieces(index):
                digest.update(piece)
            if digest.digest() != attachments[index].sha256:
                raise RemoteProtocolError(Reason.MISMATCH, "the document is not the one that was signed")

        await self.desk.node.world.run_blocking(check)

    async def download(self, request: Request, box: Box) -> Response:
        """A document as a file, whatever it is: no browser executes it here."""
        return self.as_file(*await self._checked(request, box))

    def as_file(self, content: LetterContent, index: int) -> Response:
        """A checked document as a file."""
        attachment = content.signed.letter.attachments[index]
        headers = {"Content-Disposition": f"attachment; {_file_name(attachment.name)}"}
        return self._answer(content, index, "application/octet-stream", headers)

    async def view(self, request: Request, box: Box) -> Response:
        """An image or a PDF in place, if it is one: its first bytes say so, too."""
        return self.in_place(*await self._checked(request, box))

    def in_place(self, content: LetterContent, index: int) -> Response:
        """A checked document in place. NotFoundError if it is not one that may be."""
        attachment = content.signed.letter.attachments[index]
        kind = shown_in_place(attachment)
        begin = next(iter(content.attachment_pieces(index)), b"")
        expected = _PDF_BEGIN if kind == "pdf" else IMAGES.get(attachment.media_type, b"")
        if kind not in ("image", "pdf") or not begin.startswith(expected):
            raise NotFoundError("not a document that is shown in place")
        headers = {
            "Content-Disposition": f"inline; {_file_name(attachment.name)}",
            "Content-Security-Policy": _PDF_POLICY if kind == "pdf" else _IMAGE_POLICY,
        }
        return self._answer(content, index, attachment.media_type, headers)

    async def _clinical(self, request: Request, box: Box) -> tuple[Attachment, CdaDocument]:
        """A clinical document, read. NotFoundError for what is none; StateError for one that is not shown."""
        content, index = await self._checked(request, box)
        attachment = content.signed.letter.attachments[index]
        if attachment.size > MAX_BYTES:
            raise StateError(f"{attachment.name} is too large to be shown", hint="download it")

        def read() -> CdaDocument:
            data = b"".join(content.attachment_pieces(index))
            if not is_cda(attachment.media_type, attachment.name, data[:65536]):
                raise NotFoundError("no clinical document")
            try:
                return read_cda(data)
            except CdaError as error:
                raise StateError(f"{attachment.name} cannot be shown: {error}", hint="download it") from error

        return attachment, await self.desk.node.world.run_blocking(read)

    async def document(self, request: Request, box: Box) -> Response:
        """A clinical document: who, when, and its narrative in a frame of its own."""
        attachment, document = await self._clinical(request, box)
        folder = "inbox" if request.path_params["side"] == "letter" else "sent"
        here = request.url.path.replace("/document/", "/narrative/")
        recipient = await self.desk.node.database.read(name_of, self.desk.node, box.opened)
        return self.desk.page(
            request,
            "document.html",
            box,
            folder=folder,
            document=document,
            attachment=attachment,
            narrative=here,
            recipient=recipient,
        )

    async def narrative(self, request: Request, box: Box) -> Response:
        """Its narrative, without scripts whatever it holds."""
        _, document = await self._clinical(request, box)
        answer = self.desk.page(request, "narrative.html", box, document=document)
        answer.headers["Content-Security-Policy"] = _NARRATIVE_POLICY
        return answer

    def _answer(self, content: LetterContent, index: int, media_type: str, headers: dict[str, str]) -> Response:
        headers["Content-Length"] = str(content.signed.letter.attachments[index].size)
        return StreamingResponse(self._pieces(content, index), media_type=media_type, headers=headers)

    async def _pieces(self, content: LetterContent, index: int) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = content.attachment_pieces(index)
        while piece := await self.desk.node.world.run_blocking(next, pieces, b""):
            yield piece


def _file_name(name: str) -> str:
    """A name for a header (RFC 6266): plain letters for old browsers, all of it for others."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in " ._-") else "_" for letter in name)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
