"""What a log-in asks beside name and password, step by step. Spec: spec/web.md, 9.

All of it is for half-open sessions; none of it reaches a letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.errors import CoffreError, WrongSecretError
from node.vault.password_strength import password_fault
from node.vault.second_factors import CHALLENGE_BYTES
from node.vault.session_rows import Stage
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from node.web.charter_page import charter_html
from node.web.pages.desk import STEP_PATH, Desk, client_of, see_other
from node.web.pages.enrolment import Enrolment
from node.web.sessions import SESSION_COOKIE, Session, session_cookie
from protocol.crypto import Secret

__all__ = ["StepPages"]

_AUTHENTICATION: Final = "authentication"
_TEMPLATES: Final = {
    Stage.FACTOR: "step_factor.html",
    Stage.PASSWORD: "step_password.html",
    Stage.CHARTER: "step_charter.html",
    Stage.ENROL: "step_enrol.html",
}


@dataclass(frozen=True, slots=True)
class StepPages:
    """The steps between a right password and the letters."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        at = self.desk.in_log_in
        return [
            Route(STEP_PATH, at()(self.show), methods=["GET"]),
            Route("/login/factor", at(Stage.FACTOR)(self.code), methods=["POST"]),
            Route("/login/passkey/options", at(Stage.FACTOR)(self.passkey_options), methods=["POST"]),
            Route("/login/passkey", at(Stage.FACTOR)(self.passkey), methods=["POST"]),
            Route("/login/password", at(Stage.PASSWORD)(self.password), methods=["POST"]),
            Route("/login/charter", at(Stage.CHARTER)(self.charter), methods=["POST"]),
            Route("/login/enrol/totp", at(Stage.ENROL)(self.enrol_totp), methods=["POST"]),
            Route("/login/enrol/options", at(Stage.ENROL)(self.enrol_options), methods=["POST"]),
            Route("/login/enrol/passkey", at(Stage.ENROL)(self.enrol_passkey), methods=["POST"]),
            Route("/login/continue", at(Stage.ENROL)(self.go_on), methods=["POST"]),
        ]

    async def show(self, request: Request, session: Session) -> Response:
        """The step that is due."""
        return await self._step(request, session)

    async def _step(self, request: Request, session: Session, *, status: int = 200, refused: str = "") -> Response:
        values: dict[str, Any] = {}
        factors = self.desk.node.second_factors
        if session.stage is Stage.FACTOR:
            kinds = {factor.kind.value for factor in await factors.of_mailbox(session.opened.id)}
            values = {"kinds": kinds, "takes_passkeys": factors.takes_passkeys}
        elif session.stage is Stage.PASSWORD:
            values = {"least": MIN_PASSWORD_CHARACTERS}
        elif session.stage is Stage.CHARTER:
            text = await self.desk.node.charters.text(self.desk.templates.language(request))
            values = {"charter": charter_html(text), "digest": text.digest.hex(), "charter_language": text.language}
        elif session.stage is Stage.ENROL:
            values = await Enrolment(self.desk).offer(session)
        return self._page(request, session, _TEMPLATES[session.stage], status=status, refused=refused, **values)

    def _page(self, request: Request, session: Session, template: str, *, status: int = 200, **values: Any) -> Response:
        return self.desk.templates.page(
            request, template, status=status, csrf=session.form.text, address=session.opened.address, **values
        )

    async def _go_on(self, session: Session) -> Response:
        cookie = await self.desk.sessions.advance(session)
        return _led_on(cookie, session.stored.following)

    # -- the second factor

    async def code(self, request: Request, session: Session) -> Response:
        """An authenticator's code, or a recovery code."""
        code = str((await request.form()).get("code", ""))
        if await self.desk.sessions.check_code(session, code, client=client_of(request)) is None:
            return await self._step(request, session, status=401, refused="code")
        return await self._go_on(session)

    async def passkey_options(self, request: Request, session: Session) -> Response:
        """A fresh challenge for the script."""
        challenge = self.desk.node.world.random_bytes(CHALLENGE_BYTES)
        options = await self.desk.node.second_factors.authentication_options(session.opened, challenge)
        await self.desk.sessions.ask(session, _AUTHENTICATION, challenge)
        return JSONResponse(options)

    async def passkey(self, request: Request, session: Session) -> Response:
        """A passkey's answer to it."""
        challenge = await self.desk.sessions.take_answer(session, _AUTHENTICATION)
        response = str((await request.form()).get("credential", ""))
        factors = self.desk.node.second_factors
        if challenge is None or not await factors.check_passkey(session.opened, response, challenge):
            return await self._step(request, session, status=401, refused="passkey")
        return await self._go_on(session)

    # -- an own password, the charter

    async def password(self, request: Request, session: Session) -> Response:
        """In the place of the first password, which others have seen."""
        form, node, opened = await request.form(), self.desk.node, session.opened
        new = Secret(str(form.get("new_password", "")).encode())
        if form.get("new_password") != form.get("again"):
            return await self._step(request, session, status=422, refused="differ")
        about = (opened.address, node.settings.institution)
        fault = await node.world.run_blocking(password_fault, new, about)
        if fault is not None:
            return await self._step(request, session, status=422, refused=fault.value)
        if await node.mailboxes.still_opens(opened, new):
            return await self._step(request, session, status=422, refused="same")
        await node.mailboxes.change_password(opened, new)
        return _led_on(await self.desk.sessions.restart(opened, session), session.stored.following)

    async def charter(self, request: Request, session: Session) -> Response:
        """Accepted, on record."""
        form = await request.form()
        try:
            digest = bytes.fromhex(str(form.get("digest", "")))
        except ValueError:
            digest = b""
        if form.get("accept") != "yes":
            return await self._step(request, session, status=422, refused="accept")
        if digest not in {text.digest for text in await self.desk.node.charters.texts()}:
            return await self._step(request, session, status=409, refused="changed")
        await self.desk.node.charters.accept(session.opened, digest)
        return await self._go_on(session)

    # -- setting up a second factor

    async def enrol_totp(self, request: Request, session: Session) -> Response:
        """A new authenticator's first code."""
        try:
            codes = await Enrolment(self.desk).confirm_totp(session, await request.form())
        except WrongSecretError:
            return await self._step(request, session, status=422, refused="code")
        return self._codes(request, session, codes)

    async def enrol_options(self, request: Request, session: Session) -> Response:
        """A fresh challenge for a new passkey."""
        return await Enrolment(self.desk).registration_options(session)

    async def enrol_passkey(self, request: Request, session: Session) -> Response:
        """A new passkey."""
        try:
            codes = await Enrolment(self.desk).confirm_passkey(session, await request.form())
        except CoffreError:
            return await self._step(request, session, status=422, refused="passkey")
        return self._codes(request, session, codes)

    def _codes(self, request: Request, session: Session, codes: list[str]) -> Response:
        return self._page(request, session, "step_codes.html", codes=codes)

    async def go_on(self, request: Request, session: Session) -> Response:
        """From the recovery codes to the letters; back to the step for whoever has set up nothing."""
        return await self._go_on(session)


def _led_on(cookie: str, following: str) -> Response:
    """To where the log-in leads; half-open sessions are led to their next step from there."""
    answer = see_other(following)
    session_cookie(answer, SESSION_COOKIE, cookie)
    return answer
