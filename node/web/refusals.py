"""What is answered where no page is: a wrong address, a wrong method, a body that is too long or too slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from node.web.guard import BodyError
from node.web.pages.form_desk import MAILBOX_PLACE
from node.web.staff.desk import STAFF_PLACE
from node.web.templating import Templates

__all__ = ["Refusals"]

_WORDS: Final = {404: "not found\n", 405: "method not allowed\n"}


class Refusals:
    """Tells people on a page, in their language, and programs in a line."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def handlers(self) -> Mapping[Any, Any]:
        """As Starlette's `exception_handlers` takes them."""
        return {404: self._http, 405: self._http, BodyError: self._body}

    def _http(self, request: Request, error: HTTPException) -> Response:
        answer = self._answer(request, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _body(self, request: Request, error: BodyError) -> Response:
        return self._answer(request, error.status)

    def _answer(self, request: Request, status: int) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(_WORDS.get(status, "request refused\n"), status)
        is_staffs = request.url.path.startswith(STAFF_PLACE.home)
        place = STAFF_PLACE if is_staffs else MAILBOX_PLACE
        return self._templates.page(
            request, "problem.html", status=status, code=status, error=None, csrf=None, place=place
        )
