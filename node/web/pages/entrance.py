"""The way in to the mailboxes, and which language. Spec: spec/web.md, 2 and 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.reports.rendering import LANGUAGES
from node.web.pages.desk import Desk, see_other
from node.web.pages.form_desk import own_path
from node.web.pages.log_in import LogInPages
from node.web.templating import LANGUAGE_COOKIE

__all__ = ["Entrance"]

_LANGUAGE_KEPT_S: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Entrance:
    """The pages before a mailbox is opened."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            Route("/", self.home, methods=["GET"]),
            *LogInPages(self.desk).routes(),
            Route("/language/{code}", self.choose_language, methods=["GET"]),
        ]

    async def home(self, request: Request) -> Response:
        """To the inbox, or to the log-in."""
        session = await self.desk.sessions.find(request)
        if session is None:
            return await self.desk.away(request)
        return see_other(f"/box/{session.opened.id.hex()}/inbox")

    async def choose_language(self, request: Request) -> Response:
        """Keep the language that a person chose, and go back to where they were."""
        code = request.path_params["code"]
        answer = RedirectResponse(own_path(request.query_params.get("next", "/")), 303)
        if code in LANGUAGES:
            answer.set_cookie(
                LANGUAGE_COOKIE, code, max_age=_LANGUAGE_KEPT_S, secure=True, httponly=True, samesite="lax"
            )
        return answer
