"""What every page of a mailbox needs: who asks, for which mailbox, and how an answer looks. Spec: spec/web.md, 2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from node.errors import CoffreError, NotFoundError, StateError
from node.vault.access import OpenMailbox, Role
from node.web.frame import Frame, Frames
from node.web.navigation import Navigation, navigation
from node.web.pages.form_desk import (
    FORM_HEADER,
    SAFE_METHODS,
    ForbiddenError,
    FormDesk,
    client_of,
    see_other,
)
from node.web.sessions import Session
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId

__all__ = [
    "LIVE_HEADER",
    "Box",
    "Desk",
    "ForbiddenError",
    "client_of",
    "refuse_deputies",
    "see_other",
]

LIVE_HEADER: Final = "x-coffre-live"
"""Of requests that a page makes by itself (spec/alerts.md, 5): no use of the session, and no log-in page as answer."""


@dataclass(frozen=True, slots=True)
class Box:
    """A logged-in request: the session, and the mailbox that it acts for."""

    session: Session
    opened: OpenMailbox
    nav: Navigation
    frame: Frame

    @property
    def path(self) -> str:
        """The beginning of this mailbox's pages."""
        return f"/box/{self.opened.id.hex()}"


@dataclass(frozen=True, slots=True)
class Desk(FormDesk[OpenMailbox]):
    """For the pages of mailboxes."""

    frames: Frames

    def in_box(
        self, view: Callable[[Request, Box], Awaitable[Response]], *, form_in_body: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """A view for whoever is logged in; others are led to the log-in and back.

        form_in_body: the token may come as a multipart form's first part, which the view reads and checks; where it
        came from is checked here all the same.
        """

        async def endpoint(request: Request) -> Response:
            by_itself = LIVE_HEADER in request.headers
            session = await self.sessions.find(request, is_use=not by_itself)
            if session is None:
                return PlainTextResponse("logged out\n", 401) if by_itself else await self.away(request)
            try:
                if request.method not in SAFE_METHODS:
                    if form_in_body and FORM_HEADER not in request.headers:
                        self.check_origin(request)
                    else:
                        await self.check_form(request, session.form)
                opened = await self.opened_of(request, session)
                nav, frame = await navigation(self.node, opened), await self.frames.of(session.opened, opened)
                return await view(request, Box(session, opened, nav, frame))
            except ForbiddenError:
                return self.problem(request, 403, session=session)
            except NotFoundError:
                return self.problem(request, 404, session=session)
            except CoffreError as error:
                return self.problem(request, 409, session=session, error=error)
            except RemoteProtocolError as error:
                return self.problem(request, 422, session=session, error=CoffreError(error.reason.value))

        return endpoint

    async def opened_of(self, request: Request, session: Session) -> OpenMailbox:
        """The mailbox that the path names, opened. NotFoundError, StateError."""
        wanted = request.path_params.get("box", "")
        if wanted in ("", session.opened.id.hex()):
            return session.opened
        try:
            raw = bytes.fromhex(wanted)
        except ValueError:
            raw = b""
        if len(raw) != MailboxId.LENGTH:
            raise NotFoundError("no such mailbox")
        mailbox = MailboxId(raw)
        for other in await self.node.mailboxes.all():
            if other.id == mailbox:
                return await self.node.sharing.act_as(session.opened, other.address)
        raise NotFoundError("no such mailbox")

    def page(self, request: Request, template: str, box: Box, *, status: int = 200, **values: Any) -> Response:
        """A page of a mailbox."""
        return self.templates.page(
            request,
            template,
            status=status,
            box=box,
            csrf=box.session.form.text,
            now_ms=self.node.world.now_ms(),
            **values,
        )


def refuse_deputies(box: Box) -> None:
    """StateError for a deputy: what a mailbox's person decides about it is not passed on."""
    if box.opened.role is Role.DEPUTY:
        raise StateError(f"only {box.opened.address} itself decides that", hint="a deputy reads and writes letters")
