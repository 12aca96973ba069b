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

from node.errors import NotFoundError
from node.vault.content import LetterContent
from node.vault.states import LetterFolder
from node.web.pages.desk import Box, Desk
from protocol.errors import Reason, RemoteProtocolError
from protocol.letter import Attachment

__all__ = ["FilePages", "shown_in_place"]

_FOLDERS: Final = {"letter": LetterFolder.INBOX, "sent": LetterFolder.SENT}
_IMAGES: Final = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_PDF: Final = "application/pdf"
_PDF_BEGIN: Final = b"%PDF-"
# Browsers show no PDF in a sandbox; their viewers run none of its scripts, and nothing else is loaded.
_PDF_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'"
_IMAGE_POLICY: Final = f"sandbox; {_PDF_POLICY}"


def shown_in_place(attachment: Attachment) -> str:
    """How a document may be shown on a page: `image`, `pdf`, or empty where it is downloaded only."""
    if attachment.media_type in _IMAGES:
        return "image"
    return "pdf" if attachment.media_type == _PDF else ""


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
        expected = _PDF_BEGIN if kind == "pdf" else _IMAGES.get(attachment.media_type, b"")
        if not kind or not begin.startswith(expected):
            raise NotFoundError("not a document that is shown in place")
        headers = {
            "Content-Disposition": f"inline; {_file_name(attachment.name)}",
            "Content-Security-Policy": _PDF_POLICY if kind == "pdf" else _IMAGE_POLICY,
        }
        return self._answer(content, index, attachment.media_type, headers)

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
