"""The steps of a mailbox's log-in: those of every account, and the charter of use. Spec: spec/web.md, 9.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.vault.access import OpenMailbox
from node.vault.session_rows import Stage
from node.web.charter_page import charter_html
from node.web.pages.steps import StepPages
from node.web.sessions import SessionOf

__all__ = ["MailboxSteps"]


@dataclass(frozen=True, slots=True)
class MailboxSteps(StepPages[OpenMailbox]):
    """The steps between a right password and the letters."""

    def routes(self) -> list[Route]:
        """Where what is found."""
        at, base = self.desk.in_log_in, self.desk.place.log_in
        charter = Route(f"{base}/charter", at(Stage.CHARTER)(self.charter), methods=["POST"])
        # Not super(): a dataclass with slots is made anew, and the method would not find itself in it.
        return [*StepPages.routes(self), charter]

    async def charter_values(self, request: Request) -> dict[str, Any]:
        """The text in the language of the pages."""
        text = await self.desk.node.charters.text(self.desk.templates.language(request))
        return {"charter": charter_html(text), "digest": text.digest.hex(), "charter_language": text.language}

    async def charter(self, request: Request, session: SessionOf[OpenMailbox]) -> Response:
        """Accepted, on record."""
        form = await request.form()
        try:
            digest = bytes.fromhex(str(form.get("digest", "")))
        except ValueError:
            digest = b""
        if form.get("accept") != "yes":
            return await self.step(request, session, status=422, refused="accept")
        if digest not in {text.digest for text in await self.desk.node.charters.texts()}:
            return await self.step(request, session, status=409, refused="changed")
        await self.desk.node.charters.accept(session.opened, digest)
        return await self.advance(session)
