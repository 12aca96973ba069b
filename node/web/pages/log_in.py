"""The log-in form of one sort of accounts, and logging out. Spec: spec/web.md, 2; spec/staff.md, 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import ConfigError
from node.vault.accounts import Account
from node.web.pages.form_desk import ForbiddenError, FormDesk, client_of, own_path, see_other
from node.web.sessions import LoginRefusedError
from protocol.crypto import Secret

__all__ = ["MAX_PASSWORD_BYTES", "LogInPages"]

A = TypeVar("A", bound=Account)
MAX_PASSWORD_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class LogInPages(Generic[A]):
    """The pages before an account is logged in."""

    desk: FormDesk[A]

    def routes(self) -> list[Route]:
        """Where what is found."""
        place = self.desk.place
        return [
            Route(place.log_in, self.show, methods=["GET"]),
            Route(place.log_in, self.log_in, methods=["POST"]),
            Route(place.log_out, self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The log-in form."""
        if await self.desk.sessions.find(request) is not None:
            return see_other(self.desk.place.home)
        return self._form(request, self._following(request.query_params.get("next", "")))

    def _following(self, text: str) -> str:
        return own_path(text, self.desk.place.home)

    def _form(
        self, request: Request, following: str, *, status: int = 200, refused: bool = False, name: str = ""
    ) -> Response:
        token, cookie = self.desk.sessions.visitor_form(request)
        place = self.desk.place
        answer = self.desk.templates.page(
            request,
            place.template,
            status=status,
            csrf=token.text,
            following=following,
            refused=refused,
            name=name,
            place=place,
        )
        if cookie is not None:
            self.desk.sessions.cookies.set_form(answer, cookie)
        return answer

    async def log_in(self, request: Request) -> Response:
        """A new session, always; the one before, if any, is not taken over."""
        token, _ = self.desk.sessions.visitor_form(request)
        try:
            form = await self.desk.check_form(request, token)
        except ForbiddenError:
            return self.desk.problem(request, 403)
        following = self._following(str(form.get("next", "")))
        name, password = str(form.get("name", ""))[:254], str(form.get("password", "")).encode()[:MAX_PASSWORD_BYTES]
        try:
            cookie = await self.desk.sessions.begin(
                name.strip(), Secret(password), client=client_of(request), following=following
            )
        except LoginRefusedError:
            return self._form(request, following, status=401, refused=True, name=name)
        except ConfigError as error:
            return self.desk.problem(request, 409, error=error)
        answer = see_other(following)
        self.desk.sessions.cookies.set_session(answer, cookie)
        self.desk.sessions.cookies.set_form(answer, "")
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
        answer = see_other(self.desk.place.log_in)
        sessions.cookies.set_session(answer, "")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer
