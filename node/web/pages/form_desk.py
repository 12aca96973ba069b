"""What pages of every sort of accounts need: forms that come from this site, log-ins half done, answers.

Spec: spec/web.md, 2; spec/staff.md, 3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar
from urllib.parse import quote, urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.errors import CoffreError
from node.vault.accounts import Account
from node.vault.session_rows import Stage
from node.web.sessions import FormToken, SessionOf, SessionsOf
from node.web.templating import Templates

if TYPE_CHECKING:
    from node.app import Node

__all__ = [
    "FORM_HEADER",
    "MAILBOX_PLACE",
    "SAFE_METHODS",
    "ForbiddenError",
    "FormDesk",
    "LogInPlace",
    "client_of",
    "own_path",
    "see_other",
]

A = TypeVar("A", bound=Account)
SAFE_METHODS: Final = ("GET", "HEAD")
FORM_HEADER: Final = "x-coffre-form"
_SAME_SITE: Final = ("same-origin", "none")
# Guard bounds the whole; Starlette's 1 MiB for one field would cut a long text.
_FIELD_BYTES: Final = 8 * 1024 * 1024
_MAX_PATH: Final = 500


class ForbiddenError(Exception):
    """A request that does not come from a page of ours."""


@dataclass(frozen=True, slots=True)
class LogInPlace:
    """Where one sort of accounts logs in and out, and where their pages begin. template: of the log-in form."""

    log_in: str
    log_out: str
    home: str
    template: str
    is_staff: bool = False

    @property
    def step(self) -> str:
        """What a half-open log-in still lacks."""
        return f"{self.log_in}/step"


MAILBOX_PLACE: Final = LogInPlace(log_in="/login", log_out="/logout", home="/", template="login.html")


@dataclass(frozen=True, slots=True)
class FormDesk(Generic[A]):
    """The node, its sessions and its templates, for the pages of one sort of accounts."""

    node: Node
    sessions: SessionsOf[A]
    templates: Templates
    place: ClassVar[LogInPlace] = MAILBOX_PLACE

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
            origin is not None and _site_of(origin) not in self._hosts(request)
        ):
            raise ForbiddenError

    def _hosts(self, request: Request) -> tuple[str | None, str]:
        """What this site is called: as the browser asked, and as the settings say, which a proxy may not pass on."""
        return request.headers.get("host"), urlsplit(self.node.settings.web.url).netloc or "\0\0"

    def in_log_in(
        self, *stages: Stage
    ) -> Callable[[Callable[[Request, SessionOf[A]], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
        """A step of a log-in, for half-open sessions at these stages alone; others are led to where they are."""

        def wrapped(
            view: Callable[[Request, SessionOf[A]], Awaitable[Response]],
        ) -> Callable[[Request], Awaitable[Response]]:
            async def endpoint(request: Request) -> Response:
                session = await self.sessions.find_half_open(request)
                if session is None:
                    return see_other(self.place.home)
                try:
                    if request.method not in SAFE_METHODS:
                        await self.check_form(request, session.form)
                    if stages and session.stage not in stages:
                        return see_other(self.place.step)
                    return await view(request, session)
                except ForbiddenError:
                    return self.problem(request, 403, session=session)
                except CoffreError as error:
                    return self.problem(request, 409, session=session, error=error)

            return endpoint

        return wrapped

    async def away(self, request: Request) -> Response:
        """Where a request without an open session goes: on with its log-in, or to the log-in page."""
        carries = self.sessions.cookies.session in request.cookies
        if carries and await self.sessions.find_half_open(request) is not None:
            return see_other(self.place.step)
        return self.to_login(request)

    # -- answers

    def problem(
        self, request: Request, status: int, *, session: SessionOf[A] | None = None, error: CoffreError | None = None
    ) -> Response:
        """A page that says what went wrong."""
        csrf = None if session is None else session.form.text
        return self.templates.page(
            request, "problem.html", status=status, code=status, error=error, csrf=csrf, place=self.place
        )

    def to_login(self, request: Request) -> Response:
        """To the log-in page, which leads back here."""
        home, log_in = self.place.home, self.place.log_in
        back = request.url.path if request.method in SAFE_METHODS else home
        answer = see_other(log_in if back == home else f"{log_in}?next={quote(back, safe='/')}")
        if self.sessions.cookies.session in request.cookies:
            self.sessions.cookies.set_session(answer, "")
        return answer


def _site_of(origin: str) -> str:
    """The host and port of an origin; for what is none something that no site is called."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return "\0"


def see_other(path: str) -> RedirectResponse:
    """Go on at another page, by GET."""
    return RedirectResponse(path, 303)


def own_path(text: str, home: str = "/") -> str:
    """A path below `home`; anything else, and what a browser could take for another site, becomes `home`."""
    odd = text.startswith(("//", "/\\")) or not text.isprintable() or "/.." in text
    if len(text) > _MAX_PATH or not text.startswith(home) or odd:
        return home
    return text.replace("\\", "%5C")


def client_of(request: Request) -> str:
    """The address that a request comes from, as far as it is known; a trusted proxy's word is in it already."""
    return request.client.host if request.client is not None else ""
