"""The page of people outside: link and code, the letter, its documents, an answer. Spec: spec/pickup.md.

The link's key is never in an address that this server sees: it comes by the form alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, LimitError, NotFoundError, StateError
from node.outside.answers import MAX_ANSWER_TEXT_BYTES, AnswerFile
from node.outside.opening import OpenedPickup
from node.outside.rows import PickupKeys
from node.web.pages.desk import Desk, ForbiddenError, see_other
from node.web.pages.files import FilePages
from node.web.sessions import FormToken, cookie_text, cookie_token, session_cookie
from node.web.shown import shown_in_place
from node.web.throttle import Throttle
from node.web.uploads import parse_documents, text_of
from protocol.errors import RemoteProtocolError
from protocol.pickup import parse_code, parse_link

__all__ = ["PickupPages"]

_PICKUP_COOKIE = "__Host-coffre-pickup"
_FORM_COOKIE = "__Host-coffre-pickup-form"
# Forms with documents at a time: each may take 11 MiB of memory.
_FORMS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Page:
    """A request of somebody outside whose letter is open."""

    opened: OpenedPickup
    form: FormToken


@dataclass(frozen=True, slots=True)
class PickupPages:
    """What people outside see."""

    desk: Desk
    files: FilePages
    throttle: Throttle = field(default_factory=lambda: Throttle(trio.current_time))
    forms: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(_FORMS_AT_ONCE))

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            Route("/pickup", self.show, methods=["GET"]),
            Route("/pickup", self.open, methods=["POST"]),
            Route("/pickup/letter", self._on_page(self.letter), methods=["GET"]),
            Route("/pickup/letter/file/{index:int}", self._on_page(self.download), methods=["GET"]),
            Route("/pickup/letter/view/{index:int}", self._on_page(self.view), methods=["GET"]),
            Route("/pickup/answer", self._on_page(self.answer), methods=["POST"]),
            Route("/pickup/close", self._on_page(self.close), methods=["POST"]),
        ]

    # -- before

    async def show(self, request: Request) -> Response:
        """The form for link and code: the same for everybody."""
        return self._form(request)

    def _form(self, request: Request, *, status: int = 200, refused: str = "", link: str = "") -> Response:
        token, cookie = self.desk.sessions.visitor_form(request, _FORM_COOKIE)
        answer = self.desk.templates.page(
            request, "pickup.html", status=status, csrf=token.text, refused=refused, link=link, wait_s=0
        )
        if cookie is not None:
            session_cookie(answer, _FORM_COOKIE, cookie)
        return answer

    async def open(self, request: Request) -> Response:
        """Try link and code. One answer for whatever is wrong with them."""
        token, _ = self.desk.sessions.visitor_form(request, _FORM_COOKIE)
        try:
            form = await self.desk.check_form(request, token)
        except ForbiddenError:
            return self._form(request, status=403, refused="form")
        link, code = text_of(form, "link", 500), text_of(form, "code", 100)
        key, parsed = parse_link(link), parse_code(code)
        # What cannot be a link or a code costs no attempt: a slip of the finger.
        if key is None:
            return self._form(request, status=422, refused="link", link=link)
        if parsed is None:
            return self._form(request, status=422, refused="code", link=link)
        client = request.client.host if request.client else ""
        if (wait_s := self.throttle.wait_s(client)) > 0:
            answer = self._form(request, status=429, refused="often", link=link)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        # Counted before it is tried, so that tries at once are not free.
        self.throttle.failed(client)
        opened = await self.desk.node.pickups.open(key, parsed)
        if opened is None:
            return self._form(request, status=403, refused="nothing", link=link)
        self.throttle.succeeded(client)
        answer = see_other("/pickup/letter")
        session_cookie(answer, _PICKUP_COOKIE, cookie_text(opened))
        session_cookie(answer, _FORM_COOKIE, "")
        return answer

    # -- on the page

    def _on_page(
        self, view: Callable[[Request, _Page], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            pickups = self.desk.node.pickups
            token = cookie_token(request.cookies.get(_PICKUP_COOKIE, ""))
            session = None if token is None else await pickups.find(token)
            if token is None or session is None:
                answer = self._form(request, status=403, refused="over")
                session_cookie(answer, _PICKUP_COOKIE, "")
                return answer
            form = FormToken(PickupKeys.of(token, pickups.node_id).form_key)
            try:
                return await view(request, _Page(await pickups.letter(session), form))
            except ForbiddenError:
                return self._form(request, status=403, refused="form")
            except NotFoundError:
                return self.desk.problem(request, 404)
            except StateError:
                return self._form(request, status=403, refused="over")
            except (CoffreError, RemoteProtocolError):
                return self.desk.problem(request, 409)

        return endpoint

    def _letter(self, request: Request, page: _Page, *, status: int = 200, said: str = "", text: str = "") -> Response:
        letter, session = page.opened.content.signed.letter, page.opened.session
        return self.desk.templates.page(
            request,
            "pickup_letter.html",
            status=status,
            csrf=page.form.text,
            letter=letter,
            session=session,
            shown=[shown_in_place(item) for item in letter.attachments],
            said=said,
            text=text,
        )

    async def letter(self, request: Request, page: _Page) -> Response:
        """The letter, and the form for an answer."""
        said = "sent" if request.query_params.get("answer") == "sent" else ""
        return self._letter(request, page, said=said)

    async def download(self, request: Request, page: _Page) -> Response:
        """A document, on record first."""
        index = await self._checked(request, page)
        return self.files.as_file(page.opened.content, index)

    async def view(self, request: Request, page: _Page) -> Response:
        """A document in place, where that is safe; on record first."""
        index = await self._checked(request, page)
        return self.files.in_place(page.opened.content, index)

    async def _checked(self, request: Request, page: _Page) -> int:
        index: int = request.path_params["index"]
        await self.files.check(page.opened.content, index)
        await self.desk.node.pickups.downloaded(page.opened.session, index + 1)
        return index

    async def answer(self, request: Request, page: _Page) -> Response:
        """Deposit an answer; what cannot be taken stays in the form."""
        self.desk.check_origin(request)
        text = ""
        async with self.forms:
            try:
                form, documents = await parse_documents(request, "documents")
                self._check_token(form, page)
                text = text_of(form, "text", MAX_ANSWER_TEXT_BYTES + 1)
                files = tuple(
                    AnswerFile(name=item.name, media_type=item.media_type, data=item.data) for item in documents
                )
                await self.desk.node.pickups.answer(page.opened, text=text, files=files)
            except LimitError:
                return self._letter(request, page, status=413, said="limit", text=text)
            except StateError as error:
                if error.code == "state" and not text.strip():
                    return self._letter(request, page, status=422, said="empty")
                raise
        return see_other("/pickup/letter?answer=sent")

    @staticmethod
    def _check_token(form: FormData, page: _Page) -> None:
        if not page.form.matches(text_of(form, "csrf", 100)):
            raise ForbiddenError

    async def close(self, request: Request, page: _Page) -> Response:
        """Close the page here and now, as on a computer that others use."""
        await self.desk.check_form(request, page.form)
        await self.desk.node.pickups.close(page.opened.session)
        answer = self._form(request, refused="closed")
        session_cookie(answer, _PICKUP_COOKIE, "")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer
