"""Log in, log out, and which language. Spec: spec/web.md, 2 and 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.errors import ConfigError
from node.reports.rendering import LANGUAGES
from node.web.pages.desk import Desk, ForbiddenError, client_of, see_other
from node.web.sessions import FORM_COOKIE, SESSION_COOKIE, LoginRefusedError, session_cookie
from node.web.templating import LANGUAGE_COOKIE
from protocol.crypto import Secret

__all__ = ["Entrance"]

_MAX_PASSWORD_BYTES: Final = 1024
_LANGUAGE_KEPT_S: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Entrance:
    """The pages before a mailbox is opened."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/language/{code}", self.choose_language, methods=["GET"]),
        ]

    async def home(self, request: Request) -> Response:
        """To the inbox, or to the log-in."""
        session = await self.desk.sessions.find(request)
        if session is None:
            return await self.desk.away(request)
        return see_other(f"/box/{session.opened.id.hex()}/inbox")

    async def show(self, request: Request) -> Response:
        """The log-in form."""
        if await self.desk.sessions.find(request) is not None:
            return see_other("/")
        return self._form(request, _own_path(request.query_params.get("next", "/")))

    def _form(
        self, request: Request, following: str, *, status: int = 200, refused: bool = False, name: str = ""
    ) -> Response:
        token, cookie = self.desk.sessions.visitor_form(request)
        answer = self.desk.templates.page(
            request, "login.html", status=status, csrf=token.text, following=following, refused=refused, name=name
        )
        if cookie is not None:
            session_cookie(answer, FORM_COOKIE, cookie)
        return answer

    async def log_in(self, request: Request) -> Response:
        """A new session, always; the one before, if any, is not taken over."""
        token, _ = self.desk.sessions.visitor_form(request)
        try:
            form = await self.desk.check_form(request, token)
        except ForbiddenError:
            return self.desk.problem(request, 403)
        following = _own_path(str(form.get("next", "/")))
        name, password = str(form.get("name", ""))[:254], str(form.get("password", "")).encode()[:_MAX_PASSWORD_BYTES]
        try:
            cookie = await self.desk.sessions.begin(
                name.strip(), Secret(password), client=client_of(request), following=following
            )
        except LoginRefusedError:
            return self._form(request, following, status=401, refused=True, name=name)
        except ConfigError as error:
            return self.desk.problem(request, 409, error=error)
        answer = see_other(following)
        session_cookie(answer, SESSION_COOKIE, cookie)
        session_cookie(answer, FORM_COOKIE, "")
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session here and in every process."""
        sessions = self.desk.sessions
        session = await sessions.find(request) or await sessions.find_half_open(request)
        if session is not None:
            try:
                await self.desk.check_form(request, session.form)
            except ForbiddenError:
                return self.desk.problem(request, 403, session=session)
            await sessions.end(session)
        answer = see_other("/login")
        session_cookie(answer, SESSION_COOKIE, "")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    async def choose_language(self, request: Request) -> Response:
        """Keep the language that a person chose, and go back to where they were."""
        code = request.path_params["code"]
        answer = RedirectResponse(_own_path(request.query_params.get("next", "/")), 303)
        if code in LANGUAGES:
            answer.set_cookie(
                LANGUAGE_COOKIE, code, max_age=_LANGUAGE_KEPT_S, secure=True, httponly=True, samesite="lax"
            )
        return answer


def _own_path(text: str) -> str:
    """A path of this site; anything that a browser could take for another site becomes /."""
    if len(text) > 500 or not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable():
        return "/"
    return text.replace("\\", "%5C")
