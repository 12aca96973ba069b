"""Files of letters that are being written: one by one, or several by a form. Spec: spec/web.md, 7."""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.errors import CoffreError, LimitError, NotFoundError
from node.reports.rendering import N_
from node.web.guard import BodyRule
from node.web.multipart import FormError, parts_of
from node.web.pages.desk import Box, Desk, ForbiddenError, see_other
from node.web.pages.draft_names import draft_name, hex_bytes

__all__ = ["UploadPages"]

_IDLE_S: Final = 30
_FORM_BYTES: Final = 1024 * 1024
"""What a form with files has besides the files."""
_PATH: Final = re.compile(r"/box/[0-9a-f]{32}/write/[0-9a-f]{32}/files?")
_NO_ROOM: Final = N_(
    "This file does not fit any more: not as much is left in this letter, your mailbox or on the disk."
)


@dataclass(frozen=True, slots=True)
class UploadPages:
    """Attaching and taking off again."""

    desk: Desk

    @staticmethod
    def body_rules(most_bytes: int) -> list[BodyRule]:
        """Uploads may be as long as a letter's files, and take as long as they need while they move."""
        return [BodyRule(_PATH, most_bytes + _FORM_BYTES, _IDLE_S)]

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside, base = self.desk.in_box, "/box/{box}/write/{draft}"
        return [
            Route(f"{base}/file", inside(self.one), methods=["PUT"]),
            Route(f"{base}/files", inside(self.several, form_in_body=True), methods=["POST"]),
            Route(f"{base}/file/{{file}}/remove", inside(self.remove), methods=["POST"]),
        ]

    async def one(self, request: Request, box: Box) -> Response:
        """One file, its bytes as the body; answers with the list of all."""
        name = draft_name(request)
        length = request.headers.get("content-length", "")
        try:
            await self.desk.node.drafts.attach(
                box.opened,
                name,
                request.query_params.get("name", ""),
                request.stream(),
                declared_bytes=int(length) if length.isdecimal() else None,
            )
        except LimitError:
            return PlainTextResponse(self.desk.templates.text(request, _NO_ROOM), 413)
        return await self._list(request, box, name)

    async def several(self, request: Request, box: Box) -> Response:
        """A form with files, for a browser without scripts. The token is its first part."""
        name, is_ours = draft_name(request), False
        async with aclosing(parts_of(request)) as parts:
            async for part in parts:
                if not is_ours:
                    if part.name != "csrf" or not box.session.form.matches(await part.value()):
                        raise ForbiddenError
                    is_ours = True
                elif part.file_name:
                    try:
                        await self.desk.node.drafts.attach(box.opened, name, part.file_name, part.pieces())
                    except LimitError:
                        message = self.desk.templates.text(request, _NO_ROOM)
                        return self.desk.problem(request, 413, session=box.session, error=CoffreError(message))
                else:
                    await part.value()
        if not is_ours:
            raise FormError("the form was empty")
        return see_other(f"{box.path}/write/{name.hex()}")

    async def remove(self, request: Request, box: Box) -> Response:
        """Take a file off again."""
        name = draft_name(request)
        file = hex_bytes(request.path_params["file"])
        if file is None:
            raise NotFoundError("no such file")
        await self.desk.node.drafts.remove(box.opened, name, file)
        if "hx-request" in request.headers:
            return await self._list(request, box, name)
        return see_other(f"{box.path}/write/{name.hex()}")

    async def _list(self, request: Request, box: Box, name: bytes) -> Response:
        draft = await self.desk.node.drafts.open(box.opened, name)
        return self.desk.page(request, "write_files.html", box, draft=draft)
