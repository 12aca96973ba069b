"""What everybody of the staff sets for the own account: password, second factors, sessions. Spec: spec/staff.md, 3.

Each change is confirmed with the password, as mailboxes' are (spec/web.md, 9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import NotFoundError, StateError
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from node.web.pages.enrolment import Enrolment
from node.web.pages.own_account import RefusedFormError, add_factor, apart, new_password, present_password, row_in
from node.web.staff.desk import ANY_ROLE, StaffDesk, StaffVisit
from protocol.crypto import Secret

__all__ = ["AccountPages"]

_PATH: Final = "/account"
_DONE: Final = frozenset({"password", "ended", "added", "removed"})


@dataclass(frozen=True, slots=True)
class AccountPages:
    """/staff/account"""

    desk: StaffDesk

    def routes(self) -> list[Route]:
        """Where what is found."""
        page, action, factor = self.desk.page, self.desk.action, f"{_PATH}/factor"
        return [
            page(ANY_ROLE, _PATH, self.show),
            action(ANY_ROLE, f"{_PATH}/password", self.change_password),
            action(ANY_ROLE, f"{_PATH}/session/{{row}}/end", self.end_session),
            page(ANY_ROLE, factor, self.show_adding),
            action(ANY_ROLE, f"{factor}/totp", self.add_totp),
            action(ANY_ROLE, f"{factor}/options", self.passkey_options),
            action(ANY_ROLE, f"{factor}/passkey", self.add_passkey),
            action(ANY_ROLE, f"{factor}/codes", self.new_codes),
            action(ANY_ROLE, f"{factor}/{{row}}/remove", self.remove_factor),
        ]

    async def show(self, request: Request, visit: StaffVisit) -> Response:
        """All of it on one page."""
        return await self._page(request, visit)

    async def _page(self, request: Request, visit: StaffVisit, *, status: int = 200, refused: str = "") -> Response:
        present = await self.desk.sessions.factors.of_account(visit.account.id)
        factors, codes_left = apart(present)
        done = request.query_params.get("done", "")
        return self.desk.show(
            request,
            "staff/account.html",
            visit,
            status=status,
            refused=refused,
            done=done if done in _DONE and not refused else "",
            least=MIN_PASSWORD_CHARACTERS,
            factors=factors,
            codes_left=codes_left or 0,
            sessions=await self.desk.sessions.of_account(visit.session.opened),
            this_session=visit.session.stored.row,
        )

    # -- password, sessions

    async def _check_password(self, visit: StaffVisit, form: FormData) -> Secret:
        """The present password, typed again. A wrong one counts as at the log-in."""
        staff, name = self.desk.node.staff, visit.account.name
        return await present_password(form, lambda present: staff.check(name, present))

    async def change_password(self, request: Request, visit: StaffVisit) -> Response:
        """Another password; all other sessions end, and this browser gets a new one."""
        form, node = await request.form(), self.desk.node
        try:
            present = await self._check_password(visit, form)
            about = (visit.account.name, node.settings.institution)
            new = await new_password(node.world, form, present, about)
        except RefusedFormError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        await node.staff.change_password(visit.account.id, new)
        answer = self.desk.done(_PATH, "password")
        cookie = await self.desk.sessions.restart(visit.session.opened, visit.session)
        self.desk.sessions.cookies.set_session(answer, cookie)
        return answer

    async def end_session(self, request: Request, visit: StaffVisit) -> Response:
        """End one of the own sessions; the present one as by logging out."""
        if not await self.desk.sessions.end_one(visit.session.opened, row_in(request)):
            raise NotFoundError("no such session")
        return self.desk.done(_PATH, "ended")

    # -- second factors

    async def show_adding(self, request: Request, visit: StaffVisit) -> Response:
        """Set up an authenticator or a passkey."""
        return await self._adding(request, visit)

    async def _adding(self, request: Request, visit: StaffVisit, *, status: int = 200, refused: str = "") -> Response:
        offer = await Enrolment(self.desk).offer(visit.session)
        return self.desk.show(request, "staff/factor.html", visit, status=status, refused=refused, **offer)

    async def _add(
        self, request: Request, visit: StaffVisit, fault: str, add: Callable[[FormData], Awaitable[list[str]]]
    ) -> Response:
        form = await request.form()
        try:
            await self._check_password(visit, form)
            codes = await add_factor(form, fault, add)
        except RefusedFormError as error:
            return await self._adding(request, visit, status=422, refused=error.what)
        return self._codes(request, visit, codes) if codes else self.desk.done(_PATH, "added")

    def _codes(self, request: Request, visit: StaffVisit, codes: list[str]) -> Response:
        return self.desk.show(request, "staff/codes.html", visit, codes=codes)

    async def add_totp(self, request: Request, visit: StaffVisit) -> Response:
        """A new authenticator's first code."""
        enrolment = Enrolment(self.desk)
        return await self._add(request, visit, "code", lambda form: enrolment.confirm_totp(visit.session, form))

    async def passkey_options(self, request: Request, visit: StaffVisit) -> Response:
        """A fresh challenge for the script."""
        del request
        return await Enrolment(self.desk).registration_options(visit.session)

    async def add_passkey(self, request: Request, visit: StaffVisit) -> Response:
        """A new passkey."""
        enrolment = Enrolment(self.desk)
        return await self._add(request, visit, "passkey", lambda form: enrolment.confirm_passkey(visit.session, form))

    async def new_codes(self, request: Request, visit: StaffVisit) -> Response:
        """Ten new recovery codes, shown once."""
        try:
            await self._check_password(visit, await request.form())
        except RefusedFormError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        return self._codes(request, visit, await self.desk.sessions.factors.new_recovery_codes(visit.session.opened))

    async def remove_factor(self, request: Request, visit: StaffVisit) -> Response:
        """Remove one, never the last: the staff always has one."""
        try:
            await self._check_password(visit, await request.form())
            await self.desk.sessions.factors.remove(visit.account.id, row_in(request), by="owner", keep_one=True)
        except RefusedFormError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        except StateError:
            return await self._page(request, visit, status=409, refused="last")
        return self.desk.done(_PATH, "removed")
