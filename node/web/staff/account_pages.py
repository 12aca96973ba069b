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

from node.errors import LimitError, LockedError, NotFoundError, StateError, WrongSecretError
from node.vault.factor_rows import FactorKind
from node.vault.password_strength import password_fault
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from node.web.pages.enrolment import Enrolment
from node.web.pages.log_in import MAX_PASSWORD_BYTES
from node.web.staff.desk import ANY_ROLE, StaffDesk, StaffVisit
from protocol.crypto import Secret

__all__ = ["AccountPages"]

_PATH: Final = "/account"
_DONE: Final = frozenset({"password", "ended", "added", "removed"})
_ROW_HEX: Final = 32


class _RefusedError(Exception):
    """A form was filled in wrongly. what: which text the page shows."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


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
        codes = [factor for factor in present if factor.kind is FactorKind.CODES]
        done = request.query_params.get("done", "")
        return self.desk.show(
            request,
            "staff/account.html",
            visit,
            status=status,
            refused=refused,
            done=done if done in _DONE and not refused else "",
            least=MIN_PASSWORD_CHARACTERS,
            factors=[factor for factor in present if factor.kind is not FactorKind.CODES],
            codes_left=codes[0].codes_left if codes else 0,
            sessions=await self.desk.sessions.of_account(visit.session.opened),
            this_session=visit.session.stored.row,
        )

    # -- password, sessions

    async def _check_password(self, visit: StaffVisit, form: FormData) -> Secret:
        """The present password, typed again. A wrong one counts as at the log-in."""
        present = Secret(str(form.get("password", "")).encode()[:MAX_PASSWORD_BYTES])
        try:
            await self.desk.node.staff.check(visit.account.name, present)
        except (WrongSecretError, LockedError):
            raise _RefusedError("wrong") from None
        return present

    async def change_password(self, request: Request, visit: StaffVisit) -> Response:
        """Another password; all other sessions end, and this browser gets a new one."""
        form, node = await request.form(), self.desk.node
        try:
            present = await self._check_password(visit, form)
            new = Secret(str(form.get("new_password", "")).encode())
            if form.get("new_password") != form.get("again"):
                raise _RefusedError("differ")
            if new.reveal() == present.reveal():
                raise _RefusedError("same")
            about = (visit.account.name, node.settings.institution)
            fault = await node.world.run_blocking(password_fault, new, about)
            if fault is not None:
                raise _RefusedError(fault.value)
        except _RefusedError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        await node.staff.change_password(visit.account.id, new)
        answer = self.desk.done(_PATH, "password")
        cookie = await self.desk.sessions.restart(visit.session.opened, visit.session)
        self.desk.sessions.cookies.set_session(answer, cookie)
        return answer

    async def end_session(self, request: Request, visit: StaffVisit) -> Response:
        """End one of the own sessions; the present one as by logging out."""
        if not await self.desk.sessions.end_one(visit.session.opened, _row(request)):
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
            codes = await add(form)
        except _RefusedError as error:
            return await self._adding(request, visit, status=422, refused=error.what)
        except LimitError:
            return await self._adding(request, visit, status=422, refused="many")
        except (WrongSecretError, StateError):
            return await self._adding(request, visit, status=422, refused=fault)
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
        except _RefusedError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        return self._codes(request, visit, await self.desk.sessions.factors.new_recovery_codes(visit.session.opened))

    async def remove_factor(self, request: Request, visit: StaffVisit) -> Response:
        """Remove one, never the last: the staff always has one."""
        try:
            await self._check_password(visit, await request.form())
            await self.desk.sessions.factors.remove(visit.account.id, _row(request), by="owner", keep_one=True)
        except _RefusedError as error:
            return await self._page(request, visit, status=422, refused=error.what)
        except StateError:
            return await self._page(request, visit, status=409, refused="last")
        return self.desk.done(_PATH, "removed")


def _row(request: Request) -> bytes:
    text = request.path_params["row"]
    try:
        return bytes.fromhex(text) if len(text) == _ROW_HEX else b""
    except ValueError:
        return b""
