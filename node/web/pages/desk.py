"""What every page needs: who asks, for which mailbox, and how an answer looks. Spec: spec/web.md, 2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from node.errors import CoffreError, NotFoundError, StateError
from node.vault.access import OpenMailbox, Role
from node.web.frame import Frame, Frames
from node.web.sessions import SESSION_COOKIE, FormToken, Session, Sessions, session_cookie
from node.web.templating import Templates
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["LIVE_HEADER", "Box", "Desk", "ForbiddenError", "refuse_deputies", "see_other"]

_SAFE_METHODS: Final = ("GET", "HEAD")
_SAME_SITE: Final = ("same-origin", "none")
FORM_HEADER: Final = "x-coffre-form"
LIVE_HEADER: Final = "x-coffre-live"
"""Of requests that a page makes by itself (spec/alerts.md, 5): no use of the session, and no log-in page as answer."""


class ForbiddenError(Exception):
    """A request that does not come from a page of ours."""


@dataclass(frozen=True, slots=True)
class Box:
    """A logged-in request: the session, and the mailbox that it acts for."""

    session: Session
    opened: OpenMailbox
    frame: Frame

    @property
    def path(self) -> str:
        """The beginning of this mailbox's pages."""
        return f"/box/{self.opened.id.hex()}"


@dataclass(frozen=True, slots=True)
class Desk:
    """The node, its sessions and its templates, for the pages."""

    node: Node
    sessions: Sessions
    templates: Templates
    frames: Frames

    def in_box(self, view: Callable[[Request, Box], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """A view for whoever is logged in; others are led to the log-in and back."""

        async def endpoint(request: Request) -> Response:
            by_itself = LIVE_HEADER in request.headers
            session = await self.sessions.find(request, is_use=not by_itself)
            if session is None:
                return PlainTextResponse("logged out\n", 401) if by_itself else self.to_login(request)
            try:
                if request.method not in _SAFE_METHODS:
                    await self.check_form(request, session.form)
                opened = await self.opened_of(request, session)
                return await view(request, Box(session, opened, await self.frames.of(session.opened, opened)))
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
            mailbox = MailboxId(bytes.fromhex(wanted))
        except ValueError:
            raise NotFoundError("no such mailbox") from None
        for other in await self.node.mailboxes.all():
            if other.id == mailbox:
                return await self.node.sharing.act_as(session.opened, other.address)
        raise NotFoundError("no such mailbox")

    async def check_form(self, request: Request, token: FormToken) -> FormData:
        """The form of a request that changes something. ForbiddenError unless it comes from a page of ours."""
        headers = request.headers
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "same-origin") not in _SAME_SITE or (
            origin is not None and urlsplit(origin).netloc != headers.get("host")
        ):
            raise ForbiddenError
        given = headers.get(FORM_HEADER)
        form = FormData()
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = await request.form()
            given = given or str(form.get("csrf", ""))
        if not given or not token.matches(given):
            raise ForbiddenError
        return form

    # -- answers

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

    def problem(
        self, request: Request, status: int, *, session: Session | None = None, error: CoffreError | None = None
    ) -> Response:
        """A page that says what went wrong."""
        csrf = None if session is None else session.form.text
        return self.templates.page(request, "problem.html", status=status, code=status, error=error, csrf=csrf)

    def to_login(self, request: Request) -> Response:
        """To the log-in page, which leads back here."""
        back = request.url.path if request.method in _SAFE_METHODS else "/"
        answer = see_other("/login" if back == "/" else f"/login?next={quote(back, safe='/')}")
        if SESSION_COOKIE in request.cookies:
            session_cookie(answer, SESSION_COOKIE, "")
        return answer


def refuse_deputies(box: Box) -> None:
    """StateError for a deputy: what a mailbox's person decides about it is not passed on."""
    if box.opened.role is Role.DEPUTY:
        raise StateError(f"only {box.opened.address} itself decides that", hint="a deputy reads and writes letters")


def see_other(path: str) -> RedirectResponse:
    """Go on at another page, by GET."""
    return RedirectResponse(path, 303)
