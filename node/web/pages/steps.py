"""What a log-in asks beside name and password, step by step. Spec: spec/web.md, 9; spec/staff.md, 3.

All of it is for half-open sessions; none of it reaches a letter, or a page of the staff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.errors import CoffreError, WrongSecretError
from node.vault.accounts import Account
from node.vault.password_strength import password_fault
from node.vault.second_factors import CHALLENGE_BYTES
from node.vault.session_rows import Stage
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from node.web.pages.enrolment import Enrolment
from node.web.pages.form_desk import FormDesk, client_of, see_other
from node.web.sessions import SessionOf
from protocol.crypto import Secret

__all__ = ["StepPages"]

A = TypeVar("A", bound=Account)
_AUTHENTICATION: Final = "authentication"
_TEMPLATES: Final = {
    Stage.FACTOR: "step_factor.html",
    Stage.PASSWORD: "step_password.html",
    Stage.CHARTER: "step_charter.html",
    Stage.ENROL: "step_enrol.html",
}


@dataclass(frozen=True, slots=True)
class StepPages(Generic[A]):
    """The steps between a right password and the pages behind it."""

    desk: FormDesk[A]

    def routes(self) -> list[Route]:
        """Where what is found."""
        at, base = self.desk.in_log_in, self.desk.place.log_in
        return [
            Route(self.desk.place.step, at()(self.show), methods=["GET"]),
            Route(f"{base}/factor", at(Stage.FACTOR)(self.code), methods=["POST"]),
            Route(f"{base}/passkey/options", at(Stage.FACTOR)(self.passkey_options), methods=["POST"]),
            Route(f"{base}/passkey", at(Stage.FACTOR)(self.passkey), methods=["POST"]),
            Route(f"{base}/password", at(Stage.PASSWORD)(self.password), methods=["POST"]),
            Route(f"{base}/enrol/totp", at(Stage.ENROL)(self.enrol_totp), methods=["POST"]),
            Route(f"{base}/enrol/options", at(Stage.ENROL)(self.enrol_options), methods=["POST"]),
            Route(f"{base}/enrol/passkey", at(Stage.ENROL)(self.enrol_passkey), methods=["POST"]),
            Route(f"{base}/continue", at(Stage.ENROL)(self.go_on), methods=["POST"]),
        ]

    async def show(self, request: Request, session: SessionOf[A]) -> Response:
        """The step that is due."""
        return await self.step(request, session)

    async def step(self, request: Request, session: SessionOf[A], *, status: int = 200, refused: str = "") -> Response:
        """The page of the step that is due. refused: what was wrong with the form."""
        values: dict[str, Any] = {}
        factors = self.desk.sessions.factors
        if session.stage is Stage.FACTOR:
            kinds = {factor.kind.value for factor in await factors.of_account(session.opened.id)}
            values = {"kinds": kinds, "takes_passkeys": factors.takes_passkeys}
        elif session.stage is Stage.PASSWORD:
            values = {"least": MIN_PASSWORD_CHARACTERS}
        elif session.stage is Stage.CHARTER:
            values = await self.charter_values(request)
        elif session.stage is Stage.ENROL:
            values = await Enrolment(self.desk).offer(session)
        return self._page(request, session, _TEMPLATES[session.stage], status=status, refused=refused, **values)

    def _page(
        self, request: Request, session: SessionOf[A], template: str, *, status: int = 200, **values: Any
    ) -> Response:
        return self.desk.templates.page(
            request,
            template,
            status=status,
            csrf=session.form.text,
            address=session.opened.login_name,
            place=self.desk.place,
            **values,
        )

    async def charter_values(self, request: Request) -> dict[str, Any]:
        """What the page of a charter shows, for accounts that are asked to accept one."""
        del request
        return {}

    async def advance(self, session: SessionOf[A]) -> Response:
        """This step is done."""
        cookie = await self.desk.sessions.advance(session)
        return self.led_on(cookie, session)

    # -- the second factor

    async def code(self, request: Request, session: SessionOf[A]) -> Response:
        """An authenticator's code, or a recovery code."""
        code = str((await request.form()).get("code", ""))
        if await self.desk.sessions.check_code(session, code, client=client_of(request)) is None:
            return await self.step(request, session, status=401, refused="code")
        return await self.advance(session)

    async def passkey_options(self, request: Request, session: SessionOf[A]) -> Response:
        """A fresh challenge for the script."""
        challenge = self.desk.node.world.random_bytes(CHALLENGE_BYTES)
        options = await self.desk.sessions.factors.authentication_options(session.opened, challenge)
        await self.desk.sessions.ask(session, _AUTHENTICATION, challenge)
        return JSONResponse(options)

    async def passkey(self, request: Request, session: SessionOf[A]) -> Response:
        """A passkey's answer to it."""
        challenge = await self.desk.sessions.take_answer(session, _AUTHENTICATION)
        response = str((await request.form()).get("credential", ""))
        factors = self.desk.sessions.factors
        if challenge is None or not await factors.check_passkey(session.opened, response, challenge):
            return await self.step(request, session, status=401, refused="passkey")
        return await self.advance(session)

    # -- an own password

    async def password(self, request: Request, session: SessionOf[A]) -> Response:
        """In the place of the first password, which others have seen."""
        form, node, opened = await request.form(), self.desk.node, session.opened
        door = self.desk.sessions.door
        new = Secret(str(form.get("new_password", "")).encode())
        if form.get("new_password") != form.get("again"):
            return await self.step(request, session, status=422, refused="differ")
        about = (opened.login_name, node.settings.institution)
        fault = await node.world.run_blocking(password_fault, new, about)
        if fault is not None:
            return await self.step(request, session, status=422, refused=fault.value)
        if await door.is_password(opened, new):
            return await self.step(request, session, status=422, refused="same")
        await door.change_password(opened, new)
        return self.led_on(await self.desk.sessions.restart(opened, session), session)

    # -- setting up a second factor

    async def enrol_totp(self, request: Request, session: SessionOf[A]) -> Response:
        """A new authenticator's first code."""
        try:
            codes = await Enrolment(self.desk).confirm_totp(session, await request.form())
        except WrongSecretError:
            return await self.step(request, session, status=422, refused="code")
        return self._codes(request, session, codes)

    async def enrol_options(self, request: Request, session: SessionOf[A]) -> Response:
        """A fresh challenge for a new passkey."""
        return await Enrolment(self.desk).registration_options(session)

    async def enrol_passkey(self, request: Request, session: SessionOf[A]) -> Response:
        """A new passkey."""
        try:
            codes = await Enrolment(self.desk).confirm_passkey(session, await request.form())
        except CoffreError:
            return await self.step(request, session, status=422, refused="passkey")
        return self._codes(request, session, codes)

    def _codes(self, request: Request, session: SessionOf[A], codes: list[str]) -> Response:
        return self._page(request, session, "step_codes.html", codes=codes)

    async def go_on(self, request: Request, session: SessionOf[A]) -> Response:
        """From the recovery codes to where the log-in leads; back to the step for whoever has set up nothing."""
        return await self.advance(session)

    def led_on(self, cookie: str, session: SessionOf[A]) -> Response:
        """To where the log-in leads; half-open sessions are led to their next step from there."""
        answer = see_other(session.stored.following)
        self.desk.sessions.cookies.set_session(answer, cookie)
        return answer
