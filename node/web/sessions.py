"""Who is logged in: the cookie, its session, and the token that forms carry. Spec: spec/web.md, 2."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from node.errors import CoffreError, ConfigError, LockedError, NotFoundError, WrongSecretError
from node.vault.access import OpenMailbox
from node.vault.database import Database
from node.vault.mailboxes import Mailboxes
from node.vault.session_rows import TOKEN_BYTES, NewSession, SessionKeys, SessionRows, StoredSession
from protocol.crypto import Secret, constant_time_equal
from protocol.ids import NodeId
from protocol.letter import normalise_address

__all__ = ["FORM_COOKIE", "SESSION_COOKIE", "FormToken", "LoginRefusedError", "Session", "Sessions", "session_cookie"]

SESSION_COOKIE: Final = "__Host-coffre"
FORM_COOKIE: Final = "__Host-coffre-form"
_LASTS_MS: Final = 12 * 3_600_000
"""A working day; who works longer logs in once more."""


class LoginRefusedError(CoffreError):
    """Wrong name or password, or locked: one answer for all, so that it tells nobody which mailboxes there are."""

    code = "login_refused"


class FormToken:
    """What a request that changes something must carry, made from a secret that another site cannot read."""

    __slots__ = ("_key",)

    def __init__(self, key: Secret) -> None:
        self._key = key

    @property
    def text(self) -> str:
        """For a form's hidden field."""
        return _text(hmac.digest(self._key.reveal(), b"form", "sha256"))

    def matches(self, given: str) -> bool:
        """Whether a request carries it."""
        return constant_time_equal(self.text.encode(), given.encode())


@dataclass(frozen=True, slots=True)
class Session:
    """A session of this request."""

    stored: StoredSession
    form: FormToken

    @property
    def opened(self) -> OpenMailbox:
        """The mailbox that logged in."""
        return self.stored.opened


class Sessions:
    """Begins, finds and ends sessions. idle_ms: so long one lives without a request."""

    def __init__(
        self, *, node: NodeId, database: Database, rows: SessionRows, mailboxes: Mailboxes, domain: str, idle_ms: int
    ) -> None:
        self._node = node
        self._database = database
        self._rows = rows
        self._mailboxes = mailboxes
        self._domain = domain
        self.idle_ms = idle_ms

    async def begin(self, typed: str, password: Secret) -> str:
        """Log in, and return the new cookie's value. LoginRefusedError; StateError for a first password.

        typed: an address, or the part of it before @.
        """
        refused = LoginRefusedError("wrong name or password, or too many tries", hint="try again, or ask your office")
        try:
            address = normalise_address(typed if "@" in typed else f"{typed}@{self._domain}")
        except ValueError:
            address = ""
        try:
            opened = await self._mailboxes.open(address, password)
        except NotFoundError:
            await self._mailboxes.spend_a_check(password)
            raise refused from None
        except (WrongSecretError, LockedError, ConfigError):
            raise refused from None
        token = self._database.world.random_bytes(TOKEN_BYTES)
        new = NewSession(keys=SessionKeys.of(token, self._node), opened=opened, lasts_ms=_LASTS_MS)
        await self._database.write(self._rows.begin, new)
        return _text(token)

    async def find(self, request: HTTPConnection, *, is_use: bool = True) -> Session | None:
        """The session of a request; None if it has none that lives.

        is_use: False for what a page asks by itself: it must not keep an idle session alive.
        """
        token = _token(request.cookies.get(SESSION_COOKIE, ""))
        if token is None:
            return None
        keys = SessionKeys.of(token, self._node)
        now_ms = self._database.world.now_ms()
        stored = await self._database.read(self._rows.find, keys, now_ms, self.idle_ms)
        if stored is None:
            return None
        if is_use and self._rows.wants_touch(stored, now_ms):
            await self._database.write(self._rows.touch, stored.row)
        return Session(stored, FormToken(keys.form_key))

    async def end(self, session: Session) -> None:
        """Log out."""
        await self._database.write(self._rows.end, session.stored.row)

    def visitor_form(self, request: HTTPConnection) -> tuple[FormToken, str | None]:
        """The form token of a request without a session, and the cookie to set if it has none yet."""
        secret = _token(request.cookies.get(FORM_COOKIE, ""))
        if secret is not None:
            return FormToken(Secret(secret)), None
        secret = self._database.world.random_bytes(TOKEN_BYTES)
        return FormToken(Secret(secret)), _text(secret)


def session_cookie(response: Response, name: str, value: str) -> None:
    """Set a cookie for this site alone, unread by scripts, until the browser ends; an empty value takes it back."""
    response.set_cookie(
        name, value, max_age=None if value else 0, path="/", secure=True, httponly=True, samesite="strict"
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _token(text: str) -> bytes | None:
    if len(text) != 43 or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == TOKEN_BYTES else None
