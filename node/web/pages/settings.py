"""What a person sets for the own mailbox: password, sessions, second factors, language. Spec: spec/web.md, 9.

Each change is confirmed with the password: an unattended screen must not be enough to take a mailbox over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.errors import CoffreError, NotFoundError, StateError
from node.vault.access import OpenMailbox
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from node.web.pages.desk import Box, Desk, see_other
from node.web.pages.enrolment import Enrolment
from node.web.pages.own_account import RefusedFormError, add_factor, apart, new_password, present_password, row_in
from protocol.crypto import Secret

__all__ = ["SettingsPages"]

_DONE: Final = frozenset({"password", "leaked", "ended", "added", "removed"})


@dataclass(frozen=True, slots=True)
class SettingsPages:
    """The settings of whoever is logged in; not of mailboxes that they act for."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        base, own = "/box/{box}/settings", self._own
        factor = f"{base}/second-factor"
        return [
            Route(base, own(self.show), methods=["GET"]),
            Route(f"{base}/password", own(self.change_password), methods=["POST"]),
            Route(f"{base}/leaked", own(self.show_leaked), methods=["GET"]),
            Route(f"{base}/leaked", own(self.renew_keys), methods=["POST"]),
            Route(f"{base}/session/{{row}}/end", own(self.end_session), methods=["POST"]),
            Route(factor, own(self.show_adding), methods=["GET"]),
            Route(f"{factor}/totp", own(self.add_totp), methods=["POST"]),
            Route(f"{factor}/options", own(self.passkey_options), methods=["POST"]),
            Route(f"{factor}/passkey", own(self.add_passkey), methods=["POST"]),
            Route(f"{factor}/codes", own(self.new_codes), methods=["POST"]),
            Route(f"{factor}/{{row}}/remove", own(self.remove_factor), methods=["POST"]),
        ]

    def _own(self, view: Callable[[Request, Box], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def owned(request: Request, box: Box) -> Response:
            if box.opened.id != box.session.opened.id:
                raise NotFoundError("no such page")
            return await view(request, box)

        return self.desk.in_box(owned)

    # -- showing

    async def show(self, request: Request, box: Box) -> Response:
        """All of it on one page."""
        return await self._page(request, box)

    async def _page(self, request: Request, box: Box, *, status: int = 200, refused: str = "") -> Response:
        node = self.desk.node
        present = await node.second_factors.of_account(box.opened.id)
        factors, codes_left = apart(present)
        done = request.query_params.get("done", "")
        return self.desk.page(
            request,
            "settings.html",
            box,
            status=status,
            folder="settings",
            refused=refused,
            done=done if done in _DONE and not refused else "",
            least=MIN_PASSWORD_CHARACTERS,
            factors=factors,
            codes_left=codes_left,
            policy=node.settings.web.second_factor,
            sessions=await self.desk.sessions.of_account(box.opened),
            this_session=box.session.stored.row,
        )

    async def show_leaked(self, request: Request, box: Box) -> Response:
        """What to do when somebody else may know the password, and what it does."""
        return self._leaked(request, box)

    def _leaked(self, request: Request, box: Box, *, status: int = 200, refused: str = "") -> Response:
        values: dict[str, Any] = {"folder": "settings", "least": MIN_PASSWORD_CHARACTERS, "refused": refused}
        return self.desk.page(request, "leaked.html", box, status=status, **values)

    # -- passwords

    async def _check_password(self, box: Box, form: FormData) -> Secret:
        """The present password, typed again. A wrong one counts as at the log-in."""
        mailboxes, address = self.desk.node.mailboxes, box.opened.address
        return await present_password(
            form, lambda present: mailboxes.open(address, present, to_set_another=True, halfway=True)
        )

    async def _new_password(self, box: Box, form: FormData, present: Secret) -> Secret:
        node = self.desk.node
        return await new_password(node.world, form, present, (box.opened.address, node.settings.institution))

    async def _again(self, box: Box, opened: OpenMailbox, done: str) -> Response:
        """All sessions ended with the old password; this browser gets a new one."""
        answer = see_other(f"{box.path}/settings?done={done}")
        self.desk.sessions.cookies.set_session(answer, await self.desk.sessions.restart(opened, box.session))
        return answer

    async def change_password(self, request: Request, box: Box) -> Response:
        """Another password; all other sessions end."""
        form = await request.form()
        try:
            new = await self._new_password(box, form, await self._check_password(box, form))
        except RefusedFormError as error:
            return await self._page(request, box, status=422, refused=error.what)
        await self.desk.node.mailboxes.change_password(box.opened, new)
        return await self._again(box, box.opened, "password")

    async def renew_keys(self, request: Request, box: Box) -> Response:
        """New keys and another password at once."""
        form = await request.form()
        try:
            present = await self._check_password(box, form)
            new = await self._new_password(box, form, present)
        except RefusedFormError as error:
            return self._leaked(request, box, status=422, refused=error.what)
        try:
            renewed = await self.desk.node.mailbox_recovery.renew_keys(box.opened.address, present, new)
        except StateError:
            return self._leaked(request, box, status=409, refused="later")
        return await self._again(box, renewed, "leaked")

    # -- sessions

    async def end_session(self, request: Request, box: Box) -> Response:
        """End one of the own sessions; the present one as by logging out."""
        row = row_in(request)
        if not await self.desk.sessions.end_one(box.opened, row):
            raise NotFoundError("no such session")
        return see_other(f"{box.path}/settings?done=ended")

    # -- second factors

    async def show_adding(self, request: Request, box: Box) -> Response:
        """Set up an authenticator or a passkey."""
        return await self._adding(request, box)

    async def _adding(self, request: Request, box: Box, *, status: int = 200, refused: str = "") -> Response:
        self._refuse_off()
        offer = await Enrolment(self.desk).offer(box.session)
        return self.desk.page(
            request, "second_factor.html", box, status=status, folder="settings", refused=refused, **offer
        )

    def _refuse_off(self) -> None:
        if self.desk.node.settings.web.second_factor == "off":
            raise NotFoundError("this institution asks for no second factor")

    async def _add(
        self, request: Request, box: Box, fault: str, add: Callable[[FormData], Awaitable[list[str]]]
    ) -> Response:
        self._refuse_off()
        form = await request.form()
        try:
            await self._check_password(box, form)
            codes = await add_factor(form, fault, add)
        except RefusedFormError as error:
            return await self._adding(request, box, status=422, refused=error.what)
        return self._codes(request, box, codes) if codes else see_other(f"{box.path}/settings?done=added")

    def _codes(self, request: Request, box: Box, codes: list[str]) -> Response:
        return self.desk.page(request, "recovery_codes.html", box, folder="settings", codes=codes)

    async def add_totp(self, request: Request, box: Box) -> Response:
        """A new authenticator's first code."""
        enrolment = Enrolment(self.desk)
        return await self._add(request, box, "code", lambda form: enrolment.confirm_totp(box.session, form))

    async def passkey_options(self, request: Request, box: Box) -> Response:
        """A fresh challenge for the script."""
        self._refuse_off()
        return await Enrolment(self.desk).registration_options(box.session)

    async def add_passkey(self, request: Request, box: Box) -> Response:
        """A new passkey."""
        enrolment = Enrolment(self.desk)
        return await self._add(request, box, "passkey", lambda form: enrolment.confirm_passkey(box.session, form))

    async def new_codes(self, request: Request, box: Box) -> Response:
        """Ten new recovery codes, shown once."""
        self._refuse_off()
        factors = self.desk.node.second_factors
        if not await factors.enrolled(box.opened.id):
            raise NotFoundError("no second factor to recover")
        try:
            await self._check_password(box, await request.form())
        except RefusedFormError as error:
            return await self._page(request, box, status=422, refused=error.what)
        return self._codes(request, box, await factors.new_recovery_codes(box.opened))

    async def remove_factor(self, request: Request, box: Box) -> Response:
        """Remove one; the last one only where the institution asks for none."""
        row, keep_one = row_in(request), self.desk.node.settings.web.second_factor == "required"
        try:
            await self._check_password(box, await request.form())
            await self.desk.node.second_factors.remove(box.opened.id, row, by="owner", keep_one=keep_one)
        except RefusedFormError as error:
            return await self._page(request, box, status=422, refused=error.what)
        except NotFoundError:
            raise
        except CoffreError:
            return await self._page(request, box, status=409, refused="last")
        return see_other(f"{box.path}/settings?done=removed")
