"""Setting up a second factor, within a log-in and in the settings alike. Spec: spec/web.md, 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import segno
from starlette.datastructures import FormData
from starlette.responses import JSONResponse

from node.errors import WrongSecretError
from node.vault.accounts import Account
from node.vault.factor_rows import FactorKind
from node.vault.second_factors import CHALLENGE_BYTES, TOTP_SECRET_BYTES, totp_secret
from node.web.pages.form_desk import FormDesk
from node.web.sessions import SessionOf

__all__ = ["Enrolment"]

A = TypeVar("A", bound=Account)
_TOTP: Final = "totp"
_REGISTRATION: Final = "registration"
_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class Enrolment(Generic[A]):
    """What both pages do. Nothing is kept of a factor before its first right answer."""

    desk: FormDesk[A]

    async def offer(self, session: SessionOf[A]) -> dict[str, Any]:
        """For the page: a new authenticator's secret as QR code and text, the same until it is confirmed."""
        sessions, factors = self.desk.sessions, self.desk.sessions.factors
        raw = await sessions.asked(session, _TOTP)
        if raw is None:
            raw = self.desk.node.world.random_bytes(TOTP_SECRET_BYTES)
            await sessions.ask(session, _TOTP, raw)
        secret = totp_secret(raw)
        text = secret.reveal().decode()
        drawn = segno.make(factors.totp_address(secret, session.opened.login_name), error="m", micro=False)
        return {
            "qr": drawn.svg_data_uri(scale=5, border=4, dark="#000", light="#fff"),
            "secret": " ".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP)),
            "takes_passkeys": factors.takes_passkeys,
        }

    async def confirm_totp(self, session: SessionOf[A], form: FormData) -> list[str]:
        """Add the authenticator if the code is right; recovery codes to be shown, if there were none.

        WrongSecretError, LimitError.
        """
        raw = await self.desk.sessions.asked(session, _TOTP)
        if raw is None:
            raise WrongSecretError("this page was too old", hint="take the new code picture")
        factors = self.desk.sessions.factors
        code, name = str(form.get("code", ""))[:16], str(form.get("label", ""))[:200]
        await factors.add_totp(session.opened, totp_secret(raw), code, name, session=session.stored.row)
        await self.desk.sessions.take_answer(session, _TOTP)
        return await self._codes(session)

    async def registration_options(self, session: SessionOf[A]) -> JSONResponse:
        """For the script: a fresh challenge, this session's alone."""
        challenge = self.desk.node.world.random_bytes(CHALLENGE_BYTES)
        options = await self.desk.sessions.factors.registration_options(session.opened, challenge)
        await self.desk.sessions.ask(session, _REGISTRATION, challenge)
        return JSONResponse(options)

    async def confirm_passkey(self, session: SessionOf[A], form: FormData) -> list[str]:
        """Add the passkey that the browser made. As `confirm_totp`."""
        challenge = await self.desk.sessions.take_answer(session, _REGISTRATION)
        if challenge is None:
            raise WrongSecretError("nothing was asked of a passkey", hint="try again")
        response, name = str(form.get("credential", "")), str(form.get("label", ""))[:200]
        await self.desk.sessions.factors.add_passkey(
            session.opened, response, challenge, name, session=session.stored.row
        )
        return await self._codes(session)

    async def _codes(self, session: SessionOf[A]) -> list[str]:
        factors = self.desk.sessions.factors
        present = await factors.of_account(session.opened.id)
        if any(factor.kind is FactorKind.CODES for factor in present):
            return []
        return await factors.new_recovery_codes(session.opened)
