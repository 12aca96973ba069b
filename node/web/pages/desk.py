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
from node.vault.session_rows import Stage
from node.web.frame import Frame, Frames
from node.web.navigation import Navigation, navigation
from node.web.sessions import SESSION_COOKIE, FormToken, Session, Sessions, session_cookie
from node.web.templating import Templates
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId

if TYPE_CHECKING:
    from node.app import Node

__all__ = [
    "LIVE_HEADER",
    "STEP_PATH",
    "Box",
    "Desk",
    "ForbiddenError",
    "client_of",
    "refuse_deputies",
    "see_other",
]

_SAFE_METHODS: Final = ("GET", "HEAD")
_SAME_SITE: Final = ("same-origin", "none")
# Guard bounds the whole; Starlette's 1 MiB for one field would cut a long text.
_FIELD_BYTES: Final = 8 * 1024 * 1024
FORM_HEADER: Final = "x-coffre-form"
STEP_PATH: Final = "/login/step"
"""What a half-open log-in still lacks."""
LIVE_HEADER: Final = "x-coffre-live"
"""Of requests that a page makes by itself (spec/alerts.md, 5): no use of the session, and no log-in page as answer."""


class ForbiddenError(Exception):
    """A request that does not come from a page of ours."""


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
class Desk:
    """The node, its sessions and its templates, for the pages."""

    node: Node
    sessions: Sessions
    templates: Templates
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
                if request.method not in _SAFE_METHODS:
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

    async def check_form(self, request: Request, token: FormToken) -> FormData:
        """The form of a request that changes something. ForbiddenError unless it comes from a page of ours."""
        self.check_origin(request)
        headers = request.headers
        given = headers.get(FORM_HEADER)
        form = FormData()
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = await request.form(max_part_size=_FIELD_BYTES)
            given = given or str(form.get("csrf", ""))
        if not given or not token.matches(given):
            raise ForbiddenError
        return form

    def check_origin(self, request: Request) -> None:
        """ForbiddenError unless a request comes from this site, as far as the browser says."""
        headers = request.headers
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "same-origin") not in _SAME_SITE or (
            origin is not None and urlsplit(origin).netloc not in self._hosts(request)
        ):
            raise ForbiddenError

    def _hosts(self, request: Request) -> tuple[str | None, str]:
        """What this site is called: as the browser asked, and as the settings say, which a proxy may not pass on."""
        return request.headers.get("host"), urlsplit(self.node.settings.web.url).netloc or "\0"

    def in_log_in(
        self, *stages: Stage
    ) -> Callable[[Callable[[Request, Session], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
        """A step of a log-in, for half-open sessions at these stages alone; others are led to where they are."""

        def wrapped(
            view: Callable[[Request, Session], Awaitable[Response]],
        ) -> Callable[[Request], Awaitable[Response]]:
            async def endpoint(request: Request) -> Response:
                session = await self.sessions.find_half_open(request)
                if session is None:
                    return see_other("/")
                try:
                    if request.method not in _SAFE_METHODS:
                        await self.check_form(request, session.form)
                    if stages and session.stage not in stages:
                        return see_other(STEP_PATH)
                    return await view(request, session)
                except ForbiddenError:
                    return self.problem(request, 403, session=session)
                except CoffreError as error:
                    return self.problem(request, 409, session=session, error=error)

            return endpoint

        return wrapped

    async def away(self, request: Request) -> Response:
        """Where a request without an open session goes: on with its log-in, or to the log-in page."""
        if SESSION_COOKIE in request.cookies and await self.sessions.find_half_open(request) is not None:
            return see_other(STEP_PATH)
        return self.to_login(request)

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


def client_of(request: Request) -> str:
    """The address that a request comes from, as far as it is known; a trusted proxy's word is in it already."""
    return request.client.host if request.client is not None else ""
