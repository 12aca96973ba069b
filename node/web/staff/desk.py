"""The one door to pages of the staff: each is declared with the roles that it is for. Spec: spec/staff.md, 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, NotFoundError
from node.staff.account import StaffAccount, StaffRole, StaffSeat
from node.vault.acting import acting
from node.web.pages.form_desk import FORM_HEADER, SAFE_METHODS, ForbiddenError, FormDesk, LogInPlace, see_other
from node.web.sessions import SessionOf
from node.web.staff.door import STAFF_PATH
from node.web.staff.menu import MENU, MenuGroup
from protocol.errors import RemoteProtocolError

__all__ = ["ADMINISTRATOR", "ANY_ROLE", "AUDITOR", "MAINTAINER", "STAFF_PLACE", "StaffDesk", "StaffRoute", "StaffVisit"]

ADMINISTRATOR: Final = frozenset({StaffRole.ADMINISTRATOR})
MAINTAINER: Final = frozenset({StaffRole.MAINTAINER})
AUDITOR: Final = frozenset({StaffRole.AUDITOR})
ANY_ROLE: Final = frozenset(StaffRole)
STAFF_PLACE: Final = LogInPlace(
    log_in=f"{STAFF_PATH}/log-in",
    log_out=f"{STAFF_PATH}/log-out",
    home=f"{STAFF_PATH}/",
    template="staff/log_in.html",
    is_staff=True,
)


@dataclass(frozen=True, slots=True)
class StaffVisit:
    """A request of somebody of the staff: the session, and the account as it is now."""

    session: SessionOf[StaffSeat]
    account: StaffAccount

    def has(self, roles: frozenset[StaffRole]) -> bool:
        """Whether the account has one of these roles."""
        return bool(self.account.roles & roles)

    @property
    def menu(self) -> list[MenuGroup]:
        """What the side of each page shows."""
        return [group for group in MENU if self.has(group.roles)]


View = Callable[[Request, StaffVisit], Awaitable[Response]]


class StaffRoute(Route):
    """A page of the staff. roles: whoever has one of them may see it."""

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], *, roles: frozenset[StaffRole], method: str
    ) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.roles = roles


@dataclass(frozen=True, slots=True)
class StaffDesk(FormDesk[StaffSeat]):
    """For the pages of the staff."""

    place: ClassVar[LogInPlace] = STAFF_PLACE

    def page(self, roles: frozenset[StaffRole], path: str, view: View, *, token_in_body: bool = False) -> StaffRoute:
        """A page that shows something. path: below /staff."""
        return StaffRoute(f"{STAFF_PATH}{path}", self._guarded(roles, view, token_in_body), roles=roles, method="GET")

    def action(self, roles: frozenset[StaffRole], path: str, view: View, *, token_in_body: bool = False) -> StaffRoute:
        """What changes something: by POST, with the form's token, and every leaf that it appends bears the account.

        token_in_body: the token comes as a multipart form's first part, which the view reads and checks; where the
        request came from is checked here all the same.
        """
        return StaffRoute(f"{STAFF_PATH}{path}", self._guarded(roles, view, token_in_body), roles=roles, method="POST")

    def _guarded(
        self, roles: frozenset[StaffRole], view: View, token_in_body: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            session = await self.sessions.find(request)
            account = None if session is None else await self.node.staff.get(session.opened.id)
            if session is None or account is None:
                return await self.away(request)
            visit = StaffVisit(session, account)
            if not visit.has(roles):
                return self.show(request, "staff/forbidden.html", visit, status=403, roles=sorted(roles))
            try:
                if request.method not in SAFE_METHODS:
                    if token_in_body and FORM_HEADER not in request.headers:
                        self.check_origin(request)
                    else:
                        await self.check_form(request, session.form)
                with acting(account.id):
                    return await view(request, visit)
            except ForbiddenError:
                return self.trouble(request, visit, 403)
            except NotFoundError as error:
                return self.trouble(request, visit, 404, error)
            except CoffreError as error:
                return self.trouble(request, visit, 409, error)
            except RemoteProtocolError as error:
                return self.trouble(request, visit, 422, CoffreError(error.detail or error.reason.value))

        return endpoint

    # -- answers

    def show(self, request: Request, template: str, visit: StaffVisit, *, status: int = 200, **values: Any) -> Response:
        """A page within the staff's frame (templates/staff/frame.html)."""
        return self.templates.page(
            request,
            template,
            status=status,
            visit=visit,
            csrf=visit.session.form.text,
            place=self.place,
            now_ms=self.node.world.now_ms(),
            **values,
        )

    def trouble(self, request: Request, visit: StaffVisit, status: int, error: CoffreError | None = None) -> Response:
        """What went wrong, within the frame."""
        return self.show(request, "staff/problem.html", visit, status=status, code=status, error=error)

    def confirm(
        self,
        request: Request,
        visit: StaffVisit,
        *,
        title: str,
        points: Sequence[str],
        button: str,
        back: str,
        fields: Mapping[str, str] | None = None,
        secret: str = "",
    ) -> Response:
        """Ask before what cannot be undone: a page whose only button sends the same action with `confirmed=yes`.

        title, points, button: in the reader's language. fields: what the action needs again. back: without doing it.
        secret: a first password to be kept before it is needed.
        """
        return self.show(
            request,
            "staff/confirm.html",
            visit,
            title=title,
            points=points,
            button=button,
            back=back,
            fields={**(fields or {}), "confirmed": "yes"},
            action=request.url.path,
            secret=secret,
        )

    def text(self, request: Request, message: str, **values: object) -> str:
        """A text in the reader's language, its {names} filled in."""
        return self.templates.text(request, message, **values)

    def done(self, path: str, code: str) -> Response:
        """Back to a page below /staff, which says what was done if it knows the code."""
        return see_other(f"{STAFF_PATH}{path}{'&' if '?' in path else '?'}done={code}")

    async def note(self, visit: StaffVisit, code: str) -> None:
        """Put an action on record that leaves no leaf of its own. code: at most 64 bytes, nobody's name."""
        await self.node.staff.note_act(visit.account.id, code)
